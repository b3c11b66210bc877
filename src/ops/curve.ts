/**
 * Functions on the way out of a product of levels, in integers. The sum is requantised to a place, in FINE steps a level of
 * `middle`; the function has an entry of 16 bits for each place; the entry times a factor of its channel is the level,
 * rounded once. Entries stand in a table, or for hard swish are computed, which takes a fraction of the time. Products of 16
 * bits are rounded as WASM's q15mulr_sat_s does it: (a * b + 2^14) >> 15.
 */
import { WaferError } from '../core/errors';
import type { Quant } from '../core/shape';

/** The sum is requantised to 2^FINE_BITS steps a level. */
export const FINE_BITS = 6;
export const FINE = 2 ** FINE_BITS;
/** A table has an entry for every 2^COARSE_BITS places. */
const COARSE_BITS = 2;
const STEPS_BITS = FINE_BITS - COARSE_BITS;

/** What a product's inputs and attributes say of its curve. */
export interface Curve {
  /** u8[256, 2]: for each level + 128 the low and the high byte of an entry. */
  table: ArrayLike<number> | undefined;
  /** Half, scale and offset: with q the place from zero's, an entry is q times scale * clamp(q + half, 0, 2 * half), plus offset. */
  swish: readonly number[];
  /** What places are steps of. */
  middle: Quant;
}

/** a * b * 2^-15, rounded half up. */
export const times15 = (a: number, b: number): number => (a * b + 2 ** 14) >> 15;

const clamp = (x: number, low: number, high: number): number => Math.min(Math.max(x, low), high);

/** The entry at a place, 0 to FINE * 255; a table's are in a straight line from one level's to the next's. */
export function entryOf({ table, swish, middle }: Curve, place: number): number {
  if (table) return between(table, place >> COARSE_BITS);
  const [half, scale, offset] = swish as [number, number, number];
  const q = place - placeOf(middle);
  return clamp(times15(q, scale * clamp(q + half, 0, 2 * half)) + offset, -32768, 32767);
}

function between(table: ArrayLike<number>, at: number): number {
  const steps = 2 ** STEPS_BITS;
  const [i, part] = [at >> STEPS_BITS, at & (steps - 1)];
  const from = knotOf(table, i);
  return part ? ((steps - part) * from + part * knotOf(table, i + 1) + steps / 2) >> STEPS_BITS : from;
}

const knotOf = (table: ArrayLike<number>, i: number): number => ((table[2 * i]! | (table[2 * i + 1]! << 8)) << 16) >> 16;

const placeOf = ({ zero }: Quant): number => FINE * (zero + 128);

/** The output's level for an entry. */
export const levelOfEntry = (entry: number, factor: number, { zero }: Quant): number =>
  clamp(times15(entry, factor) + zero, -128, 127);

/** The curve as kernels read it: assembly/requant.ts. */
export function kernelCurve({ table, swish, middle }: Curve, { zero }: Quant): Int32Array {
  const [half, scale, offset] = table ? [0, 0, 0] : (swish as [number, number, number]);
  const count = table ? 1 + (255 << STEPS_BITS) : 0;
  const words = new Int32Array(8 + Math.ceil(count / 2));
  words.set([half, placeOf(middle), scale, offset, zero + 128]);
  const entries = new Int16Array(words.buffer, 32);
  for (let at = 0; at < count; at++) entries[at] = between(table!, at);
  return words;
}

/** The curve as shaders/lib/requant.wgsl reads it: its uniforms, and the table's entries where there is one. */
export function shaderCurve(curve: Curve | undefined, { zero }: Quant) {
  if (!curve) return { uniforms: [0, 0, 0, 0, 0, 0], knots: undefined };
  const { table, swish, middle } = curve;
  const [half, scale, offset] = table ? [0, 0, 0] : (swish as [number, number, number]);
  return { uniforms: [table ? 1 : 2, half, placeOf(middle), scale, offset, zero], knots: table && (() => knotPairs(table)) };
}

/** In each word an entry of the table and in its upper half the next one. */
function knotPairs(table: ArrayLike<number>): Int32Array<ArrayBuffer> {
  return Int32Array.from({ length: 256 }, (_, i) => (knotOf(table, i) & 0xffff) | (knotOf(table, Math.min(i + 1, 255)) << 16));
}

/** Throws VALUE when kernels could leave 16 bits. `factors`: by channel, or one for all. */
export function checkCurve({ table, swish }: Curve, factors: ArrayLike<number>): void {
  for (let i = 0; i < factors.length; i++)
    if (!isWithin(factors[i]!, 1, 32767)) fail(`factor ${factors[i]} of channel ${i} is not in 1..32767`);
  if (table) return;
  const [half, scale, offset] = swish as [number, number, number];
  const fits = isWithin(half, 1, 16383) && isWithin(scale, 1, 32767) && 2 * half * scale <= 32767;
  if (swish.length !== 3 || !fits || !isWithin(offset, -32768, 32767)) fail(`a swish of [${swish}] does not fit 16 bits`);
}

const isWithin = (x: number, low: number, high: number): boolean => Number.isInteger(x) && x >= low && x <= high;

function fail(what: string): never {
  throw new WaferError('VALUE', what, { hint: 'the file was not made by this packer, or its quantisation is broken' });
}
