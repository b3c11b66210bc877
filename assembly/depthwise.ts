/**
 * Depthwise convolutions: every channel has a kernel of its own. A band of input rows with its border lies in scratch;
 * 8 channels are done at a time, several output columns at once, so that a tap's weights are read once for all of them.
 */
import { fillBand, runOffsets } from './conv';
import { storeF32, unstage } from './gemm';
import { applySteps } from './steps';

/** 8 channels of `count` (1, 2 or 4) neighbouring outputs, whose windows start `stride` bytes apart. */
@inline
function tileF32(
  count: i32, x: usize, stride: usize, taps: usize, tapsEnd: usize, w: usize, bias: usize,
  y: usize, pitch: usize, residual: usize, residualPitch: usize, lo: v128, hi: v128,
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
  storeF32(c00, c01, y, residual, lo, hi);
  if (count > 1) storeF32(c10, c11, y + pitch, residual + residualPitch, lo, hi);
  if (count > 2) {
    storeF32(c20, c21, y + 2 * pitch, residual + 2 * residualPitch, lo, hi);
    storeF32(c30, c31, y + 3 * pitch, residual + 3 * residualPitch, lo, hi);
  }
}

/** One row of `cols` outputs for the 8 channels (or the last `channels` < 8) at `x`. */
function rowF32(
  cols: i32, channels: i32, x: usize, stride: usize, taps: usize, tapsEnd: usize, w: usize, bias: usize,
  y: usize, pixel: usize, residual: usize, low: f32, high: f32, stage: usize,
): void {
  const lo = f32x4.splat(low), hi = f32x4.splat(high);
  const ragged = channels < 8;
  const step: usize = ragged ? 32 : pixel, residualStep: usize = residual ? pixel : 0;
  while (cols >= 4) {
    tileF32(4, x, stride, taps, tapsEnd, w, bias, ragged ? stage : y, step, residual, residualStep, lo, hi);
    if (ragged) unstage(stage, 32, y, pixel, 4, <usize>channels << 2);
    x += stride << 2;
    y += pixel << 2;
    residual += residualStep << 2;
    cols -= 4;
  }
  if (cols & 2) {
    tileF32(2, x, stride, taps, tapsEnd, w, bias, ragged ? stage : y, step, residual, residualStep, lo, hi);
    if (ragged) unstage(stage, 32, y, pixel, 2, <usize>channels << 2);
    x += stride << 1;
    y += pixel << 1;
    residual += residualStep << 1;
  }
  if (cols & 1) {
    tileF32(1, x, stride, taps, tapsEnd, w, bias, ragged ? stage : y, step, residual, residualStep, lo, hi);
    if (ragged) unstage(stage, 32, y, pixel, 1, <usize>channels << 2);
  }
}

/**
 * y = act(clamp(depthwise(x, w) + bias + residual)) for x [N,h,w,c], y [N,oh,ow,c], by blocks like `f32_conv`.
 * `weights`: f32_pack of [c][kernelH*kernelW]; `bias` padded to a multiple of 8. `residual`, `steps`: 0 for none.
 * `scratch`: 128 + 4 * kernelH * kernelW bytes, rounded up to 16, and the band. Rows: rows of y, N * oh.
 */
export function f32_depthwise(
  x: usize, y: usize, h: i32, w: i32, c: i32, oh: i32, ow: i32, kernelH: i32, kernelW: i32, strideH: i32, strideW: i32,
  dilationH: i32, dilationW: i32, top: i32, left: i32, weights: usize, bias: usize, residual: usize,
  low: f32, high: f32, steps: usize, blockH: i32, blockW: i32, scratch: usize, from: i32, to: i32,
): void {
  const pixel = <usize>c << 2;
  const bandW = (blockW - 1) * strideW + (kernelW - 1) * dilationW + 1;
  const pitch = <usize>bandW * pixel;
  const stage = scratch, taps = scratch + 128;
  const tapCount = runOffsets(taps, kernelH, kernelW, dilationH, dilationW, pitch, pixel, false);
  const tapsEnd = taps + (<usize>tapCount << 2);
  const band = (tapsEnd + 15) & ~15;
  for (let row = from; row < to; ) {
    const n = row / oh, oy = row % oh;
    const rows = min(blockH, min(to - row, oh - oy));
    const image = x + <usize>n * h * w * pixel;
    for (let ox = 0; ox < ow; ox += blockW) {
      const cols = min(blockW, ow - ox);
      fillBand(
        band, image, h, w, pixel, oy * strideH - top, ox * strideW - left,
        (rows - 1) * strideH + (kernelH - 1) * dilationH + 1, bandW, 0,
      );
      const at = (<usize>row * ow + ox) * pixel;
      for (let channel = 0; channel < c; channel += 8) {
        const offset = <usize>channel << 2;
        for (let r = 0; r < rows; r++) {
          const out = at + <usize>r * ow * pixel + offset;
          rowF32(
            cols, c - channel, band + <usize>(r * strideH) * pitch + offset, <usize>strideW * pixel, taps, tapsEnd,
            weights + offset * tapCount, bias + offset, y + out, pixel, residual ? residual + out : 0, low, high, stage,
          );
        }
      }
      if (steps) applySteps(steps, y + at, rows * cols * c);
    }
    row += rows;
  }
}
