/** Nets for tables of numbers normalise them themselves, so that their files take numbers as the table has them. */
import type { Graph, Value } from '../../graph/ir';
import { rewrite } from '../../graph/rewrite';
import { step } from '../../ops/steps';
import type { Normalisation } from '../data/batches';

/** The same graph behind (x - mean) / deviation of its input, one number each, which are not trained. */
export function normalised(graph: Graph, { mean: [mean], deviation: [deviation] }: Normalisation): Graph {
  const [x] = graph.inputs;
  let y: Value | undefined;
  return rewrite(graph, ({ node, inputs, build }) => {
    if (!node.inputs.includes(x)) return undefined;
    const given = inputs[node.inputs.indexOf(x)]!;
    y ??= build.node('unary', 'normalised', [given], { steps: [step('affine', 1 / deviation!, -mean! / deviation!)] });
    const through = inputs.map((value) => (value === given ? y : value));
    return build.add(node.op, node.name, through, node.attrs);
  });
}
