/**
 * Writes `.wafer` files. The bytes depend on the model alone. Constants go out in the order in which nodes first use them, those
 * with equal elements once, each in the smallest encoding that it has.
 */
import { crc32 } from '../core/crc';
import { bytesOf } from '../core/dtype';
import { located, WaferError } from '../core/errors';
import type { StaticShape } from '../core/shape';
import { constantsOf, type Graph, type Node, nodeText, type Value } from '../graph/ir';
import { opCode } from '../ops/index';
import { encodeTensors } from './encode';
import {
  ATTRS,
  alignUp,
  GOLDENS,
  GRAPH,
  HEADER_BYTES,
  LABELS,
  LETTERS,
  MAGIC,
  MAX_PACKED_BYTES,
  MAX_SECTION_BYTES,
  type Of,
  ORIGINS,
  PACKED_HEAD,
  PROCESSING,
  PROVENANCE,
  TENSORS,
  VERSION,
} from './layout';
import { packBytes } from './lzWriter';
import type { Origin, WaferModel } from './model';
import { Sink } from './sink';
import { isAligned } from './tensors';

/**
 * The file of a model. Names of nodes and values are written when the model has origins (an empty map will do); origins of
 * constants and of values that are not in the graph are left out. Throws VALUE for numbers that no file can hold.
 */
export function writeWafer(model: WaferModel): Uint8Array {
  const { graph, provenance, labels, images, postprocessing, goldens, origins } = model;
  const constants = constantsOf(graph);
  const { blobs, indices, contents } = encodeTensors(constants);
  const tensors: Of<typeof TENSORS> = {
    blobs,
    tensors: constants.map(({ type: { shape, quant } }, i) => ({
      blob: indices[i]!,
      shape: shape as StaticShape,
      ...(quant && { quant }),
    })),
  };
  const storedGoldens = goldens.map((golden) => ({
    ...golden,
    outputs: golden.outputs.map((output) => ({ ...output, samples: bytesOf(output.samples) })),
  }));
  const processing = { ...(images && { images }), ...(postprocessing && { postprocessing }) };
  const head = headOf({
    graph: encodeGraph(graph, constants),
    tensors: Sink.of(TENSORS, tensors),
    labels: labels && Sink.of(LABELS, labels),
    processing: images || postprocessing ? Sink.of(PROCESSING, processing) : undefined,
    provenance: Sink.of(PROVENANCE, { ...provenance, metrics: new Map(Object.entries(provenance.metrics)) }),
    goldens: goldens.length ? Sink.of(GOLDENS, storedGoldens) : undefined,
    origins: origins && Sink.of(ORIGINS, namesOf(graph, constants, origins)),
  });
  return assemble(head, blobs, contents);
}

function encodeGraph(graph: Graph, constants: readonly Value[]): Uint8Array {
  const to = new Sink();
  to.write(
    GRAPH.inputs,
    graph.inputs.map(({ name, type: { dtype, shape, quant } }) => ({ name, type: { dtype, shape, ...(quant && { quant }) } })),
  );
  const tensorOf = new Map(constants.map((x, i) => [x, i]));
  const numberOf = new Map(graph.inputs.map((x, i) => [x, i]));
  const reference = (x: Value | undefined): number =>
    !x ? 0 : x.data ? 2 * tensorOf.get(x)! + 2 : 2 * (numberOf.size - numberOf.get(x)!) - 1;
  to.uint(graph.nodes.length);
  for (const node of graph.nodes) {
    located({ node: nodeText(node) }, () => encodeNode(node, to, reference));
    for (const y of node.outputs) numberOf.set(y, numberOf.size);
  }
  to.write(
    GRAPH.outputs,
    graph.outputs.map(({ name, value }) => ({ name, ref: reference(value) })),
  );
  // The strings are known once all else is written, and stand before it.
  const whole = new Sink();
  whole.write(GRAPH.strings, [...to.strings.keys()]);
  whole.raw(to.bytes);
  return whole.bytes;
}

function encodeNode({ op, attrs, inputs }: Node, to: Sink, reference: (x: Value | undefined) => number): void {
  const schema = Object.entries(op.attrs);
  const given = schema.map(([name, attr]) => !sameAttr(attrs[name]!, attr.default));
  to.uint(opCode(op));
  to.uint(given.reduce((mask, is, i) => mask + (is ? 2 ** i : 0), 0));
  schema.forEach(([name, { kind }], i) => {
    if (given[i]) to.field(ATTRS[kind], attrs[name]);
  });
  to.write(GRAPH.refs, inputs.map(reference));
}

/** Equal as a file holds them; attributes are plain data. */
function sameAttr(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || !a || !b) return Object.is(a, b);
  const [p, q] = [Object.entries(a), Object.entries(b)];
  return p.length === q.length && p.every(([key, value]) => sameAttr(value, (b as Record<string, unknown>)[key]));
}

function namesOf(graph: Graph, constants: readonly Value[], origins: ReadonlyMap<string, Origin>): Of<typeof ORIGINS> {
  const unnamed = new Set(constants);
  const originOf = (x: Value) => origins.get(x.name);
  return {
    inputs: graph.inputs.map(originOf),
    nodes: graph.nodes.map(({ name, inputs, outputs }) => ({
      tensors: inputs.flatMap((x) => (x && unnamed.delete(x) ? [x.name] : [])),
      name,
      outputs: outputs.map(originOf),
    })),
    tensors: [...unnamed].map((x) => x.name),
  };
}

interface Head {
  bytes: Uint8Array;
  isPacked: boolean;
}

/** The sections in the order of `LETTERS`, packed when that is smaller. */
function headOf(sections: Readonly<Record<keyof typeof LETTERS, Uint8Array | undefined>>): Head {
  const plain = new Sink();
  for (const [name, letter] of Object.entries(LETTERS)) {
    const bytes = sections[name as keyof typeof LETTERS];
    if (!bytes) continue;
    if (bytes.length > MAX_SECTION_BYTES)
      throw new WaferError('VALUE', `section "${name}" would have ${bytes.length} bytes, more than ${MAX_SECTION_BYTES}`);
    plain.u8(letter.charCodeAt(0));
    plain.uint(bytes.length);
    plain.raw(bytes);
  }
  const packed = new Sink();
  packed.uint(plain.at);
  if (plain.at <= MAX_PACKED_BYTES) packed.raw(packBytes(plain.bytes));
  const isPacked = plain.at <= MAX_PACKED_BYTES && packed.at < plain.at;
  return { bytes: isPacked ? packed.bytes : plain.bytes, isPacked };
}

/** Header, head, weights. */
function assemble(head: Head, blobs: Of<typeof TENSORS>['blobs'], contents: readonly Uint8Array[]): Uint8Array {
  const start = HEADER_BYTES + head.bytes.length;
  let end = start;
  const offsets = blobs.map((blob) => {
    const offset = isAligned(blob, VERSION) ? alignUp(end) : end;
    end = offset + blob.bytes;
    return offset;
  });
  if (end >= 2 ** 32) throw new WaferError('VALUE', `the file would have ${end} bytes, more than 32 bits can say`);
  const file = new Uint8Array(end);
  file.set(head.bytes, HEADER_BYTES);
  contents.forEach((bytes, i) => file.set(bytes, offsets[i]));
  const header = new Sink();
  const version = VERSION | (head.isPacked ? PACKED_HEAD << 16 : 0);
  for (const word of [MAGIC, version, end, head.bytes.length, crc32(file.subarray(start))]) header.u32(word);
  header.u32(crc32(head.bytes, crc32(header.bytes)));
  file.set(header.bytes);
  return file;
}
