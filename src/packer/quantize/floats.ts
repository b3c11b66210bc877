/**
 * Which nodes stay in floating point. What it costs the outputs to round a value to levels is measured, one value at a time. The
 * nodes that read the costliest ones are then left in floats, as far as these are little of the network: they see the value as it is.
 */
import { elements, evaluateShape, type Quant } from '../../core/shape';
import type { Graph, Node, Value } from '../../graph/ir';
import { rewrite } from '../../graph/rewrite';
import { countMacs } from '../evaluate/cost';
import { bindingsOf, type Engine, type Sample } from '../evaluate/engine';
import { type Fidelity, fidelity, type Outputs } from './fidelity';
import { levelInputs, type Regions } from './regions';

/** Shares of the network's weights and of its work that it may keep in floats to be nearer to the float network. */
const WEIGHTS = 0.02;
const WORK = 0.1;
/** What a node that is no product works for each element, in the multiplications and additions of products. */
const ELEMENT_WORK = 8;
/** Values that cost less than this share of all that was measured are not worth it. */
const LEAST = 0.005;

/** Nodes that are to stay float. `groups`: values that share one quantisation; `samples` with the float graph's outputs. */
export async function costlyNodes(
  graph: Graph,
  regions: Regions,
  groups: Iterable<readonly Value[]>,
  quantOf: (value: Value) => Quant,
  { samples, outputs, engine }: { samples: readonly Sample[]; outputs: readonly Outputs[]; engine: Engine },
  tick: (value: Value) => void,
): Promise<Set<Node>> {
  const bindings = bindingsOf(graph, samples[0]!);
  const macs = countMacs(graph, bindings);
  const products = [...regions.integer].filter(([, form]) => form === 'product').map(([node]) => node);
  const shareOf = (of: (node: Node) => number) => {
    const all = products.reduce((sum, node) => sum + of(node), 0);
    return (nodes: readonly Node[]) => nodes.reduce((sum, node) => sum + of(node), 0) / all;
  };
  const isCheap = (node: Node) => regions.integer.get(node) !== 'product';
  const weights = shareOf((node) => (isCheap(node) ? 0 : node.inputs[1]!.data!.length));
  const work = shareOf((node) =>
    isCheap(node) ? ELEMENT_WORK * elements(evaluateShape(node.outputs[0]!.type.shape, bindings)) : macs.get(node)!,
  );

  const candidates: { readers: Node[]; error: number; price: number }[] = [];
  for (const group of groups) {
    const made = group.filter((value) => value.producer);
    const readers = [...regions.integer.keys()].filter(
      (node) => regions.integer.get(node) !== 'carry' && levelInputs(node).some((x) => group.includes(x)),
    );
    if (made.length === 0) continue;
    const price = Math.max(weights(readers) / WEIGHTS, work(readers) / WORK);
    if (!(price <= 1)) continue;
    const { error } = await fidelity(roundedAt(graph, new Set(made), quantOf), samples, outputs, engine);
    candidates.push({ readers, error, price });
    tick(made[0]!);
  }
  const total = candidates.reduce((sum, { error }) => sum + error, 0);
  const chosen = new Set<Node>();
  for (const { readers, error } of candidates.sort((a, b) => b.error / b.price - a.error / a.price)) {
    const more = [...new Set([...chosen, ...readers])];
    if (error < LEAST * total || weights(more) > WEIGHTS || work(more) > WORK) continue;
    for (const node of readers) chosen.add(node);
  }
  return chosen;
}

/** The graph with some of its values rounded to levels. */
function roundedAt(graph: Graph, values: ReadonlySet<Value>, quantOf: (value: Value) => Quant): Graph {
  return rewrite(graph, ({ node, inputs, again, emit }) => {
    const y = node.outputs[0]!;
    return values.has(y) ? emit('dequantize', [emit('quantize', [again(inputs)], { quant: quantOf(y) })]) : undefined;
  });
}

/** Whether `relieved`, of which some layers are float, is so much better than `whole` that they are worth it. */
export const isWorth = (relieved: Fidelity, whole: Fidelity): boolean => relieved.error * 10 ** 0.1 <= whole.error;
