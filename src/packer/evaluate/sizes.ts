/** What takes the bytes of a .wafer file. */
import type { DType } from '../../core/dtype';
import type { Encoding } from '../../format/layout';
import { readWhole } from '../../format/reader';

export interface EncodedSize {
  dtype: DType;
  encoding: Encoding;
  tensors: number;
  elements: number;
  bytes: number;
}

/** By type and encoding, the largest first; tensors with equal elements are stored, and counted, once. Throws BAD_FILE. */
export function encodedSizes(file: Uint8Array): EncodedSize[] {
  const sizes = new Map<string, EncodedSize>();
  for (const { dtype, encoding, elements, bytes } of readWhole(file).blobs) {
    const key = `${dtype} ${encoding}`;
    const size = sizes.get(key) ?? { dtype, encoding, tensors: 0, elements: 0, bytes: 0 };
    sizes.set(key, size);
    size.tensors++;
    size.elements += elements;
    size.bytes += bytes;
  }
  return [...sizes.values()].sort((a, b) => b.bytes - a.bytes);
}
