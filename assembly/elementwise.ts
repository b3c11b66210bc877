/**
 * Elementwise kernels of two and three operands, and casts. Broadcasting is by strides: the shape is collapsed to at
 * most four outer dimensions (d0) d1 d2 d3 and an inner one along which each operand either advances (step 1) or stays
 * (step 0); nothing is materialised. A row is a block of 1024 elements of the inner dimension, so that an activation
 * program finds it in L1.
 */
import { power, applySteps } from './steps';
import { storeBytes } from './line';
import { select, splat, storeLanes } from './simd';

const BLOCK: i32 = 1024;

/** What a row of elements is made of; picks the function family in `binaryRow`. */
const F32: i32 = 0;
const I32: i32 = 1;
const F32_COMPARE: i32 = 2;
const I32_COMPARE: i32 = 3;
const LOGIC: i32 = 4;
const I8_ADD: i32 = 5;
const I8_MUL: i32 = 6;

/** y = program(fn(a, b)); `program` as `applySteps` takes it. */
export function f32_binary(
  a: usize, b: usize, y: usize, program: usize, fn: i32, inner: i32, aStep: i32, bStep: i32, d1: i32, d2: i32, d3: i32,
  a0: i32, a1: i32, a2: i32, a3: i32, b0: i32, b1: i32, b2: i32, b3: i32, from: i32, to: i32,
): void {
  binary(F32, a, b, y, program, fn, inner, aStep, bStep, d1, d2, d3, a0, a1, a2, a3, b0, b1, b2, b3, from, to);
}

export function i32_binary(
  a: usize, b: usize, y: usize, fn: i32, inner: i32, aStep: i32, bStep: i32, d1: i32, d2: i32, d3: i32,
  a0: i32, a1: i32, a2: i32, a3: i32, b0: i32, b1: i32, b2: i32, b3: i32, from: i32, to: i32,
): void {
  binary(I32, a, b, y, 0, fn, inner, aStep, bStep, d1, d2, d3, a0, a1, a2, a3, b0, b1, b2, b3, from, to);
}

/** f32 operands, one byte 0 or 1 a result. */
export function f32_compare(
  a: usize, b: usize, y: usize, fn: i32, inner: i32, aStep: i32, bStep: i32, d1: i32, d2: i32, d3: i32,
  a0: i32, a1: i32, a2: i32, a3: i32, b0: i32, b1: i32, b2: i32, b3: i32, from: i32, to: i32,
): void {
  binary(F32_COMPARE, a, b, y, 0, fn, inner, aStep, bStep, d1, d2, d3, a0, a1, a2, a3, b0, b1, b2, b3, from, to);
}

export function i32_compare(
  a: usize, b: usize, y: usize, fn: i32, inner: i32, aStep: i32, bStep: i32, d1: i32, d2: i32, d3: i32,
  a0: i32, a1: i32, a2: i32, a3: i32, b0: i32, b1: i32, b2: i32, b3: i32, from: i32, to: i32,
): void {
  binary(I32_COMPARE, a, b, y, 0, fn, inner, aStep, bStep, d1, d2, d3, a0, a1, a2, a3, b0, b1, b2, b3, from, to);
}

/** and, or, xor of bytes 0 and 1. */
export function u8_logic(
  a: usize, b: usize, y: usize, fn: i32, inner: i32, aStep: i32, bStep: i32, d1: i32, d2: i32, d3: i32,
  a0: i32, a1: i32, a2: i32, a3: i32, b0: i32, b1: i32, b2: i32, b3: i32, from: i32, to: i32,
): void {
  binary(LOGIC, a, b, y, 0, fn, inner, aStep, bStep, d1, d2, d3, a0, a1, a2, a3, b0, b1, b2, b3, from, to);
}

/** y = clamp((a * ma + b * mb + c) >> shift, low, high) on stored bytes. `parameters` is [ma, mb, c, shift, low, high]. */
export function i8_add(
  a: usize, b: usize, y: usize, parameters: usize, inner: i32, aStep: i32, bStep: i32, d1: i32, d2: i32, d3: i32,
  a0: i32, a1: i32, a2: i32, a3: i32, b0: i32, b1: i32, b2: i32, b3: i32, from: i32, to: i32,
): void {
  binary(I8_ADD, a, b, y, parameters, 0, inner, aStep, bStep, d1, d2, d3, a0, a1, a2, a3, b0, b1, b2, b3, from, to);
}

/**
 * y = clamp(((a - za) * (b - zb) * m + c) >> shift, low, high) on stored bytes. `parameters` is
 * [za, zb, c, shift, low, high, m].
 */
