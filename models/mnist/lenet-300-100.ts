/** LeNet-300-100 (LeCun et al. 1998): three layers, 266,610 parameters. */
import type { Layers } from '../../src/packer/train/layers';

export default ({ input, linear, relu, flatten }: Layers) =>
  linear(relu(linear(relu(linear(flatten(input([28, 28, 1])), 300)), 100)), 10);
