/**
 * Passes: what a small model becomes, and that it still computes the same (by the f64 references). Models are spelled as
 * exporters spell them.
 */
import { describe, expect, test } from 'vitest';
import type { Graph } from '../../src/graph/ir';
import { printGraph } from '../../src/graph/print';
import type { RefTensor } from '../../src/ops/define';
import { runOutputs } from '../../src/packer/evaluate/reference';
import { traceOrigins } from '../../src/packer/import/names';
import { importOnnx } from '../../src/packer/import/onnx/import';
import { declutter } from '../../src/packer/passes/index';
import { simplifySteps } from '../../src/packer/passes/steps';
import { random, seedOf } from '../support/random';
import { floats, type GraphText, integers, node, onnxModel, type TensorText } from './onnx';

const filled = (name: string, ...dims: number[]): TensorText => {
  const next = random(seedOf(name));
  const count = dims.reduce((n, d) => n * d, 1);
  return floats(
    name,
    dims,
    Float32Array.from({ length: count }, () => next() - 0.4),
  );
};

const scalar = (name: string, value: number): TensorText => floats(name, [], [value]);

/** The graph after all passes, as text, having been checked against the graph before. */
function decluttered(text: GraphText, sizes: Readonly<Record<string, number>> = {}): string {
  const before = importOnnx(onnxModel(text)).graph;
  const after = declutter(before);
  expectSame(before, after, sizes);
  return `\n${printGraph(after)}`;
}

function expectSame(before: Graph, after: Graph, sizes: Readonly<Record<string, number>>): void {
  const inputs = new Map(
    before.inputs.map(({ name, type }): [string, RefTensor] => {
      const shape = type.shape.map((d) =>
        typeof d === 'number' ? d : sizes[(d.terms[0]!.atoms[0] as { symbol: string }).symbol]!,
      );
      const next = random(seedOf(name));
      const data = Float64Array.from({ length: shape.reduce((n, d) => n * d, 1) }, () => 8 * next() - 4);
      return [name, { type: { ...type, shape }, data }];
    }),
  );
  const [want, got] = [runOutputs(before, inputs), runOutputs(after, inputs)];
  expect([...got.keys()]).toEqual([...want.keys()]);
  for (const [name, { type, data }] of want) {
    expect(got.get(name)!.type.shape, name).toEqual(type.shape);
    const apart = got.get(name)!.data.map((v, i) => Math.abs(v - data[i]!) / (1 + Math.abs(data[i]!)));
    expect(Math.max(...apart), name).toBeLessThan(1e-5);
  }
}

const image = { x: [1, 3, 6, 6] };

