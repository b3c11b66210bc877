/**
 * Reads `.wafer` files. A file holds no types beyond those of inputs and constants: the graph is rebuilt node by node through
 * `Builder`, which infers types and checks attributes again, so a file cannot claim anything of a graph that is not so.
 * Every failure is a BAD_FILE with the byte where it was noticed.
 */
import { allocate, type TypedArray } from '../core/dtype';
import { WaferError } from '../core/errors';
import { checkSizes, elements, evaluateShape, sameShape, type TensorType, typeText } from '../core/shape';
import { Builder, type Graph, nodeText, type Value } from '../graph/ir';
import type { AttrSchema, Attrs, AttrValue, Step } from '../ops/define';
import { OPS } from '../ops/index';
import { stepCode } from '../ops/steps';
import { badFile, blamed, CUT_SHORT, Cursor, UPDATE } from './cursor';
import {
  ATTRS,
  type Field,
  GOLDENS,
  GRAPH,
  HEADER_BYTES,
  HEADER_BYTES_1,
  LABELS,
  MAX_GOLDEN_ELEMENTS,
  MAX_NODES,
  MAX_RANK,
  type Of,
  ORIGINS,
  PROCESSING,
  PROVENANCE,
  type SectionName,
  TAGS,
  TENSORS,
} from './layout';
import type { Golden, GoldenOutput, ImageProcessing, Origin, WaferModel } from './model';
import { type Codec, scalarCodec } from './rans';
import {
  checkCrc,
  checkGap1,
  checkMagic,
  readHead,
  readHeader,
  readHeader1,
  readTable1,
  readVersion,
  type Section,
} from './sections';
import { type Blob, decode, placeBlobs, viewOf } from './tensors';

type Names = Of<typeof ORIGINS>;

/**
 * Reads a file while it arrives. What is complete is checked and decoded at once, and always in the same order: header, all
 * sections but the weights, the graph, then the weights blob by blob. How the bytes are cut into chunks makes no difference.
 */
export class WaferReader {
  /** There once all but the weights is. Its constants have their elements when `has` says so, and all of them after `end`. */
  model: WaferModel | undefined;
  sections: readonly Section[] = [];
  /** Contents of constants, as they are stored; there with the model. */
  blobs: readonly Blob[] = [];
  private file: Uint8Array = new Uint8Array();
  private arrived = 0;
  /** Bytes in the file, once they are known. */
  private total: number | undefined;
  /** CRC-32 of the weights up to `at`. */
  private weights: { at: number; end: number; crc: number } | undefined;
  private readonly incomplete = new Set<TypedArray>();
  private readonly steps = this.read();
  /** Bytes that must have arrived for the next step; undefined after the last. */
  private needed: number | undefined = 0;

  constructor(private readonly codec: Codec = scalarCodec) {}

