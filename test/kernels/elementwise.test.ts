/**
 * Elementwise and row-wise operators as ONNX says them, against onnxruntime: what the operators' own cases cannot see is
 * whether attributes, opsets and broadcasting mean what they mean there.
 */
import { test } from 'vitest';
import { type AttributeText, FLOAT, floats, type GraphText, INT64, integers, node, type TensorText } from '../packer/onnx';
import { agree, type Fed } from '../support/onnxruntime';
import { random, seedOf } from '../support/random';

const BOOL = 9;
const INT32 = 6;

const size = (dims: readonly number[]) => dims.reduce((a, b) => a * b, 1);

function draw(name: string, dims: readonly number[], low = -4, high = 4): Float32Array {
  const next = random(seedOf(name));
  return Float32Array.from({ length: size(dims) }, () => low + next() * (high - low));
}

const real = (name: string, dims: number[], low?: number, high?: number): Fed => ({ dims, values: draw(name, dims, low, high) });

const whole = (name: string, dims: number[], low: number, high: number, type?: 'int64'): Fed => ({
  dims,
  values: Int32Array.from(draw(name, dims, low, high + 1), Math.floor),
  ...(type && { type }),
});

const truth = (name: string, dims: number[]): Fed => ({
  dims,
  values: Uint8Array.from(draw(name, dims), (v) => Number(v > 0)),
  type: 'bool',
});

const elementType = ({ values, type }: Fed) =>
  type === 'bool' ? BOOL : type === 'int64' ? INT64 : values instanceof Float32Array ? FLOAT : INT32;

/** The element type of the result, which a model has to say. */
function resultType(op: string, inputs: Record<string, Fed>, attrs: Record<string, AttributeText>): number {
  if (/^(Equal|Greater|Less|GreaterOrEqual|LessOrEqual)$/.test(op)) return BOOL;
  if (op === 'Cast') return attrs.to as number;
  const source = { Where: 'a', CastLike: 'like' }[op] ?? Object.keys(inputs)[0]!;
  return elementType(inputs[source]!);
}

interface Options {
  attrs?: Record<string, AttributeText>;
  constants?: TensorText[];
  opset?: number;
  title?: string;
}

/** One node on `inputs`, then the constants, in order; `_` in `order` leaves an input out. */
function check(op: string, inputs: Record<string, Fed>, options: Options & { order?: string } = {}): void {
  const { attrs = {}, constants = [], opset = 17, title = '' } = options;
  const order = options.order ?? [...Object.keys(inputs), ...constants.map((c) => c.name!)].join(' ');
  const shapes = Object.entries(inputs).map(([name, x]) => `${name}=${x.dims.join('x') || 'scalar'}`);
  const fixed = constants.map((c) => `${c.name}=${c.dims.join('x') || 'scalar'}:constant`);
  const text: GraphText = {
    inputs: Object.fromEntries(Object.entries(inputs).map(([name, x]) => [name, [...x.dims]])),
    elements: {
      ...Object.fromEntries(Object.entries(inputs).map(([name, x]) => [name, elementType(x)])),
      y: resultType(op, inputs, attrs),
    },
    outputs: ['y'],
    initializers: constants,
    nodes: [node(op, order, 'y', attrs)],
  };
  test([op, ...shapes, ...fixed, JSON.stringify(attrs), `opset ${opset}`, title].filter(Boolean).join(' '), () =>
    agree(text, opset, inputs),
  );
}

const x = real('x', [2, 3, 5, 7]);
const positive = real('x', [2, 3, 5, 7], 0.05, 6);

for (const op of ['Relu', 'Sigmoid', 'HardSwish', 'Tanh', 'Exp', 'Abs', 'Neg', 'Erf', 'Softplus', 'Softsign']) check(op, { x });
for (const op of ['Floor', 'Ceil', 'Round', 'Sign', 'Sin', 'Cos', 'LeakyRelu', 'HardSigmoid', 'Elu', 'Selu', 'Celu'])
  check(op, { x });
