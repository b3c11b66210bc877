/** What `wafer eval` counts, and what it counts on. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PNG } from 'pngjs';
import { afterAll, describe, expect, test } from 'vitest';
import type { Value } from '../../src/graph/ir';
import { readSamples } from '../../src/packer/calibration';
import { ctcPath, ctcText } from '../../src/packer/evaluate/ctc';
import { type Answer, evaluate, type Subject, waferSubject } from '../../src/packer/evaluate/evaluate';
import { type Example, readExamples } from '../../src/packer/evaluate/examples';
import { distance, greatest, overlapOf, rankOf } from '../../src/packer/evaluate/metrics';
import { encodedSizes } from '../../src/packer/evaluate/sizes';
import { type NpyArray, writeNpy, writeNpz } from '../../src/packer/npy';
import { pack } from '../../src/packer/pack';
import { binaries } from '../../src/runtime/wasm/binaries';
import { floats, node, onnxModel } from './onnx';

const folder = mkdtempSync(join(tmpdir(), 'wafer-eval-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Answers with what the sample holds, times `factor`. */
const echo = (name: string, shape: readonly number[], factor = 1): Subject => ({
  name,
  run: async (sample): Promise<Answer> => ({ data: (sample.x!.data as Float32Array).map((v) => v * factor), shape }),
  dispose() {},
});
const example = (values: number[], known: Partial<Example> = {}): Example => ({
  name: 'one',
  sample: { x: { data: Float32Array.from(values), shape: [1, values.length] } },
  ...known,
});
const refused = (code: string, message: RegExp) => expect.objectContaining({ code, message: expect.stringMatching(message) });

describe('evaluate/metrics', () => {
  test('evaluate/ranks: equals come in their order', () => {
    expect(greatest([1, 3, 3, 2])).toBe(1);
    expect([0, 1, 2, 3].map((label) => rankOf([1, 3, 3, 2], label))).toEqual([3, 0, 1, 2]);
  });
  test('evaluate/distance: in characters, not in UTF-16', () => {
    expect(distance('kitten', 'sitting')).toBe(3);
    expect(distance('', 'abc')).toBe(3);
    expect(distance('𠮷野', '吉野')).toBe(1);
  });
  test('evaluate/overlap', () => {
    expect(overlapOf([0.9, 0.1, 0.8, 0.3], [0.7, 0.6, 0.1, 0.3], 0.3)).toEqual({ both: 1, either: 3 });
  });
  test('evaluate/ctc: repeats and blanks are dropped, and a character after a blank is another', () => {
    const steps = [0, 1, 1, 0, 1, 2, 2, 0];
    const data = steps.flatMap((best) => [0, 1, 2].map((c) => (c === best ? 0.8 : 0.1)));
    const path = ctcPath({ data, shape: [1, steps.length, 3] });
    expect(ctcText(path, ['', 'a', 'b'])).toBe('aab');
    expect(ctcText(path, ['', ' ', 'b'])).toBe('b');
    expect(path[0]).toEqual({ class: 1, score: 0.8 });
  });
});

