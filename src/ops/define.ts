/**
 * What an operator is. Each file beside this one declares one operator (or one table of elementwise rows) in two
 * exports: `op`, all that a browser needs, and `offline`, what only the packer and the tests know. A browser bundle
 * that names `op` alone drops every byte of `offline`.
 *
 * Tensors are dense and row-major in every room; images are NHWC. An operator never runs anything: for each device it
 * returns dispatches, as data.
 */
import type { Dim } from '../core/dim';
import type { DType, TypedArray } from '../core/dtype';
import type { Quant, Shape, StaticType, TensorType } from '../core/shape';
import type { KernelName } from './kernels.gen';
import type { ShaderFlags, ShaderName } from './shaders.gen';

// ---- attributes: the typed schema is also the file's schema ----

/** One step of an activation program: y = fn(x; a, b). See `STEPS` in steps.ts for the functions. */
export interface Step {
  fn: string;
  a: number;
  b: number;
}

export interface AttrKinds {
  int: number;
  float: number;
  bool: boolean;
  ints: readonly number[];
  floats: readonly number[];
  /** Dimensions or sizes, possibly symbolic; numbers once a plan is made. */
  dims: readonly Dim[];
  string: string;
  steps: readonly Step[];
  /** Output quantisation; null leaves the output in floating point. */
  quant: Quant | null;
}
export type AttrKind = keyof AttrKinds;
export type AttrValue = AttrKinds[AttrKind];

export interface Attr<K extends AttrKind = AttrKind, T = AttrKinds[K]> {
  readonly kind: K;
  readonly default: T;
  /** Closed sets of strings. */
  readonly choices?: readonly string[];
}
export type AttrSchema = Readonly<Record<string, Attr>>;
export type AttrsOf<S> = { readonly [K in keyof S]: S[K] extends Attr<AttrKind, infer T> ? T : never };

/** Attributes whose schema is not known statically. */
export type Attrs = Readonly<Record<string, AttrValue>>;

export const int = (value = 0): Attr<'int'> => ({ kind: 'int', default: value });
export const float = (value = 0): Attr<'float'> => ({ kind: 'float', default: value });
export const bool = (value = false): Attr<'bool'> => ({ kind: 'bool', default: value });
export const ints = (...value: number[]): Attr<'ints'> => ({ kind: 'ints', default: value });
export const floats = (...value: number[]): Attr<'floats'> => ({ kind: 'floats', default: value });
export const dims = (...value: Dim[]): Attr<'dims'> => ({ kind: 'dims', default: value });
export const steps = (): Attr<'steps'> => ({ kind: 'steps', default: [] });
export const quant = (): Attr<'quant'> => ({ kind: 'quant', default: null });
export const oneOf = <const C extends readonly string[]>(...choices: C): Attr<'string', C[number]> => ({
  kind: 'string',
  default: choices[0]!,
  choices,
});

// ---- dispatches ----

/** A tensor as a device function sees it. `data` is there for constants. */
export interface Operand {
  readonly type: StaticType;
  readonly data?: TypedArray | undefined;
}

/** Memory that is not a tensor of the graph; the planner gives it an address. */
export interface Block {
  readonly bytes: number;
}

/** An operand or block stands for its address. Numbers are passed as they are. */
export type Argument = number | Operand | Block;

/** One kernel call as data. The interpreter calls `kernel(...args, from, to)` with 0 <= from <= to <= rows. */
export interface Dispatch {
  readonly kernel: KernelName;
  readonly args: readonly Argument[];
  /** Independent units of work, in the kernel's own unit: any split into ranges, in any order, gives the same bytes. */
  readonly rows: number;
  /** Fewer rows at a time take more time each, as they read the same weights for less. Default 1. */
  readonly grain?: number;
}

/**
 * How the WASM device multiplies bytes. Activations are stored as level + 128 (0..255) on this device.
 * `u8`: relaxed dot whose second operand is unsigned; `s8`: signed; `i16`: exact everywhere, from plain SIMD128.
 */
export type DotKind = 'u8' | 's8' | 'i16';

