/** Binary networks as exporters spell them become `binaryConv` where that is exact, and compute what onnxruntime does. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { readWafer } from '../../src/format/reader';
import { Builder, type Graph, type Node } from '../../src/graph/ir';
import type { Attrs } from '../../src/ops/define';
import { importOnnx } from '../../src/packer/import/onnx/import';
import { pack } from '../../src/packer/pack';
import { declutter } from '../../src/packer/passes/index';
import { Session } from '../../src/runtime/session';
import { random, seedOf } from '../support/random';
import { baseDevice } from '../support/wasm';
import { floats, type GraphText, type NodeText, node, onnxModel, type TensorText } from './onnx';

const draw = (seed: string, count: number): Float32Array => {
  const next = random(seedOf(seed));
  return Float32Array.from({ length: count }, () => 2 * next() - 1);
};

const filled = (name: string, ...dims: number[]): TensorText =>
  floats(
    name,
    dims,
    draw(
      name,
      dims.reduce((n, d) => n * d, 1),
    ),
  );

/** Weights of one size in each output, with signs drawn. */
function binary(name: string, ...dims: number[]): TensorText {
  const sizes = draw(`${name} sizes`, dims[0]!).map((v) => 0.1 + Math.abs(v));
  const depth = dims.reduce((n, d) => n * d, 1) / dims[0]!;
  const data = draw(name, dims[0]! * depth).map((v, i) => Math.sign(v) * sizes[Math.floor(i / depth)]!);
  return floats(name, dims, data);
}

const constants = [
  floats('zero', [], [0]),
  floats('one', [], [1]),
  floats('two', [], [2]),
  floats('minus', [], [-1]),
  floats('little', [], [0.1]),
];

/** The signs `b` of `a`. */
const SIGNS: Readonly<Record<string, readonly NodeText[]>> = {
  'x >= 0': [node('GreaterOrEqual', 'a zero', 'c'), node('Where', 'c one minus', 'b')],
  'x < 0': [node('Less', 'a zero', 'c'), node('Where', 'c minus one', 'b')],
  '0 <= x': [node('LessOrEqual', 'zero a', 'c'), node('Where', 'c one minus', 'b')],
  '0 > x': [node('Greater', 'zero a', 'c'), node('Where', 'c minus one', 'b')],
  'not x < 0': [node('Less', 'a zero', 'l'), node('Not', 'l', 'c'), node('Where', 'c one minus', 'b')],
  'a cast': [
    node('GreaterOrEqual', 'a zero', 'c'),
    node('Cast', 'c', 'd', { to: 1 }),
    node('Mul', 'd two', 'e'),
    node('Sub', 'e one', 'b'),
  ],
  'the sign of a nudged sign': [node('Sign', 'a', 'c'), node('Add', 'c little', 'd'), node('Sign', 'd', 'b')],
};

/** What looks like them and is not. */
const OTHERS: Readonly<Record<string, readonly NodeText[]>> = {
  'x > 0': [node('Greater', 'a zero', 'c'), node('Where', 'c one minus', 'b')],
  'x >= 1': [node('GreaterOrEqual', 'a one', 'c'), node('Where', 'c one minus', 'b')],
  '0 or 1': [node('GreaterOrEqual', 'a zero', 'c'), node('Where', 'c one zero', 'b')],
  '-1 where x >= 0': [node('GreaterOrEqual', 'a zero', 'c'), node('Where', 'c minus one', 'b')],
  'a sign of three values': [node('Sign', 'a', 'b')],
};

const nodesOf = (graph: Graph, name: string): Node[] => graph.nodes.filter(({ op }) => op.name === name);

/** The decluttered graph, having been run beside onnxruntime. The input has zeros in it. */
async function decluttered(text: GraphText): Promise<Graph> {
  const onnx = onnxModel(text);
  const graph = declutter(importOnnx(onnx).graph);
  await agree(onnx, graph);
  return graph;
}

async function agree(onnx: Uint8Array, graph: Graph): Promise<void> {
  const reference = await InferenceSession.create(onnx, { logSeverityLevel: 3 });
  const [x] = graph.inputs;
  const shape = x!.type.shape as number[];
  const data = draw(
    'data',
    shape.reduce((n, d) => n * d, 1),
  ).map((v, i) => (i % 11 ? v : 0));
  const want = (await reference.run({ [x!.name]: new Tensor('float32', data, shape) })).y!;
  const got = new Session(graph, await baseDevice(), { guard: true }).run({ [x!.name]: { data, shape } }).y!;
  expect(got.shape).toEqual(want.dims);
  const far = Array.from(want.data as Float32Array, (w, i) => Math.abs(w - got.data[i]!) / (1 + Math.abs(w)));
  expect(Math.max(...far)).toBeLessThan(2e-5);
}

/** A convolution of the signs `b` of the input `a`, spelled by `signs`. */
const convOf = (signs: readonly NodeText[], attrs: NodeText['attrs'] = {}, weights = binary('w', 12, 10, 3, 3)): GraphText => ({
  inputs: { a: [1, 10, 7, 6] },
  outputs: ['y'],
  initializers: [...constants, weights],
  nodes: [...signs, node('Conv', 'b w', 'y', attrs)],
});

