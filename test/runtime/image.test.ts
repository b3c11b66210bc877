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
  const of = (given: Partial<ImageProcessing>) => imageTensor(two, 1, 2, as(given));
  expect(of({})).toEqual({ data: new Float32Array([10, 20, 30, 50, 60, 70]), shape: [1, 1, 2, 3] });
  expect(of({ layout: 'nchw' })).toEqual({ data: new Float32Array([10, 50, 20, 60, 30, 70]), shape: [1, 3, 1, 2] });
  expect(of({ channels: 'bgr' }).data).toEqual(new Float32Array([30, 20, 10, 70, 60, 50]));
  const gray = of({ channels: 'gray', layout: 'nchw' });
  expect(gray.shape).toEqual([1, 1, 1, 2]);
  expect(gray.data[0]).toBeCloseTo(0.299 * 10 + 0.587 * 20 + 0.114 * 30, 4);
});

test('image/mean and scale follow the order of the output channels', () => {
  const { data } = imageTensor(two, 1, 2, as({ channels: 'bgr', mean: [30, 20, 10], scale: [1, 2, 4] }));
  expect(data).toEqual(new Float32Array([0, 0, 0, 40, 80, 160]));
});

test('image/bilinear with half-pixel centres and clamped edges', () => {
  const { data, shape } = imageTensor(two, 2, 4, as({ channels: 'rgb' }));
  expect(shape).toEqual([1, 2, 4, 3]);
  const reds = Array.from({ length: 8 }, (_, i) => data[i * 3]);
  expect(reds).toEqual([10, 20, 40, 50, 10, 20, 40, 50]);
  expect(imageTensor(two, 1, 1, as({})).data[0]).toBe(30);
});
