/**
 * What values are called, and what that says. A name stands for contents: `conv1` holds what the source model calls
 * `conv1`, and `conv1@0231` the same transposed by that permutation (NCHW to NHWC). Passes keep to this, so that a value
 * of a finished graph can be traced to the source and compared with it.
 */
import type { Origin } from '../../format/model';
import { Builder, type Graph, type Value } from '../../graph/ir';

/** Splits `name@perm`. */
function parse(name: string): Origin {
  const match = /^(.*)@(\d+)$/s.exec(name);
  const perm = match ? [...match[2]!].map(Number) : [];
  const isPermutation = perm.length > 1 && perm.every((_, i) => perm.includes(i));
  return isPermutation ? { name: match![1]!, perm } : { name };
}

const isIdentity = (perm: readonly number[]): boolean => perm.every((p, i) => p === i);

/** Axis i of the result is axis second[i] of the first result: transposing by `first`, then by `second`. */
export const composePerms = (first: readonly number[], second: readonly number[]): number[] => second.map((i) => first[i]!);

export const invertPerm = (perm: readonly number[]): number[] => perm.map((_, i) => perm.indexOf(i));

/** What the transpose by `perm` of the value called `name` is called. */
export function transposedName(name: string, perm: readonly number[]): string {
  const from = parse(name);
  const full = from.perm?.length === perm.length ? composePerms(from.perm, perm) : perm;
  const base = from.perm && from.perm.length !== perm.length ? name : from.name;
  return isIdentity(full) ? base : `${base}@${full.join('')}`;
}

/** Names of the source for the values of `graph`, given those of the graph it was made from. */
export function traceOrigins(graph: Graph, origins: ReadonlyMap<string, Origin>): Map<string, Origin> {
  const traced = new Map<string, Origin>();
  for (const { name, type } of [...graph.inputs, ...graph.nodes.flatMap((n) => n.outputs)]) {
    const { name: base, perm } = parse(name);
    const origin = origins.get(name) ?? (perm?.length === type.shape.length ? origins.get(base) : undefined);
    if (!origin) continue;
    const full = origins.has(name) ? origin.perm : origin.perm ? composePerms(origin.perm, perm!) : perm;
    traced.set(name, full && !isIdentity(full) ? { name: origin.name, perm: full } : { name: origin.name });
  }
  return traced;
}

/**
 * The graph with its values renamed: `names` are those that the source has names for; transposes of such, and values
 * that such are transposes of, are named after them. The rest keep their names, made unique.
 */
export function renameValues(graph: Graph, names: ReadonlyMap<Value, string>): Graph {
  const called = new Map(names);
  for (const x of graph.inputs) called.set(x, x.name);
  for (const { op, inputs, outputs, attrs } of [...graph.nodes].reverse()) {
    const name = called.get(outputs[0]!);
    const x = inputs[0]!;
    if (op.name === 'transpose' && name && x.producer && !called.has(x))
      called.set(x, transposedName(name, invertPerm(attrs.perm as number[])));
  }
  const build = new Builder();
  const now = new Map<Value, Value>();
  for (const x of graph.inputs) now.set(x, build.input(x.name, x.type));
  const reserved = new Set(called.values());
  const current = (x: Value): Value => {
    let mapped = now.get(x);
    if (!mapped) now.set(x, (mapped = build.constant(reserved.has(x.name) ? `${x.name}.constant` : x.name, x.type, x.data!)));
    return mapped;
  };
  for (const node of graph.nodes) {
    const y = node.outputs[0]!;
    const inputs = node.inputs.map((x) => x && current(x));
    let name = called.get(y);
    if (!name && node.op.name === 'transpose') name = transposedName(inputs[0]!.name, node.attrs.perm as number[]);
    name ??= reserved.has(y.name) ? `${y.name}.part` : y.name;
    build.add(node.op, name, inputs, node.attrs).forEach((z, i) => now.set(node.outputs[i]!, z));
  }
  return build.finish(graph.outputs.map(({ name, value }) => ({ name, value: current(value) })));
}