describe('binary/signs', () => {
  for (const [name, signs] of Object.entries(SIGNS))
    test(name, async () => {
      const graph = await decluttered(convOf(signs, { pads: [1, 1, 1, 1] }));
      expect(graph.nodes.map(({ op }) => op.name)).toEqual(['transpose', 'binaryConv', 'transpose']);
    });
  for (const [name, signs] of Object.entries(OTHERS))
    test(`not ${name}`, async () => {
      expect(nodesOf(await decluttered(convOf(signs)), 'conv')).toHaveLength(1);
    });
});

describe('binary/weights', () => {
  const signs = SIGNS['x >= 0']!;
  test('of two sizes in an output are left alone', async () => {
    const weights = binary('w', 12, 10, 3, 3);
    (weights.float_data as number[])[5]! *= 1.0001;
    expect(nodesOf(await decluttered(convOf(signs, {}, weights)), 'binaryConv')).toEqual([]);
  });
  test('with a zero among them are left alone', async () => {
    const weights = binary('w', 12, 10, 3, 3);
    (weights.float_data as number[])[5] = 0;
    expect(nodesOf(await decluttered(convOf(signs, {}, weights)), 'binaryConv')).toEqual([]);
  });
  test('an output of zeros is binary', async () => {
    const weights = binary('w', 12, 10, 3, 3);
    (weights.float_data as number[]).fill(0, 0, 90);
    expect(nodesOf(await decluttered(convOf(signs, {}, weights)), 'binaryConv')).toHaveLength(1);
  });
  test('in groups are left alone', async () => {
    const text = convOf(signs, { group: 2 }, binary('w', 12, 5, 3, 3));
    expect(nodesOf(await decluttered(text), 'binaryConv')).toEqual([]);
  });
  test('of floats that are no signs are left alone', async () => {
    expect(nodesOf(await decluttered(convOf([node('Neg', 'a', 'b')])), 'binaryConv')).toEqual([]);
  });
});

describe('binary/border', () => {
  const pads = floats('pads', [8], []);
  for (const value of ['one', 'minus', 'zero'])
    test(`of ${value}`, async () => {
      const integers = { ...pads, data_type: 7, int64_data: [0, 0, 1, 2, 0, 0, 0, 1] };
      const nodes = [...SIGNS['x < 0']!, node('Pad', `b pads ${value}`, 'p'), node('Conv', 'p w', 'y', { strides: [2, 1] })];
      const graph = await decluttered({ ...convOf([]), initializers: [...convOf([]).initializers!, integers], nodes });
      const [conv] = nodesOf(graph, 'binaryConv');
      expect(conv?.attrs).toMatchObject({ border: { one: 1, minus: -1, zero: 0 }[value], pads: [1, 2, 0, 1] });
    });
});

/** Float stem; two binary layers with what usually surrounds them; a binary dense layer. */
const network: GraphText = {
  inputs: { x: [1, 3, 12, 12] },
  outputs: ['y'],
  initializers: [
    ...constants,
    ...[filled('stem', 16, 3, 3, 3), filled('s0', 16), filled('h0', 16), filled('m0', 16)],
    ...[filled('s1', 16), filled('h1', 16), filled('m1', 16), filled('s2', 40), filled('h2', 40), filled('m2', 40)],
    ...[floats('v16', [16], new Array(16).fill(20)), floats('v40', [40], new Array(40).fill(30))],
    ...[binary('w1', 16, 16, 3, 3), binary('w2', 40, 16, 3, 3), binary('w3', 10, 40), filled('b3', 10)],
  ],
  nodes: [
    node('Conv', 'x stem', 'c0', { pads: [1, 1, 1, 1] }),
    node('BatchNormalization', 'c0 s0 h0 m0 v16', 'n0'),
    node('GreaterOrEqual', 'n0 zero', 'g1'),
    node('Where', 'g1 one minus', 'x1'),
    node('Conv', 'x1 w1', 'c1', { pads: [1, 1, 1, 1] }),
    node('BatchNormalization', 'c1 s1 h1 m1 v16', 'n1'),
    node('Add', 'n1 n0', 'r1'),
    node('Sign', 'r1', 'g2'),
    node('Add', 'g2 little', 'h2x'),
    node('Sign', 'h2x', 'x2'),
    node('Conv', 'x2 w2', 'c2', { pads: [1, 1, 1, 1], strides: [2, 2] }),
    node('BatchNormalization', 'c2 s2 h2 m2 v40', 'n2'),
    node('Clip', 'n2 minus one', 'a2'),
    node('GlobalAveragePool', 'a2', 'p'),
    node('Flatten', 'p', 'f'),
    node('Less', 'f zero', 'g3'),
    node('Where', 'g3 minus one', 'x3'),
    node('Gemm', 'x3 w3 b3', 'y', { transB: 1 }),
  ],
};

