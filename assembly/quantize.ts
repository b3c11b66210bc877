/** Between real values and stored bytes (level + 128), and the 256-entry tables that stand for functions of one byte. */
import { storeBytes } from './line';
import { clamp, splat, storeLanes } from './simd';

/** Elements of a row. */
const BLOCK: i32 = 1024;

/** y = clamp(round(x / scale) + zero) for n elements in all, ties to even; NaN gives `zero`, which is 0..255 as stored. */
export function f32_quantize(x: usize, y: usize, n: i32, scale: f32, zero: i32, from: i32, to: i32): void {
  const s = splat(scale);
  const z = i32x4.splat(zero);
  let i = from * BLOCK;
  let left = min(n, to * BLOCK) - i;
  x += i << 2;
  y += i;
  for (; left > 0; left -= 16, x += 64, y += 16) {
    const q0 = level(v128.load(x), s, z);
    const q1 = level(v128.load(x, 16), s, z);
    const q2 = level(v128.load(x, 32), s, z);
    const q3 = level(v128.load(x, 48), s, z);
    const bytes = i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(q0, q1), i16x8.narrow_i32x4_s(q2, q3));
    if (left >= 16) v128.store(y, bytes);
    else storeBytes(y, bytes, left);
  }
}

// @ts-ignore: decorator
@inline
function level(x: v128, scale: v128, zero: v128): v128 {
  return i32x4.add(i32x4.trunc_sat_f32x4_s(clamp(f32x4.nearest(f32x4.div(x, scale)), -1024, 1024)), zero);
}

/** y = (x - zero) * scale for n elements in all; `zero` as stored. */
export function i8_dequantize(x: usize, y: usize, n: i32, scale: f32, zero: i32, from: i32, to: i32): void {
  const s = splat(scale);
  const z = i32x4.splat(zero);
  let i = from * BLOCK;
  let left = min(n, to * BLOCK) - i;
  x += i;
  y += i << 2;
  for (; left > 0; left -= 4, x += 4, y += 16) {
    const words = i16x8.extend_low_i8x16_u(v128.load32_zero(x));
    const value = f32x4.mul(f32x4.convert_i32x4_s(i32x4.sub(i32x4.extend_low_i16x8_u(words), z)), s);
    if (left >= 4) v128.store(y, value);
    else storeLanes(y, value, left);
  }
}

/** y = table[x], byte by byte, for n elements in all. */
export function i8_table(x: usize, y: usize, n: i32, table: usize, from: i32, to: i32): void {
  const end = min(n, to * BLOCK);
  let i = from * BLOCK;
  for (; i + 4 <= end; i += 4) {
    const four = load<u32>(x + i);
    const low = <u32>load<u8>(table + (four & 255)) | (<u32>load<u8>(table + ((four >> 8) & 255)) << 8);
    const high = <u32>load<u8>(table + ((four >> 16) & 255)) | (<u32>load<u8>(table + (four >> 24)) << 8);
    store<u32>(y + i, low | (high << 16));
  }
  for (; i < end; i++) store<u8>(y + i, load<u8>(table + <usize>load<u8>(x + i)));
}
