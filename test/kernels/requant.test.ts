/** Requantisation at its edges: kernels against the definition in unbounded integers, for the extremes of every number. */
import { expect, test } from 'vitest';
import { WaferError } from '../../src/core/errors';
import { Builder } from '../../src/graph/ir';
import { type Curve, checkCurve, entryOf, FINE, FINE_BITS, levelOfEntry } from '../../src/ops/curve';
import { checkRequant, checkSums, type Requant, requantize, saturation } from '../../src/ops/requant';
import { Session } from '../../src/runtime/session';
import { GpuPlanner } from '../../src/runtime/webgpu/plan';
import { baseDevice } from '../support/wasm';

const device = await baseDevice();
const LIMIT = 2 ** 31 - 1;

/** Sums around everything that could go wrong: zero, where the result saturates, where floats would round, the ends. */
function sums(multiplier: number, requant: Requant, reach: number): number[] {
  const saturates = saturation(requant, reach);
  const [low, high] = [saturates.low(multiplier), saturates.high(multiplier)];
  const around = [0, low, high, 2 ** 24, -(2 ** 24), 2 ** 30, LIMIT - 1, 1 - LIMIT].flatMap((v) => [v - 1, v, v + 1]);
  return [...new Set(around.map((v) => Math.min(LIMIT, Math.max(-LIMIT, v))))];
}

/** The levels that the kernel makes of sums, which it gets as biases of products with 0. */
function levels(sums: readonly number[], multiplier: number, { shift, zero, range }: Requant, residual?: Residual): number[] {
  const n = sums.length;
  const build = new Builder();
  const x = build.input('x', { dtype: 'i8', shape: [1, 1], quant: { scale: 1, zero: 5 } });
  const add = residual && build.input('r', { dtype: 'i8', shape: [1, n], quant: { scale: 1, zero: residual.zero } });
  const y = build.node(
    'gemm',
    'y',
    [
      x,
      build.numbers('w', 'i8', [n, 1], new Array(n).fill(0)),
      build.numbers('bias', 'i32', [n], sums),
      build.numbers('multiplier', 'i32', [n], new Array(n).fill(multiplier)),
      add,
    ],
    { quant: { scale: 1, zero }, shift, range, residualMultiplier: residual?.multiplier ?? 0 },
  );
  const session = new Session(build.finish([{ name: 'y', value: y }]), device);
  const given = { x: { data: new Int8Array([9]), shape: [1, 1] } };
  const levels = residual && { r: { data: new Int8Array(n).fill(residual.level), shape: [1, n] } };
  return Array.from(session.run({ ...given, ...levels }).y!.data);
}

interface Residual {
  multiplier: number;
  zero: number;
  level: number;
}

const RANGES: readonly (readonly [zero: number, low: number, high: number])[] = [
  [-128, -128, 127],
  [-128, -128, -127],
  [-1, -128, 127],
  [0, -128, 127],
  [0, 0, 1],
  [3, -20, 40],
  [127, -128, 127],
  [127, 126, 127],
];

for (const shift of [1, 8, 17, 20, 21, 22])
  test(`requant/shift=${shift}`, () => {
    for (const [zero, low, high] of RANGES)
      for (const multiplier of [1, 2, 77, 2 ** shift - 1, 2 ** shift, 2 ** shift + 1, 12345678, 2 ** 30]) {
        const requant = { shift, zero, range: [low, high] };
        const given = sums(multiplier, requant, 0);
        const want = given.map((acc) => requantize(acc, multiplier, requant));
        expect(levels(given, multiplier, requant), `m=${multiplier} z=${zero} ${low}..${high}`).toEqual(want);
      }
  });

for (const shift of [1, 9, 20])
  test(`requant/residual shift=${shift}`, () => {
    for (const [zero, low, high] of RANGES)
      for (const multiplier of [1, 2 ** 18 + 1, 2 ** 20, 2 ** 29])
        for (const residual of [
          { multiplier: 1, zero: -128, level: 127 },
          { multiplier: 2 ** 21, zero: -128, level: 127 },
          { multiplier: 2 ** 21, zero: 127, level: -128 },
          { multiplier: 2 ** 20 - 3, zero: 4, level: 5 },
        ]) {
          const requant = { shift, zero, range: [low, high] };
          const given = sums(multiplier, requant, 255 * residual.multiplier);
          const addend = (residual.level - residual.zero) * residual.multiplier;
          const want = given.map((acc) => requantize(acc, multiplier, { ...requant, addend }));
          expect(levels(given, multiplier, requant, residual), JSON.stringify({ multiplier, requant, residual })).toEqual(want);
        }
  });

test('requant/the definition rounds half up', () => {
  const requant = { shift: 2, zero: 10, range: [-128, 127] };
  expect([-6, -5, -2, -1, 0, 1, 2, 3, 6].map((acc) => requantize(acc, 1, requant))).toEqual([9, 9, 10, 10, 10, 10, 11, 11, 12]);
});

