/**
 * ONNX bytes to checked plain data. Everything here is written against hostile files: no allocation is larger than the
 * bytes that the file really holds, and whatever is wrong ends in a `WaferError` BAD_MODEL (or UNSUPPORTED for element
 * types that Wafer does not have). Tensors are decoded when they are first read.
 */
import protobuf from 'protobufjs';
import { DTYPES, type DType, type TypedArray } from '../../../core/dtype';
import { WaferError } from '../../../core/errors';
import { ONNX_PROTO } from './schema';

/** protobufjs gives 64-bit integers as Long objects. */
export type Int = number | { toNumber(): number };

export const toNumber = (x: Int): number => (typeof x === 'number' ? x : x.toNumber());

export interface ModelProto {
  opset_import: { domain: string; version: Int }[];
  producer_name: string;
  producer_version: string;
  graph: GraphProto | null;
  functions: { name: string; domain: string }[];
}

export interface GraphProto {
  node: NodeProto[];
  name: string;
  initializer: TensorProto[];
  input: ValueInfoProto[];
  output: ValueInfoProto[];
  sparse_initializer: { values: TensorProto | null }[];
}

export interface NodeProto {
  input: string[];
  output: string[];
  name: string;
  op_type: string;
  domain: string;
  attribute: AttributeProto[];
}

export interface AttributeProto {
  name: string;
  ref_attr_name: string;
  type: number;
  f: number;
  i: Int;
  s: Uint8Array;
  t: TensorProto | null;
  g: GraphProto | null;
  floats: number[];
  ints: Int[];
  strings: Uint8Array[];
}

export interface TensorProto {
  dims: Int[];
  data_type: number;
  segment: object | null;
  float_data: number[];
  int32_data: number[];
  int64_data: Int[];
  double_data: number[];
  uint64_data: Int[];
  name: string;
  raw_data: Uint8Array;
  external_data: { key: string; value: string }[];
  /** 1: external. */
  data_location: number;
}

export interface ValueInfoProto {
  name: string;
  type: {
    tensor_type: { elem_type: number; shape: { dim: { dim_value: Int; dim_param: string }[] } | null } | null;
  } | null;
}

/** Reads external tensor data: the bytes of the file at `path`, which is relative to the model. */
export type ExternalData = (path: string) => Uint8Array;

/** A decoded tensor. 64-bit integers saturate in `data`; short tensors (shapes, axes) are also kept exactly. */
export interface Tensor {
  dtype: DType;
  shape: number[];
  data: TypedArray;
  exact?: number[];
}

/** Tensors up to this many elements take part in shape arithmetic. */
export const MAX_KNOWN = 4096;

const MAX_ELEMENTS = 2 ** 31 - 1;

let modelType: protobuf.Type | undefined;

/** What a file is that is certainly no ONNX model. */
function looksLike(bytes: Uint8Array): { what: string; hint: string } | undefined {
  if (bytes.length === 0) return { what: 'the file is empty', hint: 'fetch or export the model again' };
  if (String.fromCharCode(...bytes.subarray(0, 4)) === 'WAFR')
    return { what: 'this is a .wafer file already', hint: 'pass the ONNX model that it was made from' };
  return undefined;
}

/** Throws BAD_MODEL. */
export function decodeModel(bytes: Uint8Array): ModelProto & { graph: GraphProto } {
  modelType ??= protobuf.parse(ONNX_PROTO, { keepCase: true }).root.lookupType('onnx.ModelProto');
  const bad = looksLike(bytes);
  if (bad) throw new WaferError('BAD_MODEL', bad.what, bad);
  let model: ModelProto;
  try {
    model = modelType.decode(bytes) as unknown as ModelProto;
  } catch (error) {
    throw new WaferError('BAD_MODEL', `not an ONNX model: ${(error as Error).message}`, {
      hint: 'is the file complete, and really ONNX? A Git LFS pointer or an HTML error page fails like this',
    });
  }
  const { graph } = model;
  if (!graph || graph.output.length === 0 || model.opset_import.length === 0)
    throw new WaferError('BAD_MODEL', 'the file decodes, but holds no ONNX graph with outputs and an opset', {
      hint: 'is this an ONNX model? .pt, .tflite and .pb files are converted to ONNX first',
    });
  return { ...model, graph };
}

/** How one ONNX element type is stored and what it becomes. */
interface ElementType {
  name: string;
  dtype: DType;
  bytes: number;
  /** Reads element `i` of little-endian raw data. */
  raw(view: DataView, i: number): number;
  field: 'float_data' | 'int32_data' | 'int64_data' | 'double_data' | 'uint64_data';
}

const big = (x: bigint): number => Number(x);

