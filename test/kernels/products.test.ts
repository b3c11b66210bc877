/**
 * Convolutions and matrix products as ONNX says them, against onnxruntime: what the operators' own cases cannot see is
 * whether attributes mean what they mean there.
 */
import { test } from 'vitest';
import { type AttributeText, floats, type GraphText, node } from '../packer/onnx';
import { agree } from '../support/onnxruntime';
import { random, seedOf } from '../support/random';

const draw = (seed: string, n: number) => {
  const next = random(seedOf(seed));
  return Float32Array.from({ length: n }, () => 2 * next() - 1);
};

const size = (dims: readonly number[]) => dims.reduce((a, b) => a * b, 1);

/** The model on drawn inputs. */
const compare = (text: GraphText, opset: number) =>
  agree(
    text,
    opset,
    Object.fromEntries(
      Object.entries(text.inputs ?? {}).map(([name, given]) => {
        const dims = given as number[];
        return [name, { dims, values: draw(name, size(dims)) }];
      }),
    ),
  );

/** A node on x, w and b of these shapes; w and b are constants unless `computed`. */
function check(op: string, shapes: number[][], attrs: Record<string, AttributeText> = {}, computed = false) {
  const names = ['x', 'w', 'b'].slice(0, shapes.length);
  const shapeOf = (name: string) => shapes[names.indexOf(name)]!;
  const fixed = computed ? [] : names.slice(1);
  const free = names.filter((name) => !fixed.includes(name));
  const text: GraphText = {
    inputs: Object.fromEntries(free.map((name) => [name, shapeOf(name)])),
    outputs: ['y'],
    initializers: fixed.map((name) => floats(name, shapeOf(name), draw(name, size(shapeOf(name))))),
    nodes: [node(op, names.join(' '), 'y', attrs)],
  };
  test(`${op}/${shapes.map((s) => s.join('x')).join(' ')} ${JSON.stringify(attrs)}${computed ? ' computed' : ''}`, () =>
    compare(text, 17));
}

check('Conv', [[1, 3, 8, 9], [5, 3, 3, 3], [5]], { pads: [1, 0, 2, 1], strides: [2, 1] });
check(
  'Conv',
  [
    [2, 4, 8, 9],
    [6, 2, 3, 2],
  ],
  { group: 2, dilations: [2, 3], pads: [2, 2, 2, 2] },
);
check('Conv', [[1, 6, 8, 9], [6, 1, 3, 3], [6]], { group: 6, auto_pad: 'SAME_UPPER', strides: [2, 2] });
check('Conv', [[1, 6, 8, 9], [7, 6, 4, 4], [7]], { auto_pad: 'SAME_LOWER' });
check('Conv', [[1, 6, 8, 9], [7, 6, 4, 4], [7]], { auto_pad: 'VALID' });
check('Conv', [[2, 5, 20], [7, 5, 3], [7]], { pads: [1, 1], strides: [2] });
check('Conv', [[2, 5, 20], [7, 5, 1], [7]]);
check('Conv', [[1, 6, 5, 5], [12, 1, 3, 3], [12]], { group: 6, pads: [1, 1, 1, 1] });

check('ConvTranspose', [[1, 5, 4, 6], [5, 3, 2, 2], [3]], { strides: [2, 2] });
check('ConvTranspose', [[2, 5, 4, 6], [5, 3, 3, 3], [3]], { strides: [2, 2], pads: [1, 1, 1, 1], output_padding: [1, 1] });
check(
  'ConvTranspose',
  [
    [1, 5, 4, 6],
    [5, 3, 4, 4],
  ],
  { strides: [2, 2], pads: [1, 1, 1, 1] },
);
check('ConvTranspose', [[1, 4, 5, 3], [4, 3, 5, 3], [3]], { strides: [3, 2], pads: [1, 0, 2, 1], output_padding: [2, 1] });
check('ConvTranspose', [[1, 4, 5, 3], [4, 3, 3, 3], [3]], { dilations: [2, 3] });
check('ConvTranspose', [[1, 4, 5, 3], [4, 3, 3, 2], [3]], { dilations: [2, 1], strides: [2, 3], pads: [1, 1, 0, 0] });
check('ConvTranspose', [[1, 4, 5, 3], [4, 2, 3, 3], [4]], { group: 2, strides: [2, 2] });
check('ConvTranspose', [[1, 4, 5, 3], [4, 1, 4, 4], [4]], { group: 4, strides: [2, 2], pads: [1, 1, 1, 1] });
check('ConvTranspose', [[1, 4, 5, 3], [4, 2, 1, 1], [2]], { strides: [2, 2], output_padding: [1, 1] });
check('ConvTranspose', [[1, 4, 5, 3], [4, 2, 3, 3], [2]], { strides: [2, 2], auto_pad: 'SAME_UPPER' });
check('ConvTranspose', [[1, 4, 5, 3], [4, 2, 3, 3], [2]], { strides: [2, 2], auto_pad: 'SAME_LOWER' });
check('ConvTranspose', [[1, 4, 5, 3], [4, 2, 4, 3], [2]], { strides: [2, 2], output_shape: [11, 6] });
check('ConvTranspose', [[2, 4, 9], [4, 3, 4], [3]], { strides: [2], pads: [1, 1] });

check('Gemm', [[4, 6], [6, 5], [5]]);
check(
  'Gemm',
  [
    [4, 6],
    [5, 6],
    [1, 5],
  ],
  { transB: 1, alpha: { f: 0.5 }, beta: { f: 2 } },
);
check(
  'Gemm',
  [
    [6, 4],
    [6, 5],
    [4, 1],
  ],
  { transA: 1, beta: { f: 0.25 } },
);
check(
  'Gemm',
  [
    [6, 4],
    [6, 5],
    [4, 5],
  ],
  { transA: 1 },
);
check('Gemm', [[4, 6], [6, 5], [1]]);
check(
  'Gemm',
  [
    [4, 6],
    [6, 5],
    [4, 5],
  ],
  { alpha: { f: 0.5 } },
  true,
);
check(
  'Gemm',
  [
    [4, 6],
    [5, 6],
  ],
  { transB: 1 },
  true,
);
check('MatMul', [
  [2, 3, 6],
  [6, 5],
]);
check('MatMul', [[6], [6, 5]]);
check('MatMul', [[2, 3, 6], [6]]);
check('MatMul', [[6], [6]]);
check('MatMul', [
  [3, 6],
  [2, 6, 5],
]);
check(
  'MatMul',
  [
    [2, 1, 3, 6],
    [4, 6, 5],
  ],
  {},
  true,
);
check('MatMul', [[6], [2, 6, 5]], {}, true);
check('MatMul', [[2, 3, 6], [6]], {}, true);
