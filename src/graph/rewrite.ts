/** Match and rewrite: how passes are written. */
import type { Attrs } from '../ops/define';
import { Builder, countUses, type Graph, type Node, type Value } from './ir';
import { printGraph } from './print';

/** What a rewriting rule is given for one node. */
export interface Site {
  readonly node: Node;
  /** The node's inputs in the graph that is being built. Look at their `producer`s to match what stands before. */
  readonly inputs: readonly (Value | undefined)[];
  readonly build: Builder;
  /** True when the node is the only reader of its input i: what makes that input may be fused into the node. */
  only(i: number): boolean;
  /** Adds a node and returns its first output. Without a name it takes that of the node that is rewritten. */
  emit(op: string, inputs: readonly (Value | undefined)[], attrs?: Attrs, name?: string): Value;
  /** The node's attributes over other inputs: the node moved elsewhere. */
  again(inputs: readonly (Value | undefined)[], attrs?: Attrs, name?: string): Value;
  /** An f32 constant named after the node. */
  floats(shape: readonly number[], data: Float32Array): Value;
}

/** Returns the values that replace the node's outputs, or undefined to keep the node as it is. */
export type Rule = (site: Site) => Value | readonly Value[] | undefined;

/**
 * Rebuilds `graph` in order, applying the first rule that matches to each node. Since inputs are already rewritten, a
 * rule that looks back at producers sees earlier results. Nodes that are no longer needed fall away.
 */
export function rewrite(graph: Graph, ...rules: readonly Rule[]): Graph {
  const build = new Builder();
  const uses = countUses(graph);
  const now = new Map<Value, Value>();
  for (const x of graph.inputs) now.set(x, build.input(x.name, x.type));
  const current = (x: Value): Value => {
    let mapped = now.get(x);
    if (!mapped && x.data) now.set(x, (mapped = build.constant(x.name, x.type, x.data)));
    return mapped!;
  };
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((x) => x && current(x));
    const site: Site = {
      node,
      inputs,
      build,
      only: (i) => uses.get(node.inputs[i]!) === 1,
      emit: (op, from, attrs, name = node.name) => build.node(op, name, from, attrs),
      again: (from, attrs, name = node.name) => build.node(node.op, name, from, { ...node.attrs, ...attrs }),
      floats: (shape, data) => build.constant(`${node.name}.constant`, { dtype: 'f32', shape }, data),
    };
    let replaced: Value | readonly Value[] | undefined;
    for (const rule of rules) if ((replaced = rule(site)) !== undefined) break;
    replaced ??= build.add(node.op, node.name, inputs, node.attrs);
    const values = Array.isArray(replaced) ? (replaced as readonly Value[]) : [replaced as Value];
    node.outputs.forEach((y, i) => now.set(y, values[i]!));
  }
  return build.finish(graph.outputs.map(({ name, value }) => ({ name, value: current(value) })));
}

/** Applies `pass` until the graph's text stops changing, `most` times at the most. */
export function untilStable(graph: Graph, most: number, pass: (graph: Graph) => Graph): Graph {
  let text = printGraph(graph);
  for (let i = 0; i < most; i++) {
    const next = pass(graph);
    const nextText = printGraph(next);
    if (nextText === text) return next;
    [graph, text] = [next, nextText];
  }
  return graph;
}