export function i8_mul(
  a: usize, b: usize, y: usize, parameters: usize, inner: i32, aStep: i32, bStep: i32, d1: i32, d2: i32, d3: i32,
  a0: i32, a1: i32, a2: i32, a3: i32, b0: i32, b1: i32, b2: i32, b3: i32, from: i32, to: i32,
): void {
  binary(I8_MUL, a, b, y, parameters, 0, inner, aStep, bStep, d1, d2, d3, a0, a1, a2, a3, b0, b1, b2, b3, from, to);
}

function binary(
  kind: i32, a: usize, b: usize, y: usize, parameters: usize, fn: i32, inner: i32, aStep: i32, bStep: i32,
  d1: i32, d2: i32, d3: i32, a0: i32, a1: i32, a2: i32, a3: i32, b0: i32, b1: i32, b2: i32, b3: i32, from: i32, to: i32,
): void {
  // Bytes of an element, as shifts.
  const read = kind < LOGIC ? 2 : 0;
  const write = kind < F32_COMPARE ? 2 : 0;
  const blocks = (inner + BLOCK - 1) / BLOCK;
  let outer = from / blocks;
  let block = from - outer * blocks;
  let i3 = outer % d3;
  let i2 = (outer / d3) % d2;
  let i1 = (outer / d3 / d2) % d1;
  let i0 = outer / d3 / d2 / d1;
  for (let row = from; row < to; row++) {
    const at = block * BLOCK;
    const aAt = i0 * a0 + i1 * a1 + i2 * a2 + i3 * a3 + at * aStep;
    const bAt = i0 * b0 + i1 * b1 + i2 * b2 + i3 * b3 + at * bStep;
    const n = min(BLOCK, inner - at);
    const target = y + (<usize>(outer * inner + at) << write);
    binaryRow(kind, fn, a + (<usize>aAt << read), b + (<usize>bAt << read), target, n, aStep, bStep, parameters);
    if (++block == blocks) {
      block = 0;
      outer++;
      if (++i3 == d3) {
        i3 = 0;
        if (++i2 == d2) {
          i2 = 0;
          if (++i1 == d1) {
            i1 = 0;
            i0++;
          }
        }
      }
    }
  }
}

function binaryRow(
  kind: i32, fn: i32, a: usize, b: usize, y: usize, n: i32, aStep: i32, bStep: i32, parameters: usize,
): void {
  switch (kind) {
    case F32:
      f32Row(fn, a, b, y, n, aStep, bStep);
      return applySteps(parameters, 0, y, n);
    case I32: return i32Row(fn, a, b, y, n, aStep, bStep);
    case F32_COMPARE: return f32CompareRow(fn, a, b, y, n, aStep, bStep);
    case I32_COMPARE: return i32CompareRow(fn, a, b, y, n, aStep, bStep);
    case LOGIC: return logicRow(fn, a, b, y, n, aStep, bStep);
    case I8_ADD: return i8AddRow(a, b, y, n, aStep, bStep, parameters);
    case I8_MUL: return i8MulRow(a, b, y, n, aStep, bStep, parameters);
  }
}

function f32Row(fn: i32, a: usize, b: usize, y: usize, n: i32, aStep: i32, bStep: i32): void {
  switch (fn) {
    case 0: return zip<Add>(a, b, y, n, aStep, bStep);
    case 1: return zip<Sub>(a, b, y, n, aStep, bStep);
    case 2: return zip<Mul>(a, b, y, n, aStep, bStep);
    case 3: return zip<Div>(a, b, y, n, aStep, bStep);
    case 4: return zip<Max>(a, b, y, n, aStep, bStep);
    case 5: return zip<Min>(a, b, y, n, aStep, bStep);
    case 6: return zip<Mod>(a, b, y, n, aStep, bStep);
    case 7: return zip<Pow>(a, b, y, n, aStep, bStep);
    case 8: return zip<PRelu>(a, b, y, n, aStep, bStep);
    default: unreachable();
  }
}

function i32Row(fn: i32, a: usize, b: usize, y: usize, n: i32, aStep: i32, bStep: i32): void {
  switch (fn) {
    case 0: return zip<AddI>(a, b, y, n, aStep, bStep);
    case 1: return zip<SubI>(a, b, y, n, aStep, bStep);
    case 2: return zip<MulI>(a, b, y, n, aStep, bStep);
    case 3: return zip<DivI>(a, b, y, n, aStep, bStep);
    case 4: return zip<MaxI>(a, b, y, n, aStep, bStep);
    case 5: return zip<MinI>(a, b, y, n, aStep, bStep);
    case 6: return zip<ModI>(a, b, y, n, aStep, bStep);
    default: unreachable();
  }
}

