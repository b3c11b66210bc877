/**
 * Graphs in training as ONNX, for onnxruntime to execute. A rank 4 tensor has its image both as Wafer has it, channels last, and as
 * ONNX wants it, channels first: each is made when first asked for, and what does not care about the order follows its inputs, so
 * that a network is transposed at its ends only.
 */
import protobuf from 'protobufjs';
import type { DType } from '../../core/dtype';
import { invariant, located, WaferError } from '../../core/errors';
import { elements, type StaticShape, sameShape } from '../../core/shape';
import { type Graph, type Node, nodeText, type Value } from '../../graph/ir';
import type { Attrs, Step } from '../../ops/define';
import type { StepName } from '../../ops/steps';
import { ONNX_PROTO } from '../import/onnx/schema';

const OPSET = 20;
const IR_VERSION = 9;

/** ONNX's TensorProto.DataType. */
const TYPES: Readonly<Partial<Record<DType, number>>> = { f32: 1, u8: 2, i32: 6, bool: 9 };
const INT64 = 7;

const typeOf = (dtype: DType): number => {
  const code = TYPES[dtype];
  if (code === undefined) throw new WaferError('UNSUPPORTED', `quantised tensors (${dtype}) are not trained`);
  return code;
};

/** An integer; a number in a list of one is a float. */
type Attribute = number | readonly number[] | { float: number } | { text: string };

interface NodeProto {
  op_type: string;
  domain?: string;
  input: string[];
  output: string[];
  attribute: object[];
}

const CHANNELS_FIRST = [0, 3, 1, 2];
const CHANNELS_LAST = [0, 2, 3, 1];
/** Where an axis of a channels-last image is in a channels-first one. */
const AXIS_FIRST = [0, 2, 3, 1];

const shapeFirst = (shape: StaticShape): number[] => CHANNELS_FIRST.map((axis) => shape[axis]!);

interface Images {
  last?: string;
  first?: string;
}

/** What lowerings write with. Names of tensors are strings. */
class OnnxWriter {
  readonly nodes: NodeProto[] = [];
  readonly initializers: object[] = [];
  /** Of inputs of batch norms and their epsilons. */
  readonly normalised = new Map<string, Normalised>();
  private readonly images = new Map<Value, Images>();
  private readonly known = new Map<string, string>();
  private count = 0;

  /** Adds a node and returns the name of its first output. */
  add(op: string, inputs: readonly string[], attrs: Readonly<Record<string, Attribute>> = {}): string {
    return this.addAll(op, inputs, 1, attrs)[0]!;
  }

  addAll(op: string, inputs: readonly string[], outputs: number, attrs: Readonly<Record<string, Attribute>> = {}): string[] {
    const [op_type, domain] = op.split('@') as [string, string | undefined];
    const output = Array.from({ length: outputs }, () => `t${this.count++}`);
    const attribute = Object.entries(attrs).map(([name, value]) => {
      if (typeof value === 'number') return { name, type: 2, i: value };
      if ('float' in value) return { name, type: 1, f: value.float };
      if ('text' in value) return { name, type: 3, s: new TextEncoder().encode(value.text) };
      return { name, type: 7, ints: [...value] };
    });
    this.nodes.push({ op_type, ...(domain && { domain }), input: [...inputs], output, attribute });
    return output;
  }

  private initializer(dims: readonly number[], data_type: number, data: ArrayBufferView): string {
    const name = `c${this.count++}`;
    const raw_data = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.initializers.push({ name, dims: [...dims], data_type, raw_data });
    return name;
  }

  /** A list of 64-bit integers. */
  ints(...values: readonly number[]): string {
    const key = `i${values}`;
    let name = this.known.get(key);
    if (!name) this.known.set(key, (name = this.initializer([values.length], INT64, BigInt64Array.from(values, BigInt))));
    return name;
  }

  /** A number. */
  float(value: number): string {
    const key = `f${value}`;
    let name = this.known.get(key);
    if (!name) this.known.set(key, (name = this.initializer([], 1, Float32Array.of(value))));
    return name;
  }

  floats(shape: readonly number[], data: Float32Array): string {
    return this.initializer(shape, 1, data);
  }

  reshape(x: string, shape: readonly number[]): string {
    return this.add('Reshape', [x, this.ints(...shape)]);
  }

  transpose(x: string, perm: readonly number[]): string {
    return this.add('Transpose', [x], { perm });
  }

