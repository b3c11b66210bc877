/** Encodes constants for the weights section: the packer's half of tensors.ts. */
import { crc32 } from '../core/crc';
import { bytesOf, DTYPES, type DType, sizeOf, type TypedArray } from '../core/dtype';
import { fromHalves, toHalves } from '../core/half';
import type { Value } from '../graph/ir';
import { MAX_LEARNT, Numbers } from './bits';
import { BitWriter } from './bitWriter';
import { ENCODINGS, type Encoding, MAX_EXTRA_BYTES, type Of, PALETTES, type TENSORS } from './layout';
import { Sink } from './sink';
import { encodeStream, shortest } from './streamWriter';
import { extraBytes, type Words, wordsOf } from './tensors';

type Blob = Of<typeof TENSORS>['blobs'][number];

export interface EncodedTensors {
  /** Distinct contents in order of first use. */
  blobs: readonly Blob[];
  /** For each constant, the index of its blob. */
  indices: readonly number[];
  /** What each blob is stored as. */
  contents: readonly Uint8Array[];
}

interface Encoded {
  encoding: Encoding;
  bytes: Uint8Array;
}

/** Arrays of more elements have no learnt bits, which take time to decode. */
const MAX_NUMBERS = 4096;
/** Bytes of more values gain nothing from a palette. */
const MAX_BYTE_VALUES = 64;
/** The least share of zeros that is worth leaving out. */
const MIN_ZEROS = 0.1;

/** Stores each distinct content once, in its smallest encoding. */
export function encodeTensors(constants: readonly Value[]): EncodedTensors {
  const blobs: Blob[] = [];
  const contents: Uint8Array[] = [];
  const alike = new Map<string, number[]>();
  const originals: Uint8Array[] = [];
  let extra = 0;
  const indices = constants.map(({ type: { dtype }, data }) => {
    const original = bytesOf(data!);
    const key = `${dtype} ${original.length} ${crc32(original)}`;
    const known = alike.get(key) ?? [];
    const found = known.find((i) => sameBytes(originals[i]!, original));
    if (found !== undefined) return found;
    alike.set(key, [...known, blobs.length]);
    originals.push(original);
    const elements = data!.length;
    const fits = ({ bytes }: Encoded) => extra + extraBytes({ dtype, elements, bytes: bytes.length }) <= MAX_EXTRA_BYTES;
    const { encoding, bytes } = smallest(encodings(dtype, data!).filter(fits));
    extra += extraBytes({ dtype, elements, bytes: bytes.length });
    contents.push(bytes);
    return blobs.push({ dtype, encoding, elements, bytes: bytes.length }) - 1;
  });
  return { blobs, indices, contents };
}

/** The first of the smallest. */
const smallest = (encoded: readonly Encoded[]): Encoded => encoded.reduce((a, b) => (b.bytes.length < a.bytes.length ? b : a));

/** Files are written more than once, and constants do not change. */
const memo = new WeakMap<TypedArray, Map<DType, Encoded[]>>();

function encodings(dtype: DType, data: TypedArray): Encoded[] {
  const known = memo.get(data) ?? new Map<DType, Encoded[]>();
  memo.set(data, known);
  const found = known.get(dtype) ?? encode(dtype, data);
  // All but raw and the smallest would only take memory.
  known.set(dtype, found.length > 2 ? [found[0]!, smallest(found)] : found);
  return known.get(dtype)!;
}

