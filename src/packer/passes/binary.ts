/**
 * Binary networks: convolutions and matrix products of signs by weights that are, in each output channel, one number up to its
 * sign become `binaryConv`, as does XNOR-Net's scaling by the mean of |x| over each window. The result is the same; only for
 * NaN do spellings of the sign differ.
 */
import { type Dim, isStatic } from '../../core/dim';
import { sameShape } from '../../core/shape';
import type { Node, Value } from '../../graph/ir';
import type { Rule, Site } from '../../graph/rewrite';
import { MOST_PRODUCTS } from '../../ops/binaryConv';
import type { Step } from '../../ops/define';
import { transposedName } from '../import/names';
import { asSteps, madeBy, scalarOf, stepsOf } from './match';
import { areSteps } from './steps';

/** Moves of elements, which commute with functions of one. */
const MOVES = ['transpose', 'reshape'];

/** The move that `node` is, of another value. */
function moved({ emit }: Site, { op, attrs }: Node, x: Value): Value {
  const name = op.name === 'transpose' ? transposedName(x.name, attrs.perm as number[]) : `${x.name}.${op.name}`;
  return emit(op.name, [x], attrs, name);
}

/** Whether `c` is nothing but zeros, which leave the shape of `x` as it is. */
const isZero = (c: Value, x: Value): boolean =>
  c.type.dtype === 'f32' && c.type.shape.length <= x.type.shape.length && !!c.data?.every((v) => v === 0);

/** What `condition` says of some x: that x >= 0, or that x < 0 when `negated`. */
function compared(site: Site, condition: Value): { x: Value; negated: boolean } | undefined {
  const node = condition.producer;
  if (!node) return undefined;
  const [a, b] = node.inputs as [Value, Value];
  if (MOVES.includes(node.op.name)) {
    const inner = compared(site, a);
    return inner && { ...inner, x: moved(site, node, inner.x) };
  }
  const { fn } = node.attrs;
  if (node.op.name !== 'binary') return undefined;
  if (fn === 'xor' && b.data?.length === 1 && b.data[0] === 1) {
    const inner = compared(site, a);
    return inner && { ...inner, negated: !inner.negated };
  }
  const left = fn === 'greaterOrEqual' || fn === 'less';
  if (!left && fn !== 'lessOrEqual' && fn !== 'greater') return undefined;
  const [x, zero] = left ? [a, b] : [b, a];
  const isSame = sameShape(x.type.shape, condition.type.shape);
  return isSame && isZero(zero, x) ? { x, negated: fn === 'less' || fn === 'greater' } : undefined;
}

/** Sign(Sign(x) + c), which is never 0, at the end of a program. */
export function endsInSigns(steps: readonly Step[]): boolean {
  const [, nudge] = areSteps(steps.slice(-3), 'sign', 'affine', 'sign') ? steps.slice(-3) : [];
  return nudge?.a === 1 && nudge.b > 0 && nudge.b < 1;
}

/**
 * The x of which `signs` is 1 where x >= 0 and else -1. Spelled as Where(x >= 0, 1, -1), as 2 * Cast(x >= 0) - 1, or as
 * Sign(Sign(x) + 0.1).
 */
function signedBy(site: Site, signs: Value): Value | undefined {
  const { producer } = signs;
  if (!producer || signs.type.dtype !== 'f32') return undefined;
  const { op, inputs } = producer;
  if (MOVES.includes(op.name)) {
    const x = signedBy(site, inputs[0]!);
    return x && moved(site, producer, x);
  }
  if (op.name === 'select') {
    const found = compared(site, inputs[0]!);
    const [yes, no] = [scalarOf(inputs[1], signs), scalarOf(inputs[2], signs)];
    const wanted = found?.negated ? -1 : 1;
    return yes === wanted && no === -wanted ? found?.x : undefined;
  }
  if (op.name !== 'unary') return undefined;
  const steps = stepsOf(producer, 'steps');
  if (endsInSigns(steps)) {
    const before = steps.slice(0, -3);
    return before.length ? site.emit('unary', [inputs[0]], { steps: before }, `${signs.name}.real`) : inputs[0];
  }
  const cast = areSteps(steps, 'affine') ? madeBy(inputs[0], 'cast') : undefined;
  const found = cast && compared(site, cast.inputs[0]!);
  const wanted = found?.negated ? -1 : 1;
  return found && steps[0]!.a === 2 * wanted && steps[0]!.b === -wanted ? found.x : undefined;
}

/** Weights [O, ...] as signs and a factor for each output, where they are that exactly. */
function signsAndFactors(weights: Float32Array, outputs: number): { signs: Int8Array; factors: Float32Array } | undefined {
  const size = weights.length / outputs;
  const factors = Float32Array.from({ length: outputs }, (_, o) => Math.abs(weights[o * size]!));
  const isBinary = weights.every((w, i) => Math.abs(w) === factors[Math.floor(i / size)]);
  return isBinary ? { signs: Int8Array.from(weights, (w) => (w < 0 ? -1 : 1)), factors } : undefined;
}

