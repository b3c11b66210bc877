/** Encodes constants for the weights section: the packer's half of tensors.ts. */
import { crc32 } from '../core/crc';
import { bytesOf, type DType, sizeOf, type TypedArray } from '../core/dtype';
import type { Value } from '../graph/ir';
import { type Encoding, MAX_FILL_BYTES, type Of, type TENSORS } from './layout';
import { Sink } from './sink';

type Blob = Of<typeof TENSORS>['blobs'][number];

export interface EncodedTensors {
  /** Distinct contents in order of first use. */
  blobs: readonly Blob[];
  /** For each constant, the index of its blob. */
  indices: readonly number[];
  /** The weights section. */
  weights: Uint8Array;
}

/** Stores each distinct content once, in its smallest encoding. */
export function encodeTensors(constants: readonly Value[]): EncodedTensors {
  const blobs: Blob[] = [];
  const contents: Uint8Array[] = [];
  const weights = new Sink();
  const alike = new Map<string, number[]>();
  let fillBytes = 0;
  const indices = constants.map(({ type: { dtype }, data }) => {
    const content = bytesOf(data!);
    const key = `${dtype} ${content.length} ${crc32(content)}`;
    const known = alike.get(key) ?? [];
    const found = known.find((i) => sameBytes(contents[i]!, content));
    if (found !== undefined) return found;
    alike.set(key, [...known, blobs.length]);
    contents.push(content);
    const mayFill = fillBytes + content.length <= MAX_FILL_BYTES;
    const { encoding, bytes } = smallest(dtype, data!, content, mayFill);
    if (encoding === 'fill') fillBytes += content.length;
    if (encoding === 'raw') weights.align();
    weights.raw(bytes);
    return blobs.push({ dtype, encoding, elements: data!.length, bytes: bytes.length }) - 1;
  });
  return { blobs, indices, weights: weights.bytes };
}

function smallest(
  dtype: DType,
  data: TypedArray,
  content: Uint8Array,
  mayFill: boolean,
): { encoding: Encoding; bytes: Uint8Array } {
  const size = sizeOf(dtype);
  if (mayFill && data.length > 1 && sameBytes(content.subarray(size), content.subarray(0, -size)))
    return { encoding: 'fill', bytes: content.subarray(0, size) };
  let best: { encoding: Encoding; bytes: Uint8Array } = { encoding: 'raw', bytes: content };
  if (dtype === 'i32')
    for (const encoding of ['varint', 'delta'] as const) {
      const bytes = integers(data, encoding === 'delta');
      if (bytes.length < best.bytes.length) best = { encoding, bytes };
    }
  return best;
}

function integers(data: TypedArray, delta: boolean): Uint8Array {
  const to = new Sink();
  let last = 0;
  for (const value of data) {
    to.int(delta ? (value - last) | 0 : value);
    last = value;
  }
  return to.bytes;
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i]);
