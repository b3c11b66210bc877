/**
 * Moves, pools and resizes as ONNX says them, against onnxruntime: what the operators' own cases cannot see is whether
 * bounds, pads, rounding and coordinates mean what they mean there, at every opset that says them differently.
 */
import { test } from 'vitest';
import { type AttributeText, floats, INT64, integers, node, type TensorText } from '../packer/onnx';
import { agree, type Fed } from '../support/onnxruntime';
import { random, seedOf } from '../support/random';

/** Exporters write such limits for "to the end". */
const END = 2 ** 62;

/** One node on a float x of `dims` and constants; `_` leaves an input out. */
function check(
  op: string,
  dims: number[],
  constants: (TensorText | '_')[] = [],
  attrs: Record<string, AttributeText> = {},
  opset = 17,
  outputs = 'y',
): void {
  const next = random(seedOf(op));
  const x: Fed = { dims, values: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => 2 * next() - 1) };
  const given = constants.filter((c) => c !== '_');
  const text = {
    inputs: { x: dims },
    elements: op === 'ArgMax' ? { y: INT64 } : {},
    outputs: outputs.split(' '),
    initializers: given,
    nodes: [node(op, ['x', ...constants.map((c) => (c === '_' ? c : c.name!))].join(' '), outputs, attrs)],
  };
  const values = given.map((c) => `${c.name}=${c.int64_data ?? c.float_data}`);
  test([op, dims.join('x'), ...values, JSON.stringify(attrs), `opset ${opset}`].join(' '), () => agree(text, opset, { x }));
}

const slice = (dims: number[], starts: number[], ends: number[], axes?: number[], steps?: number[]) =>
  check('Slice', dims, [
    integers('starts', starts),
    integers('ends', ends),
    ...(axes ? [integers('axes', axes)] : []),
    ...(steps ? [integers('steps', steps)] : []),
  ]);
slice([4, 6], [1, 2], [3, 5]);
slice([4, 6], [-3], [END], [-1]);
slice([4, 6], [1], [-1], [1], [2]);
slice([4, 6], [-1], [-END], [1], [-1]);
slice([4, 6], [5, 3], [0, -END], [1, 0], [-2, -1]);
slice([4, 6], [-100], [100], [1]);
slice([4, 6], [100], [-100], [1], [-4]);
slice([2, 3, 5, 7], [0, 1, 1], [2, 4, END], [0, 2, 3], [1, 1, 3]);
check('Slice', [4, 6], [], { starts: [1, -4], ends: [3, 2147483647], axes: [0, 1] }, 9);

check('Split', [6, 4], [], { axis: 0 }, 11, 'a b c');
check('Split', [2, 7], [], { axis: -1, split: [3, 4] }, 11, 'a b');
check('Split', [2, 7], [integers('sizes', [1, 4, 2])], { axis: 1 }, 17, 'a b c');
check('Split', [2, 7], [], { axis: 1, num_outputs: 3 }, 18, 'a b c');

check('Transpose', [2, 3, 4]);
check('Transpose', [2, 3, 4, 5], [], { perm: [0, 3, 1, 2] });
check('Concat', [2, 3], [floats('w', [2, 2], [1, 2, 3, 4])], { axis: -1 });
check('Expand', [3, 1], [integers('shape', [2, 1, 4])]);
check('Expand', [3, 4], [integers('shape', [1, 1])]);
check('Tile', [2, 3], [integers('repeats', [2, 3])]);
check('Tile', [1, 3, 1], [integers('repeats', [4, 1, 3])]);
check('Gather', [4, 3, 2], [integers('indices', [2], [])], { axis: 1 });
check('Gather', [4, 3, 2], [integers('indices', [-1], [1])], { axis: 0 });
check('Gather', [4, 3, 2], [integers('indices', [2, 0, -2, 1], [2, 2])], { axis: 1 });
check('DepthToSpace', [2, 12, 3, 2], [], { blocksize: 2 });
check('DepthToSpace', [2, 12, 3, 2], [], { blocksize: 2, mode: 'CRD' });
check('SpaceToDepth', [2, 3, 4, 6], [], { blocksize: 2 });
check('ArgMax', [3, 5, 4], [], { axis: 1 });
check('ArgMax', [3, 5, 4], [], { axis: -1, keepdims: 0 });

