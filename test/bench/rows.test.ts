/** From timings to rows, tables and files. */
import { expect, test } from 'vitest';
import { section, withSection } from '../../bench/markdown';
import type { Timed } from '../../bench/pages';
import { coldRowsOf, coldTableOf, isAstray, rowsOf, tableOf } from '../../bench/rows';
import { relayout } from '../../bench/runtimes/relayout';

const timed = (runtime: Timed['runtime'], times: number[], output: number[] | undefined): Timed => ({
  ...{ runtime, times, output, backend: 'wasm', build: 'simd', threads: 1 },
  file: { path: 'x', precision: 'fp32' },
});
const outcome = { timed: [timed('litert', [9, 5, 8, 6], [1, 2.1]), timed('wafer', [4, 2, 3], [1, 2])], left: [], failed: [] };
const rows = rowsOf('net', outcome, [1, 2]);

test("bench rows: ratios are the runtime's median over Wafer's", () => {
  expect(rows.map((r) => [r.median_ms, r.min_ms, r.ratio])).toEqual([
    [7, 5, 2.333],
    [3, 2, 1],
  ]);
});

test('bench rows: no ratio without Wafer, no error without an output', () => {
  const [row] = rowsOf('net', { ...outcome, timed: [timed('litert', [9], undefined)] }, [1, 2]);
  expect(row).toMatchObject({ ratio: null, error: null });
});

test('bench rows: float models that compute something else are seen, NaN too', () => {
  expect(rows.map((r) => r.error)).toEqual([0.05, 0]);
  expect(rows.map(isAstray)).toEqual([true, false]);
  const [row] = rowsOf('net', { ...outcome, timed: [timed('litert', [9], [Number.NaN, 2])] }, [1, 2]);
  expect(isAstray(row!)).toBe(true);
});

test('bench markdown: a command replaces its own section only', () => {
  const made = (command: string, date: string) => section(tableOf(rows), { command, date, browser: 'b', machine: 'm' });
  const once = withSection(withSection('# Title\n', made('a', '1')), made('b', '1'));
  expect(once).toBe(`# Title\n\n${made('a', '1')}\n${made('b', '1')}`);
  expect(withSection(once, made('a', '2'))).toBe(`# Title\n\n${made('a', '2')}\n${made('b', '1')}`);
  expect(withSection(once, made('b', '2'))).toBe(`# Title\n\n${made('a', '1')}\n${made('b', '2')}`);
});

test('bench relayout: images go between channels first and last, other shapes do not', () => {
  const data = Float32Array.from({ length: 24 }, (_, i) => i);
  const last = relayout(data, [1, 2, 3, 4], [1, 3, 4, 2])!;
  expect([...last.subarray(0, 4)]).toEqual([0, 12, 1, 13]);
  expect(relayout(last, [1, 3, 4, 2], [1, 2, 3, 4])).toEqual(data);
  expect(relayout(data, [1, 2, 3, 4], [1, 4, 3, 2])).toBeUndefined();
  expect(relayout(data, [24], [2, 12])).toBeUndefined();
});

test("bench rows: of first results, medians and ratios of time and memory to Wafer's", () => {
  const result = (first: number, peak: number) => ({
    ...{ first, peak, added: peak / 2, script: first / 4, loaded: first / 2 },
    build: 'b',
    threads: 1,
    output: [1, 2],
  });
  const cold = (runtime: Timed['runtime'], results: ReturnType<typeof result>[]) => ({ ...timed(runtime, [], [1, 2]), results });
  const mib = 2 ** 20;
  const runs = [
    cold('wafer', [result(90, 60 * mib), result(80, 70 * mib), result(100, 50 * mib)]),
    cold('litert', [result(360, 120 * mib)]),
  ];
  const [own, other] = coldRowsOf('net', { timed: runs, left: [], failed: [] }, [1, 2]);
  expect(own).toMatchObject({ median_ms: 90, min_ms: 80, loaded_ms: 45, peak_mib: 60, ratio: 1, memory_ratio: 1 });
  expect(other).toMatchObject({ median_ms: 360, script_ms: 90, peak_mib: 120, ratio: 4, memory_ratio: 2 });
  const unknown = coldRowsOf('net', { timed: [cold('wafer', [result(90, Number.NaN)])], left: [], failed: [] }, [1, 2]);
  expect(unknown[0]).toMatchObject({ peak_mib: null, memory_ratio: null });
  expect(coldTableOf(unknown).rows[0]!.length).toBe(coldTableOf([]).heading.length);
});
