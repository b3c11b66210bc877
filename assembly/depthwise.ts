/**
 * Depthwise convolutions: every channel has a kernel of its own. A band of input rows with its border lies in scratch;
 * 8 channels are done at a time, several output columns at once, so that a tap's weights are read once for all of them.
 */
import { fillBand, runOffsets } from './conv';
import { convert, dot, WIDE } from './kind';
import { finishF32, storeF32 } from './gemm';
import { unstage } from './line';
import { bound, finishPlain, finishRow, follow, FREE_SHIFT, isFree, PANEL } from './requant';
import { applySteps, swishOf } from './steps';

/** 8 channels of `count` (1, 2 or 4) neighbouring outputs, whose windows start `stride` bytes apart. */
@inline
function tileF32(
  count: i32, x: usize, stride: usize, taps: usize, tapsEnd: usize, w: usize, bias: usize,
  y: usize, pitch: usize, residual: usize, residualPitch: usize, lo: v128, hi: v128, step: usize,
): void {
  let c00 = v128.load(bias), c01 = v128.load(bias, 16);
  let c10 = c00, c11 = c01, c20 = c00, c21 = c01, c30 = c00, c31 = c01;
  do {
    const w0 = v128.load(w), w1 = v128.load(w, 16);
    let p = x + load<u32>(taps);
    c00 = f32x4.add(c00, f32x4.mul(v128.load(p), w0));
    c01 = f32x4.add(c01, f32x4.mul(v128.load(p, 16), w1));
    if (count > 1) {
      p += stride;
      c10 = f32x4.add(c10, f32x4.mul(v128.load(p), w0));
      c11 = f32x4.add(c11, f32x4.mul(v128.load(p, 16), w1));
    }
    if (count > 2) {
      p += stride;
      c20 = f32x4.add(c20, f32x4.mul(v128.load(p), w0));
      c21 = f32x4.add(c21, f32x4.mul(v128.load(p, 16), w1));
      p += stride;
      c30 = f32x4.add(c30, f32x4.mul(v128.load(p), w0));
      c31 = f32x4.add(c31, f32x4.mul(v128.load(p, 16), w1));
    }
    w += 32;
    taps += 4;
  } while (taps < tapsEnd);
  storeF32(c00, c01, y, residual, lo, hi, step);
  if (count > 1) storeF32(c10, c11, y + pitch, residual + residualPitch, lo, hi, step);
  if (count > 2) {
    storeF32(c20, c21, y + 2 * pitch, residual + 2 * residualPitch, lo, hi, step);
    storeF32(c30, c31, y + 3 * pitch, residual + 3 * residualPitch, lo, hi, step);
  }
}

/** x0 * w0 + x1 * w1 + x2 * w2. */
@inline
function columnF32(x0: v128, x1: v128, x2: v128, w0: v128, w1: v128, w2: v128): v128 {
  return f32x4.add(f32x4.add(f32x4.mul(x0, w0), f32x4.mul(x1, w1)), f32x4.mul(x2, w2));
}

/**
 * One row of `cols` outputs of a 3 x 3 kernel for 4 channels. Windows slide over the columns: each column is read once,
 * for all outputs that need it. Taps' weights are 32 bytes apart; rows of x lie `r1` and `r2` bytes further on.
 */
@inline
function slideF32(
  stride: i32, cols: i32, x: usize, pixel: usize, r1: usize, r2: usize, w: usize, bias: usize, y: usize, pixelY: usize,
  residual: usize, lo: v128, hi: v128, step: usize,
): void {
  const w00 = v128.load(w), w01 = v128.load(w, 32), w02 = v128.load(w, 64);
  const w10 = v128.load(w, 96), w11 = v128.load(w, 128), w12 = v128.load(w, 160);
  const w20 = v128.load(w, 192), w21 = v128.load(w, 224), w22 = v128.load(w, 256);
  // Outputs begun: `a` is the next, `b` the one after (which strides of 2 do not begin yet).
  let x0 = v128.load(x), x1 = v128.load(x + r1), x2 = v128.load(x + r2);
  let a = f32x4.add(v128.load(bias), columnF32(x0, x1, x2, w00, w10, w20));
  let b = a;
  x += pixel;
  if (stride == 1) {
    x0 = v128.load(x);
    x1 = v128.load(x + r1);
    x2 = v128.load(x + r2);
    a = f32x4.add(a, columnF32(x0, x1, x2, w01, w11, w21));
    b = f32x4.add(v128.load(bias), columnF32(x0, x1, x2, w00, w10, w20));
    x += pixel;
  }
  for (; cols > 0; cols--) {
    if (stride == 2) {
      a = f32x4.add(a, columnF32(v128.load(x), v128.load(x + r1), v128.load(x + r2), w01, w11, w21));
      x += pixel;
    }
    x0 = v128.load(x);
    x1 = v128.load(x + r1);
    x2 = v128.load(x + r2);
    let sum = f32x4.add(a, columnF32(x0, x1, x2, w02, w12, w22));
    if (stride == 1) {
      a = f32x4.add(b, columnF32(x0, x1, x2, w01, w11, w21));
      b = f32x4.add(v128.load(bias), columnF32(x0, x1, x2, w00, w10, w20));
    } else a = f32x4.add(v128.load(bias), columnF32(x0, x1, x2, w00, w10, w20));
    finishF32(sum, y, residual, lo, hi, step);
    if (residual) residual += pixelY;
    x += pixel;
    y += pixelY;
  }
}