/** By ONNX's TensorProto.DataType. */
const ELEMENT_TYPES: Readonly<Record<number, ElementType>> = {
  1: { name: 'float', dtype: 'f32', bytes: 4, raw: (v, i) => v.getFloat32(4 * i, true), field: 'float_data' },
  2: { name: 'uint8', dtype: 'u8', bytes: 1, raw: (v, i) => v.getUint8(i), field: 'int32_data' },
  3: { name: 'int8', dtype: 'i32', bytes: 1, raw: (v, i) => v.getInt8(i), field: 'int32_data' },
  4: { name: 'uint16', dtype: 'i32', bytes: 2, raw: (v, i) => v.getUint16(2 * i, true), field: 'int32_data' },
  5: { name: 'int16', dtype: 'i32', bytes: 2, raw: (v, i) => v.getInt16(2 * i, true), field: 'int32_data' },
  6: { name: 'int32', dtype: 'i32', bytes: 4, raw: (v, i) => v.getInt32(4 * i, true), field: 'int32_data' },
  7: { name: 'int64', dtype: 'i32', bytes: 8, raw: (v, i) => big(v.getBigInt64(8 * i, true)), field: 'int64_data' },
  9: { name: 'bool', dtype: 'bool', bytes: 1, raw: (v, i) => (v.getUint8(i) ? 1 : 0), field: 'int32_data' },
  10: { name: 'float16', dtype: 'f32', bytes: 2, raw: (v, i) => halfToNumber(v.getUint16(2 * i, true)), field: 'int32_data' },
  11: { name: 'double', dtype: 'f32', bytes: 8, raw: (v, i) => v.getFloat64(8 * i, true), field: 'double_data' },
  12: { name: 'uint32', dtype: 'i32', bytes: 4, raw: (v, i) => v.getUint32(4 * i, true), field: 'uint64_data' },
  13: { name: 'uint64', dtype: 'i32', bytes: 8, raw: (v, i) => big(v.getBigUint64(8 * i, true)), field: 'uint64_data' },
};

/** What an ONNX element type becomes in Wafer. Throws UNSUPPORTED. */
export function elementType(code: number): Pick<ElementType, 'name' | 'dtype'> {
  const type = ELEMENT_TYPES[code];
  if (!type)
    throw new WaferError('UNSUPPORTED', `ONNX element type ${code} (strings, complex, bfloat16, float8 and int4 are not read)`);
  return type;
}

/** IEEE 754 half precision. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

/** Checks every size before anything is allocated. Throws BAD_MODEL, UNSUPPORTED, NOT_FOUND (external data). */
export function decodeTensor(proto: TensorProto, external: ExternalData | undefined): Tensor {
  const where = proto.name ? `tensor "${proto.name}"` : 'tensor';
  const bad = (what: string): never => {
    throw new WaferError('BAD_MODEL', `${where} ${what}`);
  };
  const type = elementType(proto.data_type) as ElementType;
  const shape = proto.dims.map(toNumber);
  let count = 1;
  for (const d of shape) {
    if (!(Number.isInteger(d) && d >= 0)) bad(`has the dimension ${d}`);
    count *= d;
  }
  if (!(count <= MAX_ELEMENTS)) bad(`has ${count} elements`);
  if (proto.segment) bad('is stored in segments');

  const { dtype } = type;
  const elementBytes = type.bytes;
  const raw = proto.data_location === 1 ? readExternal(proto, external, where, count * elementBytes) : bytesOf(proto.raw_data);
  const stored = proto[type.field] as Int[];
  const isRaw = raw.length > 0 || stored.length === 0;
  if (isRaw && raw.length !== count * elementBytes)
    bad(`is ${type.name}[${shape}], ${count * elementBytes} bytes, but has ${raw.length} bytes of data`);
  if (!isRaw && stored.length !== count) bad(`is ${type.name}[${shape}], ${count} elements, but has ${stored.length}`);

  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const read = isRaw
    ? (i: number) => type.raw(view, i)
    : type.name === 'float16'
      ? (i: number) => halfToNumber(stored[i] as number)
      : (i: number) => toNumber(stored[i]!);
  const data = new DTYPES[dtype].array(count);
  const low = -(2 ** 31);
  const high = 2 ** 31 - 1;
  for (let i = 0; i < count; i++) {
    const x = read(i);
    data[i] = dtype === 'i32' ? Math.min(high, Math.max(low, x)) : x;
  }
  if (dtype !== 'i32' || count > MAX_KNOWN) return { dtype, shape, data };
  return { dtype, shape, data, exact: Array.from({ length: count }, (_, i) => read(i)) };
}

/** protobufjs gives an absent field of bytes as an empty array. */
const bytesOf = (field: Uint8Array): Uint8Array => (field.length ? field : new Uint8Array(0));

function readExternal(proto: TensorProto, external: ExternalData | undefined, where: string, bytes: number): Uint8Array {
  const entries = new Map(proto.external_data.map(({ key, value }) => [key, value]));
  const path = entries.get('location') ?? '';
  if (path === '' || /^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)/.test(path))
    throw new WaferError('BAD_MODEL', `${where} is stored in "${path}", which is not a file beside the model`);
  if (!external)
    throw new WaferError('NOT_FOUND', `${where} is stored outside the model, in "${path}"`, {
      hint: 'keep the data file beside the .onnx file and import from the path',
    });
  const file = external(path);
  const offset = Number(entries.get('offset') ?? 0);
  const length = Number(entries.get('length') ?? bytes);
  if (
    !(
      Number.isSafeInteger(offset) &&
      Number.isSafeInteger(length) &&
      offset >= 0 &&
      length >= 0 &&
      offset + length <= file.length
    )
  )
    throw new WaferError('BAD_MODEL', `${where} is bytes ${offset} to ${offset + length} of "${path}", which has ${file.length}`);
  return file.subarray(offset, offset + length);
}

/** Every node of the graph and of the graphs inside it. Throws BAD_MODEL when they are nested absurdly deep. */
export function* allNodes(graph: GraphProto, depth = 0): Generator<NodeProto> {
  if (depth > 16) throw new WaferError('BAD_MODEL', 'sub-graphs are nested more than 16 deep');
  for (const node of graph.node) {
    yield node;
    for (const attribute of node.attribute) if (attribute.g) yield* allNodes(attribute.g, depth + 1);
  }
}

/** Operator types of ONNX's own domain stand by themselves, others as `domain:Type`. */
export const typeName = (node: NodeProto): string =>
  node.domain === '' || node.domain === 'ai.onnx' ? node.op_type : `${node.domain}:${node.op_type}`;
