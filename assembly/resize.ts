/**
 * Resizing NHWC images, nearest and bilinear. Where an output coordinate falls is computed once for each axis, in
 * doubles, into tables; the other kernels only follow them. Their row unit is an output row of one image.
 */
import { copyLine, storeBytes } from './line';

/** Bytes of an entry of a linear table: i32 first, i32 second, f32 and i32 (of 128) weight of the second. */
const ENTRY = 16;

/** Index nearest to ((o + shift) * numerator) / denominator + origin. Roundings: 0 floor, 1 ceil, 2 half down, 3 half up. */
export function nearestTable(
  table: usize, size: i32, shift: f64, numerator: f64, denominator: f64, origin: f64, rounding: i32, from: i32, to: i32,
): void {
  for (let o = from; o < to; o++) {
    const at = ((<f64>o + shift) * numerator) / denominator + origin;
    let index: f64;
    if (rounding == 0) index = Math.floor(at);
    else if (rounding == 1) index = Math.ceil(at);
    else if (rounding == 2) index = Math.ceil(at - 0.5);
    else index = Math.floor(at + 0.5);
    store<i32>(table + (o << 2), <i32>Math.min(Math.max(index, 0), <f64>(size - 1)));
  }
}

/** The two elements around the coordinate, kept inside the axis, and the weight of the second. */
export function linearTable(
  table: usize, size: i32, shift: f64, numerator: f64, denominator: f64, origin: f64, from: i32, to: i32,
): void {
  for (let o = from; o < to; o++) {
    const at = ((<f64>o + shift) * numerator) / denominator + origin;
    const inside = Math.min(Math.max(at, 0), <f64>(size - 1));
    const first = <i32>inside;
    const weight = inside - <f64>first;
    const entry = table + o * ENTRY;
    store<i32>(entry, first);
    store<i32>(entry, min(first + 1, size - 1), 4);
    store<f32>(entry, <f32>weight, 8);
    store<i32>(entry, <i32>Math.floor(weight * 128 + 0.5), 12);
  }
}

/** Pixels of `bytes` bytes from the rows and columns in two nearest tables. */
export function x8_resizeNearest(
  x: usize, y: usize, down: usize, across: usize, h: i32, w: i32, oh: i32, ow: i32, bytes: i32, from: i32, to: i32,
): void {
  for (let r = from; r < to; r++) {
    const image = r / oh;
    const line = x + (image * h + load<i32>(down + ((r - image * oh) << 2))) * w * bytes;
    let q = y + r * ow * bytes;
    for (let ox = 0; ox < ow; ox++) {
      copyLine(q, line + load<i32>(across + (ox << 2)) * bytes, bytes);
      q += bytes;
    }
  }
}

export function f32_resizeLinear(
  x: usize, y: usize, down: usize, across: usize, h: i32, w: i32, c: i32, oh: i32, ow: i32, from: i32, to: i32,
): void {
  const pixel = c << 2;
  for (let r = from; r < to; r++) {
    const image = r / oh;
    const dy = down + (r - image * oh) * ENTRY;
    const upper = x + (image * h + load<i32>(dy)) * w * pixel;
    const lower = x + (image * h + load<i32>(dy, 4)) * w * pixel;
    const wy = load<f32>(dy, 8);
    let q = y + r * ow * pixel;
    for (let ox = 0; ox < ow; ox++) {
      const dx = across + ox * ENTRY;
      const left = load<i32>(dx) * pixel;
      const right = load<i32>(dx, 4) * pixel;
      const wx = load<f32>(dx, 8);
      const w00 = f32x4.splat((1 - wy) * (1 - wx));
      const w01 = f32x4.splat((1 - wy) * wx);
      const w10 = f32x4.splat(wy * (1 - wx));
      const w11 = f32x4.splat(wy * wx);
      for (let i = 0; i < pixel; i += 16) {
        if (i + 16 > pixel && pixel >= 16) i = pixel - 16;
        let v = f32x4.mul(v128.load(upper + left + i), w00);
        v = f32x4.add(v, f32x4.mul(v128.load(upper + right + i), w01));
        v = f32x4.add(v, f32x4.mul(v128.load(lower + left + i), w10));
        v = f32x4.add(v, f32x4.mul(v128.load(lower + right + i), w11));
        if (pixel >= 16) v128.store(q + i, v);
        else storeBytes(q, v, pixel);
      }
      q += pixel;
    }
  }
}

/** y = (sum of weight * byte + 2^13) >> 14; the four weights of a pixel add up to 2^14. */
export function i8_resizeLinear(
  x: usize, y: usize, down: usize, across: usize, h: i32, w: i32, c: i32, oh: i32, ow: i32, from: i32, to: i32,
): void {
  const half = i32x4.splat(1 << 13);
  for (let r = from; r < to; r++) {
    const image = r / oh;
    const dy = down + (r - image * oh) * ENTRY;
    const upper = x + (image * h + load<i32>(dy)) * w * c;
    const lower = x + (image * h + load<i32>(dy, 4)) * w * c;
    const wy = load<i32>(dy, 12);
    let q = y + r * ow * c;
    for (let ox = 0; ox < ow; ox++) {
      const dx = across + ox * ENTRY;
      const left = load<i32>(dx) * c;
      const right = load<i32>(dx, 4) * c;
      const wx = load<i32>(dx, 12);
      // Pairs of 16-bit weights, for the left and the right byte of a pair.
      const weightsUpper = i32x4.splat((128 - wy) * (128 - wx) | (((128 - wy) * wx) << 16));
      const weightsLower = i32x4.splat(wy * (128 - wx) | ((wy * wx) << 16));
      for (let i = 0; i < c; i += 8) {
        if (i + 8 > c && c >= 8) i = c - 8;
        const top = i8x16.shuffle(
          v128.load64_zero(upper + left + i), v128.load64_zero(upper + right + i),
          0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23,
        );
        const bottom = i8x16.shuffle(
          v128.load64_zero(lower + left + i), v128.load64_zero(lower + right + i),
          0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23,
        );
        const low = i32x4.add(
          i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(top), weightsUpper),
          i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(bottom), weightsLower),
        );
        const high = i32x4.add(
          i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(top), weightsUpper),
          i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(bottom), weightsLower),
        );
        const words = i16x8.narrow_i32x4_s(i32x4.shr_s(i32x4.add(low, half), 14), i32x4.shr_s(i32x4.add(high, half), 14));
        const bytes = i8x16.narrow_i16x8_u(words, words);
        if (c >= 8) v128.store64_lane(q + i, bytes, 0);
        else storeBytes(q, bytes, c);
      }
      q += c;
    }
  }
}