/**
 * 4 channels of `count` (4 or 8) neighbouring outputs of a kernel 5 wide at stride 1: of each row of the kernel, a column of x is
 * read once for all outputs that need it. Taps' weights are 32 bytes apart, rows of x `pitch` bytes.
 */
@inline
function fiveF32(
  count: i32, height: i32, x: usize, pixel: usize, pitch: usize, w: usize, bias: v128, y: usize, pixelY: usize, residual: usize,
  lo: v128, hi: v128, step: usize,
): void {
  let c0 = bias, c1 = bias, c2 = bias, c3 = bias, c4 = bias, c5 = bias, c6 = bias, c7 = bias;
  for (; height > 0; height--) {
    const w0 = v128.load(w), w1 = v128.load(w, 32), w2 = v128.load(w, 64), w3 = v128.load(w, 96), w4 = v128.load(w, 128);
    let p = x, d = v128.load(p);
    c0 = f32x4.add(c0, f32x4.mul(d, w0));
    d = v128.load((p += pixel));
    c0 = f32x4.add(c0, f32x4.mul(d, w1));
    c1 = f32x4.add(c1, f32x4.mul(d, w0));
    d = v128.load((p += pixel));
    c0 = f32x4.add(c0, f32x4.mul(d, w2));
    c1 = f32x4.add(c1, f32x4.mul(d, w1));
    c2 = f32x4.add(c2, f32x4.mul(d, w0));
    d = v128.load((p += pixel));
    c0 = f32x4.add(c0, f32x4.mul(d, w3));
    c1 = f32x4.add(c1, f32x4.mul(d, w2));
    c2 = f32x4.add(c2, f32x4.mul(d, w1));
    c3 = f32x4.add(c3, f32x4.mul(d, w0));
    d = v128.load((p += pixel));
    c0 = f32x4.add(c0, f32x4.mul(d, w4));
    c1 = f32x4.add(c1, f32x4.mul(d, w3));
    c2 = f32x4.add(c2, f32x4.mul(d, w2));
    c3 = f32x4.add(c3, f32x4.mul(d, w1));
    if (count > 4) c4 = f32x4.add(c4, f32x4.mul(d, w0));
    d = v128.load((p += pixel));
    c1 = f32x4.add(c1, f32x4.mul(d, w4));
    c2 = f32x4.add(c2, f32x4.mul(d, w3));
    c3 = f32x4.add(c3, f32x4.mul(d, w2));
    if (count > 4) {
      c4 = f32x4.add(c4, f32x4.mul(d, w1));
      c5 = f32x4.add(c5, f32x4.mul(d, w0));
    }
    d = v128.load((p += pixel));
    c2 = f32x4.add(c2, f32x4.mul(d, w4));
    c3 = f32x4.add(c3, f32x4.mul(d, w3));
    if (count > 4) {
      c4 = f32x4.add(c4, f32x4.mul(d, w2));
      c5 = f32x4.add(c5, f32x4.mul(d, w1));
      c6 = f32x4.add(c6, f32x4.mul(d, w0));
    }
    d = v128.load((p += pixel));
    c3 = f32x4.add(c3, f32x4.mul(d, w4));
    if (count > 4) {
      c4 = f32x4.add(c4, f32x4.mul(d, w3));
      c5 = f32x4.add(c5, f32x4.mul(d, w2));
      c6 = f32x4.add(c6, f32x4.mul(d, w1));
      c7 = f32x4.add(c7, f32x4.mul(d, w0));
      d = v128.load((p += pixel));
      c4 = f32x4.add(c4, f32x4.mul(d, w4));
      c5 = f32x4.add(c5, f32x4.mul(d, w3));
      c6 = f32x4.add(c6, f32x4.mul(d, w2));
      c7 = f32x4.add(c7, f32x4.mul(d, w1));
      d = v128.load((p += pixel));
      c5 = f32x4.add(c5, f32x4.mul(d, w4));
      c6 = f32x4.add(c6, f32x4.mul(d, w3));
      c7 = f32x4.add(c7, f32x4.mul(d, w2));
      d = v128.load((p += pixel));
      c6 = f32x4.add(c6, f32x4.mul(d, w4));
      c7 = f32x4.add(c7, f32x4.mul(d, w3));
      d = v128.load(p + pixel);
      c7 = f32x4.add(c7, f32x4.mul(d, w4));
    }
    x += pitch;
    w += 160;
  }
  const next: usize = residual ? pixelY : 0;
  finishF32(c0, y, residual, lo, hi, step);
  finishF32(c1, y += pixelY, residual += next, lo, hi, step);
  finishF32(c2, y += pixelY, residual += next, lo, hi, step);
  finishF32(c3, y += pixelY, residual += next, lo, hi, step);
  if (count > 4) {
    finishF32(c4, y += pixelY, residual += next, lo, hi, step);
    finishF32(c5, y += pixelY, residual += next, lo, hi, step);
    finishF32(c6, y += pixelY, residual += next, lo, hi, step);
    finishF32(c7, y + pixelY, residual + next, lo, hi, step);
  }
}

/**
 * One row of `cols` outputs for the 8 channels (or the last `channels` < 8) at `x`. `slide`: the stride at which
 * windows of 3 x 3 slide, their rows `r1` bytes apart and their columns `width`; `five`: whether the kernel is 5 wide and at stride 1.
 */