  /**
   * Takes the next bytes, which must not be changed afterwards: a file in one piece is not copied. Throws BAD_FILE, and MEMORY
   * when there is none for as long a file as this one says it is.
   */
  push(chunk: Uint8Array): void {
    // Not a Buffer, as files in Node are: its slice() is no copy.
    if (this.arrived === 0) this.file = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length);
    else {
      this.grow(this.total ?? this.arrived + chunk.length);
      this.file.set(chunk.subarray(0, Math.max(0, this.file.length - this.arrived)), this.arrived);
    }
    this.arrived += chunk.length;
    while (this.needed !== undefined && this.arrived >= this.needed) {
      const { done, value } = this.steps.next();
      this.needed = done ? undefined : value;
    }
    if (this.needed === undefined && this.arrived > this.total!) throw badFile(`more than ${this.total} bytes`, this.total!);
    this.sumWeights();
  }

  /** To be called when there is no more, for whole files give their model. Throws BAD_FILE. */
  end(): WaferModel {
    const { arrived, total = HEADER_BYTES } = this;
    if (this.needed !== undefined) throw badFile(`${arrived} bytes instead of ${total}`, arrived, CUT_SHORT);
    return this.model!;
  }

  /** Whether a value's elements are there, if it is a constant. */
  has({ data }: Value): boolean {
    return !data || !this.incomplete.has(data);
  }

  /** Each step gives the number of bytes that the next one needs. */
  private *read(): Generator<number, void> {
    yield 4;
    checkMagic(this.file);
    yield 8;
    if (readVersion(this.file) === 1) return yield* this.readVersion1();
    yield HEADER_BYTES;
    const header = readHeader(this.file);
    const { total, headEnd, isPacked, weightsCrc } = header;
    this.total = total;
    yield headEnd;
    // Raw constants are views of the file, which must not move any more.
    this.grow(total);
    const { bytes, sections } = unpacked(isPacked, () => readHead(this.file, header));
    this.sections = [...sections, { tag: TAGS.weights, name: 'weights', offset: headEnd, bytes: total - headEnd }];
    yield* this.readWeights(2, isPacked, bytes, weightsCrc);
  }

  private *readVersion1(): Generator<number, void> {
    yield HEADER_BYTES_1;
    const header = readHeader1(this.file);
    this.total = header.total;
    let end = header.tableEnd + 4;
    yield end;
    const sections = readTable1(this.file, header);
    for (const section of sections) {
      yield section.offset;
      checkGap1(this.file, section, end);
      end = section.offset + section.bytes;
      if (section.name === 'weights') continue;
      yield end;
      checkCrc(`section ${section.tag}`, section.offset, section.crc, this.codec.crc32(this.file.subarray(section.offset, end)));
    }
    this.grow(header.total);
    this.sections = sections;
    yield* this.readWeights(1, false, this.file, sections.find((s) => s.name === 'weights')!.crc);
  }

  /** The model, whose head lies in `head`, and then its weights. */
  private *readWeights(version: number, isPacked: boolean, head: Uint8Array, crc: number): Generator<number, void> {
    const { model, blobs } = unpacked(isPacked, () => readModel(this.file, head, this.sections, version));
    for (const { data } of blobs) this.incomplete.add(data);
    this.model = model;
    this.blobs = blobs;
    const { offset, bytes } = this.sections.find((s) => s.name === 'weights')!;
    const weights = { at: offset, end: offset + bytes, crc: 0 };
    this.weights = weights;
    for (const blob of blobs) {
      yield blob.end;
      decode(blob, this.file, this.codec);
      this.incomplete.delete(blob.data);
    }
    yield this.total!;
    this.sumWeights();
    checkCrc('the weights', offset, crc, weights.crc);
  }

  private grow(bytes: number): void {
    if (this.file.length >= bytes) return;
    const grown = allocate('u8', bytes) as Uint8Array;
    grown.set(this.file);
    this.file = grown;
  }

  /** Brings the weights' CRC up to what has arrived. */
  private sumWeights(): void {
    const { weights } = this;
    if (!weights) return;
    const to = Math.min(this.arrived, weights.end);
    weights.crc = this.codec.crc32(this.file.subarray(weights.at, to), weights.crc);
    weights.at = to;
  }
}

/**
 * The model in a file. Constants are views of `file` (copies where its address is no multiple of 4): do not change its bytes
 * afterwards. Throws BAD_FILE for whatever is not a whole and sound file of a version that this one knows.
 */
export const readWafer = (file: Uint8Array): WaferModel => readWhole(file).model!;

/** A file that was read to its end. Throws BAD_FILE as `readWafer` does. */
export function readWhole(file: Uint8Array): WaferReader {
  const reader = new WaferReader();
  reader.push(file);
  reader.end();
  return reader;
}

/** What `read` returns. In a packed head places have no offsets: its errors are where it begins. */
function unpacked<T>(isPacked: boolean, read: () => T): T {
  if (!isPacked) return read();
  try {
    return read();
  } catch (error) {
    if (!(error instanceof WaferError)) throw error;
    const { message, code, ...details } = error.toJSON();
    throw new WaferError(code, message, { ...details, offset: HEADER_BYTES });
  }
}

