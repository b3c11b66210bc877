/**
 * Functions on the way out of a product of levels, in integers. The sum is requantised to a place, in FINE steps a level of
 * `middle`; the function has an entry of 16 bits for each place; the entry is multiplied by a factor of its channel and
 * rounded once. Entries stand in a table, or for hard swish are computed, which takes a fraction of the time.
 */
import { WaferError } from '../core/errors';
import type { Quant } from '../core/shape';

/** The sum is requantised to 2^FINE_BITS steps a level. */
export const FINE_BITS = 4;
export const FINE = 2 ** FINE_BITS;
/** Binary places of a table's entries. */
export const ENTRY_BITS = 7;

/** Places lie between 0, for the lowest level, and this. */
const LAST = FINE * 255;

/** What a product's inputs and attributes say of its curve. */
export interface Curve {
  /** u8[256, 2]: for each level + 128 the low and the high byte of an entry. */
  table: ArrayLike<number> | undefined;
  /** Half, offset and drop: with q the place from zero's, an entry is (q * clamp(q + half, 0, 2 * half) + offset) >> drop. */
  swish: readonly number[];
  /** What places are steps of. */
  middle: Quant;
  /** Binary places of entry * factor. */
  places: number;
}

/** The entry at a place; a table's are in a straight line from one level's to the next's. */
export function entryOf({ table, swish, middle }: Curve, place: number): number {
  if (!table) {
    const [half, offset, drop] = swish as [number, number, number];
    const q = place - placeOf(middle);
    const entry = (q * Math.min(Math.max(q + half, 0), 2 * half) + offset) >> drop;
    return Math.min(Math.max(entry, -32768), 32767);
  }
  const knot = (i: number) => ((table[2 * i]! | (table[2 * i + 1]! << 8)) << 16) >> 16;
  const [i, part] = [place >> FINE_BITS, place & (FINE - 1)];
  return part ? ((FINE - part) * knot(i) + part * knot(i + 1) + FINE / 2) >> FINE_BITS : knot(i);
}

const placeOf = ({ zero }: Quant): number => FINE * (zero + 128);

/** The level of an entry: entry * factor * 2^-places + zero, rounded and clamped. */
export function levelOfEntry(entry: number, factor: number, places: number, { zero }: Quant): number {
  const level = Math.floor((entry * factor + 2 ** (places - 1)) / 2 ** places) + zero;
  return Math.min(Math.max(level, -128), 127);
}

/** The curve as kernels read it: assembly/requant.ts. */
export function kernelCurve(curve: Curve, { zero }: Quant): Int32Array {
  const { table, swish, middle, places } = curve;
  const [half, offset, drop] = table ? [0, 0, 0] : (swish as [number, number, number]);
  const count = table ? 1 + LAST : 0;
  const words = new Int32Array(8 + Math.ceil(count / 2));
  words.set([places, (zero + 128) * 2 ** places + 2 ** (places - 1), half, placeOf(middle), offset, drop]);
  const entries = new Int16Array(words.buffer, 32);
  for (let place = 0; place < count; place++) entries[place] = entryOf(curve, place);
  return words;
}

/** The largest `half`: what is added and doubled stays within 16 bits. */
export const MOST_HALF = 14000;

/** Throws VALUE when kernels could leave 16 or 32 bits. `factors`: by channel, 1 where there are none. */
export function checkCurve({ table, swish, places }: Curve, factors: ArrayLike<number> | undefined): void {
  if (!isWithin(places, 1, 22)) fail(`${places} places of the factors are not in 1..22`);
  for (let i = 0; factors && i < factors.length; i++)
    if (!isWithin(factors[i]!, 1, 32767)) fail(`factor ${factors[i]} of channel ${i} is not in 1..32767`);
  if (table) return;
  const [half, offset, drop] = swish as [number, number, number];
  if (swish.length !== 3 || !isWithin(half, 1, MOST_HALF) || !isWithin(offset, -(2 ** 30), 2 ** 30) || !isWithin(drop, 1, 31))
    fail(`a swish of [${swish}] is not within [1..${MOST_HALF}, -2^30..2^30, 1..31]`);
}

const isWithin = (x: number, low: number, high: number): boolean => Number.isInteger(x) && x >= low && x <= high;

function fail(what: string): never {
  throw new WaferError('VALUE', what, { hint: 'the file was not made by this packer, or its quantisation is broken' });
}
