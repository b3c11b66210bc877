/** Depthwise separable, of 5,300 parameters: 12 channels at 28 pixels, 24 at 14 and 40 at 7. */
import type { Value } from '../../src/graph/ir';
import type { Layers } from '../../src/packer/train/layers';

export default function nano({ input, conv, depthwise, batchNorm, relu, add, globalPool, linear }: Layers) {
  const act = (x: Value) => relu(batchNorm(x));
  const separable = (x: Value, channels: number, stride = 1) => {
    const y = act(conv(act(depthwise(x, { stride, bias: false })), channels, { kernel: 1, bias: false }));
    return stride === 1 && x.type.shape.at(-1) === channels ? add(x, y) : y;
  };
  let x = act(conv(input([28, 28, 1]), 12, { bias: false }));
  for (const [channels, stride] of [
    [24, 2],
    [24, 1],
    [40, 2],
    [40, 1],
  ] as const)
    x = separable(x, channels, stride);
  return linear(globalPool(x), 10);
}
