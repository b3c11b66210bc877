/**
 * Products of bytes: the register tiles of gemm.ts in integers, for the kinds of kind.ts.
 */
import { blockCodes, codeBytes, codedRows, unpack } from './codes';
import { dot, WIDE } from './kind';
import { unstage } from './line';
import {
  addend, bound, follow, FREE_SHIFT, isFree, PANEL, rescale, scale, setFree, storeFloats, storeLevels,
} from './requant';
import { ACROSS, relaxedVector, wideVector } from './vector';

/**
 * mr (4 or 6) x 8 outputs. Both kinds take 4 bytes of a row at a time: 4 elements for the relaxed dot, 2 for that of 16 bits. The
 * epilogue is that of requant.ts.
 */
@inline
function tile(
  relaxed: bool, mr: i32, a: usize, offsets: usize, runs: i32, runOffsets: usize, runBytes: usize, w: usize,
  params: usize, shift: i32, offset: v128, low: v128, high: v128, whole: bool, curve: usize, y: usize, pitch: usize,
  residual: usize, residualPitch: usize, residualMultiplier: i32,
): void {
  let c00 = v128.load(params), c01 = v128.load(params, 16);
  let c10 = c00, c11 = c01, c20 = c00, c21 = c01, c30 = c00, c31 = c01, c40 = c00, c41 = c01, c50 = c00, c51 = c01;
  const last = runOffsets + (<usize>runs << 2);
  while (runOffsets < last) {
    const at = a + load<u32>(runOffsets);
    let p0 = at + load<u32>(offsets), p1 = at + load<u32>(offsets, 4), p2 = at + load<u32>(offsets, 8);
    let p3 = at + load<u32>(offsets, 12), p4 = at, p5 = at;
    if (mr > 4) {
      p4 = at + load<u32>(offsets, 16);
      p5 = at + load<u32>(offsets, 20);
    }
    const end = w + (runBytes << 3);
    do {
      const w0 = v128.load(w), w1 = v128.load(w, 16);
      let x: v128;
      x = v128.load32_splat(p0);
      c00 = dot(relaxed, w0, x, c00);
      c01 = dot(relaxed, w1, x, c01);
      p0 += 4;
      x = v128.load32_splat(p1);
      c10 = dot(relaxed, w0, x, c10);
      c11 = dot(relaxed, w1, x, c11);
      p1 += 4;
      x = v128.load32_splat(p2);
      c20 = dot(relaxed, w0, x, c20);
      c21 = dot(relaxed, w1, x, c21);
      p2 += 4;
      x = v128.load32_splat(p3);
      c30 = dot(relaxed, w0, x, c30);
      c31 = dot(relaxed, w1, x, c31);
      p3 += 4;
      if (mr > 4) {
        x = v128.load32_splat(p4);
        c40 = dot(relaxed, w0, x, c40);
        c41 = dot(relaxed, w1, x, c41);
        p4 += 4;
        x = v128.load32_splat(p5);
        c50 = dot(relaxed, w0, x, c50);
        c51 = dot(relaxed, w1, x, c51);
        p5 += 4;
      }
      w += 32;
    } while (w < end);
    runOffsets += 4;
  }
  const m0 = v128.load(params, 32), m1 = v128.load(params, 48);
  if (shift == 0) {
    storeFloats(c00, c01, y, m0, m1, low, high);
    storeFloats(c10, c11, y + pitch, m0, m1, low, high);
    storeFloats(c20, c21, y + 2 * pitch, m0, m1, low, high);
    storeFloats(c30, c31, y + 3 * pitch, m0, m1, low, high);
    if (mr > 4) {
      storeFloats(c40, c41, y + 4 * pitch, m0, m1, low, high);
      storeFloats(c50, c51, y + 5 * pitch, m0, m1, low, high);
    }
    return;
  }
  const free = isFree(params);
  if (free) {
    c00 = scale(c00, m0, offset);
    c01 = scale(c01, m1, offset);
    c10 = scale(c10, m0, offset);
    c11 = scale(c11, m1, offset);
    c20 = scale(c20, m0, offset);
    c21 = scale(c21, m1, offset);
    c30 = scale(c30, m0, offset);
    c31 = scale(c31, m1, offset);
    if (mr > 4) {
      c40 = scale(c40, m0, offset);
      c41 = scale(c41, m1, offset);
      c50 = scale(c50, m0, offset);
      c51 = scale(c51, m1, offset);
    }
  } else {
    let lo = v128.load(params, 64), hi = v128.load(params, 96);
    c00 = rescale(c00, m0, lo, hi, offset);
    c10 = rescale(c10, m0, lo, hi, offset);
    c20 = rescale(c20, m0, lo, hi, offset);
    c30 = rescale(c30, m0, lo, hi, offset);
    if (mr > 4) {
      c40 = rescale(c40, m0, lo, hi, offset);
      c50 = rescale(c50, m0, lo, hi, offset);
    }
    lo = v128.load(params, 80);
    hi = v128.load(params, 112);
    c01 = rescale(c01, m1, lo, hi, offset);
    c11 = rescale(c11, m1, lo, hi, offset);
    c21 = rescale(c21, m1, lo, hi, offset);
    c31 = rescale(c31, m1, lo, hi, offset);
    if (mr > 4) {
      c41 = rescale(c41, m1, lo, hi, offset);
      c51 = rescale(c51, m1, lo, hi, offset);
    }
  }
  if (residual) {
    const factor = i32x4.splat(residualMultiplier);
    c00 = i32x4.add(c00, addend(residual, factor));
    c01 = i32x4.add(c01, addend(residual + 4, factor));
    c10 = i32x4.add(c10, addend(residual + residualPitch, factor));
    c11 = i32x4.add(c11, addend(residual + residualPitch + 4, factor));
    c20 = i32x4.add(c20, addend(residual + 2 * residualPitch, factor));
    c21 = i32x4.add(c21, addend(residual + 2 * residualPitch + 4, factor));
    c30 = i32x4.add(c30, addend(residual + 3 * residualPitch, factor));
    c31 = i32x4.add(c31, addend(residual + 3 * residualPitch + 4, factor));
    if (mr > 4) {
      c40 = i32x4.add(c40, addend(residual + 4 * residualPitch, factor));
      c41 = i32x4.add(c41, addend(residual + 4 * residualPitch + 4, factor));
      c50 = i32x4.add(c50, addend(residual + 5 * residualPitch, factor));
      c51 = i32x4.add(c51, addend(residual + 5 * residualPitch + 4, factor));
    }
  }
  if (shift == 22) {
    c00 = i32x4.shr_s(c00, 22);
    c01 = i32x4.shr_s(c01, 22);
    c10 = i32x4.shr_s(c10, 22);
    c11 = i32x4.shr_s(c11, 22);
    c20 = i32x4.shr_s(c20, 22);
    c21 = i32x4.shr_s(c21, 22);
    c30 = i32x4.shr_s(c30, 22);
    c31 = i32x4.shr_s(c31, 22);
    if (mr > 4) {
      c40 = i32x4.shr_s(c40, 22);
      c41 = i32x4.shr_s(c41, 22);
      c50 = i32x4.shr_s(c50, 22);
      c51 = i32x4.shr_s(c51, 22);
    }
  } else if (shift == FREE_SHIFT) {
    c00 = i32x4.shr_s(c00, FREE_SHIFT);
    c01 = i32x4.shr_s(c01, FREE_SHIFT);
    c10 = i32x4.shr_s(c10, FREE_SHIFT);
    c11 = i32x4.shr_s(c11, FREE_SHIFT);
    c20 = i32x4.shr_s(c20, FREE_SHIFT);
    c21 = i32x4.shr_s(c21, FREE_SHIFT);
    c30 = i32x4.shr_s(c30, FREE_SHIFT);
    c31 = i32x4.shr_s(c31, FREE_SHIFT);
    if (mr > 4) {
      c40 = i32x4.shr_s(c40, FREE_SHIFT);
      c41 = i32x4.shr_s(c41, FREE_SHIFT);
      c50 = i32x4.shr_s(c50, FREE_SHIFT);
      c51 = i32x4.shr_s(c51, FREE_SHIFT);
    }
  } else {
    c00 = i32x4.shr_s(c00, shift);
    c01 = i32x4.shr_s(c01, shift);
    c10 = i32x4.shr_s(c10, shift);
    c11 = i32x4.shr_s(c11, shift);
    c20 = i32x4.shr_s(c20, shift);
    c21 = i32x4.shr_s(c21, shift);
    c30 = i32x4.shr_s(c30, shift);
    c31 = i32x4.shr_s(c31, shift);
    if (mr > 4) {
      c40 = i32x4.shr_s(c40, shift);
      c41 = i32x4.shr_s(c41, shift);
      c50 = i32x4.shr_s(c50, shift);
      c51 = i32x4.shr_s(c51, shift);
    }
  }
  const clamped = whole || (!free && !residualMultiplier);
  storeLevels(c00, c01, y, clamped, low, high, curve);
  storeLevels(c10, c11, y + pitch, clamped, low, high, curve);
  storeLevels(c20, c21, y + 2 * pitch, clamped, low, high, curve);
  storeLevels(c30, c31, y + 3 * pitch, clamped, low, high, curve);
  if (mr > 4) {
    storeLevels(c40, c41, y + 4 * pitch, clamped, low, high, curve);
    storeLevels(c50, c51, y + 5 * pitch, clamped, low, high, curve);
  }
}