function rowF32(
  slide: i32, five: bool, r1: usize, width: usize, cols: i32, channels: i32, x: usize, stride: usize, taps: usize, tapsEnd: usize,
  w: usize, bias: usize, y: usize, pixel: usize, residual: usize, low: f32, high: f32, activation: usize, stage: usize,
): void {
  const lo = f32x4.splat(low), hi = f32x4.splat(high);
  if (slide && channels >= 8) {
    const end = x + 32;
    for (; x < end; x += 16, w += 16, bias += 16, y += 16) {
      if (slide == 1) slideF32(1, cols, x, width, r1, r1 << 1, w, bias, y, pixel, residual, lo, hi, activation);
      else slideF32(2, cols, x, width, r1, r1 << 1, w, bias, y, pixel, residual, lo, hi, activation);
      if (residual) residual += 16;
    }
    return;
  }
  if (five && channels >= 8) {
    const height = <i32>((tapsEnd - taps) / 20);
    for (; cols >= 4; ) {
      const count = cols >= 8 ? 8 : 4;
      for (let i: usize = 0; i < 32; i += 16) {
        const add = residual ? residual + i : 0;
        if (count == 8) fiveF32(8, height, x + i, width, r1, w + i, v128.load(bias + i), y + i, pixel, add, lo, hi, activation);
        else fiveF32(4, height, x + i, width, r1, w + i, v128.load(bias + i), y + i, pixel, add, lo, hi, activation);
      }
      x += <usize>count * width;
      y += <usize>count * pixel;
      if (residual) residual += <usize>count * pixel;
      cols -= count;
    }
  }
  const ragged = channels < 8;
  const step: usize = ragged ? 32 : pixel, residualStep: usize = residual ? pixel : 0;
  while (cols > 0) {
    let count = 4;
    if (cols >= 4) {
      tileF32(4, x, stride, taps, tapsEnd, w, bias, ragged ? stage : y, step, residual, residualStep, lo, hi, activation);
    } else if (cols >= 2) {
      count = 2;
      tileF32(2, x, stride, taps, tapsEnd, w, bias, ragged ? stage : y, step, residual, residualStep, lo, hi, activation);
    } else {
      count = 1;
      tileF32(1, x, stride, taps, tapsEnd, w, bias, ragged ? stage : y, step, residual, residualStep, lo, hi, activation);
    }
    if (ragged) unstage(stage, 32, y, pixel, count, <usize>channels << 2);
    x += <usize>count * stride;
    y += <usize>count * pixel;
    residual += <usize>count * residualStep;
    cols -= count;
  }
}

/** The stride at which `slideF32` and its like can slide, or 0. */
@inline
function slideOf(kernelH: i32, kernelW: i32, strideW: i32, dilationW: i32): i32 {
  return kernelH == 3 && kernelW == 3 && dilationW == 1 && strideW <= 2 ? strideW : 0;
}

/**
 * y = act(clamp(depthwise(x, w) + bias + residual)) for x [N,h,w,c], y [N,oh,ow,c], by blocks like `f32_conv`, and
 * within a block by slices of `slice` channels (a multiple of 8), for which alone a band is copied.
 * `weights`: f32_pack of [c][kernelH*kernelW]; `bias` padded to a multiple of 8. `residual`, `steps`: 0 for none.
 * `scratch`: 128 + 4 * kernelH * kernelW bytes, rounded up to 16, and the band. Rows: rows of y, N * oh.
 */
export function f32_depthwise(
  x: usize, y: usize, h: i32, w: i32, c: i32, oh: i32, ow: i32, kernelH: i32, kernelW: i32, strideH: i32, strideW: i32,
  dilationH: i32, dilationW: i32, top: i32, left: i32, weights: usize, bias: usize, residual: usize,
  low: f32, high: f32, steps: usize, blockH: i32, blockW: i32, slice: i32, scratch: usize, from: i32, to: i32,
): void {
  const pixel = <usize>c << 2;
  const bandW = (blockW - 1) * strideW + (kernelW - 1) * dilationW + 1;
  const stage = scratch, taps = scratch + 128;
  const tapsEnd = taps + (<usize>(kernelH * kernelW) << 2);
  const band = (tapsEnd + 15) & ~15;
  const activation = swishOf(steps);
  const slide = slideOf(kernelH, kernelW, strideW, dilationW), five = kernelW == 5 && strideW == 1 && dilationW == 1;
  for (let row = from; row < to; ) {
    const n = row / oh, oy = row % oh;
    const rows = min(blockH, min(to - row, oh - oy));
    const image = x + <usize>n * h * w * pixel;
    for (let ox = 0; ox < ow; ox += blockW) {
      const cols = min(blockW, ow - ox);
      const at = (<usize>row * ow + ox) * pixel;
      for (let first = 0; first < c; first += slice) {
        const channels = min(slice, c - first);
        const width = <usize>channels << 2, pitch = <usize>bandW * width;
        runOffsets(taps, kernelH, kernelW, dilationH, dilationW, pitch, width, false);
        fillBand(
          band, image + (<usize>first << 2), h, w, pixel, oy * strideH - top, ox * strideW - left,
          (rows - 1) * strideH + (kernelH - 1) * dilationH + 1, bandW, 0, width,
        );
        for (let channel = 0; channel < channels; channel += 8) {
          const offset = <usize>(first + channel) << 2;
          for (let r = 0; r < rows; r++) {
            const out = at + <usize>r * ow * pixel + offset;
            rowF32(
              slide, five, <usize>dilationH * pitch, width, cols, channels - channel,
              band + <usize>(r * strideH) * pitch + (<usize>channel << 2),
              <usize>strideW * width, taps, tapsEnd, weights + offset * (kernelH * kernelW), bias + offset, y + out,
              pixel, residual ? residual + out : 0, low, high, activation, stage,
            );
          }
        }
      }
      if (steps) applySteps(steps, activation ? 1 : 0, y + at, rows * cols * c);
    }
    row += rows;
  }
}

