/**
 * Functions on the way out of a product of levels. Its sum is requantised to 16ths of a level of `middle`, looked up in a
 * table of 16 bits, multiplied by a factor of its channel and rounded once: the function of any sum, in integers.
 */
import { WaferError } from '../core/errors';
import type { Quant } from '../core/shape';

/** The sum is requantised to 2^FINE_BITS steps a level. */
export const FINE_BITS = 4;
export const FINE = 2 ** FINE_BITS;
/** Binary places of a table's entries. */
export const ENTRY_BITS = 7;

/**
 * The entry for a step between levels, in a straight line from one level's to the next's. `knots`, u8[256, 2]: for each
 * level + 128 the low and the high byte of an entry. `place`: FINE * (level + 128), to FINE * 255.
 */
export function entryOf(knots: ArrayLike<number>, place: number): number {
  const knot = (i: number) => ((knots[2 * i]! | (knots[2 * i + 1]! << 8)) << 16) >> 16;
  const [i, part] = [place >> FINE_BITS, place & (FINE - 1)];
  return part ? ((FINE - part) * knot(i) + part * knot(i + 1) + FINE / 2) >> FINE_BITS : knot(i);
}

/** The level of an entry: entry * factor * 2^-places + zero, rounded and clamped. */
export function levelOfEntry(entry: number, factor: number, places: number, { zero }: Quant): number {
  const level = Math.floor((entry * factor + 2 ** (places - 1)) / 2 ** places) + zero;
  return Math.min(Math.max(level, -128), 127);
}

/** A table as kernels read it: places, the output's zero point (as a byte) and rounding, two words unused, entries. */
export function kernelTable(knots: ArrayLike<number>, places: number, { zero }: Quant): Int32Array {
  const count = 1 + FINE * 255;
  const words = new Int32Array(4 + Math.ceil(count / 2));
  words[0] = places;
  words[1] = (zero + 128) * 2 ** places + 2 ** (places - 1);
  const entries = new Int16Array(words.buffer, 16);
  for (let place = 0; place < count; place++) entries[place] = entryOf(knots, place);
  return words;
}

/** Throws VALUE when kernels could leave 32 bits. */
export function checkFactors(factors: ArrayLike<number> | undefined, places: number): void {
  const fail = (what: string): never => {
    throw new WaferError('VALUE', what, { hint: 'the file was not made by this packer, or its quantisation is broken' });
  };
  if (!Number.isInteger(places) || places < 1 || places > 22) fail(`${places} places of the factors are not in 1..22`);
  for (let i = 0; factors && i < factors.length; i++)
    if (!(factors[i]! >= 1 && factors[i]! <= 32767)) fail(`factor ${factors[i]} of channel ${i} is not in 1..32767`);
}
