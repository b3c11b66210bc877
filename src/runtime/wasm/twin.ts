/** The shared twin of a binary: the same kernels over memory that several threads may have. It is made where it is used. */
import { invariant } from '../../core/errors';

const IMPORTS = 2;
const FUNCTION_KIND = 0;
const MEMORY_KIND = 2;
/** Limits with a maximum, of memory that is shared. */
const SHARED = 3;
/** 65536 pages, 4 GiB: whatever maximum the memory itself has is within it. */
const MOST_PAGES = [0x80, 0x80, 0x04];

/** A copy of `binary` that imports its memory as shared. Its imports are functions and one memory, which is not shared. */
export function sharedTwin(binary: Uint8Array): Uint8Array<ArrayBuffer> {
  let at = 8;
  const number = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = binary[at++]!;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < binary.length) {
    const section = binary[at++]!;
    const sizeAt = at;
    const size = number();
    const start = at;
    if (section !== IMPORTS) {
      at = start + size;
      continue;
    }
    for (let left = number(); left > 0; left--) {
      for (let name = 0; name < 2; name++) {
        const length = number();
        at += length;
      }
      const kind = binary[at++];
      if (kind !== MEMORY_KIND) {
        invariant(kind === FUNCTION_KIND, () => `an import of kind ${kind}`);
        number();
        continue;
      }
      const flagsAt = at;
      invariant(binary[at++] === 0, () => 'the memory has a maximum');
      number();
      return Uint8Array.from([
        ...binary.subarray(0, sizeAt),
        ...encoded(size + MOST_PAGES.length),
        ...binary.subarray(start, flagsAt),
        SHARED,
        ...binary.subarray(flagsAt + 1, at),
        ...MOST_PAGES,
        ...binary.subarray(at),
      ]);
    }
  }
  throw new Error('the binary imports no memory');
}

/** A number as LEB128. */
function encoded(value: number): number[] {
  const bytes: number[] = [];
  for (; value > 0x7f; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return [...bytes, value];
}