/**
 * Adds four taps' products to the sums of 8 channels: `lo` holds bytes of taps 0 and 1, `hi` of taps 2 and 3, channel by
 * channel. `w`: 2 vectors [4 channels][4 taps] of s8, or for WIDE 4 vectors [2 pairs of taps][8 channels][2] of s16.
 */
@inline
function addTaps(relaxed: bool, half: i32, lo: v128, hi: v128, w: usize, c: v128): v128 {
  if (relaxed) {
    return half
      ? dot(true, v128.load(w, 16), i16x8.shuffle(lo, hi, 4, 12, 5, 13, 6, 14, 7, 15), c)
      : dot(true, v128.load(w), i16x8.shuffle(lo, hi, 0, 8, 1, 9, 2, 10, 3, 11), c);
  }
  if (half) {
    c = dot(false, v128.load(w, 16), i16x8.extend_high_i8x16_u(lo), c);
    return dot(false, v128.load(w, 48), i16x8.extend_high_i8x16_u(hi), c);
  }
  c = dot(false, v128.load(w), i16x8.extend_low_i8x16_u(lo), c);
  return dot(false, v128.load(w, 32), i16x8.extend_low_i8x16_u(hi), c);
}

/** Bytes of two taps, channel by channel. */
@inline
function interleave(a: usize, b: usize): v128 {
  return i8x16.shuffle(
    v128.load64_zero(a), v128.load64_zero(b), 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23,
  );
}

/** 8 channels of 1 or 2 neighbouring outputs, whose windows start `stride` bytes apart. Taps come in fours. */
@inline
function tileI8(
  relaxed: bool, count: i32, x: usize, stride: usize, taps: usize, tapsEnd: usize, w: usize, params: usize,
  shift: i32, offset: v128, low: v128, high: v128, curve: usize, y: usize, pitch: usize, residual: usize, residualPitch: usize,
  residualMultiplier: i32,
): void {
  let c00 = v128.load(params), c01 = v128.load(params, 16);
  let c10 = c00, c11 = c01;
  do {
    const t0 = <usize>load<u32>(taps), t1 = <usize>load<u32>(taps, 4);
    const t2 = <usize>load<u32>(taps, 8), t3 = <usize>load<u32>(taps, 12);
    let lo = interleave(x + t0, x + t1), hi = interleave(x + t2, x + t3);
    c00 = addTaps(relaxed, 0, lo, hi, w, c00);
    c01 = addTaps(relaxed, 1, lo, hi, w, c01);
    if (count > 1) {
      const next = x + stride;
      lo = interleave(next + t0, next + t1);
      hi = interleave(next + t2, next + t3);
      c10 = addTaps(relaxed, 0, lo, hi, w, c10);
      c11 = addTaps(relaxed, 1, lo, hi, w, c11);
    }
    w += relaxed ? 32 : 64;
    taps += 16;
  } while (taps < tapsEnd);
  finishRow(c00, c01, params, shift, offset, low, high, curve, y, residual, residualMultiplier);
  if (count > 1) {
    finishRow(
      c10, c11, params, shift, offset, low, high, curve, y + pitch, residual + residualPitch, residualMultiplier,
    );
  }
}

/** One row of `cols` outputs for the 8 channels (or the last `channels` < 8) at `x`. */
@inline
function rowI8(
  relaxed: bool, cols: i32, channels: i32, x: usize, stride: usize, taps: usize, tapsEnd: usize, w: usize,
  params: usize, shift: i32, offset: v128, low: v128, high: v128, curve: usize, y: usize, pixel: usize, residual: usize,
  residualPixel: usize, residualMultiplier: i32, stage: usize,
): void {
  const ragged = channels < 8 && !curve;
  const size: usize = shift ? 1 : 4;
  const step = ragged ? size << 3 : pixel;
  while (cols > 0) {
    const count = min(cols, 2);
    if (count == 2) {
      tileI8(
        relaxed, 2, x, stride, taps, tapsEnd, w, params, shift, offset, low, high, curve, ragged ? stage : y, step,
        residual, residualPixel, residualMultiplier,
      );
    } else {
      tileI8(
        relaxed, 1, x, stride, taps, tapsEnd, w, params, shift, offset, low, high, curve, ragged ? stage : y, step,
        residual, residualPixel, residualMultiplier,
      );
    }
    if (ragged) unstage(stage, step, y, pixel, count, <usize>channels * size);
    x += stride << 1;
    y += pixel << 1;
    residual += residualPixel << 1;
    cols -= 2;
  }
}

/**
 * One row of `cols` outputs of a 3 x 3 kernel for 8 channels by the relaxed dot. Windows slide over the columns: each
 * column is read and interleaved once, for all outputs that need it. `plain`: the epilogue is the simplest, known when this is
 * compiled: that of finishPlain.
 */
