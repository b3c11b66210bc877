/**
 * From i32 sums to levels: y = clamp((clamp(sum, lo, hi) * m + addend + offset) >> shift, low, high), in the form and
 * with the conditions of src/ops/requant.ts. A panel of 8 output channels has one block of parameters: 8 each of bias
 * (the sum's initial value), m, lo and hi. A `shift` of 0 stands for a float output y = sum * m, with m in f32.
 */

/** The sum before the shift. */
@inline
export function rescale(sum: v128, m: v128, lo: v128, hi: v128, offset: v128): v128 {
  return i32x4.add(i32x4.mul(i32x4.min_s(i32x4.max_s(sum, lo), hi), m), offset);
}

/** 4 levels of the residual times its multiplier; their zero point is in `offset`. */
@inline
export function addend(residual: usize, multiplier: v128): v128 {
  const levels = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(residual)));
  return i32x4.mul(levels, multiplier);
}

/** Stores 8 shifted sums. */
@inline
export function storeLevels(c0: v128, c1: v128, y: usize, low: v128, high: v128): void {
  const words = i16x8.narrow_i32x4_s(c0, c1);
  const bytes = i8x16.narrow_i16x8_u(words, words);
  v128.store64_lane(y, i8x16.min_u(i8x16.max_u(bytes, low), high), 0);
}

/** Stores 8 sums times their scales, in f32. */
@inline
export function storeFloats(c0: v128, c1: v128, y: usize, m0: v128, m1: v128, low: v128, high: v128): void {
  v128.store(y, f32x4.pmin(f32x4.pmax(f32x4.mul(f32x4.convert_i32x4_s(c0), m0), low), high));
  v128.store(y, f32x4.pmin(f32x4.pmax(f32x4.mul(f32x4.convert_i32x4_s(c1), m1), low), high), 16);
}

/** A bound of the output's kind in every lane. */
@inline
export function bound(shift: i32, value: f32): v128 {
  return shift ? i8x16.splat(<i8><i32>value) : f32x4.splat(value);
}

/** The whole epilogue for one row of 8 sums. `offset`, `low` and `high` are in every lane. */
@inline
export function finishRow(
  c0: v128, c1: v128, params: usize, shift: i32, offset: v128, low: v128, high: v128, y: usize,
  residual: usize, residualMultiplier: i32,
): void {
  if (shift == 0) {
    storeFloats(c0, c1, y, v128.load(params, 32), v128.load(params, 48), low, high);
    return;
  }
  c0 = rescale(c0, v128.load(params, 32), v128.load(params, 64), v128.load(params, 96), offset);
  c1 = rescale(c1, v128.load(params, 48), v128.load(params, 80), v128.load(params, 112), offset);
  if (residual) {
    const factor = i32x4.splat(residualMultiplier);
    c0 = i32x4.add(c0, addend(residual, factor));
    c1 = i32x4.add(c1, addend(residual + 4, factor));
  }
  if (shift == 22) {
    c0 = i32x4.shr_s(c0, 22);
    c1 = i32x4.shr_s(c1, 22);
  } else {
    c0 = i32x4.shr_s(c0, shift);
    c1 = i32x4.shr_s(c1, shift);
  }
  storeLevels(c0, c1, y, low, high);
}

/** Replaces each of n bytes by what the 256 bytes at `table` have for it. */
export function applyTable(table: usize, y: usize, n: usize): void {
  const end = y + n;
  while (y + 4 <= end) {
    const b0 = load<u8>(table + load<u8>(y));
    const b1 = load<u8>(table + load<u8>(y, 1));
    const b2 = load<u8>(table + load<u8>(y, 2));
    const b3 = load<u8>(table + load<u8>(y, 3));
    store<u32>(y, <u32>b0 | (<u32>b1 << 8) | (<u32>b2 << 16) | (<u32>b3 << 24));
    y += 4;
  }
  for (; y < end; y++) store<u8>(y, load<u8>(table + load<u8>(y)));
}
