/**
 * Matrix products: the register tiles, and the loop over a block of rows that conv, gemm and matmul share.
 *
 * A row of the left operand is not stored as such: it is `runs` pieces of contiguous memory. `offsets[m]` says where row
 * m starts, `runOffsets[r]` where its r-th piece starts from there. A dense matrix has one run; a convolution has one
 * per kernel row, so that images are multiplied where they lie. The right operand is packed in panels of 8 columns.
 *
 * Tiles hold their sums in named locals (there are no arrays of registers) and must keep at most 15 vectors alive; the
 * K loop is not unrolled, because the optimiser would chain the sums.
 */
import { blockI8 } from './dot';
import { BYTES, convert, sizeOf } from './kind';
import { copyLine, unstage } from './line';
import { blockSparse } from './sparse';
import { applySteps, swish, swishOf } from './steps';
import { ACROSS, toPanel } from './vector';

/** 4 finished f32 sums: + residual, clamp, the hard swish at `step` (0 for none), store. */
@inline
export function finishF32(sum: v128, y: usize, residual: usize, lo: v128, hi: v128, step: usize): void {
  if (residual) sum = f32x4.add(sum, v128.load(residual));
  sum = f32x4.pmin(f32x4.pmax(sum, lo), hi);
  v128.store(y, step ? swish(sum, step) : sum);
}

/** One row of 8 of them. */
@inline
export function storeF32(c0: v128, c1: v128, y: usize, residual: usize, lo: v128, hi: v128, step: usize): void {
  if (residual) {
    c0 = f32x4.add(c0, v128.load(residual));
    c1 = f32x4.add(c1, v128.load(residual, 16));
  }
  c0 = f32x4.pmin(f32x4.pmax(c0, lo), hi);
  c1 = f32x4.pmin(f32x4.pmax(c1, lo), hi);
  if (step) {
    c0 = swish(c0, step);
    c1 = swish(c1, step);
  }
  v128.store(y, c0);
  v128.store(y, c1, 16);
}

/** 4 x 8 outputs. `runBytes` is not 0. */
@inline
function tileF32(
  a: usize, offsets: usize, runs: i32, runOffsets: usize, runBytes: usize, w: usize, bias: usize,
  y: usize, pitch: usize, residual: usize, residualPitch: usize, low: f32, high: f32, step: usize,
): void {
  let c00 = v128.load(bias), c01 = v128.load(bias, 16);
  let c10 = c00, c11 = c01, c20 = c00, c21 = c01, c30 = c00, c31 = c01;
  const last = runOffsets + (<usize>runs << 2);
  while (runOffsets < last) {
    let p0 = a + load<u32>(runOffsets);
    let p1 = p0 + load<u32>(offsets, 4), p2 = p0 + load<u32>(offsets, 8), p3 = p0 + load<u32>(offsets, 12);
    p0 += load<u32>(offsets);
    const end = w + (runBytes << 3);
    do {
      const w0 = v128.load(w), w1 = v128.load(w, 16);
      let x = v128.load32_splat(p0);
      c00 = f32x4.add(c00, f32x4.mul(x, w0));
      c01 = f32x4.add(c01, f32x4.mul(x, w1));
      p0 += 4;
      x = v128.load32_splat(p1);
      c10 = f32x4.add(c10, f32x4.mul(x, w0));
      c11 = f32x4.add(c11, f32x4.mul(x, w1));
      p1 += 4;
      x = v128.load32_splat(p2);
      c20 = f32x4.add(c20, f32x4.mul(x, w0));
      c21 = f32x4.add(c21, f32x4.mul(x, w1));
      p2 += 4;
      x = v128.load32_splat(p3);
      c30 = f32x4.add(c30, f32x4.mul(x, w0));
      c31 = f32x4.add(c31, f32x4.mul(x, w1));
      p3 += 4;
      w += 32;
    } while (w < end);
    runOffsets += 4;
  }
  const lo = f32x4.splat(low), hi = f32x4.splat(high);
  storeF32(c00, c01, y, residual, lo, hi, step);
  storeF32(c10, c11, y + pitch, residual + residualPitch, lo, hi, step);
  storeF32(c20, c21, y + 2 * pitch, residual + 2 * residualPitch, lo, hi, step);
  storeF32(c30, c31, y + 3 * pitch, residual + 3 * residualPitch, lo, hi, step);
}

/** The epilogue of up to 8 of `n` sums of a row. `stage`: 32 bytes to work in. */
function finishPanelF32(
  c0: v128, c1: v128, y: usize, n: i32, residual: usize, low: f32, high: f32, step: usize, stage: usize,
): void {
  storeF32(c0, c1, n < 8 ? stage : y, residual, f32x4.splat(low), f32x4.splat(high), step);
  if (n < 8) copyLine(y, stage, <usize>n << 2);
}