describe('fuse', () => {
  test('convolution, batch normalisation and ReLU are one node', () => {
    const text: GraphText = {
      inputs: image,
      outputs: ['y'],
      initializers: [filled('w', 4, 3, 3, 3), filled('s', 4), filled('b', 4), filled('m', 4), floats('v', [4], [1, 2, 3, 4])],
      nodes: [node('Conv', 'x w', 'c'), node('BatchNormalization', 'c s b m v', 'n'), node('Relu', 'n', 'y')],
    };
    expect(decluttered(text)).toMatchInlineSnapshot(`
      "
      input %x : f32[1,3,6,6]
      %x@0231 = transpose(%x) {perm=[0,2,3,1]} : f32[1,6,6,3]
      %y@0231 = conv(%x@0231, $c.constant.2.2:f32[4,3,3,3], $c.constant.bias.2:f32[4]) {act=[relu]} : f32[1,4,4,4]
      %y = transpose(%y@0231) {perm=[0,3,1,2]} : f32[1,4,4,4]
      output y = %y
      "
    `);
  });

  test('a residual', () => {
    const text: GraphText = {
      inputs: { x: ['N', 4, 'H', 'W'] },
      outputs: ['y'],
      initializers: [filled('w', 4, 4, 3, 3), filled('v', 4, 4, 1, 1)],
      nodes: [
        node('Conv', 'x w', 'c', { pads: [1, 1, 1, 1] }),
        node('Relu', 'c', 'r'),
        node('Conv', 'r v', 'd'),
        node('Add', 'x d', 's'),
        node('Relu', 's', 'y'),
      ],
    };
    expect(decluttered(text, { N: 2, H: 3, W: 5 })).toMatchInlineSnapshot(`
      "
      input %x : f32[N,4,H,W]
      %x@0231 = transpose(%x) {perm=[0,2,3,1]} : f32[N,H,W,4]
      %r@0231 = conv(%x@0231, $c.constant:f32[4,3,3,4], _) {act=[relu] pads=[1,1,1,1]} : f32[N,H,W,4]
      %y@0231 = conv(%r@0231, $d.constant:f32[4,1,1,4], _, _, %x@0231) {act=[relu]} : f32[N,H,W,4]
      %y = transpose(%y@0231) {perm=[0,3,1,2]} : f32[N,4,H,W]
      output y = %y
      "
    `);
  });

  test('a factor of each channel before grouped convolutions with a border', () => {
    const text: GraphText = {
      inputs: { x: [1, 4, 6, 6] },
      outputs: ['y'],
      initializers: [
        filled('u', 4, 4, 1, 1),
        filled('w', 4, 2, 3, 3),
        filled('v', 4, 1, 3, 3),
        floats('f', [1, 4, 1, 1], [1, 2, 3, 4]),
      ],
      nodes: [
        node('Conv', 'x u', 'a'),
        node('Sigmoid', 'a', 'b'),
        node('Mul', 'b f', 'c'),
        node('Conv', 'c w', 'd', { pads: [1, 1, 1, 1], group: 2 }),
        node('Sigmoid', 'd', 'e'),
        node('Mul', 'f e', 'g'),
        node('Conv', 'g v', 'y', { pads: [1, 1, 1, 1], group: 4 }),
      ],
    };
    expect(decluttered(text)).not.toContain('binary');
  });

  test('a convolution that is read twice keeps to itself', () => {
    const text: GraphText = {
      inputs: image,
      outputs: ['y', 'c'],
      initializers: [filled('w', 4, 3, 1, 1)],
      nodes: [node('Conv', 'x w', 'c'), node('Relu', 'c', 'y')],
    };
    expect(decluttered(text)).toMatchInlineSnapshot(`
      "
      input %x : f32[1,3,6,6]
      %x@0231 = transpose(%x) {perm=[0,2,3,1]} : f32[1,6,6,3]
      %c@0231 = conv(%x@0231, $c.constant:f32[4,1,1,3], _) : f32[1,6,6,4]
      %c = transpose(%c@0231) {perm=[0,3,1,2]} : f32[1,4,6,6]
      %y@0231 = unary(%c@0231) {steps=[relu]} : f32[1,6,6,4]
      %y = transpose(%y@0231) {perm=[0,3,1,2]} : f32[1,4,6,6]
      output y = %y
      output c = %c
      "
    `);
  });

  test('a border of zeros becomes pads', () => {
    const text: GraphText = {
      inputs: image,
      outputs: ['y'],
      initializers: [filled('w', 4, 3, 3, 3), integers('p', [0, 0, 0, 0, 0, 0, 1, 1])],
      nodes: [node('Pad', 'x p', 'q'), node('Conv', 'q w', 'y', { strides: [2, 2] })],
    };
    expect(decluttered(text)).toMatchInlineSnapshot(`
      "
      input %x : f32[1,3,6,6]
      %x@0231 = transpose(%x) {perm=[0,2,3,1]} : f32[1,6,6,3]
      %y@0231 = conv(%x@0231, $y.constant:f32[4,3,3,3], _) {strides=[2,2] pads=[0,0,1,1]} : f32[1,3,3,4]
      %y = transpose(%y@0231) {perm=[0,3,1,2]} : f32[1,4,3,3]
      output y = %y
      "
    `);
  });

  test('an affine step moves into the next product, unless that has a border', () => {
    const text: GraphText = {
      inputs: image,
      outputs: ['y'],
      initializers: [filled('w', 3, 3, 1, 1), filled('v', 3, 3, 3, 3), scalar('a', 1.5), scalar('b', -0.25)],
      nodes: [
        node('Sigmoid', 'x', 's'),
        node('Mul', 's a', 'm'),
        node('Add', 'm b', 't'),
        node('Conv', 't w', 'c'),
        node('Relu', 'c', 'r'),
        node('Mul', 'r a', 'n'),
        node('Add', 'n b', 'u'),
        node('Conv', 'u v', 'y', { pads: [1, 1, 1, 1] }),
      ],
    };
    expect(decluttered(text)).toMatchInlineSnapshot(`
      "
      input %x : f32[1,3,6,6]
      %x@0231 = transpose(%x) {perm=[0,2,3,1]} : f32[1,6,6,3]
      %t@0231.part = unary(%x@0231) {steps=[sigmoid]} : f32[1,6,6,3]
      %u@0231 = conv(%t@0231.part, $c.constant.2:f32[3,1,1,3], $c.constant.bias:f32[3]) {act=[relu,affine(1.5,-0.25)]} : f32[1,6,6,3]
      %y@0231 = conv(%u@0231, $y.constant:f32[3,3,3,3], _) {pads=[1,1,1,1]} : f32[1,6,6,3]
      %y = transpose(%y@0231) {perm=[0,3,1,2]} : f32[1,3,6,6]
      output y = %y
      "
    `);
  });

  test('a transposed convolution, with what follows it, is one product and a shuffle', () => {
    const text: GraphText = {
      inputs: { x: [1, 3, 'H', 'W'] },
      outputs: ['y'],
      initializers: [
        filled('w', 3, 5, 2, 2),
        filled('bias', 1, 5, 1, 1),
        filled('s', 5),
        filled('b', 5),
        filled('m', 5),
        floats('v', [5], [1, 2, 3, 4, 5]),
      ],
      nodes: [
        node('ConvTranspose', 'x w', 'c', { strides: [2, 2] }),
        node('Add', 'c bias', 'd'),
        node('BatchNormalization', 'd s b m v', 'n'),
        node('Relu', 'n', 'y'),
      ],
    };
    expect(decluttered(text, { H: 2, W: 3 })).toMatchInlineSnapshot(`
      "
      input %x : f32[1,3,H,W]
      %x@0231 = transpose(%x) {perm=[0,2,3,1]} : f32[1,H,W,3]
      %y@0231.narrow@0135246.narrow = conv(%x@0231, $c.constant.2.2.2:f32[20,1,1,3], $c.constant.bias.2.2:f32[20]) {act=[relu]} : f32[1,H,W,20]
      %y@0231.narrow@0135246 = reshape(%y@0231.narrow@0135246.narrow) {shape=[1,H,W,1,2,2,5]} : f32[1,H,W,1,2,2,5]
      %y@0231.narrow = transpose(%y@0231.narrow@0135246) {perm=[0,1,4,2,5,3,6]} : f32[1,H,2,W,2,1,5]
      %y@0231 = reshape(%y@0231.narrow) {shape=[1,2*H,2*W,5]} : f32[1,2*H,2*W,5]
      %y = transpose(%y@0231) {perm=[0,3,1,2]} : f32[1,5,2*H,2*W]
      output y = %y
      "
    `);
  });
});

