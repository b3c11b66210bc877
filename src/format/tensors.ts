/**
 * Decodes stored tensors. Raw ones are views of the file; nothing is allocated that the file's length does not justify. Arrays are
 * there before the bytes are: the graph is known first.
 */
import { allocate, DTYPES, type DType, sizeOf, type TypedArray } from '../core/dtype';
import { badFile, Cursor } from './cursor';
import { alignUp, MAX_FILL_BYTES, type Of, type TENSORS } from './layout';

type Stored = Of<typeof TENSORS>['blobs'][number];

/** A blob, its place in the file, and the array for its elements, which `decode` completes. */
export interface Blob extends Stored {
  at: number;
  end: number;
  data: TypedArray;
}

/** Blobs without elements yet, but that raw ones see whatever is in `from`, the weights section. Throws BAD_FILE. */
export function placeBlobs(stored: readonly Stored[], from: Cursor): Blob[] {
  let fillBytes = 0;
  const placed = stored.map((blob) => {
    const { dtype, encoding, elements, bytes } = blob;
    if (encoding === 'raw') from.at = Math.min(alignUp(from.at), from.end);
    const at = from.take(bytes);
    if (encoding === 'fill' && (fillBytes += sizeOf(dtype) * elements) > MAX_FILL_BYTES)
      from.fail(`uniform tensors take more than ${MAX_FILL_BYTES} bytes`);
    return { ...blob, at, end: from.at };
  });
  from.done();
  return placed.map((blob) => ({ ...blob, data: arrayFor(blob, from.bytes.subarray(blob.at, blob.end), blob.at) }));
}

/** The array for the elements of a blob in `bytes`, which lie at `at` in the file. */
function arrayFor({ dtype, encoding, elements }: Stored, bytes: Uint8Array, at: number): TypedArray {
  const stored = encoding === 'raw' ? elements : 1;
  if (encoding === 'raw' || encoding === 'fill') {
    const view = viewOf(dtype, bytes);
    if (view?.length !== stored) throw badFile(`${stored} elements of type ${dtype} do not take ${bytes.length} bytes`, at);
    return encoding === 'raw' ? view : allocate(dtype, elements);
  }
  if (dtype !== 'i32') throw badFile(`${dtype} elements cannot be stored as varints`, at);
  if (elements > bytes.length) throw badFile(`${elements} elements cannot be in ${bytes.length} bytes`, at);
  return allocate(dtype, elements);
}

/** Completes the elements of a blob, which has arrived in `file`. Throws BAD_FILE. */
export function decode({ dtype, encoding, at, end, data }: Blob, file: Uint8Array): void {
  if (encoding === 'fill') data.fill(viewOf(dtype, file.subarray(at, end))![0]!);
  else if (encoding !== 'raw') decodeIntegers(data, new Cursor(file, at, end), encoding === 'delta');
  if (dtype === 'bool' && data.some((b) => b > 1)) throw badFile('a bool is neither 0 nor 1', at);
}

/** `bytes` as elements: a view where their address allows one, else a copy. Undefined when they are no whole number of elements. */
export function viewOf(dtype: DType, bytes: Uint8Array): TypedArray | undefined {
  const { array, bytes: size } = DTYPES[dtype];
  if (bytes.length % size) return undefined;
  const { buffer, byteOffset } = bytes.byteOffset % size ? bytes.slice() : bytes;
  return new array(buffer, byteOffset, bytes.length / size);
}

function decodeIntegers(data: TypedArray, from: Cursor, delta: boolean): void {
  let last = 0;
  for (let i = 0; i < data.length; i++) {
    const value = from.int();
    if (value !== (value | 0)) from.fail(`${value} is no 32-bit integer`);
    data[i] = last = delta ? (last + value) | 0 : value;
  }
  from.done();
}