/**
 * Rows by 32 columns for all panels: for each panel tiles of `height` rows, then of 4, and the last rows for four panels at
 * once.
 */
@inline
function block(
  relaxed: bool, height: i32, rows: i32, a: usize, offsets: usize, runs: i32, runOffsets: usize, runBytes: usize,
  w: usize, levels: usize, room: usize, params: usize, shift: i32, offset: i32, low: f32, high: f32, curve: usize, y: usize,
  n: i32, pitch: usize, residual: usize, residualPitch: usize, residualMultiplier: i32, stage: usize,
): void {
  const offsets4 = i32x4.splat(offset), least = bound(shift, curve, low), most = bound(shift, curve, high);
  // Bytes cannot step over these bounds.
  const whole = low == 0 && high == 255;
  const panelBytes = (<usize>runs * runBytes) << 3;
  const size: usize = shift == 0 ? 4 : 1;
  const tiled = rows - (rows % height) % 4;
  const groupBytes = levels ? codeBytes(levels, panelBytes) : panelBytes << 2;
  for (; n > 0; n -= ACROSS) {
    const panels = levels ? room : w;
    for (let channel = 0; channel < min(n, ACROSS); channel += 8) {
      const panel = panels + <usize>(channel >> 3) * panelBytes, panelParams = params + <usize>(channel >> 3) * PANEL;
      if (levels) unpack(levels, panel, w, channel >> 3, panelBytes >> 5);
      const ragged = n - channel < 8;
      const staged = ragged || curve != 0;
      const step = curve ? 16 : ragged ? size << 3 : pitch;
      let at = y + <usize>channel * size, add = residual ? residual + channel : 0, row = offsets, left = tiled;
      while (left > 0) {
        const out = staged ? stage : at;
        let count = height;
        if (height > 4 && left >= height) {
          tile(
            relaxed, height, a, row, runs, runOffsets, runBytes, panel, panelParams, shift, offsets4, least, most, whole,
            curve, out, step, add, residualPitch, residualMultiplier,
          );
        } else {
          count = 4;
          tile(
            relaxed, 4, a, row, runs, runOffsets, runBytes, panel, panelParams, shift, offsets4, least, most, whole, curve, out,
            step, add, residualPitch, residualMultiplier,
          );
        }
        if (curve) follow(stage, count, at, pitch, n - channel, curve, panelParams + 128);
        else if (ragged) unstage(stage, step, at, pitch, count, <usize>(n - channel) * size);
        at += <usize>count * pitch;
        add += <usize>count * residualPitch;
        row += <usize>count << 2;
        left -= count;
      }
    }
    for (let m = tiled; m < rows; m++) {
      const row = a + load<u32>(offsets + (<usize>m << 2)), at = y + <usize>m * pitch;
      const add = residual ? residual + <usize>m * residualPitch : 0;
      if (relaxed) {
        relaxedVector(
          row, runs, runOffsets, runBytes, panels, panelBytes, params, shift, offset, low, high, curve, at, n, add,
          residualMultiplier, stage,
        );
      } else {
        wideVector(
          row, runs, runOffsets, runBytes, panels, panelBytes, params, shift, offset, low, high, curve, at, n, add,
          residualMultiplier, stage,
        );
      }
    }
    w += groupBytes;
    params += 4 * PANEL;
    y += size * ACROSS;
    if (residual) residual += ACROSS;
  }
}

