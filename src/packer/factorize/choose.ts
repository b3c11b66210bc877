/** Which ranks layers get: by the energy that is to be kept, by a rank, or by what all of them together may cost. */
import { type Cost, costOf, type Layer } from './layer';
import type { Decomposed, Method } from './methods';

export interface Candidate {
  readonly method: Method;
  readonly decomposed: Decomposed;
  readonly ranks: readonly number[];
  /** At least so much is kept. */
  readonly energy: number;
  readonly cost: Cost;
}

export type Measure = keyof Cost;

/** A layer by one of its methods. */
export interface Way {
  readonly layer: Layer;
  readonly method: Method;
  readonly decomposed: Decomposed;
}

/** The candidate at these ranks, if it has no more parameters and MACs than the layer, and fewer of one. */
export function candidateAt({ layer, method, decomposed }: Way, ranks: readonly number[]): Candidate | undefined {
  const cost = costOf(method.stages(layer.stage, ranks), layer.input);
  const whole = costOf([layer.stage], layer.input);
  const saves = cost.parameters <= whole.parameters && cost.macs <= whole.macs;
  if (!saves || (cost.parameters === whole.parameters && cost.macs === whole.macs)) return undefined;
  return { method, decomposed, ranks, energy: decomposed.energy(ranks), cost };
}

/** Sides of at most so many channels are tried at ranks that are no multiples, too. */
const NARROW = 128;

/** All that save something, at ranks that are multiples of `step` or full. */
export function candidatesOf(way: Way, step: number): Candidate[] {
  const sides = way.method.fullRanks(way.layer.stage).map((full) => {
    const unit = full <= NARROW ? step : Math.max(step, UNIT);
    const ranks = Array.from({ length: Math.floor(full / unit) }, (_, i) => (i + 1) * unit);
    return ranks.at(-1) === full ? ranks : [...ranks, full];
  });
  const all = sides.reduce<number[][]>((found, ranks) => found.flatMap((before) => ranks.map((r) => [...before, r])), [[]]);
  return all.flatMap((ranks) => candidateAt(way, ranks) ?? []);
}

/** Kernels take channels in eights. */
export const UNIT = 8;

const less = (by: Measure, a: Candidate, b: Candidate): Candidate => {
  const other = by === 'macs' ? 'parameters' : 'macs';
  const order = a.cost[by] - b.cost[by] || a.cost[other] - b.cost[other] || b.energy - a.energy;
  return order <= 0 ? a : b;
};

/** What costs the least of those that keep `energy`; ranks that are no multiples are tried where none of these does. */
export function byEnergy(ways: readonly Way[], energy: number, by: Measure): Candidate | undefined {
  for (const step of [UNIT, 1]) {
    const enough = ways.flatMap((way) => candidatesOf(way, step)).filter((c) => c.energy >= energy);
    if (enough.length > 0) return enough.reduce((a, b) => less(by, a, b));
  }
  return undefined;
}

/** A layer's choice under a budget; undefined leaves the layer alone. */
interface Point {
  readonly cost: number;
  readonly energy: number;
  readonly candidate?: Candidate;
}

/** Of energy: what is gained below is rounding. */
const NOISE = 1e-9;

/** What a layer can become, the layer itself included, the cheapest first. */
function pointsOf(ways: readonly Way[], whole: Cost, by: Measure): Point[] {
  const at = (step: number) => ways.flatMap((way) => candidatesOf(way, step));
  const even = at(UNIT);
  const candidates = even.length > 0 ? even : at(1);
  const points: Point[] = candidates.map((candidate) => ({ cost: candidate.cost[by], energy: candidate.energy, candidate }));
  return [...points, { cost: whole[by], energy: 1 }].sort((a, b) => a.cost - b.cost || b.energy - a.energy);
}

/** The points of which each gains less energy for what it costs more than the one before. */
function hull(points: readonly Point[]): Point[] {
  const kept: Point[] = [];
  for (const point of points) {
    if (kept.length > 0 && point.energy <= kept.at(-1)!.energy + NOISE) continue;
    while (kept.length > 1 && gain(kept.at(-2)!, kept.at(-1)!) <= gain(kept.at(-2)!, point)) kept.pop();
    kept.push(point);
  }
  return kept;
}

const gain = (a: Point, b: Point): number => (b.energy - a.energy) / Math.max(b.cost - a.cost, Number.MIN_VALUE);

/**
 * Spends `budget` on layers: each begins at its cheapest, and what gains most energy for its cost is taken until nothing more fits.
 * `least` is what all cost at their cheapest; where it is over the budget, that is what they get.
 */
export function byBudget(
  layers: readonly { ways: readonly Way[]; whole: Cost }[],
  budget: number,
  by: Measure,
): { chosen: (Candidate | undefined)[]; least: number } {
  const points = layers.map(({ ways, whole }) => pointsOf(ways, whole, by));
  const hulls = points.map(hull);
  const at = hulls.map(([first]) => first!);
  const least = at.reduce((sum, { cost }) => sum + cost, 0);
  let left = budget - least;
  const take = (layer: number, point: Point): void => {
    left -= point.cost - at[layer]!.cost;
    at[layer] = point;
  };
  const steps = hulls.flatMap((hull, layer) => hull.slice(1).map((to, i) => ({ layer, from: hull[i]!, to })));
  steps.sort((a, b) => gain(b.from, b.to) - gain(a.from, a.to) || a.layer - b.layer || a.to.cost - b.to.cost);
  for (const { layer, from, to } of steps) if (at[layer] === from && to.cost - from.cost <= left) take(layer, to);
  // What is left is too little for whole steps: what lies between them may fit.
  points.forEach((all, layer) => {
    const now = at[layer]!;
    const better = all.filter(({ cost, energy }) => energy > now.energy + NOISE && cost - now.cost <= left);
    if (better.length > 0)
      take(
        layer,
        better.reduce((a, b) => (b.energy > a.energy ? b : a)),
      );
  });
  return { chosen: at.map(({ candidate }) => candidate), least };
}