@inline
function slideRelaxed(
  plain: bool, stride: i32, cols: i32, x: usize, pixel: usize, r1: usize, r2: usize, w: usize, params: usize, shift: i32,
  offset: v128, low: v128, high: v128, curve: usize, y: usize, pixelY: usize, residual: usize, residualPixel: usize,
  residualMultiplier: i32,
): void {
  const w00 = v128.load(w), w01 = v128.load(w, 16), w10 = v128.load(w, 32), w11 = v128.load(w, 48);
  const w20 = v128.load(w, 64), w21 = v128.load(w, 80);
  // Outputs begun: `a` is the next, `b` the one after (which strides of 2 do not begin yet).
  let lo = interleave(x, x + r1), hi = v128.load8x8_u(x + r2);
  let a0 = dot(true, w00, i16x8.shuffle(lo, hi, 0, 8, 1, 9, 2, 10, 3, 11), v128.load(params));
  let a1 = dot(true, w01, i16x8.shuffle(lo, hi, 4, 12, 5, 13, 6, 14, 7, 15), v128.load(params, 16));
  let b0 = a0, b1 = a1;
  x += pixel;
  if (stride == 1) {
    lo = interleave(x, x + r1);
    hi = v128.load8x8_u(x + r2);
    const x0 = i16x8.shuffle(lo, hi, 0, 8, 1, 9, 2, 10, 3, 11);
    const x1 = i16x8.shuffle(lo, hi, 4, 12, 5, 13, 6, 14, 7, 15);
    a0 = dot(true, w10, x0, a0);
    a1 = dot(true, w11, x1, a1);
    b0 = dot(true, w00, x0, v128.load(params));
    b1 = dot(true, w01, x1, v128.load(params, 16));
    x += pixel;
  }
  for (; cols > 0; cols--) {
    if (stride == 2) {
      lo = interleave(x, x + r1);
      hi = v128.load8x8_u(x + r2);
      a0 = dot(true, w10, i16x8.shuffle(lo, hi, 0, 8, 1, 9, 2, 10, 3, 11), a0);
      a1 = dot(true, w11, i16x8.shuffle(lo, hi, 4, 12, 5, 13, 6, 14, 7, 15), a1);
      x += pixel;
    }
    lo = interleave(x, x + r1);
    hi = v128.load8x8_u(x + r2);
    const x0 = i16x8.shuffle(lo, hi, 0, 8, 1, 9, 2, 10, 3, 11);
    const x1 = i16x8.shuffle(lo, hi, 4, 12, 5, 13, 6, 14, 7, 15);
    const c0 = dot(true, w20, x0, a0), c1 = dot(true, w21, x1, a1);
    if (stride == 1) {
      a0 = dot(true, w10, x0, b0);
      a1 = dot(true, w11, x1, b1);
      b0 = dot(true, w00, x0, v128.load(params));
      b1 = dot(true, w01, x1, v128.load(params, 16));
    } else {
      a0 = dot(true, w00, x0, v128.load(params));
      a1 = dot(true, w01, x1, v128.load(params, 16));
    }
    if (plain) finishPlain(c0, c1, params, offset, y);
    else finishRow(c0, c1, params, shift, offset, low, high, curve, y, residual, residualMultiplier);
    x += pixel;
    y += pixelY;
    if (!plain) residual += residualPixel;
  }
}

/**
 * What `fiveRelaxed` multiplies, for one row of `columns` pixels of 8 channels: 96 bytes a column, in pairs of vectors [4
 * channels][4 taps]: rows 0 to 3 of the column; row 4 of it and the next three; row 4 of it alone.
 */
function gatherFive(x: usize, pixel: usize, pitch: usize, columns: i32, out: usize): void {
  const r2 = pitch << 1, r3 = r2 + pitch, r4 = pitch << 2;
  for (; columns > 0; columns--) {
    let lo = interleave(x, x + pitch), hi = interleave(x + r2, x + r3);
    v128.store(out, i16x8.shuffle(lo, hi, 0, 8, 1, 9, 2, 10, 3, 11));
    v128.store(out, i16x8.shuffle(lo, hi, 4, 12, 5, 13, 6, 14, 7, 15), 16);
    const last = x + r4;
    lo = interleave(last, last + pixel);
    hi = interleave(last + 2 * pixel, last + 3 * pixel);
    v128.store(out, i16x8.shuffle(lo, hi, 0, 8, 1, 9, 2, 10, 3, 11), 32);
    v128.store(out, i16x8.shuffle(lo, hi, 4, 12, 5, 13, 6, 14, 7, 15), 48);
    const row = v128.load8x8_u(last);
    v128.store(out, i32x4.extend_low_i16x8_u(row), 64);
    v128.store(out, i32x4.extend_high_i16x8_u(row), 80);
    x += pixel;
    out += 96;
  }
}

