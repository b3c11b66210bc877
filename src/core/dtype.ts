/** Element types of tensors. `i8` is the quantised activation and weight type: a level, read as (level - zero) * scale. */
import { WaferError } from './errors';

export type DType = 'f32' | 'i32' | 'i8' | 'u8' | 'bool';

export type TypedArray = Float32Array | Int32Array | Int8Array | Uint8Array;

interface DTypeInfo {
  /** Number stored in a `.wafer` file. Append only. */
  code: number;
  bytes: 1 | 4;
  array: { new (length: number): TypedArray; new (buffer: ArrayBufferLike, offset?: number, length?: number): TypedArray };
}

export const DTYPES: Readonly<Record<DType, DTypeInfo>> = {
  f32: { code: 0, bytes: 4, array: Float32Array },
  i32: { code: 1, bytes: 4, array: Int32Array },
  i8: { code: 2, bytes: 1, array: Int8Array },
  u8: { code: 3, bytes: 1, array: Uint8Array },
  /** One byte, 0 or 1. */
  bool: { code: 4, bytes: 1, array: Uint8Array },
};

export const sizeOf = (dtype: DType): number => DTYPES[dtype].bytes;

/** An array's elements as bytes, little-endian as on every machine that runs browsers: a view. */
export const bytesOf = (array: ArrayBufferView): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** Zeros. Throws MEMORY where so many cannot be had. */
export function allocate(dtype: DType, elements: number): TypedArray {
  try {
    return new DTYPES[dtype].array(elements);
  } catch {
    throw new WaferError('MEMORY', `no memory for ${elements} elements of type ${dtype}`);
  }
}

/** The dtype that a typed array carries by itself; `bool` is never inferred. Throws DTYPE for arrays Wafer does not take. */
export function dtypeOf(array: ArrayBufferView): DType {
  if (array instanceof Float32Array) return 'f32';
  if (array instanceof Int32Array) return 'i32';
  if (array instanceof Int8Array) return 'i8';
  if (array instanceof Uint8Array || array instanceof Uint8ClampedArray) return 'u8';
  throw new WaferError('DTYPE', `expected a Float32Array, Int32Array, Int8Array or Uint8Array, got ${array.constructor.name}`, {
    hint: 'convert it, as in Float32Array.from(data)',
  });
}
