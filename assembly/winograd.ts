/**
 * Convolutions of stride 1 with kernels of 3 x 3, 1 x 3 or 3 x 1 in f32 by Winograd's minimal filtering F(4, 3) along each
 * axis of 3 (Lavin and Gray, 2016): 36 products instead of 144 for 4 x 4 outputs, 6 instead of 12 for 4. Inputs and kernels are
 * transformed, multiplied as a matrix for each of the 36 or 6 positions, and the products transformed back. Channels come
 * in fours.
 */
import { blockF32, denseOffsets, finishF32 } from './gemm';
import { applySteps, swishOf } from './steps';

/** Positions and outputs of a tile along an axis of 3; both are 1 along an axis of 1. */
const POSITIONS = 6, OUTPUTS = 4;

const SQRT2 = 1.4142135623730951;

/**
 * Three weights of a kernel transformed to a position: the points are 0, both roots of 1/2, both of 2, and infinity, which round
 * better than 0, 1, -1, 2, -2, infinity (Barabasz et al., 2020, on the choice).
 */
@inline
function kernelAt(position: i32, w0: f64, w1: f64, w2: f64): f64 {
  if (position == 0) return w0;
  if (position == 1) return -(2 * w0 + SQRT2 * w1 + w2) / 3;
  if (position == 2) return -(2 * w0 - SQRT2 * w1 + w2) / 3;
  if (position == 3) return (w0 + SQRT2 * w1 + 2 * w2) / 6;
  if (position == 4) return (w0 - SQRT2 * w1 + 2 * w2) / 6;
  return w2;
}

/** A row of the kernel at a position along it. */
@inline
function alongRow(at: usize, pixel: usize, width: i32, position: i32): f64 {
  if (width == 1) return load<f32>(at);
  return kernelAt(position, load<f32>(at), load<f32>(at + pixel), load<f32>(at + 2 * pixel));
}

/**
 * Transforms weights [o][height][width][c] to a matrix for each position in panels of 8 channels, [position][o/8][c][8].
 * Rows: panels.
 */
export function f32_packWinograd(
  source: usize, packed: usize, o: i32, c: i32, height: i32, width: i32, from: i32, to: i32,
): void {
  const pixel = <usize>c << 2, line = <usize>width * pixel, size = <usize>((o + 7) >> 3) * c << 5;
  const down = height == 3 ? POSITIONS : 1, across = width == 3 ? POSITIONS : 1;
  for (let panel = from; panel < to; panel++) {
    for (let i = 0; i < c; i++) {
      for (let lane = 0; lane < 8; lane++) {
        const channel = panel * 8 + lane;
        const at = source + <usize>(channel * height) * line + (<usize>i << 2);
        let out = packed + ((<usize>(panel * c + i)) << 5) + (<usize>lane << 2);
        for (let row = 0; row < down; row++) {
          for (let column = 0; column < across; column++) {
            let value: f64 = 0;
            if (channel < o) {
              value = alongRow(at, pixel, width, column);
              if (height == 3) {
                const second = alongRow(at + line, pixel, width, column), third = alongRow(at + 2 * line, pixel, width, column);
                value = kernelAt(row, value, second, third);
              }
            }
            store<f32>(out, <f32>value);
            out += size;
          }
        }
      }
    }
  }
}

/** Six inputs `step` apart, to the six sums of their transform, `size` apart. */
@inline
function spread(d0: v128, d1: v128, d2: v128, d3: v128, d4: v128, d5: v128, out: usize, size: usize): void {
  const root = f32x4.splat(<f32>SQRT2), half = f32x4.splat(<f32>(SQRT2 / 2));
  v128.store(out, f32x4.add(f32x4.sub(d0, f32x4.mul(f32x4.splat(2.5), d2)), d4));
  const a = f32x4.sub(d4, f32x4.add(d2, d2)), b = f32x4.sub(f32x4.mul(half, d3), f32x4.mul(root, d1));
  v128.store(out + size, f32x4.add(a, b));
  v128.store(out + 2 * size, f32x4.sub(a, b));
  const e = f32x4.sub(d4, f32x4.mul(f32x4.splat(0.5), d2)), f = f32x4.sub(f32x4.mul(root, d3), f32x4.mul(half, d1));
  v128.store(out + 3 * size, f32x4.add(e, f));
  v128.store(out + 4 * size, f32x4.sub(e, f));
  v128.store(out + 5 * size, f32x4.add(f32x4.sub(d1, f32x4.mul(f32x4.splat(2.5), d3)), d5));
}

/** `bytes` of six lines to six transformed lines, `size` apart. */
function spreadLines(d0: usize, d1: usize, d2: usize, d3: usize, d4: usize, d5: usize, bytes: usize, out: usize, size: usize): void {
  for (const end = d0 + bytes; d0 < end; d0 += 16) {
    spread(v128.load(d0), v128.load(d1), v128.load(d2), v128.load(d3), v128.load(d4), v128.load(d5), out, size);
    d1 += 16, d2 += 16, d3 += 16, d4 += 16, d5 += 16, out += 16;
  }
}