/** The model, the sections of which lie in `head`, and the blobs of its constants, which may not have arrived in `file`. */
function readModel(
  file: Uint8Array,
  head: Uint8Array,
  sections: readonly Section[],
  version: number,
): { model: WaferModel; blobs: readonly Blob[] } {
  const within = <T>(name: SectionName, read: (from: Cursor) => T): T | undefined => {
    const section = sections.find((s) => s.name === name);
    if (!section) return undefined;
    const from = new Cursor(name === 'weights' ? file : head, section.offset, section.offset + section.bytes);
    const value = read(from);
    from.done();
    return value;
  };
  const field = <const F extends Field>(name: SectionName, f: F) => within(name, (from): Of<F> => from.read(f));
  const need = <T>(name: SectionName, value: T | undefined): T => {
    if (value === undefined) throw badFile(`section ${TAGS[name]} is missing`, 0);
    return value;
  };

  const names = field('origins', ORIGINS);
  const stored = need('tensors', field('tensors', TENSORS));
  const blobs = need(
    'weights',
    within('weights', (from) => placeBlobs(stored.blobs, from, version)),
  );
  const { graph, origins } = need(
    'graph',
    within('graph', (from) => readGraph(from, stored.tensors, blobs, names)),
  );
  const provenance = need('provenance', field('provenance', PROVENANCE));
  const labels = field('labels', LABELS);
  const processing = within('processing', (from) => {
    const read = from.read(PROCESSING);
    for (const image of read.images ?? []) checkImage(image, graph, from);
    return read;
  });
  const goldens = within('goldens', (from) => from.read(GOLDENS).map((golden) => checkedGolden(golden, graph, from)));
  const model = {
    graph,
    provenance: { ...provenance, metrics: Object.fromEntries(provenance.metrics) },
    ...(labels && { labels }),
    ...processing,
    goldens: goldens ?? [],
    ...(origins && { origins }),
  };
  return { model, blobs };
}

/** The graph, and its values' origins when there are names. */
function readGraph(from: Cursor, tensors: Of<typeof TENSORS>['tensors'], blobs: readonly Blob[], names: Names | undefined) {
  const build = new Builder();
  from.strings = from.read(GRAPH.strings);
  const inputs = from.read(GRAPH.inputs);
  const nodeNames = names?.nodes.map((n) => n.name) ?? [];
  const tensorNames = names ? [...names.nodes.flatMap((n) => n.tensors), ...names.tensors] : [];
  distinct([...inputs.map((x) => x.name), ...nodeNames, ...tensorNames], from);
  const values = inputs.map(({ name, type }) => blamed({ offset: from.at }, () => build.input(name, checkedType(type, from))));
  const constants = tensors.map(({ blob, shape, quant }, i) => {
    const { dtype, data } = blobs[blob] ?? from.fail(`tensor ${i} is in blob ${blob} of ${blobs.length}`);
    const type = checkedType({ dtype, shape, ...(quant && { quant }) }, from);
    if (elements(shape) !== data.length) from.fail(`tensor ${i}, ${typeText(type)}, has ${data.length} elements`);
    return build.constant(tensorNames[i] ?? `constant.${i}`, type, data);
  });
  const resolve = (ref: number): Value =>
    (ref % 2 ? values[values.length - (ref + 1) / 2] : constants[ref / 2 - 1]) ?? from.fail(`reference ${ref} leads nowhere`);

  const count = from.count();
  if (count > MAX_NODES) from.fail(`${count} nodes, more than ${MAX_NODES}`);
  for (let i = 0; i < count; i++) {
    const at = from.at;
    const code = from.uint();
    const op = OPS[code] ?? from.fail(`operator ${code} is unknown`, UPDATE);
    const name = nodeNames[i] ?? `${op.name}.${i}`;
    values.push(
      ...blamed({ node: nodeText({ op, name }), offset: at }, () => {
        const attrs = readAttrs(from, op.attrs);
        const operands = from.read(GRAPH.refs).map((ref) => (ref ? resolve(ref) : undefined));
        const outputs = build.add(op, name, operands, attrs);
        for (const { type } of outputs) checkedType(type, from);
        return outputs;
      }),
    );
  }
  const outputs = from.read(GRAPH.outputs).map(({ name, ref }) => ({ name, value: resolve(ref) }));
  distinct(
    outputs.map((o) => o.name),
    from,
  );
  const graph = build.finish(outputs);
  if (!names) return { graph };
  const listed = [...names.inputs, ...names.nodes.flatMap((n) => n.outputs)];
  if (nodeNames.length !== count || tensorNames.length !== constants.length || listed.length !== values.length)
    from.fail('names are missing or left over');
  const origins = new Map<string, Origin>();
  listed.forEach((origin, i) => origin && origins.set(values[i]!.name, origin));
  return { graph, origins };
}

