/** A residual net of 0.7 M parameters that teaches the small ones: stages of 32, 64 and 128 channels at 28, 14 and 7 pixels. */
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
  let x = relu(norm(input([28, 28, 1]), 32));
  for (const [channels, stride] of [
    [32, 1],
    [64, 2],
    [64, 1],
    [128, 2],
    [128, 1],
  ] as const)
    x = block(x, channels, stride);
  return linear(globalPool(x), 10);
}
