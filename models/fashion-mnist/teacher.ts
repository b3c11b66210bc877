/** A residual net of 0.42 M parameters that teaches the small ones: stages of 24, 48 and 96 channels at 28, 14 and 7 pixels. */
import type { Value } from '../../src/graph/ir';
import type { Layers } from '../../src/packer/train/layers';

export default function teacher({ input, conv, batchNorm, relu, add, globalPool, linear }: Layers) {
  const norm = (x: Value, channels: number, stride = 1, kernel = 3) =>
    batchNorm(conv(x, channels, { kernel, stride, bias: false }));
  const block = (x: Value, channels: number, stride = 1) => {
    const inner = norm(relu(norm(x, channels, stride)), channels);
    const isSame = stride === 1 && x.type.shape.at(-1) === channels;
    return relu(add(inner, isSame ? x : norm(x, channels, stride, 1)));
  };
  let x = relu(norm(input([28, 28, 1]), 24));
  for (const [channels, stride] of [
    [24, 1],
    [48, 2],
    [48, 1],
    [48, 1],
    [96, 2],
    [96, 1],
  ] as const)
    x = block(x, channels, stride);
  return linear(globalPool(x), 10);
}