/** 8 channels of `count` (1 or 4) neighbouring outputs of a kernel of 5 x 5 from what `gatherFive` made. */
@inline
function fiveRelaxed(
  count: i32, x: usize, w: usize, params: usize, shift: i32, offset: v128, low: v128, high: v128, curve: usize, y: usize,
  pixelY: usize, residual: usize, residualPixel: usize, residualMultiplier: i32,
): void {
  let c00 = v128.load(params), c01 = v128.load(params, 16);
  let c10 = c00, c11 = c01, c20 = c00, c21 = c01, c30 = c00, c31 = c01;
  // Five columns of four rows, then the four first taps of the last row, then its fifth, which lies four columns on.
  for (let taps = 0; taps < 7; taps++) {
    const w0 = v128.load(w), w1 = v128.load(w, 16);
    const p = taps < 5 ? x + <usize>taps * 96 : taps == 5 ? x + 32 : x + 4 * 96 + 64;
    c00 = dot(true, w0, v128.load(p), c00);
    c01 = dot(true, w1, v128.load(p, 16), c01);
    if (count > 1) {
      c10 = dot(true, w0, v128.load(p, 96), c10);
      c11 = dot(true, w1, v128.load(p, 112), c11);
      c20 = dot(true, w0, v128.load(p, 192), c20);
      c21 = dot(true, w1, v128.load(p, 208), c21);
      c30 = dot(true, w0, v128.load(p, 288), c30);
      c31 = dot(true, w1, v128.load(p, 304), c31);
    }
    w += 32;
  }
  finishRow(c00, c01, params, shift, offset, low, high, curve, y, residual, residualMultiplier);
  if (count > 1) {
    finishRow(c10, c11, params, shift, offset, low, high, curve, y += pixelY, residual += residualPixel, residualMultiplier);
    finishRow(c20, c21, params, shift, offset, low, high, curve, y += pixelY, residual += residualPixel, residualMultiplier);
    finishRow(c30, c31, params, shift, offset, low, high, curve, y + pixelY, residual + residualPixel, residualMultiplier);
  }
}

/** The products of one column of 3 taps: `r01` are rows 0 and 1 in pairs, `r2` is row 2 with zeros. */
@inline
function addColumn(r01: v128, r2: v128, w01: v128, w2: v128, c: v128): v128 {
  return dot(false, w2, r2, dot(false, w01, r01, c));
}

/** The same by the dot of 16 bits. */
@inline
function slideWide(
  stride: i32, cols: i32, x: usize, pixel: usize, r1: usize, r2: usize, w: usize, params: usize, shift: i32,
  offset: v128, low: v128, high: v128, curve: usize, y: usize, pixelY: usize, residual: usize, residualPixel: usize,
  residualMultiplier: i32,
): void {
  let rows = interleave(x, x + r1), row = v128.load8x8_u(x + r2);
  let a0 = addColumn(
    i16x8.extend_low_i8x16_u(rows), i32x4.extend_low_i16x8_u(row), v128.load(w), v128.load(w, 32), v128.load(params),
  );
  let a1 = addColumn(
    i16x8.extend_high_i8x16_u(rows), i32x4.extend_high_i16x8_u(row), v128.load(w, 16), v128.load(w, 48),
    v128.load(params, 16),
  );
  let b0 = a0, b1 = a1;
  x += pixel;
  if (stride == 1) {
    rows = interleave(x, x + r1);
    row = v128.load8x8_u(x + r2);
    const x0 = i16x8.extend_low_i8x16_u(rows), x1 = i16x8.extend_high_i8x16_u(rows);
    const z0 = i32x4.extend_low_i16x8_u(row), z1 = i32x4.extend_high_i16x8_u(row);
    a0 = addColumn(x0, z0, v128.load(w, 64), v128.load(w, 96), a0);
    a1 = addColumn(x1, z1, v128.load(w, 80), v128.load(w, 112), a1);
    b0 = addColumn(x0, z0, v128.load(w), v128.load(w, 32), v128.load(params));
    b1 = addColumn(x1, z1, v128.load(w, 16), v128.load(w, 48), v128.load(params, 16));
    x += pixel;
  }
  for (; cols > 0; cols--) {
    if (stride == 2) {
      rows = interleave(x, x + r1);
      row = v128.load8x8_u(x + r2);
      a0 = addColumn(
        i16x8.extend_low_i8x16_u(rows), i32x4.extend_low_i16x8_u(row), v128.load(w, 64), v128.load(w, 96), a0,
      );
      a1 = addColumn(
        i16x8.extend_high_i8x16_u(rows), i32x4.extend_high_i16x8_u(row), v128.load(w, 80), v128.load(w, 112), a1,
      );
      x += pixel;
    }
    rows = interleave(x, x + r1);
    row = v128.load8x8_u(x + r2);
    const x0 = i16x8.extend_low_i8x16_u(rows), x1 = i16x8.extend_high_i8x16_u(rows);
    const z0 = i32x4.extend_low_i16x8_u(row), z1 = i32x4.extend_high_i16x8_u(row);
    const c0 = addColumn(x0, z0, v128.load(w, 128), v128.load(w, 160), a0);
    const c1 = addColumn(x1, z1, v128.load(w, 144), v128.load(w, 176), a1);
    if (stride == 1) {
      a0 = addColumn(x0, z0, v128.load(w, 64), v128.load(w, 96), b0);
      a1 = addColumn(x1, z1, v128.load(w, 80), v128.load(w, 112), b1);
      b0 = addColumn(x0, z0, v128.load(w), v128.load(w, 32), v128.load(params));
      b1 = addColumn(x1, z1, v128.load(w, 16), v128.load(w, 48), v128.load(params, 16));
    } else {
      a0 = addColumn(x0, z0, v128.load(w), v128.load(w, 32), v128.load(params));
      a1 = addColumn(x1, z1, v128.load(w, 16), v128.load(w, 48), v128.load(params, 16));
    }
    finishRow(c0, c1, params, shift, offset, low, high, curve, y, residual, residualMultiplier);
    x += pixel;
    y += pixelY;
    residual += residualPixel;
  }
}

