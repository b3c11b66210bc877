/**
 * Low rank: layers as products of smaller ones. Weights are decomposed in doubles (by samples, in coordinates of their inputs that
 * say which errors count); the last of the small layers keeps the name, the bias, the residual input and the function, so that
 * what follows, a batch norm too, follows as before. Nothing is factorised that would not get smaller.
 */
import type { Bindings } from '../../core/dim';
import { WaferError } from '../../core/errors';
import { elements, evaluateShape } from '../../core/shape';
import { countUses, type Graph, type Node } from '../../graph/ir';
import { someBindings } from '../evaluate/bindings';
import { bindingsOf, type Engine, type Sample } from '../evaluate/engine';
import { layersMatching } from '../layerNames';
import { byBudget, byEnergy, type Candidate, candidateAt, type Measure, type Way } from './choose';
import { type Cost, type Layer, layerOf, weightsInput } from './layer';
import { decomposed, METHOD_NAMES, METHODS, type MethodName, PLAIN } from './methods';
import { inputCoordinates } from './moments';
import { type Factors, replaceLayers } from './replace';

export { METHOD_NAMES, type MethodName } from './methods';

/** One of `energy`, `rank` and `ratio`; without any, an energy of 0.95. */
export interface FactorizeOptions {
  /** Default `auto`: for each layer, what saves most. */
  method?: MethodName | 'auto';
  /** Names of layers, in which `*` stands for anything; all others are left alone. Default: all layers. */
  layers?: readonly string[];
  /** Part of the squared weights that each layer keeps, 0..1; with samples, of what it computes from them. */
  energy?: number;
  /** The same for all layers, for both sides of tucker. */
  rank?: number;
  /** Part of `by` that may stay, over these layers together. */
  ratio?: number;
  /** What is to be saved. Default parameters. */
  by?: Measure;
  /** Sizes of free dimensions at which MACs are counted. Default: those of the first sample, or some that fit. */
  bindings?: Bindings;
  onProgress?: (done: number, total: number, what: string) => void;
}

/** Inputs that say what weights are worth. */
export interface Evidence {
  readonly samples: readonly Sample[];
  readonly engine: Engine;
}

interface BeforeAfter {
  readonly before: number;
  readonly after: number;
}

export interface FactorizeReport {
  /** Of weights, biases not counted: of all layers that were asked for. */
  readonly parameters: BeforeAfter;
  readonly macs: BeforeAfter;
  readonly layers: readonly FactorizedLayer[];
  /** Layers that were asked for and left alone. */
  readonly left: readonly { readonly layer: string; readonly why: string }[];
}

export interface FactorizedLayer {
  readonly layer: string;
  readonly method: MethodName;
  /** One, or of tucker that of the outputs and that of the inputs. */
  readonly ranks: readonly number[];
  /** Part of the squared weights that was kept. */
  readonly energy: number;
  readonly parameters: BeforeAfter;
  readonly macs: BeforeAfter;
}

const DEFAULT_ENERGY = 0.95;

/**
 * @param graph of floats, before quantisation; batch norms of training may be in it.
 * Throws ARGUMENT for options that do not go together or are out of range, for patterns that no layer has and for a ratio that cannot
 * be met.
 */
export async function factorize(
  graph: Graph,
  options: FactorizeOptions = {},
  evidence?: Evidence,
): Promise<{ graph: Graph; report: FactorizeReport }> {
  checkOptions(options);
  const { method = 'auto', by = 'parameters', ratio, onProgress } = options;
  const sample = evidence?.samples[0];
  const bindings = options.bindings ?? (sample ? bindingsOf(graph, sample) : someBindings(graph));
  const nodes = namedLayers(graph, options.layers);
  const uses = countUses(graph);
  const reasons = new Map<Node, string>();
  const layers = nodes.flatMap((node) => {
    const w = weightsInput(node)!;
    const layer = uses.get(w)! > 1 ? SHARED : layerOf(node, w, bindings);
    if (typeof layer !== 'string') return layer;
    reasons.set(node, layer);
    return [];
  });
  const wanted = METHODS.filter(({ name }) => method === 'auto' || method === name);
  const fitting = layers.map(({ node, stage }) => {
    const fit = wanted.filter((m) => m.refusal(stage) === undefined);
    if (fit.length === 0) reasons.set(node, wanted[0]!.refusal(stage)!);
    return fit;
  });
  const reading = layers.map(({ node, stage }, i) => ({
    node,
    stages: fitting[i]!.map((m) => m.stages(stage, m.fullRanks(stage))[0]!),
  }));
  const seen = evidence && (await inputCoordinates(graph, reading, evidence.samples, evidence.engine));
  const waysOf = (layer: Layer, i: number): Way[] =>
    fitting[i]!.map((m, k) => ({ layer, method: m, decomposed: decomposed(layer, m, seen ? seen[i]![k]! : PLAIN) }));

  const made = new Map<Node, Made>();
  const settle = ({ node, stage }: Layer, candidate: Candidate | undefined): void => {
    if (!candidate) {
      if (!reasons.has(node)) reasons.set(node, ratio === undefined ? NO_SAVING : ROOM);
      return;
    }
    const { ranks, cost } = candidate;
    made.set(node, {
      ...{ stages: candidate.method.stages(stage, ranks), ...candidate.decomposed.factors(ranks) },
      ...{ method: candidate.method.name, ranks, cost },
    });
  };
  const open: { layer: Layer; ways: Way[]; whole: Cost }[] = [];
  for (const [i, layer] of layers.entries()) {
    const ways = waysOf(layer, i);
    if (ratio === undefined) settle(layer, pick(ways, options));
    else open.push({ layer, ways, whole: wholeCost(layer.node, bindings) });
    onProgress?.(i + 1, layers.length, layer.node.name);
  }
  const whole = new Map(nodes.map((node) => [node, wholeCost(node, bindings)]));
  if (ratio !== undefined)
    spend(open, [...whole.values()], ratio, by).forEach((candidate, i) => settle(open[i]!.layer, candidate));

  const pair = (before: number, after: number): BeforeAfter => ({ before, after });
  const sum = (key: Measure) => {
    const before = nodes.map((node) => whole.get(node)![key]);
    const after = nodes.map((node) => (made.get(node)?.cost ?? whole.get(node)!)[key]);
    return pair(total(before), total(after));
  };
  const factorized = [...made].map(([node, { method, ranks, energy, cost }]): FactorizedLayer => {
    const { parameters, macs } = whole.get(node)!;
    const costs = { parameters: pair(parameters, cost.parameters), macs: pair(macs, cost.macs) };
    return { layer: node.name, method, ranks, energy, ...costs };
  });
  const left = nodes.filter((node) => !made.has(node)).map((node) => ({ layer: node.name, why: reasons.get(node)! }));
  return {
    graph: replaceLayers(graph, made),
    report: { parameters: sum('parameters'), macs: sum('macs'), layers: factorized, left },
  };
}