/**
 * `rows` rows of `n` outputs from activations in the form of `kind`. `runBytes` is a multiple of 4: what a run has less
 * is read from beyond it and meets weights of 0. `w`: panels as `i8_pack` makes them for the kind, or with `levels` (else 0)
 * codes as in codes.ts, and `room` for 4 panels to work in. `pitch`: of y in bytes; `residualPitch`: of the residual, 0
 * without one. `stage`: 192 bytes to work in.
 */
export function blockI8(
  kind: i32, rows: i32, a: usize, offsets: usize, runs: i32, runOffsets: usize, runBytes: usize, w: usize, levels: usize,
  room: usize, params: usize, shift: i32, offset: i32, low: f32, high: f32, curve: usize, y: usize, n: i32, pitch: usize,
  residual: usize, residualPitch: usize, residualMultiplier: i32, stage: usize,
): void {
  if (runBytes == 0) runs = 0;
  if (levels && rows < codedRows(levels)) {
    blockCodes(
      rows, a, offsets, runs, runOffsets, runBytes, w, levels, params, shift, offset, low, high, curve, y, n, pitch, residual,
      residualPitch, residualMultiplier, stage,
    );
  } else if (kind == WIDE) {
    wideBlock(
      rows, a, offsets, runs, runOffsets, runBytes, w, levels, room, params, shift, offset, low, high, curve, y, n, pitch,
      residual, residualPitch, residualMultiplier, stage,
    );
  } else if (ASC_FEATURE_RELAXED_SIMD) {
    relaxedBlock(
      rows, a, offsets, runs, runOffsets, runBytes, w, levels, room, params, shift, offset, low, high, curve, y, n, pitch,
      residual, residualPitch, residualMultiplier, stage,
    );
  }
}

