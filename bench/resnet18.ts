/**
 * ResNet-18 (He et al. 2015) as torchvision lays it out, with weights drawn from a seed and batch norms folded into the
 * convolutions: no package ships it as ONNX.
 */
import { bytesOf } from '../src/core/dtype';
import { FLOAT, type NodeText, node, onnxModel, type TensorText } from '../test/packer/onnx';
import { random } from '../test/support/random';

const SEED = 18;
const STAGES = [64, 128, 256, 512];
const BLOCKS = 2;
const CLASSES = 1000;

/** Images [1,3,224,224] to scores [1,1000]; the same bytes on every call. */
export function resnet18(): Uint8Array {
  const next = random(SEED);
  const initializers: TensorText[] = [];
  const nodes: NodeText[] = [];

  /** Uniform numbers; `gain` 1 keeps the variance of what a ReLU gives. */
  function draw(name: string, dims: number[], gain: number): void {
    const fanIn = dims.slice(1).reduce((a, b) => a * b, 1);
    const span = gain * Math.sqrt(6 / fanIn);
    const data = Float32Array.from({ length: dims[0]! * fanIn }, () => (2 * next() - 1) * span);
    initializers.push({ name, dims, data_type: FLOAT, raw_data: bytesOf(data) });
  }

  /** A square convolution from `x`; the name of what it gives. */
  function conv(name: string, x: string, [from, to, size, stride]: [number, number, number, number], gain = 1): string {
    draw(`${name}.weight`, [to, from, size, size], gain);
    draw(`${name}.bias`, [to], 0.05);
    const pad = size >> 1;
    const attrs = { kernel_shape: [size, size], strides: [stride, stride], pads: [pad, pad, pad, pad] };
    nodes.push(node('Conv', `${x} ${name}.weight ${name}.bias`, name, attrs));
    return name;
  }

  function relu(x: string): string {
    nodes.push(node('Relu', x, `${x}.relu`));
    return `${x}.relu`;
  }

  function block(name: string, x: string, from: number, to: number, stride: number): string {
    const inner = relu(conv(`${name}.conv1`, x, [from, to, 3, stride]));
    // Small, as trained networks have it, so that sums of blocks do not grow.
    const branch = conv(`${name}.conv2`, inner, [to, to, 3, 1], 0.5);
    const shortcut = from === to ? x : conv(`${name}.downsample`, x, [from, to, 1, stride], Math.SQRT1_2);
    nodes.push(node('Add', `${branch} ${shortcut}`, name));
    return relu(name);
  }

  let x = relu(conv('conv1', 'input', [3, STAGES[0]!, 7, 2]));
  nodes.push(node('MaxPool', x, 'maxpool', { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] }));
  x = 'maxpool';
  let from = STAGES[0]!;
  for (const [stage, to] of STAGES.entries())
    for (let b = 0; b < BLOCKS; b++) {
      x = block(`layer${stage + 1}.${b}`, x, from, to, stage > 0 && b === 0 ? 2 : 1);
      from = to;
    }
  nodes.push(node('GlobalAveragePool', x, 'avgpool'), node('Flatten', 'avgpool', 'flat'));
  draw('fc.weight', [CLASSES, from], 1);
  draw('fc.bias', [CLASSES], 0.05);
  nodes.push(node('Gemm', 'flat fc.weight fc.bias', 'output', { transB: 1 }));
  return onnxModel({ inputs: { input: [1, 3, 224, 224] }, outputs: ['output'], initializers, nodes });
}
