/**
 * Post-training quantisation: calibrate on samples, choose ranges, lower to integers, and keep the way of choosing ranges
 * that gives the least output error on those samples. Activations are int8; the weights of each layer are what its format says,
 * and under a budget formats are chosen, by what they cost on samples that no weights were rounded for.
 */

import type { TypedArray } from '../../core/dtype';
import { located, WaferError } from '../../core/errors';
import type { Quant } from '../../core/shape';
import { type Graph, type Node, nodeText, type Value } from '../../graph/ir';
import type { Step } from '../../ops/define';
import { evaluateSteps } from '../../ops/steps';
import type { Engine, Sample } from '../evaluate/engine';
import { layersMatching } from '../layerNames';
import { allocate, type Budget, CHOICES, entropyOf, measureSensitivity, type Sensitivity, storedBits } from './budget';
import { equalize } from './equalize';
import { type Fidelity, fidelity, outputsOf, withoutSoftmax } from './fidelity';
import { costlyNodes, isWorth } from './floats';
import { gridOf, type LevelFormat, type WeightFormat } from './formats';
import { Histogram } from './histogram';
import { innerValues, splitActivations } from './lower';
import { lower, type Plan, type Tuned, tunedPlan } from './plan';
import { chooseRange, METHODS, type Method, quantOf } from './range';
import { clampBounds, findRegions, isClamp, levelInputs, type Regions } from './regions';
import { RowSampler } from './rows';
import { isExact, type Rounding, type Rows } from './weights';

export { METHODS, type Method } from './range';

export interface QuantizeOptions {
  /** How activation ranges are chosen; `auto` (default) tries all and keeps the one with the least output error. */
  method?: Method | 'auto';
  /** What weights are stored as, where `layers` says nothing else. Default int8. */
  weights?: WeightFormat;
  /** Formats by layer: keys are names of nodes, in which `*` stands for anything; of several that match, the last counts. */
  layers?: Readonly<Record<string, WeightFormat>>;
  /** Default: adaround for formats of fewer than 8 bits, else gptq. */
  rounding?: Rounding;
  /** Chooses among `choices` for each layer that `layers` does not name. */
  budget?: Budget;
  /** Default `CHOICES`. */
  choices?: readonly LevelFormat[];
  /** Bytes of the file that the graph makes, with what the report says of it; a budget of size needs it. */
  fileBytes?: (graph: Graph, report: QuantizeReport) => Promise<number>;
  /** Trains what was chosen, through its rounding. Without it no layer can be xnor. */
  tune?: (plan: Plan) => Promise<Tuned>;
  /** Nodes (by name) to leave in floating point. */
  keepFloat?: (node: Node) => boolean;
  onProgress?: (done: number, total: number, what: string) => void;
}

export interface QuantizeReport {
  method: Method;
  /** How many calibrated it. */
  samples: number;
  /** Signal to noise of the outputs (of a softmax, what it is of) against the float graph, in dB over all samples, by method tried. */
  sqnr: Partial<Record<Method, number>>;
  /** The same of the result. */
  outputSqnr: number;
  integerNodes: number;
  /** Node name and reason. */
  floatNodes: readonly { node: string; why: string }[];
  /** Formats of the layers that are computed in integers, or signs. */
  layers: readonly { layer: string; weights: number; format: LevelFormat | 'xnor' }[];
  /** What a budget was spent on. */
  budget?: BudgetReport;
}

export interface BudgetReport {
  /** What each layer alone would cost. */
  sensitivity: readonly Sensitivity[];
  /** The graph with all layers in one format, for each of the choices, and with those that were chosen: measured. */
  uniform: readonly (Measured & { format: LevelFormat })[];
  chosen: Measured;
}

/** The error is that of scores, before a softmax. */
export interface Measured extends Fidelity {
  /** Bits of a weight on average, of the layers that were chosen for. */
  bits: number;
  /** Of the file, under a budget of size. */
  bytes?: number;
}

/** A layer is called by its node in the float graph. */
const layerName = ({ name }: Node): string => name.replace(/\.even$/, '');

/**
 * @param graph a decluttered float graph.
 * @param samples calibration inputs; all must be finite.
 * Throws ARGUMENT without samples, for patterns that no layer has and for a budget that cannot be met, and VALUE on samples
 * that drive the network to NaN or infinity.
 */