/** What an operator is given to lower itself to WASM kernel calls. */
export interface Lowering<A> {
  /** Absent optional inputs are undefined. */
  readonly inputs: readonly (Operand | undefined)[];
  readonly outputs: readonly Operand[];
  readonly attrs: A;
  readonly dot: DotKind;
  /** Memory for one dispatch to work in; its contents are undefined, and each thread that runs rows of it has its own. */
  scratch(bytes: number): Block;
  /** Memory that carries values from one of this node's dispatches to those after it. */
  intermediate(bytes: number): Block;
  /**
   * Constant data derived from the node: made once for the session and shared by the plans of all input shapes, so it
   * may depend on attributes and constant inputs, not on shapes of activations. `key` is unique within the node.
   */
  constant(key: string, make: () => TypedArray): Block;
  /**
   * A constant input in the layout a kernel wants, made once for the session by running `dispatch` on the device with
   * `source` and the new block as addresses. `rowBytes`: the bytes of `source` that each row of the dispatch reads, where
   * rows read one piece after the other; a long source then need not be in the device's memory as a whole.
   */
  packed(key: string, source: Operand, bytes: number, dispatch: (packed: Block) => Dispatch, rowBytes?: number): Block;
}

// ---- WebGPU dispatches ----

/** A number that the uniform block holds as f32. */
export interface Float {
  readonly f32: number;
}

export const f32 = (value: number): Float => ({ f32: value });

/** One dispatch of a shader as data. */
export type GpuDispatch = { readonly [S in ShaderName]: ShaderDispatch<S> }[ShaderName];

export interface ShaderDispatch<S extends ShaderName = ShaderName> {
  readonly shader: S;
  /** Where they differ from the shader's own defaults. */
  readonly flags?: Readonly<Partial<ShaderFlags[S]>>;
  /** Storage buffers in order of their bindings, from 1 on: those that are read, then those that are written. */
  readonly reads: readonly (Operand | Block)[];
  readonly writes: readonly (Operand | Block)[];
  /** How many invocations have work. The shader finds it as `p.threads`, the first number of its uniform block. */
  readonly threads: number;
  /** The other numbers of the uniform block, in order: 32-bit integers, signed or not, and floats. */
  readonly uniforms: readonly (number | Float)[];
}

/** What a plan may know of the GPU. */
export interface GpuTraits {
  /** A software adapter: time goes by loads and by what is compiled, not by how many threads there are. */
  readonly isSoftware: boolean;
  /** Whether products of bytes use WGSL's packed dot; otherwise they are unpacked. The results are equal. */
  readonly packedDot: boolean;
}

/**
 * What an operator is given to lower itself to shaders. On this device tensors are dense and row-major too; elements of one byte
 * lie four in a word, the first lowest, and levels are themselves (not level + 128). A buffer's length is a whole number of words,
 * and a shader may write what it likes to those bytes of the last that are no elements. A plan may store tensors of f32 in 16 bits, and
 * says so to shaders by their flag F16; numbers of bytes that an operator reckons with are as of 4, which elements of 2 stand for.
 */
export interface GpuLowering<A> {
  /** Absent optional inputs are undefined. */
  readonly inputs: readonly (Operand | undefined)[];
  readonly outputs: readonly Operand[];
  readonly attrs: A;
  readonly gpu: GpuTraits;
  /** Memory that carries values from one of this node's dispatches to those after it. */
  intermediate(bytes: number): Block;
  /**
   * As `Lowering.constant`; what depends on shapes has a key that names them. A Float32Array is stored as tensors of f32 are, in 16
   * bits where the plan is; floats that are to stay as they are come as an array of their bits.
   */
  constant(key: string, make: () => TypedArray): Block;
}

// ---- the declaration ----

export interface Op<S extends AttrSchema = AttrSchema> {
  readonly name: string;
  /** Input names in order. A trailing `?` marks an optional input, a trailing `*` any number from here on. */
  readonly inputs: readonly string[];
  readonly attrs: S;
  /** Output types from input types. Works on symbolic and on static shapes alike. Throws SHAPE, DTYPE, ARGUMENT, VALUE. */
  infer(inputs: readonly TensorType[], attrs: AttrsOf<S>): TensorType[];
  /** Indices of inputs whose memory the (single) output may take over; element i of y depends on element i of x alone. */
  readonly inplace?: readonly number[];
  /** The output is input 0's bytes under another shape: no dispatch. */
  readonly alias?: true;
  /** Kernel calls that compute the outputs, in order. Throws UNSUPPORTED for what no kernel does. */
  wasm(node: Lowering<AttrsOf<S>>): Dispatch[];
  /** Shaders that compute the outputs, in order. Throws UNSUPPORTED for what no shader does. */
  webgpu?(node: GpuLowering<AttrsOf<S>>): GpuDispatch[];
}

/** Checks a declaration's types; `infer` receives absent optional inputs as undefined entries. */
export const defineOp = <const S extends AttrSchema>(op: Op<S>): Op<S> => op;

// ---- offline ----

/** A tensor for the references: every dtype in doubles. Quantised tensors hold levels. */
export interface RefTensor {
  readonly type: StaticType;
  readonly data: Float64Array;
}

