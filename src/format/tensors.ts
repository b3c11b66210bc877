/**
 * Decodes stored tensors. Large raw ones are views of the file; nothing is allocated that the file's length does not justify. Arrays
 * are there before the bytes are: the graph is known first.
 */
import { allocate, bytesOf, DTYPES, type DType, sizeOf, type TypedArray } from '../core/dtype';
import { fromHalves } from '../core/half';
import { BitReader, MAX_LEARNT, Numbers, Tree } from './bits';
import { badFile, Cursor } from './cursor';
import {
  ALIGNED_BYTES,
  alignUp,
  ENCODINGS,
  type Encoding,
  MAX_EXTRA_BYTES,
  MAX_GROWTH,
  MAX_LEARNT_ELEMENTS,
  type Of,
  PALETTES,
  STREAMS,
  type TENSORS,
} from './layout';
import { type Codec, codeRanks, frequencies, lanesOf, type Ranks, slotsOf, UNIT } from './rans';

type Stored = Of<typeof TENSORS>['blobs'][number];

/** A blob, its place in the file, and the array for its elements, which `decode` completes. */
export interface Blob extends Stored {
  at: number;
  end: number;
  data: TypedArray;
}

/** What a blob counts for MAX_EXTRA_BYTES. */
export const extraBytes = ({ dtype, elements, bytes }: Pick<Stored, 'dtype' | 'elements' | 'bytes'>): number =>
  Math.max(0, sizeOf(dtype) * elements - MAX_GROWTH * bytes);

/** Whether a blob begins at a multiple of ALIGNMENT. */
export const isAligned = ({ encoding, bytes }: Pick<Stored, 'encoding' | 'bytes'>, version: number): boolean =>
  encoding === 'raw' && (version === 1 || bytes >= ALIGNED_BYTES);

/** Blobs without elements yet, but that views see whatever is in `from`, the weights section. Throws BAD_FILE. */
export function placeBlobs(stored: readonly Stored[], from: Cursor, version: number): Blob[] {
  let extra = 0;
  const placed = stored.map((blob) => {
    if (isAligned(blob, version)) from.at = Math.min(alignUp(from.at), from.end);
    const at = from.take(blob.bytes);
    if ((extra += extraBytes(blob)) > MAX_EXTRA_BYTES)
      from.fail(`tensors take ${MAX_EXTRA_BYTES} bytes more than can be in so small a file`);
    return { ...blob, at, end: from.at };
  });
  from.done();
  return placed.map((blob) => ({ ...blob, data: arrayFor(blob, from.bytes.subarray(blob.at, blob.end)) }));
}

/** The array for the elements of a blob in `bytes` of the file. */
function arrayFor({ dtype, encoding, elements, at }: Stored & { at: number }, bytes: Uint8Array): TypedArray {
  const { array, bytes: size } = DTYPES[dtype];
  if (encoding === 'raw' && elements * size !== bytes.length)
    throw badFile(`${elements} elements of type ${dtype} do not take ${bytes.length} bytes`, at);
  if ((encoding === 'varint' || encoding === 'delta') && elements > bytes.length)
    throw badFile(`${elements} elements cannot be in ${bytes.length} bytes`, at);
  const isView = encoding === 'raw' && bytes.byteOffset % size === 0;
  return isView ? new array(bytes.buffer, bytes.byteOffset, elements) : allocate(dtype, elements);
}

/** Completes the elements of a blob, which has arrived in `file`. Throws BAD_FILE. */
export function decode({ dtype, encoding, at, end, data }: Blob, file: Uint8Array, codec: Codec): void {
  if (data.buffer !== file.buffer) decodeElements(encoding, dtype, new Cursor(file, at, end), data, codec);
  if (dtype === 'bool' && data.some((b) => b > 1)) throw badFile('a bool is neither 0 nor 1', at);
}