/** All encodings that an array has, the quickest to decode first. Each gives the array back, bit for bit. */
export function encode(dtype: DType, data: TypedArray, isNested = false): Encoded[] {
  const content = bytesOf(data);
  const size = sizeOf(dtype);
  const encoded: Encoded[] = [{ encoding: 'raw', bytes: content }];
  if (data.length < 2) return encoded;
  const add = (encoding: Encoding, bytes: Uint8Array | undefined) => bytes && encoded.push({ encoding, bytes });
  if (sameBytes(content.subarray(size), content.subarray(0, -size))) {
    add('fill', content.subarray(0, size));
    return encoded;
  }
  add('palette', encodePalette(dtype, data));
  add('half', encodeHalves(dtype, data));
  add('planes', encodePlanes(content, size, dtype === 'i8'));
  if (!isNested) {
    add('sparse', encodeSparse(dtype, data));
    add('shifted', encodeShifted(dtype, data));
  }
  if (dtype === 'i32') for (const encoding of ['varint', 'delta'] as const) add(encoding, varints(data, encoding === 'delta'));
  if (data.length <= MAX_NUMBERS) add('numbers', encodeNumbers(dtype, data));
  return encoded;
}

function varints(data: TypedArray, delta: boolean): Uint8Array {
  const to = new Sink();
  let last = 0;
  for (const value of data) {
    to.int(delta ? (value - last) | 0 : value);
    last = value;
  }
  return to.bytes;
}

function encodePlanes(content: Uint8Array, size: number, isSigned: boolean): Uint8Array {
  const levels = { count: 256, group: 1, isSigned };
  if (size === 1) return encodeStream(content, levels);
  const to = new Sink();
  for (let i = 0; i < size; i++) {
    const stream = encodeStream(
      Uint8Array.from({ length: content.length / size }, (_, k) => content[k * size + i]!),
      levels,
    );
    if (i < size - 1) to.uint(stream.length);
    to.raw(stream);
  }
  return to.bytes;
}

/** Undefined unless all elements are 16-bit floats. */
function encodeHalves(dtype: DType, data: TypedArray): Uint8Array | undefined {
  if (dtype !== 'f32') return undefined;
  const halves = toHalves(data as Float32Array);
  return sameBytes(bytesOf(fromHalves(halves)), bytesOf(data)) ? encodePlanes(bytesOf(halves), 2, false) : undefined;
}

/** Undefined when there are more values than a palette holds. */
function encodePalette(dtype: DType, data: TypedArray): Uint8Array | undefined {
  // Floats are told apart by their bits.
  const keys = dtype === 'f32' ? new Int32Array(data.buffer, data.byteOffset, data.length) : data;
  const most = Math.min(data.length - 1, sizeOf(dtype) === 1 ? MAX_BYTE_VALUES : 256);
  const found = new Map<number, number>();
  for (let i = 0; i < keys.length; i++) {
    if (!found.has(keys[i]!)) found.set(keys[i]!, data[i]!);
    if (found.size > most) return undefined;
  }
  const entries = [...found].sort(([a, x], [b, y]) => x - y || a - b);
  const count = entries.length;
  const index = new Map(entries.map(([key], i) => [key, i]));
  const values = DTYPES[dtype].array === Float32Array ? Float32Array.from(entries, ([, x]) => x) : entries.map(([, x]) => x);
  if (dtype === 'f32') new Int32Array((values as Float32Array).buffer).set(entries.map(([key]) => key));
  const head = paletteOf(dtype, values);
  const forms: Uint8Array[] = [];
  for (let group = 1; count ** group <= 256; group++) {
    const symbols = new Uint8Array(Math.ceil(data.length / group));
    for (let i = data.length - 1; i >= 0; i--) {
      const symbol = Math.floor(i / group);
      symbols[symbol] = symbols[symbol]! * count + index.get(keys[i]!)!;
    }
    const to = new Sink();
    to.raw(head);
    to.u8(group);
    to.raw(encodeStream(symbols, { count, group }));
    forms.unshift(to.bytes);
  }
  return shortest(forms);
}

