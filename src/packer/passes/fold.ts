/** Constant folding, nodes that change nothing, and nodes that are written twice. */
import { isStatic } from '../../core/dim';
import { isStaticShape, type StaticType, sameShape } from '../../core/shape';
import type { Graph, Value } from '../../graph/ir';
import { type Rule, rewrite } from '../../graph/rewrite';
import type { AttrValue } from '../../ops/define';
import { evaluateOp, fromReference, toReference, workOf } from '../evaluate/reference';

/** Work (see `workOf`) that one pass may put into constants; what is over stays in the graph. */
const BUDGET = 2 ** 26;

export function fold(graph: Graph): Graph {
  const seen = new Map<string, readonly Value[]>();
  const numbers = new Map<Value, number>();
  return rewrite(graph, constant(BUDGET), identity, padding, repeated(seen, numbers));
}

/** Nodes all of whose inputs are constants. */
const constant =
  (budget: number): Rule =>
  ({ node: { op, attrs, outputs }, inputs, build }) => {
    const { name, type } = outputs[0]!;
    if (outputs.length > 1 || !inputs.length || !inputs.every((x) => !x || x.data) || !isStaticShape(type.shape))
      return undefined;
    const types = inputs.map((x) => x?.type as StaticType | undefined);
    const work = workOf(op, types, attrs, type as StaticType);
    if (work > budget) return undefined;
    budget -= work;
    const operands = inputs.map((x) => x && toReference(x.type as StaticType, x.data!));
    return build.constant(name, type, fromReference(evaluateOp(op, operands, attrs)[0]!));
  };

/** Nodes whose output is their input. */
const identity: Rule = ({ node, inputs: [x] }) => {
  const { attrs } = node;
  const { shape, dtype } = node.outputs[0]!.type;
  const same = x && x.type.dtype === dtype && sameShape(x.type.shape, shape);
  if (!same) return undefined;
  switch (node.op.name) {
    case 'reshape':
    case 'expand':
    case 'cast':
      return x;
    case 'transpose':
      return (attrs.perm as number[]).every((p, i) => p === i) ? x : undefined;
    case 'slice':
      return (attrs.steps as number[]).every((s) => s === 1) ? x : undefined;
    case 'concat':
      return node.inputs.length === 1 ? x : undefined;
    case 'pad':
      return x;
    default:
      return undefined;
  }
};

/** A constant of equal elements at either end of a concat is a border, which takes no bytes in a file. */
const padding: Rule = ({ node, inputs, emit }) => {
  if (node.op.name !== 'concat' || inputs.length < 2) return undefined;
  const axis = node.attrs.axis as number;
  const ends = [inputs[0]!, inputs.at(-1)!].map((x) => {
    const size = x.type.shape[axis]!;
    const value = x.data?.[0];
    return x.type.dtype === 'f32' && value !== undefined && isStatic(size) && x.data!.every((v) => v === value)
      ? { size, value }
      : undefined;
  });
  const [before, after] = ends;
  if ((!before && !after) || (before && after && before.value !== after.value)) return undefined;
  const kept = inputs.slice(before ? 1 : 0, after ? -1 : undefined);
  if (kept.length === 0) return undefined;
  const joined = kept.length === 1 ? kept[0] : emit('concat', kept, { axis }, `${node.name}.part`);
  const border = (size: number) => node.outputs[0]!.type.shape.map((_, i) => (i === axis ? size : 0));
  return emit('pad', [joined], {
    before: border(before?.size ?? 0),
    after: border(after?.size ?? 0),
    value: (before ?? after)!.value,
  });
};

/** The same operator on the same values, a second time. */
const repeated =
  (seen: Map<string, readonly Value[]>, numbers: Map<Value, number>): Rule =>
  ({ node, inputs, build }) => {
    const numberOf = (x: Value | undefined): number => {
      if (!x) return -1;
      if (!numbers.has(x)) numbers.set(x, numbers.size);
      return numbers.get(x)!;
    };
    const attrs = Object.values(node.attrs).map(exactText);
    const key = [node.op.name, ...inputs.map(numberOf), ...attrs].join(' ');
    const before = seen.get(key);
    if (before) return before;
    const outputs = build.add(node.op, node.name, inputs, node.attrs);
    seen.set(key, outputs);
    return outputs;
  };

/** Attributes as text that tells any two values apart. */
const exactText = (value: AttrValue): string => JSON.stringify(value, (_, v) => (typeof v === 'number' ? String(v) : v));
