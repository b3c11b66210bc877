/**
 * ONNX to graph. Nodes are taken in order: shape arithmetic is evaluated symbolically (shapes.ts), what is no operator
 * of Wafer is rewritten (lower.ts), and the rest becomes what each operator's `offline.onnx` says. Nodes whose inputs are
 * all constant are evaluated at once, so preprocessing of weights never reaches the graph.
 */
import { type Dim, isStatic, symbol } from '../../../core/dim';
import type { DType } from '../../../core/dtype';
import { located, nearest, WaferError } from '../../../core/errors';
import { elements, isStaticShape, type StaticType, shapeText } from '../../../core/shape';
import { MAX_NODES } from '../../../format/layout';
import type { Origin } from '../../../format/model';
import { Builder, type Graph, type Output, type Value } from '../../../graph/ir';
import type { Attrs, Emit, FromOnnx, Ref } from '../../../ops/define';
import { OFFLINE } from '../../../ops/index';
import { evaluateOp, fromReference, toReference, workOf } from '../../evaluate/reference';
import { renameValues } from '../names';
import {
  type AttributeProto,
  allNodes,
  decodeModel,
  decodeTensor,
  type ExternalData,
  elementType,
  type GraphProto,
  MAX_KNOWN,
  type ModelProto,
  type NodeProto,
  type Tensor,
  type TensorProto,
  toNumber,
  typeName,
  type ValueInfoProto,
} from './decode';
import { type Content, LOWER, type LoweredNode } from './lower';
import { evaluateKnown, isKnown, isShapeOperator, type Known, staticElements } from './shapes';

export interface ImportOptions {
  /** By input name: a shape (names are free dimensions), or a value that turns the input into a constant. */
  inputs?: Readonly<Record<string, { shape?: readonly (number | string)[]; value?: readonly number[] }>>;
  /** Reads tensor data that is stored beside the model. */
  externalData?: ExternalData;
}

export interface ImportedModel {
  graph: Graph;
  /** By value name; values that only the importer knows are not in it. */
  origins: Map<string, Origin>;
  /** Version of ONNX's own operator set. */
  opset: number;
  /** The program that wrote the model, with its version. */
  producer: string;
  /** What a user should know about the import, one sentence each. */
  notes: string[];
}

/** Work that may go into folding constants, in elements and multiplications: so much, and so much a byte of the model. */
const FOLDING = { base: 2 ** 24, perByte: 64 };

/** Models of later ones are imported with a note. */
const NEWEST_OPSET = 25;

const FROM_ONNX: ReadonlyMap<string, FromOnnx> = new Map(Object.values(OFFLINE).flatMap(({ onnx }) => Object.entries(onnx)));

/** Throws BAD_MODEL, UNSUPPORTED (all operators that are missing, at once), ARGUMENT (options), NOT_FOUND (external data). */
export function importOnnx(bytes: Uint8Array, options: ImportOptions = {}): ImportedModel {
  const model = decodeModel(bytes);
  const { length } = model.graph.node;
  if (length > MAX_NODES) throw new WaferError('UNSUPPORTED', `the model has ${length} nodes, more than ${MAX_NODES}`);
  checkOperators(model.graph);
  return new Importer(model, options, FOLDING.base + FOLDING.perByte * bytes.length).run();
}

/** Throws UNSUPPORTED, naming every operator type that cannot be imported. */
function checkOperators(graph: GraphProto): void {
  const missing = new Map<string, { count: number; first: string }>();
  for (const node of allNodes(graph)) {
    const type = typeName(node);
    if (FROM_ONNX.has(type) || Object.hasOwn(LOWER, type) || isShapeOperator(type)) continue;
    const seen = missing.get(type);
    if (seen) seen.count++;
    else missing.set(type, { count: 1, first: node.name || node.output[0] || '' });
  }
  if (missing.size === 0) return;
  const lines = [...missing].map(([type, { count, first }]) => `${type} ×${count} (first: "${first}")`);
  throw new WaferError('UNSUPPORTED', `the model uses operators that Wafer does not have: ${lines.join(', ')}`, {
    hint: 'simplifying the model (onnxsim), or exporting it with another opset, may remove them',
  });
}

/** A reference to a value that only stands for known elements; it has no data because they depend on free dimensions. */
type Symbolic = Ref & { readonly symbolic: Known };

