/** Softmax and log-softmax of rows of n contiguous floats; y may be x. Sums are taken in a fixed order. */
import { exp, firstLanes, log, select, splat, storeLanes, sumLanes } from './simd';

/** y = e^(x - max) / sum, or with `logarithm` x - max - ln(sum). */
export function f32_softmax(x: usize, y: usize, n: i32, logarithm: i32, from: i32, to: i32): void {
  for (let row = from; row < to; row++) {
    const at = (<usize>row * n) << 2;
    if (logarithm) logSoftmaxRow(x + at, y + at, n);
    else softmaxRow(x + at, y + at, n);
  }
}

function softmaxRow(x: usize, y: usize, n: i32): void {
  const top = splat(rowMax(x, n));
  let sums = splat(0);
  let i = 0;
  for (; i < n; i += 4) {
    const value = exp(f32x4.sub(v128.load(x + (i << 2)), top));
    if (n - i >= 4) {
      v128.store(y + (i << 2), value);
      sums = f32x4.add(sums, value);
    } else {
      storeLanes(y + (i << 2), value, n - i);
      sums = f32x4.add(sums, v128.and(value, firstLanes(n - i)));
    }
  }
  const factor = splat(1 / sumLanes(sums));
  for (i = 0; i < n; i += 4) {
    const value = f32x4.mul(v128.load(y + (i << 2)), factor);
    if (n - i >= 4) v128.store(y + (i << 2), value);
    else storeLanes(y + (i << 2), value, n - i);
  }
}

function logSoftmaxRow(x: usize, y: usize, n: i32): void {
  const top = rowMax(x, n);
  const logSum = splat(f32x4.extract_lane(log(splat(rowSumExp(x, n, top))), 0));
  for (let i = 0; i < n; i += 4) {
    const value = f32x4.sub(f32x4.sub(v128.load(x + (i << 2)), splat(top)), logSum);
    if (n - i >= 4) v128.store(y + (i << 2), value);
    else storeLanes(y + (i << 2), value, n - i);
  }
}

/** The largest of n >= 1 floats; NaN when there is one. */
export function rowMax(x: usize, n: i32): f32 {
  let top = splat(-Infinity), second = top, third = top, fourth = top;
  let i = 0;
  for (; i + 16 <= n; i += 16) {
    const at = x + (i << 2);
    top = f32x4.max(top, v128.load(at));
    second = f32x4.max(second, v128.load(at, 16));
    third = f32x4.max(third, v128.load(at, 32));
    fourth = f32x4.max(fourth, v128.load(at, 48));
  }
  top = f32x4.max(f32x4.max(top, second), f32x4.max(third, fourth));
  for (; i + 4 <= n; i += 4) top = f32x4.max(top, v128.load(x + (i << 2)));
  if (i < n) top = f32x4.max(top, select(firstLanes(n - i), v128.load(x + (i << 2)), splat(-Infinity)));
  return max(
    max(f32x4.extract_lane(top, 0), f32x4.extract_lane(top, 1)),
    max(f32x4.extract_lane(top, 2), f32x4.extract_lane(top, 3)),
  );
}

/** The sum of e^(x - top) over n floats. */
export function rowSumExp(x: usize, n: i32, top: f32): f32 {
  let sums = splat(0);
  for (let i = 0; i < n; i += 4) {
    const value = exp(f32x4.sub(v128.load(x + (i << 2)), splat(top)));
    sums = f32x4.add(sums, v128.and(value, firstLanes(n - i)));
  }
  return sumLanes(sums);
}
