/** Products of two matrices that are both computed by the network: the right one is packed when it is met. */
import { blockF32, denseOffsets, f32_pack } from './gemm';
import { applySteps } from './steps';

/**
 * y[b] = act(clamp(a[b] x b[b])) for every index of a batch of d0 x d1 x d2, a[b] of m x k, b[b] of k x n floats. The
 * operands' batch strides `a0`.. and `b0`.. are in elements, 0 where they are broadcast; `strideK` and `strideN` are
 * those of b's rows and columns. `block`: rows to multiply at a time. `scratch`: ceil(n / 8) panels of 32 * (k + 1)
 * bytes, 4 * block + 132 bytes. Rows: m of every index.
 */
export function f32_matmul(
  a: usize, b: usize, y: usize, m: i32, k: i32, n: i32, strideK: i32, strideN: i32, d1: i32, d2: i32,
  a0: i32, a1: i32, a2: i32, b0: i32, b1: i32, b2: i32, low: f32, high: f32, steps: usize,
  block: i32, scratch: usize, from: i32, to: i32,
): void {
  const panels = (n + 7) >> 3;
  const zeros = scratch, packed = zeros + (<usize>panels << 5);
  const stage = packed + ((<usize>panels * k) << 5), offsets = stage + 128;
  const pitchA = <usize>k << 2, pitchY = <usize>n << 2;
  memory.fill(zeros, 0, <usize>panels << 5);
  denseOffsets(offsets, block, pitchA);
  let there = -1;
  for (let row = from; row < to; ) {
    const index = row / m, first = row % m;
    const i2 = index % d2, i1 = (index / d2) % d1, i0 = index / d2 / d1;
    const right = i0 * b0 + i1 * b1 + i2 * b2;
    if (right != there) {
      f32_pack(b + (<usize>right << 2), packed, n, k, strideN, strideK, 0, panels);
      there = right;
    }
    const rows = min(block, min(m - first, to - row));
    const left = a + (<usize>(i0 * a0 + i1 * a1 + i2 * a2) << 2) + <usize>first * pitchA;
    const at = y + <usize>row * pitchY;
    blockF32(
      rows, left, offsets, 1, offsets + (<usize>block << 2), pitchA, packed, zeros, at, n, pitchY, 0, low, high, 0, stage,
    );
    if (steps) applySteps(steps, 0, at, rows * n);
    row += rows;
  }
}