describe('binary/network', () => {
  test('is packed with batch norms, residuals and activations inside its layers', async () => {
    const onnx = onnxModel(network);
    const { bytes } = await pack(onnx, { name: 'binary.onnx' });
    const { graph } = readWafer(bytes);
    await agree(onnx, graph);
    const layers = nodesOf(graph, 'binaryConv');
    expect(layers.map(({ inputs }) => inputs[1]!.type.shape.join())).toEqual(['16,3,3,16', '40,3,3,16', '10,40']);
    expect(layers.map(({ inputs }) => inputs[4] !== undefined)).toEqual([true, false, false]);
    expect(layers[1]!.attrs.act).toMatchObject([{ fn: 'clip', a: -1, b: 1 }]);
    const names = new Set(graph.nodes.map(({ op }) => op.name));
    expect([...names].sort()).toEqual(['binaryConv', 'conv', 'reduce', 'reshape', 'transpose']);
  });

  test('stays binary and in f32 beside layers that become int8', async () => {
    const onnx = onnxModel(network);
    const samples = Array.from({ length: 4 }, (_, i) => ({ x: { data: draw(`sample ${i}`, 432), shape: [1, 3, 12, 12] } }));
    const { bytes, report } = await pack(onnx, { name: 'binary.onnx', quantize: { samples: async () => samples } });
    const { graph } = readWafer(bytes);
    expect(nodesOf(graph, 'binaryConv').map(({ inputs }) => inputs[0]!.type.dtype)).toEqual(['f32', 'f32', 'f32']);
    expect(nodesOf(graph, 'conv').map(({ inputs }) => inputs[0]!.type.dtype)).toEqual(['i8']);
    expect(report.quantize!.floatNodes.map(({ why }) => why)).toContain('binaryConv has no integer form');
    const session = new Session(graph, await baseDevice(), { guard: true });
    expect(session.run(samples[0]!).y!.data.every(Number.isFinite)).toBe(true);
  });
});

describe("binary/XNOR-Net's scales", () => {
  const scaled = (box: number): GraphText => ({
    inputs: { x: [1, 3, 7, 6] },
    outputs: ['y'],
    initializers: [
      ...constants,
      binary('w', 12, 10, 3, 3),
      filled('stem', 10, 3, 1, 1),
      floats('k', [1, 1, 3, 3], new Array(9).fill(box)),
      filled('s', 12),
    ],
    nodes: [
      node('Conv', 'x stem', 'a'),
      ...SIGNS['x >= 0']!,
      node('Conv', 'b w', 'r', { pads: [1, 1, 1, 1] }),
      node('Abs', 'a', 'm'),
      node('ReduceMean', 'm', 'n', { axes: [1], keepdims: 1 }),
      node('Conv', 'n k', 'q', { pads: [1, 1, 1, 1] }),
      node('Mul', 'r q', 't'),
      node('BatchNormalization', 't s s s v', 'u'),
      node('Relu', 'u', 'y'),
    ],
  });
  const text = (box: number): GraphText => ({
    ...scaled(box),
    initializers: [...scaled(box).initializers!, floats('v', [12], new Array(12).fill(2))],
  });
  test('are a mean over windows', async () => {
    const graph = await decluttered(text(1 / 9));
    expect(graph.nodes.map(({ op }) => op.name)).toEqual(['transpose', 'conv', 'binaryConv', 'transpose']);
    expect(nodesOf(graph, 'binaryConv')[0]!.attrs).toMatchObject({ scaled: true, act: [{ fn: 'relu' }] });
  });
  test('of other weights are a convolution', async () => {
    const graph = await decluttered(text(0.2));
    expect(nodesOf(graph, 'binaryConv')[0]!.attrs).toMatchObject({ scaled: false });
    expect(nodesOf(graph, 'conv')).toHaveLength(2);
  });
});

describe('binary/errors', () => {
  const layer = (depth: number, weight: number, attrs: Attrs = {}) => {
    const build = new Builder();
    const x = build.input('x', { dtype: 'f32', shape: [2, depth] });
    const w = build.numbers('w', 'i8', [3, depth], new Array(3 * depth).fill(weight));
    const y = build.node('binaryConv', 'y', [x, w, undefined, build.numbers('m', 'f32', [3], [1, 1, 1])], attrs);
    return build.finish([{ name: 'y', value: y }]);
  };
  test('a weight that is no sign', async () => {
    const session = new Session(layer(4, 2), await baseDevice());
    const run = () => session.run({ x: { data: new Float32Array(8), shape: [2, 4] } });
    expect(run).toThrow(expect.objectContaining({ code: 'VALUE', message: expect.stringContaining('weights are -1 and 1') }));
  });
  test('sums of more products than 16 bits count', () => {
    expect(() => layer(2 ** 15, 1)).toThrow(expect.objectContaining({ code: 'SHAPE' }));
  });
  test('a border that is no sign, and a dense layer with a window', () => {
    for (const attrs of [{ border: 2 }, { strides: [2, 1] }, { pads: [0, 1, 0, 0] }])
      expect(() => layer(4, 1, attrs)).toThrow(expect.objectContaining({ code: 'ARGUMENT' }));
  });
});
