/**
 * Models that were exported for one example get a free batch, so that they can be trained. Every value that depends on the input must
 * keep examples apart along its first axis; a model that mixes them is refused, not trained wrongly.
 */
import { sameDim, symbol } from '../../core/dim';
import { located, WaferError } from '../../core/errors';
import { Builder, type Graph, nodeText, type Value } from '../../graph/ir';

const N = symbol('N');

/** Attributes that are the output's shape, by operator. */
const SHAPES: Readonly<Record<string, string>> = { reshape: 'shape', expand: 'shape', slice: 'size' };

/** Operators of which the second input is weights, the same for all examples. */
const WEIGHTED = new Set(['conv', 'gemm']);

const isBatched = (x: Value | undefined): boolean => {
  const first = x?.type.shape[0];
  return first !== undefined && sameDim(first, N);
};

/** The same graph with a first dimension `N` where its only input has 1; any other graph as it is. Throws UNSUPPORTED. */
export function batched(graph: Graph): Graph {
  const [x] = graph.inputs;
  if (!x || graph.inputs.length > 1 || x.type.shape[0] !== 1) return graph;
  const build = new Builder();
  const now = new Map<Value, Value>([[x, build.input(x.name, { ...x.type, shape: [N, ...x.type.shape.slice(1)] })]]);
  const current = (value: Value): Value => {
    let mapped = now.get(value);
    if (!mapped) now.set(value, (mapped = build.constant(value.name, value.type, value.data!)));
    return mapped;
  };
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((value) => value && current(value));
    const { op, attrs } = node;
    const made = located({ node: nodeText(node) }, () => {
      if (!inputs.some(isBatched)) return build.add(op, node.name, inputs, attrs);
      const shape = attrs[SHAPES[op.name] ?? ''] as readonly unknown[] | undefined;
      const free = shape?.[0] === 1 ? { ...attrs, [SHAPES[op.name]!]: [N, ...shape.slice(1)] } : attrs;
      const outputs = build.add(op, node.name, inputs, free as typeof attrs);
      const isMixed = attrs.axis === 0 || (WEIGHTED.has(op.name) && isBatched(inputs[1]));
      if (isMixed || !outputs.every(isBatched))
        throw new WaferError('UNSUPPORTED', 'examples do not stay apart here, so that the model cannot be trained in batches', {
          hint: 'export the model with a free batch dimension',
        });
      return outputs;
    });
    node.outputs.forEach((y, i) => now.set(y, made[i]!));
  }
  return build.finish(graph.outputs.map(({ name, value }) => ({ name, value: current(value) })));
}
