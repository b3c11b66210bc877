/**
 * Kinds of nodes that only graphs in training have: gradients that would be many nodes, and batch normalisation by the statistics of
 * the batch. They have no opcode, no kernel and no file; executor.ts says what they are in ONNX, and their references say what they mean.
 */
import { WaferError } from '../../core/errors';
import { elements, type StaticShape, sameShape, type TensorType, typeText } from '../../core/shape';
import {
  type Attrs,
  type AttrsOf,
  bool,
  type Differentiation,
  defineOp,
  type Emit,
  float,
  type Gradients,
  int,
  ints,
  type Offline,
  type Op,
  type Ref,
} from '../../ops/define';
import { OFFLINE, opCode, opNamed } from '../../ops/index';
import { windowCounts } from '../../ops/window';

/** Adds nodes to a graph of gradients, training-only kinds too. */
export interface TrainEmit extends Emit {
  /** Every output of a node. */
  all(op: string, inputs: readonly (Ref | undefined)[], attrs?: Attrs): readonly Ref[];
}

/** What is known of an operator or a training-only kind here. */
export interface Meaning<A = Attrs> extends Pick<Offline<A>, 'reference'> {
  gradient?(node: Differentiation<A> & { readonly emit: TrainEmit }): Gradients;
}

const never = (): never => {
  throw new WaferError('UNSUPPORTED', 'this node exists in training only');
};

const expectFloat = (...types: readonly (TensorType | undefined)[]): void => {
  for (const type of types) if (type && type.dtype !== 'f32') throw new WaferError('DTYPE', `takes f32, got ${typeText(type)}`);
};

const windowAttrs = { strides: ints(1, 1), pads: ints(0, 0, 0, 0), dilations: ints(1, 1) };

/** Calls `tap` with the indices of every product of a convolution: of the image, the weights and the output. */
function eachProduct(
  image: StaticShape,
  weights: StaticShape,
  out: StaticShape,
  {
    strides,
    pads,
    dilations,
    group,
  }: { strides: readonly number[]; pads: readonly number[]; dilations: readonly number[]; group: number },
  tap: (x: number, w: number, y: number) => void,
): void {
  const [n, h, width, c] = image as [number, number, number, number];
  const [o, kh, kw, depth] = weights as [number, number, number, number];
  const [, oh, ow] = out as [number, number, number];
  let at = 0;
  for (let batch = 0; batch < n; batch++)
    for (let oy = 0; oy < oh; oy++)
      for (let ox = 0; ox < ow; ox++)
        for (let channel = 0; channel < o; channel++, at++)
          for (let ky = 0; ky < kh; ky++)
            for (let kx = 0; kx < kw; kx++) {
              const iy = oy * strides[0]! - pads[0]! + ky * dilations[0]!;
              const ix = ox * strides[1]! - pads[1]! + kx * dilations[1]!;
              if (iy < 0 || iy >= h || ix < 0 || ix >= width) continue;
              const from = ((batch * h + iy) * width + ix) * c + Math.floor(channel / (o / group)) * depth;
              const weight = ((channel * kh + ky) * kw + kx) * depth;
              for (let i = 0; i < depth; i++) tap(from + i, weight + i, at);
            }
}

const convInputAttrs = { ...windowAttrs, group: int(1), /** Height and width of the image. */ image: ints() };

/** dx of conv from dy [N,OH,OW,O] and w [O,KH,KW,C/group]. */
const convInputGradient = defineOp({
  name: 'convInputGradient',
  inputs: ['dy', 'w'],
  attrs: convInputAttrs,
  infer([dy, w], { image, group }) {
    expectFloat(dy, w);
    return [{ dtype: 'f32', shape: [dy!.shape[0]!, ...image, (w!.shape[3] as number) * group] }];
  },
  wasm: never,
});

const convInputMeaning: Meaning<AttrsOf<typeof convInputAttrs>> = {
  reference([dy, w], attrs, [dx]) {
    const out = new Float64Array(elements(dx!.shape));
    eachProduct(dx!.shape, w!.type.shape, dy!.type.shape, attrs, (x, weight, y) => {
      out[x]! += dy!.data[y]! * w!.data[weight]!;
    });
    return [out];
  },
};

