/** Runs the ONNX model that a file was made from, with onnxruntime-node, also for the values between its nodes. */
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { DTYPES, type TypedArray } from '../../core/dtype';
import { WaferError } from '../../core/errors';
import type { TensorData } from '../../runtime/session';
import { decodeModel } from '../import/onnx/decode';
import { optionalPackage } from '../optional';
import type { Sample } from './engine';

/** What runs of the source gave, by the source's names. Quantised and 64-bit values become numbers that Wafer has. */
export type SourceValues = Map<string, Pick<TensorData, 'data' | 'shape'>>;

export interface SourceModel {
  /** Names of all values that nodes of the main graph make, in order. */
  readonly values: readonly string[];
  readonly inputs: readonly string[];
  /** Throws BAD_MODEL when the source cannot be run on them. */
  run(inputs: Sample): Promise<SourceValues>;
}

/**
 * Loads `onnx` with each of the `wanted` values, besides its own outputs, as an output. Graph optimisations are off, so
 * every value is there. Throws BAD_MODEL, and NOT_FOUND when onnxruntime-node is not installed.
 */
export async function loadSource(onnx: Uint8Array, wanted: Iterable<string> = []): Promise<SourceModel> {
  const { graph } = decodeModel(onnx);
  const values = graph.node.flatMap((node) => node.output.filter(Boolean));
  const outputs = new Set(graph.output.map((o) => o.name));
  const extra = [...new Set(wanted)].filter((name) => values.includes(name) && !outputs.has(name));
  const ort = await optionalPackage<typeof import('onnxruntime-node')>('onnxruntime-node', 'run ONNX models');
  let session: InferenceSession;
  try {
    session = await ort.InferenceSession.create(withOutputs(onnx, extra), {
      graphOptimizationLevel: extra.length ? 'disabled' : 'all',
      logSeverityLevel: 3,
    });
  } catch (error) {
    throw new WaferError('BAD_MODEL', `onnxruntime-node cannot load the model: ${(error as Error).message}`);
  }
  return {
    values,
    inputs: session.inputNames,
    async run(inputs) {
      const feeds: Record<string, Tensor> = {};
      for (const [name, { data, shape }] of Object.entries(inputs)) feeds[name] = toOrt(ort, session, name, data, shape);
      const results = await session.run(feeds).catch((error: Error) => {
        throw new WaferError('BAD_MODEL', `onnxruntime-node cannot run the model: ${error.message}`);
      });
      return new Map(Object.entries(results).map(([name, tensor]) => [name, fromOrt(tensor)]));
    },
  };
}

/** Inputs take the element type that the model declares. */
function toOrt(
  ort: typeof import('onnxruntime-node'),
  session: InferenceSession,
  name: string,
  data: TypedArray,
  shape: readonly number[],
): Tensor {
  const at = session.inputNames.indexOf(name);
  const declared = session.inputMetadata[at];
  const type = declared && 'type' in declared ? declared.type : 'float32';
  if (type === 'int64')
    return new ort.Tensor(
      'int64',
      BigInt64Array.from(data, (v) => BigInt(v)),
      shape,
    );
  if (type === 'bool') return new ort.Tensor('bool', Uint8Array.from(data), shape);
  return new ort.Tensor(type as 'float32', data as Float32Array, shape);
}

function fromOrt({ data, dims }: Tensor): Pick<TensorData, 'data' | 'shape'> {
  const known = Object.values(DTYPES).some(({ array }) => data instanceof array);
  return { shape: dims, data: known ? (data as TypedArray) : Float32Array.from(data as ArrayLike<number | bigint>, Number) };
}

/**
 * The model with more graph outputs. Protobuf messages that are written one after another are merged, so it is enough
 * to append a model that holds nothing but a graph with these outputs: ModelProto.graph is field 7, GraphProto.output 12,
 * ValueInfoProto.name 1.
 */
function withOutputs(onnx: Uint8Array, names: readonly string[]): Uint8Array {
  if (names.length === 0) return onnx;
  const field = (number: number, content: readonly number[]): number[] => [
    (number << 3) | 2,
    ...varint(content.length),
    ...content,
  ];
  const outputs = names.flatMap((name) => field(12, field(1, [...new TextEncoder().encode(name)])));
  const appended = field(7, outputs);
  const bytes = new Uint8Array(onnx.length + appended.length);
  bytes.set(onnx);
  bytes.set(appended, onnx.length);
  return bytes;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return [...bytes, value];
}
