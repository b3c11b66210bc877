/** Training towards what can be left out: small scales of batch norms, small outputs, and zeros that stay. */
import { WaferError } from '../../core/errors';
import { elements, type StaticShape } from '../../core/shape';
import type { Graph } from '../../graph/ir';
import type { Ref } from '../../ops/define';
import { gammasOf, type LossFunction, type Slot } from './program';

export interface SparsityOptions {
  /** Times the sum of the magnitudes of all scales of batch norms (network slimming, Liu et al. 2017). 1e-4 or so. */
  gamma?: number;
  /** Times the mean magnitude of what comes out of each nonlinear function. */
  outputs?: number;
}

/** `loss` and what magnitudes cost. Throws ARGUMENT where there is nothing to make sparse. */
export function withSparsity(loss: LossFunction, { gamma = 0, outputs = 0 }: SparsityOptions): LossFunction {
  for (const [name, value] of [
    ['scales', gamma],
    ['outputs', outputs],
  ] as const)
    if (!(value >= 0 && value < 1e3)) throw new WaferError('ARGUMENT', `a cost of ${value} for ${name} makes no sense`);
  return (site) => {
    const { add, mul, l1, gammas, activations } = site;
    const costs = (what: string, all: readonly Ref[], weight: (x: Ref) => number): Ref[] => {
      if (all.length === 0)
        throw new WaferError('ARGUMENT', `the model has no ${what} that could be made sparse`, {
          hint: 'batch norms are folded away in files: train the model that is built from layers',
        });
      return all.map((x) => mul(l1(x), weight(x)));
    };
    return [
      ...(gamma ? costs('scales of batch norms', gammas, () => gamma) : []),
      ...(outputs ? costs('nonlinear outputs', activations, (x) => outputs / elements(x.type.shape as StaticShape)) : []),
    ].reduce((sum, cost) => add(sum, cost), loss(site));
  };
}

/** Below it a scale of a batch norm is near 0: its channel is hardly heard. */
const NEAR = 0.01;

/** How many scales of batch norms there are, and how many are near 0. */
export function countGammas(graph: Graph): { count: number; nearZero: number } {
  const all = gammasOf(graph).flatMap(({ data }) => [...(data as Float32Array)]);
  return { count: all.length, nearZero: all.filter((g) => Math.abs(g) < NEAR).length };
}

/** The part of a tensor that is 0 from which on it is taken for pruned. */
const PRUNED = 0.1;

/**
 * Which tensors of weights keep their zeros: all, none, or where nothing is said those of which more than a tenth is 0. Weights that are
 * all 0 are new ones.
 */
export const keepsZeros =
  (keep: boolean | undefined, parameters: Float32Array) =>
  ({ shape, offset }: Slot): boolean => {
    if (keep === false || shape.length < 2) return false;
    const size = elements(shape);
    const zeros = parameters.subarray(offset, offset + size).reduce((count, w) => count + Number(w === 0), 0);
    return zeros < size && zeros > (keep ? 0 : PRUNED * size);
  };
