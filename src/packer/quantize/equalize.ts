/**
 * Equalisation over depthwise convolutions: a depthwise convolution treats each channel by itself, so its input's channels
 * can be scaled to alike ranges and its weights scaled back, and one quantisation serves all of them well (cross-layer
 * equalisation, Nagel et al. 2019, but of measured ranges and through any activation). The result computes the same.
 */
import { countUses, type Graph, type Node, type Value } from '../../graph/ir';
import { rewrite } from '../../graph/rewrite';
import type { Step } from '../../ops/define';
import type { Engine, Sample } from '../evaluate/engine';

/** Channels are scaled by 1 to this. Where ranges differ by more, the narrowest are noise. */
const MOST = 32;
/** Scaling by less than this, at the most, is not worth a node. */
const LEAST = 1.25;

/** `graph` must come from `splitActivations`. */
export async function equalize(graph: Graph, samples: readonly Sample[], engine: Engine, tick: () => void): Promise<Graph> {
  const sites = findSites(graph);
  if (sites.size === 0) return graph;
  const ranges = new Map([...sites.keys()].map((value) => [value, new ChannelRange(value.type.shape.at(-1) as number)]));
  const session = await engine.session(graph);
  try {
    for (const sample of samples) {
      session.run(sample, {
        observe: (node, values) => ranges.get(node.outputs[0]!)?.add(values[0]!.data as Float32Array),
      });
      tick();
    }
  } finally {
    session.dispose();
  }
  const factors = new Map<Value, Float32Array>();
  for (const [value, range] of ranges) {
    const found = range.factors(sites.get(value)!);
    if (Math.max(...found) >= LEAST) factors.set(value, found);
  }
  return scaled(graph, factors);
}

const isDepthwise = ({ op, attrs, inputs }: Node): boolean =>
  op.name === 'conv' && inputs[1]!.type.shape[3] === 1 && (attrs.group as number) === inputs[1]!.type.shape[0];

const isProduct = ({ op, inputs }: Node): boolean => (op.name === 'conv' || op.name === 'gemm') && inputs[1]?.data !== undefined;

/** A product whose weights see each input channel by itself. */
const isAbsorbing = (node: Node): boolean => isProduct(node) && (isDepthwise(node) || ((node.attrs.group as number) ?? 1) === 1);

/** A node whose output channels scale with its constants. */
const isHomogeneous = ({ op, attrs, inputs }: Node): boolean =>
  op.name === 'layerNorm'
    ? inputs.slice(1).every((x) => x?.data)
    : isProduct({ op, attrs, inputs } as Node) && !inputs[4] && (attrs.act as Step[]).every((step) => step.fn === 'relu');

/** Values whose channels can be scaled where they are made, with the products that alone read them. */
function findSites(graph: Graph): Map<Value, readonly Node[]> {
  const uses = countUses(graph);
  const readers = new Map<Value, Node[]>();
  for (const node of graph.nodes) {
    const x = node.inputs[0]!;
    if (isAbsorbing(node)) readers.set(x, [...(readers.get(x) ?? []), node]);
  }
  const isSite = (value: Value): boolean => {
    const made = value.producer;
    if (!made || readers.get(value)!.length !== uses.get(value)) return false;
    const from = made.inputs[0]!;
    return (
      isHomogeneous(made) || (made.op.name === 'unary' && uses.get(from) === 1 && !!from.producer && isProduct(from.producer) && !from.producer.inputs[4])
    );
  };
  return new Map([...readers].filter(([value]) => isSite(value)));
}

/** How far ranges are brought together: not at all, to wholly. */
const STRENGTHS = [0, 0.25, 0.5, 0.75, 1];

/** Least, greatest and mean square of each channel. */
class ChannelRange {
  private readonly low: Float32Array;
  private readonly high: Float32Array;
  private readonly squares: Float64Array;
  private rows = 0;

  constructor(channels: number) {
    this.low = new Float32Array(channels);
    this.high = new Float32Array(channels);
    this.squares = new Float64Array(channels);
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

  /** By what to multiply each channel, 1 to MOST, so that rounding it and the weights of its readers costs these least. */
  factors(readers: readonly Node[]): Float32Array {
    const needs = this.needs();
    const most = Math.max(...needs);
    const candidates = STRENGTHS.map((strength) =>
      needs.map((need) => Math.min(MOST, need > 0 ? (most / need) ** strength : MOST ** strength)),
    );
    const costs = candidates.map((factors) => readers.reduce((sum, node) => sum + this.cost(node, needs, factors), 0));
    return candidates[costs.indexOf(Math.min(...costs))]!;
  }

  /** What rounding adds to a product, over the product, both squared. */
  private cost({ inputs }: Node, needs: Float32Array, factors: Float32Array): number {
    const [, w] = inputs;
    const weights = w!.data as Float32Array;
    const [outputs, depth] = [w!.type.shape[0] as number, w!.type.shape.at(-1) as number];
    const size = weights.length / outputs;
    const step = Math.max(...needs.map((need, c) => need * factors[c]!));
    let [signal, noise] = [0, 0];
    for (let o = 0; o < outputs; o++) {
      const channel = (k: number) => (depth === 1 ? o : k % depth);
      let [peak, seen] = [0, 0];
      for (let k = 0; k < size; k++) {
        const c = channel(k);
        const weight = weights[o * size + k]!;
        const square = this.squares[c]! / this.rows;
        peak = Math.max(peak, Math.abs(weight) / factors[c]!);
        seen += factors[c]! ** 2 * square;
        signal += weight ** 2 * square;
        noise += (weight / factors[c]!) ** 2 * step ** 2;
      }
      noise += (peak / 127) ** 2 * seen;
    }
    return noise / (signal || 1);
  }

  /** The scale that each channel needs. All share a zero point: that at which scales are least against ranges. */
  private needs(): Float32Array {
    const { low, high } = this;
    let [best, least] = [new Float32Array(low.length), Number.POSITIVE_INFINITY];
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
}

/** Each value multiplied by its factors, and the weights that it meets divided by them. */
function scaled(graph: Graph, factors: ReadonlyMap<Value, Float32Array>): Graph {
  return rewrite(graph, ({ node, inputs, build, emit, again, floats }) => {
    const factor = factors.get(node.outputs[0]!);
    const divisor = factors.get(node.inputs[0]!);
    if (!factor && !divisor) return undefined;
    const scaledConstant = (x: Value, by: (row: number, channel: number) => number) => {
      const data = x.data as Float32Array;
      const depth = x.type.shape.at(-1) as number;
      const size = data.length / (x.type.shape[0] as number);
      return build.constant(
        x.name,
        x.type,
        data.map((v, i) => v * by(Math.floor(i / size), i % depth)),
      );
    };
    if (factor && node.op.name === 'unary')
      return emit('binary', [again(inputs), floats([factor.length], factor)], { fn: 'mul' }, `${node.name}.even`);
    const name = factor ? `${node.name}.even` : node.name;
    const ofRow = (row: number) => factor?.[row] ?? 1;
    const [x, w, bias, ...rest] = inputs;
    const second = bias && scaledConstant(bias, ofRow);
    if (node.op.name === 'layerNorm') return again([x, scaledConstant(w!, ofRow), second, ...rest], {}, name);
    const ofInput = (row: number, channel: number) => divisor?.[isDepthwise(node) ? row : channel] ?? 1;
    return again([x, scaledConstant(w!, (row, channel) => ofRow(row) / ofInput(row, channel)), second, ...rest], {}, name);
  });
}