/** `bytes` as elements: a view where their address allows one, else a copy. Undefined when they are no whole number of elements. */
export function viewOf(dtype: DType, bytes: Uint8Array): TypedArray | undefined {
  const { array, bytes: size } = DTYPES[dtype];
  if (bytes.length % size) return undefined;
  const { buffer, byteOffset } = bytes.byteOffset % size ? bytes.slice() : bytes;
  return new array(buffer, byteOffset, bytes.length / size);
}

/** Fills `data` from all that is left in `from`. */
function decodeElements(encoding: Encoding, dtype: DType, from: Cursor, data: TypedArray, codec: Codec): void {
  switch (encoding) {
    case 'raw':
    case 'fill': {
      const stored = viewOf(dtype, rest(from));
      if (stored?.length !== (encoding === 'raw' ? data.length : 1)) from.fail('a tensor has too few bytes, or too many');
      if (encoding === 'raw') data.set(stored!);
      else data.fill(stored![0]!);
      break;
    }
    case 'varint':
    case 'delta':
      if (dtype !== 'i32') from.fail(`${dtype} elements cannot be stored as varints`);
      decodeVarints(data, from, encoding === 'delta');
      break;
    case 'planes':
      decodePlanes(bytesOf(data), sizeOf(dtype), dtype === 'i8', from, codec);
      break;
    case 'half': {
      if (dtype !== 'f32') from.fail(`${dtype} elements cannot be stored as 16-bit floats`);
      const halves = new Uint16Array(data.length);
      decodePlanes(bytesOf(halves), 2, false, from, codec);
      data.set(fromHalves(halves));
      break;
    }
    case 'palette':
      decodePalette(dtype, data, from, codec);
      break;
    case 'sparse':
      decodeSparse(dtype, data, from, codec);
      break;
    case 'numbers':
      decodeNumbers(dtype, data, from);
      break;
    case 'shifted':
      if (dtype !== 'i32') from.fail(`${dtype} elements cannot be stored as shifted`);
      decodeShifted(data, from, codec);
      break;
  }
  from.done();
}

const rest = (from: Cursor): Uint8Array => {
  const at = from.take(from.left);
  return from.bytes.subarray(at, from.at);
};

function decodeVarints(data: TypedArray, from: Cursor, delta: boolean): void {
  let last = 0;
  for (let i = 0; i < data.length; i++) {
    const value = from.int();
    if (value !== (value | 0)) from.fail(`${value} is no 32-bit integer`);
    data[i] = last = delta ? (last + value) | 0 : value;
  }
}

/** Bytes 0, `size`, 2 `size` … of `bytes` are the first stream; each but the last begins with a uint, its length. */
function decodePlanes(bytes: Uint8Array, size: number, isSigned: boolean, from: Cursor, codec: Codec): void {
  const levels = { count: 256, group: 1, isSigned };
  const plane = size === 1 ? bytes : new Uint8Array(bytes.length / size);
  for (let i = 0; i < size; i++) {
    const length = i < size - 1 ? from.uint() : from.left;
    const at = from.take(length);
    decodeStream(new Cursor(from.bytes, at, from.at), plane, levels, codec);
    if (plane !== bytes) for (let k = 0; k < plane.length; k++) bytes[k * size + i] = plane[k]!;
  }
}

/** What the symbols of a stream are: `group` levels of `count`. */
export interface Levels {
  readonly count: number;
  readonly group: number;
  /** Ranks begin with that of 128: bytes are signed. */
  readonly isSigned?: boolean;
}