export async function quantize(
  graph: Graph,
  samples: readonly Sample[],
  engine: Engine,
  options: QuantizeOptions = {},
): Promise<{ graph: Graph; report: QuantizeReport }> {
  if (samples.length === 0)
    throw new WaferError('ARGUMENT', 'quantising needs calibration data', {
      hint: 'pass --calibrate with a folder of images or .npy files, or an .npz',
    });
  const { budget, choices = CHOICES, rounding } = options;
  const methods = !options.method || options.method === 'auto' ? METHODS : [options.method];
  const every = Math.max(budget && samples.length > 1 ? 2 : 1, Math.ceil(samples.length / SENSED));
  const isSensed = (_: unknown, i: number) => i % every === 0;
  // Fewer levels fit better to the samples that weights are rounded for: a budget is spent by what it costs on others.
  const isHeldOut = (i: number) => Boolean(budget) && every > 1 && isSensed(undefined, i);
  const judging = budget ? samples.filter(isSensed).length : samples.length;
  const total = 2 * samples.length + judging * (2 * methods.length + (budget ? choices.length + 1 : 0));
  let done = 0;
  const progress = (what: string) => options.onProgress?.(++done, total, what);

  const formatNamed = formatsByLayer(graph, options);
  const given = (node: Node) => formatNamed(layerName(node)) as LevelFormat | undefined;
  const byDefault = budget ? 'int8' : ((options.weights as LevelFormat | undefined) ?? 'int8');
  const isFine = (node: Node) => !budget && isFineInt8(node, given(node) ?? byDefault);
  const split = await equalize(splitActivations(graph), samples, engine, isFine, () => progress('equalise'));
  const signed = new Set(split.nodes.filter((node) => isProduct(node) && formatNamed(layerName(node)) === 'xnor'));
  for (const node of signed) checkSigned(node, options);
  const kept = (node: Node) => {
    if (options.keepFloat?.(node) || (isProduct(node) && formatNamed(layerName(node)) === 'float'))
      return 'kept float on request';
    return signed.has(node) ? 'computed in signs' : undefined;
  };
  const regions = findRegions(split, kept);
  const { histograms, rowsOf } = await calibrate(split, regions, signed, samples, isHeldOut, engine, () => progress('calibrate'));
  const scores = withoutSoftmax(split);
  const expected = await outputsOf(scores, samples, engine);
  const sensed = { samples: samples.filter(isSensed), outputs: expected.filter(isSensed), engine };
  const judges = budget ? sensed : { samples, outputs: expected };
  const attempt = async (
    regions: Regions,
    method: Method,
    what: string,
    formatOf = (node: Node) => given(node) ?? byDefault,
  ): Promise<Attempt> => {
    const ranges = chooseQuants(split, regions, histograms, method);
    return judged({ graph: split, regions, signed, ...ranges, rowsOf, formatOf, rounding }, method, what);
  };
  const judged = async (plan: Plan, method: Method, what: string): Promise<Attempt> => {
    const graph = lower(plan);
    const found = await fidelity(withoutSoftmax(graph), judges.samples, judges.outputs, engine, () => progress(what));
    return { ...found, graph, plan, method };
  };
  const bestOf = (attempts: readonly Attempt[]) => attempts.reduce((a, b) => (b.error < a.error ? b : a));
  const attempts: Attempt[] = [];
  for (const method of methods) attempts.push(await attempt(regions, method, method));
  const whole = bestOf(attempts);
  const { quantOf } = whole.plan;
  const groups = roundedGroups(split, regions);
  let measured = 0;
  const costly = await costlyNodes(scores, regions, groups, quantOf, sensed, ({ name }) =>
    options.onProgress?.(++measured, groups.length, name),
  );
  const lighter = findRegions(split, (node) => kept(node) ?? (costly.has(node) ? COSTLY_REASON : undefined));
  const relieved: Attempt[] = [];
  if (costly.size > 0)
    for (const method of methods) relieved.push(await attempt(lighter, method, `${method}, some layers in float`));
  const chosen = relieved.length > 0 && isWorth(bestOf(relieved), whole) ? bestOf(relieved) : whole;
  const reportOf = ({ method, sqnr, plan: { regions, signed, formatOf } }: Attempt): QuantizeReport => ({
    method,
    samples: samples.length,
    sqnr: Object.fromEntries(attempts.map(({ method, sqnr }) => [method, Number(sqnr.toFixed(2))])),
    outputSqnr: Number(sqnr.toFixed(2)),
    integerNodes: regions.integer.size,
    floatNodes: [...regions.float].map(([node, why]) => ({ node: nodeText(node), why })),
    layers: [...productsOf(regions), ...signed].map((node) => ({
      layer: layerName(node),
      weights: node.inputs[1]!.data!.length,
      format: signed.has(node) ? 'xnor' : formatOf(node),
    })),
  });
  const tuned = async (attempt: Attempt): Promise<Attempt> => {
    const { tune } = options;
    if (!tune) return attempt;
    return judged(tunedPlan(attempt.plan, await tune(attempt.plan)), attempt.method, 'trained');
  };
  if (!budget) {
    const made = await tuned(chosen);
    return { graph: made.graph, report: reportOf(made) };
  }
  const { regions: settled } = chosen.plan;
  const free = productsOf(settled).filter((node) => !given(node));
  const judge = (formatOf: (node: Node) => LevelFormat) =>
    attempt(settled, chosen.method, 'mixed precision', (node) => given(node) ?? formatOf(node));
  const bytesOf = (made: Attempt) => options.fileBytes!(made.graph, reportOf(made));
  const search = { scores, free, choices, rowsOf, rounding, sensed, judge, bytesOf, onProgress: options.onProgress };
  const [mixed, spent] = await spend(budget, search);
  const made = await tuned(mixed);
  return { graph: made.graph, report: { ...reportOf(made), budget: spent } };
}

