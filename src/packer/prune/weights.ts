/**
 * Unstructured pruning: weights that become 0, one by one or 4 consecutive inputs of a channel at a time, which kernels of integers skip
 * (ops/sparsity.ts). The graph stays what it is. Han et al., "Learning both Weights and Connections" (2015).
 */
import { WaferError } from '../../core/errors';
import { random } from '../../core/random';
import type { StaticShape } from '../../core/shape';
import type { Graph, Node, Value } from '../../graph/ir';
import { layersMatching } from '../layerNames';
import { withConstants } from '../train/program';
import { checkRatio, checkWord } from './groups';

export const WEIGHT_CRITERIA = ['magnitude', 'random'] as const;

export interface WeightOptions {
  by: (typeof WEIGHT_CRITERIA)[number];
  /** Part of the weights that is to be 0, of layers that `layers` does not name. Default 0. */
  ratio?: number | undefined;
  /** Consecutive inputs that go together. Default 1. */
  block?: 1 | 4 | undefined;
  /** Whether `ratio` is of each layer, or of all together. Default layer. */
  scope?: 'global' | 'layer' | undefined;
  /** Parts by layer, as in `pruneChannels`. */
  layers?: Readonly<Record<string, number>> | undefined;
  /** Of `random`. Default 1. */
  seed?: number | undefined;
}

export interface WeightReport {
  by: WeightOptions['by'];
  block: number;
  /** Of all layers that were looked at: weights, and those that are 0. */
  weights: number;
  zeros: { before: number; after: number };
  layers: readonly { layer: string; weights: number; zeros: number }[];
}

export interface PrunedWeights {
  graph: Graph;
  report: WeightReport;
}

/** Inputs that lie beside each other in a row of weights are consecutive as kernels see them within runs of this length. */
interface Layer {
  readonly node: Node;
  readonly w: Value;
  readonly run: number;
}

/**
 * The products with constant weights: w[O,...] of conv and gemm. In blocks, convolutions in groups are left out, whose kernels skip
 * nothing. A kernel reads a row of a dilated or narrow window at a time, so that blocks lie within a tap.
 */
function layersOf(graph: Graph, block: number): Layer[] {
  const seen = new Set<Value>();
  return graph.nodes.flatMap((node) => {
    const w = node.inputs[1];
    if ((node.op.name !== 'conv' && node.op.name !== 'gemm') || w?.type.dtype !== 'f32' || !w.data || seen.has(w)) return [];
    const shape = w.type.shape as StaticShape;
    if (block > 1 && node.op.name === 'conv' && node.attrs.group !== 1) return [];
    seen.add(w);
    const isDilated = node.op.name === 'conv' && (node.attrs.dilations as readonly number[]).some((d) => d !== 1);
    return [{ node, w, run: node.op.name === 'gemm' || isDilated ? shape.at(-1)! : shape[2]! * shape[3]! }];
  });
}

/** Weights that become 0 together, and what they are worth. */
interface Unit {
  layer: Layer;
  from: number;
  to: number;
  score: number;
}

/**
 * Sets the weights that are worth least to 0. Throws ARGUMENT for options and patterns that are none, UNSUPPORTED where there are no
 * weights of floats.
 */
export function pruneWeights(graph: Graph, options: WeightOptions): PrunedWeights {
  const { by, ratio = 0, block = 1, scope = 'layer', layers: given = {}, seed = 1 } = options;
  checkWord('by', by, WEIGHT_CRITERIA);
  checkWord('scope', scope, ['global', 'layer']);
  checkRatio('ratio', ratio);
  for (const [pattern, part] of Object.entries(given)) checkRatio(`the ratio of "${pattern}"`, part);
  if (block !== 1 && block !== 4)
    throw new WaferError('ARGUMENT', `block is ${block}`, {
      hint: 'weights go one by one (1), or 4 consecutive inputs at a time',
    });
  const layers = layersOf(graph, block);
  if (layers.length === 0)
    throw new WaferError('UNSUPPORTED', 'the model has no weights that could be pruned', {
      hint: 'are they levels? prune the model before it is quantised',
    });
  const ratioOf = layersMatching(
    layers.map(({ node }) => node.name),
    given,
  );
  const next = random(seed);
  const zeroed = new Map(layers.map(({ w }) => [w, (w.data as Float32Array).slice()]));
  const prune = (units: Unit[], part: number) => {
    const total = units.reduce((sum, { from, to }) => sum + to - from, 0);
    let left = Math.round(part * total);
    for (const { layer, from, to } of units.sort((a, b) => a.score - b.score)) {
      if (to - from > left) break;
      left -= to - from;
      zeroed.get(layer.w)!.fill(0, from, to);
    }
  };
  const shared: Unit[] = [];
  for (const layer of layers) {
    const own = ratioOf(layer.node.name);
    const units = unitsOf(layer, block, by === 'random' ? next : undefined);
    if (own === undefined && scope === 'global') for (const unit of units) shared.push(unit);
    else prune(units, own ?? ratio);
  }
  prune(shared, ratio);

  const zerosIn = (data: ArrayLike<number>) => Array.from(data).reduce((count, v) => (v === 0 ? count + 1 : count), 0);
  const reports = layers.map(({ node, w }) => ({
    layer: node.name,
    weights: w.data!.length,
    zeros: zerosIn(zeroed.get(w)!),
  }));
  const total = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);
  return {
    graph: withConstants(graph, new Map([...zeroed].map(([w, data]) => [w.name, data]))),
    report: {
      by,
      block,
      weights: total(reports.map(({ weights }) => weights)),
      zeros: { before: total(layers.map(({ w }) => zerosIn(w.data!))), after: total(reports.map(({ zeros }) => zeros)) },
      layers: reports,
    },
  };
}

/** What is 0 already is worth nothing, however units are drawn. */
function unitsOf(layer: Layer, block: number, draw: (() => number) | undefined): Unit[] {
  const data = layer.w.data!;
  const units: Unit[] = [];
  for (let start = 0; start < data.length; start += layer.run)
    for (let from = start; from < start + layer.run; from += block) {
      const to = Math.min(from + block, start + layer.run);
      let sum = 0;
      for (let i = from; i < to; i++) sum += Math.abs(data[i]!);
      const drawn = draw?.();
      units.push({ layer, from, to, score: sum === 0 ? -1 : (drawn ?? sum / (to - from)) });
    }
  return units;
}
