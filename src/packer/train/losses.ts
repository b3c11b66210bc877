/** Losses as nodes: each a number, the mean over the batch, from values of rank 2 or more whose first axis is the batch. */
import { elements, type StaticShape, sameShape } from '../../core/shape';
import type { Value } from '../../graph/ir';
import type { Ref } from '../../ops/define';
import { type Arithmetic, arithmetic } from '../../ops/gradient';
import type { TrainEmit } from './kinds';

export interface Losses extends Arithmetic {
  /** -sum(target * log softmax(logits)): target[N,K] are probabilities, as label smoothing and mixup make them. */
  crossEntropy(logits: Ref, target: Ref): Ref;
  /** softmax(logits / T) over the last axis. */
  soft(logits: Ref, temperature: number): Ref;
  /** T^2 * KL(teacher || softmax(student / T)) over the last axis, where the teacher's are probabilities: `soft` of its logits. */
  kl(student: Ref, teacher: Ref, temperature: number): Ref;
  /** Mean of the squares of all differences. */
  mse(a: Ref, b: Ref): Ref;
  /** 1 - cosine of the angle between a and b, each example's elements taken as one vector. */
  cosine(a: Ref, b: Ref): Ref;
  /**
   * How far attention lies from where the teacher's does: half the squared distance of their maps, sums of squares over the last axis,
   * each example's of length 1. Images of the teacher, [N,H,W,C], may be of another size.
   */
  attention(student: Ref, teacher: Ref): Ref;
  /** Sum of absolute values: of parameters, to make them sparse. */
  l1(x: Ref): Ref;
}

const COSINE_EPSILON = 1e-12;
/** Smaller ones add nothing to p log p. */
const LEAST_PROBABILITY = 1e-30;

export function losses(emit: TrainEmit): Losses {
  const sums = arithmetic(emit);
  const { add, sub, mul, div, unary } = sums;
  const all = (x: Ref) => x.type.shape.map((_, axis) => axis);
  const reduce = (x: Ref, fn: string, axes: readonly number[]) => emit('reduce', [x], { fn, axes, keepdims: false });
  const total = (x: Ref) => reduce(x, 'sum', all(x));
  const shapeOf = (x: Ref) => x.type.shape as StaticShape;
  /** Vectors of the last axis in x. */
  const vectors = (x: Ref) => elements(shapeOf(x).slice(0, -1));
  const mean = (x: Ref, count: number) => unary(total(x), ['affine', 1 / count]);
  const cosine = (a: Ref, b: Ref): Ref => {
    const axes = all(a).slice(1);
    const dot = (p: Ref, q: Ref) => reduce(mul(p, q), 'sum', axes);
    const lengths = unary(add(mul(dot(a, a), dot(b, b)), COSINE_EPSILON), 'sqrt');
    return unary(mean(div(dot(a, b), lengths), shapeOf(a)[0]!), ['affine', -1, 1]);
  };
  return {
    ...sums,
    crossEntropy: (logits, target) => mean(unary(mul(target, emit('softmax', [logits], { log: true })), 'neg'), vectors(logits)),
    soft: (logits, temperature) => emit('softmax', [unary(logits, ['affine', 1 / temperature])], { log: false }),
    kl(student, teacher, temperature) {
      const own = emit('softmax', [unary(student, ['affine', 1 / temperature])], { log: true });
      const of = unary(teacher, ['clip', LEAST_PROBABILITY, 1], 'log');
      return unary(mean(mul(teacher, sub(of, own)), vectors(student)), ['affine', temperature ** 2]);
    },
    mse: (a, b) => mean(unary(sub(a, b), 'square'), elements(shapeOf(a))),
    cosine,
    attention(student, teacher) {
      const map = (x: Ref) =>
        emit('reduce', [unary(x, 'square')], { fn: 'sum', axes: [x.type.shape.length - 1], keepdims: true });
      const [own, its] = [map(student), map(teacher)];
      const size = shapeOf(own).slice(1, -1);
      if (sameShape(shapeOf(its).slice(1, -1), size)) return cosine(own, its);
      return cosine(own, emit('resize', [its], { size, mode: 'linear', coordinates: 'half_pixel' }));
    },
    l1: (x) => reduce(x, 'l1', all(x)),
  };
}

/** What a classifier computes before its softmax, where it ends with one. */
export function logitsOf(output: Value): Value {
  const { producer } = output;
  return producer?.op.name === 'softmax' ? producer.inputs[0]! : output;
}
