/** The graph with the products of small layers where layers were. */
import type { Graph, Node } from '../../graph/ir';
import { type Rule, rewrite } from '../../graph/rewrite';
import type { Stage } from './layer';

/** Stages one after the other, and the weights of each. */
export interface Factors {
  readonly stages: readonly Stage[];
  readonly weights: readonly Float64Array[];
  /** Added to the bias. */
  readonly shift?: Float64Array;
}

/** The last stage keeps the layer's name, bias, residual input and function. The others are called `NAME.in` and `NAME.core`. */
export const replaceLayers = (graph: Graph, made: ReadonlyMap<Node, Factors>): Graph => rewrite(graph, factors(made));

const factors =
  (made: ReadonlyMap<Node, Factors>): Rule =>
  ({ node, inputs: [x, w, bias, ...rest], build, emit, again, floats }) => {
    const { stages, weights, shift } = made.get(node) ?? {};
    if (!stages || !weights) return undefined;
    const isConv = node.op.name === 'conv';
    const parts = stages.length === 2 ? ['in', 'out'] : ['in', 'core', 'out'];
    return stages.reduce((value, { shape, ...window }, s) => {
      const type = { dtype: 'f32', shape: isConv ? shape : [shape[0], shape[3]] } as const;
      const constant = build.constant(`${w!.name}.${parts[s]}`, type, Float32Array.from(weights[s]!));
      if (s < stages.length - 1)
        return emit(isConv ? 'conv' : 'gemm', [value, constant], isConv ? window : {}, `${node.name}.${parts[s]}`);
      const moved =
        shift &&
        floats(
          [shift.length],
          Float32Array.from(shift, (v, o) => v + (bias ? bias.data![o]! : 0)),
        );
      if (node.op.name === 'matmul') return emit('gemm', [value, constant, moved], { act: node.attrs.act! });
      return again([value, constant, moved ?? bias, ...rest], isConv ? window : {});
    }, x!);
  };
