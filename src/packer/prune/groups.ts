/** Channels that the same layers make, and which of them to remove. */
import { nearest, WaferError } from '../../core/errors';
import { layersMatching } from '../layerNames';
import type { Dependencies, Maker } from './dependencies';
import type { Removed } from './removal';

/** Units that are made by the same layers, as many rows of each. */
export interface Group {
  /** The nodes that make them. */
  readonly layers: readonly string[];
  /** Those that can be removed. */
  readonly units: readonly number[];
  /** Those that cannot. */
  readonly pinned: readonly number[];
  /** Channels of a layer that a unit stands for: the greatest number that divides those of all layers. */
  readonly rows: number;
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/** In order of their first layers. */
export function groupsOf({ units, makers }: Dependencies): Group[] {
  const rowsOf = units.map(() => new Map<Maker, number>());
  for (const maker of makers) for (const unit of maker.labels) rowsOf[unit]!.set(maker, (rowsOf[unit]!.get(maker) ?? 0) + 1);
  const numbers = new Map(makers.map((maker, i) => [maker, i]));
  const groups = new Map<string, { layers: string[]; units: number[]; pinned: number[]; rows: number }>();
  rowsOf.forEach((rows, unit) => {
    if (rows.size === 0) return;
    const key = [...rows].map(([maker, count]) => `${numbers.get(maker)}x${count}`).join();
    let group = groups.get(key);
    if (!group) {
      const layers = [...new Set([...rows.keys()].map(({ node }) => node.name))];
      groups.set(key, (group = { layers, units: [], pinned: [], rows: [...rows.values()].reduce(gcd) }));
    }
    group[units[unit]!.pinned === undefined ? 'units' : 'pinned'].push(unit);
  });
  return [...groups.values()];
}

export interface Amount {
  /** Part of the channels to remove of every group that `layers` does not name. */
  ratio?: number | undefined;
  /**
   * Parts by layer: keys are names of nodes, in which `*` stands for anything; of several that match, the last counts. Of a group's
   * layers the least counts.
   */
  layers?: Readonly<Record<string, number>> | undefined;
  /** Whether `ratio` is of each group, or of all together, those with the least scores first. Default layer. */
  scope?: 'global' | 'layer' | undefined;
  /** Channels that are kept of a layer are a multiple of this, or all, where it has so many. Default 8. */
  multiple?: number | undefined;
  /** Part of each group's channels that is kept at the least. Default 0.1; one always is. */
  least?: number | undefined;
}

/** Throws ARGUMENT for what is no part. */
export function checkRatio(name: string, value: number): void {
  if (!(value >= 0 && value < 1))
    throw new WaferError('ARGUMENT', `${name} is ${value}, which is no part of channels or weights to remove`, {
      hint: 'it is at least 0 and less than 1, as in 0.3',
    });
}

/** Throws ARGUMENT for a word that is none of `known`. */
export function checkWord(name: string, value: string, known: readonly string[]): void {
  if (known.includes(value)) return;
  const near = nearest(value, known);
  throw new WaferError('ARGUMENT', `${name} is "${value}"`, {
    hint: near ? `did you mean "${near}"?` : `it is one of ${known.join(', ')}`,
  });
}

/**
 * Units to remove, those with the least scores first. Groups of which a score is no number are left alone. Throws ARGUMENT.
 */
export function chooseUnits(
  dependencies: Dependencies,
  groups: readonly Group[],
  scores: ArrayLike<number>,
  amount: Amount,
): boolean[] {
  const { ratio = 0, layers = {}, scope = 'layer', multiple = 8, least = 0.1 } = amount;
  checkWord('scope', scope, ['global', 'layer']);
  for (const [pattern, part] of Object.entries(layers)) checkRatio(`the ratio of "${pattern}"`, part);
  checkRatio('ratio', ratio);
  checkRatio('least', least);
  if (!Number.isInteger(multiple) || multiple < 1)
    throw new WaferError('ARGUMENT', `multiple is ${multiple}, which is no number of channels`, { hint: 'it is 1 or more' });
  const ratioOf = layersMatching([...new Set(groups.flatMap((group) => group.layers))], layers);
  const own = (group: Group): number | undefined => {
    const given = group.layers.map(ratioOf).filter((part) => part !== undefined);
    return given.length > 0 ? Math.min(...given) : undefined;
  };
  const usable = groups.filter(({ units }) => units.length > 0 && units.every((unit) => !Number.isNaN(scores[unit])));
  const ranked = new Map(usable.map((group) => [group, [...group.units].sort((a, b) => scores[a]! - scores[b]!)]));
  const total = (group: Group) => group.units.length + group.pinned.length;
  const leastOf = (group: Group) => Math.max(1, group.pinned.length, Math.ceil(least * total(group)));
  const counts = new Map<Group, number>();
  const together = scope === 'global' ? usable.filter((group) => own(group) === undefined) : [];
  for (const group of usable) if (!together.includes(group)) counts.set(group, Math.round((own(group) ?? ratio) * total(group)));
  const shared = together.reduce((sum, group) => sum + total(group), 0);
  const order = together
    .flatMap((group) =>
      ranked
        .get(group)!
        .slice(0, total(group) - leastOf(group))
        .map((unit) => ({ group, unit })),
    )
    .sort((a, b) => scores[a.unit]! - scores[b.unit]!);
  for (const { group } of order.slice(0, Math.round(ratio * shared))) counts.set(group, (counts.get(group) ?? 0) + 1);

  const removed = dependencies.units.map(() => false);
  for (const [group, count] of counts) {
    const kept = roundedKept(total(group), total(group) - count, leastOf(group), multiple / gcd(multiple, group.rows));
    for (const unit of ranked.get(group)!.slice(0, total(group) - kept)) removed[unit] = true;
  }
  return fillEmpty(dependencies, removed, scores);
}

/** The number nearest to `wanted` that is `all` or a multiple of `step`, and at least `least`. */
function roundedKept(all: number, wanted: number, least: number, step: number): number {
  if (wanted >= all) return all;
  if (all < step) return Math.max(wanted, least);
  let best = all;
  for (let kept = step * Math.ceil(least / step); kept < all; kept += step)
    if (Math.abs(kept - wanted) < Math.abs(best - wanted) || (Math.abs(kept - wanted) === Math.abs(best - wanted) && kept > best))
      best = kept;
  return best;
}

/** Puts back the best unit of every axis that would lose all its indices. */
export function fillEmpty({ axes, cuts, wholeGroups }: Dependencies, removed: Removed, scores: ArrayLike<number>): boolean[] {
  const filled = [...removed];
  const lists = new Set<Int32Array>(wholeGroups.values());
  for (const list of axes.values()) for (const axis of list) if (axis) lists.add(axis.labels);
  for (const list of cuts.values()) for (const { labels } of list) lists.add(labels);
  for (const labels of lists)
    if (labels.length > 0 && labels.every((unit) => filled[unit]))
      filled[labels.reduce((best, unit) => (scores[unit]! > scores[best]! ? unit : best))] = false;
  return filled;
}