/** Throws ARGUMENT for a layer that cannot be computed in signs. */
function checkSigned(node: Node, { tune }: QuantizeOptions): void {
  const refuse = (message: string, hint: string) => {
    throw new WaferError('ARGUMENT', message, { hint, node: nodeText(node) });
  };
  if (!tune) refuse('xnor layers have to be trained', 'wafer train takes --quantize too');
  if (!node.inputs[1]?.data || (node.inputs[2] && !node.inputs[2].data))
    refuse('its weights are no constants', 'name another format with --layer');
  if ((node.attrs.group ?? 1) !== 1)
    refuse('a convolution in groups cannot be computed in signs', 'name another format with --layer');
}

const isProduct = ({ op }: Node): boolean => op.name === 'conv' || op.name === 'gemm';

const productsOf = ({ integer }: Regions): Node[] => [...integer].filter(([, form]) => form === 'product').map(([node]) => node);

/** Whether a product's weights are to become int8 or stay floats, and are not levels of int8 already. */
function isFineInt8({ inputs }: Node, format: WeightFormat): boolean {
  const w = inputs[1]!;
  const tensor = { weights: w.data as Float32Array, channels: w.type.shape[0] as number };
  if (format === 'float') return true;
  return format === 'int8' && !isExact({ ...tensor, grid: gridOf(format, { ...tensor, importance: () => [] }) });
}

/** What `options` say of a layer by its name; undefined where a budget decides. Throws ARGUMENT for a pattern without a layer. */
function formatsByLayer(
  graph: Graph,
  { weights, layers = {}, budget }: QuantizeOptions,
): (name: string) => WeightFormat | undefined {
  const names = graph.nodes.filter((node) => isProduct(node) && node.inputs[1]?.data).map(({ name }) => name);
  const formatOf = layersMatching(names, layers);
  return (name) => formatOf(name) ?? (budget ? undefined : weights);
}

/** One way to lower the graph. */
interface Attempt extends Fidelity {
  plan: Plan;
  graph: Graph;
  method: Method;
}

const COSTLY_REASON = 'to round its input to 8 bits would cost the outputs too much';

/** Rows of each product's input that are looked at, over all samples. */
const ROWS = 2048;

/**
 * Runs the float graph over the samples: histograms of the values that will be levels, what products multiply their weights
 * with.
 */
async function calibrate(
  graph: Graph,
  regions: Regions,
  signed: ReadonlySet<Node>,
  samples: readonly Sample[],
  /** Whose rows are not looked at. */
  isHeldOut: (sample: number) => boolean,
  engine: Engine,
  tick: () => void,
) {
  const histograms = new Map<Value, Histogram>();
  const watched = new Set<Value>(regions.wanted);
  for (const node of regions.integer.keys()) watched.add(node.outputs[0]!);
  for (const value of watched) if (!value.data) histograms.set(value, new Histogram());
  const samplers = new Map([...productsOf(regions), ...signed].map((node) => [node, new RowSampler(node)]));
  const share = Math.ceil(ROWS / samples.filter((_, i) => !isHeldOut(i)).length);
  let hasRows = true;
  const see = (value: Value, data: TypedArray, shape: readonly number[]) => {
    histograms.get(value)?.add(data as Float32Array);
    if (!hasRows) return;
    for (const [node, sampler] of samplers) if (node.inputs[0] === value) sampler.sample(data as Float32Array, shape, share);
  };
  const session = await engine.session(graph);
  try {
    for (const [i, sample] of samples.entries()) {
      hasRows = !isHeldOut(i);
      for (const x of graph.inputs)
        located({ node: `input "${x.name}"` }, () => see(x, sample[x.name]!.data, sample[x.name]!.shape));
      session.run(sample, {
        observe(node, values) {
          node.outputs.forEach((y, i) => {
            located({ node: nodeText(node) }, () => see(y, values[i]!.data, values[i]!.shape));
          });
        },
      });
      tick();
    }
  } finally {
    session.dispose();
  }
  const rowsOf = (product: Node, channel: number) => {
    const { groups } = samplers.get(product)!;
    return groups[Math.floor((channel * groups.length) / (product.inputs[1]!.type.shape[0] as number))]!;
  };
  return { histograms, rowsOf };
}