  private of(x: Value): Images {
    let images = this.images.get(x);
    if (!images) {
      invariant(x.data, () => `value "${x.name}" is not there yet`);
      this.images.set(x, (images = { last: this.initializer(shapeOf(x), typeOf(x.type.dtype), x.data) }));
    }
    return images;
  }

  /** The tensor as Wafer has it. */
  plain(x: Value): string {
    const images = this.of(x);
    return (images.last ??= this.reordered(x, images.first!, CHANNELS_LAST, shapeOf(x)));
  }

  /** A rank 4 tensor with its channels first. */
  first(x: Value): string {
    const images = this.of(x);
    return (images.first ??= this.reordered(x, images.last!, CHANNELS_FIRST, shapeFirst(shapeOf(x))));
  }

  /** A reshape moves no byte where the image has one channel or one pixel. */
  private reordered(x: Value, from: string, perm: readonly number[], shape: readonly number[]): string {
    const [, h, w, c] = shapeOf(x) as [number, number, number, number];
    return c === 1 || h * w === 1 ? this.reshape(from, shape) : this.transpose(from, perm);
  }

  setPlain(x: Value, name: string): void {
    this.images.set(x, { ...this.images.get(x), last: name });
  }

  setFirst(x: Value, name: string): void {
    this.images.set(x, { ...this.images.get(x), first: name });
  }

  /** Whether the tensor is there with channels first, and only so. */
  isFirst(x: Value): boolean {
    const images = this.images.get(x);
    return images?.first !== undefined && images.last === undefined;
  }

  /** An operand that is broadcast to rank 4 images. */
  operand(x: Value, first: boolean): string {
    if (!first || elements(shapeOf(x)) === 1) return this.plain(x);
    const shape = shapeOf(x);
    if (shape.length === 4) return this.first(x);
    const full = [...Array.from({ length: 4 - shape.length }, () => 1), ...shape];
    const apart = this.reshape(this.plain(x), full);
    return full[1]! * full[2]! === 1 ? this.reshape(apart, shapeFirst(full)) : this.transpose(apart, CHANNELS_FIRST);
  }
}

const shapeOf = (x: Value): StaticShape => x.type.shape as StaticShape;

interface Site {
  readonly node: Node;
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly Value[];
  readonly attrs: Attrs;
  readonly write: OnnxWriter;
}

/** Writes a node; says under which names its outputs are. Throws UNSUPPORTED. */
type Lower = (site: Site) => void;

/** For what does not care about the order of elements: follows the first input of rank 4 that has its channels first. */
function elementwise(compute: (inputs: readonly string[], site: Site) => string): Lower {
  return (site) => {
    const { inputs, outputs, write } = site;
    const y = outputs[0]!;
    const given = inputs.filter((x): x is Value => x !== undefined);
    const first = shapeOf(y).length === 4 && given.some((x) => shapeOf(x).length === 4 && write.isFirst(x));
    const result = compute(
      given.map((x) => write.operand(x, first)),
      site,
    );
    // An operand that is one number has lost no axes, but a result of rank 4 needs all of them.
    if (first) write.setFirst(y, result);
    else write.setPlain(y, result);
  };
}

type StepWriter = (write: OnnxWriter, x: string, a: number, b: number) => string;

const plainStep =
  (op: string): StepWriter =>
  (write, x) =>
    write.add(op, [x]);