/** A border of one number around an image [N,H,W,C]: the image in it, and top, left, bottom and right. */
function borderOf(site: Site, x: Value): { signs: Value | undefined; border: number; pads: number[] } | undefined {
  const move = madeBy(x, 'transpose');
  const pad = madeBy(move?.inputs[0] ?? x, 'pad');
  if (pad?.attrs.mode !== 'constant') return undefined;
  const perm = (move?.attrs.perm ?? [0, 1, 2, 3]) as number[];
  const [before, after] = [pad.attrs.before, pad.attrs.after].map((list) => perm.map((axis) => (list as Dim[])[axis]!));
  const [top, left, bottom, right] = [before![1], before![2], after![1], after![2]] as number[];
  const isSpatial = [...before!, ...after!].every(isStatic) && [0, 3].every((axis) => before![axis] === 0 && after![axis] === 0);
  if (!isSpatial) return undefined;
  const inner = signedBy(site, pad.inputs[0]!);
  const signs = inner && move ? moved(site, move, inner) : inner;
  return { signs, border: pad.attrs.value as number, pads: [top!, left!, bottom!, right!] };
}

/** A convolution, or matrix product, of signs by weights of one size in each output. */
export const binarized: Rule = (site) => {
  const { node, inputs, build, emit } = site;
  const [x, w, bias, multiplier, residual] = inputs;
  const isConv = node.op.name === 'conv';
  if ((!isConv && node.op.name !== 'gemm') || multiplier || !w?.data || w.type.dtype !== 'f32' || (bias && !bias.data))
    return undefined;
  if (isConv && node.attrs.group !== 1) return undefined;
  const outputs = w.type.shape[0] as number;
  if (w.data.length === 0 || w.data.length / outputs > MOST_PRODUCTS) return undefined;
  const binary = signsAndFactors(w.data as Float32Array, outputs);
  if (!binary) return undefined;
  const { strides, pads, dilations, act } = node.attrs;
  const bordered = isConv && (pads as number[]).every((p) => p === 0) ? borderOf(site, x!) : undefined;
  const source = bordered ? bordered.signs : signedBy(site, x!);
  const border = bordered?.border ?? 0;
  if (!source || ![-1, 0, 1].includes(border)) return undefined;
  const window = isConv && { strides: strides!, dilations: dilations!, pads: bordered?.pads ?? pads! };
  const factors = build.constant(`${w.name}.multiplier`, { dtype: 'f32', shape: [outputs] }, binary.factors);
  const signs = build.constant(w.name, { dtype: 'i8', shape: w.type.shape }, binary.signs);
  const operands = [source, signs, bias, factors, ...(residual ? [residual] : [])];
  return emit('binaryConv', operands, { ...window, border, act: act! });
};

/** |x| over all channels, as the mean along the last axis, which stays as 1: x. */
function meanMagnitude(mean: Value | undefined): Value | undefined {
  const node = madeBy(mean, 'reduce');
  const magnitudes = node?.inputs[0];
  const axes = node?.attrs.axes as readonly number[];
  const isMean = node?.attrs.fn === 'mean' && node.attrs.keepdims && axes.length === 1;
  if (!isMean || axes[0] !== magnitudes!.type.shape.length - 1) return undefined;
  const { from, steps } = asSteps(magnitudes!);
  return areSteps(steps, 'abs') ? from : undefined;
}

/** Whether `k` is the mean of |x| over the windows of `product`, a convolution whose border holds zeros. */
function isWindowMean(k: Node, product: Node): boolean {
  const [mean, w, bias] = k.inputs;
  const [x, signs] = product.inputs;
  const [, kh, kw] = signs!.type.shape as number[];
  const [outputs, ...kernel] = w!.type.shape;
  const isBox = !bias && outputs === 1 && kernel.join() === [kh, kw, 1].join();
  const share = Math.fround(1 / (kh! * kw!));
  const alike = (['strides', 'pads', 'dilations'] as const).every((name) => `${k.attrs[name]}` === `${product.attrs[name]}`);
  const isPlain = stepsOf(k, 'act').length === 0 && !k.inputs[4];
  return isBox && alike && isPlain && !!w!.data?.every((v) => v === share) && meanMagnitude(mean) === x;
}

/** Sums of signs times the mean of |x| over their windows. */
export const windowScaled: Rule = ({ node, inputs, only, emit }) => {
  if (node.op.name !== 'binary' || node.attrs.fn !== 'mul') return undefined;
  for (const i of [0, 1]) {
    const product = only(i) ? madeBy(inputs[i], 'binaryConv') : undefined;
    const k = madeBy(inputs[1 - i], 'conv');
    if (!product || !k || product.attrs.scaled || stepsOf(product, 'act').length > 0) continue;
    const [x, w, bias, multiplier, residual] = product.inputs;
    if (bias || residual || !isWindowMean(k, product)) continue;
    return emit('binaryConv', [x, w, bias, multiplier], { ...product.attrs, scaled: true, act: node.attrs.act! });
  }
  return undefined;
};
