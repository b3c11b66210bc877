/** What takes the bytes of a .wafer file. */
import type { DType } from '../../core/dtype';
import { Cursor } from '../../format/cursor';
import { type Encoding, TENSORS } from '../../format/layout';
import { readSections } from '../../format/reader';

export interface EncodedSize {
  dtype: DType;
  encoding: Encoding;
  tensors: number;
  elements: number;
  bytes: number;
}

/** By type and encoding, the largest first; tensors with equal elements are stored, and counted, once. Throws BAD_FILE. */
export function encodedSizes(file: Uint8Array): EncodedSize[] {
  const { offset, bytes } = readSections(file).find(({ name }) => name === 'tensors')!;
  const { blobs } = new Cursor(file, offset, offset + bytes).read(TENSORS);
  const sizes = new Map<string, EncodedSize>();
  for (const { dtype, encoding, elements, bytes } of blobs) {
    const key = `${dtype} ${encoding}`;
    const size = sizes.get(key) ?? { dtype, encoding, tensors: 0, elements: 0, bytes: 0 };
    sizes.set(key, size);
    size.tensors++;
    size.elements += elements;
    size.bytes += bytes;
  }
  return [...sizes.values()].sort((a, b) => b.bytes - a.bytes);
}