test('requant/what could leave 32 bits is refused', () => {
  const fine: Requant = { shift: 22, zero: 0, range: [-128, 127] };
  const refused = (body: () => void) => expect(body).toThrow(WaferError);
  checkRequant(fine, [1, 2 ** 30], 0);
  checkRequant({ ...fine, shift: 20 }, [2 ** 29], 2 ** 21);
  refused(() => checkRequant(fine, [0], 0));
  refused(() => checkRequant(fine, [2 ** 30 + 1], 0));
  refused(() => checkRequant({ ...fine, shift: 23 }, [1], 0));
  refused(() => checkRequant({ ...fine, shift: 0 }, [1], 0));
  refused(() => checkRequant({ ...fine, range: [1, 127] }, [1], 0));
  refused(() => checkRequant({ ...fine, range: [0, 0] }, [1], 0));
  refused(() => checkRequant({ ...fine, range: [-129, 127] }, [1], 0));
  refused(() => checkRequant(fine, [1], 5));
  refused(() => checkRequant({ ...fine, shift: 20 }, [2 ** 29 + 1], 5));
  refused(() => checkRequant({ ...fine, shift: 20 }, [1], 2 ** 21 + 1));
  checkSums(2 ** 30, 4_000_000);
  refused(() => checkSums(2 ** 30, 5_000_000));
});

test('requant/it is refused for a GPU too', () => {
  const planned = (multiplier: number, bias: number) => {
    const build = new Builder();
    const x = build.input('x', { dtype: 'i8', shape: [1, 4], quant: { scale: 1, zero: 5 } });
    const column = (name: string, value: number) => build.numbers(name, 'i32', [4], new Array(4).fill(value));
    const w = build.numbers('w', 'i8', [4, 4], new Array(16).fill(1));
    const y = build.node('gemm', 'y', [x, w, column('bias', bias), column('multiplier', multiplier)], {
      quant: { scale: 1, zero: 0 },
    });
    const graph = build.finish([{ name: 'y', value: y }]);
    return () => new GpuPlanner(graph, new Map(), { isSoftware: true, packedDot: false }, new Map()).add(graph.nodes[0]!);
  };
  expect(planned(1, 2 ** 30)).not.toThrow();
  expect(planned(0, 0)).toThrow('multiplier 0 of channel 0');
  expect(planned(1, LIMIT)).toThrow('can overflow 32 bits');
});

test('requant/curves at their extremes are what curve.ts says', () => {
  const table = Uint8Array.from({ length: 512 }, (_, i) => ([-32768, 32767, -1, 0, 129][(i >> 1) % 5]! >> (8 * (i & 1))) & 255);
  const swishes = [[], [1, 1, 0], [1, 16383, 32767], [16383, 1, -32768], [16383, 1, 32767], [2100, 7, 77]];
  const factors = [1, 256, 32767];
  const count = 1 + FINE * 255;
  for (const swish of swishes)
    for (const factor of factors)
      for (const [zero, from] of [
        [-128, 0],
        [0, -128],
        [127, 127],
      ] as const) {
        const build = new Builder();
        const x = build.input('x', { dtype: 'i8', shape: [1, 1], quant: { scale: 1, zero: 0 } });
        const column = (name: string, value: (i: number) => number) =>
          build.numbers(
            name,
            'i32',
            [count],
            Array.from({ length: count }, (_, i) => value(i)),
          );
        const middle = { scale: 1, zero: from };
        const inputs = [
          ...[x, build.numbers('w', 'i8', [count, 1], new Array(count).fill(0))],
          ...[column('bias', (i) => i - FINE * (128 + from)), column('multiplier', () => 2), undefined],
          ...[swish.length ? undefined : build.constant('table', { dtype: 'u8', shape: [256, 2] }, table)],
          build.numbers('factor', 'i32', [1], [factor]),
        ];
        const attrs = { quant: { scale: 1, zero }, middle, shift: 1 + FINE_BITS, swish };
        const session = new Session(build.finish([{ name: 'y', value: build.node('gemm', 'y', inputs, attrs) }]), device);
        const got = session.run({ x: { data: new Int8Array([0]), shape: [1, 1] } }).y!.data;
        const curve: Curve = { table: swish.length ? undefined : table, swish, middle };
        const want = Array.from({ length: count }, (_, i) => levelOfEntry(entryOf(curve, i), factor, { scale: 1, zero }));
        expect(Array.from(got), JSON.stringify({ swish, factor, zero })).toEqual(want);
      }
});

test('requant/curves that could leave 16 bits are refused', () => {
  const middle = { scale: 1, zero: 0 };
  const table = { table: new Uint8Array(512), swish: [], middle };
  const swish = { table: undefined, swish: [2100, 7, 77], middle };
  const refused = (curve: Curve, factors: number[]) => expect(() => checkCurve(curve, factors)).toThrow(WaferError);
  checkCurve(table, [1]);
  checkCurve(swish, [1, 32767]);
  refused(table, [0]);
  refused(table, [32768]);
  for (const numbers of [[], [0, 1, 0], [16384, 1, 0], [2100, 8, 0], [1, 0, 0], [1, 1, 32768], [1.5, 1, 0]])
    refused({ ...swish, swish: numbers }, [1]);
});