describe('evaluate/models', () => {
  test('evaluate/classify: top-1, top-5 and agreement are shares of those that have a label', async () => {
    const scores = [0.1, 0.9, 0.2, 0.3, 0.4, 0.5];
    const examples = [
      example(scores, { label: 1 }),
      example(scores, { label: 2 }),
      example(scores, { label: 0 }),
      example(scores),
    ];
    const [same, opposite] = await evaluate([echo('same', [1, 6]), echo('opposite', [1, 6], -1)], examples, {
      task: 'classify',
      against: echo('reference', [1, 6]),
    });
    expect(same).toMatchObject({ examples: 4, against: { name: 'reference', agreement: 100, sqnr: null, beyond: 0 } });
    expect(same!.top1).toBeCloseTo(100 / 3, 10);
    expect(same!.top5).toBeCloseTo(200 / 3, 10);
    expect(opposite!.against!.agreement).toBe(0);
    expect(opposite!.against!.beyond).toBe(24);
    expect(opposite!.against!.sqnr).toBeCloseTo(10 * Math.log10(1 / 4), 10);
    await expect(evaluate([echo('x', [1, 6])], [example(scores, { label: 6 })], { task: 'classify' })).rejects.toThrow(
      refused('ARGUMENT', /one is of class 6, x has 6/),
    );
  });
  test('evaluate/ctc: characters by distance, texts as a whole', async () => {
    const line = [0.1, 0.9, 0, 0.1, 0, 0.9];
    const labels = ['', 'a', 'b'];
    const [figures] = await evaluate(
      [echo('reader', [1, 2, 3])],
      [example(line, { text: 'ab' }), example(line, { text: 'abc' })],
      {
        task: 'ctc',
        labels,
      },
    );
    expect(figures).toMatchObject({ characters: 80, texts: 50 });
    expect(figures!.against).toBeUndefined();
  });
  test('evaluate/maps: IoU over all maps together', async () => {
    const maps = [example([0.9, 0.9, 0.35, 0]), example([0, 0, 0, 0])];
    const options = { task: 'maps' as const, against: echo('reference', [1, 1, 2, 2]) };
    const [half] = await evaluate([echo('half', [1, 1, 2, 2], 0.5)], maps, options);
    expect(half!.against!.iou).toBeCloseTo(2 / 3, 10);
    expect((await evaluate([echo('same', [1, 1, 2, 2])], [maps[1]!], options))[0]!.against!.iou).toBe(1);
  });
  test('evaluate/answers of another size are refused', async () => {
    const against: Subject = { ...echo('two', [1, 2]), run: async () => ({ data: Float32Array.of(1, 2), shape: [1, 2] }) };
    await expect(evaluate([echo('three', [1, 3])], [example([1, 2, 3])], { task: 'values', against })).rejects.toThrow(
      refused('SHAPE', /three gives \[1,3\], two \[1,2\]/),
    );
  });
  test('evaluate/files run on the kernels, and say what takes their bytes', async () => {
    const weights = Float32Array.from({ length: 64 }, (_, i) => Math.sin(i));
    const initializers = [floats('w', [8, 8], weights)];
    const onnx = onnxModel({ inputs: { x: [1, 8] }, outputs: ['y'], nodes: [node('MatMul', 'x w', 'y')], initializers });
    const { bytes } = await pack(onnx, { name: 'one.onnx' });
    const subject = await waferSubject('one', bytes, binaries());
    const [figures] = await evaluate([subject], [example([1, 0, 0, 0, 0, 0, 0, 0], { label: 2 })], { task: 'classify' });
    expect(figures).toMatchObject({ top1: 100, examples: 1 });
    expect(encodedSizes(bytes)[0]).toEqual({ dtype: 'f32', encoding: 'numbers', tensors: 1, elements: 64, bytes: 207 });
  });
});

