/**
 * Reductions of x [outer, n, inner] to y [outer, inner], in a fixed order. With inner > 1 a row is a block of 16
 * columns, so that the sums of a block stay in registers; with inner = 1 a row is one result.
 */
import { storeBytes } from './line';
import { exp, firstLanes, log, mulAdd, select, splat, storeLanes } from './simd';
import { rowMax, rowSumExp } from './softmax';

/** Columns of a block. */
const COLUMNS: i32 = 16;

/** What is done to a result: `FINISH_ROOT` its square root, `FINISH_LOG` its logarithm. */
const FINISH_ROOT: i32 = 1;
const FINISH_LOG: i32 = 2;

/** y = finish(scale * fn over n). fn: 0 sum, 1 max, 2 min, 3 product, 4 sum of |x|, 5 sum of squares, 6 ln of sum of e^x. */
export function f32_reduce(
  fn: i32, x: usize, y: usize, n: i32, inner: i32, scale: f32, finish: i32, from: i32, to: i32,
): void {
  if (inner == 1) {
    for (let row = from; row < to; row++) {
      const source = x + ((<usize>row * n) << 2);
      store<f32>(y + (<usize>row << 2), f32x4.extract_lane(finished(rowOf(fn, source, n), scale, finish), 0));
    }
    return;
  }
  const blocks = (inner + COLUMNS - 1) / COLUMNS;
  for (let row = from; row < to; row++) {
    const outer = row / blocks;
    const column = (row - outer * blocks) * COLUMNS;
    const source = x + ((<usize>outer * n * inner + column) << 2);
    const target = y + ((<usize>outer * inner + column) << 2);
    const count = min(COLUMNS, inner - column);
    columnsOf(fn, source, target, n, <usize>inner << 2, count);
    for (let c = 0; c < count; c += 4) {
      const at = target + (<usize>c << 2);
      const value = finished(v128.load(at), scale, finish);
      if (count - c >= 4) v128.store(at, value);
      else storeLanes(at, value, count - c);
    }
  }
}

function finished(value: v128, scale: f32, finish: i32): v128 {
  value = f32x4.mul(value, splat(scale));
  if (finish == FINISH_ROOT) return f32x4.sqrt(value);
  return finish == FINISH_LOG ? log(value) : value;
}

function rowOf(fn: i32, x: usize, n: i32): v128 {
  switch (fn) {
    case 0: return alongRow<Sum>(x, n);
    case 1: return alongRow<Max>(x, n);
    case 2: return alongRow<Min>(x, n);
    case 3: return alongRow<Product>(x, n);
    case 4: return alongRow<SumOfMagnitudes>(x, n);
    case 5: return alongRow<SumOfSquares>(x, n);
    default: {
      const top = rowMax(x, n);
      // All -infinity: the differences would be NaN.
      if (top == -Infinity) return splat(top);
      return f32x4.add(log(splat(rowSumExp(x, n, top))), splat(top));
    }
  }
}

function columnsOf(fn: i32, x: usize, y: usize, n: i32, stride: usize, count: i32): void {
  switch (fn) {
    case 0: return downColumns<Sum>(x, y, n, stride, count);
    case 1: return downColumns<Max>(x, y, n, stride, count);
    case 2: return downColumns<Min>(x, y, n, stride, count);
    case 3: return downColumns<Product>(x, y, n, stride, count);
    case 4: return downColumns<SumOfMagnitudes>(x, y, n, stride, count);
    case 5: return downColumns<SumOfSquares>(x, y, n, stride, count);
    default: return logSumExpColumns(x, y, n, stride, count);
  }
}

