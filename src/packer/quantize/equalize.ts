/**
 * Equalisation: the weights that meet a channel can be divided by what the channel was multiplied with, so channels that share a
 * quantisation are scaled to alike ranges (cross-layer equalisation, Nagel et al. 2019, but of measured ranges and through any
 * activation). For depthwise convolutions that costs nothing. In other products weights of one output then differ more, which
 * spoils them, so ranges are brought together only as far as it pays (SmoothQuant, Xiao et al. 2023). Factors pass pools and
 * concatenations, on both sides of which channels are the same. The result computes the same.
 */
import { countUses, type Graph, type Node, type Value } from '../../graph/ir';
import { rewrite } from '../../graph/rewrite';
import type { Step } from '../../ops/define';
import type { Engine, Sample } from '../evaluate/engine';

/** Channels are scaled by 1 to this. Where ranges differ by more, the narrowest are noise. */
const MOST = 32;
/** Scaling by less than this, at the most, is not worth a node. */
const LEAST = 1.25;
/** How far ranges are brought together: not at all, to wholly. */
const STRENGTHS = [0, 0.25, 0.5, 0.75, 1];

/**
 * `graph` must come from `splitActivations`. `isFine`: whether a product's weights will be 8 bits, and are no levels yet; those of
 * others are divided only where each output has one input channel.
 */
export async function equalize(
  graph: Graph,
  samples: readonly Sample[],
  engine: Engine,
  isFine: (product: Node) => boolean,
  tick: () => void,
): Promise<Graph> {
  const sites = findSites(graph).filter(({ readers }) => readers.every((node) => isDepthwise(node) || isFine(node)));
  if (sites.length === 0) return graph;
  const seen = new Map(sites.flatMap(({ offsets }) => [...offsets.keys()].map((value) => [value, new Channels(depthOf(value))])));
  const session = await engine.session(graph);
  try {
    for (const sample of samples) {
      session.run(sample, {
        observe: (node, values) => seen.get(node.outputs[0]!)?.add(values[0]!.data as Float32Array),
      });
      tick();
    }
  } finally {
    session.dispose();
  }
  const factors = new Map<Value, Float32Array>();
  for (const { offsets, readers } of sites) {
    const found = factorsOf(offsets, readers, seen);
    if (Math.max(...found) < LEAST) continue;
    for (const [value, offset] of offsets) factors.set(value, found.subarray(offset, offset + depthOf(value)));
  }
  return scaled(graph, factors);
}

const depthOf = ({ type }: Value): number => type.shape.at(-1) as number;

const isDepthwise = ({ op, attrs, inputs }: Node): boolean =>
  op.name === 'conv' && inputs[1]!.type.shape[3] === 1 && (attrs.group as number) === inputs[1]!.type.shape[0];

const isProduct = ({ op, inputs }: Node): boolean => (op.name === 'conv' || op.name === 'gemm') && inputs[1]?.data !== undefined;

/** A product whose weights can be divided by what channels of its input were multiplied with. */
const isAbsorbing = (node: Node): boolean =>
  isProduct(node) && (isDepthwise(node) || node.op.name === 'gemm' || node.attrs.group === 1);

/** A node that takes factors of its output's channels into its constants. */
const isScalable = (node: Node): boolean => {
  const { op, attrs, inputs } = node;
  if (op.name === 'layerNorm') return inputs.slice(1).every((x) => x?.data);
  return isProduct(node) && !inputs[4] && (attrs.act as Step[]).every((step) => step.fn === 'relu');
};

/** A function of a product that alone it reads: factors become a node after it. */
const isFunctionOfProduct = ({ op, inputs: [x] }: Node): boolean =>
  op.name === 'unary' && !!x!.producer && isProduct(x!.producer) && !x!.producer.inputs[4];