/** Values by ONNX name; sub-graphs see the names of the graphs around them. */
class Scope {
  private readonly own = new Map<string, Content>();
  constructor(
    private readonly graph: GraphProto,
    private readonly outer?: Scope,
  ) {}

  find(name: string): Content | undefined {
    return this.own.get(name) ?? this.outer?.find(name);
  }

  /** Throws BAD_MODEL. */
  get(name: string): Content {
    const found = this.find(name);
    if (found) return found;
    const later = this.graph.node.some((n) => n.output.includes(name));
    throw new WaferError(
      'BAD_MODEL',
      later ? `"${name}" is used before it is made: a cycle, or nodes out of order` : `nothing makes "${name}"`,
    );
  }

  /** Throws BAD_MODEL. */
  set(name: string, content: Content): void {
    if (this.own.has(name)) throw new WaferError('BAD_MODEL', `two values are called "${name}"`);
    this.own.set(name, content);
  }
}

class Importer {
  readonly opset: number;
  readonly notes = new Set<string>();
  readonly quantized = new Set<Content>();
  private readonly build = new Builder();
  /** Names of ONNX values for ours; the first of several aliases counts. */
  private readonly names = new Map<Value, string>();
  private readonly made = new Map<Known, Ref>();
  private readonly usedSymbols = new Set<string>();
  private readonly symbols = new Map<string, Dim>();

  constructor(
    private readonly model: ModelProto & { graph: GraphProto },
    private readonly options: ImportOptions,
    private foldingLeft: number,
  ) {
    const own = model.opset_import.find(({ domain }) => domain === '' || domain === 'ai.onnx');
    this.opset = own ? toNumber(own.version) : 1;
    if (this.opset > NEWEST_OPSET)
      this.notes.add(`opset ${this.opset} is newer than this version knows (${NEWEST_OPSET}): compare the file with wafer diff`);
  }

  run(): ImportedModel {
    const { graph } = this.model;
    const scope = new Scope(graph);
    this.addInitializers(graph, scope);
    this.addInputs(graph, scope);
    this.addNodes(graph, scope);
    const outputs = graph.output.map(({ name }): Output => ({ name, value: this.data(scope.get(name)) as Value }));
    if (new Set(graph.output.map((o) => o.name)).size < outputs.length)
      throw new WaferError('BAD_MODEL', 'two outputs have one name');
    const renamed = renameValues(this.build.finish(outputs), this.names);
    const sources = new Set(this.names.values());
    const values = [...renamed.inputs, ...renamed.nodes.flatMap((n) => n.outputs)];
    const origins = new Map(values.filter((x) => sources.has(x.name)).map((x) => [x.name, { name: x.name }]));
    const { producer_name, producer_version } = this.model;
    const producer = [producer_name, producer_version].filter(Boolean).join(' ');
    return { graph: renamed, origins, opset: this.opset, producer, notes: [...this.notes] };
  }

  private addInitializers(graph: GraphProto, scope: Scope): void {
    if (graph.sparse_initializer.length) throw new WaferError('UNSUPPORTED', 'the model has sparse initializers');
    for (const proto of graph.initializer) {
      if (!proto.name) throw new WaferError('BAD_MODEL', 'an initializer without a name');
      const { dtype, shape, data, exact } = this.tensor(proto);
      const known: Known | undefined = exact && { type: 'int', shape, elements: exact };
      scope.set(proto.name, known ?? this.build.constant(proto.name, { dtype, shape }, data));
    }
  }

  // ---- inputs and free dimensions ----

  private addInputs(graph: GraphProto, scope: Scope): void {
    const inputs = graph.input.filter(({ name }) => !scope.find(name));
    for (const name of Object.keys(this.options.inputs ?? {})) {
      if (inputs.some((x) => x.name === name)) continue;
      const near = nearest(
        name,
        inputs.map((x) => x.name),
      );
      const hint = near ? `did you mean "${near}"?` : `inputs are ${inputs.map((x) => `"${x.name}"`).join(', ')}`;
      throw new WaferError('ARGUMENT', `the model has no input "${name}"`, { hint });
    }
    for (const input of inputs) this.bindGivenDims(input);
    for (const input of inputs) this.addInput(input, scope);
  }

