/**
 * From i32 sums to levels: y = clamp((clamp(sum, lo, hi) * m + addend + offset) >> shift, low, high), in the form and
 * with the conditions of src/ops/requant.ts. A panel of 8 output channels has one block of parameters: 8 words each of
 * bias (the sum's initial value), m, lo and hi, and 8 factors of 16 bits. A `shift` of 0 stands for a float output
 * y = sum * m, with m in f32.
 *
 * With a `curve` (src/ops/curve.ts), what stands for y above is a place on it, which has an entry of 16 bits, and the level
 * is entry * factor * 2^-15 + zero. A curve begins with the words half, zero's place, scale, offset and zero. Entries of a
 * table follow at 32, one for 4 places; where `half` is not 0 they are computed instead.
 */
import { storeBytes } from './line';

/** Bytes of a panel's parameters. */
export const PANEL: usize = 144;

/** Binary places at which panels may be free of clamps; src/ops/requant.ts has it too. */
export const FREE_SHIFT: i32 = 18;

/** Whether no sum of the panel, times m, leaves 32 bits. Where it does, lo is never so low. */
@inline
export function isFree(params: usize): bool {
  return load<i32>(params, 64) == i32.MIN_VALUE;
}

/** Makes the panel free: its lo and hi clamp nothing. */
export function setFree(params: usize): void {
  const lo = i32x4.splat(i32.MIN_VALUE), hi = i32x4.splat(i32.MAX_VALUE);
  v128.store(params, lo, 64);
  v128.store(params, lo, 80);
  v128.store(params, hi, 96);
  v128.store(params, hi, 112);
}

/** The sum of a free panel before the shift. */
@inline
export function scale(sum: v128, m: v128, offset: v128): v128 {
  return i32x4.add(i32x4.mul(sum, m), offset);
}

/** The sum before the shift. */
@inline
export function rescale(sum: v128, m: v128, lo: v128, hi: v128, offset: v128): v128 {
  return scale(i32x4.min_s(i32x4.max_s(sum, lo), hi), m, offset);
}

/** 4 levels of the residual times its multiplier; their zero point is in `offset`. */
@inline
export function addend(residual: usize, multiplier: v128): v128 {
  const levels = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(residual)));
  return i32x4.mul(levels, multiplier);
}

/**
 * Stores 8 shifted sums as levels, or before a curve as places of 16 bits, which `follow` makes levels of. `clamped`: lo and
 * hi have kept them within the bounds.
 */
@inline
export function storeLevels(c0: v128, c1: v128, y: usize, clamped: bool, low: v128, high: v128, curve: usize): void {
  const words = i16x8.narrow_i32x4_s(c0, c1);
  if (curve) {
    v128.store(y, i16x8.min_s(i16x8.max_s(words, low), high));
  } else {
    const bytes = i8x16.narrow_i16x8_u(words, words);
    if (clamped) v128.store64_lane(y, bytes, 0);
    else v128.store64_lane(y, i8x16.min_u(i8x16.max_u(bytes, low), high), 0);
  }
}

/** Levels of `rows` rows of 8 places for the first `channels` channels of a panel; `factors`: the panel's. */
export function follow(
  places: usize, rows: i32, y: usize, pitch: usize, channels: i32, curve: usize, factors: usize,
): void {
  const half = v128.load16_splat(curve), origin = v128.load16_splat(curve, 4);
  const scale = v128.load16_splat(curve, 8), offset = v128.load16_splat(curve, 12), zero = v128.load16_splat(curve, 16);
  const whole = i16x8.add(half, half), factor = v128.load(factors), computed = load<i32>(curve) != 0;
  for (; rows > 0; rows--) {
    let entries: v128;
    if (computed) {
      const q = i16x8.sub(v128.load(places), origin);
      const t = i16x8.min_s(i16x8.max_s(i16x8.add(q, half), i16x8.splat(0)), whole);
      entries = i16x8.add_sat_s(i16x8.q15mulr_sat_s(q, i16x8.mul(t, scale)), offset);
    } else entries = lookUp(v128.load(places), curve + 32);
    const words = i16x8.add_sat_s(i16x8.q15mulr_sat_s(entries, factor), zero);
    const bytes = i8x16.narrow_i16x8_u(words, words);
    if (channels >= 8) v128.store64_lane(y, bytes, 0);
    else storeBytes(y, bytes, channels);
    places += 16;
    y += pitch;
  }
}

