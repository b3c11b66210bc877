/**
 * Post-training quantisation to int8: calibrate on samples, choose ranges, lower to integers, and keep the way of
 * choosing ranges that gives the least output error on those samples.
 */

import type { TypedArray } from '../../core/dtype';
import { located, WaferError } from '../../core/errors';
import type { Quant } from '../../core/shape';
import { type Graph, type Node, nodeText, type Value } from '../../graph/ir';
import type { Step } from '../../ops/define';
import { evaluateSteps } from '../../ops/steps';
import { countMacs } from '../evaluate/cost';
import { bindingsOf, type Engine, type Sample } from '../evaluate/engine';
import { fuse } from '../passes/fuse';
import { equalize } from './equalize';
import { Histogram } from './histogram';
import { lowerToIntegers, splitActivations } from './lower';
import { chooseRange, METHODS, type Method, quantOf } from './range';
import { clampBounds, findRegions, isClamp, levelInputs, type Regions } from './regions';
import { RowSampler } from './rows';

export { METHODS, type Method } from './range';

export interface QuantizeOptions {
  /** How activation ranges are chosen; `auto` (default) tries all and keeps the one with the least output error. */
  method?: Method | 'auto';
  /** Nodes (by name) to leave in floating point. */
  keepFloat?: (node: Node) => boolean;
  onProgress?: (done: number, total: number, what: string) => void;
}

export interface QuantizeReport {
  method: Method;
  /** Signal to noise of the outputs against the float graph, in dB over all samples, by method tried. */
  sqnr: Partial<Record<Method, number>>;
  /** The same of the result. */
  outputSqnr: number;
  integerNodes: number;
  /** Node name and reason. */
  floatNodes: readonly { node: string; why: string }[];
}

/**
 * @param graph a decluttered float graph.
 * @param samples calibration inputs; all must be finite.
 * Throws ARGUMENT without samples and VALUE on samples that drive the network to NaN or infinity.
 */
export async function quantize(
  graph: Graph,
  samples: readonly Sample[],
  engine: Engine,
  options: QuantizeOptions = {},
): Promise<{ graph: Graph; report: QuantizeReport }> {
  if (samples.length === 0)
    throw new WaferError('ARGUMENT', 'int8 needs calibration data', {
      hint: 'pass --calibrate with a folder of images or .npy files, or an .npz',
    });
  const methods = !options.method || options.method === 'auto' ? METHODS : [options.method];
  const total = samples.length * (3 + methods.length);
  let done = 0;
  const progress = (what: string) => options.onProgress?.(++done, total, what);

  const split = await equalize(splitActivations(graph), samples, engine, () => progress('equalise'));
  const kept = (node: Node) => (options.keepFloat?.(node) ? 'kept float on request' : undefined);
  const regions = findRegions(split, kept);
  const { histograms, rowsOf, outputs } = await calibrate(split, regions, samples, engine, () => progress('calibrate'));
  const attempt = async (regions: Regions, method: Method, what: string): Promise<Attempt> => {
    const quantOf = chooseQuants(split, regions, histograms, method);
    // What stayed float takes its functions back.
    const lowered = fuse(lowerToIntegers(split, regions, { quantOf, rowsOf }));
    return { graph: lowered, method, regions, sqnr: await outputSqnr(lowered, samples, outputs, engine, () => progress(what)) };
  };
  const attempts: Attempt[] = [];
  for (const method of methods) attempts.push(await attempt(regions, method, method));
  const best = attempts.reduce((a, b) => (b.sqnr > a.sqnr ? b : a));
  const leading = leadingProducts(split, regions, samples[0]!);
  const lighter = findRegions(split, (node) => kept(node) ?? (leading.has(node) ? LEADING_REASON : undefined));
  const relieved = leading.size > 0 ? await attempt(lighter, best.method, 'leading layers in float') : best;
  const chosen = relieved.sqnr >= best.sqnr + LEADING_GAIN ? relieved : best;
  return {
    graph: chosen.graph,
    report: {
      method: chosen.method,
      sqnr: Object.fromEntries(attempts.map(({ method, sqnr }) => [method, Number(sqnr.toFixed(2))])),
      outputSqnr: Number(chosen.sqnr.toFixed(2)),
      integerNodes: chosen.regions.integer.size,
      floatNodes: [...chosen.regions.float].map(([node, why]) => ({ node: nodeText(node), why })),
    },
  };
}

/** One way to lower the graph. */
interface Attempt {
  graph: Graph;
  method: Method;
  regions: Regions;
  /** Of the outputs, in dB. */
  sqnr: number;
}

/** The first layers see the raw input and hand their noise to all others: they stay float where that is cheap and helps. */
const LEADING = 4;
/** dB that it must bring. */
const LEADING_GAIN = 3;
const LEADING_REASON = `in int8 the first layers would cost the outputs more than ${LEADING_GAIN} dB`;
/** Shares of the network's weights and of its work that it may keep in f32. */
const LEADING_WEIGHTS = 0.01;
const LEADING_WORK = 0.06;

