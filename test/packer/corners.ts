/** Data that small nets learn at once, and such a net. */

import { random } from '../../src/core/random';
import { type Dataset, makeDataset } from '../../src/packer/data/dataset';
import type { ModelFunction } from '../../src/packer/train/layers';

export const SIDE = 8;

/** Images of noise with a bright square in one of four corners, which is the class. */
export function corners(count: number, seed: number): Dataset {
  const next = random(seed);
  const labels = Int32Array.from({ length: count }, () => Math.floor(4 * next()));
  const data = new Uint8Array(count * SIDE * SIDE);
  for (let i = 0; i < count; i++)
    for (let y = 0; y < SIDE; y++)
      for (let x = 0; x < SIDE; x++) {
        const inside = y < SIDE / 2 === labels[i]! < 2 && x < SIDE / 2 === (labels[i]! % 2 === 0);
        data[(i * SIDE + y) * SIDE + x] = 160 * next() + (inside ? 60 : 0);
      }
  return makeDataset('corners', [SIDE, SIDE, 1], data, labels);
}

export const net: ModelFunction = ({ input, conv, batchNorm, relu, maxPool, flatten, linear }) => {
  const x = relu(batchNorm(conv(input([SIDE, SIDE, 1]), 8, { bias: false })));
  return linear(flatten(relu(batchNorm(conv(maxPool(x), 8, { stride: 2 })))), 4);
};

export const data = { train: corners(512, 1), test: corners(128, 2) };
