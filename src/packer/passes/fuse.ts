/**
 * What follows a product (conv, gemm, binaryConv) moves into it: per-channel scales and shifts into weights and bias,
 * functions into `act`, the addition of a tensor of its own shape into `residual`, and a zero border before it into `pads`.
 */
import { isStatic } from '../../core/dim';
import { sameShape } from '../../core/shape';
import type { Graph, Node, Value } from '../../graph/ir';
import { type Rule, rewrite, type Site } from '../../graph/rewrite';
import type { Step } from '../../ops/define';
import { binarized, endsInSigns, windowScaled } from './binary';
import { channelsOf, MAX_STEPS, madeBy, stepsOf } from './match';
import { simplifySteps } from './steps';

export const fuse = (graph: Graph): Graph =>
  rewrite(graph, border, binarized, absorbed, entering, windowScaled, channelwise, scaled, residual, activation);

const productOf = (x: Value | undefined): Node | undefined => madeBy(x, 'conv') ?? madeBy(x, 'gemm') ?? madeBy(x, 'binaryConv');

/** A product that nothing has been fused into yet but a bias, with constant weights. */
function plainProduct(x: Value | undefined): Node | undefined {
  const node = productOf(x);
  const [, w, bias, , added] = node?.inputs ?? [];
  return node &&
    w?.data &&
    (w.type.dtype === 'f32' || node.op.name === 'binaryConv') &&
    (!bias || bias.data) &&
    !added &&
    stepsOf(node, 'act').length === 0
    ? node
    : undefined;
}

/** The product with output channel o scaled by `scale[o]` and shifted by `shift[o]`, then `act` applied. */
function affineProduct(site: Site, product: Node, scale: Float32Array, shift: Float32Array, act: readonly Step[]): Value {
  const [x, w, bias, multiplier] = product.inputs as [Value, Value, Value | undefined, Value | undefined];
  const factors = multiplier ?? w;
  const size = factors.data!.length / scale.length;
  const scaled = (factors.data as Float32Array).map((v, i) => v * scale[Math.floor(i / size)]!);
  const sums = shift.map((v, o) => v + (bias ? bias.data![o]! * scale[o]! : 0));
  const { build, emit } = site;
  const changed = build.constant(factors.name, factors.type, scaled);
  return emit(
    product.op.name,
    [
      x,
      multiplier ? w : changed,
      build.constant(bias?.name ?? `${w.name}.bias`, { dtype: 'f32', shape: [scale.length] }, sums),
      ...(multiplier ? [changed] : []),
    ],
    { ...product.attrs, act },
  );
}

/** product * c, product / c, product + c, product - c, c - product with one number a channel. */
const channelwise: Rule = (site) => {
  const { node, inputs, only } = site;
  if (node.op.name !== 'binary') return undefined;
  for (const i of [0, 1]) {
    const product = only(i) ? plainProduct(inputs[i]) : undefined;
    if (!product) continue;
    const channels = product.outputs[0]!.type.shape.at(-1) as number;
    const rank = product.outputs[0]!.type.shape.length;
    const c = channelsOf(inputs[1 - i], channels, rank);
    if (!c || !sameShape(node.outputs[0]!.type.shape, product.outputs[0]!.type.shape)) continue;
    const [zeros, ones] = [c.map(() => 0), c.map(() => 1)];
    const act = stepsOf(node, 'act');
    switch (node.attrs.fn) {
      case 'add':
        return affineProduct(site, product, ones, c, act);
      case 'sub':
        return i === 0
          ? affineProduct(
              site,
              product,
              ones,
              c.map((v) => -v),
              act,
            )
          : affineProduct(
              site,
              product,
              c.map(() => -1),
              c,
              act,
            );
      case 'mul':
        return affineProduct(site, product, c, zeros, act);
      case 'div':
        return i === 0
          ? affineProduct(
              site,
              product,
              c.map((v) => 1 / v),
              zeros,
              act,
            )
          : undefined;
    }
  }
  return undefined;
};

/** A program that starts with a * x + b. */
const scaled: Rule = (site) => {
  const { node, inputs, only } = site;
  const product = node.op.name === 'unary' && only(0) ? plainProduct(inputs[0]) : undefined;
  const [first, ...rest] = product ? stepsOf(node, 'steps') : [];
  if (!product || first?.fn !== 'affine') return undefined;
  const channels = product.outputs[0]!.type.shape.at(-1) as number;
  return affineProduct(site, product, new Float32Array(channels).fill(first.a), new Float32Array(channels).fill(first.b), rest);
};

/**
 * a * x + b as the last step of what a product reads: a scales the weights, b times their sums joins the bias. Not where
 * the product sees a border, which is 0 and not b.
 */