/** A line for each method, for a file's provenance. */
export function recipeOf({ layers }: FactorizeReport): string[] {
  const methods = METHOD_NAMES.filter((name) => layers.some(({ method }) => method === name));
  return methods.map((name) => {
    const some = layers.filter(({ method }) => method === name);
    return `factorize ${name}: ${some.map(({ layer, ranks }) => `${layer} ${ranks.join(' x ')}`).join(', ')}`;
  });
}

const SHARED = "its weights are another layer's too";
const NO_SAVING = 'no rank that keeps enough would save anything';
const ROOM = 'the budget has room for it as it is';

/** What a layer becomes. */
interface Made extends Factors {
  readonly method: MethodName;
  readonly ranks: readonly number[];
  readonly energy: number;
  readonly cost: Cost;
}

const total = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

function checkOptions({ method = 'auto', energy, rank, ratio }: FactorizeOptions): void {
  const refuse = (message: string, hint: string) => {
    throw new WaferError('ARGUMENT', message, { hint });
  };
  const given = Object.entries({ energy, rank, ratio }).filter(([, value]) => value !== undefined);
  if (given.length > 1) refuse(`${given.map(([name]) => name).join(' and ')} both choose ranks`, 'give one of them');
  if (energy !== undefined && !(energy > 0 && energy <= 1))
    refuse(`an energy of ${energy} cannot be kept`, 'it is a part, as in 0.95');
  if (rank !== undefined && !(Number.isInteger(rank) && rank > 0)) refuse(`${rank} is no rank`, 'ranks are positive integers');
  if (rank !== undefined && method === 'auto')
    refuse('what a rank keeps depends on the method', `choose one of ${METHODS.map(({ name }) => name).join(', ')}`);
  if (ratio !== undefined && !(ratio > 0 && ratio < 1))
    refuse(`a ratio of ${ratio} saves nothing`, 'it is the part that may stay, as in 0.5');
}

/** The products with constant weights whose names fit. Throws ARGUMENT where there are none. */
function namedLayers(graph: Graph, patterns: readonly string[] | undefined): Node[] {
  const nodes = graph.nodes.filter((node) => weightsInput(node));
  const names = nodes.map(({ name }) => name);
  if (!patterns) return nodes;
  const isWanted = layersMatching(names, Object.fromEntries(patterns.map((pattern) => [pattern, true])));
  return nodes.filter(({ name }) => isWanted(name));
}

/** Of a product as it is, grouped or not. */
function wholeCost(node: Node, bindings: Bindings): Cost {
  const parameters = weightsInput(node)!.data!.length;
  const shape = evaluateShape(node.outputs[0]!.type.shape, bindings);
  return { parameters, macs: elements(shape.slice(0, -1)) * parameters };
}

function pick(
  ways: readonly Way[],
  { rank, energy = DEFAULT_ENERGY, by = 'parameters' }: FactorizeOptions,
): Candidate | undefined {
  if (rank === undefined) return byEnergy(ways, energy, by);
  const [way] = ways;
  return (
    way &&
    candidateAt(
      way,
      way.method.fullRanks(way.layer.stage).map((full) => Math.min(rank, full)),
    )
  );
}

/** Throws ARGUMENT where the ratio cannot be met. */
function spend(
  open: readonly { ways: readonly Way[]; whole: Cost }[],
  all: readonly Cost[],
  ratio: number,
  by: Measure,
): (Candidate | undefined)[] {
  const before = total(all.map((cost) => cost[by]));
  const fixed = before - total(open.map(({ whole }) => whole[by]));
  const { chosen, least } = byBudget(open, ratio * before - fixed, by);
  if (least + fixed > ratio * before)
    throw new WaferError(
      'ARGUMENT',
      `no more than ${(100 * (1 - (least + fixed) / before)).toFixed(1)} % of the ${by} can be saved`,
      {
        hint: 'allow a greater ratio',
      },
    );
  return chosen;
}
