/** A graph whose free dimensions have values, visited node by node: what the plans of all devices have to know of it. */
import { type Bindings, type Dim, evaluate } from '../core/dim';
import { DTYPES, sizeOf, type TypedArray } from '../core/dtype';
import { invariant, WaferError } from '../core/errors';
import { checkSizes, elements, evaluateShape, isStaticShape, type StaticType, type TensorType, typeText } from '../core/shape';
import type { Graph, Node, Value } from '../graph/ir';
import type { Attrs, Operand } from '../ops/define';

/** Bytes of a tensor. */
export const bytesOf = (type: StaticType): number => elements(type.shape) * sizeOf(type.dtype);

export interface Visited {
  /** With numbers for dimensions. */
  readonly attrs: Attrs;
  /** Absent optional inputs are undefined. */
  readonly inputs: readonly (Operand | undefined)[];
  /** With data where they are constants under another shape. */
  readonly outputs: readonly Operand[];
}

export class Values {
  private readonly uses = new Map<Value, number>();
  private readonly operands = new Map<Value, Operand>();
  /** Names of constants by their elements, which a reshape of them shares. */
  private readonly names = new Map<TypedArray, string>();

  /** In a draft constants have no elements yet. */
  constructor(
    graph: Graph,
    private readonly bindings: Bindings,
    private readonly isDraft = false,
  ) {
    graph.nodes.forEach((node, step) => {
      for (const x of node.inputs) if (x) this.uses.set(x, step);
    });
    for (const { value } of graph.outputs) this.uses.set(value, graph.nodes.length);
    for (const input of graph.inputs)
      this.operands.set(input, { type: { ...input.type, shape: evaluateShape(input.type.shape, bindings) } });
  }

  /** Index of the last node that reads the value: one past the end for outputs, `otherwise` for what nobody reads. */
  lastUse(value: Value, otherwise: number): number {
    return this.uses.get(value) ?? otherwise;
  }

  operand(value: Value): Operand {
    let operand = this.operands.get(value);
    if (!operand) {
      invariant(value.data && isStaticShape(value.type.shape), () => `value ${value.name} is used before it is made`);
      const type = value.type as StaticType;
      operand = { type, data: this.isDraft ? new DTYPES[type.dtype].array(0) : value.data };
      this.operands.set(value, operand);
      this.names.set(value.data, value.name);
    }
    return operand;
  }

  /** The name of the constant that has these elements. */
  constantName(data: TypedArray): string | undefined {
    return this.names.get(data);
  }

  /** Infers the node's outputs; nodes are visited in order. Throws what operators throw for shapes that they cannot take. */
  visit(node: Node): Visited {
    const { op } = node;
    const attrs = { ...node.attrs };
    for (const [name, attr] of Object.entries(op.attrs))
      if (attr.kind === 'dims') attrs[name] = (attrs[name] as readonly Dim[]).map((d) => evaluate(d, this.bindings));
    const inputs = node.inputs.map((x) => x && this.operand(x));
    const types = op.infer(inputs.map((x) => x?.type) as TensorType[], attrs).map(staticType);
    const outputs = types.map((type, i): Operand => {
      const operand: Operand = op.alias && inputs[0]?.data ? { type, data: inputs[0].data } : { type };
      this.operands.set(node.outputs[i]!, operand);
      return operand;
    });
    return { attrs, inputs, outputs };
  }
}

/** Shapes are numbers once symbols are bound. */
function staticType(type: TensorType): StaticType {
  checkSizes(type.shape);
  if (!isStaticShape(type.shape)) throw new WaferError('SHAPE', `${typeText(type)} still has free dimensions`);
  return { ...type, shape: type.shape };
}