  /** Dimensions that the user fixes hold for every dimension of the same name. */
  private bindGivenDims({ name, type }: ValueInfoProto): void {
    const given = this.options.inputs?.[name]?.shape;
    const declared = type?.tensor_type?.shape?.dim;
    if (!given) return;
    if (declared && declared.length !== given.length)
      throw new WaferError('ARGUMENT', `input "${name}" has ${declared.length} dimensions, the given shape has ${given.length}`);
    given.forEach((d, i) => {
      if (typeof d === 'number' && !(Number.isInteger(d) && d > 0 && d < 2 ** 31))
        throw new WaferError('ARGUMENT', `input "${name}" cannot have the dimension ${d}`);
      if (typeof d === 'string' && !/^[A-Za-z_]\w*$/.test(d))
        throw new WaferError('ARGUMENT', `"${d}" is not a name for a free dimension of input "${name}"`);
      const fixed = toNumber(declared?.[i]?.dim_value ?? 0);
      if (fixed > 0 && d !== fixed)
        throw new WaferError('ARGUMENT', `dimension ${i} of input "${name}" is ${fixed} in the model, got ${d}`);
      if (typeof d === 'string') this.usedSymbols.add(d);
      const param = declared?.[i]?.dim_param;
      if (param) this.symbols.set(param, typeof d === 'string' ? symbol(d) : d);
    });
  }

  private addInput({ name, type }: ValueInfoProto, scope: Scope): void {
    const tensor = type?.tensor_type;
    const given = this.options.inputs?.[name];
    if (!tensor) throw new WaferError('UNSUPPORTED', `input "${name}" is not a tensor`);
    const { dtype, name: element } = elementType(tensor.elem_type);
    const declared = tensor.shape?.dim;
    const rank = given?.shape?.length ?? declared?.length ?? (given?.value && 1);
    if (rank === undefined)
      throw new WaferError('UNSUPPORTED', `input "${name}" has no shape`, { hint: `give one: --input "${name}=N,3,224,224"` });
    const shape = Array.from({ length: rank }, (_, axis) => {
      const d = given?.shape?.[axis];
      return d === undefined ? this.inputDim(name, axis, rank, declared?.[axis]) : typeof d === 'number' ? d : symbol(d);
    });
    scope.set(name, given?.value ? this.fixedInput(name, dtype, shape, given.value) : this.build.input(name, { dtype, shape }));
    if (!given?.value && dtype === 'i32' && element !== 'int32')
      this.notes.add(`input "${name}" is ${element} in the source, i32 here`);
    const content = scope.get(name);
    if (!isKnown(content)) this.names.set(content as Value, name);
  }

  private fixedInput(name: string, dtype: DType, shape: readonly Dim[], value: readonly number[]): Content {
    const fixed = shape.length === 1 && !isStatic(shape[0]!) ? [value.length] : shape;
    if (!isStaticShape(fixed) || elements(fixed) !== value.length)
      throw new WaferError('ARGUMENT', `input "${name}" is ${shapeText(shape)}, the given value has ${value.length} elements`);
    if (dtype === 'i32') return { type: 'int', shape: fixed, elements: value };
    return this.build.numbers(name, dtype, fixed, value);
  }

  /** Free dimensions keep the model's name where it is one that a person would give, else get a conventional one. */
  private inputDim(input: string, axis: number, rank: number, declared?: { dim_value: unknown; dim_param: string }): Dim {
    const value = toNumber((declared?.dim_value ?? 0) as number);
    if (value > 0) {
      if (value < 2 ** 31) return value;
      throw new WaferError('BAD_MODEL', `input "${input}" has the dimension ${value}`);
    }
    const param = declared?.dim_param ?? '';
    const bound = param && param !== '?' ? this.symbols.get(param) : undefined;
    if (bound !== undefined) return bound;
    const conventional = axis === 0 ? 'N' : rank === 4 && axis >= 2 ? 'HW'[axis - 2]! : `${input.replace(/\W+/g, '_')}_${axis}`;
    const wanted = /^[A-Za-z]\w{0,15}$/.test(param) && !/^unk_/.test(param) ? param : conventional;
    let unique = wanted;
    for (let i = 2; this.usedSymbols.has(unique); i++) unique = `${wanted}${i}`;
    this.usedSymbols.add(unique);
    const dim = symbol(unique);
    if (param && param !== '?') this.symbols.set(param, dim);
    return dim;
  }