function wideBlock(
  rows: i32, a: usize, offsets: usize, runs: i32, runOffsets: usize, runBytes: usize, w: usize, levels: usize,
  room: usize, params: usize, shift: i32, offset: i32, low: f32, high: f32, curve: usize, y: usize, n: i32, pitch: usize,
  residual: usize, residualPitch: usize, residualMultiplier: i32, stage: usize,
): void {
  block(
    false, 4, rows, a, offsets, runs, runOffsets, runBytes, w, levels, room, params, shift, offset, low, high, curve, y, n,
    pitch, residual, residualPitch, residualMultiplier, stage,
  );
}

function relaxedBlock(
  rows: i32, a: usize, offsets: usize, runs: i32, runOffsets: usize, runBytes: usize, w: usize, levels: usize,
  room: usize, params: usize, shift: i32, offset: i32, low: f32, high: f32, curve: usize, y: usize, n: i32, pitch: usize,
  residual: usize, residualPitch: usize, residualMultiplier: i32, stage: usize,
): void {
  block(
    true, 6, rows, a, offsets, runs, runOffsets, runBytes, w, levels, room, params, shift, offset, low, high, curve, y, n,
    pitch, residual, residualPitch, residualMultiplier, stage,
  );
}

/**
 * Packs weights [n of all groups][runs][length] of s8 to panels of 8 channels, in units of 4 bytes as tiles read them:
 * [group][n/8][run][unit][8 channels][unit's elements], elements being s8, or s16 for WIDE. Runs are filled up to whole
 * units with zeros, as are the last panels of groups of `n` channels. Rows: panels of all groups.
 */