const STEPS: Readonly<Record<StepName, StepWriter>> = {
  relu: plainStep('Relu'),
  clip: (write, x, a, b) => write.add('Clip', [x, write.float(a), write.float(b)]),
  leakyRelu: (write, x, a) => write.add('LeakyRelu', [x], { alpha: { float: a } }),
  sigmoid: plainStep('Sigmoid'),
  hardSigmoid: (write, x, a, b) => write.add('HardSigmoid', [x], { alpha: { float: a }, beta: { float: b } }),
  hardSwish: plainStep('HardSwish'),
  silu: (write, x) => write.add('Mul', [x, write.add('Sigmoid', [x])]),
  tanh: plainStep('Tanh'),
  exp: plainStep('Exp'),
  log: plainStep('Log'),
  sqrt: plainStep('Sqrt'),
  abs: plainStep('Abs'),
  neg: plainStep('Neg'),
  reciprocal: plainStep('Reciprocal'),
  erf: plainStep('Erf'),
  gelu: plainStep('Gelu'),
  geluTanh: (write, x) => write.add('Gelu', [x], { approximate: { text: 'tanh' } }),
  softplus: plainStep('Softplus'),
  softsign: plainStep('Softsign'),
  elu: (write, x, a) => write.add('Elu', [x], { alpha: { float: a } }),
  mish: (write, x) => write.add('Mul', [x, write.add('Tanh', [write.add('Softplus', [x])])]),
  floor: plainStep('Floor'),
  ceil: plainStep('Ceil'),
  round: plainStep('Round'),
  // onnxruntime's Sign takes several times as long as these two.
  sign: (write, x) => write.add('Clip', [write.add('Mul', [x, write.float(3e38)]), write.float(-1), write.float(1)]),
  square: (write, x) => write.add('Mul', [x, x]),
  power: (write, x, a) => write.add('Pow', [x, write.float(a)]),
  affine(write, x, a, b) {
    if (a === -1 && b === 0) return write.add('Neg', [x]);
    const scaled = a === 1 ? x : write.add('Mul', [x, write.float(a)]);
    return b === 0 ? scaled : write.add('Add', [scaled, write.float(b)]);
  },
  sin: plainStep('Sin'),
  cos: plainStep('Cos'),
};

function applySteps(write: OnnxWriter, x: string, steps: readonly Step[]): string {
  return steps.reduce((y, { fn, a, b }) => STEPS[fn as StepName](write, y, a, b), x);
}

const BINARY: Readonly<Record<string, string>> = {
  add: 'Add',
  sub: 'Sub',
  mul: 'Mul',
  div: 'Div',
  max: 'Max',
  min: 'Min',
  pow: 'Pow',
  equal: 'Equal',
  greater: 'Greater',
  less: 'Less',
  greaterOrEqual: 'GreaterOrEqual',
  lessOrEqual: 'LessOrEqual',
  and: 'And',
  or: 'Or',
  xor: 'Xor',
};

function binaryNode([a, b]: readonly string[], { write, attrs, inputs }: Site): string {
  const fn = attrs.fn as string;
  if (fn === 'mod') return write.add('Mod', [a!, b!], { fmod: inputs[0]!.type.dtype === 'f32' ? 1 : 0 });
  if (fn !== 'prelu') return write.add(BINARY[fn]!, [a!, b!]);
  const negative = write.add('Less', [a!, write.float(0)]);
  return write.add('Where', [negative, write.add('Mul', [a!, b!]), a!]);
}

const REDUCE: Readonly<Record<string, string>> = {
  mean: 'ReduceMean',
  sum: 'ReduceSum',
  max: 'ReduceMax',
  min: 'ReduceMin',
  prod: 'ReduceProd',
  l1: 'ReduceL1',
  l2: 'ReduceL2',
  sumSquare: 'ReduceSumSquare',
  logSum: 'ReduceLogSum',
  logSumExp: 'ReduceLogSumExp',
};

/** Of each element by itself, where no axes are reduced. */
const REDUCE_NONE: Readonly<Record<string, StepName>> = { l1: 'abs', l2: 'abs', sumSquare: 'square', logSum: 'log' };

const reduce: Lower = ({ inputs: [x], outputs: [y], attrs, write }) => {
  const axes = attrs.axes as readonly number[];
  const fn = attrs.fn as string;
  const keepdims = Number(attrs.keepdims);
  const mapped = axes.map((a) => AXIS_FIRST[a]!);
  const kept = [0, 1, 2, 3].filter((a) => !axes.includes(a)).map((a) => AXIS_FIRST[a]!);
  const inOrder = kept.every((a, i) => i === 0 || a > kept[i - 1]!);
  const first = write.isFirst(x!) && (keepdims || inOrder);
  const from = first ? write.first(x!) : write.plain(x!);
  const own = REDUCE_NONE[fn];
  const result = axes.length
    ? write.add(REDUCE[fn]!, [from, write.ints(...(first ? mapped : axes))], { keepdims })
    : own
      ? STEPS[own](write, from, 0, 0)
      : write.add('Identity', [from]);
  if (first && shapeOf(y!).length === 4) write.setFirst(y!, result);
  else write.setPlain(y!, result);
};

interface Geometry {
  strides: readonly number[];
  pads: readonly number[];
  dilations: readonly number[];
}

