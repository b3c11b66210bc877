/**
 * Quantisers as nodes that can be trained through: forward they compute what the packed weights and activations will be, backward
 * they are `straightThrough`. Weights have their output channels first, as conv and gemm take them.
 */
import { isStatic } from '../../core/dim';
import { elements, type StaticShape } from '../../core/shape';
import type { Ref } from '../../ops/define';
import { arithmetic } from '../../ops/gradient';
import { TTQ_THRESHOLD } from '../quantize/formats';
import type { TrainEmit } from './kinds';

/**
 * A scale that is learnt, as LSQ has it (Esser et al. 2020): its gradient is damped by 1 / sqrt(elements a scale * largest level),
 * of which a free batch does not count. What is trained is the logarithm of its ratio to where it starts, so that it stays positive.
 */
export interface LearntScale {
  /** A parameter that begins as 0: one number, or one for each channel as [O,1,…]. */
  ratio: Ref;
  /** Of the same shape, positive. */
  start: Ref;
}

export interface Quantizers {
  scale(scale: LearntScale): Ref;
  /** Levels `low` to `high` times a scale that is learnt. */
  lsq(x: Ref, scale: LearntScale, low: number, high: number): Ref;
  /** The same for levels at any distances, ascending. */
  levels(x: Ref, scale: LearntScale, levels: readonly number[]): Ref;
  /** Three values a channel, -a, 0 and a: 0 below 0.7 of the mean magnitude, a the mean magnitude of what is not (TWN). */
  ternary(w: Ref): Ref;
  /** -|negative|, 0 and |positive|, both of shape [], by where |w| is over 0.05 of the largest (TTQ). */
  ttq(w: Ref, positive: Ref, negative: Ref): Ref;
  /** Two values a channel, -a and a, the mean magnitude (BWN). */
  binary(w: Ref): Ref;
  /** -1 and 1, of 0 too; gradients pass where |x| <= 1 (XNOR-Net). */
  signs(x: Ref): Ref;
}

/** Natural logarithm of how far a scale can go from its start. */
const FURTHEST = Math.log(8);
/** Of the mean magnitude of a channel's weights: below it a weight is 0. */
const TERNARY_THRESHOLD = 0.7;
/** Where all of a channel's weights are 0. */
const LEAST_COUNT = 1e-12;

export function quantizers(emit: TrainEmit): Quantizers {
  const { add, div, mul, sub, unary, mask } = arithmetic(emit);
  const through = (value: Ref, of: Ref): Ref => emit('straightThrough', [value, of]);
  const ofChannels = (w: Ref, fn: string): Ref =>
    emit('reduce', [w], { fn, axes: w.type.shape.map((_, i) => i).slice(1), keepdims: true });
  const scaleOf = ({ ratio, start }: LearntScale): Ref => mul(unary(unary(ratio, ['clip', -FURTHEST, FURTHEST]), 'exp'), start);
  const damped = (x: Ref, scale: LearntScale, most: number): Ref => {
    const shared = elements(x.type.shape.filter(isStatic)) / elements(scale.start.type.shape as StaticShape);
    const moved = div(unary(scale.ratio, ['affine', 1 / Math.sqrt(shared * most)]), scale.start);
    return through(scaleOf(scale), moved);
  };
  const signsOf = (x: Ref): Ref => unary(mask(x, 'greaterOrEqual', 0), ['affine', 2, -1]);
  return {
    scale: scaleOf,
    lsq(x, scale, low, high) {
      const own = damped(x, scale, high > 0 ? high : -low);
      const inside = unary(div(x, own), ['clip', low, high]);
      return mul(through(unary(inside, 'round'), inside), own);
    },
    levels(x, scale, levels) {
      const [low, high] = [levels[0]!, levels.at(-1)!];
      const own = damped(x, scale, high > 0 ? high : -low);
      const inside = unary(div(x, own), ['clip', low, high]);
      let nearest: Ref = unary(inside, ['affine', 0, low]);
      levels.slice(1).forEach((level, i) => {
        const step = unary(mask(inside, 'greaterOrEqual', (level + levels[i]!) / 2), ['affine', level - levels[i]!]);
        nearest = add(nearest, step);
      });
      return mul(through(nearest, inside), own);
    },
    ternary(w) {
      const magnitude = unary(w, 'abs');
      const kept = mask(magnitude, 'greater', unary(ofChannels(magnitude, 'mean'), ['affine', TERNARY_THRESHOLD]));
      const count = add(ofChannels(kept, 'sum'), LEAST_COUNT);
      const size = div(ofChannels(mul(magnitude, kept), 'sum'), count);
      return through(mul(mul(signsOf(w), kept), size), w);
    },
    ttq(w, positive, negative) {
      const all = w.type.shape.map((_, i) => i);
      const largest = emit('reduce', [unary(w, 'abs')], { fn: 'max', axes: all, keepdims: true });
      const threshold = unary(largest, ['affine', TTQ_THRESHOLD]);
      const above = mul(mask(w, 'greater', threshold), unary(positive, 'abs'));
      const below = mul(mask(w, 'less', unary(threshold, 'neg')), unary(negative, 'abs'));
      return add(sub(above, below), through(unary(w, ['affine', 0]), w));
    },
    binary: (w) => through(mul(signsOf(w), ofChannels(unary(w, 'abs'), 'mean')), w),
    signs: (x) => through(signsOf(x), unary(x, ['clip', -1, 1])),
  };
}
