/**
 * Convolutions as matrix products over the image itself: the rows of the left operand are the windows, which lie in the
 * image as runs of contiguous pixels. Where windows reach over the border, a band of input rows is first copied to
 * scratch with its border around it; elsewhere the image is read in place.
 */
import { blockI8 } from './dot';
import { blockF32 } from './gemm';
import { convert, sizeOf } from './kind';
import { copyLine } from './line';
import { PANEL } from './requant';
import { blockSparse } from './sparse';
import { applySteps, swishOf } from './steps';

/**
 * Copies `slice` bytes of each of `rows` x `cols` pixels of an image (h x w pixels of `pixel` bytes), from row `top` and
 * column `left` on, which may be negative, to `band`. Pixels outside the image become bytes of `fill`.
 */
export function fillBand(
  band: usize, image: usize, h: i32, w: i32, pixel: usize, top: i32, left: i32, rows: i32, cols: i32, fill: i32,
  slice: usize,
): void {
  const before = min(cols, max(0, -left));
  const after = min(cols - before, max(0, left + cols - w));
  const inside = cols - before - after;
  for (let row = top; row < top + rows; row++) {
    if (row < 0 || row >= h || inside == 0) {
      memory.fill(band, <u8>fill, <usize>cols * slice);
      band += <usize>cols * slice;
      continue;
    }
    let from = image + (<usize>row * w + max(0, left)) * pixel;
    if (before) memory.fill(band, <u8>fill, <usize>before * slice);
    band += <usize>before * slice;
    const end = band + <usize>inside * slice;
    if (slice == pixel) {
      copyLine(band, from, end - band);
      band = end;
    } else {
      for (; band < end; band += slice, from += pixel) copyLine(band, from, slice);
    }
    if (after) memory.fill(band, <u8>fill, <usize>after * slice);
    band += <usize>after * slice;
  }
}

/** The offset of each of blockH x blockW windows, in an image of `pitch` bytes a row and `pixel` bytes a pixel. */
function windowOffsets(
  offsets: usize, blockH: i32, blockW: i32, strideH: i32, strideW: i32, pitch: usize, pixel: usize,
): void {
  for (let y = 0; y < blockH; y++) {
    for (let x = 0; x < blockW; x++) {
      store<u32>(offsets, <u32>(<usize>(y * strideH) * pitch + <usize>(x * strideW) * pixel));
      offsets += 4;
    }
  }
}

/** The offset of each run of a window: of its rows when they are contiguous, else of its pixels. Returns their count. */
export function runOffsets(
  offsets: usize, kernelH: i32, kernelW: i32, dilationH: i32, dilationW: i32, pitch: usize, pixel: usize, contiguous: bool,
): i32 {
  const across = contiguous ? 1 : kernelW;
  for (let y = 0; y < kernelH; y++) {
    for (let x = 0; x < across; x++) {
      store<u32>(offsets, <u32>(<usize>(y * dilationH) * pitch + <usize>(x * dilationW) * pixel));
      offsets += 4;
    }
  }
  return kernelH * across;
}

/**
 * y = act(clamp(conv(x, w) + bias + residual)) for x [N,h,w,c], y [N,oh,ow,o].
 *
 * Work goes by blocks of blockH rows by blockW columns of y; blockW is ow unless blockH is 1. With `banded` unset the
 * windows must lie inside the image. `weights`: f32_pack of [o/group][kernelH*kernelW*c/group] for each group in turn;
 * `residual`, `steps`: 0 for none. `scratch`: 128 + 4 * (blockH * blockW + kernelH * kernelW) bytes, rounded up to 16, and the band.
 * Rows: rows of y, N * oh.
 */
export function f32_conv(
  x: usize, y: usize, h: i32, w: i32, c: i32, oh: i32, ow: i32, kernelH: i32, kernelW: i32, strideH: i32, strideW: i32,
  dilationH: i32, dilationW: i32, top: i32, left: i32, o: i32, group: i32, weights: usize, bias: usize, residual: usize,
  low: f32, high: f32, steps: usize, banded: i32, blockH: i32, blockW: i32, scratch: usize, from: i32, to: i32,
): void {
  const pixel = <usize>c << 2, pixelY = <usize>o << 2;
  const groupC = c / group, groupO = o / group;
  const contiguous = dilationW == 1 && group == 1;
  const bandW = banded ? (blockW - 1) * strideW + (kernelW - 1) * dilationW + 1 : w;
  const pitch = <usize>bandW * pixel;
  const stage = scratch, offsets = scratch + 128, runs = offsets + (<usize>(blockH * blockW) << 2);
  const band = (runs + (<usize>(kernelH * kernelW) << 2) + 15) & ~15;
  windowOffsets(offsets, blockH, blockW, strideH, strideW, pitch, pixel);
  const runCount = runOffsets(runs, kernelH, kernelW, dilationH, dilationW, pitch, pixel, contiguous);
  const runBytes = <usize>(contiguous ? kernelW * c : groupC) << 2;
  const groupWeights = (<usize>((groupO + 7) >> 3) * kernelH * kernelW * groupC) << 5;
  const groupBias = <usize>((groupO + 7) & ~7) << 2, activation = swishOf(steps);
  for (let row = from; row < to; ) {
    const n = row / oh, oy = row % oh;
    const rows = min(blockH, min(to - row, oh - oy));
    const image = x + <usize>n * h * w * pixel;
    const iy = oy * strideH - top;
    for (let ox = 0; ox < ow; ox += blockW) {
      const cols = min(blockW, ow - ox);
      const ix = ox * strideW - left;
      let a = image + (<usize>iy * w + ix) * pixel;
      if (banded) {
        fillBand(band, image, h, w, pixel, iy, ix, (rows - 1) * strideH + (kernelH - 1) * dilationH + 1, bandW, 0, pixel);
        a = band;
      }
      const at = (<usize>row * ow + ox) * pixelY;
      for (let g = 0; g < group; g++) {
        const channel = <usize>(g * groupO) << 2;
        blockF32(
          rows * cols, a + (<usize>(g * groupC) << 2), offsets, runCount, runs, runBytes, weights + <usize>g * groupWeights,
          bias + <usize>g * groupBias, y + at + channel, groupO, pixelY, residual ? residual + at + channel : 0,
          low, high, activation, stage,
        );
      }
      if (steps) applySteps(steps, activation ? 1 : 0, y + at, rows * cols * o);
    }
    row += rows;
  }
}

