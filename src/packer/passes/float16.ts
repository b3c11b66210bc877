/** Weights of products that stay floats, rounded to what 16 bits hold, so that the file may store them so. */
import { fitHalves, fromHalves, toHalves } from '../../core/half';
import type { Graph, Value } from '../../graph/ir';
import { rewrite } from '../../graph/rewrite';

/** Where the largest weight is less, small ones would lose digits. */
const LEAST_PEAK = 2 ** -10;

/** Each element is off by 2^-11 of itself at the most, or by 2^-14 of the tensor's largest. Tensors beyond the range stay. */
export function toFloat16(graph: Graph): Graph {
  const rounded = new Map<Value, Float32Array>();
  for (const { op, inputs } of graph.nodes) {
    const [, w] = inputs;
    if (!WEIGHTED.has(op.name) || w?.type.dtype !== 'f32' || !w.data || rounded.has(w)) continue;
    const data = w.data as Float32Array;
    const peak = data.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    if (fitHalves(data) && peak >= LEAST_PEAK) rounded.set(w, fromHalves(toHalves(data)));
  }
  return rewrite(graph, ({ node, inputs, build, again }) => {
    const [x, w, ...rest] = inputs;
    const data = node.inputs[1] && rounded.get(node.inputs[1]);
    return data && w && again([x, build.constant(w.name, w.type, data), ...rest]);
  });
}

const WEIGHTED: ReadonlySet<string> = new Set(['conv', 'gemm', 'matmul']);
