/** The writing half of lz.ts, for the packer only. */
import { BitWriter } from './bitWriter';
import { type Item, Items, MIN_COPY } from './lz';

/** How many earlier places that begin alike are looked at. */
const DEPTH = 64;

/** The code of `bytes`, for `unpack`. */
export function packBytes(bytes: Uint8Array): Uint8Array {
  const to = new BitWriter();
  const items = new Items();
  const places = new Map<number, number[]>();
  let indexed = 0;
  let last = 0;
  /** The copy that is worth most beginning at `at`, if any is. */
  const best = (at: number) => {
    let found: { length: number; distance: number; worth: number } | undefined;
    const look = (distance: number) => {
      if (distance < 1 || distance > at) return;
      let length = 0;
      while (at + length < bytes.length && bytes[at + length] === bytes[at + length - distance]) length++;
      const isAgain = distance === last;
      if (length < (isAgain ? 1 : MIN_COPY)) return;
      const worth = 5 * length - (isAgain ? 3 : 9 + Math.log2(distance));
      if (worth > (found?.worth ?? 0)) found = { length, distance, worth };
    };
    look(last);
    for (const place of (places.get(key(bytes, at)) ?? []).slice(-DEPTH)) look(at - place);
    return found as { length: number; distance: number; worth: number } | undefined;
  };
  for (let at = 0; at < bytes.length; ) {
    for (; indexed < at; indexed++) {
      const k = key(bytes, indexed);
      const known = places.get(k);
      if (known) known.push(indexed);
      else places.set(k, [indexed]);
    }
    const copy = best(at);
    const isWorthIt = copy && copy.length + 1 >= (best(at + 1)?.length ?? 0);
    const item: Item = isWorthIt ? { length: copy.length, distance: copy.distance } : { byte: bytes[at]! };
    items.code(to, item);
    if ('byte' in item) at++;
    else {
      at += item.length;
      last = item.distance;
    }
  }
  return to.end();
}

/** The first MIN_COPY bytes, as a number. */
const key = (bytes: Uint8Array, at: number): number =>
  at + MIN_COPY > bytes.length ? -1 : (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