const geometryOf = (attrs: Attrs): Geometry => attrs as unknown as Geometry;
const windowAttributes = ({ strides, pads, dilations }: Geometry) => ({ strides, pads, dilations });

const conv: Lower = ({ inputs, outputs: [y], attrs, write }) => {
  const [x, w, bias] = inputs;
  const operands = [write.first(x!), write.first(w!), ...(bias ? [write.plain(bias)] : [])];
  const kernel_shape = shapeOf(w!).slice(1, 3);
  const group = attrs.group as number;
  write.setFirst(y!, write.add('Conv', operands, { ...windowAttributes(geometryOf(attrs)), kernel_shape, group }));
};

/** Of a stride of 1 a convolution by the turned weights, which is faster than ConvTranspose. */
const convInputGradient: Lower = ({ inputs: [dy, w], outputs: [dx], attrs, write }) => {
  const { strides, pads, dilations } = geometryOf(attrs);
  const group = attrs.group as number;
  const image = attrs.image as readonly number[];
  const [o, kh, kw, depth] = shapeOf(w!) as [number, number, number, number];
  const [, oh, ow] = shapeOf(dy!) as [number, number, number];
  const kernel_shape = [kh, kw];
  const extents = kernel_shape.map((k, i) => (k - 1) * dilations[i]! + 1);
  const turnedPads = [0, 1, 2, 3].map((i) => extents[i % 2]! - 1 - pads[i]!);
  if (strides.every((s) => s === 1) && turnedPads.every((p) => p >= 0)) {
    let weights = write.first(w!);
    if (group === 1) weights = write.transpose(weights, [1, 0, 2, 3]);
    else if (depth > 1 || o !== group) {
      const apart = write.transpose(write.reshape(weights, [group, o / group, depth, kh, kw]), [0, 2, 1, 3, 4]);
      weights = write.reshape(apart, [group * depth, o / group, kh, kw]);
    }
    if (kh * kw > 1) {
      const ends = write.ints(-kh - 1, -kw - 1);
      weights = write.add('Slice', [weights, write.ints(-1, -1), ends, write.ints(2, 3), write.ints(-1, -1)]);
    }
    const operands = [write.first(dy!), weights];
    write.setFirst(dx!, write.add('Conv', operands, { strides: [1, 1], pads: turnedPads, dilations, kernel_shape, group }));
    return;
  }
  // What windows hang over is cut off; what they do not reach is filled up, by ConvTranspose no further than a stride.
  const missing = [oh, ow].map((size, i) => image[i]! - ((size - 1) * strides[i]! + extents[i]! - pads[i]! - pads[i + 2]!));
  const output_padding = missing.map((p, i) => Math.max(0, Math.min(p, Math.max(strides[i]!, dilations[i]!) - 1)));
  const cut = pads.map((p, i) => p + (i < 2 ? 0 : Math.max(0, -missing[i - 2]!)));
  const attributes = { strides, pads: cut, dilations, kernel_shape, group, output_padding };
  let result = write.add('ConvTranspose', [write.first(dy!), write.first(w!)], attributes);
  const rest = missing.map((p, i) => p - output_padding[i]!);
  if (rest.some((r) => r > 0)) result = write.add('Pad', [result, write.ints(0, 0, 0, 0, 0, 0, rest[0]!, rest[1]!)]);
  write.setFirst(dx!, result);
};

/** Fewest inputs of an output from which taps are multiplied one by one; fewer are gathered for one product. */
const FEW_CHANNELS = 8;