/** Graphs over one vector that must become one `unary` with these steps. */
describe('recognise', () => {
  const constants = [
    scalar('three', 3),
    scalar('six', 6),
    scalar('sixth', 1 / 6),
    scalar('zero', 0),
    scalar('one', 1),
    scalar('half', 0.5),
  ];
  const more = [
    scalar('root', Math.SQRT2),
    scalar('two', 2),
    scalar('cube', 3),
    scalar('c', 0.044715),
    scalar('k', Math.sqrt(2 / Math.PI)),
    scalar('slope', 0.2),
  ];
  test.each<[string, string, GraphText['nodes']]>([
    [
      'HardSwish as x * clip(x + 3, 0, 6) / 6',
      '[hardSwish]',
      [node('Add', 'x three', 'a'), node('Clip', 'a zero six', 'b'), node('Mul', 'x b', 'm'), node('Div', 'm six', 'y')],
    ],
    [
      'HardSwish as x * (clip(x + 3, 0, 6) / 6)',
      '[hardSwish]',
      [node('Add', 'x three', 'a'), node('Clip', 'a zero six', 'b'), node('Div', 'b six', 'm'), node('Mul', 'm x', 'y')],
    ],
    [
      'HardSwish as x * hardSigmoid(x)',
      '[hardSwish]',
      [node('HardSigmoid', 'x', 'h', { alpha: 1 / 6, beta: 0.5 }), node('Mul', 'x h', 'y')],
    ],
    [
      'HardSigmoid as clip(x + 3, 0, 6) / 6',
      '[hardSigmoid(0.1667,0.5)]',
      [node('Add', 'x three', 'a'), node('Clip', 'a zero six', 'b'), node('Mul', 'b sixth', 'y')],
    ],
    ['SiLU', '[silu]', [node('Mul', 'x one', 'o'), node('Sigmoid', 'o', 's'), node('Mul', 'x s', 'y')]],
    ['Mish', '[mish]', [node('Softplus', 'x', 's'), node('Tanh', 's', 't'), node('Mul', 'x t', 'y')]],
    [
      'GELU as x * 0.5 * (1 + erf(x / sqrt(2)))',
      '[gelu]',
      [
        node('Div', 'x root', 'd'),
        node('Erf', 'd', 'e'),
        node('Add', 'e one', 'a'),
        node('Mul', 'x half', 'h'),
        node('Mul', 'h a', 'y'),
      ],
    ],
    [
      'GELU as (x * (1 + erf(x / sqrt(2)))) * 0.5',
      '[gelu]',
      [
        node('Div', 'x root', 'd'),
        node('Erf', 'd', 'e'),
        node('Add', 'e one', 'a'),
        node('Mul', 'x a', 'h'),
        node('Mul', 'h half', 'y'),
      ],
    ],
    [
      'GELU by tanh',
      '[geluTanh]',
      [
        node('Pow', 'x cube', 'p'),
        node('Mul', 'p c', 'q'),
        node('Add', 'x q', 'r'),
        node('Mul', 'r k', 's'),
        node('Tanh', 's', 't'),
        node('Add', 't one', 'u'),
        node('Mul', 'x half', 'h'),
        node('Mul', 'h u', 'y'),
      ],
    ],
    ['LeakyReLU as max(x, x / 5)', '[leakyRelu(0.2,0)]', [node('Mul', 'x slope', 's'), node('Max', 'x s', 'y')]],
    ['a square', '[square]', [node('Mul', 'x x', 'y')]],
    ['powers', '[square,sqrt]', [node('Pow', 'x two', 'p'), node('Pow', 'p half', 'y')]],
    ['ReLU6 as min(max(x, 0), 6)', '[clip(0,6)]', [node('Max', 'x zero', 'm'), node('Min', 'm six', 'y')]],
    ['scales that cancel', '', [node('Mul', 'x six', 'a'), node('Div', 'a six', 'b'), node('Identity', 'b', 'y')]],
  ])('%s', (_, steps, nodes) => {
    const text = decluttered({ inputs: { x: [24] }, outputs: ['y'], initializers: [...constants, ...more], nodes });
    expect(
      text
        .split('\n')
        .filter((line) => line.includes(' = unary'))
        .map((line) => /steps=(\S+)}/.exec(line)![1]),
    ).toEqual(steps ? [steps] : []);
    expect(text.split('\n').filter((line) => line.startsWith('%'))).toHaveLength(steps ? 1 : 0);
  });

  test('layer normalisation', () => {
    const text: GraphText = {
      inputs: { x: [2, 5, 8] },
      outputs: ['y'],
      initializers: [scalar('two', 2), scalar('eps', 1e-5), filled('g', 8), filled('b', 8)],
      nodes: [
        node('ReduceMean', 'x', 'm', { axes: [-1] }),
        node('Sub', 'x m', 'd'),
        node('Pow', 'd two', 'p'),
        node('ReduceMean', 'p', 'v', { axes: [-1] }),
        node('Add', 'v eps', 'e'),
        node('Sqrt', 'e', 's'),
        node('Div', 'd s', 'n'),
        node('Mul', 'n g', 'h'),
        node('Add', 'h b', 'y'),
      ],
    };
    expect(decluttered(text)).toMatchInlineSnapshot(`
      "
      input %x : f32[2,5,8]
      %y = layerNorm(%x, $h.constant:f32[8], $y.constant:f32[8]) {epsilon=0.00001} : f32[2,5,8]
      output y = %y
      "
    `);
  });

  test('squeeze and excitation with a skip touches the image once', () => {
    const text: GraphText = {
      inputs: image,
      outputs: ['y'],
      initializers: [filled('w', 3, 3, 1, 1)],
      nodes: [
        node('Relu', 'x', 'r'),
        node('GlobalAveragePool', 'r', 'p'),
        node('Conv', 'p w', 'c'),
        node('HardSigmoid', 'c', 'h'),
        node('Mul', 'r h', 'm'),
        node('Add', 'r m', 'y'),
      ],
    };
    expect(decluttered(text)).toMatchInlineSnapshot(`
      "
      input %x : f32[1,3,6,6]
      %r = unary(%x) {steps=[relu]} : f32[1,3,6,6]
      %p = reduce(%r) {axes=[2,3]} : f32[1,3,1,1]
      %p@0231.2 = reshape(%p) {shape=[1,1,1,3]} : f32[1,1,1,3]
      %y.gate@0231 = conv(%p@0231.2, $c.constant:f32[3,1,1,3], _) {act=[hardSigmoid(0.2,0.5),affine(1,1)]} : f32[1,1,1,3]
      %y.gate = reshape(%y.gate@0231) {shape=[1,3,1,1]} : f32[1,3,1,1]
      %y = binary(%r, %y.gate) {fn=mul} : f32[1,3,6,6]
      output y = %y
      "
    `);
  });
});