/** The first products, none where they are much of the network. */
function leadingProducts(graph: Graph, { integer }: Regions, sample: Sample): Set<Node> {
  const products = [...integer].filter(([, form]) => form === 'product').map(([node]) => node);
  const first = products.slice(0, LEADING);
  const macs = countMacs(graph, bindingsOf(graph, sample));
  const share = (of: (node: Node) => number) => {
    const sum = (nodes: readonly Node[]) => nodes.reduce((total, node) => total + of(node), 0);
    return sum(first) / sum(products);
  };
  const isCheap =
    share((node) => node.inputs[1]!.data!.length) <= LEADING_WEIGHTS && share((node) => macs.get(node)!) <= LEADING_WORK;
  return new Set(isCheap ? first : []);
}

type Outputs = Record<string, Float32Array>;

/** Rows of each product's input that are looked at, over all samples. */
const ROWS = 2048;

/**
 * Runs the float graph over the samples: histograms of the values that will be levels, what products multiply their weights
 * with, and the outputs of each sample.
 */
async function calibrate(graph: Graph, regions: Regions, samples: readonly Sample[], engine: Engine, tick: () => void) {
  const histograms = new Map<Value, Histogram>();
  const watched = new Set<Value>(regions.wanted);
  for (const node of regions.integer.keys()) watched.add(node.outputs[0]!);
  for (const value of watched) if (!value.data) histograms.set(value, new Histogram());
  const products = [...regions.integer].filter(([, form]) => form === 'product').map(([node]) => node);
  const samplers = new Map(products.map((node) => [node, new RowSampler(node)]));
  const share = Math.ceil(ROWS / samples.length);
  const see = (value: Value, data: TypedArray, shape: readonly number[]) => {
    histograms.get(value)?.add(data as Float32Array);
    for (const [node, sampler] of samplers) if (node.inputs[0] === value) sampler.sample(data as Float32Array, shape, share);
  };
  const session = await engine.session(graph);
  const outputs: Outputs[] = [];
  try {
    for (const sample of samples) {
      for (const x of graph.inputs)
        located({ node: `input "${x.name}"` }, () => see(x, sample[x.name]!.data, sample[x.name]!.shape));
      const result = session.run(sample, {
        observe(node, values) {
          node.outputs.forEach((y, i) => {
            located({ node: nodeText(node) }, () => see(y, values[i]!.data, values[i]!.shape));
          });
        },
      });
      outputs.push(floatOutputs(result));
      tick();
    }
  } finally {
    session.dispose();
  }
  const rowsOf = (product: Node, channel: number) => {
    const { groups } = samplers.get(product)!;
    return groups[Math.floor((channel * groups.length) / (product.inputs[1]!.type.shape[0] as number))]!;
  };
  return { histograms, outputs, rowsOf };
}

const floatOutputs = (result: Record<string, { data: ArrayLike<number> }>): Outputs =>
  Object.fromEntries(Object.entries(result).map(([name, t]) => [name, Float32Array.from(t.data)]));

/**
 * The quantisation of each value by `method`. Values that a carrying node joins share one; a value that only a table
 * reads is not given levels for arguments between which the function does not change.
 */
function chooseQuants(
  graph: Graph,
  regions: Regions,
  histograms: ReadonlyMap<Value, Histogram>,
  method: Method,
): (v: Value) => Quant {
  const root = new Map<Value, Value>();
  const find = (v: Value): Value => {
    const up = root.get(v);
    return up === undefined ? v : find(up);
  };
  for (const [node, form] of regions.integer) {
    if (form !== 'carry') continue;
    for (const x of levelInputs(node)) {
      const [a, b] = [find(x), find(node.outputs[0]!)];
      if (a !== b && !x.data) root.set(a, b);
    }
  }
  const groups = new Map<Value, Value[]>();
  for (const v of histograms.keys()) groups.set(find(v), [...(groups.get(find(v)) ?? []), v]);
  const readers = new Map<Value, Node[]>();
  for (const node of graph.nodes) for (const x of node.inputs) if (x) readers.set(x, [...(readers.get(x) ?? []), node]);

  const chosen = new Map<Value, Quant>();
  return (value) => {
    const representative = find(value);
    let quant = chosen.get(representative);
    if (!quant) {
      const members = groups.get(representative)!;
      const seen = new Histogram();
      for (const member of members) seen.merge(histograms.get(member)!);
      let [low, high] = chooseRange(seen, method);
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
      chosen.set(representative, quant);
    }
    return quant;
  };
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

/** Signal to noise over all outputs and samples, each output weighted alike, in dB. */
async function outputSqnr(
  graph: Graph,
  samples: readonly Sample[],
  expected: readonly Outputs[],
  engine: Engine,
  tick: () => void,
): Promise<number> {
  const session = await engine.session(graph);
  const signal: Record<string, number> = {};
  const noise: Record<string, number> = {};
  try {
    samples.forEach((sample, i) => {
      for (const [name, got] of Object.entries(floatOutputs(session.run(sample)))) {
        const want = expected[i]![name]!;
        for (let k = 0; k < want.length; k++) {
          signal[name] = (signal[name] ?? 0) + want[k]! ** 2;
          noise[name] = (noise[name] ?? 0) + (want[k]! - got[k]!) ** 2;
        }
      }
      tick();
    });
  } finally {
    session.dispose();
  }
  const each = Object.keys(signal).map((name) => 10 * Math.log10((signal[name]! + 1e-30) / (noise[name]! + 1e-30)));
  return each.reduce((sum, db) => sum + Math.min(db, 150), 0) / Math.max(1, each.length);
}