/** Of every tap a matrix product over all pixels of the batch. */
const convWeightGradient: Lower = ({ inputs: [x, dy], outputs: [dw], attrs, write }) => {
  const { strides, pads, dilations } = geometryOf(attrs);
  const group = attrs.group as number;
  const [o, kh, kw, depth] = shapeOf(dw!) as [number, number, number, number];
  const [n, oh, ow] = shapeOf(dy!) as [number, number, number];
  const c = group * depth;
  const pixels = n * oh * ow;
  const padded = pads.some((p) => p > 0) ? write.add('Pad', [write.first(x!), write.ints(...imagePads(pads))]) : write.first(x!);
  const images = write.transpose(padded, [1, 0, 2, 3]);
  const by = write.transpose(write.first(dy!), [1, 0, 2, 3]);
  const taps: string[] = [];
  for (let ky = 0; ky < kh; ky++)
    for (let kx = 0; kx < kw; kx++) {
      const [top, left] = [ky * dilations[0]!, kx * dilations[1]!];
      const ends = write.ints(top + (oh - 1) * strides[0]! + 1, left + (ow - 1) * strides[1]! + 1);
      taps.push(write.add('Slice', [images, write.ints(top, left), ends, write.ints(2, 3), write.ints(...strides)]));
    }
  const product = (a: string, b: string) => write.add('Gemm', [a, b], { transB: 1 });
  const matrix = (of: string, channels: number) => write.reshape(of, [channels, pixels]);
  let result: string;
  if (group === 1 && depth < FEW_CHANNELS) {
    const columns = taps.length === 1 ? taps[0]! : write.add('Concat', taps, { axis: 0 });
    result = product(matrix(by, o), matrix(columns, taps.length * c));
  } else if (group === 1) {
    const products = taps.map((tap) => write.reshape(product(matrix(by, o), matrix(tap, c)), [o, 1, c]));
    result = write.add('Concat', products, { axis: 1 });
  } else if (depth === 1 && o === c) {
    const sums = taps.map((tap) => write.add('ReduceSum', [write.add('Mul', [tap, by]), write.ints(1, 2, 3)], { keepdims: 0 }));
    result = write.add(
      'Concat',
      sums.map((sum) => write.reshape(sum, [o, 1])),
      { axis: 1 },
    );
  } else {
    const parts = write.reshape(by, [group, o / group, pixels]);
    const products = taps.map((tap) => {
      const turned = write.transpose(write.reshape(tap, [group, depth, pixels]), [0, 2, 1]);
      return write.reshape(write.add('MatMul', [parts, turned]), [o, 1, depth]);
    });
    result = write.add('Concat', products, { axis: 1 });
  }
  write.setPlain(dw!, write.reshape(result, shapeOf(dw!)));
};

const imagePads = (pads: readonly number[]): number[] => [0, 0, pads[0]!, pads[1]!, 0, 0, pads[2]!, pads[3]!];

/** Attributes of a pool; windows that hang over the end are given pads to hang over. */
function poolAttributes(x: Value, y: Value, attrs: Attrs) {
  const { strides, pads, dilations } = geometryOf(attrs);
  const kernel_shape = attrs.kernel as readonly number[];
  const after = [0, 1].map((i) => {
    const end = (shapeOf(y)[1 + i]! - 1) * strides[i]! + (kernel_shape[i]! - 1) * dilations[i]! + 1;
    return attrs.ceil ? Math.max(0, end - shapeOf(x)[1 + i]! - pads[i]!) : pads[2 + i]!;
  });
  if (attrs.countIncludePad && after.some((p, i) => p > pads[2 + i]!))
    throw new WaferError('UNSUPPORTED', 'averages that count pads are not trained with windows that hang over them');
  return { strides, pads: [...pads.slice(0, 2), ...after], dilations, kernel_shape };
}

const pool: Lower = ({ inputs: [x], outputs: [y], attrs, write }) => {
  const attributes = poolAttributes(x!, y!, attrs);
  const isMax = attrs.fn === 'max';
  const result = isMax
    ? write.add('MaxPool', [write.first(x!)], attributes)
    : write.add('AveragePool', [write.first(x!)], { ...attributes, count_include_pad: Number(attrs.countIncludePad) });
  write.setFirst(y!, result);
};

const maxPoolGradient: Lower = ({ inputs: [x, dy], outputs: [dx], attrs, write }) => {
  const [, indices] = write.addAll('MaxPool', [write.first(x!)], 2, poolAttributes(x!, dy!, attrs));
  const [from, to] = [elements(shapeOf(x!)), elements(shapeOf(dy!))];
  const zeros = write.add('ConstantOfShape', [write.ints(from)]);
  const scattered = write.add('ScatterElements', [zeros, write.reshape(indices!, [to]), write.reshape(write.first(dy!), [to])], {
    axis: 0,
    reduction: { text: 'add' },
  });
  write.setFirst(dx!, write.reshape(scattered, shapeFirst(shapeOf(x!))));
};

