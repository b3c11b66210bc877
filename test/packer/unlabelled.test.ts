/** Examples without classes: how they are read, and that a teacher's answers of any rank are learnt from them, at the data's own size. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { symbol } from '../../src/core/dim';
import { random } from '../../src/core/random';
import { shapeText } from '../../src/core/shape';
import { constantsOf, type Graph } from '../../src/graph/ir';
import { makeExamples, sizeOf } from '../../src/packer/data/dataset';
import { loadDataset } from '../../src/packer/data/load';
import { importOnnx } from '../../src/packer/import/onnx/import';
import { type NpyArray, writeNpy, writeNpz } from '../../src/packer/npy';
import { declutter } from '../../src/packer/passes/index';
import { trainQuantized } from '../../src/packer/train/aware';
import { buildModel, type ModelFunction } from '../../src/packer/train/layers';
import { withConstants } from '../../src/packer/train/program';
import { type TrainOptions, train } from '../../src/packer/train/train';
import { files } from '../models/models';

const folder = mkdtempSync(join(tmpdir(), 'wafer-unlabelled-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Lines of an image of a free width to a class a column: [N,4,W,2] to [N,W,5]. */
const columns: ModelFunction = ({ input, conv, relu, linear, op }) => {
  const x = relu(conv(input([4, symbol('W') as never, 2]), 6));
  const line = op('reduce', [x], { fn: 'mean', axes: [1], keepdims: false });
  return op('softmax', [linear(line, 5)]);
};

const next = random(5);
const lines = (count: number) =>
  makeExamples(
    'lines',
    [4, 12, 2],
    Float32Array.from({ length: count * 96 }, () => 2 * next() - 1),
  );
const data = { train: lines(256), test: lines(64) };
const options: TrainOptions = { epochs: 4, batch: 16, workers: 1, seed: 3 };

/** All weights doubled: what the teacher says is then worth learning. */
const teacher = withConstants(
  buildModel(columns, 1),
  new Map(
    constantsOf(buildModel(columns, 1)).flatMap((x) =>
      x.name.endsWith('.weight') ? [[x.name, (x.data as Float32Array).map((w) => 2 * w)]] : [],
    ),
  ),
);