/** An element range or explicit data for one input of a case. */
export interface CaseInput {
  shape: readonly number[];
  dtype?: DType;
  quant?: Quant;
  /** Uniform over [low, high]; integer dtypes draw integers. Default [-1, 1], or all levels. */
  range?: readonly [number, number];
  data?: readonly number[];
  /** Known when the plan is made, as weights are. */
  constant?: boolean;
}

/** One test case: it runs on every device against the reference. `null` leaves an optional input out. */
export interface Case<A> {
  name?: string;
  inputs: readonly (readonly number[] | CaseInput | null)[];
  attrs?: Partial<A>;
}

/** Allowed error of an f32 result: |got - want| <= abs + rel * |want|. Integer results are always compared exactly. */
export interface Accuracy {
  abs: number;
  rel: number;
}

export interface Cost {
  macs: number;
}

/** A value under construction, as importers see it. */
export interface Ref {
  readonly type: TensorType;
  readonly data?: TypedArray | undefined;
}

/** Adds nodes to the graph that is being imported. */
export interface Emit {
  (op: string, inputs: readonly (Ref | undefined)[], attrs?: Attrs): Ref;
  constant(dtype: DType, shape: readonly number[], data: ArrayLike<number>): Ref;
}

/** A node of an ONNX graph, as `offline.onnx` functions see it. Accessors throw UNSUPPORTED or BAD_MODEL. */
export interface OnnxNode {
  readonly opType: string;
  readonly opset: number;
  /** Omitted inputs are undefined. */
  readonly inputs: readonly (Ref | undefined)[];
  readonly outputCount: number;
  /** Input i, which must be there. */
  input(i: number): Ref;
  has(attribute: string): boolean;
  int(attribute: string, otherwise?: number): number;
  float(attribute: string, otherwise?: number): number;
  ints(attribute: string, otherwise?: readonly number[]): number[];
  floats(attribute: string): number[];
  string(attribute: string, otherwise?: string): string;
  /** Elements of input i when they are known offline. */
  numbers(i: number): number[] | undefined;
  /** Integer elements of input i when they are known up to free dimensions: shape arithmetic. */
  dims(i: number): Dim[] | undefined;
  /** Throws UNSUPPORTED for this node. */
  unsupported(what: string): never;
}

/** How one ONNX operator becomes Wafer nodes: returns the values of its outputs. */
export type FromOnnx = (node: OnnxNode, emit: Emit) => Ref | Ref[];

/** What a gradient rule is given: a node of the graph that is differentiated, and where its gradient's nodes go. */
export interface Differentiation<A> {
  /** Absent optional inputs are undefined. */
  readonly inputs: readonly (Ref | undefined)[];
  /** The first output. */
  readonly y: Ref;
  /** The gradient of the loss by `y`, of its shape. */
  readonly dy: Ref;
  readonly attrs: A;
  /** Whether the gradient by input i is wanted. */
  wants(i: number): boolean;
  /** Adds nodes to the graph of gradients; knows the training-only kinds of the packer too. */
  readonly emit: Emit;
}

/** Gradients by input, of the inputs' shapes; undefined is zero. As a whole undefined where there is no rule. */
export type Gradients = readonly (Ref | undefined)[] | undefined;

export interface Offline<A = Attrs> {
  /** By ONNX operator type; other domains as `domain:Type`. */
  readonly onnx: Readonly<Record<string, FromOnnx>>;
  /** The operator in doubles, written to be obviously right. Also evaluates constants when folding. */
  reference(inputs: readonly (RefTensor | undefined)[], attrs: A, outputs: readonly StaticType[]): Float64Array[];
  /**
   * Reverse mode, as nodes. Shapes are static, and nothing is fused: products come without `act` and `residual`, programs of
   * unary functions with one step. Absent where nothing can be trained through the operator.
   */
  gradient?(node: Differentiation<A>): Gradients;
  readonly accuracy: Accuracy;
  readonly cases: readonly Case<A>[];
  cost?(inputs: readonly (StaticType | undefined)[], attrs: A, outputs: readonly StaticType[]): Cost;
}

export const defineOffline = <S extends AttrSchema>(_op: Op<S>, offline: Offline<AttrsOf<S>>): Offline<AttrsOf<S>> => offline;

/** Attributes with defaults filled in. */
export function fillAttrs(schema: AttrSchema, given: Attrs): Attrs {
  const filled: Record<string, AttrValue> = {};
  for (const [name, attr] of Object.entries(schema)) filled[name] = given[name] ?? attr.default;
  return filled;
}

export const shapeOf = (x: { type: TensorType }): Shape => x.type.shape;
