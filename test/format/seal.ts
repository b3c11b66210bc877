/** Takes files apart and puts them together with right checksums, so that tests reach the checks behind those. */
import { crc32 } from '../../src/core/crc';
import { alignUp, HEADER_BYTES, HEADER_BYTES_1, LETTERS, MAGIC, PACKED_HEAD, ROW_BYTES_1, TAGS } from '../../src/format/layout';
import { packBytes } from '../../src/format/lzWriter';
import { WaferReader } from '../../src/format/reader';
import { readHead, readHeader } from '../../src/format/sections';
import { Sink } from '../../src/format/sink';

export interface Part {
  tag: string;
  bytes: Uint8Array;
  encoding?: number;
}

/** The sections of a file of either version. */
export function unseal(file: Uint8Array): Part[] {
  const reader = new WaferReader();
  reader.push(file);
  reader.end();
  const head = file[4] === 1 ? file : readHead(file, readHeader(file)).bytes;
  return reader.sections.map(({ tag, offset, bytes }) => ({
    tag,
    bytes: (tag === TAGS.weights ? file : head).slice(offset, offset + bytes),
  }));
}

const letters = new Map(Object.entries(LETTERS).map(([name, letter]) => [TAGS[name as keyof typeof LETTERS], letter] as const));

/** A file of version 2, its head as it is. Sections of unknown tags begin with the tag's first letter. */
export function seal(parts: readonly Part[]): Uint8Array {
  const head = new Sink();
  let weights: Uint8Array = new Uint8Array();
  for (const { tag, bytes } of parts) {
    if (tag === TAGS.weights) weights = bytes;
    else {
      head.u8((letters.get(tag as 'GRPH') ?? tag).charCodeAt(0));
      head.uint(bytes.length);
      head.raw(bytes);
    }
  }
  return sealHead(head.bytes, weights);
}

/** A file of version 2 with a given head, packed or not. */
export function sealHead(head: Uint8Array, weights: Uint8Array, isPacked = false): Uint8Array {
  const to = new Sink();
  const total = HEADER_BYTES + head.length + weights.length;
  for (const word of [MAGIC, 2 | (isPacked ? PACKED_HEAD << 16 : 0), total, head.length, crc32(weights)]) to.u32(word);
  to.u32(crc32(head, crc32(to.bytes)));
  to.raw(head);
  to.raw(weights);
  return to.bytes.slice();
}

/** What a file of version 2 has as a packed head. */
export function packedHead(plain: Uint8Array, length = plain.length): Uint8Array {
  const to = new Sink();
  to.uint(length);
  to.raw(packBytes(plain));
  return to.bytes.slice();
}

/** A file of version 1. */
export function seal1(parts: readonly Part[]): Uint8Array {
  let end = HEADER_BYTES_1 + parts.length * ROW_BYTES_1 + 4;
  const offsets = parts.map(({ bytes }) => {
    const offset = alignUp(end);
    end = offset + bytes.length;
    return offset;
  });
  const file = new Uint8Array(end);
  const words: number[] = [MAGIC, 1, end, parts.length];
  parts.forEach(({ tag, bytes, encoding = 0 }, i) => {
    const code = [...tag].reduce((sum, c, k) => sum + c.charCodeAt(0) * 256 ** k, 0);
    words.push(code, encoding, offsets[i]!, bytes.length, crc32(bytes));
    file.set(bytes, offsets[i]);
  });
  new Uint32Array(file.buffer, 0, words.length).set(words);
  new Uint32Array(file.buffer, 0, words.length + 1)[words.length] = crc32(file.subarray(0, 4 * words.length));
  return file;
}