for (const op of ['Log', 'Sqrt', 'Reciprocal']) check(op, { x: positive });
check('Mish', { x }, { opset: 18 });
check('Gelu', { x }, { opset: 20 });
check('Gelu', { x }, { opset: 20, attrs: { approximate: 'tanh' } });
check('LeakyRelu', { x }, { attrs: { alpha: 0.3 } });
check('HardSigmoid', { x }, { attrs: { alpha: 0.16666667, beta: 0.4 } });
check('Elu', { x }, { attrs: { alpha: 0.7 } });
check('Celu', { x }, { attrs: { alpha: 0.7 } });
check('Selu', { x }, { attrs: { alpha: 1.5, gamma: 0.9 } });
for (const op of ['Abs', 'Neg', 'Relu']) check(op, { x: whole('x', [3, 7], -50, 50) });

check('Clip', { x }, { opset: 6, attrs: { min: { f: -1 }, max: { f: 2 } } });
check('Clip', { x }, { opset: 6, attrs: { max: { f: 2 } } });
check('Clip', { x });
check('Clip', { x }, { constants: [floats('min', [], [0])] });
check('Clip', { x }, { constants: [floats('min', [], [0.5]), floats('max', [], [2.5])] });
check('Clip', { x }, { constants: [floats('max', [], [2.5])], order: 'x _ max' });
check('Clip', { x, min: real('min', [], -1, 0), max: real('max', [], 1, 2) });
check(
  'Clip',
  { x: whole('x', [3, 7], -50, 50) },
  { constants: [{ ...integers('min', [-7], []), data_type: INT32, int32_data: [-7], int64_data: [] }] },
);

check('PRelu', { x }, { constants: [floats('slope', [3, 1, 1], [0.1, 0.2, -0.3])] });
check('PRelu', { x }, { constants: [floats('slope', [1], [0.25])] });
check('PRelu', { x, slope: real('slope', [5, 1]) });

const pairs: [number[], number[]][] = [
  [
    [2, 3, 5, 7],
    [2, 3, 5, 7],
  ],
  [
    [2, 3, 5, 7],
    [3, 1, 1],
  ],
  [[2, 3, 5, 7], [7]],
  [
    [5, 1],
    [1, 7],
  ],
  [
    [2, 1, 5, 1],
    [3, 1, 7],
  ],
  [[4, 6], []],
];
for (const [a, b] of pairs) for (const op of ['Add', 'Sub', 'Mul']) check(op, { a: real('a', a), b: real('b', b) });
for (const [a, b] of pairs.slice(0, 2)) check('Div', { a: real('a', a), b: real('b', b, 0.25, 3) });
for (const [a, b] of pairs.slice(0, 2)) check('Pow', { a: real('a', a, 0.1, 3), b: real('b', b, -2, 2) });
for (const op of ['Add', 'Sub', 'Mul', 'Div'])
  for (const dims of [[], [1], [1, 1, 1, 1, 1]]) {
    check(op, { x: positive }, { constants: [floats('c', dims, [1.7])] });
    check(op, { x: positive }, { constants: [floats('c', dims, [1.7])], order: 'c x' });
  }
for (const c of [1, 2, 3, 0.5, -1, -0.5, 1.3])
  check('Pow', { x: positive }, { constants: [floats('c', [], [c])], title: `c=${c}` });
for (const c of [2, 3]) check('Pow', { x }, { constants: [floats('c', [], [c])], title: `negative x, c=${c}` });
check('Pow', { x: positive }, { constants: [floats('c', [], [2.5])], order: 'c x' });
check('Pow', { x: whole('x', [9], -5, 5) }, { constants: [integers('c', [3], [])] });
for (const op of ['Max', 'Min', 'Sum', 'Mean']) {
  check(op, { a: real('a', [2, 3, 5]), b: real('b', [3, 1]), c: real('c', [5]) });
  check(op, { a: real('a', [2, 3, 5]), b: real('b', [1]) });
  check(op, { a: real('a', [7]) });
}
for (const op of ['Max', 'Min']) {
  check(op, { x }, { constants: [floats('c', [], [0])] });
  check(op, { x }, { constants: [floats('c', [], [0.5])], order: 'c x' });
  check(op, { a: whole('a', [4, 5], -9, 9), b: whole('b', [5], -9, 9) });
}
for (const op of ['Add', 'Sub', 'Mul', 'Div'])
  for (const type of [undefined, 'int64'] as const)
    check(op, { a: whole('a', [4, 5], -90, 90, type), b: whole('b', [5], 1, 9, type) }, { title: type ?? 'int32' });