function readAttrs(from: Cursor, schema: AttrSchema): Attrs {
  const attrs: Record<string, AttrValue> = {};
  const given = from.uint();
  const known = Object.entries(schema);
  if (given >= 2 ** known.length) from.fail('an attribute is unknown', UPDATE);
  known.forEach(([name, { kind, choices }], i) => {
    if (!((given >>> i) & 1)) return;
    const value = (from.field(ATTRS[kind]) ?? null) as AttrValue;
    if (choices && !choices.includes(value as string)) from.fail(`attribute "${name}" is "${value}"`, UPDATE);
    if (kind === 'steps') for (const { fn } of value as readonly Step[]) stepCode(fn);
    attrs[name] = value;
  });
  return attrs;
}

function checkedType(type: TensorType, from: Cursor): TensorType {
  if (type.shape.length > MAX_RANK) from.fail(`a tensor has ${type.shape.length} dimensions`);
  if (type.quant && type.dtype !== 'i8') from.fail(`${typeText(type)} has a quantisation, which i8 alone can have`);
  blamed({ offset: from.at }, () => checkSizes(type.shape));
  return type;
}

function distinct(names: readonly string[], from: Cursor): void {
  if (new Set(names).size !== names.length) from.fail('two values have one name');
}

function checkImage({ input, channels, mean, scale }: ImageProcessing, graph: Graph, from: Cursor): void {
  const count = channels === 'gray' ? 1 : 3;
  if (!graph.inputs.some((x) => x.name === input)) from.fail(`there is no input "${input}" for images`);
  if (mean.length !== count || scale.length !== count) from.fail(`images of ${count} channels need as many means and scales`);
  if (![...mean, ...scale].every(Number.isFinite)) from.fail('a mean or scale of an image is infinite');
}

type StoredGolden = Of<typeof GOLDENS>[number];

/** A golden run that fits the graph. */
function checkedGolden({ seed, bindings, outputs }: StoredGolden, graph: Graph, from: Cursor): Golden {
  return blamed({ offset: from.at }, () => {
    const drawn = graph.inputs.reduce((n, x) => n + elements(evaluateShape(x.type.shape, bindings)), 0);
    if (!(drawn <= MAX_GOLDEN_ELEMENTS)) from.fail(`a golden run with ${drawn} input elements`);
    return { seed, bindings, outputs: outputs.map((output) => checkedOutput(output, bindings, graph, from)) };
  });
}

function checkedOutput(
  stored: StoredGolden['outputs'][number],
  bindings: Golden['bindings'],
  graph: Graph,
  from: Cursor,
): GoldenOutput {
  const { name, dtype, shape, stride } = stored;
  const type = graph.outputs.find((o) => o.name === name)?.value.type;
  if (type?.dtype !== dtype || !sameShape(evaluateShape(type.shape, bindings), shape))
    from.fail(`golden output "${name}" ${typeText(stored)} is not what the graph makes`);
  const samples = viewOf(dtype, stored.samples.slice());
  if (stride === 0 || samples?.length !== Math.ceil(elements(shape) / stride))
    return from.fail(`golden output "${name}" has ${stored.samples.length} bytes of samples, one in ${stride}`);
  return { ...stored, samples };
}