const convWeightAttrs = { ...windowAttrs, group: int(1), /** Height and width of the weights. */ kernel: ints() };

/** dw of conv from x [N,H,W,C] and dy [N,OH,OW,O]. */
const convWeightGradient = defineOp({
  name: 'convWeightGradient',
  inputs: ['x', 'dy'],
  attrs: convWeightAttrs,
  infer([x, dy], { kernel, group }) {
    expectFloat(x, dy);
    return [{ dtype: 'f32', shape: [dy!.shape[3]!, ...kernel, (x!.shape[3] as number) / group] }];
  },
  wasm: never,
});

const convWeightMeaning: Meaning<AttrsOf<typeof convWeightAttrs>> = {
  reference([x, dy], attrs, [dw]) {
    const out = new Float64Array(elements(dw!.shape));
    eachProduct(x!.type.shape, dw!.shape, dy!.type.shape, attrs, (from, weight, y) => {
      out[weight]! += x!.data[from]! * dy!.data[y]!;
    });
    return [out];
  },
};

const maxPoolAttrs = { ...windowAttrs, kernel: ints(1, 1), ceil: bool(false) };

/** dx of a maximum pool from x and dy: each window's gradient goes to the first of its maxima. */
const maxPoolGradient = defineOp({
  name: 'maxPoolGradient',
  inputs: ['x', 'dy'],
  attrs: maxPoolAttrs,
  infer([x, dy], attrs) {
    expectFloat(x, dy);
    const counts = windowCounts(x!.shape.slice(1, 3), attrs, attrs.ceil);
    if (!sameShape(dy!.shape.slice(1, 3), counts)) throw new WaferError('SHAPE', `${typeText(dy!)} is not what the pool gives`);
    return [x!];
  },
  wasm: never,
});

const maxPoolMeaning: Meaning<AttrsOf<typeof maxPoolAttrs>> = {
  reference([x, dy], { kernel, strides, pads, dilations }) {
    const [, h, w, c] = x!.type.shape as [number, number, number, number];
    const [n, oh, ow] = dy!.type.shape as [number, number, number];
    const out = new Float64Array(x!.data.length);
    let at = 0;
    for (let image = 0; image < n; image++)
      for (let oy = 0; oy < oh; oy++)
        for (let ox = 0; ox < ow; ox++)
          for (let channel = 0; channel < c; channel++, at++) {
            let best = -1;
            for (let ky = 0; ky < kernel[0]!; ky++)
              for (let kx = 0; kx < kernel[1]!; kx++) {
                const iy = oy * strides[0]! - pads[0]! + ky * dilations[0]!;
                const ix = ox * strides[1]! - pads[1]! + kx * dilations[1]!;
                if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
                const here = ((image * h + iy) * w + ix) * c + channel;
                if (best < 0 || x!.data[here]! > x!.data[best]!) best = here;
              }
            out[best]! += dy!.data[at]!;
          }
    return [out];
  },
};

const normAttrs = { epsilon: float(1e-5), /** Part of the batch's statistics in the running ones. */ momentum: float(0.1) };

const channelTypes = (x: TensorType): TensorType => ({ dtype: 'f32', shape: x.shape.slice(-1) });

/**
 * Batch normalisation of x[..., C] by the mean and (biased) variance of the batch, which are its other outputs. The running ones
 * are inputs that it does not read: they say which constants are to follow the batches'.
 */
const batchNorm = defineOp({
  name: 'batchNorm',
  inputs: ['x', 'gamma', 'beta', 'mean', 'variance'],
  attrs: normAttrs,
  infer(inputs) {
    expectFloat(...inputs);
    const [x, ...vectors] = inputs as [TensorType, ...TensorType[]];
    for (const v of vectors)
      if (!sameShape(v.shape, x.shape.slice(-1)))
        throw new WaferError('SHAPE', `expected a number for each channel of ${typeText(x)}, got ${typeText(v)}`);
    return [x, channelTypes(x), channelTypes(x)];
  },
  wasm: never,
});