  // ---- nodes ----

  private addNodes(graph: GraphProto, scope: Scope): void {
    for (const node of graph.node) {
      const where = `${typeName(node)} "${node.name || node.output[0] || ''}"`;
      located({ node: where }, () => {
        const results = this.lower(node, scope);
        node.output.forEach((name, i) => {
          if (name === '') return;
          const content = results[i];
          if (!content) throw new WaferError('UNSUPPORTED', `Wafer does not compute its output ${i} ("${name}")`);
          scope.set(name, content);
          if (!isKnown(content) && !content.data && !this.names.has(content as Value)) this.names.set(content as Value, name);
        });
      });
    }
  }

  private lower(proto: NodeProto, scope: Scope): Content[] {
    const contents = proto.input.map((name) => (name === '' ? undefined : scope.get(name)));
    const node = new ImportedNode(proto, contents, scope, this);
    // Before opset 7; later models cannot have it.
    if (node.has('broadcast') && node.int('broadcast'))
      throw new WaferError('UNSUPPORTED', 'its shapes are matched by the attribute "broadcast" of old opsets', {
        hint: 'onnx.version_converter.convert_version(model, 17) makes the model newer',
      });
    const known = contents.map((x) => x && this.known(x));
    if (known.length > 0 && known.every((x) => x !== undefined) && known.some((x) => x.type !== 'float')) {
      const result = evaluateKnown(node, known);
      if (result) return [result];
    }
    const type = typeName(proto);
    const emit = this.emitter(proto.output.find(Boolean) ?? proto.name);
    const lower = LOWER[type];
    const result = lower
      ? lower(node, emit)
      : (FROM_ONNX.get(type) ?? node.unsupported('elements that depend on data'))(node, emit);
    return Array.isArray(result) ? result : [result as Content];
  }

  /** Adds nodes called `name`; what has only constant inputs is evaluated at once. */
  private emitter(name: string): Emit {
    const emit = (op: string, inputs: readonly (Ref | undefined)[], attrs: Attrs = {}): Ref => {
      for (const x of inputs)
        if (x && 'symbolic' in x)
          throw new WaferError('UNSUPPORTED', `elements computed from free dimensions are used as data`, {
            hint: 'fix the dimensions of the inputs with --input NAME=SHAPE',
          });
      const y = this.build.node(op, name, inputs as (Value | undefined)[], attrs);
      const { producer, type } = y;
      if (!inputs.length || !inputs.every((x) => !x || x.data) || !isStaticShape(type.shape)) return y;
      const types = inputs.map((x) => x?.type as StaticType | undefined);
      const work = workOf(producer!.op, types, producer!.attrs, type as StaticType);
      if (work > this.foldingLeft) return y;
      this.foldingLeft -= work;
      const operands = inputs.map((x) => x && toReference(x.type as StaticType, x.data!));
      const [folded] = evaluateOp(producer!.op, operands, producer!.attrs);
      return this.build.constant(name, type, fromReference(folded!));
    };
    const constant: Emit['constant'] = (dtype, shape, data) => this.build.numbers(`${name}.constant`, dtype, shape, data);
    return Object.assign(emit, { constant });
  }

  /** Elements of `content` when they are known and few. */
  known(content: Content): Known | undefined {
    if (isKnown(content)) return content;
    const { data, type } = content;
    if (!data || data.length > MAX_KNOWN) return undefined;
    const kind = type.dtype === 'f32' ? 'float' : type.dtype === 'bool' ? 'bool' : 'int';
    return { type: kind, shape: type.shape as number[], elements: Array.from(data) };
  }

  /** `content` as a value of the graph; elements with free dimensions become a stand-in that no node takes. */
  data(content: Content): Ref {
    if (!isKnown(content)) return content;
    let ref = this.made.get(content);
    if (ref) return ref;
    const dtype = { int: 'i32', float: 'f32', bool: 'bool' }[content.type] as DType;
    const { shape } = content;
    const numbers = staticElements(content);
    if (numbers) {
      const data = fromReference({ type: { dtype, shape }, data: Float64Array.from(numbers) });
      ref = this.build.constant('shape', { dtype, shape }, data);
    } else ref = { type: { dtype, shape }, symbolic: content } as Symbolic;
    this.made.set(content, ref);
    return ref;
  }