describe('layout', () => {
  test('transposes meet between image operators, and pass through what lies there', () => {
    const text: GraphText = {
      inputs: { x: [1, 4, 6, 6] },
      outputs: ['y'],
      initializers: [
        filled('w', 4, 4, 1, 1),
        filled('v', 4, 8, 1, 1),
        integers('s', [1]),
        integers('e', [3]),
        integers('a', [2]),
        integers('p', [0, 0, 1, 0, 0, 0, 1, 0]),
      ],
      nodes: [
        node('Conv', 'x w', 'c'),
        node('Slice', 'c s e a', 'd'),
        node('Pad', 'd p', 'q'),
        node('MaxPool', 'q', 'm', { kernel_shape: [1, 1] }),
        node('ReduceMean', 'm', 'r', { axes: [2], keepdims: 1 }),
        node('Sub', 'm r', 't'),
        node('Concat', 't m', 'k', { axis: 1 }),
        node('Conv', 'k v', 'y'),
      ],
    };
    expect(decluttered(text)).toMatchInlineSnapshot(`
      "
      input %x : f32[1,4,6,6]
      %x@0231 = transpose(%x) {perm=[0,2,3,1]} : f32[1,6,6,4]
      %c@0231 = conv(%x@0231, $c.constant:f32[4,1,1,4], _) : f32[1,6,6,4]
      %d@0231 = slice(%c@0231) {starts=[0,1,0,0] steps=[1,1,1,1] size=[1,2,6,4]} : f32[1,2,6,4]
      %q@0231 = pad(%d@0231) {before=[0,1,0,0] after=[0,1,0,0]} : f32[1,4,6,4]
      %m@0231 = pool(%q@0231) : f32[1,4,6,4]
      %r@0231 = reduce(%m@0231) {axes=[1]} : f32[1,1,6,4]
      %t@0231 = binary(%m@0231, %r@0231) {fn=sub} : f32[1,4,6,4]
      %k@0231 = concat(%t@0231, %m@0231) {axis=3} : f32[1,4,6,8]
      %y@0231 = conv(%k@0231, $y.constant:f32[4,1,1,8], _) : f32[1,4,6,4]
      %y = transpose(%y@0231) {perm=[0,3,1,2]} : f32[1,4,4,6]
      output y = %y
      "
    `);
  });

  test('flattening an image before a matrix permutes the matrix', () => {
    const text: GraphText = {
      inputs: { x: ['N', 2, 4, 4] },
      outputs: ['y'],
      initializers: [filled('w', 3, 2, 3, 3), filled('g', 5, 12)],
      nodes: [node('Conv', 'x w', 'c'), node('Flatten', 'c', 'f'), node('Gemm', 'f g', 'y', { transB: 1 })],
    };
    expect(decluttered(text, { N: 2 })).toMatchInlineSnapshot(`
      "
      input %x : f32[N,2,4,4]
      %x@0231 = transpose(%x) {perm=[0,2,3,1]} : f32[N,4,4,2]
      %c@0231 = conv(%x@0231, $c.constant:f32[3,3,3,2], _) : f32[N,2,2,3]
      %y.flat = reshape(%c@0231) {shape=[N,12]} : f32[N,12]
      %y = gemm(%y.flat, $g.flat:f32[5,12], _) : f32[N,5]
      output y = %y
      "
    `);
  });

  test('an image as a sequence of pixels is no transpose', () => {
    const text: GraphText = {
      inputs: { x: ['N', 3, 'H', 'W'] },
      outputs: ['y'],
      initializers: [filled('w', 4, 3, 1, 1), integers('flat', [0, 4, -1]), filled('g', 4, 4)],
      nodes: [
        node('Conv', 'x w', 'c'),
        node('Reshape', 'c flat', 'f'),
        node('Transpose', 'f', 't', { perm: [0, 2, 1] }),
        node('MatMul', 't g', 'y'),
      ],
    };
    expect(decluttered(text, { N: 2, H: 2, W: 3 })).toMatchInlineSnapshot(`
      "
      input %x : f32[N,3,H,W]
      %x@0231 = transpose(%x) {perm=[0,2,3,1]} : f32[N,H,W,3]
      %c@0231 = conv(%x@0231, $c.constant:f32[4,1,1,3], _) : f32[N,H,W,4]
      %f.wide = reshape(%c@0231) {shape=[N,H*W,4]} : f32[N,H*W,4]
      %y = gemm(%f.wide, $y.constant:f32[4,4]) : f32[N,H*W,4]
      output y = %y
      "
    `);
  });

  test('shuffled channels are one transpose', () => {
    const text: GraphText = {
      inputs: { x: [1, 3, 4, 4] },
      outputs: ['y'],
      initializers: [
        filled('w', 6, 3, 1, 1),
        filled('v', 2, 6, 1, 1),
        integers('split', [1, 2, 3, 4, 4]),
        integers('join', [1, 6, 4, 4]),
      ],
      nodes: [
        node('Conv', 'x w', 'c'),
        node('Reshape', 'c split', 's'),
        node('Transpose', 's', 't', { perm: [0, 2, 1, 3, 4] }),
        node('Reshape', 't join', 'j'),
        node('Conv', 'j v', 'y'),
      ],
    };
    expect(decluttered(text)).toMatchInlineSnapshot(`
      "
      input %x : f32[1,3,4,4]
      %x@0231 = transpose(%x) {perm=[0,2,3,1]} : f32[1,4,4,3]
      %c@0231 = conv(%x@0231, $c.constant:f32[6,1,1,3], _) : f32[1,4,4,6]
      %s.wide = reshape(%c@0231) {shape=[1,4,4,2,3]} : f32[1,4,4,2,3]
      %j.ordered = transpose(%s.wide) {perm=[0,1,2,4,3]} : f32[1,4,4,3,2]
      %j.wide = reshape(%j.ordered) {shape=[1,4,4,6]} : f32[1,4,4,6]
      %y@0231 = conv(%j.wide, $y.constant:f32[2,1,1,6], _) : f32[1,4,4,2]
      %y = transpose(%y@0231) {perm=[0,3,1,2]} : f32[1,2,4,4]
      output y = %y
      "
    `);
  });

  test('attention keeps the transposes that it needs', () => {
    const text: GraphText = {
      inputs: { x: ['N', 'T', 8] },
      outputs: ['y'],
      initializers: [
        filled('w', 8, 24),
        integers('split', [0, 0, 3, 2, 4]),
        integers('join', [0, 0, 8]),
        ...[0, 1, 2].map((i) => integers(`i${i}`, [i], [])),
      ],
      nodes: [
        node('MatMul', 'x w', 'qkv'),
        node('Reshape', 'qkv split', 'r'),
        node('Transpose', 'r', 't', { perm: [2, 0, 3, 1, 4] }),
        node('Gather', 't i0', 'q'),
        node('Gather', 't i1', 'k'),
        node('Gather', 't i2', 'v'),
        node('Transpose', 'k', 'kt', { perm: [0, 1, 3, 2] }),
        node('MatMul', 'q kt', 's'),
        node('Softmax', 's', 'p', { axis: -1 }),
        node('MatMul', 'p v', 'o'),
        node('Transpose', 'o', 'ot', { perm: [0, 2, 1, 3] }),
        node('Reshape', 'ot join', 'y'),
      ],
    };
    expect(decluttered(text, { N: 2, T: 3 })).toMatchInlineSnapshot(`
      "
      input %x : f32[N,T,8]
      %qkv = gemm(%x, $qkv.constant:f32[24,8]) : f32[N,T,24]
      %r = reshape(%qkv) {shape=[N,T,3,2,4]} : f32[N,T,3,2,4]
      %q.part@13024 = slice(%r) {starts=[0,0,0,0,0] steps=[1,1,1,1,1] size=[N,T,1,2,4]} : f32[N,T,1,2,4]
      %q.wide = reshape(%q.part@13024) {shape=[N,T,2,4]} : f32[N,T,2,4]
      %q = transpose(%q.wide) {perm=[0,2,1,3]} : f32[N,2,T,4]
      %k.part@13024 = slice(%r) {starts=[0,0,1,0,0] steps=[1,1,1,1,1] size=[N,T,1,2,4]} : f32[N,T,1,2,4]
      %k.wide = reshape(%k.part@13024) {shape=[N,T,2,4]} : f32[N,T,2,4]
      %v.part@13024 = slice(%r) {starts=[0,0,2,0,0] steps=[1,1,1,1,1] size=[N,T,1,2,4]} : f32[N,T,1,2,4]
      %v.wide = reshape(%v.part@13024) {shape=[N,T,2,4]} : f32[N,T,2,4]
      %v = transpose(%v.wide) {perm=[0,2,1,3]} : f32[N,2,T,4]
      %kt = transpose(%k.wide) {perm=[0,2,3,1]} : f32[N,2,4,T]
      %s = matmul(%q, %kt) : f32[N,2,T,T]
      %p = softmax(%s) : f32[N,2,T,T]
      %o = matmul(%p, %v) : f32[N,2,T,4]
      %ot = transpose(%o) {perm=[0,2,1,3]} : f32[N,T,2,4]
      %y = reshape(%ot) {shape=[N,T,8]} : f32[N,T,8]
      output y = %y
      "
    `);
  });

  test('a constant border on channels is a pad', () => {
    const text: GraphText = {
      inputs: { x: [1, 3, 4, 4] },
      outputs: ['y'],
      initializers: [integers('shape', [1, 2, 4, 4])],
      nodes: [node('ConstantOfShape', 'shape', 'z'), node('Concat', 'x z', 'y', { axis: 1 })],
    };
    expect(decluttered(text)).toMatchInlineSnapshot(`
      "
      input %x : f32[1,3,4,4]
      %y = pad(%x) {before=[0,0,0,0] after=[0,2,0,0]} : f32[1,5,4,4]
      output y = %y
      "
    `);
  });
});

