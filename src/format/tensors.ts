/** Decodes stored tensors. Raw ones are views of the file; nothing is allocated that the file's length does not justify. */
import { allocate, DTYPES, type DType, sizeOf, type TypedArray } from '../core/dtype';
import { badFile, Cursor } from './cursor';
import { alignUp, type Encoding, MAX_FILL_BYTES, type Of, type TENSORS } from './layout';

type Blob = Of<typeof TENSORS>['blobs'][number];

/** The elements of each blob, from the weights section. Throws BAD_FILE. */
export function readBlobs(blobs: readonly Blob[], from: Cursor): TypedArray[] {
  let fillBytes = 0;
  const arrays = blobs.map(({ dtype, encoding, elements, bytes }) => {
    if (encoding === 'raw') from.at = Math.min(alignUp(from.at), from.end);
    const at = from.take(bytes);
    if (encoding === 'fill' && (fillBytes += sizeOf(dtype) * elements) > MAX_FILL_BYTES)
      from.fail(`uniform tensors take more than ${MAX_FILL_BYTES} bytes`);
    const array = decode(dtype, encoding, elements, new Cursor(from.bytes, at, from.at));
    if (dtype === 'bool' && array.some((b) => b > 1)) throw badFile('a bool is neither 0 nor 1', at);
    return array;
  });
  from.done();
  return arrays;
}

function decode(dtype: DType, encoding: Encoding, elements: number, from: Cursor): TypedArray {
  switch (encoding) {
    case 'raw':
      return raw(dtype, elements, from);
    case 'fill':
      return allocate(dtype, elements).fill(raw(dtype, 1, from)[0]!);
    case 'varint':
    case 'delta':
      return integers(dtype, elements, from, encoding === 'delta');
  }
}

function raw(dtype: DType, elements: number, from: Cursor): TypedArray {
  const array = viewOf(dtype, from.bytes.subarray(from.at, from.end));
  return array?.length === elements ? array : from.fail(`${elements} elements of type ${dtype} do not take ${from.left} bytes`);
}

/** `bytes` as elements: a view where their address allows one, else a copy. Undefined when they are no whole number of elements. */
export function viewOf(dtype: DType, bytes: Uint8Array): TypedArray | undefined {
  const { array, bytes: size } = DTYPES[dtype];
  if (bytes.length % size) return undefined;
  const { buffer, byteOffset } = bytes.byteOffset % size ? bytes.slice() : bytes;
  return new array(buffer, byteOffset, bytes.length / size);
}

function integers(dtype: DType, elements: number, from: Cursor, delta: boolean): Int32Array {
  if (dtype !== 'i32') from.fail(`${dtype} elements cannot be stored as varints`);
  if (elements > from.left) from.fail(`${elements} elements cannot be in ${from.left} bytes`);
  const array = allocate('i32', elements) as Int32Array;
  let last = 0;
  for (let i = 0; i < elements; i++) {
    const value = from.int();
    if (value !== (value | 0)) from.fail(`${value} is no 32-bit integer`);
    array[i] = last = delta ? (last + value) | 0 : value;
  }
  from.done();
  return array;
}