/** For batch norms: how channels lie, and which axes are summed. */
function channelwise(x: Value, write: OnnxWriter) {
  const shape = shapeOf(x);
  const c = shape.at(-1)!;
  const first = shape.length === 4;
  const axes = write.ints(...(first ? [0, 2, 3] : shape.slice(0, -1).map((_, i) => i)));
  return {
    c,
    count: elements(shape) / c,
    read: (v: Value) => (first ? write.first(v) : write.plain(v)),
    set: (v: Value, name: string) => (first ? write.setFirst(v, name) : write.setPlain(v, name)),
    /** A vector of C, ready to be broadcast. */
    spread: (v: string) => (first ? write.reshape(v, [1, c, 1, 1]) : v),
    /** Over all but the channels, broadcast. */
    mean: (v: string) => write.add('ReduceMean', [v, axes], { keepdims: 1 }),
    sum: (v: string) => write.add('ReduceSum', [v, axes], { keepdims: 1 }),
    vector: (v: string) => write.reshape(v, [c]),
  };
}

/** x - mean, 1 / deviation, mean and variance, in the order of channelwise. */
interface Normalised {
  centred: string;
  inverse: string;
  average: string;
  variance: string;
}

/** What is normalised once is used again by the gradient. */
function normalised(x: Value, epsilon: number, write: OnnxWriter): Normalised {
  const { read, mean } = channelwise(x, write);
  const from = read(x);
  const key = `${from}:${epsilon}`;
  const found = write.normalised.get(key);
  if (found) return found;
  const average = mean(from);
  const centred = write.add('Sub', [from, average]);
  const variance = mean(write.add('Mul', [centred, centred]));
  const deviation = write.add('Sqrt', [write.add('Add', [variance, write.float(epsilon)])]);
  const inverse = write.add('Reciprocal', [deviation]);
  const made = { centred, inverse, average, variance };
  write.normalised.set(key, made);
  return made;
}

const batchNorm: Lower = ({ inputs: [x, gamma, beta], outputs: [y, mean, variance], attrs, write }) => {
  const { spread, set, vector } = channelwise(x!, write);
  const own = normalised(x!, attrs.epsilon as number, write);
  const scale = write.add('Mul', [own.inverse, spread(write.plain(gamma!))]);
  set(y!, write.add('Add', [write.add('Mul', [own.centred, scale]), spread(write.plain(beta!))]));
  write.setPlain(mean!, vector(own.average));
  write.setPlain(variance!, vector(own.variance));
};

const batchNormGradient: Lower = ({ inputs: [x, gamma, dy], outputs: [dx, dgamma, dbeta], attrs, write }) => {
  const { read, set, spread, sum, vector, count } = channelwise(x!, write);
  const { centred, inverse } = normalised(x!, attrs.epsilon as number, write);
  const by = read(dy!);
  const shift = sum(by);
  const slope = write.add('Mul', [sum(write.add('Mul', [by, centred])), inverse]);
  const scale = write.add('Mul', [inverse, spread(write.plain(gamma!))]);
  const part = write.float(1 / count);
  // dx = scale * (dy - shift / count) - centred * (scale * slope * inverse / count)
  const even = write.add('Mul', [write.add('Sub', [by, write.add('Mul', [shift, part])]), scale]);
  const tilt = write.add('Mul', [write.add('Mul', [write.add('Mul', [slope, inverse]), scale]), part]);
  set(dx!, write.add('Sub', [even, write.add('Mul', [centred, tilt])]));
  write.setPlain(dgamma!, vector(slope));
  write.setPlain(dbeta!, vector(shift));
};

const permuted = (list: readonly number[], first: boolean): readonly number[] =>
  first ? CHANNELS_FIRST.map((a) => list[a]!) : list;

/** For moves of a tensor of any rank, by lists with an entry for each axis. */
function move(compute: (x: string, order: (list: readonly number[]) => readonly number[], site: Site) => string): Lower {
  return (site) => {
    const { inputs, outputs, write } = site;
    const first = write.isFirst(inputs[0]!) && shapeOf(outputs[0]!).length === 4;
    const result = compute(first ? write.first(inputs[0]!) : write.plain(inputs[0]!), (list) => permuted(list, first), site);
    if (first) write.setFirst(outputs[0]!, result);
    else write.setPlain(outputs[0]!, result);
  };
}

