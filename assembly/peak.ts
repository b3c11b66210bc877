/**
 * Loops of multiply-accumulates and little else, for the bench alone: what the machine reaches. One operand changes in every
 * round, so that no product can be moved out of the loop, and no more than 15 vectors are alive. Each returns a number that
 * depends on all sums; what lies in the first 2 KiB of memory is multiplied. Not part of the binaries.
 */

@inline
function total(a: v128, b: v128, c: v128, d: v128): i32 {
  const sum = i32x4.add(i32x4.add(a, b), i32x4.add(c, d));
  return i32x4.extract_lane(sum, 0) ^ i32x4.extract_lane(sum, 1) ^ i32x4.extract_lane(sum, 2) ^ i32x4.extract_lane(sum, 3);
}

/** 12 sums, 16 products each: 192 a round. */
export function u8_peak(rounds: i32, seed: i32): i32 {
  const w0 = i8x16.splat(<i8>seed), w1 = i8x16.splat(<i8>(seed + 1));
  let x = i8x16.splat(<i8>seed);
  let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0, b4 = a0, b5 = a0;
  for (; rounds > 0; rounds--) {
    a0 = i32x4.relaxed_dot_i8x16_i7x16_add_s(w0, x, a0);
    b0 = i32x4.relaxed_dot_i8x16_i7x16_add_s(w1, x, b0);
    a1 = i32x4.relaxed_dot_i8x16_i7x16_add_s(w0, x, a1);
    b1 = i32x4.relaxed_dot_i8x16_i7x16_add_s(w1, x, b1);
    a2 = i32x4.relaxed_dot_i8x16_i7x16_add_s(w0, x, a2);
    b2 = i32x4.relaxed_dot_i8x16_i7x16_add_s(w1, x, b2);
    a3 = i32x4.relaxed_dot_i8x16_i7x16_add_s(w0, x, a3);
    b3 = i32x4.relaxed_dot_i8x16_i7x16_add_s(w1, x, b3);
    a4 = i32x4.relaxed_dot_i8x16_i7x16_add_s(w0, x, a4);
    b4 = i32x4.relaxed_dot_i8x16_i7x16_add_s(w1, x, b4);
    a5 = i32x4.relaxed_dot_i8x16_i7x16_add_s(w0, x, a5);
    b5 = i32x4.relaxed_dot_i8x16_i7x16_add_s(w1, x, b5);
    x = i8x16.add(x, w0);
  }
  return total(a0, a1, a2, a3) ^ total(a4, a5, b0, b1) ^ total(b2, b3, b4, b5);
}

/** 8 sums, 8 products each: 64 a round. */
export function i16_peak(rounds: i32, seed: i32): i32 {
  const x0 = i16x8.splat(<i16>seed), x1 = i16x8.add(x0, x0), x2 = i16x8.add(x1, x0), x3 = i16x8.add(x2, x0);
  let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  for (; rounds > 0; rounds--) {
    const at = <usize>(rounds & 63) << 5;
    const w0 = v128.load(at), w1 = v128.load(at, 16);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(w0, x0));
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(w1, x0));
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(w0, x1));
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(w1, x1));
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(w0, x2));
    b2 = i32x4.add(b2, i32x4.dot_i16x8_s(w1, x2));
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(w0, x3));
    b3 = i32x4.add(b3, i32x4.dot_i16x8_s(w1, x3));
  }
  return total(a0, a1, a2, a3) ^ total(b0, b1, b2, b3);
}

/** 8 sums, 4 products each: 32 a round. */
export function f32_peak(rounds: i32, seed: f32): f32 {
  const x0 = f32x4.splat(<f32>seed), x1 = f32x4.add(x0, x0), x2 = f32x4.add(x1, x0), x3 = f32x4.add(x2, x0);
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  for (; rounds > 0; rounds--) {
    const at = <usize>(rounds & 63) << 5;
    const w0 = v128.load(at), w1 = v128.load(at, 16);
    a0 = f32x4.add(a0, f32x4.mul(w0, x0));
    b0 = f32x4.add(b0, f32x4.mul(w1, x0));
    a1 = f32x4.add(a1, f32x4.mul(w0, x1));
    b1 = f32x4.add(b1, f32x4.mul(w1, x1));
    a2 = f32x4.add(a2, f32x4.mul(w0, x2));
    b2 = f32x4.add(b2, f32x4.mul(w1, x2));
    a3 = f32x4.add(a3, f32x4.mul(w0, x3));
    b3 = f32x4.add(b3, f32x4.mul(w1, x3));
  }
  const sum = f32x4.add(f32x4.add(f32x4.add(a0, a1), f32x4.add(a2, a3)), f32x4.add(f32x4.add(b0, b1), f32x4.add(b2, b3)));
  return f32x4.extract_lane(sum, 0) + f32x4.extract_lane(sum, 1) + f32x4.extract_lane(sum, 2) + f32x4.extract_lane(sum, 3);
}