function f32CompareRow(fn: i32, a: usize, b: usize, y: usize, n: i32, aStep: i32, bStep: i32): void {
  switch (fn) {
    case 16: return zipMask<Equal>(a, b, y, n, aStep, bStep);
    case 17: return zipMask<Greater>(a, b, y, n, aStep, bStep);
    case 18: return zipMask<Less>(a, b, y, n, aStep, bStep);
    case 19: return zipMask<GreaterOrEqual>(a, b, y, n, aStep, bStep);
    case 20: return zipMask<LessOrEqual>(a, b, y, n, aStep, bStep);
    default: unreachable();
  }
}

function i32CompareRow(fn: i32, a: usize, b: usize, y: usize, n: i32, aStep: i32, bStep: i32): void {
  switch (fn) {
    case 16: return zipMask<EqualI>(a, b, y, n, aStep, bStep);
    case 17: return zipMask<GreaterI>(a, b, y, n, aStep, bStep);
    case 18: return zipMask<LessI>(a, b, y, n, aStep, bStep);
    case 19: return zipMask<GreaterOrEqualI>(a, b, y, n, aStep, bStep);
    case 20: return zipMask<LessOrEqualI>(a, b, y, n, aStep, bStep);
    default: unreachable();
  }
}

function logicRow(fn: i32, a: usize, b: usize, y: usize, n: i32, aStep: i32, bStep: i32): void {
  const a1 = v128.load8_splat(a);
  const b1 = v128.load8_splat(b);
  for (; n > 0; n -= 16, a += 16, b += 16, y += 16) {
    const p = aStep ? v128.load(a) : a1;
    const q = bStep ? v128.load(b) : b1;
    const value = fn == 24 ? v128.and(p, q) : fn == 25 ? v128.or(p, q) : v128.xor(p, q);
    if (n >= 16) v128.store(y, value);
    else storeBytes(y, value, n);
  }
}

/** y[i] = F(a[i], b[i]) on four-byte elements. An operand whose step is 0 is its first element throughout. */
// @ts-ignore: decorator
@inline
function zip<F>(a: usize, b: usize, y: usize, n: i32, aStep: i32, bStep: i32): void {
  const f = changetype<F>(0);
  if (aStep & bStep) {
    for (; n >= 4; n -= 4, a += 16, b += 16, y += 16) v128.store(y, f.of(v128.load(a), v128.load(b)));
  }
  const a1 = v128.load32_splat(a);
  const b1 = v128.load32_splat(b);
  for (; n > 0; n -= 4, a += 16, b += 16, y += 16) {
    const value = f.of(aStep ? v128.load(a) : a1, bStep ? v128.load(b) : b1);
    if (n >= 4) v128.store(y, value);
    else storeLanes(y, value, n);
  }
}

/** As `zip`, for functions that give lane masks, which are stored as bytes 0 and 1. */
// @ts-ignore: decorator
@inline
function zipMask<F>(a: usize, b: usize, y: usize, n: i32, aStep: i32, bStep: i32): void {
  const f = changetype<F>(0);
  const a1 = v128.load32_splat(a);
  const b1 = v128.load32_splat(b);
  for (; n > 0; n -= 4, a += 16, b += 16, y += 4) {
    const mask = f.of(aStep ? v128.load(a) : a1, bStep ? v128.load(b) : b1);
    const words = i16x8.narrow_i32x4_s(mask, mask);
    const bytes = v128.and(i8x16.narrow_i16x8_s(words, words), i8x16.splat(1));
    if (n >= 4) v128.store32_lane(y, bytes, 0);
    else storeBytes(y, bytes, n);
  }
}