/** Windows of six pixels, four apart, to a row of each of six matrices, `size` apart. */
function spreadWindows(line: usize, pixel: usize, tiles: i32, out: usize, size: usize): void {
  for (; tiles > 0; tiles--) {
    for (const end = out + pixel; out < end; out += 16) {
      const next = line + 3 * pixel;
      const d0 = v128.load(line), d1 = v128.load(line + pixel), d2 = v128.load(line + 2 * pixel);
      const d3 = v128.load(next), d4 = v128.load(next + pixel), d5 = v128.load(next + 2 * pixel);
      spread(d0, d1, d2, d3, d4, d5, out, size);
      line += 16;
    }
    line += (OUTPUTS - 1) * pixel;
  }
}

/** Line `row` of the image, or zeros where it has none. */
@inline
function lineOf(image: usize, row: i32, h: i32, pitch: usize, zeros: usize): usize {
  return <u32>row < <u32>h ? image + <usize>row * pitch : zeros;
}

/** Rows of a tile of 4 x 6 places, 16 bytes each, from six products `step` apart for each column. */
@inline
function gather(m0: v128, m1: v128, m2: v128, m3: v128, m4: v128, m5: v128, out: usize, step: usize): void {
  const a = f32x4.add(m1, m2), b = f32x4.sub(m1, m2), e = f32x4.add(m3, m4), f = f32x4.sub(m3, m4);
  const root = <f32>SQRT2;
  v128.store(out, f32x4.add(f32x4.add(m0, a), e));
  v128.store(out + step, f32x4.add(f32x4.mul(f32x4.splat(root / 2), b), f32x4.mul(f32x4.splat(root), f)));
  v128.store(out + 2 * step, f32x4.add(f32x4.mul(f32x4.splat(0.5), a), f32x4.add(e, e)));
  v128.store(
    out + 3 * step, f32x4.add(f32x4.add(f32x4.mul(f32x4.splat(root / 4), b), f32x4.mul(f32x4.splat(2 * root), f)), m5),
  );
}

/**
 * A row of tiles from matrices of products, `size` bytes each, to `rows` x `cols` outputs, `pitch` bytes a row. `places`: 640 bytes to
 * work in. `residual`: added to y's element of the same place, 0 for none.
 */
function transformOut(
  matrices: usize, size: usize, height: i32, width: i32, rows: i32, cols: i32, pixel: usize, bias: usize, y: usize, pitch: usize,
  residual: usize, low: f32, high: f32, activation: usize, places: usize,
): void {
  const lo = f32x4.splat(low), hi = f32x4.splat(high);
  const across = width == 3 ? POSITIONS : 1, wide = width == 3 ? OUTPUTS : 1;
  const line = <usize>across * size, results = places + 384;
  for (; cols > 0; cols -= wide) {
    const most = min(cols, wide);
    for (let i: usize = 0; i < pixel; i += 16) {
      // Of a kernel 1 high the products are the places.
      let from = matrices + i, step = size;
      if (height == 3) {
        for (let column = 0; column < across; column++) {
          const m0 = v128.load(from), m1 = v128.load(from + line), m2 = v128.load(from + 2 * line);
          const m3 = v128.load(from + 3 * line), m4 = v128.load(from + 4 * line), m5 = v128.load(from + 5 * line);
          gather(m0, m1, m2, m3, m4, m5, places + ((<usize>column) << 4), <usize>across << 4);
          from += size;
        }
        from = places;
        step = 16;
      }
      const b = v128.load(bias + i);
      for (let row = 0; row < rows; row++) {
        let value = from;
        if (width == 3) {
          const m0 = v128.load(from), m1 = v128.load(from + step), m2 = v128.load(from + 2 * step);
          const m3 = v128.load(from + 3 * step), m4 = v128.load(from + 4 * step), m5 = v128.load(from + 5 * step);
          gather(m0, m1, m2, m3, m4, m5, results, 16);
          value = results;
        }
        let at = y + <usize>row * pitch + i, add = residual ? residual + <usize>row * pitch + i : 0;
        for (let column = 0; column < most; column++) {
          finishF32(f32x4.add(v128.load(value), b), at, add, lo, hi, activation);
          value += 16;
          at += pixel;
          if (add) add += pixel;
        }
        from += <usize>across << 4;
      }
    }
    matrices += pixel;
    y += <usize>wide * pixel;
    if (residual) residual += <usize>wide * pixel;
  }
}

/**
 * y = act(clamp(convolution + bias + residual)) of images [n][h][w][c] to [n][oh][ow][o], by kernels of `height` x `width`.
 * `weights`: of f32_packWinograd. `residual`, `steps`: 0 for none. `blockH`, `blockW`: tiles to multiply at a time, T in all;
 * blockH is 1 unless a block has all columns. `scratch`: 768 bytes, 4 * T + 4, rounded up to 16, floats for o rounded up to 8, for a line
 * of the image, for six lines of the pixels that blockW tiles see, and T * (c + o) for each position. Rows: rows of tiles.
 */
