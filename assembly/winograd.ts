/**
 * 3 x 3 convolutions of stride 1 in f32 by Winograd's minimal filtering F(2 x 2, 3 x 3) (Lavin and Gray, 2016): 16 products
 * instead of 36 for 2 x 2 outputs. Patches of 4 x 4 inputs and kernels are transformed, multiplied as 16 matrices, and the
 * products transformed back. Channels come in fours.
 */
import { fillBand } from './conv';
import { blockF32, denseOffsets } from './gemm';
import { applySteps } from './steps';

/**
 * Transforms weights [o][3][3][c] to 16 matrices in panels of 8 channels, [position][o/8][c][8]. Rows: panels.
 */
export function f32_packWinograd(source: usize, packed: usize, o: i32, c: i32, from: i32, to: i32): void {
  const pixel = <usize>c << 2, size = <usize>((o + 7) >> 3) * c << 5;
  for (let panel = from; panel < to; panel++) {
    for (let i = 0; i < c; i++) {
      for (let lane = 0; lane < 8; lane++) {
        const channel = panel * 8 + lane;
        const at = source + <usize>channel * 9 * pixel + (<usize>i << 2);
        let out = packed + ((<usize>(panel * c + i)) << 5) + (<usize>lane << 2);
        for (let row = 0; row < 4; row++) {
          let a: f32 = 0, b: f32 = 0, d: f32 = 0;
          if (channel < o) {
            a = across(row, at, 3 * pixel);
            b = across(row, at + pixel, 3 * pixel);
            d = across(row, at + 2 * pixel, 3 * pixel);
          }
          store<f32>(out, a);
          store<f32>(out + size, (a + b + d) * 0.5);
          store<f32>(out + 2 * size, (a - b + d) * 0.5);
          store<f32>(out + 3 * size, d);
          out += 4 * size;
        }
      }
    }
  }
}

/** Row `row` of the transform, applied to three weights. */
@inline
function across(row: i32, at: usize, step: usize): f32 {
  const a = load<f32>(at), b = load<f32>(at + step), d = load<f32>(at + 2 * step);
  return row == 0 ? a : row == 1 ? (a + b + d) * 0.5 : row == 2 ? (a - b + d) * 0.5 : d;
}

/** The four sums of a transform of four values, to places `step` apart. */
@inline
function spread(t0: v128, t1: v128, t2: v128, t3: v128, out: usize, step: usize): void {
  v128.store(out, f32x4.sub(t0, t2));
  v128.store(out + step, f32x4.add(t1, t2));
  v128.store(out + 2 * step, f32x4.sub(t2, t1));
  v128.store(out + 3 * step, f32x4.sub(t1, t3));
}

/**
 * Patches of `tiles` tiles side by side, whose rows lie `pitch` bytes apart in the band, to rows of 16 matrices of `size` bytes.
 */
function transformIn(band: usize, pitch: usize, pixel: usize, tiles: i32, matrices: usize, size: usize): void {
  for (let tile = 0; tile < tiles; tile++) {
    const end = matrices + pixel;
    for (let x = band; matrices < end; matrices += 16, x += 16) {
      for (let row: usize = 0; row < 4; row++) {
        // d0 - d2, d1 + d2, d2 - d1, d1 - d3 of the patch's rows.
        const a = x + (row == 0 ? 0 : row == 2 ? 2 * pitch : pitch), b = x + (row == 3 ? 3 * pitch : row == 2 ? pitch : 2 * pitch);
        const p0 = v128.load(a), p1 = v128.load(a + pixel), p2 = v128.load(a + 2 * pixel), p3 = v128.load(a + 3 * pixel);
        const q0 = v128.load(b), q1 = v128.load(b + pixel), q2 = v128.load(b + 2 * pixel), q3 = v128.load(b + 3 * pixel);
        const out = matrices + 4 * row * size;
        if (row == 1) spread(f32x4.add(p0, q0), f32x4.add(p1, q1), f32x4.add(p2, q2), f32x4.add(p3, q3), out, size);
        else spread(f32x4.sub(p0, q0), f32x4.sub(p1, q1), f32x4.sub(p2, q2), f32x4.sub(p3, q3), out, size);
      }
    }
    band += 2 * pixel;
  }
}

/** + bias + residual, clamp, store. */
@inline
function put(sum: v128, bias: v128, y: usize, residual: usize, lo: v128, hi: v128): void {
  sum = f32x4.add(sum, bias);
  if (residual) sum = f32x4.add(sum, v128.load(residual));
  v128.store(y, f32x4.pmin(f32x4.pmax(sum, lo), hi));
}

/**
 * Rows of 16 matrices of `size` bytes, one for each two of `cols` outputs, to two rows of outputs, `pitch` bytes apart, or one.
 * `residual`: added to y's element of the same place, 0 for none.
 */