class Add {
  @inline of(a: v128, b: v128): v128 { return f32x4.add(a, b); }
}
class Sub {
  @inline of(a: v128, b: v128): v128 { return f32x4.sub(a, b); }
}
class Mul {
  @inline of(a: v128, b: v128): v128 { return f32x4.mul(a, b); }
}
class Div {
  @inline of(a: v128, b: v128): v128 { return f32x4.div(a, b); }
}
class Max {
  @inline of(a: v128, b: v128): v128 { return f32x4.max(a, b); }
}
class Min {
  @inline of(a: v128, b: v128): v128 { return f32x4.min(a, b); }
}
class Mod {
  @inline of(a: v128, b: v128): v128 { return lanes(2, a, b); }
}
class Pow {
  @inline of(a: v128, b: v128): v128 { return power(a, b); }
}
class PRelu {
  @inline of(a: v128, b: v128): v128 { return select(f32x4.lt(a, splat(0)), f32x4.mul(a, b), a); }
}
class AddI {
  @inline of(a: v128, b: v128): v128 { return i32x4.add(a, b); }
}
class SubI {
  @inline of(a: v128, b: v128): v128 { return i32x4.sub(a, b); }
}
class MulI {
  @inline of(a: v128, b: v128): v128 { return i32x4.mul(a, b); }
}
class DivI {
  @inline of(a: v128, b: v128): v128 { return lanes(0, a, b); }
}
class MaxI {
  @inline of(a: v128, b: v128): v128 { return i32x4.max_s(a, b); }
}
class MinI {
  @inline of(a: v128, b: v128): v128 { return i32x4.min_s(a, b); }
}
class ModI {
  @inline of(a: v128, b: v128): v128 { return lanes(1, a, b); }
}
class Equal {
  @inline of(a: v128, b: v128): v128 { return f32x4.eq(a, b); }
}
class Greater {
  @inline of(a: v128, b: v128): v128 { return f32x4.gt(a, b); }
}
class Less {
  @inline of(a: v128, b: v128): v128 { return f32x4.lt(a, b); }
}
class GreaterOrEqual {
  @inline of(a: v128, b: v128): v128 { return f32x4.ge(a, b); }
}
class LessOrEqual {
  @inline of(a: v128, b: v128): v128 { return f32x4.le(a, b); }
}
class EqualI {
  @inline of(a: v128, b: v128): v128 { return i32x4.eq(a, b); }
}
class GreaterI {
  @inline of(a: v128, b: v128): v128 { return i32x4.gt_s(a, b); }
}
class LessI {
  @inline of(a: v128, b: v128): v128 { return i32x4.lt_s(a, b); }
}
class GreaterOrEqualI {
  @inline of(a: v128, b: v128): v128 { return i32x4.ge_s(a, b); }
}
class LessOrEqualI {
  @inline of(a: v128, b: v128): v128 { return i32x4.le_s(a, b); }
}

/** Functions that SIMD128 does not have, lane by lane, on bit patterns. */
function lanes(fn: i32, a: v128, b: v128): v128 {
  let y = i32x4.splat(lane(fn, i32x4.extract_lane(a, 0), i32x4.extract_lane(b, 0)));
  y = i32x4.replace_lane(y, 1, lane(fn, i32x4.extract_lane(a, 1), i32x4.extract_lane(b, 1)));
  y = i32x4.replace_lane(y, 2, lane(fn, i32x4.extract_lane(a, 2), i32x4.extract_lane(b, 2)));
  return i32x4.replace_lane(y, 3, lane(fn, i32x4.extract_lane(a, 3), i32x4.extract_lane(b, 3)));
}

/** 0: a / b towards zero; 1: a mod b with the sign of b; both 0 when b is 0. 2: fmod of floats, with the sign of a. */
function lane(fn: i32, a: i32, b: i32): i32 {
  if (fn == 2) return reinterpret<i32>(reinterpret<f32>(a) % reinterpret<f32>(b));
  if (b == 0) return 0;
  if (b == -1) return fn == 0 ? -a : 0;
  if (fn == 0) return a / b;
  const r = a % b;
  return r != 0 && (r ^ b) < 0 ? r + b : r;
}

/** Products and sum in one i16 dot of interleaved operands: bytes are 0..255 and the multipliers within 15 bits. */
function i8AddRow(a: usize, b: usize, y: usize, n: i32, aStep: i32, bStep: i32, parameters: usize): void {
  const pair = i32x4.splat((load<i32>(parameters) & 0xffff) | (load<i32>(parameters, 4) << 16));
  const c = v128.load32_splat(parameters, 8);
  const shift = load<i32>(parameters, 12);
  const low = v128.load8_splat(parameters, 16);
  const high = v128.load8_splat(parameters, 20);
  const a1 = v128.load8_splat(a);
  const b1 = v128.load8_splat(b);
  for (; n > 0; n -= 16, a += 16, b += 16, y += 16) {
    const p = aStep ? v128.load(a) : a1;
    const q = bStep ? v128.load(b) : b1;
    const first = i8x16.shuffle(p, q, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const last = i8x16.shuffle(p, q, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    const s0 = i32x4.shr_s(i32x4.add(i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(first), pair), c), shift);
    const s1 = i32x4.shr_s(i32x4.add(i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(first), pair), c), shift);
    const s2 = i32x4.shr_s(i32x4.add(i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(last), pair), c), shift);
    const s3 = i32x4.shr_s(i32x4.add(i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(last), pair), c), shift);
    storeClamped(y, i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(s0, s1), i16x8.narrow_i32x4_s(s2, s3)), low, high, n);
  }
}