@inline
function lookUp(place: v128, entries: usize): v128 {
  const at = i16x8.shl(i16x8.shr_u(place, 2), 1);
  let found = v128.load16_splat(entries + <usize>i16x8.extract_lane_u(at, 0));
  found = v128.load16_lane(entries + <usize>i16x8.extract_lane_u(at, 1), found, 1);
  found = v128.load16_lane(entries + <usize>i16x8.extract_lane_u(at, 2), found, 2);
  found = v128.load16_lane(entries + <usize>i16x8.extract_lane_u(at, 3), found, 3);
  found = v128.load16_lane(entries + <usize>i16x8.extract_lane_u(at, 4), found, 4);
  found = v128.load16_lane(entries + <usize>i16x8.extract_lane_u(at, 5), found, 5);
  found = v128.load16_lane(entries + <usize>i16x8.extract_lane_u(at, 6), found, 6);
  return v128.load16_lane(entries + <usize>i16x8.extract_lane_u(at, 7), found, 7);
}

/** Stores 8 sums times their scales, in f32. */
@inline
export function storeFloats(c0: v128, c1: v128, y: usize, m0: v128, m1: v128, low: v128, high: v128): void {
  v128.store(y, f32x4.pmin(f32x4.pmax(f32x4.mul(f32x4.convert_i32x4_s(c0), m0), low), high));
  v128.store(y, f32x4.pmin(f32x4.pmax(f32x4.mul(f32x4.convert_i32x4_s(c1), m1), low), high), 16);
}

/** A bound of what is stored, or of places on the curve, in every lane. */
@inline
export function bound(shift: i32, curve: usize, value: f32): v128 {
  return shift == 0 ? f32x4.splat(value) : curve ? i16x8.splat(<i16><i32>value) : i8x16.splat(<i8><i32>value);
}

/**
 * The whole epilogue for one row of 8 sums. `offset`, `low` and `high` are in every lane. `residualMultiplier` is not 0 where
 * lo and hi do not keep the result within its bounds.
 */
@inline
export function finishRow(
  c0: v128, c1: v128, params: usize, shift: i32, offset: v128, low: v128, high: v128, curve: usize, y: usize,
  residual: usize, residualMultiplier: i32,
): void {
  if (shift == 0) {
    storeFloats(c0, c1, y, v128.load(params, 32), v128.load(params, 48), low, high);
    return;
  }
  const free = isFree(params);
  if (free) {
    c0 = scale(c0, v128.load(params, 32), offset);
    c1 = scale(c1, v128.load(params, 48), offset);
  } else {
    c0 = rescale(c0, v128.load(params, 32), v128.load(params, 64), v128.load(params, 96), offset);
    c1 = rescale(c1, v128.load(params, 48), v128.load(params, 80), v128.load(params, 112), offset);
  }
  if (residual) {
    const factor = i32x4.splat(residualMultiplier);
    c0 = i32x4.add(c0, addend(residual, factor));
    c1 = i32x4.add(c1, addend(residual + 4, factor));
  }
  if (shift == FREE_SHIFT) {
    c0 = i32x4.shr_s(c0, FREE_SHIFT);
    c1 = i32x4.shr_s(c1, FREE_SHIFT);
  } else {
    c0 = i32x4.shr_s(c0, shift);
    c1 = i32x4.shr_s(c1, shift);
  }
  storeLevels(c0, c1, y, !free && !residualMultiplier, low, high, curve);
}

/** The same for a free panel at FREE_SHIFT whose levels have no bounds of their own, with no residual and no curve. */
@inline
export function finishPlain(c0: v128, c1: v128, params: usize, offset: v128, y: usize): void {
  c0 = i32x4.shr_s(scale(c0, v128.load(params, 32), offset), FREE_SHIFT);
  c1 = i32x4.shr_s(scale(c1, v128.load(params, 48), offset), FREE_SHIFT);
  const words = i16x8.narrow_i32x4_s(c0, c1);
  v128.store64_lane(y, i8x16.narrow_i16x8_u(words, words), 0);
}
