/** Takes files apart and puts them together with right checksums, so that tests reach the checks behind those. */
import { crc32 } from '../../src/core/crc';
import { alignUp, HEADER_BYTES, MAGIC, ROW_BYTES, VERSION } from '../../src/format/layout';
import { readSections } from '../../src/format/reader';

export interface Part {
  tag: string;
  bytes: Uint8Array;
  encoding?: number;
}

export const unseal = (file: Uint8Array): Part[] =>
  readSections(file).map(({ tag, offset, bytes }) => ({ tag, bytes: file.slice(offset, offset + bytes) }));

export function seal(parts: readonly Part[]): Uint8Array {
  let end = HEADER_BYTES + parts.length * ROW_BYTES + 4;
  const offsets = parts.map(({ bytes }) => {
    const offset = alignUp(end);
    end = offset + bytes.length;
    return offset;
  });
  const file = new Uint8Array(end);
  const words: number[] = [MAGIC, VERSION, end, parts.length];
  parts.forEach(({ tag, bytes, encoding = 0 }, i) => {
    const code = [...tag].reduce((sum, c, k) => sum + c.charCodeAt(0) * 256 ** k, 0);
    words.push(code, encoding, offsets[i]!, bytes.length, crc32(bytes));
    file.set(bytes, offsets[i]);
  });
  new Uint32Array(file.buffer, 0, words.length).set(words);
  new Uint32Array(file.buffer, 0, words.length + 1)[words.length] = crc32(file.subarray(0, 4 * words.length));
  return file;
}
