/** ONNX import: what a model becomes, shape arithmetic, and what bad models end in. */
import { describe, expect, test } from 'vitest';
import { WaferError } from '../../src/core/errors';
import { printGraph } from '../../src/graph/print';
import { type ImportOptions, importOnnx } from '../../src/packer/import/onnx/import';
import { floats, type GraphText, INT64, integers, node, onnxModel } from './onnx';

const imported = (text: GraphText, options?: ImportOptions, opset?: number) =>
  `\n${printGraph(importOnnx(onnxModel(text, opset), options).graph)}`;

function errorOf(body: () => unknown): WaferError {
  try {
    body();
  } catch (error) {
    if (error instanceof WaferError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

const flatten: GraphText = {
  inputs: { x: ['batch', 3, 'p2o.Dynamic.1', 'p2o.Dynamic.2'] },
  outputs: ['y'],
  initializers: [integers('first', [0]), integers('rest', [-1])],
  nodes: [
    node('Shape', 'x', 'shape'),
    node('Gather', 'shape first', 'n', { axis: 0 }),
    node('Concat', 'n rest', 'target', { axis: 0 }),
    node('Reshape', 'x target', 'y'),
  ],
};

describe('shapes', () => {
  test('shape arithmetic becomes attributes', () => {
    expect(imported(flatten)).toMatchInlineSnapshot(`
      "
      input %x : f32[batch,3,H,W]
      %y = reshape(%x) {shape=[batch,3*H*W]} : f32[batch,3*H*W]
      output y = %y
      "
    `);
  });

  test('free dimensions can be fixed', () => {
    expect(imported(flatten, { inputs: { x: { shape: ['N', 3, 4, 5] } } })).toMatchInlineSnapshot(`
      "
      input %x : f32[N,3,4,5]
      %y = reshape(%x) {shape=[N,60]} : f32[N,60]
      output y = %y
      "
    `);
  });

  test('arithmetic on shapes', () => {
    const text: GraphText = {
      inputs: { x: ['N', 'T', 8] },
      outputs: ['y'],
      initializers: [integers('one', [1], []), integers('two', [2]), integers('axes', [0]), integers('end', [2 ** 62])],
      nodes: [
        node('Shape', 'x', 'shape'),
        node('Gather', 'shape one', 't'),
        node('Unsqueeze', 't axes', 't1'),
        node('Mul', 't1 two', 'doubled'),
        node('Div', 'doubled two', 'same'),
        node('Slice', 'shape two end', 'last'),
        node('Div', 'last two', 'half'),
        node('Concat', 'axes same two half', 'target', { axis: 0 }),
        node('Reshape', 'x target', 'y'),
      ],
    };
    expect(imported(text)).toMatchInlineSnapshot(`
      "
      input %x : f32[N,T,8]
      %y = reshape(%x) {shape=[N,T,2,4]} : f32[N,T,2,4]
      output y = %y
      "
    `);
  });

  test('an input given a value is a constant', () => {
    const text: GraphText = {
      inputs: { x: [2, 6], shape: [2] },
      elements: { shape: INT64 },
      outputs: ['y'],
      nodes: [node('Reshape', 'x shape', 'y')],
    };
    expect(imported(text, { inputs: { shape: { value: [3, 4] } } })).toMatchInlineSnapshot(`
      "
      input %x : f32[2,6]
      %y = reshape(%x) {shape=[3,4]} : f32[3,4]
      output y = %y
      "
    `);
  });
});

describe('names', () => {
  test('values keep the names of the source, transposes say so', () => {
    const text: GraphText = {
      inputs: { 'in:0': [1, 2, 3] },
      outputs: ['out'],
      nodes: [node('Relu', 'in:0', 'r'), node('Transpose', 'r', 't', { perm: [0, 2, 1] }), node('Identity', 't', 'out')],
    };
    const { graph, origins } = importOnnx(onnxModel(text));
    expect(`\n${printGraph(graph)}`).toMatchInlineSnapshot(`
      "
      input %in:0 : f32[1,2,3]
      %r = unary(%in:0) {steps=[relu]} : f32[1,2,3]
      %t = transpose(%r) {perm=[0,2,1]} : f32[1,3,2]
      output out = %t
      "
    `);
    expect([...origins.keys()]).toEqual(['in:0', 'r', 't']);
  });
});

describe('constants', () => {
  test('nodes with constant inputs are evaluated', () => {
    const text: GraphText = {
      inputs: { x: [2] },
      outputs: ['y'],
      initializers: [floats('c', [1, 2], [-1, 4])],
      nodes: [node('Relu', 'c', 'd'), node('Transpose', 'd', 'y')],
    };
    const [output] = importOnnx(onnxModel(text)).graph.outputs;
    expect(output!.value.data).toEqual(new Float32Array([0, 4]));
    expect(output!.value.type.shape).toEqual([2, 1]);
  });

  test.each([
    ['raw float', { data_type: 1, raw_data: new Uint8Array(new Float32Array([1.5, -2]).buffer) }, [1.5, -2]],
    ['float16', { data_type: 10, raw_data: new Uint8Array(new Uint16Array([0x3c00, 0xc000]).buffer) }, [1, -2]],
    ['float16 in int32_data', { data_type: 10, int32_data: [0x3800, 0x0001] }, [0.5, 2 ** -24]],
    ['double', { data_type: 11, double_data: [0.25, 3] }, [0.25, 3]],
    ['int32', { data_type: 6, int32_data: [-7, 9] }, [-7, 9]],
    ['int64, saturated', { data_type: 7, int64_data: [2 ** 40, -(2 ** 40)] }, [2 ** 31 - 1, -(2 ** 31)]],
    ['int8', { data_type: 3, raw_data: new Uint8Array([255, 1]) }, [-1, 1]],
    ['uint8', { data_type: 2, int32_data: [200, 1] }, [200, 1]],
    ['bool', { data_type: 9, raw_data: new Uint8Array([0, 1]) }, [0, 1]],
  ])('element type: %s', (_, tensor, want) => {
    const bytes = onnxModel({ outputs: ['y'], initializers: [{ name: 'y', dims: [2], ...tensor }], nodes: [] });
    expect(Array.from(importOnnx(bytes).graph.outputs[0]!.value.data!)).toEqual(want);
  });
});

test('slopes of old opsets are one a channel', () => {
  const text: GraphText = {
    inputs: { x: [2, 3, 4] },
    outputs: ['y'],
    initializers: [floats('slope', [3], [0.1, 0.2, 0.3])],
    nodes: [node('PRelu', 'x slope', 'y')],
  };
  expect(imported(text, {}, 6)).toContain('f32[3,1]');
  expect(errorOf(() => imported(text, {}, 9)).code).toBe('SHAPE');
});

describe('bad models', () => {
  test.each<[string, GraphText | Uint8Array, string, string]>([
    ['text', new TextEncoder().encode('version https://git-lfs.github.com/spec/v1'), 'BAD_MODEL', 'not an ONNX model'],
    ['nothing', new Uint8Array(0), 'BAD_MODEL', 'the file is empty'],
    ['a .wafer file', new TextEncoder().encode('WAFR....'), 'BAD_MODEL', 'a .wafer file already'],
    ['no graph', Uint8Array.of(8, 8), 'BAD_MODEL', 'no ONNX graph'],
    [
      'operators that broadcast by attributes',
      onnxModel(
        { inputs: { x: [3, 3], b: [3] }, outputs: ['y'], nodes: [node('Add', 'x b', 'y', { broadcast: 1, axis: 0 })] },
        6,
      ),
      'UNSUPPORTED',
      '"broadcast" of old opsets',
    ],
    [
      'two outputs of one name',
      { inputs: { x: [1] }, outputs: ['y', 'y'], nodes: [node('Relu', 'x', 'y')] },
      'BAD_MODEL',
      'two outputs have one name',
    ],
    [
      'more nodes than a file can hold',
      { inputs: { x: [1] }, outputs: ['y'], nodes: Array.from({ length: 2 ** 16 + 1 }, () => node('Relu', 'x', 'y')) },
      'UNSUPPORTED',
      '65537 nodes',
    ],
    [
      'axes that only a run knows',
      { inputs: { x: [1, 3, 1], axes: [1] }, elements: { axes: INT64 }, outputs: ['y'], nodes: [node('Squeeze', 'x axes', 'y')] },
      'UNSUPPORTED',
      'axes that depend on data',
    ],
    [
      'a dropout that drops',
      {
        inputs: { x: [4] },
        outputs: ['y'],
        initializers: [floats('ratio', [], [0.5]), { name: 'training', dims: [], data_type: 9, int32_data: [1] }],
        nodes: [node('Dropout', 'x ratio training', 'y')],
      },
      'UNSUPPORTED',
      'training mode',
    ],
    ['truncated', onnxModel(flatten).slice(0, 60), 'BAD_MODEL', ''],
    ['a cycle', { outputs: ['y'], nodes: [node('Relu', 'z', 'y'), node('Relu', 'y', 'z')] }, 'BAD_MODEL', 'a cycle'],
    ['an undefined value', { outputs: ['y'], nodes: [node('Relu', 'q', 'y')] }, 'BAD_MODEL', 'nothing makes "q"'],
    ['an undefined output', { outputs: ['y'], nodes: [] }, 'BAD_MODEL', 'nothing makes "y"'],
    [
      'two values of one name',
      { inputs: { x: [1] }, outputs: ['y'], nodes: [node('Relu', 'x', 'y'), node('Relu', 'x', 'y')] },
      'BAD_MODEL',
      'two values are called "y"',
    ],
    [
      'too little data',
      {
        outputs: ['w'],
        initializers: [{ name: 'w', dims: [1000000, 1000], data_type: 1, raw_data: new Uint8Array(8) }],
        nodes: [],
      },
      'BAD_MODEL',
      'has 8 bytes of data',
    ],
    [
      'absurd dimensions',
      { outputs: ['w'], initializers: [{ name: 'w', dims: [1e9, 1e9], data_type: 1 }], nodes: [] },
      'BAD_MODEL',
      'elements',
    ],
    [
      'a negative dimension',
      { outputs: ['w'], initializers: [{ name: 'w', dims: [-1], data_type: 1 }], nodes: [] },
      'BAD_MODEL',
      'dimension -1',
    ],
    [
      'data outside',
      {
        outputs: ['w'],
        initializers: [
          { name: 'w', dims: [1], data_type: 1, data_location: 1, external_data: [{ key: 'location', value: '../w' }] },
        ],
        nodes: [],
      },
      'BAD_MODEL',
      'not a file beside',
    ],
    [
      'a missing attribute',
      { inputs: { x: [1] }, outputs: ['y'], nodes: [node('If', 'x', 'y')] },
      'BAD_MODEL',
      'attribute "then_branch" is missing',
    ],
  ])('%s', (_, model, code, message) => {
    const error = errorOf(() => importOnnx(model instanceof Uint8Array ? model : onnxModel(model)));
    expect(error.code).toBe(code);
    expect(error.message).toContain(message);
  });

  test('an opset from the future is noted', () => {
    const bytes = onnxModel({ inputs: { x: [1] }, outputs: ['y'], nodes: [node('Relu', 'x', 'y')] }, 99);
    expect(importOnnx(bytes).notes[0]).toContain('opset 99 is newer');
  });

  test('all missing operators are named at once', () => {
    const text: GraphText = {
      inputs: { x: [1] },
      outputs: ['y'],
      nodes: [node('Frobnicate', 'x', 'a'), node('Frobnicate', 'a', 'b'), { ...node('Thing', 'b', 'y'), domain: 'com.acme' }],
    };
    const error = errorOf(() => importOnnx(onnxModel(text)));
    expect(error.code).toBe('UNSUPPORTED');
    expect(error.message).toContain('Frobnicate ×2 (first: "a"), com.acme:Thing ×1');
  });

  test('an unknown input in the options', () => {
    const error = errorOf(() => importOnnx(onnxModel(flatten), { inputs: { X: { shape: [1] } } }));
    expect(error.message).toContain('did you mean "x"?');
  });

  test('sub-graphs nested without end', () => {
    let graph: GraphText = { outputs: ['y'], nodes: [node('Relu', 'x', 'y')] };
    for (let i = 0; i < 20; i++) graph = { outputs: ['y'], nodes: [node('If', 'x', 'y', { then_branch: { g: graph } })] };
    expect(errorOf(() => importOnnx(onnxModel(graph))).code).toBe('BAD_MODEL');
  });
});
