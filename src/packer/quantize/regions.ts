/**
 * Which nodes compute in int8. A node does when it has an integer form and its result is wanted: it reaches a
 * convolution or matrix product through other nodes with integer forms. What feeds only float nodes stays float.
 */

import type { Graph, Node, Value } from '../../graph/ir';
import type { Step } from '../../ops/define';

/** How a node computes on levels. */
export type IntegerForm =
  /** Dot products; weights become int8. */
  | 'product'
  /** Addition, subtraction or multiplication of two tensors. */
  | 'pair'
  /** A function of one element: a table of 256 entries. */
  | 'table'
  /** Levels are moved, compared or averaged; input and output share one quantisation. */
  | 'carry'
  /** The mean over axes, whose range is narrower than its input's. */
  | 'mean';

/** The integer form of a node of the float graph, or why it has none. */
export function integerForm(node: Node): { form: IntegerForm } | { why: string } {
  const { name } = node.op;
  const [x, second] = node.inputs;
  if (x?.type.dtype !== 'f32') return { why: `works on ${x?.type.dtype ?? 'nothing'}` };
  switch (name) {
    case 'conv':
    case 'gemm':
      if (!second?.data) return { why: 'its weights are no constants' };
      if (node.inputs[2] && !node.inputs[2].data) return { why: 'its bias is no constant' };
      return isClamp(node.attrs.act as Step[]) ? { form: 'product' } : { why: 'its activation is not a clamp' };
    case 'binary': {
      const fn = node.attrs.fn as string;
      if (!['add', 'sub', 'mul'].includes(fn)) return { why: `${fn} has no integer form` };
      if (node.inputs.every((v) => v?.data)) return { why: 'its operands are constants' };
      return isClamp(node.attrs.act as Step[]) ? { form: 'pair' } : { why: 'its activation is not a clamp' };
    }
    case 'unary':
      return { form: 'table' };
    case 'reduce':
      if (node.attrs.fn === 'mean') return { form: 'mean' };
      return node.attrs.fn === 'max' ? { form: 'carry' } : { why: `reduce ${node.attrs.fn} has no integer form` };
    case 'pad':
      return node.attrs.mode !== 'constant' || node.attrs.value === 0
        ? { form: 'carry' }
        : { why: 'pads with a number that is not 0' };
    case 'resize':
      return node.attrs.mode === 'cubic' ? { why: 'cubic interpolation has no integer form' } : { form: 'carry' };
    case 'gather':
      return second?.data ? { form: 'carry' } : { why: 'its indices are no constants' };
    case 'pool':
    case 'transpose':
    case 'reshape':
    case 'slice':
    case 'concat':
    case 'expand':
      return { form: 'carry' };
    default:
      return { why: `${name} has no integer form` };
  }
}

/** True for programs that only bound their argument: these cost nothing in integers. */
export const isClamp = (act: readonly Step[]): boolean => act.every((s) => s.fn === 'relu' || s.fn === 'clip');

/** Bounds of a clamp program. */
export function clampBounds(act: readonly Step[]): [low: number, high: number] {
  let [low, high] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (const step of act) {
    const [a, b] = step.fn === 'relu' ? [0, Number.POSITIVE_INFINITY] : [step.a, step.b];
    low = Math.min(Math.max(low, a), b);
    high = Math.min(Math.max(high, a), b);
  }
  return [low, high];
}

export interface Regions {
  /** Nodes that compute in int8, with their form. */
  readonly integer: ReadonlyMap<Node, IntegerForm>;
  /** Values that some integer node reads as levels. */
  readonly wanted: ReadonlySet<Value>;
  /** Why each other node is float. */
  readonly float: ReadonlyMap<Node, string>;
}

/** @param kept why a node that could be integer is to stay float; undefined for others. */
export function findRegions(graph: Graph, kept: (node: Node) => string | undefined): Regions {
  const forms = new Map<Node, IntegerForm>();
  const float = new Map<Node, string>();
  for (const node of graph.nodes) {
    const found = integerForm(node);
    const why = kept(node);
    if (why) float.set(node, why);
    else if ('why' in found) float.set(node, found.why);
    else forms.set(node, found.form);
  }

  // Backwards: a value is wanted as levels when an integer product reads it, directly or through other integer forms.
  const wanted = new Set<Value>();
  for (const node of [...graph.nodes].reverse()) {
    const form = forms.get(node);
    if (form === 'product' || (form && wanted.has(node.outputs[0]!))) for (const x of levelInputs(node)) wanted.add(x);
  }

  // Forwards: carrying, pairing and tables only pay where the operand already is in levels, or is a graph input on its way in.
  const integer = new Map<Node, IntegerForm>();
  const inputs = new Set(graph.inputs);
  const inLevels = new Set<Value>();
  for (const node of graph.nodes) {
    const form = forms.get(node);
    if (!form) continue;
    const y = node.outputs[0]!;
    const operands = levelInputs(node).filter((x) => !x.data);
    const reached = operands.some((x) => inLevels.has(x) || (form === 'carry' && inputs.has(x)));
    if (form === 'product' || (wanted.has(y) && reached)) {
      integer.set(node, form);
      if (wanted.has(y)) inLevels.add(y);
    } else float.set(node, wanted.has(y) ? 'its operands are float' : 'only float nodes and outputs read its result');
  }
  const needed = new Set<Value>();
  for (const node of integer.keys()) for (const x of levelInputs(node)) needed.add(x);
  return { integer, wanted: needed, float };
}

/** The inputs of a node that an integer form reads as activations. */
export function levelInputs(node: Node): Value[] {
  const picked =
    node.op.name === 'conv' || node.op.name === 'gemm'
      ? [node.inputs[0], node.inputs[4]]
      : node.op.name === 'gather'
        ? [node.inputs[0]]
        : node.inputs;
  return picked.filter((x): x is Value => x !== undefined);
}