/** `slide`: the stride at which windows of 3 x 3 slide, or 0 for the general way. */
function wideRow(
  slide: i32, r1: usize, width: usize, cols: i32, channels: i32, x: usize, stride: usize, taps: usize, tapsEnd: usize,
  w: usize, params: usize, shift: i32, offset: i32, low: f32, high: f32, curve: usize, y: usize, pixel: usize, residual: usize,
  residualPixel: usize, residualMultiplier: i32, stage: usize, places: usize,
): void {
  const to = curve ? places : y, step: usize = curve ? 16 : pixel;
  const c = i32x4.splat(offset), least = bound(shift, curve, low), most = bound(shift, curve, high);
  if (slide == 1 && channels >= 8) {
    slideWide(
      1, cols, x, width, r1, r1 << 1, w, params, shift, c, least, most, curve, to, step, residual, residualPixel,
      residualMultiplier,
    );
  } else if (slide == 2 && channels >= 8) {
    slideWide(
      2, cols, x, width, r1, r1 << 1, w, params, shift, c, least, most, curve, to, step, residual, residualPixel,
      residualMultiplier,
    );
  } else {
    rowI8(
      false, cols, channels, x, stride, taps, tapsEnd, w, params, shift, c, least, most, curve, to, step, residual,
      residualPixel, residualMultiplier, stage,
    );
  }
  if (curve) follow(places, cols, y, pixel, channels, curve, params + 128);
}

function relaxedRow(
  slide: i32, five: usize, r1: usize, width: usize, cols: i32, channels: i32, x: usize, stride: usize, taps: usize, tapsEnd: usize,
  w: usize, params: usize, shift: i32, offset: i32, low: f32, high: f32, curve: usize, y: usize, pixel: usize, residual: usize,
  residualPixel: usize, residualMultiplier: i32, stage: usize, places: usize,
): void {
  const to = curve ? places : y, step: usize = curve ? 16 : pixel;
  const c = i32x4.splat(offset), least = bound(shift, curve, low), most = bound(shift, curve, high);
  const plain = shift == FREE_SHIFT && isFree(params) && low == 0 && high == 255 && !curve && !residual;
  if (plain && slide && channels >= 8) {
    if (slide == 1) {
      slideRelaxed(true, 1, cols, x, width, r1, r1 << 1, w, params, FREE_SHIFT, c, least, most, 0, to, step, 0, 0, 0);
    } else {
      slideRelaxed(true, 2, cols, x, width, r1, r1 << 1, w, params, FREE_SHIFT, c, least, most, 0, to, step, 0, 0, 0);
    }
  } else if (slide == 1 && channels >= 8) {
    slideRelaxed(
      false, 1, cols, x, width, r1, r1 << 1, w, params, shift, c, least, most, curve, to, step, residual, residualPixel,
      residualMultiplier,
    );
  } else if (slide == 2 && channels >= 8) {
    slideRelaxed(
      false, 2, cols, x, width, r1, r1 << 1, w, params, shift, c, least, most, curve, to, step, residual, residualPixel,
      residualMultiplier,
    );
  } else if (five && channels >= 8) {
    gatherFive(x, width, r1, cols + 4, five);
    let left = cols, at = to, add = residual, column = five;
    for (; left >= 4; left -= 4) {
      fiveRelaxed(
        4, column, w, params, shift, c, least, most, curve, at, step, add, residualPixel, residualMultiplier,
      );
      at += step << 2;
      add += residualPixel << 2;
      column += 4 * 96;
    }
    for (; left > 0; left--) {
      fiveRelaxed(1, column, w, params, shift, c, least, most, curve, at, step, add, residualPixel, residualMultiplier);
      at += step;
      add += residualPixel;
      column += 96;
    }
  } else {
    rowI8(
      true, cols, channels, x, stride, taps, tapsEnd, w, params, shift, c, least, most, curve, to, step, residual,
      residualPixel, residualMultiplier, stage,
    );
  }
  if (curve) follow(places, cols, y, pixel, channels, curve, params + 128);
}

/** Taps of a kernel with what fills them up to fours. */
@inline
function tapCount(kernelH: i32, kernelW: i32): i32 {
  return kernelH == 3 ? kernelW * 4 : (kernelW * kernelH + 3) & ~3;
}

/**
 * The place ky * kernelW + kx of tap `i`, or -1 for what is no tap. Taps go column by column; the columns of kernels 3 high are
 * filled up to four, those of kernels 5 high leave the last row for the end.
 */
function tapPlace(i: i32, kernelH: i32, kernelW: i32): i32 {
  const column = kernelH == 3 || kernelH == 5 ? 4 : kernelH;
  let kx = i / column, ky = i % column;
  if (kernelH == 5 && kx >= kernelW) {
    kx = i - kernelW * 4;
    ky = 4;
  }
  return kx < kernelW && ky < kernelH ? ky * kernelW + kx : -1;
}

