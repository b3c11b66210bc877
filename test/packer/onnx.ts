/** Small ONNX models for tests, written in a compact notation. */
import protobuf from 'protobufjs';
import { ONNX_PROTO } from '../../src/packer/import/onnx/schema';

const root = protobuf.parse(ONNX_PROTO, { keepCase: true }).root;
const MODEL = root.lookupType('onnx.ModelProto');

export const FLOAT = 1;
export const INT64 = 7;

export interface TensorText {
  name?: string;
  dims: number[];
  data_type?: number;
  [field: string]: unknown;
}

export const floats = (name: string, dims: number[], data: ArrayLike<number>): TensorText => ({
  name,
  dims,
  data_type: FLOAT,
  float_data: Array.from(data),
});

export const integers = (name: string, data: number[], dims = [data.length]): TensorText => ({
  name,
  dims,
  data_type: INT64,
  int64_data: data,
});

/** A number is an int (a float where it has a fraction), a string a string, an array of numbers ints. */
export type AttributeText = number | string | number[] | { t: TensorText } | { g: GraphText } | { f: number };

export interface NodeText {
  op: string;
  in: string[];
  out: string[];
  domain?: string;
  attrs?: Record<string, AttributeText>;
}

export interface GraphText {
  /** By name: dimensions, numbers or names. `elements` gives another element type than float. */
  inputs?: Record<string, (number | string)[]>;
  elements?: Record<string, number>;
  outputs: string[];
  initializers?: TensorText[];
  nodes: NodeText[];
}

export const node = (op: string, inputs: string, outputs: string, attrs?: Record<string, AttributeText>): NodeText => ({
  op,
  in: inputs.split(' '),
  out: outputs.split(' '),
  ...(attrs && { attrs }),
});

function attribute(name: string, value: AttributeText): object {
  if (typeof value === 'number') return Number.isInteger(value) ? { name, type: 2, i: value } : { name, type: 1, f: value };
  if (typeof value === 'string') return { name, type: 3, s: new TextEncoder().encode(value) };
  if (Array.isArray(value)) return { name, type: 7, ints: value };
  if ('f' in value) return { name, type: 1, f: value.f };
  return 't' in value ? { name, type: 4, t: value.t } : { name, type: 5, g: graph(value.g) };
}

function graph(text: GraphText): object {
  const valueInfo = (name: string, dims?: (number | string)[]) => ({
    name,
    type: {
      tensor_type: {
        elem_type: text.elements?.[name] ?? FLOAT,
        ...(dims && { shape: { dim: dims.map((d) => (typeof d === 'number' ? { dim_value: d } : { dim_param: d })) } }),
      },
    },
  });
  return {
    name: 'test',
    node: text.nodes.map((n) => ({
      op_type: n.op,
      input: n.in.map((name) => (name === '_' ? '' : name)),
      output: n.out,
      name: '',
      domain: n.domain ?? '',
      attribute: Object.entries(n.attrs ?? {}).map(([name, value]) => attribute(name, value)),
    })),
    initializer: text.initializers ?? [],
    input: Object.entries(text.inputs ?? {}).map(([name, dims]) => valueInfo(name, dims)),
    output: text.outputs.map((name) => valueInfo(name)),
  };
}

export function onnxModel(text: GraphText, opset = 17): Uint8Array {
  return MODEL.encode(
    MODEL.fromObject({
      ir_version: 8,
      opset_import: [{ domain: '', version: opset }],
      producer_name: 'test',
      graph: graph(text),
    }),
  ).finish();
}