check('Pad', [2, 3], [], { pads: [1, 0, 0, 2], value: 1.5 }, 10);
check('Pad', [2, 3], [integers('pads', [1, 0, 0, 2]), floats('fill', [], [2.5])]);
check('Pad', [2, 6], [integers('pads', [0, -1, 1, -2])]);
check('Pad', [4, 6], [integers('pads', [1, 3, 2, 5])], { mode: 'reflect' });
check('Pad', [4, 6], [integers('pads', [5, 0, 0, 7])], { mode: 'edge' });
check('Pad', [2, 3, 4], [integers('pads', [1, 2]), '_', integers('axes', [-1])], {}, 18);

for (const op of ['MaxPool', 'AveragePool']) {
  const pool = (dims: number[], attrs: Record<string, AttributeText>, opset = 19) => check(op, dims, [], attrs, opset);
  pool([1, 3, 8, 9], { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 1, 1] });
  pool([1, 3, 8, 9], { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 });
  pool([1, 3, 7, 7], { kernel_shape: [2, 2], strides: [3, 3], pads: [1, 1, 1, 1], ceil_mode: 1 });
  pool([1, 3, 8, 9], { kernel_shape: [3, 2], strides: [2, 2], auto_pad: 'SAME_UPPER' });
  pool([1, 3, 8, 9], { kernel_shape: [2, 4], strides: [2, 2], auto_pad: 'SAME_LOWER' });
  pool([1, 3, 8, 9], { kernel_shape: [3, 3], auto_pad: 'VALID' });
  pool([2, 5, 20], { kernel_shape: [4], strides: [3], pads: [1, 2] });
  pool([1, 3, 9, 9], { kernel_shape: [3, 2], dilations: [2, 3], pads: [1, 1, 1, 1] });
}
check('AveragePool', [1, 3, 6, 5], [], { kernel_shape: [3, 3], pads: [1, 2, 2, 1], count_include_pad: 1 });
check(
  'AveragePool',
  [1, 3, 7, 7],
  [],
  { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 0, 0], ceil_mode: 1, count_include_pad: 1 },
  19,
);

for (const coordinates of ['half_pixel', 'asymmetric', 'align_corners', 'pytorch_half_pixel'])
  for (const mode of ['nearest', 'linear'])
    for (const [h, w] of [
      [10, 8],
      [3, 7],
      [1, 1],
    ] as const)
      check('Resize', [2, 3, 5, 4], ['_', '_', integers('sizes', [2, 3, h, w])], {
        mode,
        coordinate_transformation_mode: coordinates,
      });
for (const nearest_mode of ['floor', 'ceil', 'round_prefer_floor', 'round_prefer_ceil'])
  check('Resize', [1, 2, 4, 4], ['_', floats('scales', [4], [1, 1, 2, 0.5])], {
    coordinate_transformation_mode: 'asymmetric',
    nearest_mode,
  });
check('Resize', [1, 2, 10, 10], ['_', floats('scales', [4], [1, 1, 0.7, 1.3])], { mode: 'linear' });
check('Resize', [1, 2, 6], ['_', floats('scales', [3], [1, 1, 2.5])], { mode: 'linear' });
check('Resize', [1, 5, 4, 2], ['_', floats('scales', [4], [1, 2, 2, 1])], { mode: 'linear' });
check('Resize', [1, 2, 5, 4], ['_', floats('scales', [2], [2, 3])], { axes: [2, 3] }, 18);
check('Resize', [1, 2, 5, 4], [floats('scales', [4], [1, 1, 2, 3])], { mode: 'linear' }, 10);
check('Upsample', [1, 2, 5, 4], [floats('scales', [4], [1, 1, 2, 3])], { mode: 'nearest' }, 9);
check('Upsample', [1, 2, 5, 4], [floats('scales', [4], [1, 1, 2, 2])], { mode: 'linear' }, 9);