/** Writes the taps' offsets in that order; what is no tap gets an offset of 0 and has weights of 0. */
function tapOffsets(
  taps: usize, kernelH: i32, kernelW: i32, dilationH: i32, dilationW: i32, pitch: usize, pixel: usize,
): void {
  const count = tapCount(kernelH, kernelW);
  for (let i = 0; i < count; i++) {
    const place = tapPlace(i, kernelH, kernelW), ky = place / kernelW, kx = place % kernelW;
    const offset = place < 0 ? 0 : <usize>(ky * dilationH) * pitch + <usize>(kx * dilationW) * pixel;
    store<u32>(taps + (<usize>i << 2), <u32>offset);
  }
}

/** Packs weights [c][kernelH][kernelW] of s8 in panels of 8 channels, as `addTaps` reads them. Rows: panels. */
export function i8_packDepthwise(
  source: usize, packed: usize, c: i32, kernelH: i32, kernelW: i32, kind: i32, from: i32, to: i32,
): void {
  const count = tapCount(kernelH, kernelW);
  const width = kind == WIDE ? 2 : 4;
  for (let panel = from; panel < to; panel++) {
    let out = packed + <usize>panel * count * (kind == WIDE ? 16 : 8);
    for (let first = 0; first < count; first += width) {
      for (let i = 0; i < 8; i++) {
        const channel = panel * 8 + i;
        for (let tap = first; tap < first + width; tap++) {
          const place = channel < c ? tapPlace(tap, kernelH, kernelW) : -1;
          const value = place < 0 ? 0 : load<i8>(source + <usize>(channel * kernelH * kernelW + place));
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

/**
 * The same on levels, in the arithmetic of requant.ts; `kind` as in kind.ts, `after` as in i8_gemm, `zero`: the byte that
 * the border holds. `weights`: of i8_packDepthwise. `scratch`: 64 bytes, 16 * blockW, 4 for each tap with what fills
 * them up to fours, rounded up to 16, for kernels of 5 x 5 that slide 96 * (blockW + 7), and the band with 16 bytes more.
 */
export function i8_depthwise(
  x: usize, y: usize, h: i32, w: i32, c: i32, oh: i32, ow: i32, kernelH: i32, kernelW: i32, strideH: i32, strideW: i32,
  dilationH: i32, dilationW: i32, top: i32, left: i32, weights: usize, params: usize, residual: usize,
  kind: i32, zero: i32, shift: i32, offset: i32, low: f32, high: f32, residualMultiplier: i32, after: usize,
  blockH: i32, blockW: i32, slice: i32, scratch: usize, from: i32, to: i32,
): void {
  const sizeY: usize = shift ? 1 : 4, pixelY = <usize>c * sizeY;
  const bandW = (blockW - 1) * strideW + (kernelW - 1) * dilationW + 1;
  const count = tapCount(kernelH, kernelW);
  const stage = scratch, places = scratch + 64, taps = places + (<usize>blockW << 4), tapsEnd = taps + (<usize>count << 2);
  const slide = slideOf(kernelH, kernelW, strideW, dilationW);
  const five = kernelH == 5 && kernelW == 5 && strideW == 1 && dilationW == 1, columns = (tapsEnd + 15) & ~15;
  const band = five ? columns + <usize>(blockW + 7) * 96 : columns;
  const panelBytes = <usize>count * (kind == WIDE ? 16 : 8);
  const curve = shift ? after : 0;
  for (let row = from; row < to; ) {
    const n = row / oh, oy = row % oh;
    const rows = min(blockH, min(to - row, oh - oy));
    const bandRows = (rows - 1) * strideH + (kernelH - 1) * dilationH + 1;
    const image = x + <usize>n * h * w * c;
    for (let ox = 0; ox < ow; ox += blockW) {
      const cols = min(blockW, ow - ox);
      const pixels = <usize>row * ow + ox;
      for (let first = 0; first < c; first += slice) {
        const channels = min(slice, c - first);
        const width = <usize>channels, pitch = <usize>bandW * width;
        tapOffsets(taps, kernelH, kernelW, dilationH, dilationW, pitch, width);
        fillBand(
          band, image + first, h, w, c, oy * strideH - top, ox * strideW - left, bandRows, bandW, zero, width,
        );
        // The taps of WIDE are extended when they are met.
        if (kind != WIDE) convert(kind, band, band, <usize>bandRows * pitch);
        for (let channel = 0; channel < channels; channel += 8) {
          const panel = <usize>(first + channel) >> 3;
          for (let r = 0; r < rows; r++) {
            const out = pixels + <usize>(r * ow);
            const at = band + <usize>(r * strideH) * pitch + channel;
            const to = y + out * pixelY + <usize>(first + channel) * sizeY;
            const add = residual ? residual + out * c + first + channel : 0;
            if (kind == WIDE) {
              wideRow(
                slide, <usize>dilationH * pitch, width, cols, channels - channel, at, <usize>strideW * width, taps,
                tapsEnd, weights + panel * panelBytes, params + panel * PANEL, shift, offset, low, high, curve, to,
                pixelY, add, residual ? c : 0, residualMultiplier, stage, places,
              );
            } else if (ASC_FEATURE_RELAXED_SIMD) {
              relaxedRow(
                slide, five ? columns : 0, <usize>dilationH * pitch, width, cols, channels - channel, at, <usize>strideW * width, taps,
                tapsEnd, weights + panel * panelBytes, params + panel * PANEL, shift, offset, low, high, curve, to,
                pixelY, add, residual ? c : 0, residualMultiplier, stage, places,
              );
            }
          }
        }
      }
      if (after && !shift) applySteps(after, 0, y + pixels * pixelY, rows * cols * c);
    }
    row += rows;
  }
}