  branch(graph: GraphProto, outer: Scope): Content[] {
    const scope = new Scope(graph, outer);
    this.addInitializers(graph, scope);
    this.addNodes(graph, scope);
    return graph.output.map(({ name }) => scope.get(name));
  }

  tensor(proto: TensorProto): Tensor {
    return decodeTensor(proto, this.options.externalData);
  }
}

/** Codes of AttributeProto.AttributeType. */
const FLOAT = 1;
const INT = 2;
const STRING = 3;
const TENSOR = 4;
const GRAPH = 5;
const FLOATS = 6;
const INTS = 7;

class ImportedNode implements LoweredNode {
  readonly opType: string;
  readonly opset: number;
  readonly outputCount: number;
  readonly inputs: readonly (Ref | undefined)[];
  readonly quantized: Set<Content>;
  private readonly attributes: Map<string, AttributeProto>;

  constructor(
    proto: NodeProto,
    private readonly contents: readonly (Content | undefined)[],
    private readonly scope: Scope,
    private readonly importer: Importer,
  ) {
    this.opType = typeName(proto);
    this.opset = importer.opset;
    this.outputCount = proto.output.filter(Boolean).length;
    this.inputs = contents.map((x) => x && importer.data(x));
    this.quantized = importer.quantized;
    this.attributes = new Map(proto.attribute.map((a) => [a.name, a]));
  }

  content(i: number): Content {
    return this.contents[i] ?? this.bad(`input ${i} is missing`);
  }

  data(content: Content): Ref {
    return this.importer.data(content);
  }

  note(text: string): void {
    this.importer.notes.add(text);
  }

  input(i: number): Ref {
    return this.inputs[i] ?? this.bad(`input ${i} is missing`);
  }

  has(attribute: string): boolean {
    return this.attributes.has(attribute);
  }

  /** The attribute, or undefined when it is absent and may be. Old writers leave the type out. */
  private attribute(name: string, type: number, optional: boolean): AttributeProto | undefined {
    const found = this.attributes.get(name);
    if (!found && !optional) return this.bad(`attribute "${name}" is missing`);
    if (found?.ref_attr_name) this.unsupported('attributes of model-local functions');
    if (found && found.type !== 0 && found.type !== type) this.bad(`attribute "${name}" has the wrong type`);
    return found;
  }

  int(name: string, otherwise?: number): number {
    const found = this.attribute(name, INT, otherwise !== undefined);
    return found ? toNumber(found.i) : otherwise!;
  }

  float(name: string, otherwise?: number): number {
    return this.attribute(name, FLOAT, otherwise !== undefined)?.f ?? otherwise!;
  }

  ints(name: string, otherwise?: readonly number[]): number[] {
    return this.attribute(name, INTS, otherwise !== undefined)?.ints.map(toNumber) ?? [...otherwise!];
  }

  floats(name: string): number[] {
    return [...this.attribute(name, FLOATS, false)!.floats];
  }

  string(name: string, otherwise?: string): string {
    const found = this.attribute(name, STRING, otherwise !== undefined);
    return found ? new TextDecoder().decode(Uint8Array.from(found.s)) : otherwise!;
  }

  tensor(name: string): Tensor {
    const found = this.attribute(name, TENSOR, false)!;
    return found.t ? this.importer.tensor(found.t) : this.bad(`attribute "${name}" holds no tensor`);
  }

  branch(name: string): Content[] {
    const found = this.attribute(name, GRAPH, false)!;
    return found.g ? this.importer.branch(found.g, this.scope) : this.bad(`attribute "${name}" holds no graph`);
  }

  numbers(i: number): number[] | undefined {
    const content = this.contents[i];
    if (!content) return undefined;
    if (isKnown(content)) return staticElements(content)?.slice();
    return content.data && Array.from(content.data);
  }

  dims(i: number): Dim[] | undefined {
    const content = this.contents[i];
    if (!content) return undefined;
    if (isKnown(content)) return content.type === 'int' ? [...content.elements] : undefined;
    return content.data && content.type.dtype !== 'f32' ? Array.from(content.data) : undefined;
  }

  unsupported(what: string): never {
    throw new WaferError('UNSUPPORTED', what);
  }

  private bad(what: string): never {
    throw new WaferError('BAD_MODEL', what);
  }
}
