/** LeNet-5 as Caffe has it, which is what pruning is usually measured on (Han et al. 2015): 431,080 parameters. */
import type { Layers } from '../../src/packer/train/layers';

export default ({ input, conv, linear, relu, maxPool, flatten }: Layers) => {
  const x = maxPool(conv(maxPool(conv(input([28, 28, 1]), 20, { kernel: 5, pad: 0 })), 50, { kernel: 5, pad: 0 }));
  return linear(relu(linear(flatten(x), 500)), 10);
};