function i8MulRow(a: usize, b: usize, y: usize, n: i32, aStep: i32, bStep: i32, parameters: usize): void {
  const za = v128.load16_splat(parameters);
  const zb = v128.load16_splat(parameters, 4);
  const c = v128.load32_splat(parameters, 8);
  const shift = load<i32>(parameters, 12);
  const low = v128.load8_splat(parameters, 16);
  const high = v128.load8_splat(parameters, 20);
  const m = v128.load32_splat(parameters, 24);
  const a1 = v128.load8_splat(a);
  const b1 = v128.load8_splat(b);
  for (; n > 0; n -= 16, a += 16, b += 16, y += 16) {
    const p = aStep ? v128.load(a) : a1;
    const q = bStep ? v128.load(b) : b1;
    const p0 = i16x8.sub(i16x8.extend_low_i8x16_u(p), za);
    const q0 = i16x8.sub(i16x8.extend_low_i8x16_u(q), zb);
    const p1 = i16x8.sub(i16x8.extend_high_i8x16_u(p), za);
    const q1 = i16x8.sub(i16x8.extend_high_i8x16_u(q), zb);
    const s0 = i32x4.shr_s(i32x4.add(i32x4.mul(i32x4.extmul_low_i16x8_s(p0, q0), m), c), shift);
    const s1 = i32x4.shr_s(i32x4.add(i32x4.mul(i32x4.extmul_high_i16x8_s(p0, q0), m), c), shift);
    const s2 = i32x4.shr_s(i32x4.add(i32x4.mul(i32x4.extmul_low_i16x8_s(p1, q1), m), c), shift);
    const s3 = i32x4.shr_s(i32x4.add(i32x4.mul(i32x4.extmul_high_i16x8_s(p1, q1), m), c), shift);
    storeClamped(y, i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(s0, s1), i16x8.narrow_i32x4_s(s2, s3)), low, high, n);
  }
}

// @ts-ignore: decorator
@inline
function storeClamped(y: usize, bytes: v128, low: v128, high: v128, n: i32): void {
  const value = i8x16.min_u(i8x16.max_u(bytes, low), high);
  if (n >= 16) v128.store(y, value);
  else storeBytes(y, value, n);
}

/** y = condition ? a : b on n four-byte elements. Each operand advances (step 1) or is one element (step 0). */
export function f32_select(
  condition: usize, a: usize, b: usize, y: usize, n: i32, step: i32, aStep: i32, bStep: i32, from: i32, to: i32,
): void {
  const end = min(n, to * BLOCK);
  for (let i = from * BLOCK; i < end; i++) {
    const source = load<u8>(condition + i * step) ? a + ((i * aStep) << 2) : b + ((i * bStep) << 2);
    store<u32>(y + (i << 2), load<u32>(source));
  }
}

/** As `f32_select`, on bytes. */
export function u8_select(
  condition: usize, a: usize, b: usize, y: usize, n: i32, step: i32, aStep: i32, bStep: i32, from: i32, to: i32,
): void {
  const end = min(n, to * BLOCK);
  for (let i = from * BLOCK; i < end; i++) {
    store<u8>(y + i, load<u8>(load<u8>(condition + i * step) ? a + i * aStep : b + i * bStep));
  }
}

/**
 * y = x as another type, for n elements in all. Types: 0 f32, 1 i32, 3 u8, 4 bool (the codes of `DTYPES`). Floats are
 * cut towards zero and saturate, NaN becomes 0; i32 to u8 keeps the low byte; anything but 0 is true.
 */
export function cast(x: usize, y: usize, n: i32, source: i32, target: i32, from: i32, to: i32): void {
  const end = min(n, to * BLOCK);
  for (let i = from * BLOCK; i < end; i++) {
    if (source == 0) {
      const value = load<f32>(x + (i << 2));
      if (target == 0) store<f32>(y + (i << 2), value);
      else if (target == 1) store<i32>(y + (i << 2), <i32>value);
      else store<u8>(y + i, target == 4 ? u32(value != 0) : min(<u32>value, 255));
    } else {
      const value = source == 1 ? load<i32>(x + (i << 2)) : <i32>load<u8>(x + i);
      if (target == 0) store<f32>(y + (i << 2), <f32>value);
      else if (target == 1) store<i32>(y + (i << 2), value);
      else store<u8>(y + i, target == 4 ? u32(value != 0) : value);
    }
  }
}