/** Fills `to` with symbols from all that is left in `from`. */
function decodeStream(from: Cursor, to: Uint8Array, levels: Levels, codec: Codec): void {
  const kind = STREAMS[from.u8()] ?? from.fail('unknown form of stream');
  if (kind === 'rans') {
    decodeRans(from, to, levels, codec);
    return;
  }
  const symbols = levels.count ** levels.group;
  if (kind === 'learnt') {
    if (to.length > MAX_LEARNT_ELEMENTS) from.fail(`${to.length} symbols in learnt bits`);
    const reader = new BitReader(rest(from));
    const tree = new Tree(symbolBits(symbols));
    for (let i = 0; i < to.length; i++) to[i] = tree.code(reader, 0);
    if (!reader.isDone) from.fail('learnt bits are missing or left over');
  } else {
    const bytes = rest(from);
    if (bytes.length !== (kind === 'fill' ? 1 : to.length)) from.fail(`${to.length} symbols are not in ${bytes.length} bytes`);
    if (kind === 'fill') to.fill(bytes[0]!);
    else to.set(bytes);
  }
  let most = 0;
  for (let i = 0; i < to.length; i++) if (to[i]! > most) most = to[i]!;
  if (most >= symbols) from.fail(`a symbol is ${most}, not among ${symbols}`);
}

/** Bits that tell `symbols` symbols apart. */
export const symbolBits = (symbols: number): number => 32 - Math.clz32(symbols - 1);

function decodeRans(from: Cursor, to: Uint8Array, { count, group, isSigned }: Levels, codec: Codec): void {
  const at = from.take(from.uint());
  const reader = new BitReader(from.bytes.subarray(at, from.at));
  const coded = codeRanks(reader, count);
  if (!coded || !reader.isDone) from.fail('the table of an entropy code is damaged');
  const found = frequencies(isSigned ? rotated(coded!) : coded!, group) ?? from.fail('an entropy code has one symbol');
  if (!codec.rans(rest(from), slotsOf(found), lanesOf(to.length), to)) from.fail('an entropy code is damaged');
}

/** Ranks by byte from ranks by signed number, or the other way round. */
export const rotated = ({ fineness, ranks }: Ranks): Ranks => ({ fineness, ranks: ranks.map((_, i) => ranks[i ^ 128]!) });

function decodePalette(dtype: DType, data: TypedArray, from: Cursor, codec: Codec): void {
  const form = PALETTES[from.u8()] ?? from.fail('unknown form of palette');
  const count = from.u8() + 1;
  if ((form === 'halves' || form === 'floats') !== (dtype === 'f32')) from.fail(`a palette of ${form} for ${dtype}`);
  const values = readPalette(form, dtype, count, from);
  const group = from.u8();
  if (!(group >= 1 && count >= 2 && count ** group <= 256)) from.fail(`${group} elements of ${count} values are no symbol`);
  const symbols = new Uint8Array(Math.ceil(data.length / group));
  decodeStream(from, symbols, { count, group }, codec);
  codec.expand(symbols, unitsOf(values, group), group * sizeOf(dtype), bytesOf(data));
}

function readPalette(form: (typeof PALETTES)[number], dtype: DType, count: number, from: Cursor): TypedArray {
  if (form === 'halves' || form === 'floats') {
    const at = from.take(count * (form === 'halves' ? 2 : 4));
    const stored = from.bytes.slice(at, from.at).buffer;
    return form === 'halves' ? fromHalves(new Uint16Array(stored)) : new Float32Array(stored);
  }
  const values = allocate(dtype, count);
  let value = from.int();
  const step = form === 'steps' ? from.uint() : 0;
  for (let i = 0; i < count; i++) {
    if (i) value += step || from.uint();
    values[i] = value;
    if (values[i] !== value) from.fail(`${value} is no ${dtype}`);
  }
  return values;
}

/** The bytes of the elements that each symbol stands for, for `expand`. */
function unitsOf(values: TypedArray, group: number): Uint8Array {
  const size = values.BYTES_PER_ELEMENT;
  const bytes = bytesOf(values);
  const units = new Uint8Array(256 * UNIT);
  for (let symbol = 0; symbol < values.length ** group; symbol++)
    for (let i = 0, left = symbol; i < group; i++, left = Math.floor(left / values.length)) {
      const value = (left % values.length) * size;
      units.set(bytes.subarray(value, value + size), symbol * UNIT + i * size);
    }
  return units;
}

