/**
 * Products of one row: 32 columns at a time, four panels of 8 side by side, so that there are as many sums as hide the
 * time that an instruction takes. What reads four panels reads the last one again where there are fewer.
 */
import { dot } from './kind';
import { copyLine } from './line';
import { bound, finishRow, follow, PANEL } from './requant';

/** Columns at a time. */
export const ACROSS = 32;

/** Bytes from the first of four panels of `panelBytes` to the i-th, for the first of `n` columns. */
@inline
export function toPanel(i: i32, n: i32, panelBytes: usize): usize {
  return <usize>min(i, (min(n, ACROSS) - 1) >> 3) * panelBytes;
}

/** The epilogue of requant.ts for up to 8 of `n` sums of a row. `stage`: 32 bytes to work in. */
function finishPanel(
  c0: v128, c1: v128, params: usize, shift: i32, offset: i32, low: f32, high: f32, curve: usize, y: usize, n: i32,
  residual: usize, residualMultiplier: i32, stage: usize,
): void {
  const staged = n < 8 || curve != 0;
  const least = bound(shift, curve, low), most = bound(shift, curve, high);
  finishRow(
    c0, c1, params, shift, i32x4.splat(offset), least, most, curve, staged ? stage : y, residual, residualMultiplier,
  );
  if (curve) follow(stage, 1, y, 0, n, curve, params + 128);
  else if (staged) copyLine(y, stage, shift == 0 ? <usize>n << 2 : n);
}

/** The same for up to 32 sums, of as many panels as they are. */
export function finishVector(
  c00: v128, c01: v128, c10: v128, c11: v128, c20: v128, c21: v128, c30: v128, c31: v128, params: usize, shift: i32,
  offset: i32, low: f32, high: f32, curve: usize, y: usize, n: i32, residual: usize, residualMultiplier: i32, stage: usize,
): void {
  const size: usize = shift == 0 ? 32 : 8;
  const add: usize = residual ? 8 : 0;
  finishPanel(c00, c01, params, shift, offset, low, high, curve, y, n, residual, residualMultiplier, stage);
  if (n <= 8) return;
  params += PANEL;
  y += size;
  residual += add;
  finishPanel(c10, c11, params, shift, offset, low, high, curve, y, n - 8, residual, residualMultiplier, stage);
  if (n <= 16) return;
  params += PANEL;
  y += size;
  residual += add;
  finishPanel(c20, c21, params, shift, offset, low, high, curve, y, n - 16, residual, residualMultiplier, stage);
  if (n <= 24) return;
  params += PANEL;
  y += size;
  residual += add;
  finishPanel(c30, c31, params, shift, offset, low, high, curve, y, n - 24, residual, residualMultiplier, stage);
}

/** One row by up to 32 of `n` columns, of panels as `tile` of dot.ts takes them, which lie `panelBytes` apart. */
@inline
function vector(
  relaxed: bool, a: usize, runs: i32, runOffsets: usize, runBytes: usize, w: usize, panelBytes: usize, params: usize,
  shift: i32, offset: i32, low: f32, high: f32, curve: usize, y: usize, n: i32, residual: usize,
  residualMultiplier: i32, stage: usize,
): void {
  let w1 = w + toPanel(1, n, panelBytes), w2 = w + toPanel(2, n, panelBytes), w3 = w + toPanel(3, n, panelBytes);
  const bias1 = params + toPanel(1, n, PANEL), bias2 = params + toPanel(2, n, PANEL), bias3 = params + toPanel(3, n, PANEL);
  let c00 = v128.load(params), c01 = v128.load(params, 16), c10 = v128.load(bias1), c11 = v128.load(bias1, 16);
  let c20 = v128.load(bias2), c21 = v128.load(bias2, 16), c30 = v128.load(bias3), c31 = v128.load(bias3, 16);
  const last = runOffsets + (<usize>runs << 2);
  while (runOffsets < last) {
    let p = a + load<u32>(runOffsets);
    const end = w + (runBytes << 3);
    do {
      const x = v128.load32_splat(p);
      c00 = dot(relaxed, v128.load(w), x, c00);
      c01 = dot(relaxed, v128.load(w, 16), x, c01);
      c10 = dot(relaxed, v128.load(w1), x, c10);
      c11 = dot(relaxed, v128.load(w1, 16), x, c11);
      c20 = dot(relaxed, v128.load(w2), x, c20);
      c21 = dot(relaxed, v128.load(w2, 16), x, c21);
      c30 = dot(relaxed, v128.load(w3), x, c30);
      c31 = dot(relaxed, v128.load(w3, 16), x, c31);
      p += 4;
      w += 32;
      w1 += 32;
      w2 += 32;
      w3 += 32;
    } while (w < end);
    runOffsets += 4;
  }
  finishVector(
    c00, c01, c10, c11, c20, c21, c30, c31, params, shift, offset, low, high, curve, y, n, residual, residualMultiplier,
    stage,
  );
}

export function wideVector(
  a: usize, runs: i32, runOffsets: usize, runBytes: usize, w: usize, panelBytes: usize, params: usize, shift: i32,
  offset: i32, low: f32, high: f32, curve: usize, y: usize, n: i32, residual: usize, residualMultiplier: i32, stage: usize,
): void {
  vector(
    false, a, runs, runOffsets, runBytes, w, panelBytes, params, shift, offset, low, high, curve, y, n, residual,
    residualMultiplier, stage,
  );
}

export function relaxedVector(
  a: usize, runs: i32, runOffsets: usize, runBytes: usize, w: usize, panelBytes: usize, params: usize, shift: i32,
  offset: i32, low: f32, high: f32, curve: usize, y: usize, n: i32, residual: usize, residualMultiplier: i32, stage: usize,
): void {
  vector(
    true, a, runs, runOffsets, runBytes, w, panelBytes, params, shift, offset, low, high, curve, y, n, residual,
    residualMultiplier, stage,
  );
}