/** One row by up to 32 of `n` columns, as `vector` of vector.ts. `runBytes` is not 0. */
function vectorF32(
  a: usize, runs: i32, runOffsets: usize, runBytes: usize, w: usize, panelBytes: usize, bias: usize, y: usize, n: i32,
  residual: usize, low: f32, high: f32, step: usize, stage: usize,
): void {
  let w1 = w + toPanel(1, n, panelBytes), w2 = w + toPanel(2, n, panelBytes), w3 = w + toPanel(3, n, panelBytes);
  const bias1 = bias + toPanel(1, n, 32), bias2 = bias + toPanel(2, n, 32), bias3 = bias + toPanel(3, n, 32);
  let c00 = v128.load(bias), c01 = v128.load(bias, 16), c10 = v128.load(bias1), c11 = v128.load(bias1, 16);
  let c20 = v128.load(bias2), c21 = v128.load(bias2, 16), c30 = v128.load(bias3), c31 = v128.load(bias3, 16);
  const last = runOffsets + (<usize>runs << 2);
  while (runOffsets < last) {
    let p = a + load<u32>(runOffsets);
    const end = w + (runBytes << 3);
    do {
      const x = v128.load32_splat(p);
      c00 = f32x4.add(c00, f32x4.mul(x, v128.load(w)));
      c01 = f32x4.add(c01, f32x4.mul(x, v128.load(w, 16)));
      c10 = f32x4.add(c10, f32x4.mul(x, v128.load(w1)));
      c11 = f32x4.add(c11, f32x4.mul(x, v128.load(w1, 16)));
      c20 = f32x4.add(c20, f32x4.mul(x, v128.load(w2)));
      c21 = f32x4.add(c21, f32x4.mul(x, v128.load(w2, 16)));
      c30 = f32x4.add(c30, f32x4.mul(x, v128.load(w3)));
      c31 = f32x4.add(c31, f32x4.mul(x, v128.load(w3, 16)));
      p += 4;
      w += 32;
      w1 += 32;
      w2 += 32;
      w3 += 32;
    } while (w < end);
    runOffsets += 4;
  }
  const add: usize = residual ? 32 : 0;
  finishPanelF32(c00, c01, y, n, residual, low, high, step, stage);
  if (n > 8) finishPanelF32(c10, c11, y + 32, n - 8, residual + add, low, high, step, stage);
  if (n > 16) finishPanelF32(c20, c21, y + 64, n - 16, residual + 2 * add, low, high, step, stage);
  if (n > 24) finishPanelF32(c30, c31, y + 96, n - 24, residual + 3 * add, low, high, step, stage);
}

/**
 * `rows` rows of `n` outputs. `w` is panels as `f32_pack` makes them, `bias` padded to the panels. `y` and `residual`
 * (0 for none) have rows of `pitch` bytes. `activation`: of swishOf. `stage`: 128 bytes to work in.
 */
export function blockF32(
  rows: i32, a: usize, offsets: usize, runs: i32, runOffsets: usize, runBytes: usize, w: usize, bias: usize,
  y: usize, n: i32, pitch: usize, residual: usize, low: f32, high: f32, activation: usize, stage: usize,
): void {
  if (runBytes == 0) runs = 0;
  const panelBytes = (<usize>runs * runBytes) << 3;
  const residualPitch: usize = residual ? pitch : 0;
  const tiled = rows & ~3;
  for (; n > 0; n -= ACROSS) {
    for (let channel = 0; channel < min(n, ACROSS); channel += 8) {
      const panel = w + <usize>(channel >> 3) * panelBytes, panelBias = bias + (<usize>channel << 2);
      const ragged = n - channel < 8;
      const step: usize = ragged ? 32 : pitch;
      let at = y + (<usize>channel << 2), add = residual ? residual + (<usize>channel << 2) : 0, row = offsets;
      for (let left = tiled; left > 0; left -= 4) {
        tileF32(
          a, row, runs, runOffsets, runBytes, panel, panelBias, ragged ? stage : at, step, add, residualPitch, low, high,
          activation,
        );
        if (ragged) unstage(stage, 32, at, pitch, 4, <usize>(n - channel) << 2);
        at += pitch << 2;
        add += residualPitch << 2;
        row += 16;
      }
    }
    for (let m: usize = tiled; m < <usize>rows; m++) {
      vectorF32(
        a + load<u32>(offsets + (m << 2)), runs, runOffsets, runBytes, w, panelBytes, bias, y + m * pitch, n,
        residual ? residual + m * pitch : 0, low, high, activation, stage,
      );
    }
    w += panelBytes << 2;
    bias += 4 * ACROSS;
    y += 4 * ACROSS;
    if (residual) residual += 4 * ACROSS;
  }
}

/**
 * Packs `groups` matrices of n x k floats, one after the other, to panels [group][n/8][k][8], the last of each group
 * padded with zeros. Element (i, j) lies at 4 * (i * strideN + j * strideK) in its matrix. Rows: panels of all groups.
 */