function decodeSparse(dtype: DType, data: TypedArray, from: Cursor, codec: Codec): void {
  const block = from.u8();
  if (block !== 1 && block !== 4) from.fail(`blocks of ${block} elements`);
  const mask = new Uint8Array(Math.ceil(data.length / block));
  const encoding = nested(from);
  const at = from.take(from.uint());
  decodeElements(encoding, 'bool', new Cursor(from.bytes, at, from.at), mask, codec);
  let kept = 0;
  let all = 0;
  for (let i = 0; i < mask.length; i++) {
    kept += mask[i]!;
    all |= mask[i]!;
  }
  if (all > 1) from.fail('a mask is of neither 0 nor 1');
  const values = allocate(dtype, block * kept);
  decodeElements(nested(from), dtype, from, values, codec);
  scatter(mask, block, values, data);
}

/** `data` is zeros. */
function scatter(mask: Uint8Array, block: number, values: TypedArray, data: TypedArray): void {
  let next = 0;
  if (block === 1) {
    for (let i = 0; i < mask.length; i++) if (mask[i]) data[i] = values[next++]!;
    return;
  }
  // What a last block has too many is not written.
  for (let i = 0, at = 0; i < mask.length; i++, at += 4) {
    if (!mask[i]) continue;
    data[at] = values[next]!;
    data[at + 1] = values[next + 1]!;
    data[at + 2] = values[next + 2]!;
    data[at + 3] = values[next + 3]!;
    next += 4;
  }
}

function decodeShifted(data: TypedArray, from: Cursor, codec: Codec): void {
  const places = from.u8();
  if (places < 1 || places > 31) from.fail(`elements are shifted by ${places} bits`);
  decodeElements(nested(from), 'i32', from, data, codec);
  for (let i = 0; i < data.length; i++) data[i] = data[i]! << places;
}

/** An encoding within another, which has none within. */
function nested(from: Cursor): Encoding {
  const encoding = ENCODINGS[from.u8()];
  return encoding && encoding !== 'sparse' && encoding !== 'shifted' ? encoding : from.fail('unknown encoding');
}

/** How `numbers` sees words: bits 0 and 1 of the first byte, bits 2 and 3, bits 4 to 7. */
export interface Words {
  /** Bytes: 1, 2 or 4. */
  readonly size: number;
  /** 0: words; 1: differences from the word before; 2: of these, from the difference before. */
  readonly order: number;
  /** As `Numbers` takes it. */
  readonly learnt: number;
}

function decodeNumbers(dtype: DType, data: TypedArray, from: Cursor): void {
  const head = from.u8();
  const { size, order, learnt }: Words = { size: 1 << (head & 3), order: (head >> 2) & 3, learnt: head >> 4 };
  if (size > 4 || data.byteLength % size || order > 2 || learnt > MAX_LEARNT) from.fail('words of an unknown kind');
  if (data.length > MAX_LEARNT_ELEMENTS) from.fail(`${data.length} elements in learnt bits`);
  const words = wordsOf(data, size);
  const reader = new BitReader(rest(from));
  const numbers = new Numbers(learnt, size === 1);
  let last = 0;
  let slope = 0;
  for (let i = 0; i < words.length; i++) {
    const number = numbers.code(reader, 0);
    const difference = dtype === 'f32' ? (number >>> 1) | (number << 31) : (number >>> 1) ^ -(number & 1);
    words[i] = last + slope + difference;
    if (order > 1) slope = words[i]! - last;
    if (order > 0) last = words[i]!;
  }
  if (!reader.isDone) from.fail('learnt bits are missing or left over');
}

/** The same bytes as signed words. */
export function wordsOf(data: TypedArray, size: number): Int8Array | Int16Array | Int32Array {
  const array = size === 1 ? Int8Array : size === 2 ? Int16Array : Int32Array;
  return new array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength / size);
}
