/** States as bytes, by which they are stored and told apart: the same state is always the same bytes. */
import { createHash } from 'node:crypto';
import { DTYPES, type DType, type TypedArray } from '../../core/dtype';
import { invariant, WaferError } from '../../core/errors';
import type { TensorType } from '../../core/shape';
import { constantsOf, type Graph, type Node, type Value } from '../../graph/ir';
import type { Attrs } from '../../ops/define';
import { kindNamed } from '../train/kinds';
import type { Integers, State } from './state';

/** Values are numbered as they come: inputs, constants, outputs of nodes. -1 stands for an input that is absent. */
interface StoredGraph {
  values: { name: string; type: TensorType; data?: Stored }[];
  inputs: number[];
  nodes: { op: string; name: string; inputs: number[]; outputs: number[]; attrs: Attrs }[];
  outputs: { name: string; value: number }[];
}

/** Where elements are, in bytes from where all elements begin. */
interface Stored {
  dtype: DType;
  at: number;
  length: number;
}

interface StoredState {
  graph: StoredGraph;
  quantized?: Omit<Integers, 'graph'> & { graph: StoredGraph };
  trained: boolean;
  done: readonly string[];
}

const MAGIC = 'wafer state 1\n';
const ALIGNED = 8;

/** Gathers elements behind each other. */
class Elements {
  private readonly parts: Uint8Array[] = [];
  private length = 0;

  add(data: TypedArray): Stored {
    const dtype = (Object.keys(DTYPES) as DType[]).find((name) => DTYPES[name].array === data.constructor);
    invariant(dtype, () => `elements of ${data.constructor.name} cannot be stored`);
    const at = this.length;
    this.parts.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    const gap = -data.byteLength & (ALIGNED - 1);
    if (gap) this.parts.push(new Uint8Array(gap));
    this.length += data.byteLength + gap;
    return { dtype, at, length: data.length };
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.parts);
  }
}

/** JSON that also holds what JSON does not: numbers that are not finite, and elements. */
const storing = (elements: Elements) => (_: string, value: unknown) => {
  if (typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0)))
    return { $number: Object.is(value, -0) ? '-0' : String(value) };
  return ArrayBuffer.isView(value) ? { $elements: elements.add(value as TypedArray) } : value;
};

const restoring = (read: (stored: Stored) => TypedArray) => (_: string, value: unknown) => {
  if (typeof value !== 'object' || value === null) return value;
  if ('$number' in value) return Number(value.$number);
  return '$elements' in value ? read(value.$elements as Stored) : value;
};

function storedGraph(graph: Graph, elements: Elements): StoredGraph {
  const places = new Map<Value, number>();
  const values: StoredGraph['values'] = [];
  const add = (value: Value) => {
    places.set(value, values.length);
    const { name, type, data } = value;
    values.push({ name, type, ...(data && { data: elements.add(data) }) });
  };
  graph.inputs.forEach(add);
  constantsOf(graph).forEach(add);
  for (const { outputs } of graph.nodes) outputs.forEach(add);
  const place = (value: Value | undefined) => (value ? places.get(value)! : -1);
  return {
    values,
    inputs: graph.inputs.map(place),
    nodes: graph.nodes.map(({ op, name, inputs, outputs, attrs }) => ({
      ...{ op: op.name, name, inputs: inputs.map(place), outputs: outputs.map(place), attrs },
    })),
    outputs: graph.outputs.map(({ name, value }) => ({ name, value: place(value) })),
  };
}

function restoredGraph({ values: stored, inputs, nodes, outputs }: StoredGraph, read: (stored: Stored) => TypedArray): Graph {
  const values: Value[] = stored.map(({ name, type, data }) => ({ name, type, ...(data && { data: read(data) }) }));
  const made = nodes.map((node): Node => {
    const outputs: Value[] = [];
    const own: Node = {
      ...{ op: kindNamed(node.op), name: node.name, attrs: node.attrs, outputs },
      inputs: node.inputs.map((place) => (place < 0 ? undefined : values[place])),
    };
    for (const place of node.outputs) outputs.push((values[place] = { ...values[place]!, producer: own }));
    return own;
  });
  return {
    inputs: inputs.map((place) => values[place]!),
    nodes: made,
    outputs: outputs.map(({ name, value }) => ({ name, value: values[value]! })),
  };
}

export function encodeState({ graph, quantized, trained, done }: State): Uint8Array {
  const elements = new Elements();
  const stored: StoredState = {
    graph: storedGraph(graph, elements),
    ...(quantized && { quantized: { ...quantized, graph: storedGraph(quantized.graph, elements) } }),
    ...{ trained, done },
  };
  const text = new TextEncoder().encode(JSON.stringify(stored, storing(elements)));
  const head = new TextEncoder().encode(`${MAGIC}${String(text.length).padStart(10)}\n`);
  const gap = new Uint8Array(-(head.length + text.length) & (ALIGNED - 1));
  const body = Buffer.concat([head, text, gap, elements.bytes()]);
  return Buffer.concat([body, createHash('sha256').update(body).digest()]);
}

/** What tells states apart. */
export const stateHash = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(-32)).toString('hex');

/** Throws BAD_FILE for what is not whole. */
export function decodeState(file: Uint8Array): State {
  const body = file.subarray(0, -32);
  const head = new TextDecoder().decode(body.subarray(0, MAGIC.length + 11));
  if (!head.startsWith(MAGIC) || createHash('sha256').update(body).digest('hex') !== stateHash(file))
    throw new WaferError('BAD_FILE', 'not a whole state of a recipe', { hint: 'delete the work folder' });
  const length = Number(head.slice(MAGIC.length));
  const text = new TextDecoder().decode(body.subarray(head.length, head.length + length));
  const start = Math.ceil((head.length + length) / ALIGNED) * ALIGNED;
  const read = ({ dtype, at, length }: Stored): TypedArray => {
    const from = body.byteOffset + start + at;
    const { array, bytes } = DTYPES[dtype];
    return new array(body.buffer.slice(from, from + length * bytes) as ArrayBuffer);
  };
  const stored = JSON.parse(text, restoring(read)) as StoredState;
  const { graph, quantized, trained, done } = stored;
  return {
    graph: restoredGraph(graph, read),
    ...(quantized && { quantized: { ...quantized, graph: restoredGraph(quantized.graph, read) } }),
    ...{ trained, done },
  };
}