export function f32_winograd(
  x: usize, y: usize, h: i32, w: i32, c: i32, oh: i32, ow: i32, height: i32, width: i32, top: i32, left: i32, o: i32,
  weights: usize, bias: usize, residual: usize, low: f32, high: f32, steps: usize, blockH: i32, blockW: i32, scratch: usize,
  from: i32, to: i32,
): void {
  const pixel = <usize>c << 2, pixelY = <usize>o << 2, pitchX = <usize>w * pixel, pitchY = <usize>ow * pixelY;
  const down = height == 3 ? POSITIONS : 1, across = width == 3 ? POSITIONS : 1;
  const tall = height == 3 ? OUTPUTS : 1, wide = width == 3 ? OUTPUTS : 1;
  const stage = scratch, places = scratch + 128, offsets = scratch + 768, most = blockH * blockW;
  const noBias = (offsets + (<usize>most << 2) + 4 + 15) & ~15;
  const noLine = noBias + (<usize>((o + 7) & ~7) << 2);
  const band = noLine + pitchX;
  const bandBytes = <usize>(wide * blockW + across - wide) * pixel;
  const inputs = band + <usize>POSITIONS * bandBytes;
  const products = inputs + <usize>(down * across * most) * pixel;
  const panelBytes = (<usize>((o + 7) >> 3) * c) << 5;
  const strips = (oh + tall - 1) / tall, infinity: f32 = Infinity, activation = swishOf(steps);
  memory.fill(noBias, 0, band - noBias);
  denseOffsets(offsets, most, pixel);
  for (let row = from; row < to; ) {
    const n = row / strips, strip = row % strips, oy = strip * tall;
    const count = min(blockH, min(to - row, strips - strip));
    const image = x + <usize>n * h * pitchX;
    for (let ox = 0; ox < ow; ox += wide * blockW) {
      const cols = min(wide * blockW, ow - ox), wideTiles = (cols + wide - 1) / wide, tiles = wideTiles * count;
      const sizeX = <usize>tiles * pixel, sizeY = <usize>tiles * pixelY;
      // Columns of the band that lie in the image.
      const seen = wide * wideTiles + across - wide, first = ox - left;
      const before = min(seen, max(0, -first)), inside = max(0, min(seen, w - first) - before);
      const skip = <usize>before * pixel, bytes = <usize>inside * pixel;
      for (let r = 0; r < count; r++) {
        const matrices = inputs + <usize>(r * wideTiles) * pixel;
        // Of a kernel 1 wide the band's lines are rows of the matrices.
        const lines = width == 3 ? band : matrices, size = width == 3 ? bandBytes : sizeX;
        const iy = oy + r * tall - top;
        for (let i = 0; i < down; i++) {
          const line = lines + <usize>i * size, after = skip + bytes;
          memory.fill(line, 0, skip);
          memory.fill(line + after, 0, <usize>seen * pixel - after);
        }
        const column = <usize>max(0, first) * pixel;
        const d0 = lineOf(image, iy, h, pitchX, noLine - column) + column;
        if (height == 3) {
          spreadLines(
            d0, lineOf(image, iy + 1, h, pitchX, noLine - column) + column, lineOf(image, iy + 2, h, pitchX, noLine - column) + column,
            lineOf(image, iy + 3, h, pitchX, noLine - column) + column, lineOf(image, iy + 4, h, pitchX, noLine - column) + column,
            lineOf(image, iy + 5, h, pitchX, noLine - column) + column, bytes, lines + skip, size,
          );
        } else memory.copy(lines + skip, d0, bytes);
        if (width == 3) {
          for (let i = 0; i < down; i++) {
            spreadWindows(band + <usize>i * bandBytes, pixel, wideTiles, matrices + <usize>(i * across) * sizeX, sizeX);
          }
        }
      }
      for (let p = 0; p < down * across; p++) {
        blockF32(
          tiles, inputs + <usize>p * sizeX, offsets, 1, offsets + (<usize>most << 2), pixel, weights + <usize>p * panelBytes, noBias,
          products + <usize>p * sizeY, o, pixelY, 0, -infinity, infinity, 0, stage,
        );
      }
      for (let r = 0; r < count; r++) {
        const rows = min(tall, oh - oy - r * tall);
        const at = (<usize>(n * oh + oy + r * tall) * ow + ox) * pixelY;
        transformOut(
          products + <usize>(r * wideTiles) * pixelY, sizeY, height, width, rows, cols, pixelY, bias, y + at, pitchY,
          residual ? residual + at : 0, low, high, activation, places,
        );
        if (steps) {
          for (let i = 0; i < rows; i++) applySteps(steps, activation ? 1 : 0, y + at + <usize>i * pitchY, cols * o);
        }
      }
    }
    row += count;
  }
}
