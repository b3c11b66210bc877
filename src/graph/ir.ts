/**
 * The graph: values and the nodes that make them, in an order in which every value is made before it is used. Graphs
 * are built by a `Builder` and not changed afterwards; a pass builds a new one.
 */

import { DTYPES, type DType, type TypedArray } from '../core/dtype';
import { invariant, located, nearest, WaferError } from '../core/errors';
import { checkSizes, elements, type TensorType, typeText } from '../core/shape';
import { type Attrs, fillAttrs, type Op } from '../ops/define';
import { opNamed } from '../ops/index';

export interface Value {
  /** Unique within the graph. */
  readonly name: string;
  readonly type: TensorType;
  /** Elements, for constants only. Row-major; length equals the shape's size. */
  readonly data?: TypedArray | undefined;
  /** The node that makes it; undefined for inputs and constants. */
  readonly producer?: Node | undefined;
}

export interface Node {
  readonly op: Op;
  /** The name of its first output. */
  readonly name: string;
  /** Absent optional inputs are undefined. */
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly Value[];
  /** Complete: defaults are filled in. */
  readonly attrs: Attrs;
}

export interface Output {
  /** The public name; the value may have another. */
  readonly name: string;
  readonly value: Value;
}

export interface Graph {
  readonly inputs: readonly Value[];
  readonly outputs: readonly Output[];
  readonly nodes: readonly Node[];
}

/** Where in a model, for error messages. */
export const nodeText = (node: { op: Op; name: string }): string => `${node.op.name} "${node.name}"`;

/** Builds a graph node by node; types are inferred, and attributes checked, as nodes are added. */
export class Builder {
  private readonly names = new Set<string>();
  private readonly inputs: Value[] = [];
  private readonly nodes: Node[] = [];

  /** `wanted`, or `wanted.2`, `.3` … when that is taken. */
  private unique(wanted: string): string {
    let name = wanted;
    for (let i = 2; this.names.has(name); i++) name = `${wanted}.${i}`;
    this.names.add(name);
    return name;
  }

  input(name: string, type: TensorType): Value {
    if (this.names.has(name)) throw new WaferError('BAD_MODEL', `two values are called "${name}"`);
    located({ node: `input "${name}"` }, () => checkComputed(type));
    this.names.add(name);
    const value: Value = { name, type };
    this.inputs.push(value);
    return value;
  }

  /** `data` is kept, not copied. */
  constant(name: string, type: TensorType, data: TypedArray): Value {
    invariant(data.length === elements(type.shape), () => `constant ${name} ${typeText(type)} has ${data.length} elements`);
    return { name: this.unique(name), type, data };
  }

  /** A constant from plain numbers. */
  numbers(name: string, dtype: DType, shape: readonly number[], data: ArrayLike<number>): Value {
    const array = new DTYPES[dtype].array(data.length);
    array.set(data);
    return this.constant(name, { dtype, shape }, array);
  }

  /** Adds a node and returns its outputs. Throws WaferError, located at the node. */
  add(op: Op | string, name: string, inputs: readonly (Value | undefined)[], attrs: Attrs = {}): readonly Value[] {
    const declared = typeof op === 'string' ? opNamed(op) : op;
    return located({ node: nodeText({ op: declared, name }) }, () => {
      for (const key of Object.keys(attrs))
        if (!(key in declared.attrs)) {
          const near = nearest(key, Object.keys(declared.attrs));
          throw new WaferError('ARGUMENT', `no attribute "${key}"`, near ? { hint: `did you mean "${near}"?` } : {});
        }
      checkArity(declared, inputs);
      const filled = fillAttrs(declared.attrs, attrs);
      const types = declared.infer(inputs.map((x) => x?.type) as TensorType[], filled);
      for (const type of types) checkComputed(type);
      const outputs: Value[] = [];
      const names = types.map(() => this.unique(name));
      const node: Node = { op: declared, name: names[0]!, inputs, outputs, attrs: filled };
      types.forEach((type, i) => outputs.push({ name: names[i]!, type, producer: node }));
      this.nodes.push(node);
      return outputs;
    });
  }

  /** The first output of `add`. */
  node(op: Op | string, name: string, inputs: readonly (Value | undefined)[], attrs: Attrs = {}): Value {
    return this.add(op, name, inputs, attrs)[0]!;
  }

  /** Nodes that no output needs are left out. */
  finish(outputs: readonly Output[]): Graph {
    const needed = new Set<Value>(outputs.map((o) => o.value));
    const nodes: Node[] = [];
    for (const node of [...this.nodes].reverse()) {
      if (!node.outputs.some((y) => needed.has(y))) continue;
      nodes.push(node);
      for (const x of node.inputs) if (x) needed.add(x);
    }
    return { inputs: this.inputs, outputs, nodes: nodes.reverse() };
  }
}

/** Throws SHAPE or DTYPE for types that only constants may have, or no tensor at all. */
function checkComputed(type: TensorType): void {
  checkSizes(type.shape);
  if ((type.dtype === 'i8') !== (type.quant !== undefined))
    throw new WaferError(
      'DTYPE',
      `${typeText(type)} ${type.quant ? 'has a quantisation, which i8 alone has' : 'has no quantisation'}`,
    );
}

/** Throws ARGUMENT when the number of inputs, or a gap among them, is not what the operator declares. */
export function checkArity(op: Op, inputs: readonly (Value | undefined)[]): void {
  const variadic = op.inputs.at(-1)?.endsWith('*') ?? false;
  if (!variadic && inputs.length > op.inputs.length)
    throw new WaferError('ARGUMENT', `takes at most ${op.inputs.length} inputs, got ${inputs.length}`);
  op.inputs.forEach((name, i) => {
    if (!name.endsWith('?') && !name.endsWith('*') && !inputs[i]) throw new WaferError('ARGUMENT', `input "${name}" is missing`);
  });
  if (variadic && (inputs.length < op.inputs.length || inputs.some((x) => !x)))
    throw new WaferError('ARGUMENT', `takes at least ${op.inputs.length} inputs without gaps`);
}

/** How often each value is read, by nodes and as graph outputs. */
export function countUses(graph: Graph): Map<Value, number> {
  const uses = new Map<Value, number>();
  const use = (x: Value | undefined) => x && uses.set(x, (uses.get(x) ?? 0) + 1);
  for (const node of graph.nodes) node.inputs.forEach(use);
  for (const output of graph.outputs) use(output.value);
  return uses;
}

/**
 * Lets go of the elements of constants that are no outputs: for a graph that is planned and will not be planned again.
 * They stay constants, of no elements.
 */
export function releaseConstants(graph: Graph): void {
  const kept = new Set(graph.outputs.map((o) => o.value));
  for (const value of constantsOf(graph))
    if (!kept.has(value)) (value as { data: TypedArray }).data = new DTYPES[value.type.dtype].array(0);
}

/** Constants in order of first use. */
export function constantsOf(graph: Graph): Value[] {
  const seen = new Set<Value>();
  for (const node of graph.nodes) for (const x of node.inputs) if (x?.data) seen.add(x);
  for (const { value } of graph.outputs) if (value.data) seen.add(value);
  return [...seen];
}
