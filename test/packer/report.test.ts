/** Reports: what is said of figures, that names stay text, that pages are whole, and that parts without data are left out. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { symbol } from '../../src/core/dim';
import { readWafer } from '../../src/format/reader';
import { Builder } from '../../src/graph/ir';
import { wasmEngine } from '../../src/packer/evaluate/engine';
import { layerSizes } from '../../src/packer/evaluate/sizes';
import { figuresOf, histogramsOf, type Report, reportHtml, storageOf } from '../../src/packer/report/index';
import { buildModel } from '../../src/packer/train/layers';
import { binaries } from '../../src/runtime/wasm/binaries';
import { fullReport } from '../support/report';

const bare: Report = { title: 'net' };

/** Throws where elements are not closed in the order in which they were opened, or text is not escaped. */
function expectWhole(text: string): void {
  const open: string[] = [];
  const body = text.replace(/^<!DOCTYPE html>/, '').replace(/<style>[^<]*<\/style>/g, '');
  const rest = body.replace(/<(\/?)([a-zA-Z][\w]*)((?: [\w-]+="[^"<]*")*)(\/?)>/g, (_, closing, name, __, empty) => {
    if (closing) expect(open.pop()).toBe(name);
    else if (!empty) open.push(name);
    return '';
  });
  expect(open).toEqual([]);
  expect(rest).not.toMatch(/[<>]|&(?!(amp|lt|gt|quot|#39);)/);
}

describe('report', () => {
  test('names are text, whatever they hold', () => {
    const name = `</style><script>alert(1)</script>"'&\u0000\ud800\u202e`;
    const text = reportHtml(fullReport(name));
    for (const part of ['<script', '</style><', '\0', '\u202e', '\ud800']) expect(text).not.toContain(part);
    expect(text.match(/&lt;script&gt;alert\(1\)&lt;\/script&gt;&quot;&#39;&amp;\ufffd\ufffd\ufffd/g)!.length).toBeGreaterThan(20);
    expectWhole(text);
  });

  test('a whole report is whole, says it all, and asks for nothing', () => {
    const text = reportHtml(fullReport('net'));
    expectWhole(text);
    const titles = [...text.matchAll(/<h2>([^<]*)<\/h2>/g)].map(([, title]) => title);
    const all = ['Files', 'Size and quality', 'Steps', 'Sensitivity', 'What takes the bytes', 'Distributions', 'Training'];
    expect(titles).toEqual([...all, 'How it was made']);
    expect(text).not.toMatch(/https?:|src=|href=|@import|url\(|NaN|Infinity|undefined/);
  });

  test('a section without data is left out', () => {
    expect(reportHtml(bare)).not.toMatch(/<section/);
    const none = { files: [], steps: [], sensitivity: [], storage: [], histograms: [], training: [], facts: [] };
    expect(reportHtml({ ...bare, ...none })).toBe(reportHtml(bare));
    const empty = { storage: [{ file: 'a', layers: [] }], histograms: [{ file: 'a', weights: [], activations: [] }] };
    expect(reportHtml({ ...bare, ...empty, training: [{ name: 'a', epochs: [] }] })).toBe(reportHtml(bare));
    expect(reportHtml({ ...bare, files: [{ name: 'a', bytes: 12 }] }).match(/<section/g)).toHaveLength(1);
  });

  test('only what was measured has a column, and differences say whether they are good', () => {
    const files = [
      { name: 'before', bytes: 100_000, top1: 94.5, ms: 2 },
      { name: 'after', bytes: 25_000, top1: 94.25, ms: 2 },
    ];
    const text = reportHtml({ ...bare, files });
    expect([...text.matchAll(/<th>(Size|Top-\d|Time|Memory)</g)].map(([, name]) => name)).toEqual(['Size', 'Top-1', 'Time']);
    expect(text).toContain('25.0\u202fkB<span class="good">\u221275\u202f%</span>');
    expect(text).toContain('94.25\u202f%<span class="bad">\u22120.25</span>');
    expect(text).toContain('<td>2.00\u202fms</td></tr></tbody>');
  });

  test('the front is what nothing smaller beats', () => {
    const files = [10, 20, 30, 40].map((kB, i) => ({ name: `f${i}`, bytes: 1000 * kB, top1: [90, 92, 91, 93][i]! }));
    const dropped = { name: 'best', what: '', before: {}, after: { bytes: 9000, top1: 99 }, kept: false, seconds: 1 };
    const text = reportHtml({ ...bare, files, steps: [dropped] });
    const points = /class="front"><polyline points="([^"]*)"/
      .exec(text)![1]!
      .split(' ')
      .map((p) => p.split(',').map(Number));
    const heights = points.map(([, y]) => y!);
    expect(points).toHaveLength(5);
    expect(heights).toEqual([...heights].sort((a, b) => b - a));
    const f2 = />f2: 30\.0/.exec(text)!.index;
    const cy = Number(/cy="([\d.]+)%"[^>]*>(?!.*cy=)/.exec(text.slice(0, f2))![1]);
    expect(heights).not.toContain(cy);
  });

  test('values that are all alike, one epoch and errors of 0 are drawn', () => {
    const text = reportHtml({
      ...bare,
      files: ['a', 'b', 'c'].map((name, i) => ({ name, bytes: 1000 + i, top1: 90 })),
      sensitivity: [{ layer: 'fc', choices: [{ format: 'int8', error: 0 }] }],
      histograms: [{ file: 'a', weights: [{ name: 'w', low: 0, high: 0, counts: [0, 0], zeros: 1 }], activations: [] }],
      training: [{ name: 'a', epochs: [{ epoch: 1, loss: 0 }] }],
    });
    expect(text).not.toMatch(/NaN|Infinity/);
    expectWhole(text);
  });
});

describe('report/measure', () => {
  const file = new Uint8Array(readFileSync('models/fashion-mnist/ternary.wafer'));
  const { graph } = readWafer(file);
  const shape = [1, ...graph.inputs[0]!.type.shape.slice(1)] as number[];
  const size = shape.reduce((a, b) => a * b);
  const sample = { [graph.inputs[0]!.name]: { data: Float32Array.from({ length: size }, (_, i) => (i % 7) / 7), shape } };

  test('layers and the rest are the whole file, and each tensor counts once', () => {
    const bytes = storageOf('net', file).layers.flatMap(({ parts }) => parts.map((part) => part.bytes));
    expect(bytes.reduce((a, b) => a + b)).toBe(file.length);
    expect(layerSizes(file).flatMap(({ parts }) => parts.map(({ encoding }) => encoding))).toContain('i8 ternary');
  });

  test('figures are those of the file and of a run at the size of the sample', () => {
    const found = figuresOf(file, { name: 'net', examples: 1, top1: 90, ms: { median: 2, min: 1 } }, sample);
    expect(found).toMatchObject({ name: 'net', bytes: file.length, top1: 90, ms: 2 });
    expect(found.bitsPerWeight).toBeLessThan(2);
    expect(found.macs).toBeGreaterThan(1e7);
    expect(found.memory).toBeGreaterThan(found.parameters!);
    expect(Object.values(found)).not.toContain(undefined);
  });

  test('histograms count everything, zeros apart, levels as what they stand for', async () => {
    const { weights, activations } = await histogramsOf('net', graph, [sample, sample], wasmEngine(binaries()));
    expect(weights.map(({ name }) => name)).toEqual(activations.map(({ name }) => name));
    const ternary = weights.find(({ high }) => high === 1)!;
    expect(ternary.counts.filter((n) => n > 0)).toHaveLength(2);
    expect(ternary.zeros).toBeGreaterThan(0.2);
    const last = activations.at(-1)!;
    expect(last.counts.reduce((a, b) => a + b) / (1 - last.zeros!)).toBeCloseTo(20);
    expect(last.high - last.low).toBeGreaterThan(1);
  });

  test('batch norms of training are no hindrance, and what is made of nothing has no histogram', async () => {
    const trained = buildModel(({ input, conv, batchNorm }) => batchNorm(conv(input([4, 4, 3]), 2)), 1);
    const x = { data: new Float32Array(48).fill(1), shape: [1, 4, 4, 3] };
    const found = await histogramsOf('net', trained, [{ x }], wasmEngine(binaries()));
    expect(found.activations.map(({ name }) => name)).toEqual(['conv1']);
    const build = new Builder();
    const none = build.input('x', { dtype: 'f32', shape: [symbol('N'), 2] });
    const free = build.finish([
      { name: 'y', value: build.node('gemm', 'fc', [none, build.numbers('w', 'f32', [1, 2], [1, 2])]) },
    ]);
    expect((await histogramsOf('net', free, [], wasmEngine(binaries()))).activations).toEqual([]);
  });
});