/** Values that carrying nodes join, which share one quantisation: for each value, all of its group. */
function groupsOf({ integer }: Regions, values: Iterable<Value>): Map<Value, readonly Value[]> {
  const root = new Map<Value, Value>();
  const find = (v: Value): Value => {
    const up = root.get(v);
    return up === undefined ? v : find(up);
  };
  for (const [node, form] of integer) {
    if (form !== 'carry') continue;
    for (const x of levelInputs(node)) {
      const [a, b] = [find(x), find(node.outputs[0]!)];
      if (a !== b && !x.data) root.set(a, b);
    }
  }
  const members = new Map<Value, Value[]>();
  const groups = new Map<Value, Value[]>();
  for (const v of values) {
    const group = members.get(find(v)) ?? [];
    group.push(v);
    members.set(find(v), group);
    groups.set(v, group);
  }
  return groups;
}

/** Groups of values that become levels, those left out that kernels round finer on their way out. */
function roundedGroups(graph: Graph, regions: Regions): readonly (readonly Value[])[] {
  const { fine, functions } = innerValues(graph, regions);
  const values = [...regions.wanted].filter((v) => !v.data && !fine.has(v) && !functions.has(v));
  return [...new Set(groupsOf(regions, values).values())];
}

/**
 * The quantisation of each value by `method`. Values that a carrying node joins share one; a value that only a table
 * reads is not given levels for arguments between which the function does not change. Where a value is rounded far finer than to
 * levels nothing is gained by clipping it.
 */
function chooseQuants(
  graph: Graph,
  regions: Regions,
  histograms: ReadonlyMap<Value, Histogram>,
  method: Method,
): Pick<Plan, 'quantOf' | 'rootOf'> {
  const groupOf = groupsOf(regions, histograms.keys());
  const readers = new Map<Value, Node[]>();
  for (const node of graph.nodes) for (const x of node.inputs) if (x) readers.set(x, [...(readers.get(x) ?? []), node]);

  const { fine } = innerValues(graph, regions);
  const chosen = new Map<readonly Value[], Quant>();
  const quantOfValue = (value: Value): Quant => {
    const members = groupOf.get(value)!;
    let quant = chosen.get(members);
    if (!quant) {
      const seen = new Histogram();
      for (const member of members) seen.merge(histograms.get(member)!);
      let [low, high] = chooseRange(seen, fine.has(value) ? 'minmax' : method);
      for (const member of members) {
        const act =
          member.producer && regions.integer.get(member.producer) !== 'carry'
            ? (member.producer.attrs.act as Step[] | undefined)
            : undefined;
        if (act && isClamp(act) && members.length === 1) {
          const [a, b] = clampBounds(act);
          [low, high] = [Math.max(low, a), Math.min(high, b)];
        }
      }
      const only = members.length === 1 ? readers.get(value) : undefined;
      if (only?.length === 1 && regions.integer.get(only[0]!) === 'table')
        [low, high] = trimmed(only[0]!.attrs.steps as Step[], low, high);
      quant = quantOf(low, high);
      chosen.set(members, quant);
    }
    return quant;
  };
  return { quantOf: quantOfValue, rootOf: (value) => groupOf.get(value)![0]! };
}

/** [low, high] without ends on which the function changes by less than half a level of its output. */
function trimmed(steps: readonly Step[], low: number, high: number): [number, number] {
  const points = 1024;
  const at = (i: number) => low + ((high - low) * i) / points;
  const f = Array.from({ length: points + 1 }, (_, i) => evaluateSteps(steps, at(i)));
  const tolerance = (Math.max(...f) - Math.min(...f)) / 2 ** 14;
  let [first, last] = [0, points];
  while (first < last && Math.abs(f[first + 1]! - f[0]!) <= tolerance) first++;
  while (last > first && Math.abs(f[last - 1]! - f[points]!) <= tolerance) last--;
  return first < last ? [at(first), at(last)] : [low, high];
}

