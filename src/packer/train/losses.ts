/** Losses as nodes: each a number, the mean over the batch, from values of rank 2 or more whose first axis is the batch. */
import { elements, type StaticShape } from '../../core/shape';
import type { Value } from '../../graph/ir';
import type { Ref } from '../../ops/define';
import { type Arithmetic, arithmetic } from '../../ops/gradient';
import type { TrainEmit } from './kinds';

export interface Losses extends Arithmetic {
  /** -sum(target * log softmax(logits)): target[N,K] are probabilities, as label smoothing and mixup make them. */
  crossEntropy(logits: Ref, target: Ref): Ref;
  /** T^2 * KL(softmax(teacher / T) || softmax(student / T)), over the last axis. */
  kl(student: Ref, teacher: Ref, temperature: number): Ref;
  /** Mean of the squares of all differences. */
  mse(a: Ref, b: Ref): Ref;
  /** 1 - cosine of the angle between a and b, each example's elements taken as one vector. */
  cosine(a: Ref, b: Ref): Ref;
  /** Sum of absolute values: of parameters, to make them sparse. */
  l1(x: Ref): Ref;
}

const COSINE_EPSILON = 1e-12;

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
  return {
    ...sums,
    crossEntropy: (logits, target) => mean(unary(mul(target, emit('softmax', [logits], { log: true })), 'neg'), vectors(logits)),
    kl(student, teacher, temperature) {
      const soft = (x: Ref) => emit('softmax', [unary(x, ['affine', 1 / temperature])], { log: true });
      const [of, from] = [soft(teacher), soft(student)];
      return unary(mean(mul(unary(of, 'exp'), sub(of, from)), vectors(student)), ['affine', temperature ** 2]);
    },
    mse: (a, b) => mean(unary(sub(a, b), 'square'), elements(shapeOf(a))),
    cosine(a, b) {
      const axes = all(a).slice(1);
      const dot = (p: Ref, q: Ref) => reduce(mul(p, q), 'sum', axes);
      const lengths = unary(add(mul(dot(a, a), dot(b, b)), COSINE_EPSILON), 'sqrt');
      return unary(mean(div(dot(a, b), lengths), shapeOf(a)[0]!), ['affine', -1, 1]);
    },
    l1: (x) => reduce(x, 'l1', all(x)),
  };
}

/** What a classifier computes before its softmax, where it ends with one. */
export function logitsOf(output: Value): Value {
  const { producer } = output;
  return producer?.op.name === 'softmax' ? producer.inputs[0]! : output;
}