const LOWER: Readonly<Record<string, Lower>> = {
  conv,
  convInputGradient,
  convWeightGradient,
  pool,
  maxPoolGradient,
  batchNorm,
  batchNormGradient,
  reduce,
  unary: elementwise(([x], { write, attrs }) => {
    const steps = attrs.steps as readonly Step[];
    return steps.length ? applySteps(write, x!, steps) : write.add('Identity', [x!]);
  }),
  binary: elementwise(binaryNode),
  select: elementwise((operands, { write }) => write.add('Where', operands)),
  straightThrough({ inputs: [value], outputs: [y], write }) {
    // No node: it is the value.
    if (write.isFirst(value!)) write.setFirst(y!, write.first(value!));
    else write.setPlain(y!, write.plain(value!));
  },
  cast: elementwise(([x], { write, outputs: [y] }) => write.add('Cast', [x!], { to: typeOf(y!.type.dtype) })),
  gemm({ inputs: [x, w, bias], outputs: [y], write }) {
    const operands = bias ? [write.plain(bias)] : [];
    if (shapeOf(x!).length === 2) {
      write.setPlain(y!, write.add('Gemm', [write.plain(x!), write.plain(w!), ...operands], { transB: 1 }));
      return;
    }
    const product = write.add('MatMul', [write.plain(x!), write.transpose(write.plain(w!), [1, 0])]);
    write.setPlain(y!, bias ? write.add('Add', [product, operands[0]!]) : product);
  },
  matmul({ inputs: [a, b], outputs: [y], attrs, write }) {
    const rank = shapeOf(b!).length;
    const perm = Array.from({ length: rank }, (_, i) => (i < rank - 2 ? i : 2 * rank - 3 - i));
    const right = attrs.transB ? write.transpose(write.plain(b!), perm) : write.plain(b!);
    write.setPlain(y!, write.add('MatMul', [write.plain(a!), right]));
  },
  softmax: ({ inputs: [x], outputs: [y], attrs, write }) =>
    write.setPlain(y!, write.add(attrs.log ? 'LogSoftmax' : 'Softmax', [write.plain(x!)], { axis: -1 })),
  layerNorm({ inputs: [x, gamma, beta], outputs: [y], attrs, write }) {
    const c = shapeOf(x!).at(-1)!;
    const scale = gamma ? write.plain(gamma) : write.floats([c], new Float32Array(c).fill(1));
    const operands = [write.plain(x!), scale, ...(beta ? [write.plain(beta)] : [])];
    const epsilon = { float: attrs.epsilon as number };
    write.setPlain(y!, write.add('LayerNormalization', operands, { axis: -1, epsilon }));
  },
  resize({ inputs: [x], outputs: [y], attrs, write }) {
    const [, oh, ow] = shapeOf(y!) as [number, number, number];
    const [n, , , c] = shapeOf(x!) as [number, number, number, number];
    const scales = attrs.scales as readonly number[];
    const text = (name: string) => ({ text: attrs[name] as string });
    // onnxruntime rounds the size down, where a scale that is no f32 may be a little less than it should.
    const enough = (scale: number, i: number) =>
      Math.floor(Math.fround(scale) * shapeOf(x!)[1 + i]!) < shapeOf(y!)[1 + i]! ? scale * (1 + 2 ** -22) : scale;
    const size = scales.length
      ? [write.floats([4], Float32Array.of(1, 1, ...scales.map(enough)))]
      : ['', write.ints(n, c, oh, ow)];
    const attributes = {
      mode: text('mode'),
      coordinate_transformation_mode: text('coordinates'),
      nearest_mode: text('rounding'),
    };
    write.setFirst(y!, write.add('Resize', [write.first(x!), '', ...size], attributes));
  },
  transpose({ inputs: [x], outputs: [y], attrs, write }) {
    const perm = attrs.perm as readonly number[];
    if (sameShape(perm, CHANNELS_FIRST)) write.setPlain(y!, write.first(x!));
    else if (sameShape(perm, CHANNELS_LAST) && !write.isFirst(x!)) write.setFirst(y!, write.plain(x!));
    else write.setPlain(y!, write.transpose(write.plain(x!), perm));
  },
  reshape: ({ inputs: [x], outputs: [y], write }) => write.setPlain(y!, write.reshape(write.plain(x!), shapeOf(y!))),
  slice: move((x, order, { write, attrs }) => {
    const [starts, steps, size] = ['starts', 'steps', 'size'].map((key) => order(attrs[key] as number[])) as number[][];
    const ends = starts!.map((start, i) => {
      const end = start + size![i]! * steps![i]!;
      return end < 0 ? -(2 ** 31) : end;
    });
    if (starts!.length === 0) return write.add('Identity', [x]);
    const axes = starts!.map((_, i) => i);
    return write.add('Slice', [x, write.ints(...starts!), write.ints(...ends), write.ints(...axes), write.ints(...steps!)]);
  }),
  pad: move((x, order, { write, attrs, inputs }) => {
    if (shapeOf(inputs[0]!).length === 0) return write.add('Identity', [x]);
    const pads = write.ints(...order(attrs.before as number[]), ...order(attrs.after as number[]));
    const mode = attrs.mode as string;
    if (mode !== 'constant') return write.add('Pad', [x, pads], { mode: { text: mode } });
    if (inputs[0]!.type.dtype !== 'f32') throw new WaferError('UNSUPPORTED', 'training pads floats only');
    return write.add('Pad', [x, pads, write.float(attrs.value as number)]);
  }),
  expand: ({ inputs: [x], outputs: [y], write }) => {
    const first = write.isFirst(x!) && shapeOf(y!).length === 4;
    const shape = permuted(shapeOf(y!), first);
    const result = write.add('Expand', [first ? write.first(x!) : write.plain(x!), write.ints(...shape)]);
    if (first) write.setFirst(y!, result);
    else write.setPlain(y!, result);
  },
  concat({ inputs, outputs: [y], attrs, write }) {
    const given = inputs as readonly Value[];
    const axis = attrs.axis as number;
    const first = shapeOf(y!).length === 4 && given.some((x) => write.isFirst(x));
    const result = write.add(
      'Concat',
      given.map((x) => (first ? write.first(x) : write.plain(x))),
      {
        axis: first ? AXIS_FIRST[axis]! : axis,
      },
    );
    if (first) write.setFirst(y!, result);
    else write.setPlain(y!, result);
  },
  gather: ({ inputs: [x, indices], outputs: [y], attrs, write }) =>
    write.setPlain(y!, write.add('Gather', [write.plain(x!), write.plain(indices!)], { axis: attrs.axis as number })),
  argmax: ({ inputs: [x], outputs: [y], attrs, write }) => {
    const index = write.add('ArgMax', [write.plain(x!)], { axis: attrs.axis as number, keepdims: Number(attrs.keepdims) });
    write.setPlain(y!, write.add('Cast', [index], { to: typeOf('i32') }));
  },
  cumsum: ({ inputs: [x], outputs: [y], attrs, write }) =>
    write.setPlain(
      y!,
      write.add('CumSum', [write.plain(x!), write.ints(attrs.axis as number)], {
        exclusive: Number(attrs.exclusive),
        reverse: Number(attrs.reverse),
      }),
    ),
};