/** Samples that sensitivities are measured on. */
const SENSED = 16;
/** Files that are made to meet a budget of size. */
const TRIES = 6;
/** Of the room for weights, which each try beyond the first leaves free: other levels compress otherwise. */
const SLACK = 0.002;

interface Search {
  /** The float graph up to its scores. */
  scores: Graph;
  /** The products whose formats are to be chosen. */
  free: readonly Node[];
  choices: readonly LevelFormat[];
  rowsOf: (product: Node, channel: number) => Rows;
  rounding: Rounding | undefined;
  sensed: Parameters<typeof measureSensitivity>[3];
  judge: (formatOf: (node: Node) => LevelFormat) => Promise<Attempt>;
  bytesOf: (attempt: Attempt) => Promise<number>;
  onProgress: QuantizeOptions['onProgress'];
}

/**
 * Chooses formats by sensitivity, and measures what came of it beside all layers in one format. Of these and the mixture, what
 * errs least within the budget is taken. Throws ARGUMENT where nothing is.
 */
async function spend(budget: Budget, search: Search): Promise<[Attempt, BudgetReport]> {
  const { scores, free, choices, rowsOf, rounding, sensed, judge, bytesOf, onProgress } = search;
  const products = free.map((node) => ({ node, layer: layerName(node) }));
  const costOf = 'size' in budget ? storedBits : entropyOf;
  let done = 0;
  const sensitivity = await measureSensitivity(scores, products, choices, sensed, { rowsOf, rounding }, costOf, (layer) =>
    onProgress?.(++done, products.length * choices.length, layer),
  );
  const weights = sensitivity.reduce((sum, layer) => sum + layer.weights, 0);
  const costAt = (index: (layer: number) => number) =>
    sensitivity.reduce((sum, { choices }, i) => sum + choices[index(i)]!.cost, 0);
  const measured = async (attempt: Attempt, cost: number): Promise<Measured> => {
    const { sqnr, error } = attempt;
    const bytes = 'size' in budget ? await bytesOf(attempt) : undefined;
    return { bits: cost / weights, sqnr, error, ...(bytes !== undefined && { bytes }) };
  };
  const fits = ({ bits, bytes }: Measured) => ('size' in budget ? bytes! <= budget.size : bits <= budget.bits);

  const found: { attempt: Attempt; measured: Measured }[] = [];
  for (const [index, format] of choices.entries()) {
    const attempt = await judge(() => format);
    found.push({
      attempt,
      measured: await measured(
        attempt,
        costAt(() => index),
      ),
    });
  }
  const uniform = found.map(({ measured }, index) => ({ format: choices[index]!, ...measured }));
  // What the file holds besides these weights is known from one that was made.
  const [first] = uniform;
  const others = 'size' in budget ? first!.bytes! * 8 - first!.bits * weights : 0;
  let room = 'size' in budget ? budget.size * 8 - others : budget.bits * weights;
  for (let tries = 0; tries < TRIES; tries++) {
    const picked = allocate(sensitivity, room);
    if (!picked) break;
    const formats = new Map(free.map((node, i) => [node, choices[picked[i]!]!]));
    const attempt = await judge((node) => formats.get(node)!);
    const entry = {
      attempt,
      measured: await measured(
        attempt,
        costAt((i) => picked[i]!),
      ),
    };
    found.push(entry);
    if (fits(entry.measured)) break;
    room -= 8 * (entry.measured.bytes! - (budget as { size: number }).size) + SLACK * room;
  }
  const allowed = found.filter(({ measured }) => fits(measured));
  if (allowed.length === 0) {
    const least = Math.min(...found.map(({ measured: { bits, bytes } }) => bytes ?? bits));
    throw new WaferError(
      'ARGUMENT',
      `the budget cannot be met: the least that was reached is ${'size' in budget ? `${least} bytes` : `${least.toFixed(2)} bits a weight`}`,
      {
        hint: `allow more, or smaller formats than ${choices.join(', ')} with --choices`,
      },
    );
  }
  const best = allowed.reduce((a, b) => (b.measured.error < a.measured.error ? b : a));
  return [best.attempt, { sensitivity, uniform, chosen: best.measured }];
}