describe('examples without classes', () => {
  test('are arrays, one or many, and images', async () => {
    const put = (name: string, bytes: Uint8Array) => {
      mkdirSync(join(folder, name, '..'), { recursive: true });
      writeFileSync(join(folder, name), bytes);
      return join(folder, name);
    };
    const x: NpyArray = { dtype: 'f32', shape: [3, 2, 2], data: Float32Array.from({ length: 12 }, (_, i) => i) };
    const read = async (path: string) => {
      const set = await loadDataset(path, 'train', { labelled: false });
      return [sizeOf(set), set.shape, set.classes, set.data.at(-1)];
    };
    const array = put('one.npy', writeNpy(x));
    expect(await read(array)).toEqual([3, [2, 2], 0, 11]);
    expect(await read(`${array}[1:2]`)).toEqual([1, [2, 2], 0, 7]);
    expect(await read(put('one.npz', writeNpz(new Map([['lines', x]]))))).toEqual([3, [2, 2], 0, 11]);
    put('many/a.npy', writeNpy(x));
    put('many/b.npz', writeNpz(new Map([['x', x]])));
    expect(await read(join(folder, 'many'))).toEqual([6, [2, 2], 0, 11]);
    const png = Buffer.from(
      'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC',
      'base64',
    );
    put('images/a.png', png);
    put('images/b.png', png);
    expect((await read(join(folder, 'images'))).slice(0, 3)).toEqual([2, [1, 1, 3], 0]);
    const labelled = put(
      'both.npz',
      writeNpz(
        new Map([
          ['x', x],
          ['y', { dtype: 'i32', shape: [3], data: Int32Array.of(0, 1, 1) }],
        ]),
      ),
    );
    expect(await read(labelled)).toEqual([3, [2, 2], 2, 11]);
    // Where classes are needed they are missed.
    await expect(loadDataset(array)).rejects.toMatchObject({ code: 'ARGUMENT' });
    await expect(loadDataset(join(folder, 'images'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
    const flat = put('flat.npy', writeNpy({ ...x, shape: [12] }));
    await expect(loadDataset(flat, 'train', { labelled: false })).rejects.toMatchObject({ code: 'SHAPE' });
  });

  test.each([
    ['fixed', 'kl'],
    ['same', 'kl'],
    ['fixed', 'mse'],
  ] as const)('teach what a teacher says of each place, where widths are free: %s views, %s', async (views, loss) => {
    const { history, graph } = await train(buildModel(columns, 9), data, {
      ...options,
      epochs: 8,
      workers: 2,
      distil: { teacher, views, loss },
    });
    expect(history[7]!.loss).toBeLessThan(history[0]!.loss / 2);
    expect(history[7]!.agreement).toBeGreaterThan(0.7);
    expect(history[7]!.agreement).toBeGreaterThan(history[0]!.agreement!);
    expect(shapeText(graph.inputs[0]!.type.shape)).toBe('[N,4,W,2]');
    const itself = await train(teacher, data, { ...options, schedule: { learningRate: 1e-9 }, distil: { teacher, views, loss } });
    expect(itself.history[0]!.agreement).toBeGreaterThan(0.98);
  });

  test('teach through rounding', async () => {
    const { graph } = await train(teacher, data, {
      ...options,
      epochs: 1,
      schedule: { learningRate: 1e-9 },
      distil: { teacher },
    });
    const { trained } = await trainQuantized(graph, data, { ...options, epochs: 2 }, { weights: 'ternary', samples: 16 });
    expect(trained!.history[1]!.agreement).toBeGreaterThan(0.8);
  });

  test('need a teacher for all there is to learn', async () => {
    const refuse = (own: Partial<TrainOptions>, sets: Parameters<typeof train>[1], code: string, message: RegExp) =>
      expect(train(teacher, sets, { ...options, ...own })).rejects.toMatchObject({
        code,
        message: expect.stringMatching(message),
      });
    await refuse({}, data, 'ARGUMENT', /nobody says what the examples are.*distil 1/s);
    await refuse({ distil: { teacher, share: 0.5 } }, data, 'ARGUMENT', /nobody says what the examples are/);
    const tall = makeExamples('tall', [5, 12, 2], new Float32Array(120 * 32));
    await refuse({ distil: { teacher } }, { train: tall }, 'SHAPE', /examples are \[5,12,2\]/);
  });
});

const RECOGNISER = 'ch_PP-OCRv4_rec_infer';
const file = files.find((path) => basename(path) === `${RECOGNISER}.onnx`);
test.skipIf(!file)(
  'a recogniser of text learns from lines without labels',
  async () => {
    const recogniser: Graph = declutter(importOnnx(new Uint8Array(readFileSync(file!))).graph);
    const weights = constantsOf(recogniser).filter(({ type }) => type.shape.length === 4);
    // A fiftieth of the weights are lost.
    const worse = withConstants(
      recogniser,
      new Map(weights.map(({ name, data }) => [name, (data as Float32Array).map((w, i) => (i % 50 ? w : 0))])),
    );
    const some = (count: number) =>
      makeExamples(
        'lines',
        [48, 32, 3],
        Float32Array.from({ length: count * 48 * 32 * 3 }, () => 2 * next() - 1),
      );
    const own: TrainOptions = { ...options, epochs: 3, batch: 4, optimizer: { name: 'adam' }, schedule: { learningRate: 1e-4 } };
    const lines = some(8);
    const { history, frozen } = await train(worse, { train: lines, test: lines }, { ...own, distil: { teacher: recogniser } });
    expect(frozen).toEqual([]);
    expect(history[2]!.loss).toBeLessThan(history[0]!.loss);
    expect(history[2]!.agreement).toBeGreaterThan(0);
  },
  60_000,
);