let modelType: protobuf.Type | undefined;

/**
 * The graph, of fixed sizes and with nothing fused into its nodes, as an ONNX model. Inputs are called as they are in the graph,
 * outputs `y0`, `y1` … in order. Throws UNSUPPORTED, with the node's name, for what is not trained.
 */
export function toOnnx(graph: Graph): Uint8Array {
  const write = new OnnxWriter();
  for (const x of graph.inputs) write.setPlain(x, x.name);
  for (const node of graph.nodes)
    located({ node: nodeText(node) }, () => {
      const lower = LOWER[node.op.name];
      if (!lower) throw new WaferError('UNSUPPORTED', `training has no ${node.op.name}`);
      lower({ node, inputs: node.inputs, outputs: node.outputs, attrs: node.attrs, write });
    });
  const describe = (name: string, { type }: Value) => ({
    name,
    type: {
      tensor_type: { elem_type: typeOf(type.dtype), shape: { dim: (type.shape as StaticShape).map((d) => ({ dim_value: d })) } },
    },
  });
  const outputs = graph.outputs.map(({ value }, i) => {
    write.nodes.push({ op_type: 'Identity', input: [write.plain(value)], output: [`y${i}`], attribute: [] });
    return describe(`y${i}`, value);
  });
  modelType ??= protobuf.parse(ONNX_PROTO, { keepCase: true }).root.lookupType('onnx.ModelProto');
  const model = {
    ir_version: IR_VERSION,
    opset_import: [
      { domain: '', version: OPSET },
      { domain: 'com.microsoft', version: 1 },
    ],
    graph: {
      name: 'training',
      node: write.nodes,
      initializer: write.initializers,
      input: graph.inputs.map((x) => describe(x.name, x)),
      output: outputs,
    },
  };
  return modelType.encode(modelType.fromObject(model)).finish();
}