interface Statistics {
  c: number;
  count: number;
  mean: Float64Array;
  variance: Float64Array;
}

function statisticsOf(x: Float64Array, c: number): Statistics {
  const count = x.length / c;
  const [mean, variance] = [new Float64Array(c), new Float64Array(c)];
  x.forEach((v, i) => (mean[i % c]! += v / count));
  x.forEach((v, i) => (variance[i % c]! += (v - mean[i % c]!) ** 2 / count));
  return { c, count, mean, variance };
}

const batchNormMeaning: Meaning<AttrsOf<typeof normAttrs>> = {
  reference([x, gamma, beta], { epsilon }) {
    const { c, mean, variance } = statisticsOf(x!.data, x!.type.shape.at(-1)!);
    const y = x!.data.map((v, i) => {
      const k = i % c;
      return ((v - mean[k]!) / Math.sqrt(variance[k]! + epsilon)) * gamma!.data[k]! + beta!.data[k]!;
    });
    return [y, mean, variance];
  },
  gradient({ inputs: [x, gamma], dy, attrs, emit }): Gradients {
    return emit.all('batchNormGradient', [x, gamma, dy], { epsilon: attrs.epsilon });
  },
};

/** dx, dgamma and dbeta of batchNorm from x, gamma and dy. */
const batchNormGradient = defineOp({
  name: 'batchNormGradient',
  inputs: ['x', 'gamma', 'dy'],
  attrs: { epsilon: float(1e-5) },
  infer([x, gamma, dy]) {
    expectFloat(x, gamma, dy);
    return [x!, gamma!, gamma!];
  },
  wasm: never,
});

const batchNormGradientMeaning: Meaning<{ epsilon: number }> = {
  reference([x, gamma, dy], { epsilon }) {
    const { c, count, mean, variance } = statisticsOf(x!.data, x!.type.shape.at(-1)!);
    const normal = x!.data.map((v, i) => (v - mean[i % c]!) / Math.sqrt(variance[i % c]! + epsilon));
    const [dgamma, dbeta] = [new Float64Array(c), new Float64Array(c)];
    dy!.data.forEach((d, i) => {
      dgamma[i % c]! += d * normal[i]!;
      dbeta[i % c]! += d;
    });
    const dx = dy!.data.map((d, i) => {
      const k = i % c;
      return (gamma!.data[k]! / Math.sqrt(variance[k]! + epsilon)) * (d - dbeta[k]! / count - (normal[i]! * dgamma[k]!) / count);
    });
    return [dx, dgamma, dbeta];
  },
};

/** `value`, whose gradient goes to `of` as if that had been the value: how what has no gradient is trained through. */
const straightThrough = defineOp({
  name: 'straightThrough',
  inputs: ['value', 'of'],
  attrs: {},
  infer([value, of]) {
    expectFloat(value, of);
    if (!sameShape(value!.shape, of!.shape))
      throw new WaferError('SHAPE', `${typeText(value!)} cannot stand for ${typeText(of!)}`);
    return [value!];
  },
  wasm: never,
});

const straightThroughMeaning: Meaning = {
  reference: ([value]) => [value!.data],
  gradient: ({ dy }) => [undefined, dy],
};

interface Kind {
  op: Op;
  meaning: Meaning;
}

const KINDS: readonly Kind[] = [
  { op: convInputGradient, meaning: convInputMeaning },
  { op: convWeightGradient, meaning: convWeightMeaning },
  { op: maxPoolGradient, meaning: maxPoolMeaning },
  { op: batchNorm, meaning: batchNormMeaning },
  { op: batchNormGradient, meaning: batchNormGradientMeaning },
  { op: straightThrough, meaning: straightThroughMeaning },
];

const BY_NAME = new Map(KINDS.map((kind) => [kind.op.name, kind]));

/** An operator of the file or a training-only kind. Throws UNSUPPORTED. */
export const kindNamed = (name: string): Op => BY_NAME.get(name)?.op ?? opNamed(name);

/** What the packer knows of an operator or a training-only kind. */
export const meaningOf = (op: Op): Meaning => BY_NAME.get(op.name)?.meaning ?? OFFLINE[opCode(op)]!;