describe('fold', () => {
  test('what is written twice is computed once', () => {
    const text: GraphText = {
      inputs: { x: [4] },
      outputs: ['y'],
      nodes: [node('Exp', 'x', 'a'), node('Exp', 'x', 'b'), node('Add', 'a b', 'y')],
    };
    expect(decluttered(text)).toMatchInlineSnapshot(`
      "
      input %x : f32[4]
      %a = unary(%x) {steps=[exp]} : f32[4]
      %y = binary(%a, %a) : f32[4]
      output y = %y
      "
    `);
  });
});

test('steps: clips intersect and affine steps merge', () => {
  const steps = [
    { fn: 'affine', a: 2, b: 1 },
    { fn: 'affine', a: 3, b: -1 },
    { fn: 'relu', a: 0, b: 0 },
    { fn: 'clip', a: -1, b: 4 },
  ];
  expect(simplifySteps(steps)).toEqual([
    { fn: 'affine', a: 6, b: 2 },
    { fn: 'clip', a: 0, b: 4 },
  ]);
});

test('names: values are traced to the source through passes', () => {
  const text: GraphText = {
    inputs: image,
    outputs: ['y'],
    initializers: [filled('w', 4, 3, 3, 3)],
    nodes: [node('Conv', 'x w', 'c'), node('Relu', 'c', 'r'), node('MaxPool', 'r', 'y', { kernel_shape: [2, 2] })],
  };
  const { graph, origins } = importOnnx(onnxModel(text));
  expect(Object.fromEntries(traceOrigins(declutter(graph), origins))).toEqual({
    x: { name: 'x' },
    'x@0231': { name: 'x', perm: [0, 2, 3, 1] },
    'r@0231': { name: 'r', perm: [0, 2, 3, 1] },
    'y@0231': { name: 'y', perm: [0, 2, 3, 1] },
    y: { name: 'y' },
  });
});