export function i8_pack(
  source: usize, packed: usize, n: i32, runs: i32, length: i32, kind: i32, from: i32, to: i32,
): void {
  const panels = (n + 7) >> 3;
  const across = kind == WIDE ? 2 : 4;
  const units = (length + across - 1) / across;
  const pitch = runs * length;
  for (let row = from; row < to; row++) {
    const group = row / panels, panel = row % panels;
    let out = packed + ((<usize>row * runs * units) << 5);
    for (let run = 0; run < runs; run++) {
      for (let unit = 0; unit < units; unit++) {
        const isWhole = (unit + 1) * across <= length;
        for (let i = 0; i < 8; i++) {
          const channel = panel * 8 + i;
          const at = source + <usize>(group * n + channel) * pitch + run * length;
          if (isWhole && channel < n) {
            const first = at + unit * across;
            store<u32>(out, kind == WIDE ? (load<i8>(first) & 0xffff) | (load<i8>(first, 1) << 16) : load<u32>(first));
            out += 4;
            continue;
          }
          for (let j = unit * across; j < (unit + 1) * across; j++) {
            const value = channel < n && j < length ? load<i8>(at + j) : 0;
            if (kind == WIDE) {
              store<i16>(out, value);
              out += 2;
            } else {
              store<i8>(out, value);
              out++;
            }
          }
        }
      }
    }
  }
}

/**
 * Parameters of panels (PANEL of requant.ts) from `given` ones whose biases know no zero point yet: each bias less `zero` times the
 * sum of its channel's `depth` weights at `source`. With `free`, panels whose sums of levels less `level`, times m, with `offset` and up to
 * `reach` added, stay within 32 bits, are made free of clamps. Rows: panels of all groups of `n` channels.
 */
export function i8_panels(
  source: usize, given: usize, params: usize, n: i32, depth: i32, zero: i32, level: i32, offset: i32, reach: i32, free: i32,
  from: i32, to: i32,
): void {
  const panels = (n + 7) >> 3;
  const least = -128 - level, most = 127 - level;
  for (let row = from; row < to; row++) {
    const group = row / panels, panel = row % panels;
    const out = params + <usize>row * PANEL;
    memory.copy(out, given + <usize>row * PANEL, PANEL);
    const count = min(8, n - panel * 8);
    let isFree = free != 0;
    for (let i = 0; i < count; i++) {
      const at = source + <usize>(group * n + panel * 8 + i) * depth, word = out + (<usize>i << 2);
      const sum = sumOf(at, depth), positive = (magnitudeOf(at, depth) + sum) >> 1, negative = sum - positive;
      const bias = load<i32>(word), m = <i64>load<i32>(word, 32);
      const lowest = m * (bias + positive * least + negative * most) + offset;
      const highest = m * (bias + positive * most + negative * least) + offset + reach;
      isFree = isFree && lowest >= <i64>i32.MIN_VALUE && highest <= <i64>i32.MAX_VALUE;
      store<i32>(word, bias - zero * sum);
    }
    if (isFree) setFree(out);
  }
}

/** Sum of `count` signed bytes. */
function sumOf(at: usize, count: i32): i32 {
  let sums = i32x4.splat(0);
  const end = at + count;
  while (at + 16 <= end) {
    sums = i32x4.add(sums, i32x4.extadd_pairwise_i16x8_s(i16x8.extadd_pairwise_i8x16_s(v128.load(at))));
    at += 16;
  }
  let sum = addLanes(sums);
  for (; at < end; at++) sum += load<i8>(at);
  return sum;
}

/** Sum of the magnitudes of `count` signed bytes. */
function magnitudeOf(at: usize, count: i32): i32 {
  let sums = i32x4.splat(0);
  const end = at + count;
  while (at + 16 <= end) {
    sums = i32x4.add(sums, i32x4.extadd_pairwise_i16x8_u(i16x8.extadd_pairwise_i8x16_u(i8x16.abs(v128.load(at)))));
    at += 16;
  }
  let sum = addLanes(sums);
  for (; at < end; at++) sum += abs<i32>(load<i8>(at));
  return sum;
}

function addLanes(x: v128): i32 {
  return i32x4.extract_lane(x, 0) + i32x4.extract_lane(x, 1) + i32x4.extract_lane(x, 2) + i32x4.extract_lane(x, 3);
}
