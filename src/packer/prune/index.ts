/**
 * Structured pruning: channels that are worth least are removed from everything that makes or reads them. What belongs together is
 * found by dependencies.ts, what channels are worth by criteria.ts, and how many go by groups.ts.
 */
import { WaferError } from '../../core/errors';
import { type Graph, nodeText } from '../../graph/ir';
import type { Engine, Sample } from '../evaluate/engine';
import { type Fidelity, fidelity, outputsOf, withoutSoftmax } from '../quantize/fidelity';
import { folded } from '../train/program';
import { compensated } from './compensate';
import { CRITERIA, type Criterion, type Evidence, scoresOf } from './criteria';
import { type Dependencies, dependenciesOf } from './dependencies';
import { type Amount, checkRatio, checkWord, chooseUnits, type Group, groupsOf } from './groups';
import { parametersIn, withChannelsMasked, withoutChannels } from './removal';

export { CRITERIA, type Criterion, type Evidence } from './criteria';
export { type PrunedWeights, pruneWeights, WEIGHT_CRITERIA, type WeightOptions, type WeightReport } from './weights';

export interface ChannelOptions extends Amount {
  /** What says how much a channel is worth. */
  by: Criterion;
  /** Of `random`, and of nothing else. Default 1. */
  seed?: number | undefined;
  /** Whether weights that read channels that stay make up for those that go, as far as samples show them alike. Default false. */
  compensate?: boolean | undefined;
}

/** Channels that the same layers make; those that go together count once. */
export interface GroupReport {
  layers: readonly string[];
  channels: number;
  kept: number;
  /** Why some, or all, could not be removed. */
  pinned?: string;
}

export interface ChannelReport {
  by: Criterion;
  /** Of groups that can lose some. */
  channels: { before: number; after: number };
  parameters: { before: number; after: number };
  groups: readonly GroupReport[];
}

export interface PrunedChannels {
  graph: Graph;
  report: ChannelReport;
}

/**
 * The graph without the channels that are worth least. It is a graph of floats, decluttered or of training (with batch norms), and so
 * is what comes out. Throws ARGUMENT for options and patterns that are none and for evidence that is missing, and UNSUPPORTED where
 * nothing can be pruned.
 */
export const pruneChannels = (graph: Graph, options: ChannelOptions, evidence?: Evidence): Promise<PrunedChannels> =>
  pruned(graph, options, evidence, withoutChannels);

/** The same choice, with channels that are 0: nothing makes them or reads them, and no shape changes. */
export const maskChannels = (graph: Graph, options: ChannelOptions, evidence?: Evidence): Promise<PrunedChannels> =>
  pruned(graph, options, evidence, withChannelsMasked);

async function pruned(
  graph: Graph,
  options: ChannelOptions,
  evidence: Evidence | undefined,
  remove: typeof withoutChannels,
): Promise<PrunedChannels> {
  checkWord('by', options.by, CRITERIA);
  const { dependencies, groups } = prunable(graph);
  const scores = await scoresOf(graph, dependencies, options.by, options.seed ?? 1, evidence);
  const removed = chooseUnits(dependencies, groups, scores, options);
  const given = options.compensate ? await compensated(graph, dependencies, removed, evidence) : graph;
  const made = remove(given, options.compensate ? dependenciesOf(given) : dependencies, removed);
  const reports = groups.map((group) => reportOf(group, dependencies, removed, scores));
  const free = reports.filter((_, i) => groups[i]!.units.length > 0);
  const total = (of: (group: GroupReport) => number) => free.reduce((sum, group) => sum + of(group), 0);
  return {
    graph: made,
    report: {
      by: options.by,
      channels: { before: total(({ channels }) => channels), after: total(({ kept }) => kept) },
      parameters: { before: parametersIn(graph), after: parametersIn(made) },
      groups: reports,
    },
  };
}

/** What can be pruned of a graph. Throws UNSUPPORTED where that is nothing. */
function prunable(graph: Graph): { dependencies: Dependencies; groups: Group[] } {
  const levels = graph.nodes.find(({ inputs, outputs }) => [...inputs, ...outputs].some((x) => x?.type.dtype === 'i8'));
  if (levels)
    throw new WaferError('UNSUPPORTED', 'channels are pruned in floats, and this model computes in integers', {
      node: nodeText(levels),
      hint: 'prune the model first and quantise what comes of it',
    });
  const dependencies = dependenciesOf(graph);
  const groups = groupsOf(dependencies);
  if (groups.every(({ units }) => units.length === 0)) {
    const [first] = groups;
    throw new WaferError('UNSUPPORTED', 'the model has no channels that could be pruned', {
      hint: first
        ? `${first.layers[0]} keeps its channels because ${dependencies.units[first.pinned[0]!]!.pinned}`
        : 'it has no convolutions or matrix products with constant weights',
    });
  }
  return { dependencies, groups };
}

const NO_EVIDENCE = 'the criterion says nothing of them';

function reportOf(
  { layers, units, pinned }: Group,
  dependencies: Dependencies,
  removed: readonly boolean[],
  scores: ArrayLike<number>,
): GroupReport {
  const channels = units.length + pinned.length;
  const isUnknown = units.some((unit) => Number.isNaN(scores[unit]));
  const why = pinned.length > 0 ? dependencies.units[pinned[0]!]!.pinned : isUnknown ? NO_EVIDENCE : undefined;
  return {
    layers,
    channels,
    kept: channels - units.filter((unit) => removed[unit]).length,
    ...(why !== undefined && { pinned: why }),
  };
}

/** What pruning one group alone does to the outputs. */
export interface ChannelSensitivity {
  layers: readonly string[];
  channels: number;
  choices: readonly (Fidelity & { ratio: number; kept: number })[];
}

/**
 * How far the outputs (of a softmax, what it is of) are from the graph's own when one group alone loses each of the parts `ratios` of
 * its channels, those with the least l2 norms. Throws ARGUMENT without samples, and as `pruneChannels`.
 */
export async function channelSensitivity(
  graph: Graph,
  ratios: readonly number[],
  samples: readonly Sample[],
  engine: Engine,
  onProgress: (done: number, total: number, what: string) => void = () => {},
): Promise<ChannelSensitivity[]> {
  if (samples.length === 0)
    throw new WaferError('ARGUMENT', 'sensitivity is measured on samples', { hint: 'pass a few real inputs' });
  for (const ratio of ratios) checkRatio('ratio', ratio);
  const scores = withoutSoftmax(folded(graph));
  const { dependencies, groups } = prunable(scores);
  const worth = await scoresOf(scores, dependencies, 'l2', 1);
  const expected = await outputsOf(scores, samples, engine);
  const found: ChannelSensitivity[] = [];
  const free = groups.filter(({ units }) => units.length > 0);
  for (const [done, group] of free.entries()) {
    const channels = group.units.length + group.pinned.length;
    const choices = [];
    for (const ratio of ratios) {
      const removed = chooseUnits(dependencies, [group], worth, { ratio, multiple: 1, least: 0 });
      const kept = channels - group.units.filter((unit) => removed[unit]).length;
      choices.push({
        ratio,
        kept,
        ...(await fidelity(withoutChannels(scores, dependencies, removed), samples, expected, engine)),
      });
    }
    found.push({ layers: group.layers, channels, choices });
    onProgress(done + 1, free.length, group.layers[0]!);
  }
  return found;
}
