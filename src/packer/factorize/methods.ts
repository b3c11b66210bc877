/**
 * The ways to write a layer as smaller ones, each at any ranks. Weights are looked at in coordinates of what the first of these reads,
 * which may say how much errors in each direction count.
 */
import { type Layer, POINT, type Stage } from './layer';
import { type Decomposition, decompose, eigen, gram, multiply, transposed } from './linear';

export const METHOD_NAMES = ['svd', 'spatial', 'tucker'] as const;
export type MethodName = (typeof METHOD_NAMES)[number];

/** What a layer's weights come to by one method. */
export interface Decomposed {
  /** Part of the squared weights that is kept at these ranks; at least so much. */
  energy(ranks: readonly number[]): number;
  /** The weights of each stage, and what is kept. */
  factors(ranks: readonly number[]): LayerFactors;
}

export interface Method {
  readonly name: MethodName;
  /** Why the layer is none for it, or undefined. */
  refusal(stage: Stage): string | undefined;
  /** The ranks at which nothing is lost. */
  fullRanks(stage: Stage): readonly number[];
  /** What the layer becomes. */
  stages(stage: Stage, ranks: readonly number[]): readonly Stage[];
  /** `weights` are of `stage.shape`. The first stage's weights are in the coordinates that `to` leads to. */
  decompose(stage: Stage, weights: Float64Array, to: Coordinates['to']): Decomposed;
}

const total = (values: Float64Array): number => values.reduce((sum, v) => sum + v, 0);

/** Parts of the whole that are left out when so many of the greatest are kept. All zeros leave nothing out. */
function tails(energies: Float64Array, whole = total(energies)): Float64Array {
  const tail = new Float64Array(energies.length + 1);
  for (let r = energies.length - 1; r >= 0; r--) tail[r] = tail[r + 1]! + (whole > 0 ? energies[r]! / whole : 0);
  return tail;
}

/** One matrix, whose left factor is the last stage and whose right one is the first. */
function ofMatrix({ energies, factors }: Decomposition): Decomposed {
  const tail = tails(energies);
  const energy = ([rank]: readonly number[]) => 1 - tail[rank!]!;
  return {
    energy,
    factors([rank]) {
      const { left, right } = factors(rank!);
      return { weights: [right, left], energy: energy([rank!]) };
    },
  };
}

/** The layer with fewer outputs, and a matrix that makes all of them: of all weights as [outputs, taps * inputs]. */
const svd: Method = {
  name: 'svd',
  refusal: () => undefined,
  fullRanks: ({ shape: [o, h, w, i] }) => [Math.min(o, h * w * i)],
  stages: ({ shape: [o, h, w, i], ...window }, [rank]) => [
    { shape: [rank!, h, w, i], ...window },
    { shape: [o, 1, 1, rank!], ...POINT },
  ],
  decompose: ({ shape: [o, h, w, i] }, weights, to) => ofMatrix(decompose(to(weights), o, h * w * i)),
};

/** A column of the kernel, then a row of it (Jaderberg et al. 2014): of the weights as [outputs * width, height * inputs]. */
const spatial: Method = {
  name: 'spatial',
  refusal: ({ shape: [, h, w] }) => (h > 1 && w > 1 ? undefined : 'its kernel has no height and width'),
  fullRanks: ({ shape: [o, h, w, i] }) => [Math.min(o * w, h * i)],
  stages: ({ shape: [o, h, w, i], strides, pads: [top, left, bottom, right], dilations }, [rank]) => [
    { shape: [rank!, h, 1, i], strides: [strides[0], 1], pads: [top, 0, bottom, 0], dilations: [dilations[0], 1] },
    { shape: [o, 1, w, rank!], strides: [1, strides[1]], pads: [0, left, 0, right], dilations: [1, dilations[1]] },
  ],
  decompose({ shape: [o, h, w, i] }, weights, to) {
    const columns = new Float64Array(weights.length);
    for (let out = 0; out < o; out++)
      for (let y = 0; y < h; y++)
        for (let x = 0; x < w; x++) {
          const from = ((out * h + y) * w + x) * i;
          columns.set(weights.subarray(from, from + i), ((out * w + x) * h + y) * i);
        }
    return ofMatrix(decompose(to(columns), o * w, h * i));
  },
};

/** Times that each side's basis is found anew for the other's, which is the whole of the iteration after HOSVD. */
const SWEEPS = 2;

/**
 * Fewer inputs, the kernel on them with fewer outputs, and all outputs of these (Tucker-2, Kim et al. 2016). Bases are those of the
 * unfolded weights (HOSVD), and then found in turn, each for the other (HOOI).
 */
