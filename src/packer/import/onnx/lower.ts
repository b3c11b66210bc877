/**
 * ONNX operators that are no operators of Wafer: they are answered from shapes, turned into constants, inlined, or
 * rewritten into a few nodes. Operators of Wafer say themselves (in `offline.onnx`) which ONNX nodes they take.
 */
import { elements, normalizeAxis, type Shape, sameShape, shapeText } from '../../../core/shape';
import type { Emit, OnnxNode, Ref } from '../../../ops/define';
import { roundHalfEven, step } from '../../../ops/steps';
import type { Tensor } from './decode';
import { type Known, knownVector, type ShapeNode } from './shapes';

/** What a value is at import: a value of the graph, or elements known up to free dimensions. */
export type Content = Ref | Known;

/** A node as the functions of this file see it. */
export interface LoweredNode extends OnnxNode, ShapeNode {
  /** Input i as it is, without making known elements a constant of the graph. */
  content(i: number): Content;
  tensor(attribute: string): Tensor;
  /** The outputs of the sub-graph in `attribute`, whose nodes are added to the graph. */
  branch(attribute: string): Content[];
  /** The same as a value of the graph. */
  data(content: Content): Ref;
  /** Said to the user after the import. */
  note(text: string): void;
  /** Float values that stand for outputs of QuantizeLinear. */
  readonly quantized: Set<Content>;
}

export type Lower = (node: LoweredNode, emit: Emit) => Content | Content[];

const identity: Lower = (n) => n.content(0);

/** A per-channel constant against [N,C,…spatial]. */
const perChannel = (emit: Emit, x: Ref, data: readonly number[]): Ref =>
  emit.constant('f32', [data.length, ...x.type.shape.slice(2).map(() => 1)], data);

const affine = (emit: Emit, x: Ref, scale: Ref, shift: Ref): Ref =>
  emit('binary', [emit('binary', [x, scale], { fn: 'mul' }), shift], { fn: 'add' });

/** Scale and zero point of a (de)quantisation by element of input 0. */
function quantParams(n: LoweredNode): { scale(i: number): number; zero(i: number): number; perTensor: boolean } {
  const scales = n.numbers(1) ?? n.unsupported('a scale that depends on data');
  const zeros = n.inputs[2] ? (n.numbers(2) ?? n.unsupported('a zero point that depends on data')) : scales.map(() => 0);
  if (n.has('block_size') && n.int('block_size') !== 0) n.unsupported('blocked quantisation');
  const { shape } = n.input(0).type;
  const perTensor = scales.length === 1;
  const axis = perTensor ? 0 : normalizeAxis(n.int('axis', 1), shape.length);
  if (zeros.length !== scales.length || (!perTensor && scales.length !== shape[axis]))
    n.unsupported(`${scales.length} scales and ${zeros.length} zero points for ${shapeText(shape)}`);
  const inner = perTensor ? 1 : (elements(shape.slice(axis + 1)) as number);
  const channel = (i: number) => Math.floor(i / inner) % scales.length;
  return { scale: (i) => scales[channel(i)]!, zero: (i) => zeros[channel(i)]!, perTensor };
}

