/** Match and rewrite: how passes are written. */
import type { Attrs } from '../ops/define';
import { Builder, countUses, type Graph, type Node, type Value } from './ir';

/** What a rewriting rule is given for one node. */
export interface Site {
  readonly node: Node;
  /** The node's inputs in the graph that is being built. Look at their `producer`s to match what stands before. */
  readonly inputs: readonly (Value | undefined)[];
  readonly build: Builder;
  /** True when the node is the only reader of its input i: what makes that input may be fused into the node. */
  only(i: number): boolean;
  /** Adds a node (named after the one that is rewritten) and returns its first output. */
  emit(op: string, inputs: readonly (Value | undefined)[], attrs?: Attrs): Value;
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
      emit: (op, from, attrs) => build.node(op, node.name, from, attrs),
    };
    let replaced: Value | readonly Value[] | undefined;
    for (const rule of rules) if ((replaced = rule(site)) !== undefined) break;
    replaced ??= build.add(node.op, node.name, inputs, node.attrs);
    const values = Array.isArray(replaced) ? (replaced as readonly Value[]) : [replaced as Value];
    node.outputs.forEach((y, i) => now.set(y, values[i]!));
  }
  return build.finish(graph.outputs.map(({ name, value }) => ({ name, value: current(value) })));
}

/** Applies `pass` until the graph's node list stops changing in length and operators. */
export function untilStable(graph: Graph, pass: (graph: Graph) => Graph): Graph {
  for (;;) {
    const next = pass(graph);
    if (next.nodes.length === graph.nodes.length && next.nodes.every((n, i) => n.op === graph.nodes[i]!.op)) return next;
    graph = next;
  }
}
