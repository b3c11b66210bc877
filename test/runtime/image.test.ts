/** Pixels to tensors. */
import { expect, test } from 'vitest';
import type { ImageProcessing } from '../../src/format/model';
import { imageTensor } from '../../src/runtime/image';

const as = (given: Partial<ImageProcessing>): ImageProcessing => ({
  input: 'x',
  layout: 'nhwc',
  channels: 'rgb',
  mean: [0, 0, 0],
  scale: [1, 1, 1],
  ...given,
});

/** 2 x 1: red 10, 20, 30 and 50, 60, 70, with alphas that must not matter. */
const two = { data: new Uint8ClampedArray([10, 20, 30, 0, 50, 60, 70, 255]), width: 2, height: 1 };

test('image/layouts and channel orders', () => {
  const of = (given: Partial<ImageProcessing>) => imageTensor({ image: two, height: 1, width: 2, processing: as(given) });
  expect(of({})).toEqual({ data: new Float32Array([10, 20, 30, 50, 60, 70]), shape: [1, 1, 2, 3] });
  expect(of({ layout: 'nchw' })).toEqual({ data: new Float32Array([10, 50, 20, 60, 30, 70]), shape: [1, 3, 1, 2] });
  expect(of({ channels: 'bgr' }).data).toEqual(new Float32Array([30, 20, 10, 70, 60, 50]));
  const gray = of({ channels: 'gray', layout: 'nchw' });
  expect(gray.shape).toEqual([1, 1, 1, 2]);
  expect(gray.data[0]).toBeCloseTo(0.299 * 10 + 0.587 * 20 + 0.114 * 30, 4);
});

test('image/mean and scale follow the order of the output channels', () => {
  const { data } = imageTensor({
    ...{ image: two, height: 1, width: 2 },
    processing: as({ channels: 'bgr', mean: [30, 20, 10], scale: [1, 2, 4] }),
  });
  expect(data).toEqual(new Float32Array([0, 0, 0, 40, 80, 160]));
});

test('image/bilinear with half-pixel centres and clamped edges', () => {
  const { data, shape } = imageTensor({ image: two, height: 2, width: 4, processing: as({}) });
  expect(shape).toEqual([1, 2, 4, 3]);
  const reds = Array.from({ length: 8 }, (_, i) => data[i * 3]);
  expect(reds).toEqual([10, 20, 40, 50, 10, 20, 40, 50]);
  expect(imageTensor({ image: two, height: 1, width: 1, processing: as({}) }).data[0]).toBe(30);
});

test('image/a quad is straightened, and what it does not fill is 0', () => {
  // 4 x 4, red is 10 * x + y.
  const image = {
    data: Uint8Array.from({ length: 64 }, (_, i) => (i % 4 ? 0 : 10 * ((i >> 2) & 3) + (i >> 4))),
    width: 4,
    height: 4,
  };
  const request = { image, height: 2, processing: as({ mean: [-1, 0, 0] }) };
  const reds = (y: { data: Float32Array }) => Array.from(y.data.filter((_, i) => i % 3 === 0));
  const right = [[2, 0], [4, 0], [4, 2], [2, 2]] as const; // biome-ignore format: one row
  expect(reds(imageTensor({ ...request, width: 3, columns: 2, quad: right }))).toEqual([21, 31, 0, 22, 32, 0]);
  // A quarter turn: its top left corner is the picture's bottom left one.
  const turned = [[0, 4], [0, 2], [2, 2], [2, 4]] as const; // biome-ignore format: one row
  expect(reds(imageTensor({ ...request, width: 2, quad: turned }))).toEqual([4, 3, 14, 13]);
  // A trapezium: the middle of its diagonals is the middle of what is seen.
  const far = [[1, 0], [3, 0], [4, 4], [0, 4]] as const; // biome-ignore format: one row
  expect(imageTensor({ ...request, height: 1, width: 1, quad: far }).data[0]).toBeCloseTo(1 + 10 * 1.5 + (4 / 3 - 0.5), 4);
  const line = [[0, 0], [1, 1], [2, 2], [3, 3]] as const; // biome-ignore format: one row
  expect(() => imageTensor({ ...request, width: 2, quad: line })).toThrow(/line/);
});
