/**
 * Batch norms for what came without: a file has them folded into its weights, and then bears much smaller steps of training than the
 * net with norms did. They are put in so that outputs stay what they are, and folded away again when training ends.
 */
import { Builder, type Graph, type Node, type Value } from '../../graph/ir';
import { rewrite } from '../../graph/rewrite';
import type { Step } from '../../ops/define';
import { binaries } from '../../runtime/wasm/binaries';
import type { Normalisation } from '../data/batches';
import type { Dataset } from '../data/dataset';
import { labelledSamples } from '../data/samples';
import { wasmEngine } from '../evaluate/engine';
import { fitted } from './batched';
import { copyInto } from './differentiate';
import { kindNamed } from './kinds';
import { folded } from './program';

export const NORM = { epsilon: 1e-5, momentum: 0.1 };

/** Examples by which norms are set. */
const SAMPLES = 64;

/** Vectors of a norm, each [channels]. */
export interface NormVectors {
  readonly gamma: Value;
  readonly beta: Value;
  readonly mean: Value;
  readonly variance: Value;
}

/** A product of which a norm is taken before its residual and its functions. What comes out is called as the node. */
export function behindNorm(
  build: Builder,
  node: Node,
  [x, w, residual]: readonly [x: Value, w: Value, residual: Value | undefined],
  { gamma, beta, mean, variance }: NormVectors,
): Value {
  const act = node.attrs.act as readonly Step[];
  const [ofNorm, ofSum] = [residual || act.length ? `${node.name}.norm` : node.name, act.length ? `${node.name}.sum` : node.name];
  let y = build.node(node.op, `${node.name}.product`, [x, w], { ...node.attrs, act: [] });
  y = build.node(kindNamed('batchNorm'), ofNorm, [y, gamma, beta, mean, variance], NORM);
  if (residual) y = build.node('binary', ofSum, [y, residual], { fn: 'add' });
  return act.length ? build.node('unary', node.name, [y], { steps: act }) : y;
}

const PRODUCTS: ReadonlySet<string> = new Set(['conv', 'gemm', 'matmul']);

/** Convolutions of floats by constant weights that have no norm and lead to other products: scores stay as they are. */
function unnormed({ nodes }: Graph): readonly Node[] {
  const normed = new Set(nodes.filter(({ op }) => op.name === 'batchNorm').map(({ inputs }) => inputs[0]));
  const leading = new Set<Value | undefined>();
  const found: Node[] = [];
  for (const node of [...nodes].reverse()) {
    const { op, inputs, outputs } = node;
    const [, w, bias] = inputs;
    const isLeading = outputs.some((y) => leading.has(y));
    const isPlain = op.name === 'conv' && w?.data && w.type.dtype === 'f32' && (!bias || bias.data);
    if (isPlain && isLeading && !normed.has(outputs[0])) found.unshift(node);
    if (isLeading || PRODUCTS.has(op.name)) for (const x of inputs) leading.add(x);
  }
  return found;
}

/**
 * The graph with a batch norm behind each convolution that has none and is not the last product, set by examples such that by its
 * running statistics it computes what the graph did. Throws SHAPE where examples do not fit.
 */
export async function withNorms(graph: Graph, set: Dataset, normalisation: Normalisation): Promise<Graph> {
  const moments = await momentsOf(graph, set, normalisation);
  return rewrite(graph, ({ node, inputs, build }) => {
    const found = moments.get(node.outputs[0]!.name);
    if (!found) return undefined;
    const { mean, variance } = found;
    const [x, w, bias] = inputs as [Value, Value, Value | undefined];
    const vector = (part: string, data: Float32Array) => build.numbers(`${node.name}.${part}`, 'f32', [mean.length], data);
    return behindNorm(build, node, [x, w, inputs[node.op.inputs.indexOf('residual?')]], {
      gamma: vector(
        'gamma',
        variance.map((v) => Math.sqrt(v + NORM.epsilon)),
      ),
      beta: vector(
        'beta',
        mean.map((m, o) => m + ((bias?.data as Float32Array | undefined)?.[o] ?? 0)),
      ),
      mean: vector('mean', mean),
      variance: vector('variance', variance),
    });
  });
}

interface Moments {
  readonly mean: Float32Array;
  readonly variance: Float32Array;
}

/** Of what each of the `unnormed` convolutions computes without its bias, by channel, over pixels and examples; by the names of outputs. */
async function momentsOf(graph: Graph, set: Dataset, normalisation: Normalisation): Promise<ReadonlyMap<string, Moments>> {
  const { graph: sized, channelsFirst } = fitted(graph, set);
  const layers = unnormed(sized);
  if (layers.length === 0) return new Map();
  const build = new Builder();
  const now = copyInto(build, sized, new Map(sized.inputs.map((x) => [x, build.input(x.name, x.type)])));
  const products = layers.map(({ op, name, inputs: [x, w], attrs }) =>
    build.node(op, `${name}.product`, [now(x!), now(w!)], { ...attrs, act: [] }),
  );
  const measured = build.finish(products.map((value, i) => ({ name: `y${i}`, value })));
  const session = await wasmEngine(binaries()).session(folded(measured));
  const sums = products.map(({ type }) => ({
    count: 0,
    first: new Float64Array(type.shape.at(-1) as number),
    second: new Float64Array(type.shape.at(-1) as number),
  }));
  try {
    for (const { sample } of labelledSamples(set, sized.inputs[0]!, { normalisation, channelsFirst }, SAMPLES)) {
      const results = session.run(sample);
      sums.forEach((sum, i) => {
        const { data } = results[`y${i}`]!;
        const channels = sum.first.length;
        for (let at = 0; at < data.length; at++) {
          const v = data[at] as number;
          sum.first[at % channels]! += v;
          sum.second[at % channels]! += v * v;
        }
        sum.count += data.length / channels;
      });
    }
  } finally {
    session.dispose();
  }
  const moments = sums.map(({ count, first, second }) => ({
    mean: Float32Array.from(first, (v) => v / count),
    variance: Float32Array.from(second, (v, o) => Math.max(0, v / count - (first[o]! / count) ** 2)),
  }));
  return new Map(layers.map(({ outputs }, i) => [outputs[0]!.name, moments[i]!]));
}