/**
 * The same on levels, in the arithmetic of requant.ts; `kind` as in kind.ts, `after` as in i8_gemm. `zero`: the byte that
 * the border holds. `weights`, `levels` and `room` as in i8_gemm, with one run for each of f32_conv's; all but i8_pack for one
 * group only. `banded` must be set unless the kind is
 * BYTES. `scratch`: 192 + 4 * (blockH * blockW + kernelH * kernelW) bytes, rounded up to 16, the band in bytes, rounded
 * up to 32, and for WIDE twice as much again.
 */
export function i8_conv(
  x: usize, y: usize, h: i32, w: i32, c: i32, oh: i32, ow: i32, kernelH: i32, kernelW: i32, strideH: i32, strideW: i32,
  dilationH: i32, dilationW: i32, top: i32, left: i32, o: i32, group: i32, weights: usize, params: usize, residual: usize,
  kind: i32, zero: i32, shift: i32, offset: i32, low: f32, high: f32, residualMultiplier: i32, after: usize,
  banded: i32, blockH: i32, blockW: i32, scratch: usize, levels: usize, room: usize, from: i32, to: i32,
): void {
  const size = sizeOf(kind), sizeY: usize = shift ? 1 : 4;
  const pixel = <usize>c * size, pixelY = <usize>o * sizeY;
  const groupC = c / group, groupO = o / group;
  const contiguous = dilationW == 1 && group == 1;
  const bandW = banded ? (blockW - 1) * strideW + (kernelW - 1) * dilationW + 1 : w;
  const bandH = (blockH - 1) * strideH + (kernelH - 1) * dilationH + 1;
  const pitch = <usize>bandW * pixel;
  const stage = scratch, offsets = scratch + 192, runs = offsets + (<usize>(blockH * blockW) << 2);
  const band = (runs + (<usize>(kernelH * kernelW) << 2) + 15) & ~15;
  const form = size == 1 ? band : band + ((<usize>(bandH * bandW * c) + 31) & ~31);
  windowOffsets(offsets, blockH, blockW, strideH, strideW, pitch, pixel);
  const runCount = runOffsets(runs, kernelH, kernelW, dilationH, dilationW, pitch, pixel, contiguous);
  const runBytes = (<usize>(contiguous ? kernelW * c : groupC) * size + 3) & ~3;
  const groupPanels = (groupO + 7) >> 3;
  const curve = shift ? after : 0;
  const groupWeights = (<usize>groupPanels * runCount * runBytes) << 3;
  for (let row = from; row < to; ) {
    const n = row / oh, oy = row % oh;
    const rows = min(blockH, min(to - row, oh - oy));
    const image = x + <usize>n * h * w * c;
    const iy = oy * strideH - top;
    for (let ox = 0; ox < ow; ox += blockW) {
      const cols = min(blockW, ow - ox);
      const ix = ox * strideW - left;
      let a = image + (<usize>iy * w + ix) * c;
      if (banded) {
        const bandRows = (rows - 1) * strideH + (kernelH - 1) * dilationH + 1;
        fillBand(band, image, h, w, c, iy, ix, bandRows, bandW, zero, c);
        convert(kind, form, band, <usize>bandRows * bandW * c);
        a = form;
      }
      const pixels = <usize>row * ow + ox;
      if (room && !levels) {
        blockSparse(
          kind, rows * cols, a, offsets, runCount, runs, runBytes, weights, params, shift, offset, low, high, curve,
          y + pixels * pixelY, o, pixelY, residual ? residual + pixels * o : 0, residual ? o : 0, residualMultiplier, stage,
          room,
        );
      } else for (let g = 0; g < group; g++) {
        blockI8(
          kind, rows * cols, a + <usize>(g * groupC) * size, offsets, runCount, runs, runBytes,
          weights + <usize>g * groupWeights, levels, room, params + <usize>g * groupPanels * PANEL, shift, offset, low, high, curve,
          y + pixels * pixelY + <usize>(g * groupO) * sizeY, groupO, pixelY,
          residual ? residual + pixels * o + g * groupO : 0, residual ? o : 0, residualMultiplier, stage,
        );
      }
      if (after && !shift) applySteps(after, 0, y + pixels * pixelY, rows * cols * o);
    }
    row += rows;
  }
}
