/**
 * The code of a file's head, which is small and repeats itself: bytes, and copies of what came before, all in learnt bits (bits.ts).
 */
import { BitReader, Chances, type Coder, Numbers, Tree } from './bits';

/** The shortest copy from a new distance; one from the distance of the copy before may have a single byte. */
export const MIN_COPY = 3;

/** A copy of `length` bytes from `distance` bytes back, or a byte. */
export type Item = { readonly length: number; readonly distance: number } | { readonly byte: number };

/** What is known of the items so far. */
export class Items {
  private readonly kinds = new Chances(4);
  private readonly again = new Chances(4);
  private readonly bytes = new Tree(8);
  private readonly lengths = [new Numbers(2), new Numbers(2)] as const;
  /** By length: the shorter a copy, the nearer is what it copies. */
  private readonly distances = Array.from({ length: 4 }, () => new Numbers(2));
  /** Bit 0: the item before was a copy; bit 1: so was the one before that. */
  private before = 0;
  private distance = 0;

  code(coder: Coder, item?: Item): Item {
    const copy = item && 'length' in item ? item : undefined;
    const isCopy = this.kinds.code(coder, copy ? 1 : 0, this.before);
    const { before } = this;
    this.before = ((before << 1) | isCopy) & 3;
    if (!isCopy) return { byte: this.bytes.code(coder, item && 'byte' in item ? item.byte : 0) };
    const isAgain = this.again.code(coder, copy?.distance === this.distance ? 1 : 0, before);
    const least = isAgain ? 1 : MIN_COPY;
    const length = least + this.lengths[isAgain ? 1 : 0].code(coder, copy ? copy.length - least : 0);
    if (!isAgain) {
      const distances = this.distances[Math.min(3, length - MIN_COPY)]!;
      this.distance = 1 + distances.code(coder, copy ? copy.distance - 1 : 0);
    }
    return { length, distance: this.distance };
  }
}

/** Fills `to` from `packed`; false when that is damaged. */
export function unpack(packed: Uint8Array, to: Uint8Array): boolean {
  const reader = new BitReader(packed);
  const items = new Items();
  for (let at = 0; at < to.length; ) {
    const item = items.code(reader);
    if ('byte' in item) to[at++] = item.byte;
    else {
      if (item.distance > at || item.length > to.length - at) return false;
      for (const end = at + item.length; at < end; at++) to[at] = to[at - item.distance]!;
    }
  }
  return reader.isDone;
}
