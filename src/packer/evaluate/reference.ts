/**
 * An interpreter over the operators' f64 references: what a graph means, slowly. It folds constants, judges passes and
 * measures what quantisation loses. Quantised tensors hold levels, booleans 0 or 1.
 */
import type { Bindings } from '../../core/dim';
import { DTYPES, type DType, type TypedArray } from '../../core/dtype';
import { invariant, located, WaferError } from '../../core/errors';
import { elements, evaluateShape, type StaticType, shapeText, type TensorType } from '../../core/shape';
import { type Graph, nodeText, type Value } from '../../graph/ir';
import type { Attrs, Offline, Op, RefTensor } from '../../ops/define';
import { OFFLINE, opCode } from '../../ops/index';
import { bindShapes } from '../../runtime/bind';

export const toReference = (type: StaticType, data: ArrayLike<number>): RefTensor => ({ type, data: Float64Array.from(data) });

/** The elements rounded to the tensor's own type. Integers saturate. */
export function fromReference({ type, data }: RefTensor): TypedArray {
  const array = new DTYPES[type.dtype].array(data.length);
  const range = LEVELS[type.dtype];
  if (!range) array.set(data);
  else for (let i = 0; i < data.length; i++) array[i] = Math.min(range[1], Math.max(range[0], data[i]!));
  return array;
}

const LEVELS: Readonly<Partial<Record<DType, readonly [number, number]>>> = {
  i32: [-(2 ** 31), 2 ** 31 - 1],
  i8: [-128, 127],
  u8: [0, 255],
};

/** Attributes with every symbolic dimension replaced by its number. */
export function bindAttrs(op: Op, attrs: Attrs, bindings: Bindings): Attrs {
  const dims = Object.keys(op.attrs).filter((name) => op.attrs[name]!.kind === 'dims');
  if (dims.length === 0) return attrs;
  return { ...attrs, ...Object.fromEntries(dims.map((name) => [name, evaluateShape(attrs[name] as [], bindings)])) };
}

type Reference = Offline['reference'];

const referenceOf = (op: Op): Reference => OFFLINE[opCode(op)]!.reference;

/** One operator, of the given meaning. `attrs` are complete and static. */
export function evaluateOp(
  op: Op,
  inputs: readonly (RefTensor | undefined)[],
  attrs: Attrs,
  reference = referenceOf(op),
): RefTensor[] {
  const outputs = op.infer(inputs.map((x) => x?.type) as TensorType[], attrs) as StaticType[];
  const data = reference(inputs, attrs, outputs);
  return outputs.map((type, i) => {
    invariant(
      data[i]!.length === elements(type.shape),
      () => `reference of ${op.name} made ${data[i]!.length} for ${shapeText(type.shape)}`,
    );
    return { type, data: data[i]! };
  });
}

/** What evaluating an operator takes: elements touched, and multiplications. Hostile models ask for any amount. */
export function workOf(op: Op, inputs: readonly (StaticType | undefined)[], attrs: Attrs, output: StaticType): number {
  const touched = [output, ...inputs].reduce((n, t) => n + (t ? elements(t.shape) : 0), 0);
  return touched + (OFFLINE[opCode(op)]!.cost?.(inputs, attrs, [output]).macs ?? 0);
}

/**
 * Runs a graph; returns every value in it, constants included. `meaning` gives the references of kinds that are no operators of
 * the file. Throws ARGUMENT, SHAPE.
 */
export function runReference(
  graph: Graph,
  inputs: ReadonlyMap<string, RefTensor>,
  meaning: (op: Op) => Reference = referenceOf,
): Map<Value, RefTensor> {
  const values = new Map<Value, RefTensor>();
  for (const x of graph.inputs) {
    const given = inputs.get(x.name);
    if (!given) throw new WaferError('ARGUMENT', `input "${x.name}" is missing`);
    values.set(x, given);
  }
  const bindings = bindShapes(
    graph.inputs.map((x) => ({ name: x.name, declared: x.type.shape, given: values.get(x)!.type.shape })),
  );
  const read = (x: Value): RefTensor => {
    let value = values.get(x);
    if (!value) values.set(x, (value = toReference(x.type as StaticType, x.data!)));
    return value;
  };
  for (const node of graph.nodes) {
    const results = located({ node: nodeText(node) }, () =>
      evaluateOp(
        node.op,
        node.inputs.map((x) => x && read(x)),
        bindAttrs(node.op, node.attrs, bindings),
        meaning(node.op),
      ),
    );
    node.outputs.forEach((y, i) => values.set(y, results[i]!));
  }
  for (const { value } of graph.outputs) read(value);
  return values;
}

/** The graph's outputs by name. */
export function runOutputs(graph: Graph, inputs: ReadonlyMap<string, RefTensor>): Map<string, RefTensor> {
  const values = runReference(graph, inputs);
  return new Map(graph.outputs.map(({ name, value }) => [name, values.get(value)!]));
}