const tucker: Method = {
  name: 'tucker',
  refusal: ({ shape: [, h, w] }) => (h * w > 1 ? undefined : 'its kernel is a single pixel'),
  fullRanks: ({ shape: [o, h, w, i] }) => [Math.min(o, h * w * i), Math.min(i, h * w * o)],
  stages: ({ shape: [o, h, w, i], ...window }, [outputs, inputs]) => [
    { shape: [inputs!, 1, 1, i], ...POINT },
    { shape: [outputs!, h, w, inputs!], ...window },
    { shape: [o, 1, 1, outputs!], ...POINT },
  ],
  decompose({ shape: [o, h, w, i] }, given, to) {
    const weights = to(given);
    const taps = h * w;
    // As [inputs, outputs * taps].
    const turned = transposed(weights, o * taps, i);
    const whole = weights.reduce((sum, v) => sum + v * v, 0);
    const byOutput = eigen(gram(weights, o, taps * i), o);
    const byInput = eigen(gram(turned, i, o * taps), i);
    const [left, right] = [byOutput, byInput].map(({ values }) =>
      tails(
        values.map((v) => Math.max(0, v)),
        whole,
      ),
    );
    return {
      energy: ([outputs, inputs]) => 1 - left![outputs!]! - right![inputs!]!,
      factors([p, q]) {
        const [outputs, inputs] = [p!, q!];
        let u = byOutput.vectors.subarray(0, outputs * o);
        let v = byInput.vectors.subarray(0, inputs * i);
        for (let sweep = 0; sweep < SWEEPS; sweep++) {
          const fewInputs = multiply(weights, transposed(v, inputs, i), o * taps, i, inputs);
          u = eigen(gram(fewInputs, o, taps * inputs), o).vectors.subarray(0, outputs * o);
          const fewOutputs = multiply(u, weights, outputs, o, taps * i);
          v = eigen(gram(transposed(fewOutputs, outputs * taps, i), i, outputs * taps), i).vectors.subarray(0, inputs * i);
        }
        const fewOutputs = multiply(u, weights, outputs, o, taps * i);
        const core = multiply(fewOutputs, transposed(v, inputs, i), outputs * taps, i, inputs);
        const kept = core.reduce((sum, x) => sum + x * x, 0);
        return { weights: [v.slice(), core, transposed(u, outputs, o)], energy: whole > 0 ? kept / whole : 1 };
      },
    };
  },
};

export const METHODS: readonly Method[] = [svd, spatial, tucker];

/**
 * The stages' weights such that each value between two of them is read as strongly as it is made: rows of the one and columns of the
 * other get equal lengths. What they compute together stays the same.
 */
export function balance(stages: readonly Stage[], weights: readonly Float64Array[]): void {
  for (let s = 0; s + 1 < stages.length; s++) {
    const [made, read] = [weights[s]!, weights[s + 1]!];
    const count = stages[s]!.shape[0];
    const size = made.length / count;
    for (let j = 0; j < count; j++) {
      let [making, reading] = [0, 0];
      for (let at = j * size; at < (j + 1) * size; at++) making += made[at]! ** 2;
      for (let at = j; at < read.length; at += count) reading += read[at]! ** 2;
      if (making === 0 || reading === 0) continue;
      const factor = (reading / making) ** 0.25;
      for (let at = j * size; at < (j + 1) * size; at++) made[at]! *= factor;
      for (let at = j; at < read.length; at += count) read[at]! /= factor;
    }
  }
}

/** Rows of numbers, each what the first stage reads at once, in other coordinates, and back. */
export interface Coordinates {
  readonly to: (weights: Float64Array) => Float64Array;
  readonly from: (weights: Float64Array) => Float64Array;
  /** Of such rows, about which coordinates are: what the factors get wrong there the bias makes good. */
  readonly mean?: Float64Array;
}

export const PLAIN: Coordinates = { to: (weights) => weights, from: (weights) => weights };

/** What weights [outputs, taps, inputs] make of the same `inputs` at every tap. */
function response(weights: Float64Array, outputs: number, inputs: Float64Array): Float64Array {
  const size = weights.length / outputs;
  return Float64Array.from({ length: outputs }, (_, o) => {
    let sum = 0;
    for (let at = 0; at < size; at++) sum += weights[o * size + at]! * inputs[at % inputs.length]!;
    return sum;
  });
}

/** Of rows [taps, inputs] over their taps. */
function tapMean(mean: Float64Array, inputs: number): Float64Array {
  const each = new Float64Array(inputs);
  mean.forEach((v, at) => {
    each[at % inputs]! += (v * inputs) / mean.length;
  });
  return each;
}

/** The weights of stages, what they keep, and what is to be added to the bias, if anything. */
export interface LayerFactors {
  readonly weights: readonly Float64Array[];
  readonly energy: number;
  readonly shift?: Float64Array;
}

/** A layer by one method, in coordinates of its inputs in which their energy is even. */
export function decomposed({ stage, weights }: Layer, method: Method, { to, from, mean }: Coordinates) {
  const { energy, factors } = method.decompose(stage, weights, to);
  return {
    energy,
    factors(ranks: readonly number[]): LayerFactors {
      const { weights: found, energy } = factors(ranks);
      const [first, ...rest] = found as [Float64Array, ...Float64Array[]];
      const all = [from(first), ...rest];
      const stages = method.stages(stage, ranks);
      balance(stages, all);
      if (!mean) return { weights: all, energy };
      const usual = tapMean(mean, stage.shape[3]);
      const got = all.reduce((inputs, own, s) => response(own, stages[s]!.shape[0], inputs), usual);
      return { weights: all, energy, shift: response(weights, stage.shape[0], usual).map((want, o) => want - got[o]!) };
    },
  };
}