check('Mod', { a: whole('a', [4, 5], -90, 90), b: whole('b', [5], -9, -1) });
check('Mod', { a: real('a', [4, 5]), b: real('b', [5], 0.5, 2) }, { attrs: { fmod: 1 } });

for (const op of ['Equal', 'Greater', 'Less', 'GreaterOrEqual', 'LessOrEqual']) {
  check(op, { a: real('a', [3, 7]), b: real('b', [3, 1]) });
  check(op, { a: whole('a', [3, 7], -2, 2, 'int64'), b: whole('b', [7], -2, 2, 'int64') });
}
check('Equal', { a: truth('a', [9]), b: truth('b', [9]) });
for (const op of ['And', 'Or', 'Xor']) check(op, { a: truth('a', [3, 7]), b: truth('b', [7]) });
check('Not', { a: truth('a', [3, 7]) });

check('Where', { c: truth('c', [3, 7]), a: real('a', [3, 7]), b: real('b', [3, 7]) });
check('Where', { c: truth('c', [7]), a: real('a', [3, 1]), b: real('b', [3, 7]) });
check('Where', { c: truth('c', [3, 7]), a: real('a', []), b: real('b', [1, 7]) });
check('Where', { c: truth('c', [1, 7]), a: whole('a', [3, 1], -5, 5, 'int64'), b: whole('b', [1], -5, 5, 'int64') });

check('Cast', { x }, { attrs: { to: INT64 } });
check('Cast', { x }, { attrs: { to: BOOL } });
check('Cast', { x }, { attrs: { to: FLOAT } });
check('Cast', { x: whole('x', [3, 7], -50, 50, 'int64') }, { attrs: { to: FLOAT } });
check('Cast', { x: truth('x', [9]) }, { attrs: { to: FLOAT } });
check('CastLike', { x, like: whole('like', [1], 0, 1) });

for (const op of ['Softmax', 'LogSoftmax']) {
  for (const axis of [-1, 0, 1, 3]) check(op, { x }, { attrs: { axis } });
  for (const axis of [0, 1, 3]) check(op, { x }, { attrs: { axis }, opset: 11 });
  check(op, { x });
  check(op, { x }, { opset: 11 });
}

const c7 = [floats('gamma', [7], draw('gamma', [7])), floats('beta', [7], draw('beta', [7]))];
const c57 = [floats('gamma', [5, 7], draw('gamma', [5, 7])), floats('beta', [5, 7], draw('beta', [5, 7]))];
check('LayerNormalization', { x }, { constants: c7 });
check('LayerNormalization', { x }, { constants: c7.slice(0, 1), attrs: { epsilon: 0.01 } });
check('LayerNormalization', { x }, { constants: c57, attrs: { axis: -2 } });

for (const fn of ['Mean', 'Sum', 'Max', 'Min', 'Prod', 'L1', 'L2', 'SumSquare', 'LogSum', 'LogSumExp']) {
  const op = `Reduce${fn}`;
  const asInput = fn === 'Sum' ? 13 : 18;
  check(op, { x: positive }, { opset: 11 });
  check(op, { x: positive }, { opset: 11, attrs: { axes: [1, -1], keepdims: 0 } });
  check(op, { x: positive }, { opset: 11, attrs: { axes: [2, 3] } });
  check(op, { x: positive }, { opset: asInput, constants: [integers('axes', [-1, 0])] });
  check(op, { x: positive }, { opset: asInput, attrs: { noop_with_empty_axes: 0, keepdims: 0 } });
  if (fn === 'Mean' || fn === 'Sum') check(op, { x: positive }, { opset: asInput, attrs: { noop_with_empty_axes: 1 } });
}
check('ReduceSum', { x: whole('x', [3, 7], -50, 50) }, { constants: [integers('axes', [1])] });
for (const op of ['GlobalAveragePool', 'GlobalMaxPool']) {
  check(op, { x });
  check(op, { x: real('x', [2, 3, 9]) });
}