describe('evaluate/examples', () => {
  const inputs = [{ name: 'x', type: { dtype: 'f32', shape: [1, 1, 2, 2] } }] as unknown as Value[];
  const images = { input: 'x', layout: 'nchw', channels: 'gray', mean: [0], scale: [1] } as const;
  const picture = (level: number) => {
    const png = new PNG({ width: 2, height: 2 });
    png.data.fill(level);
    return PNG.sync.write(png);
  };
  const put = (path: string, bytes: Uint8Array | string) => {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), bytes);
  };
  const labelsOf = (examples: readonly Example[]) => examples.map(({ name, label, text }) => [name, label ?? text]);

  test('evaluate/examples: a class is the folder, by number, by name or by its place', async () => {
    for (const [from, to] of [
      ['3', '0'],
      ['cat', 'dog'],
    ] as const) {
      put(`${from}-${to}/${from}/a.png`, picture(1));
      put(`${from}-${to}/${to}/b.png`, picture(2));
    }
    expect(labelsOf(await readExamples(join(folder, '3-0'), inputs, { images }))).toEqual([
      ['b.png', 0],
      ['a.png', 3],
    ]);
    const named = (labels?: string[]) => readExamples(join(folder, 'cat-dog'), inputs, { images, labels });
    expect(labelsOf(await named())).toEqual([
      ['a.png', 0],
      ['b.png', 1],
    ]);
    expect(labelsOf(await named(['dog', 'bird', 'cat']))).toEqual([
      ['a.png', 2],
      ['b.png', 0],
    ]);
    await expect(named(['dogs', 'cat'])).rejects.toThrow(refused('ARGUMENT', /"dog" is no class[\s\S]*did you mean "dogs"/));
  });
  test('evaluate/examples: a list says classes or texts', async () => {
    put('list/a.png', picture(1));
    put('list/b.png', picture(2));
    put('list/labels.txt', 'a.png\t7\nb.png\t8\n');
    expect(labelsOf(await readExamples(join(folder, 'list'), inputs, { images }))).toEqual([
      ['a.png', 7],
      ['b.png', 8],
    ]);
    expect(labelsOf(await readExamples(join(folder, 'list'), inputs, { images, texts: true }))).toEqual([
      ['a.png', '7'],
      ['b.png', '8'],
    ]);
  });
  test('evaluate/examples: arrays with labels', async () => {
    const x = { dtype: 'f32', shape: [2, 1, 2, 2], data: new Float32Array(8) } as const;
    const labels = (data: number[]) => ({ dtype: 'i32', shape: [data.length], data: Int32Array.from(data) }) as const;
    put(
      'two.npz',
      writeNpz(
        new Map<string, NpyArray>([
          ['x', x],
          ['labels', labels([4, 5])],
        ]),
      ),
    );
    expect(labelsOf(await readExamples(join(folder, 'two.npz'), inputs))).toEqual([
      ['two.npz', 4],
      ['two.npz', 5],
    ]);
    expect(await readSamples(join(folder, 'two.npz'), inputs)).toHaveLength(2);
    put(
      'odd.npz',
      writeNpz(
        new Map<string, NpyArray>([
          ['x', x],
          ['labels', labels([4])],
        ]),
      ),
    );
    await expect(readExamples(join(folder, 'odd.npz'), inputs)).rejects.toThrow(refused('SHAPE', /"labels" has 1 elements/));
  });
  test('evaluate/examples: what was calibrated on is left out', async () => {
    for (let i = 0; i < 5; i++)
      put(`five/${i}.npy`, writeNpy({ dtype: 'f32', shape: [1, 1, 2, 2], data: new Float32Array(4).fill(i) }));
    const values = (samples: readonly Example['sample'][]) => samples.map(({ x }) => x!.data[0]);
    const taken = values(await readSamples(join(folder, 'five'), inputs, { limit: 2 }));
    const left = values((await readExamples(join(folder, 'five'), inputs, { without: 2 })).map(({ sample }) => sample));
    expect([...taken, ...left].sort()).toEqual([0, 1, 2, 3, 4]);
    await expect(readExamples(join(folder, 'five'), inputs, { without: 5 })).rejects.toThrow(
      refused('ARGUMENT', /nothing .* is left/),
    );

    const records = Uint8Array.from({ length: 20 * 3073 }, (_, i) => (i % 3073 === 0 ? i / 3073 : Math.floor(i / 3073)));
    put('cifar.bin', records);
    const table = [...'ab'].map((_, i) => `${i},${i},${i},${i},${i}`).join('\n');
    put('table.csv', table);
    const rows = await readExamples(join(folder, 'table.csv'), [
      { name: 'x', type: { dtype: 'f32', shape: [1, 4] } },
    ] as unknown as Value[]);
    expect(rows.map(({ name, label, sample }) => [name, label, [...sample.x!.data]])).toEqual([
      ['table.csv 0', 0, [0, 0, 0, 0]],
      ['table.csv 1', 1, [1, 1, 1, 1]],
    ]);
    const cifar = [{ name: 'x', type: { dtype: 'f32', shape: [1, 3, 32, 32] } }] as unknown as Value[];
    const rgb = { ...images, channels: 'rgb', mean: [0, 0, 0], scale: [1, 1, 1] } as const;
    const drawn = values(await readSamples(join(folder, 'cifar.bin'), cifar, { images: rgb, limit: 8 }));
    const others = await readExamples(join(folder, 'cifar.bin'), cifar, { images: rgb, without: 8 });
    expect(drawn).toHaveLength(8);
    expect(others.map(({ sample, label }) => label === sample.x!.data[0])).toEqual(new Array(12).fill(true));
    expect([...drawn, ...others.map(({ label }) => label!)].sort((a, b) => a! - b!)).toEqual(
      Array.from({ length: 20 }, (_, i) => i),
    );
  });
});