export function f32_pack(
  source: usize, packed: usize, n: i32, k: i32, strideN: i32, strideK: i32, from: i32, to: i32,
): void {
  const across = <usize>strideN << 2, along = <usize>strideK << 2;
  const panels = (n + 7) >> 3;
  for (let row = from; row < to; row++) {
    const group = row / panels, panel = row % panels;
    const count = min(8, n - panel * 8);
    let out = packed + ((<usize>row * k) << 5);
    let first = source + ((<usize>group * n * k) << 2) + <usize>panel * 8 * across;
    for (let j = 0; j < k; j++) {
      if (across == 4 && count == 8) {
        v128.store(out, v128.load(first));
        v128.store(out, v128.load(first, 16), 16);
      } else {
        let at = first;
        for (let i: usize = 0; i < 8; i++) {
          store<f32>(out + (i << 2), <i32>i < count ? load<f32>(at) : 0);
          at += across;
        }
      }
      out += 32;
      first += along;
    }
  }
}

/** The offsets of `rows` rows that lie `pitch` bytes apart, and one run at 0 behind them. */
export function denseOffsets(offsets: usize, rows: i32, pitch: usize): void {
  for (let m = 0; m < rows; m++) store<u32>(offsets + (<usize>m << 2), <u32>(<usize>m * pitch));
  store<u32>(offsets + (<usize>rows << 2), 0);
}

/**
 * y[m][n] = act(clamp(sum over k of x[m][k] * w[n][k] + bias[n] + residual[m][n])).
 * `residual`, `steps`: 0 for none. `block`: rows to multiply at a time. `scratch`: 4 * block + 132 bytes. Rows: m.
 */
export function f32_gemm(
  x: usize, w: usize, bias: usize, residual: usize, y: usize, k: i32, n: i32, low: f32, high: f32, steps: usize,
  block: i32, scratch: usize, from: i32, to: i32,
): void {
  const stage = scratch, offsets = scratch + 128;
  const pitchX = <usize>k << 2, pitchY = <usize>n << 2;
  const activation = swishOf(steps);
  denseOffsets(offsets, block, pitchX);
  for (let m = from; m < to; m += block) {
    const rows = min(block, to - m);
    const at = y + <usize>m * pitchY;
    const add = residual ? residual + <usize>m * pitchY : 0;
    blockF32(
      rows, x + <usize>m * pitchX, offsets, 1, offsets + (<usize>block << 2), pitchX, w, bias, at, n, pitchY, add,
      low, high, activation, stage,
    );
    if (steps) applySteps(steps, activation ? 1 : 0, at, rows * n);
  }
}

/**
 * The same on levels, in the arithmetic of requant.ts; `kind` as in kind.ts. `w`: i8_pack of [n][1][k]; with `room` alone
 * lists as in sparse.ts, with `levels` too (else 0) codes as in codes.ts. `after`: the curve of an output in levels, or the
 * activation program of a float output; 0 for none. `scratch`: 4 * block + 196 bytes, rounded up to 16, and the block of x with
 * 16 elements more, unless the kind is BYTES. Rows: m.
 */
export function i8_gemm(
  x: usize, w: usize, params: usize, residual: usize, y: usize, k: i32, n: i32, kind: i32, shift: i32, offset: i32,
  low: f32, high: f32, residualMultiplier: i32, after: usize, block: i32, scratch: usize, levels: usize,
  room: usize, from: i32, to: i32,
): void {
  const stage = scratch, offsets = scratch + 192;
  const curve = shift ? after : 0;
  const form = (offsets + (<usize>block << 2) + 4 + 15) & ~15;
  const pitch = <usize>k * sizeOf(kind), pitchY = shift ? <usize>n : <usize>n << 2;
  denseOffsets(offsets, block, pitch);
  for (let m = from; m < to; m += block) {
    const rows = min(block, to - m);
    const at = y + <usize>m * pitchY;
    let a = x + <usize>m * k;
    if (kind != BYTES) {
      convert(kind, form, a, <usize>rows * k);
      a = form;
    }
    const run = offsets + (<usize>block << 2), runBytes = (pitch + 3) & ~3;
    const add = residual ? residual + <usize>m * n : 0, residualPitch: usize = residual ? n : 0;
    if (room && !levels) {
      blockSparse(
        kind, rows, a, offsets, 1, run, runBytes, w, params, shift, offset, low, high, curve, at, n, pitchY, add,
        residualPitch, residualMultiplier, stage, room,
      );
    } else {
      blockI8(
        kind, rows, a, offsets, 1, run, runBytes, w, levels, room, params, shift, offset, low, high, curve, at, n, pitchY, add,
        residualPitch, residualMultiplier, stage,
      );
    }
    if (after && !shift) applySteps(after, 0, at, rows * n);
  }
}