function transformOut(
  matrices: usize, size: usize, cols: i32, rows: i32, pixel: usize, bias: usize, y: usize, pitch: usize, residual: usize,
  low: f32, high: f32,
): void {
  const lo = f32x4.splat(low), hi = f32x4.splat(high);
  for (; cols > 0; cols -= 2) {
    for (let i: usize = 0; i < pixel; i += 16) {
      const m = matrices + i, b = v128.load(bias + i);
      const at = y + i, add = residual ? residual + i : 0;
      let r00 = f32x4.splat(0), r01 = r00, r10 = r00, r11 = r00;
      for (let column: usize = 0; column < 4; column++) {
        const from = m + column * size;
        const m0 = v128.load(from), m1 = v128.load(from + 4 * size), m2 = v128.load(from + 8 * size);
        const upper = f32x4.add(f32x4.add(m0, m1), m2);
        const lower = f32x4.sub(f32x4.sub(m1, m2), v128.load(from + 12 * size));
        if (column < 3) {
          r00 = f32x4.add(r00, upper);
          r10 = f32x4.add(r10, lower);
        }
        if (column == 1) {
          r01 = upper;
          r11 = lower;
        } else if (column > 1) {
          r01 = f32x4.sub(r01, upper);
          r11 = f32x4.sub(r11, lower);
        }
      }
      put(r00, b, at, add, lo, hi);
      if (cols > 1) put(r01, b, at + pixel, add ? add + pixel : 0, lo, hi);
      if (rows > 1) {
        const below = add ? add + pitch : 0;
        put(r10, b, at + pitch, below, lo, hi);
        if (cols > 1) put(r11, b, at + pitch + pixel, below ? below + pixel : 0, lo, hi);
      }
    }
    matrices += pixel;
    y += 2 * pixel;
    if (residual) residual += 2 * pixel;
  }
}

/**
 * y = act(clamp(convolution + bias + residual)) of images [n][h][w][c] to [n][oh][ow][o]. `weights`: of f32_packWinograd.
 * `residual`, `steps`: 0 for none. `blockH`, `blockW`: tiles to multiply at a time, T in all; blockH is 1 unless a block has
 * all columns. `scratch`: 128 bytes, 4 * T + 4, rounded up to 16, o rounded up to 8 floats, a band of (2 * blockH + 2) x
 * (2 * blockW + 2) pixels, and 16 * T * (c + o) floats. Rows: pairs of rows of y.
 */
export function f32_winograd(
  x: usize, y: usize, h: i32, w: i32, c: i32, oh: i32, ow: i32, top: i32, left: i32, o: i32, weights: usize, bias: usize,
  residual: usize, low: f32, high: f32, steps: usize, blockH: i32, blockW: i32, scratch: usize, from: i32, to: i32,
): void {
  const pixel = <usize>c << 2, pixelY = <usize>o << 2, pitchY = <usize>ow * pixelY;
  const stage = scratch, offsets = scratch + 128, most = blockH * blockW;
  const zeros = (offsets + (<usize>most << 2) + 4 + 15) & ~15;
  const band = zeros + (<usize>((o + 7) & ~7) << 2);
  const bandW = 2 * blockW + 2, pitch = <usize>bandW * pixel;
  const inputs = band + <usize>(2 * blockH + 2) * pitch;
  const products = inputs + 16 * <usize>most * pixel;
  const panelBytes = (<usize>((o + 7) >> 3) * c) << 5;
  const pairs = (oh + 1) >> 1, infinity: f32 = Infinity;
  memory.fill(zeros, 0, band - zeros);
  denseOffsets(offsets, most, pixel);
  for (let row = from; row < to; ) {
    const n = row / pairs, pair = row % pairs, oy = pair * 2;
    const height = min(blockH, min(to - row, pairs - pair));
    const image = x + <usize>n * h * w * pixel;
    for (let ox = 0; ox < ow; ox += 2 * blockW) {
      const cols = min(2 * blockW, ow - ox), across = (cols + 1) >> 1, tiles = across * height;
      const sizeX = <usize>tiles * pixel, sizeY = <usize>tiles * pixelY;
      fillBand(band, image, h, w, pixel, oy - top, ox - left, 2 * height + 2, bandW, 0, pixel);
      for (let r = 0; r < height; r++) {
        transformIn(band + <usize>(2 * r) * pitch, pitch, pixel, across, inputs + <usize>(r * across) * pixel, sizeX);
      }
      for (let p: usize = 0; p < 16; p++) {
        blockF32(
          tiles, inputs + p * sizeX, offsets, 1, offsets + (<usize>most << 2), pixel, weights + p * panelBytes, zeros,
          products + p * sizeY, o, pixelY, 0, -infinity, infinity, stage,
        );
      }
      for (let r = 0; r < height; r++) {
        const rows = min(2, oh - oy - 2 * r);
        const at = (<usize>(n * oh + oy + 2 * r) * ow + ox) * pixelY;
        transformOut(
          products + <usize>(r * across) * pixelY, sizeY, cols, rows, pixelY, bias, y + at, pitchY,
          residual ? residual + at : 0, low, high,
        );
        if (steps) {
          for (let i = 0; i < rows; i++) applySteps(steps, y + at + <usize>i * pitchY, cols * o);
        }
      }
    }
    row += height;
  }
}