/** The inputs whose channels become those of the output, each by itself, with the place at which they begin there. */
function carried({ op, attrs, inputs }: Node): Map<Value, number> {
  if (op.name === 'pool') return new Map([[inputs[0]!, 0]]);
  const isJoined =
    op.name === 'concat' && attrs.axis === inputs[0]!.type.shape.length - 1 && new Set(inputs).size === inputs.length;
  if (!isJoined) return new Map();
  let at = 0;
  return new Map(inputs.map((part) => [part!, (at += depthOf(part!)) - depthOf(part!)]));
}

/** Values whose channels must be scaled together. */
interface Site {
  /** Of each value: which of the site's factors is its first channel's. */
  readonly offsets: ReadonlyMap<Value, number>;
  readonly readers: readonly Node[];
}

function findSites(graph: Graph): Site[] {
  const readers = new Map<Value, Node[]>();
  for (const node of graph.nodes) for (const x of new Set(node.inputs)) if (x) readers.set(x, [...(readers.get(x) ?? []), node]);
  const uses = countUses(graph);
  const done = new Set<Value>();
  const sites: Site[] = [];
  for (const node of graph.nodes) {
    const start = node.inputs[0]!;
    if (!isAbsorbing(node) || done.has(start)) continue;
    const offsets = new Map<Value, number>();
    const products = new Set<Node>();
    /** False where something sees a value that must not be scaled. */
    const visit = (value: Value, offset: number): boolean => {
      const found = offsets.get(value);
      if (found !== undefined) return found === offset;
      offsets.set(value, offset);
      done.add(value);
      const made = value.producer;
      const isSeen = uses.get(value) !== readers.get(value)?.length;
      if (!made || isSeen || typeof value.type.shape.at(-1) !== 'number') return false;
      const parts = carried(made);
      if (parts.size === 0 && !isScalable(made) && !isFunctionOfProduct(made)) return false;
      for (const [part, at] of parts) if (!visit(part, offset + at)) return false;
      return readers.get(value)!.every((reader) => {
        if (isAbsorbing(reader) && reader.inputs[0] === value) return products.add(reader);
        const at = carried(reader).get(value);
        return at !== undefined && visit(reader.outputs[0]!, offset - at);
      });
    };
    if (!visit(start, 0)) continue;
    const least = Math.min(...offsets.values());
    sites.push({ offsets: new Map([...offsets].map(([value, offset]) => [value, offset - least])), readers: [...products] });
  }
  return sites;
}

/** What is seen of the channels of a value. */
class Channels {
  readonly low: Float32Array;
  readonly high: Float32Array;
  private readonly squares: Float64Array;
  private rows = 0;

  constructor(readonly depth: number) {
    this.low = new Float32Array(depth);
    this.high = new Float32Array(depth);
    this.squares = new Float64Array(depth);
  }

  add(data: Float32Array): void {
    const { low, high, squares } = this;
    for (let at = 0; at < data.length; this.rows++)
      for (let i = 0; i < low.length; i++) {
        const x = data[at++]!;
        if (x < low[i]!) low[i] = x;
        if (x > high[i]!) high[i] = x;
        squares[i]! += x * x;
      }
  }

  /** The mean square of a channel. */
  power(channel: number): number {
    return this.squares[channel]! / Math.max(1, this.rows);
  }
}

/** By what to multiply the channels of a site, 1 to MOST, so that rounding them and the weights of its readers costs least. */
function factorsOf(offsets: Site['offsets'], readers: readonly Node[], seen: ReadonlyMap<Value, Channels>): Float32Array {
  const needs = scalesOf([...offsets].map(([value, offset]) => [seen.get(value)!, offset]));
  const most = Math.max(...needs);
  const candidates = STRENGTHS.map((strength) =>
    needs.map((need) => Math.min(MOST, (need > 0 ? most / need : MOST) ** strength)),
  );
  const costs = candidates.map((factors) => {
    const step = Math.max(...needs.map((need, i) => need * factors[i]!));
    return readers.reduce((sum, reader) => {
      const [x] = reader.inputs as Value[];
      const own = factors.subarray(offsets.get(x!)!, offsets.get(x!)! + depthOf(x!));
      return sum + roundingCost(reader, seen.get(x!)!, own, step);
    }, 0);
  });
  return candidates[costs.indexOf(Math.min(...costs))]!;
}

