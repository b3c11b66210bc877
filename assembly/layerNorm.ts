/** Normalisation of rows of n contiguous floats; y may be x. Sums are taken in a fixed order. */
import { firstLanes, mulAdd, splat, storeLanes, sumLanes } from './simd';

/** y = (x - mean) / sqrt(variance + epsilon) * gamma + beta; gamma and beta have n elements, address 0 leaves one out. */
export function f32_layerNorm(
  x: usize, y: usize, n: i32, gamma: usize, beta: usize, epsilon: f32, from: i32, to: i32,
): void {
  for (let row = from; row < to; row++) {
    const at = (<usize>row * n) << 2;
    layerNormRow(x + at, y + at, n, gamma, beta, epsilon);
  }
}

function layerNormRow(x: usize, y: usize, n: i32, gamma: usize, beta: usize, epsilon: f32): void {
  let sums = splat(0);
  for (let i = 0; i < n; i += 4) sums = f32x4.add(sums, v128.and(v128.load(x + (i << 2)), firstLanes(n - i)));
  const mean = splat(sumLanes(sums) / <f32>n);
  let squares = splat(0);
  for (let i = 0; i < n; i += 4) {
    const d = v128.and(f32x4.sub(v128.load(x + (i << 2)), mean), firstLanes(n - i));
    squares = mulAdd(d, d, squares);
  }
  const factor = splat(1 / sqrt(sumLanes(squares) / <f32>n + epsilon));
  for (let i = 0; i < n; i += 4) {
    let value = f32x4.mul(f32x4.sub(v128.load(x + (i << 2)), mean), factor);
    if (gamma) value = f32x4.mul(value, v128.load(gamma + (i << 2)));
    if (beta) value = f32x4.add(value, v128.load(beta + (i << 2)));
    if (n - i >= 4) v128.store(y + (i << 2), value);
    else storeLanes(y + (i << 2), value, n - i);
  }
}
