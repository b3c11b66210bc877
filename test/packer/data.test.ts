/** Labelled examples from files: what each format gives, what is refused, and what batches are made of. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { PNG } from 'pngjs';
import { afterAll, describe, expect, test } from 'vitest';
import { AUGMENTATION, type Augmentation, Batches, epochOrder, normalisationOf } from '../../src/packer/data/batches';
import { type Dataset, isPictures, makeDataset, pixelsOf } from '../../src/packer/data/dataset';
import { holdsRecords, loadDataset } from '../../src/packer/data/load';
import { type NpyArray, writeNpz } from '../../src/packer/npy';

const folder = mkdtempSync(join(tmpdir(), 'wafer-data-'));
afterAll(() => rmSync(folder, { recursive: true }));

function put(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
  return path;
}

function idx(shape: readonly number[], data: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * shape.length + data.length);
  bytes.set([0, 0, 8, shape.length]);
  shape.forEach((d, i) => new DataView(bytes.buffer).setUint32(4 + 4 * i, d));
  bytes.set(data, 4 + 4 * shape.length);
  return bytes;
}

function png(width: number, height: number, grey: number): Uint8Array {
  const image = new PNG({ width, height });
  image.data.fill(255);
  for (let i = 0; i < width * height; i++) image.data.fill(grey, 4 * i, 4 * i + 3);
  return PNG.sync.write(image);
}

describe('data', () => {
  test('a folder of IDX files, gzipped or not, in two parts', async () => {
    put('idx/train-images-idx3-ubyte.gz', gzipSync(idx([2, 2, 3], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])));
    put('idx/train-labels-idx1-ubyte.gz', gzipSync(idx([2], [3, 1])));
    put('idx/t10k-images-idx3-ubyte', idx([1, 2, 3], [1, 1, 1, 1, 1, 1]));
    put('idx/t10k-labels-idx1-ubyte', idx([1], [2]));
    const set = await loadDataset(join(folder, 'idx'));
    expect({ ...set, data: [...set.data], labels: [...set.labels] }).toMatchObject({
      shape: [2, 3, 1],
      data: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
      labels: [3, 1],
      classes: 4,
    });
    expect([...(await loadDataset(`${join(folder, 'idx')}:test`)).labels]).toEqual([2]);
    expect([...(await loadDataset(`${join(folder, 'idx')}[1:]`)).labels]).toEqual([1]);
  });

  test('images in folders, a folder a class', async () => {
    put('pictures/dog/b.png', png(2, 1, 9));
    put('pictures/cat/a.png', png(2, 1, 7));
    const set = await loadDataset(join(folder, 'pictures'));
    expect(set).toMatchObject({ shape: [1, 2, 3], names: ['cat', 'dog'] });
    expect([[...set.data], [...set.labels]]).toEqual([
      [7, 7, 7, 7, 7, 7, 9, 9, 9, 9, 9, 9],
      [0, 1],
    ]);
  });

  test('.npz, .csv and the binary format of CIFAR', async () => {
    const arrays = new Map<string, NpyArray>([
      ['x', { dtype: 'f32' as const, shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) }],
      ['y', { dtype: 'i32' as const, shape: [2], data: Int32Array.of(1, 0) }],
    ]);
    const npz = await loadDataset(put('a.npz', writeNpz(arrays)));
    const csv = await loadDataset(put('a.csv', 'label,p,q,r\n1,1,2,3\n0,4,5,6\n'));
    for (const set of [npz, csv]) {
      expect(set.shape).toEqual([3]);
      expect([[...set.data], [...set.labels]]).toEqual([
        [1, 2, 3, 4, 5, 6],
        [1, 0],
      ]);
    }
    const record = new Uint8Array(3073).map((_, i) => (i === 0 ? 4 : i === 1 ? 10 : i === 1025 ? 20 : i === 2049 ? 30 : 0));
    const cifar = await loadDataset(put('a.bin', record));
    expect([cifar.shape, [...cifar.labels], [...cifar.data.subarray(0, 4)]]).toEqual([[32, 32, 3], [4], [10, 20, 30, 0]]);
  });

  test('a folder in the binary format of CIFAR, whole or in the parts of its archive', async () => {
    const records = (...labels: number[]) =>
      Uint8Array.from({ length: labels.length * 3073 }, (_, i) => (i % 3073 ? 0 : labels[i / 3073]!));
    const labelsOf = async (where: string, split: 'train' | 'test' = 'train') => [
      ...(await loadDataset(join(folder, where), split)).labels,
    ];
    put('whole/b.bin', records(3));
    put('whole/a.bin', records(1, 2));
    put('whole/classes.txt', 'cat');
    expect([await labelsOf('whole'), await labelsOf('whole', 'test')]).toEqual([
      [1, 2, 3],
      [1, 2, 3],
    ]);
    await expect(loadDataset(join(folder, 'whole'), 'test', { strict: true })).rejects.toThrow(/has no test part/);
    put('parts/data_batch_1.bin', records(4));
    put('parts/data_batch_2.bin', records(5));
    put('parts/test_batch.bin', records(6));
    expect([await labelsOf('parts'), await labelsOf('parts', 'test'), await labelsOf('parts:test')]).toEqual([[4, 5], [6], [6]]);
  });

  test('MNIST by name: 8,000 digits and 2,000 others', async () => {
    const [train, test] = [await loadDataset('mnist'), await loadDataset('mnist:test')];
    const counts = (set: Dataset) => Array.from({ length: 10 }, (_, label) => set.labels.filter((l) => l === label).length);
    expect([train.shape, train.classes, train.labels.length, test.labels.length]).toEqual([[28, 28, 1], 10, 8000, 2000]);
    expect(counts(train)).toEqual([801, 902, 793, 826, 784, 690, 811, 856, 755, 782]);
    expect(counts(test)).toEqual([200, 225, 198, 206, 196, 173, 203, 214, 189, 196]);
    // The figure over all pixels that is known of MNIST, as far as a sixth of it goes.
    expect(normalisationOf(train).mean[0]).toBeCloseTo(0.1307, 2);
  });

  test('records are told from files of samples, and pictures from other numbers', async () => {
    put('digits/t10k-labels-idx1-ubyte', idx([1], [0]));
    put('photos/cat/1.png', png(1, 1, 0));
    const isRecords = [
      'mnist',
      'fashion-mnist:test[:10]',
      'a.bin',
      'b.csv',
      join(folder, 'digits'),
      `${join(folder, 'digits')}:test`,
    ];
    const isNone = ['constructor', 'a.npz', 'a.png', join(folder, 'photos'), 'nowhere'];
    expect(isRecords.map(holdsRecords)).toEqual(isRecords.map(() => true));
    expect(isNone.map(holdsRecords)).toEqual(isNone.map(() => false));
    const grey = makeDataset('grey', [1, 2, 1], Uint8Array.of(1, 2, 3, 4), [0, 1]);
    const red = makeDataset('red', [1, 2, 3], Uint8Array.of(9, 8, 7, 6, 5, 4), [0]);
    const floats = makeDataset('floats', [1, 2, 1], Float32Array.of(1, 2), [0]);
    expect([grey, red, floats].map(isPictures)).toEqual([true, true, false]);
    expect(pixelsOf(grey, 1)).toEqual({ width: 2, height: 1, data: Uint8Array.of(3, 3, 3, 255, 4, 4, 4, 255) });
    expect(pixelsOf(red, 0).data).toEqual(Uint8Array.of(9, 8, 7, 255, 6, 5, 4, 255));
  });

  test('bad data is one clear error', async () => {
    mkdirSync(join(folder, 'empty'), { recursive: true });
    put('short/train-images-idx3-ubyte', idx([2, 2, 2], [1, 2, 3]));
    put('short/train-labels-idx1-ubyte', idx([2], [0, 1]));
    put('uneven/train-images-idx3-ubyte', idx([2, 1, 1], [1, 2]));
    put('uneven/train-labels-idx1-ubyte', idx([1], [0]));
    put('sizes/a/1.png', png(2, 2, 1));
    put('sizes/b/2.png', png(2, 3, 1));
    const nan: NpyArray = { dtype: 'f32', shape: [1, 2], data: Float32Array.of(1, Number.NaN) };
    const label: NpyArray = { dtype: 'i32', shape: [1], data: Int32Array.of(-1) };
    const x: NpyArray = { dtype: 'f32', shape: [1, 2], data: Float32Array.of(1, 2) };
    const zero: NpyArray = { ...label, data: Int32Array.of(0) };
    const refused: [string, string, RegExp][] = [
      [join(folder, 'nowhere'), 'NOT_FOUND', /no data at/],
      [join(folder, 'empty'), 'NOT_FOUND', /no images in folders/],
      [join(folder, 'short'), 'BAD_FILE', /needs 8 bytes, 3 are there/],
      [join(folder, 'uneven'), 'SHAPE', /do not go together/],
      [join(folder, 'sizes'), 'SHAPE', /is 2 x 3, the first image 2 x 2/],
      [
        put(
          'nan.npz',
          writeNpz(
            new Map([
              ['x', nan],
              ['y', zero],
            ]),
          ),
        ),
        'VALUE',
        /number 1 of example 0 is NaN/,
      ],
      [
        put(
          'label.npz',
          writeNpz(
            new Map([
              ['x', x],
              ['y', label],
            ]),
          ),
        ),
        'VALUE',
        /label 0 is -1, which is no class/,
      ],
      [put('names.npz', writeNpz(new Map([['a', x]]))), 'BAD_FILE', /it has the arrays a/],
      [put('ragged.csv', '0,1,2\n1,2\n'), 'BAD_FILE', /row 2 has 2 columns, the first has 3/],
      [put('half.csv', '0.5,1\n'), 'VALUE', /row 1 has the label 0.5/],
      [put('cut.bin', new Uint8Array(3000)), 'BAD_FILE', /no whole number of records/],
      [put('what.xyz', 'x'), 'ARGUMENT', /what kind of data/],
      [`${join(folder, 'pictures')}[1:9]`, 'ARGUMENT', /not all there: the data has 2/],
    ];
    put('pictures/dog/b.png', png(2, 1, 9));
    put('pictures/cat/a.png', png(2, 1, 7));
    for (const [path, code, message] of refused)
      await expect(loadDataset(path), path).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });
});

describe('batches', () => {
  const side = 4;
  /** Image i has only pixels of value i + 1. */
  const set = (count: number): Dataset => {
    const data = new Uint8Array(count * side * side).map((_, i) => 1 + Math.floor(i / side ** 2));
    return makeDataset(
      'steps',
      [side, side, 1],
      data,
      Array.from({ length: count }, (_, i) => i),
    );
  };
  const make = (augmentation: Partial<Augmentation>, count = 8, seed = 1) => {
    const how = { normalisation: { mean: [0], deviation: [1 / 255] }, seed, channelsFirst: false };
    return new Batches({ ...how, set: set(count), augmentation: { ...AUGMENTATION, ...augmentation } }, 4);
  };
  const fill = (batches: Batches, step: number, from: number, count: number, classes: number) => {
    const [x, target] = [new Float32Array(count * side * side), new Float32Array(count * classes)];
    batches.fill(step, from, count, { x, target });
    return { x, target };
  };

  test('an epoch has every example once, each epoch in another order', () => {
    const batches = make({});
    const seen = [0, 1].flatMap((step) => {
      const { x, target } = fill(batches, step, 0, 4, 8);
      return [0, 1, 2, 3].map((i) => {
        expect(target[i * 8 + Math.round(x[i * 16]!) - 1]).toBe(1);
        return Math.round(x[i * 16]!);
      });
    });
    expect(seen.toSorted()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect([...epochOrder(100, 1, 0)]).not.toEqual([...epochOrder(100, 1, 1)]);
    expect([...epochOrder(100, 1, 0)]).toEqual([...epochOrder(100, 1, 0)]);
  });

  test('parts of a batch are the batch, however it is varied', () => {
    const all = { flip: true, crop: 1, erase: 0.5, mixup: 0.4, labelSmoothing: 0.1 };
    for (const step of [0, 3]) {
      const whole = fill(make(all), step, 0, 4, 8);
      const parts = [0, 2].map((from) => fill(make(all), step, from, 2, 8));
      expect([...parts[0]!.x, ...parts[1]!.x]).toEqual([...whole.x]);
      expect([...parts[0]!.target, ...parts[1]!.target]).toEqual([...whole.target]);
      for (let i = 0; i < 4; i++) expect(whole.target.subarray(8 * i, 8 * i + 8).reduce((a, b) => a + b)).toBeCloseTo(1, 6);
    }
  });

  test('shifts and blanks bring in the mean, and smoothing spreads over classes', () => {
    const { x } = fill(make({ crop: 2 }), 0, 0, 4, 8);
    expect(x.some((v) => v === 0)).toBe(true);
    const erased = fill(make({ erase: 1 }), 0, 0, 4, 8).x;
    for (let i = 0; i < 4; i++) expect(erased.subarray(16 * i, 16 * i + 16).some((v) => v > 0)).toBe(true);
    const { target } = fill(make({ labelSmoothing: 0.2 }), 0, 0, 4, 8);
    expect(target[0]! === Math.fround(0.025) || target[0]! === Math.fround(0.825)).toBe(true);
  });

  test('mean and deviation are those of the data', () => {
    const { mean, deviation } = normalisationOf(makeDataset('two', [2], Uint8Array.of(0, 255), [0]));
    expect([mean, deviation]).toEqual([[0.5], [0.5]]);
  });
});