/** The scale that each channel needs. All share a zero point: that at which scales are least against ranges. */
function scalesOf(members: readonly (readonly [Channels, offset: number])[]): Float32Array {
  const count = Math.max(...members.map(([{ depth }, offset]) => offset + depth));
  const [low, high] = [new Float32Array(count), new Float32Array(count)];
  for (const [channels, offset] of members) {
    channels.low.forEach((v, i) => (low[offset + i] = Math.min(low[offset + i]!, v)));
    channels.high.forEach((v, i) => (high[offset + i] = Math.max(high[offset + i]!, v)));
  }
  let [best, least] = [new Float32Array(count), Number.POSITIVE_INFINITY];
  for (let below = 0; below < 255; below++) {
    const above = 255 - below;
    let error = 0;
    const scales = low.map((l, i) => {
      const range = high[i]! - l;
      const scale = Math.max(l < 0 ? -l / below : 0, high[i]! / above);
      if (range > 0) error += (scale / range) ** 2;
      return scale;
    });
    if (error < least) [best, least] = [scales, error];
  }
  return best;
}

/** What rounding adds to a product, over the product, both squared. `step`: of the input's levels. */
function roundingCost({ inputs }: Node, input: Channels, factors: Float32Array, step: number): number {
  const [, w] = inputs as Value[];
  const weights = w!.data as Float32Array;
  const outputs = w!.type.shape[0] as number;
  const size = weights.length / outputs;
  const depth = depthOf(w!);
  let [signal, noise] = [0, 0];
  for (let o = 0; o < outputs; o++) {
    let [peak, power] = [0, 0];
    for (let k = 0; k < size; k++) {
      const channel = depth === 1 ? o : k % depth;
      const [weight, factor] = [weights[o * size + k]!, factors[channel]!];
      peak = Math.max(peak, Math.abs(weight) / factor);
      power += factor ** 2 * input.power(channel);
      signal += weight ** 2 * input.power(channel);
      noise += (weight / factor) ** 2 * step ** 2;
    }
    noise += (peak / 127) ** 2 * power;
  }
  return signal > 0 ? noise / signal : 0;
}

/** Each value multiplied by its factors, and the weights that it meets divided by them. */
function scaled(graph: Graph, factors: ReadonlyMap<Value, Float32Array>): Graph {
  return rewrite(graph, ({ node, inputs, build, emit, again, floats }) => {
    const factor = carried(node).size > 0 ? undefined : factors.get(node.outputs[0]!);
    const divisor = isProduct(node) ? factors.get(node.inputs[0]!) : undefined;
    if (!factor && !divisor) return undefined;
    const name = factor ? `${node.name}.even` : node.name;
    if (factor && node.op.name === 'unary')
      return emit('binary', [again(inputs), floats([factor.length], factor)], { fn: 'mul' }, name);
    const constant = (x: Value, by: (row: number, channel: number) => number) => {
      const data = x.data as Float32Array;
      const size = data.length / (x.type.shape[0] as number);
      const depth = depthOf(x);
      return build.constant(
        x.name,
        x.type,
        data.map((v, i) => v * by(Math.floor(i / size), i % depth)),
      );
    };
    const ofRow = (row: number) => factor?.[row] ?? 1;
    const ofInput = (row: number, channel: number) => divisor?.[isDepthwise(node) ? row : channel] ?? 1;
    const [x, w, bias, ...rest] = inputs;
    const weights = constant(w!, (row, channel) => ofRow(row) / ofInput(row, channel));
    return again([x, weights, bias && constant(bias, ofRow), ...rest], {}, name);
  });
}
