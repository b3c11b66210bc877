/** The reference net of quantised training: a 3x3 convolution of 32 channels, two of 64, and 10 classes. 56,554 parameters. */
import type { Layers } from '../../src/packer/train/layers';

export default function reference({ input, conv, batchNorm, relu, globalPool, linear }: Layers) {
  const block = (x: ReturnType<typeof input>, channels: number, stride = 1) =>
    relu(batchNorm(conv(x, channels, { stride, bias: false })));
  return linear(globalPool(block(block(block(input([28, 28, 1]), 32), 64, 2), 64)), 10);
}