export const LOWER: Readonly<Record<string, Lower>> = {
  Identity: identity,

  Dropout(n) {
    if (n.outputCount > 1) n.unsupported('the mask output');
    if (n.opset >= 12 && n.inputs[2] && !(n.numbers(2)?.[0] === 0)) n.unsupported('training mode');
    return n.content(0);
  },

  Constant(n, emit) {
    if (n.has('value')) {
      const { dtype, shape, data, exact } = n.tensor('value');
      if (exact) return { type: 'int', shape, elements: exact };
      return emit.constant(dtype, shape, data);
    }
    if (n.has('value_int')) return { type: 'int', shape: [], elements: [n.int('value_int')] };
    if (n.has('value_ints')) return knownVector(n.ints('value_ints'));
    if (n.has('value_float')) return emit.constant('f32', [], [n.float('value_float')]);
    if (n.has('value_floats')) {
      const values = n.floats('value_floats');
      return emit.constant('f32', [values.length], values);
    }
    return n.unsupported('a constant that is sparse or text');
  },

  Shape(n) {
    const shape = shapeOf(n.content(0));
    const end = n.has('end') ? n.int('end') : undefined;
    return knownVector(shape.slice(n.int('start', 0), end));
  },

  Size(n) {
    return { type: 'int', shape: [], elements: [elements(shapeOf(n.content(0)))] };
  },

  ConstantOfShape(n, emit) {
    const shape = n.dims(0) ?? n.unsupported('a shape that depends on data');
    const fill = n.has('value') ? n.tensor('value') : undefined;
    return emit('expand', [emit.constant(fill?.dtype ?? 'f32', [], fill?.data ?? [0])], { shape });
  },

  BatchNormalization(n, emit) {
    if (n.int('training_mode', 0) !== 0) n.unsupported('training mode');
    const x = n.input(0);
    const [scale, bias, mean, variance] = [1, 2, 3, 4].map(
      (i) => n.numbers(i) ?? n.unsupported('statistics that are not constant'),
    ) as [number[], number[], number[], number[]];
    const factor = scale.map((s, c) => s / Math.sqrt(variance[c]! + n.float('epsilon', 1e-5)));
    const shift = bias.map((b, c) => b - mean[c]! * factor[c]!);
    return affine(emit, x, perChannel(emit, x, factor), perChannel(emit, x, shift));
  },

  InstanceNormalization(n, emit) {
    const x = n.input(0);
    const axes = x.type.shape.map((_, i) => i).slice(2);
    const centred = emit('binary', [x, emit('reduce', [x], { fn: 'mean', axes, keepdims: true })], { fn: 'sub' });
    const variance = emit('reduce', [emit('unary', [centred], { steps: [{ fn: 'square', a: 0, b: 0 }] })], {
      fn: 'mean',
      axes,
      keepdims: true,
    });
    const deviation = emit('unary', [variance], {
      steps: [
        { fn: 'affine', a: 1, b: n.float('epsilon', 1e-5) },
        { fn: 'sqrt', a: 0, b: 0 },
      ],
    });
    const [scale, shift] = [1, 2].map((i) => n.numbers(i) ?? n.unsupported('scale or bias that is not constant'));
    const normal = emit('binary', [centred, deviation], { fn: 'div' });
    return affine(emit, normal, perChannel(emit, x, scale!), perChannel(emit, x, shift!));
  },

  If(n, emit) {
    const condition = n.numbers(0);
    if (condition) return n.branch(condition[0] ? 'then_branch' : 'else_branch');
    // Branches have no side effects: both are computed, and the condition picks.
    const whenTrue = n.branch('then_branch').map((c) => n.data(c));
    const whenFalse = n.branch('else_branch').map((c) => n.data(c));
    return whenTrue.map((a, i) => {
      const b = whenFalse[i] ?? n.unsupported('branches with different numbers of outputs');
      if (a.type.dtype !== b.type.dtype || !sameShape(a.type.shape, b.type.shape))
        n.unsupported(`branches of different shapes, ${shapeText(a.type.shape)} and ${shapeText(b.type.shape)}`);
      return emit('select', [n.input(0), a, b]);
    });
  },

  /**
   * Constants are quantised as they are. On activations the operator only marks where the source rounds to integers:
   * Wafer imports the float model and quantises by itself. What the integer range cuts off (ReLU, ReLU6) is kept.
   */
  QuantizeLinear(n, emit) {
    const x = n.input(0);
    const { scale, zero, perTensor } = quantParams(n);
    const [low, high] = n.inputs[2]?.type.dtype === 'i32' ? [-128, 127] : [0, 255];
    if (x.data) {
      const level = (v: number, i: number) => Math.min(high, Math.max(low, roundHalfEven(v / scale(i)) + zero(i)));
      return emit.constant('i32', x.type.shape as number[], Array.from(x.data, level));
    }
    if (!perTensor) n.unsupported('activations quantised per channel');
    const kept = zero(0) === low ? emit('unary', [x], { steps: [step('clip', 0, (high - low) * scale(0))] }) : x;
    n.quantized.add(kept);
    n.note('the quantisation of activations was dropped: the float model is imported');
    return kept;
  },

  DequantizeLinear(n, emit) {
    const x = n.content(0);
    if (n.quantized.has(x)) return x;
    const { data, type } = n.input(0);
    if (!data) return n.unsupported('integer activations that no QuantizeLinear makes');
    const { scale, zero } = quantParams(n);
    return emit.constant(
      'f32',
      type.shape as number[],
      new Float32Array(data).map((q, i) => (q - zero(i)) * scale(i)),
    );
  },
};

const shapeOf = (x: Content): Shape => ('elements' in x ? x.shape : x.type.shape);