const absorbed: Rule = ({ node, inputs, only, build, again }) => {
  const [x, w, bias, ...rest] = inputs;
  const before = productOf(node.outputs[0]) && only(0) ? x!.producer : undefined;
  const attribute = before?.op.name === 'unary' ? 'steps' : 'act';
  const steps = before?.attrs[attribute] as readonly Step[] | undefined;
  const last = steps?.at(-1);
  const whole = ((node.attrs.pads ?? []) as number[]).every((p) => p === 0);
  if (!before || last?.fn !== 'affine' || !whole || !w?.data || w.type.dtype !== 'f32' || (bias && !bias.data)) return undefined;
  const { a, b } = last;
  const data = w.data as Float32Array;
  const channels = w.type.shape[0] as number;
  const size = data.length / channels;
  const sums = Float32Array.from({ length: channels }, (_, o) => {
    const sum = data.subarray(o * size, (o + 1) * size).reduce((s, v) => s + v, 0);
    return (bias ? bias.data![o]! : 0) + b * sum;
  });
  const short = build.node(before.op, `${x!.name}.part`, before.inputs, { ...before.attrs, [attribute]: steps!.slice(0, -1) });
  const weights = build.constant(
    w.name,
    w.type,
    data.map((v) => v * a),
  );
  return again([
    short,
    weights,
    build.constant(bias?.name ?? `${w.name}.bias`, { dtype: 'f32', shape: [channels] }, sums),
    ...rest,
  ]);
};

/** x * c before a product, with one number a channel, which its weights take over. */
const entering: Rule = ({ node, inputs: [x, w, ...rest], only, build, again }) => {
  const before = productOf(node.outputs[0]) && only(0) ? madeBy(x, 'binary') : undefined;
  if (before?.attrs.fn !== 'mul' || stepsOf(before, 'act').length || !w?.data || w.type.dtype !== 'f32') return undefined;
  const { shape } = x!.type;
  for (const i of [0, 1]) {
    const [source, factor] = [before.inputs[i]!, before.inputs[1 - i]];
    const c = channelsOf(factor, shape.at(-1) as number, shape.length);
    if (!c || !sameShape(source.type.shape, shape)) continue;
    const depth = w.type.shape.at(-1) as number;
    const [outputs, groups] = [w.type.shape[0] as number, c.length / depth];
    const size = w.data.length / outputs;
    const weights = (w.data as Float32Array).map((v, at) => {
      const group = Math.floor((Math.floor(at / size) * groups) / outputs);
      return v * c[group * depth + (at % depth)]!;
    });
    return again([source, build.constant(w.name, w.type, weights), ...rest]);
  }
  return undefined;
};

const residual: Rule = ({ node, inputs, only, emit }) => {
  if (node.op.name !== 'binary' || node.attrs.fn !== 'add' || inputs[0] === inputs[1]) return undefined;
  for (const i of [1, 0]) {
    const [y, other] = [inputs[i]!, inputs[1 - i]!];
    const product = only(i) ? plainProduct(y) : undefined;
    if (!product || other.data || !sameShape(y.type.shape, other.type.shape)) continue;
    const [x, w, bias, multiplier] = product.inputs;
    return emit(product.op.name, [x, w, bias, multiplier, other], { ...product.attrs, act: stepsOf(node, 'act') });
  }
  return undefined;
};

const activation: Rule = ({ node, inputs: [x], only, emit }) => {
  const before = x?.producer;
  if (node.op.name !== 'unary' || !before || !only(0) || !('act' in before.attrs) || x.type.dtype !== 'f32') return undefined;
  // What reads signs wants what they are signs of.
  if (endsInSigns(stepsOf(node, 'steps'))) return undefined;
  const act = [...stepsOf(before, 'act'), ...stepsOf(node, 'steps')];
  if (act.length > MAX_STEPS) return undefined;
  return emit(before.op.name, before.inputs, { ...before.attrs, act: simplifySteps(act) });
};

/** A border of zeros around an image. */
const border: Rule = ({ node, inputs: [x, ...rest], only, again }) => {
  const pad = node.op.name === 'conv' && only(0) ? madeBy(x, 'pad') : undefined;
  if (pad?.attrs.mode !== 'constant' || pad.attrs.value !== 0) return undefined;
  const [before, after] = [pad.attrs.before, pad.attrs.after] as [number[], number[]];
  const spatial = [...before, ...after].every(isStatic) && [0, 3].every((axis) => before[axis] === 0 && after[axis] === 0);
  if (!spatial) return undefined;
  const added = [before[1]!, before[2]!, after[1]!, after[2]!];
  return again([pad.inputs[0], ...rest], { pads: (node.attrs.pads as number[]).map((p, i) => p + added[i]!) });
};