/** The reduction of n contiguous floats, in lane 0. Four accumulators of four lanes, then pairwise. */
// @ts-ignore: decorator
@inline
function alongRow<F>(x: usize, n: i32): v128 {
  const f = changetype<F>(0);
  const start = f.start();
  let s0 = start;
  let s1 = start;
  let s2 = start;
  let s3 = start;
  for (; n >= 16; n -= 16, x += 64) {
    s0 = f.step(s0, v128.load(x));
    s1 = f.step(s1, v128.load(x, 16));
    s2 = f.step(s2, v128.load(x, 32));
    s3 = f.step(s3, v128.load(x, 48));
  }
  for (; n > 0; n -= 4, x += 16) s0 = select(firstLanes(n), f.step(s0, v128.load(x)), s0);
  s0 = f.join(f.join(s0, s1), f.join(s2, s3));
  s0 = f.join(s0, i8x16.shuffle(s0, s0, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
  return f.join(s0, i8x16.shuffle(s0, s0, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7));
}

/** The reductions of `count` (1..16) adjacent columns of n rows that are `stride` bytes apart. */
// @ts-ignore: decorator
@inline
function downColumns<F>(x: usize, y: usize, n: i32, stride: usize, count: i32): void {
  const f = changetype<F>(0);
  const start = f.start();
  if (count == COLUMNS) {
    let s0 = start;
    let s1 = start;
    let s2 = start;
    let s3 = start;
    for (; n > 0; n--, x += stride) {
      s0 = f.step(s0, v128.load(x));
      s1 = f.step(s1, v128.load(x, 16));
      s2 = f.step(s2, v128.load(x, 32));
      s3 = f.step(s3, v128.load(x, 48));
    }
    v128.store(y, s0);
    v128.store(y, s1, 16);
    v128.store(y, s2, 32);
    v128.store(y, s3, 48);
    return;
  }
  for (; count > 0; count -= 4, x += 16, y += 16) {
    let s = start;
    let p = x;
    for (let i = 0; i < n; i++, p += stride) s = f.step(s, v128.load(p));
    if (count >= 4) v128.store(y, s);
    else storeLanes(y, s, count);
  }
}

function logSumExpColumns(x: usize, y: usize, n: i32, stride: usize, count: i32): void {
  for (; count > 0; count -= 4, x += 16, y += 16) {
    let top = splat(-Infinity);
    let p = x;
    for (let i = 0; i < n; i++, p += stride) top = f32x4.max(top, v128.load(p));
    let sum = splat(0);
    p = x;
    for (let i = 0; i < n; i++, p += stride) sum = f32x4.add(sum, exp(f32x4.sub(v128.load(p), top)));
    const value = select(f32x4.eq(top, splat(-Infinity)), top, f32x4.add(log(sum), top));
    if (count >= 4) v128.store(y, value);
    else storeLanes(y, value, count);
  }
}

class Sum {
  @inline start(): v128 { return splat(0); }
  @inline step(s: v128, x: v128): v128 { return f32x4.add(s, x); }
  @inline join(s: v128, t: v128): v128 { return f32x4.add(s, t); }
}
class Max {
  @inline start(): v128 { return splat(-Infinity); }
  @inline step(s: v128, x: v128): v128 { return f32x4.max(s, x); }
  @inline join(s: v128, t: v128): v128 { return f32x4.max(s, t); }
}
class Min {
  @inline start(): v128 { return splat(Infinity); }
  @inline step(s: v128, x: v128): v128 { return f32x4.min(s, x); }
  @inline join(s: v128, t: v128): v128 { return f32x4.min(s, t); }
}
class Product {
  @inline start(): v128 { return splat(1); }
  @inline step(s: v128, x: v128): v128 { return f32x4.mul(s, x); }
  @inline join(s: v128, t: v128): v128 { return f32x4.mul(s, t); }
}
class SumOfMagnitudes {
  @inline start(): v128 { return splat(0); }
  @inline step(s: v128, x: v128): v128 { return f32x4.add(s, f32x4.abs(x)); }
  @inline join(s: v128, t: v128): v128 { return f32x4.add(s, t); }
}
class SumOfSquares {
  @inline start(): v128 { return splat(0); }
  @inline step(s: v128, x: v128): v128 { return mulAdd(x, x, s); }
  @inline join(s: v128, t: v128): v128 { return f32x4.add(s, t); }
}

/**
 * Reductions of stored bytes. fn: 0 mean (n < 2^22), 1 max, 2 min. With `multiplier` 0 both sides have one quantisation
 * and the mean is rounded half up exactly; else the mean with 8 binary places, less `zero`, is requantised.
 */
export function i8_reduce(
  fn: i32, x: usize, y: usize, n: i32, inner: i32, zero: i32, multiplier: i32, constant: i32, shift: i32, from: i32, to: i32,
): void {
  const blocks = (inner + COLUMNS - 1) / COLUMNS;
  for (let row = from; row < to; row++) {
    const outer = row / blocks;
    const column = (row - outer * blocks) * COLUMNS;
    const source = x + <usize>outer * n * inner + column;
    const target = y + <usize>outer * inner + column;
    const count = min(COLUMNS, inner - column);
    if (inner == 1) store<u8>(target, bytesRow(fn, source, n, zero, multiplier, constant, shift));
    else if (fn == 0) meanColumns(source, target, n, inner, count, zero, multiplier, constant, shift);
    else extremeColumns(fn, source, target, n, inner, count);
  }
}

function bytesRow(fn: i32, x: usize, n: i32, zero: i32, multiplier: i32, constant: i32, shift: i32): u32 {
  let value: u32 = fn == 2 ? 255 : 0;
  for (let i = 0; i < n; i++) {
    const u: u32 = load<u8>(x + i);
    value = fn == 0 ? value + u : fn == 1 ? max(value, u) : min(value, u);
  }
  return fn == 0 ? meanByte(value, n, zero, multiplier, constant, shift) : value;
}

/** The byte of the mean sum / n. */
function meanByte(sum: u32, n: u32, zero: i32, multiplier: i32, constant: i32, shift: i32): u32 {
  if (multiplier == 0) return (2 * sum + n) / (2 * n);
  const whole = sum / n;
  const fixed = (whole << 8) + (((sum - whole * n) << 8) + (n >> 1)) / n;
  return max(0, min(255, ((<i32>fixed - zero) * multiplier + constant) >> shift));
}

function extremeColumns(fn: i32, x: usize, y: usize, n: i32, stride: usize, count: i32): void {
  let value = i8x16.splat(fn == 2 ? -1 : 0);
  for (; n > 0; n--, x += stride) {
    value = fn == 2 ? i8x16.min_u(value, v128.load(x)) : i8x16.max_u(value, v128.load(x));
  }
  if (count == COLUMNS) v128.store(y, value);
  else storeBytes(y, value, count);
}

function meanColumns(
  x: usize, y: usize, n: i32, stride: usize, count: i32, zero: i32, multiplier: i32, constant: i32, shift: i32,
): void {
  let t0 = i32x4.splat(0);
  let t1 = i32x4.splat(0);
  let t2 = i32x4.splat(0);
  let t3 = i32x4.splat(0);
  for (let left = n; left > 0; ) {
    // 257 bytes of 255 fit 16 bits.
    let low = i16x8.splat(0);
    let high = i16x8.splat(0);
    for (let part = min(left, 256); part > 0; part--, left--, x += stride) {
      const bytes = v128.load(x);
      low = i16x8.add(low, i16x8.extend_low_i8x16_u(bytes));
      high = i16x8.add(high, i16x8.extend_high_i8x16_u(bytes));
    }
    t0 = i32x4.add(t0, i32x4.extend_low_i16x8_u(low));
    t1 = i32x4.add(t1, i32x4.extend_high_i16x8_u(low));
    t2 = i32x4.add(t2, i32x4.extend_low_i16x8_u(high));
    t3 = i32x4.add(t3, i32x4.extend_high_i16x8_u(high));
  }
  t0 = meanBytes(t0, n, zero, multiplier, constant, shift);
  t1 = meanBytes(t1, n, zero, multiplier, constant, shift);
  t2 = meanBytes(t2, n, zero, multiplier, constant, shift);
  t3 = meanBytes(t3, n, zero, multiplier, constant, shift);
  const bytes = i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(t0, t1), i16x8.narrow_i32x4_s(t2, t3));
  if (count == COLUMNS) v128.store(y, bytes);
  else storeBytes(y, bytes, count);
}

function meanBytes(sums: v128, n: i32, zero: i32, multiplier: i32, constant: i32, shift: i32): v128 {
  let y = i32x4.splat(meanByte(i32x4.extract_lane(sums, 0), n, zero, multiplier, constant, shift));
  y = i32x4.replace_lane(y, 1, meanByte(i32x4.extract_lane(sums, 1), n, zero, multiplier, constant, shift));
  y = i32x4.replace_lane(y, 2, meanByte(i32x4.extract_lane(sums, 2), n, zero, multiplier, constant, shift));
  return i32x4.replace_lane(y, 3, meanByte(i32x4.extract_lane(sums, 3), n, zero, multiplier, constant, shift));
}
