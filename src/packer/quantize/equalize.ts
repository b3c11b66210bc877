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
  const ranges = new Map([...sites].map((value) => [value, new ChannelRange(value.type.shape.at(-1) as number)]));
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
    const found = range.factors();
    if (Math.max(...found) >= LEAST) factors.set(value, found);
  }
  return scaled(graph, factors);
}

const isDepthwise = ({ op, attrs, inputs }: Node): boolean =>
  op.name === 'conv' && inputs[1]!.type.shape[3] === 1 && (attrs.group as number) === inputs[1]!.type.shape[0];

const isProduct = ({ op, inputs }: Node): boolean =>
  (op.name === 'conv' || op.name === 'gemm') && inputs[1]?.data !== undefined && inputs[4] === undefined;

/** A product that scales with its weights and bias. */
const isHomogeneous = (node: Node): boolean => isProduct(node) && (node.attrs.act as Step[]).every((step) => step.fn === 'relu');

/** Values that only depthwise convolutions read and whose channels can be scaled where they are made. */
function findSites(graph: Graph): Set<Value> {
  const uses = countUses(graph);
  const readers = new Map<Value, number>();
  for (const node of graph.nodes)
    if (isDepthwise(node) && node.inputs[1]!.data) readers.set(node.inputs[0]!, (readers.get(node.inputs[0]!) ?? 0) + 1);
  const isSite = (value: Value): boolean => {
    const made = value.producer;
    if (!made || readers.get(value) !== uses.get(value)) return false;
    const from = made.inputs[0]!;
    return (
      isHomogeneous(made) || (made.op.name === 'unary' && uses.get(from) === 1 && !!from.producer && isProduct(from.producer))
    );
  };
  return new Set([...readers.keys()].filter(isSite));
}

/** Least and greatest of each channel. */
class ChannelRange {
  private readonly low: Float32Array;
  private readonly high: Float32Array;

  constructor(channels: number) {
    this.low = new Float32Array(channels);
    this.high = new Float32Array(channels);
  }

  add(data: Float32Array): void {
    const { low, high } = this;
    for (let at = 0; at < data.length; )
      for (let i = 0; i < low.length; i++) {
        const x = data[at++]!;
        if (x < low[i]!) low[i] = x;
        if (x > high[i]!) high[i] = x;
      }
  }

  /**
   * By what to multiply each channel, 1 to MOST. All channels share a zero point; of all, the one is chosen at which the
   * channels' scales are least against their ranges.
   */
  factors(): Float32Array {
    const { low, high } = this;
    let [best, least] = [new Float32Array(low.length).fill(1), Number.POSITIVE_INFINITY];
    for (let below = 0; below < 255; below++) {
      const above = 255 - below;
      let error = 0;
      const scales = low.map((l, i) => {
        const range = high[i]! - l;
        const scale = Math.max(l < 0 ? -l / below : 0, high[i]! / above);
        if (range > 0) error += (scale / range) ** 2;
        return scale;
      });
      if (error < least) {
        const largest = Math.max(...scales);
        least = error;
        best = scales.map((scale) => Math.min(MOST, scale > 0 ? largest / scale : MOST));
      }
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
    const constant = (x: Value, by: (channel: number) => number) => {
      const data = x.data as Float32Array;
      const size = data.length / (x.type.shape[0] as number);
      return build.constant(
        x.name,
        x.type,
        data.map((v, i) => v * by(Math.floor(i / size))),
      );
    };
    if (factor && node.op.name === 'unary')
      return emit('binary', [again(inputs), floats([factor.length], factor)], { fn: 'mul' }, `${node.name}.even`);
    const by = (channel: number) => (factor?.[channel] ?? 1) / (divisor?.[channel] ?? 1);
    const [x, w, bias, ...rest] = inputs;
    return again(
      [x, constant(w!, by), bias && constant(bias, (channel) => factor?.[channel] ?? 1), ...rest],
      {},
      factor ? `${node.name}.even` : node.name,
    );
  });
}