function paletteOf(dtype: DType, values: ArrayLike<number>): Uint8Array {
  const to = new Sink();
  const begin = (form: (typeof PALETTES)[number]) => {
    to.u8(PALETTES.indexOf(form));
    to.u8(values.length - 1);
  };
  if (dtype === 'f32') {
    const floats = values as Float32Array;
    const halves = toHalves(floats);
    const isHalf = sameBytes(bytesOf(fromHalves(halves)), bytesOf(floats));
    begin(isHalf ? 'halves' : 'floats');
    to.raw(bytesOf(isHalf ? halves : floats));
  } else {
    const steps = Array.from({ length: values.length - 1 }, (_, i) => values[i + 1]! - values[i]!);
    const isEven = steps.every((step) => step === steps[0]);
    begin(isEven ? 'steps' : 'integers');
    to.int(values[0]!);
    for (const step of isEven ? steps.slice(0, 1) : steps) to.uint(step);
  }
  return to.bytes;
}

/** Undefined where there are few zeros. */
function encodeSparse(dtype: DType, data: TypedArray): Uint8Array | undefined {
  const keys = dtype === 'f32' ? new Int32Array(data.buffer, data.byteOffset, data.length) : data;
  // A code of bytes says single zeros as briefly as a mask does.
  const forms = (sizeOf(dtype) === 1 ? [4] : [4, 1]).flatMap((block) => {
    const mask = Uint8Array.from({ length: Math.ceil(data.length / block) }, (_, i) =>
      keys.subarray(block * i, block * (i + 1)).some((key) => key !== 0) ? 1 : 0,
    );
    const kept = mask.reduce((a, b) => a + b, 0);
    if (kept > (1 - MIN_ZEROS) * mask.length) return [];
    const values = new DTYPES[dtype].array(block * kept);
    let next = 0;
    mask.forEach((bit, i) => {
      if (bit) values.set(data.subarray(block * i, block * (i + 1)), block * next++);
    });
    const [where, what] = [smallest(encode('bool', mask, true)), smallest(encode(dtype, values, true))];
    const to = new Sink();
    to.u8(block);
    to.u8(ENCODINGS.indexOf(where.encoding));
    to.uint(where.bytes.length);
    to.raw(where.bytes);
    to.u8(ENCODINGS.indexOf(what.encoding));
    to.raw(what.bytes);
    return [to.bytes];
  });
  return forms.length ? shortest(forms) : undefined;
}

/** Undefined where there is nothing to shift. */
function encodeShifted(dtype: DType, data: TypedArray): Uint8Array | undefined {
  if (dtype !== 'i32') return undefined;
  const bits = (data as Int32Array).reduce((all, value) => all | value, 0);
  const places = 31 - Math.clz32(bits & -bits);
  if (places < 1) return undefined;
  const { encoding, bytes } = smallest(
    encode(
      'i32',
      data.map((value) => value >> places),
      true,
    ),
  );
  const to = new Sink();
  to.u8(places);
  to.u8(ENCODINGS.indexOf(encoding));
  to.raw(bytes);
  return to.bytes;
}

function encodeNumbers(dtype: DType, data: TypedArray): Uint8Array {
  const isPair = (dtype === 'u8' || dtype === 'i8') && data.length % 2 === 0 && data.byteOffset % 2 === 0;
  const forms = [sizeOf(dtype), ...(isPair ? [2] : [])].flatMap((size) =>
    [0, 1, 2].flatMap((order) => [2, MAX_LEARNT].map((learnt) => encodeWords(dtype, data, { size, order, learnt }))),
  );
  return shortest(forms);
}

function encodeWords(dtype: DType, data: TypedArray, { size, order, learnt }: Words): Uint8Array {
  const to = new BitWriter();
  const numbers = new Numbers(learnt, size === 1);
  const unused = 32 - 8 * size;
  let last = 0;
  let slope = 0;
  for (const word of wordsOf(data, size)) {
    const difference = ((word - last - slope) << unused) >> unused;
    numbers.code(
      to,
      dtype === 'f32' ? ((difference << 1) | (difference >>> 31)) >>> 0 : ((difference << 1) ^ (difference >> 31)) >>> 0,
    );
    if (order > 1) slope = word - last;
    if (order > 0) last = word;
  }
  const whole = new Sink();
  whole.u8(Math.log2(size) | (order << 2) | (learnt << 4));
  whole.raw(to.end());
  return whole.bytes;
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i]);
