/**
 * Convolutions of signs by weights of -1 and 1, counted from a table. The signs of 4 channels are a number of 4 bits, a
 * group; how many of them equal the 4 weights of an output, which are another such number, is a byte of a table of 16. One
 * lookup counts for 16 outputs, and for two pixels of a row at once, whose counts are the halves of the byte: that is 128
 * products in one instruction, and 5 more add three of them up.
 *
 * A group is stored for a pixel and its neighbour one stride on as the offset of their table, state + 17 * the neighbour's
 * state tables. States are the 16 groups of signs, and 16 for a pixel that has none, whose counts are 0. A window is
 * multiplied where it lies, as runs of such offsets.
 */
import { unstage } from './line';
import { sumLanes } from './simd';
import { applySteps } from './steps';

const NONE: u8 = 16;
const STATES = 17;
const TABLES: usize = STATES * STATES * 16;

/** Threes of lookups whose counts, up to 4 each, are held in a byte. */
const THREES = 21;

/** Outputs of a lookup, a unit, and of a panel. */
const UNIT = 16, PANEL = 64;

/** Stands for no weights: nothing is counted. */
const ABSENT: u8 = 0x80;

/**
 * Packs weights [o][kernel][c] of -1 and 1 to panels [o/64][runs][length/3][units][3][16]: a byte for each output of a unit,
 * with a bit for each of the 4 channels of a group. Byte 2i is that of output i, byte 2i + 1 of output 8 + i. A pixel has c/4
 * groups, rounded up, a run `length` of them, filled up to a multiple of 3. Rows: panels.
 */
export function i8_packBits(
  source: usize, packed: usize, o: i32, c: i32, runs: i32, length: i32, from: i32, to: i32,
): void {
  const depth = (c + 3) >> 2, threes = (length + 2) / 3, pitch = runs * length / depth * c;
  for (let panel = from; panel < to; panel++) {
    const first = panel * PANEL, outputs = min(PANEL, o - first), three = 3 * (outputs + 15 & ~15);
    let out = packed + <usize>(panel * runs * threes * 3) * PANEL;
    memory.fill(out, ABSENT, <usize>(runs * threes * three));
    for (let run = 0; run < runs; run++) {
      for (let i = 0; i < length; i++) {
        const group = run * length + i, channel = group % depth << 2;
        const count = min(4, c - channel);
        const at = source + <usize>(group / depth * c + channel);
        const place = out + <usize>(i / 3 * three + i % 3 * UNIT);
        for (let n = 0; n < outputs; n++) {
          let bits = 0;
          for (let k = 0; k < count; k++) bits |= i32(load<i8>(at + <usize>((first + n) * pitch + k)) > 0) << k;
          store<u8>(place + (n >> 4) * (3 * UNIT) + ((n & 7) << 1) + (n >> 3 & 1), <u8>bits);
        }
      }
      out += threes * three;
    }
  }
}

/** Bits of 4 values that are at least 0. */
@inline
function signBits(x: usize): i32 {
  return i32x4.bitmask(f32x4.ge(v128.load(x), f32x4.splat(0)));
}

/** The states of n signs, those that the last group lacks being 1: their weights are 0. */
function signs(x: usize, n: i32, states: usize): void {
  const zero = f32x4.splat(0);
  for (; n >= 16; n -= 16) {
    const a = i16x8.narrow_i32x4_s(f32x4.ge(v128.load(x), zero), f32x4.ge(v128.load(x, 16), zero));
    const b = i16x8.narrow_i32x4_s(f32x4.ge(v128.load(x, 32), zero), f32x4.ge(v128.load(x, 48), zero));
    let bits = i8x16.bitmask(i8x16.narrow_i16x8_s(a, b));
    bits = (bits | bits << 8) & 0x00ff00ff;
    store<u32>(states, (bits | bits << 4) & 0x0f0f0f0f);
    x += 64;
    states += 4;
  }
  for (; n >= 4; n -= 4) {
    store<u8>(states++, <u8>signBits(x));
    x += 16;
  }
  if (n > 0) store<u8>(states, <u8>(signBits(x) | 15 << n & 15));
}

/** The states of a pixel outside the image: of -1, 1, or none. */
function borderStates(border: i32, c: i32, states: usize): void {
  const depth = <usize>(c + 3) >> 2, lacking = 15 << (c & 3) & 15;
  memory.fill(states, border == 0 ? NONE : border > 0 ? 15 : 0, depth);
  if (border < 0 && c & 3) store<u8>(states + depth - 1, <u8>lacking);
}

/** The sum of |x| over c channels. */
function magnitude(pixel: usize, c: i32): f32 {
  let sums = f32x4.splat(0), rest: f32 = 0;
  for (; c >= 4; c -= 4) {
    sums = f32x4.add(sums, f32x4.abs(v128.load(pixel)));
    pixel += 16;
  }
  for (; c > 0; c--) {
    rest += abs(load<f32>(pixel));
    pixel += 4;
  }
  return sumLanes(sums) + rest;
}

/** Bytes of a row of offsets, two of which may be read past its end. */
@inline
function pitchOf(columns: i32, depth: usize): usize {
  return (<usize>columns * depth + 9 & ~7) << 1;
}

/**
 * The signs of images [n][h][w][c], 1 where x >= 0 and else -1, in groups, to rows of offsets of 16 bits: for each of
 * `columns` columns from `left` columns before the image on, and each group, those of the column and the one `step` columns
 * on. `rows` rows, n * h of them, are followed by one outside the image. `border`: signs outside the image, 0 for none.
 * `magnitudes`: to hold the sum of |x| of each pixel; 0 to leave it. `scratch`: (columns + step) * c/4 bytes, c/4 being
 * rounded up, and 16. A row takes columns * c/4 + 2 offsets, rounded up to 8. Rows: of offsets.
 */
export function f32_signs(
  x: usize, offsets: usize, rows: i32, w: i32, c: i32, left: i32, columns: i32, step: i32, border: i32, magnitudes: usize,
  scratch: usize, from: i32, to: i32,
): void {
  const depth = <usize>(c + 3) >> 2, pixel = <usize>c << 2;
  const count = <usize>columns * depth, pitch = pitchOf(columns, depth), next = scratch + <usize>step * depth;
  const all = columns + step, first = min(all, left), last = min(all, left + w);
  v128.store(next + count, i8x16.splat(0));
  for (let row = from; row < to; row++) {
    const image = x + <usize>(row * w) * pixel;
    for (let column = 0; column < all; column++) {
      if (row == rows || column < first || column >= last) borderStates(border, c, scratch + <usize>column * depth);
      else if (c & 3) signs(image + <usize>(column - left) * pixel, c, scratch + <usize>column * depth);
    }
    if (row < rows && (c & 3) == 0) signs(image, (last - first) * c, scratch + <usize>first * depth);
    const out = offsets + <usize>row * pitch;
    for (let i: usize = 0; i < count + 2; i += 8) {
      const a = v128.load8x8_u(scratch + i), b = v128.load8x8_u(next + i);
      v128.store(out + (i << 1), i16x8.shl(i16x8.add(i16x8.add(a, b), i16x8.shl(b, 4)), 4));
    }
    if (magnitudes && row < rows) {
      for (let ix = 0; ix < w; ix++) {
        store<f32>(magnitudes + (<usize>(row * w + ix) << 2), magnitude(image + <usize>ix * pixel, c));
      }
    }
  }
}

/** The tables: byte n of table s + 17 * t is the number of equal bits of n and s, and 16 times that of n and t. */
function makeTables(tables: usize): void {
  const all = i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (let t = 0; t < STATES; t++) {
    for (let s = 0; s < STATES; s++) {
      const lower = i8x16.popcnt(v128.xor(all, i8x16.splat(<i8>(15 - s))));
      const upper = i8x16.shl(i8x16.popcnt(v128.xor(all, i8x16.splat(<i8>(15 - t)))), 4);
      const zero = i8x16.splat(0);
      v128.store(tables, i8x16.add(s < 16 ? lower : zero, t < 16 ? upper : zero));
      tables += 16;
    }
  }
}

@inline
function lookUp(table: v128, at: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? i8x16.relaxed_swizzle(table, at) : i8x16.swizzle(table, at);
}

/**
 * Adds the counts of 16 outputs to 4 vectors of 16 bits: outputs 0 to 7 and 8 to 15 of the pixel, and of its neighbour. With a
 * and b for the pixel's counts and the neighbour's, the bytes of `whole` are a + 16b, and those of `upper` b for outputs from 8
 * on and b + 16a' before, where a' is the count of the output 8 on; all but their last 8 bits are lost.
 */
@inline
function widen(whole: v128, upper: v128, sums: usize, first: bool): void {
  const byte = i16x8.splat(255);
  let b1 = i16x8.shr_u(upper, 8);
  let a1 = i16x8.shr_u(i16x8.sub(whole, i16x8.shl(b1, 12)), 8);
  let b0 = v128.and(i16x8.sub(upper, i16x8.shl(a1, 4)), byte);
  let a0 = v128.and(i16x8.sub(whole, i16x8.shl(b0, 4)), byte);
  if (!first) {
    a0 = i16x8.add(a0, v128.load(sums));
    a1 = i16x8.add(a1, v128.load(sums, 16));
    b0 = i16x8.add(b0, v128.load(sums, 2 * PANEL));
    b1 = i16x8.add(b1, v128.load(sums, 2 * PANEL + 16));
  }
  v128.store(sums, a0);
  v128.store(sums, a1, 16);
  v128.store(sums, b0, 2 * PANEL);
  v128.store(sums, b1, 2 * PANEL + 16);
}

/**
 * The counts of a pair of pixels for 1 to 4 units, to `sums`, those of a whole panel for the pixel before its neighbour's. The
 * window starts at `window`; `runs` says where each of `count` runs of `threes` threes of lookups starts from there. `most`:
 * threes to add up at a time.
 *
 * Engines load all that a block of code loads before they compute, so each unit is a block of its own: else there are not
 * enough registers.
 */
function tile(
  units: i32, tables: usize, window: usize, runs: usize, count: i32, threes: i32, most: i32, w: usize, sums: usize,
): void {
  const step: usize = 48 * units;
  let w0 = i8x16.splat(0), u0 = w0, w1 = w0, u1 = w0, w2 = w0, u2 = w0, w3 = w0, u3 = w0;
  let room = THREES, first = true;
  for (; count > 0; count--) {
    let at = window + load<u32>(runs);
    runs += 4;
    for (let left = threes; left > 0; ) {
      const n = min(left, most);
      if (room < n) {
        widen(w0, u0, sums, first);
        if (units > 1) widen(w1, u1, sums + 32, first);
        if (units > 2) widen(w2, u2, sums + 64, first);
        if (units > 3) widen(w3, u3, sums + 96, first);
        w0 = u0 = w1 = u1 = w2 = u2 = w3 = u3 = i8x16.splat(0);
        room = THREES;
        first = false;
      }
      left -= n;
      room -= n;
      const end = at + 6 * <usize>n;
      do {
        const p = v128.load(tables + <usize>load<u16>(at));
        const q = v128.load(tables + <usize>load<u16>(at, 2));
        const r = v128.load(tables + <usize>load<u16>(at, 4));
        let t = i8x16.add(lookUp(p, v128.load(w)), lookUp(q, v128.load(w, 16)));
        t = i8x16.add(t, lookUp(r, v128.load(w, 32)));
        w0 = i8x16.add(w0, t);
        u0 = i8x16.add(u0, i16x8.shr_u(t, 4));
        if (units > 1) {
          t = i8x16.add(lookUp(p, v128.load(w, 48)), lookUp(q, v128.load(w, 64)));
          t = i8x16.add(t, lookUp(r, v128.load(w, 80)));
          w1 = i8x16.add(w1, t);
          u1 = i8x16.add(u1, i16x8.shr_u(t, 4));
        }
        if (units > 2) {
          t = i8x16.add(lookUp(p, v128.load(w, 96)), lookUp(q, v128.load(w, 112)));
          t = i8x16.add(t, lookUp(r, v128.load(w, 128)));
          w2 = i8x16.add(w2, t);
          u2 = i8x16.add(u2, i16x8.shr_u(t, 4));
        }
        if (units > 3) {
          t = i8x16.add(lookUp(p, v128.load(w, 144)), lookUp(q, v128.load(w, 160)));
          t = i8x16.add(t, lookUp(r, v128.load(w, 176)));
          w3 = i8x16.add(w3, t);
          u3 = i8x16.add(u3, i16x8.shr_u(t, 4));
        }
        w += step;
        at += 6;
      } while (at < end);
    }
  }
  widen(w0, u0, sums, first);
  if (units > 1) widen(w1, u1, sums + 32, first);
  if (units > 2) widen(w2, u2, sums + 64, first);
  if (units > 3) widen(w3, u3, sums + 96, first);
}

/**
 * Of a pair of pixels: at 0 its place in y, at 4 that of its window, at 8 that of the runs of its row, at 12 how many pixels
 * it has, at 16 and 20 the signs that each sees, at 24 and 28 the factor of each.
 */
const PAIR: usize = 32;

/** y of 8 channels: (2 * count - signs) * scale * factor + bias + residual, clamped. */
@inline
function put(
  counts: usize, signs: v128, scaled: bool, factor: v128, m0: v128, m1: v128, b0: v128, b1: v128, y: usize, added: bool,
  residual: usize, lo: v128, hi: v128,
): void {
  const c = v128.load(counts), s = i16x8.sub(i16x8.add(c, c), signs);
  let c0 = f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(s)), m0);
  let c1 = f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(s)), m1);
  if (scaled) {
    c0 = f32x4.mul(c0, factor);
    c1 = f32x4.mul(c1, factor);
  }
  c0 = f32x4.add(c0, b0);
  c1 = f32x4.add(c1, b1);
  if (added) {
    c0 = f32x4.add(c0, v128.load(residual));
    c1 = f32x4.add(c1, v128.load(residual, 16));
  }
  v128.store(y, f32x4.pmin(f32x4.pmax(c0, lo), hi));
  v128.store(y, f32x4.pmin(f32x4.pmax(c1, lo), hi), 16);
}

/** y of a pair for n channels; `pixel` bytes lie between its two. `stage`: 1024 bytes to work in. */
function finish(
  sums: usize, n: i32, pair: usize, scales: usize, bias: usize, y: usize, pixel: usize, residual: usize, low: f32, high: f32,
  stage: usize,
): void {
  const pixels = load<i32>(pair, 12), staged = pixels < 2 || n % 8 != 0, bytes = <usize>n << 2;
  const f0 = load<f32>(pair, 24), f1 = load<f32>(pair, 28), scaled = f0 != 1 || f1 != 1, added = residual != 0;
  const signs0 = v128.load16_splat(pair, 16), signs1 = v128.load16_splat(pair, 20);
  const factor0 = f32x4.splat(f0), factor1 = f32x4.splat(f1), lo = f32x4.splat(low), hi = f32x4.splat(high);
  const pitch: usize = staged ? 4 * PANEL : pixel, end = sums + (<usize>n << 1);
  if (staged && added) unstage(residual, pixel, stage + 8 * PANEL, pitch, pixels, bytes);
  let out = staged ? stage : y;
  // From an output to what is added to it.
  const away = staged ? 8 * PANEL : residual - y;
  do {
    const m0 = v128.load(scales), m1 = v128.load(scales, 16), b0 = v128.load(bias), b1 = v128.load(bias, 16);
    const next = out + pitch;
    put(sums, signs0, scaled, factor0, m0, m1, b0, b1, out, added, out + away, lo, hi);
    put(sums + 2 * PANEL, signs1, scaled, factor1, m0, m1, b0, b1, next, added, next + away, lo, hi);
    sums += 16;
    scales += 32;
    bias += 32;
    out += 32;
  } while (sums < end);
  if (staged) unstage(stage, pitch, y, pixel, pixels, bytes);
}

/** The sum of `magnitudes` over the part of a window that lies inside an image of h x w. */
function windowSum(
  magnitudes: usize, h: i32, w: i32, iy: i32, ix: i32, kernelH: i32, kernelW: i32, dilationH: i32, dilationW: i32,
): f32 {
  let sum: f32 = 0;
  for (let ky = 0; ky < kernelH; ky++) {
    const row = iy + ky * dilationH;
    if (row < 0 || row >= h) continue;
    for (let kx = 0; kx < kernelW; kx++) {
      const column = ix + kx * dilationW;
      if (column >= 0 && column < w) sum += load<f32>(magnitudes + (<usize>(row * w + column) << 2));
    }
  }
  return sum;
}

/** How many of n taps, `dilation` apart from `first` on, lie inside `size`. */
function tapsInside(first: i32, n: i32, dilation: i32, size: i32): i32 {
  if (first >= 0 && first + (n - 1) * dilation < size) return n;
  let count = 0;
  for (let i = 0; i < n; i++, first += dilation) count += i32(first >= 0 && first < size);
  return count;
}

/**
 * y = act(clamp(sum of signs of x times w * scale * factor + bias + residual)) for images [n][h][w][c] to [n][oh][ow][o],
 * from the rows of f32_signs, `columns` long and with a step of strideW. The factor is `mean` times the sum of `magnitudes`
 * over a window, or 1 where these are 0. `weights`: of i8_packBits, a run being a row of the window, or a pixel where columns
 * are dilated. `scales`, `bias`: o floats, rounded up to 16. `residual`, `steps`: 0 for none. `block`: pairs of pixels to
 * count at a time. `scratch`: 5952 bytes, and for each pair of the block 32 and 4 for each run. Rows: rows of y, N * oh.
 */
export function f32_binaryConv(
  offsets: usize, y: usize, h: i32, w: i32, c: i32, oh: i32, ow: i32, kernelH: i32, kernelW: i32, strideH: i32, strideW: i32,
  dilationH: i32, dilationW: i32, top: i32, left: i32, o: i32, rows: i32, columns: i32, border: i32, weights: usize,
  scales: usize, bias: usize, residual: usize, magnitudes: usize, mean: f32, low: f32, high: f32, steps: usize, block: i32,
  scratch: usize, from: i32, to: i32,
): void {
  const depth = <usize>(c + 3) >> 2, pixelY = <usize>o << 2, pitch = pitchOf(columns, depth);
  const across = (ow + 1) >> 1, contiguous = dilationW == 1;
  const threes = ((contiguous ? kernelW : 1) * <i32>depth + 2) / 3;
  const rounds = (threes + THREES - 1) / THREES, most = (threes + rounds - 1) / rounds;
  const sums = (scratch + 31) & ~31, stage = sums + 256, tables = stage + 16 * PANEL, pairs = tables + TABLES;
  const runs = pairs + <usize>block * PAIR;
  const runsAcross = contiguous ? 1 : kernelW, runCount = kernelH * runsAcross;
  makeTables(tables);
  let row = from, column = 0;
  while (row < to) {
    const start = y + <usize>(row * ow + 2 * column) * pixelY;
    let count = 0, lines = runs;
    while (count < block && row < to) {
      const n = row / oh, oy = row % oh;
      const iy = oy * strideH - top, down = border ? kernelH : tapsInside(iy, kernelH, dilationH, h);
      let run = lines;
      for (let ky = 0; ky < kernelH; ky++) {
        const inner = iy + ky * dilationH;
        const line = <usize>(inner < 0 || inner >= h ? rows : n * h + inner) * pitch;
        for (let kx = 0; kx < runsAcross; kx++) {
          store<u32>(run, <u32>(line + (<usize>(kx * dilationW) * depth << 1)));
          run += 4;
        }
      }
      for (; count < block && column < across; column++, count++) {
        const ox = 2 * column, pair = pairs + <usize>count * PAIR, pixels = min(2, ow - ox);
        store<u32>(pair, <u32>(<usize>(row * ow + ox) * pixelY));
        store<u32>(pair, <u32>(<usize>(ox * strideW) * depth << 1), 4);
        store<u32>(pair, <u32>lines, 8);
        store<i32>(pair, pixels, 12);
        for (let i = 0; i < pixels; i++) {
          const ix = (ox + i) * strideW - left, at = pair + (<usize>i << 2);
          store<i32>(at, down * (border ? kernelW : tapsInside(ix, kernelW, dilationW, w)) * c, 16);
          let factor: f32 = 1;
          if (magnitudes) {
            const image = magnitudes + (<usize>(n * h * w) << 2);
            factor = windowSum(image, h, w, iy, ix, kernelH, kernelW, dilationH, dilationW) * mean;
          }
          store<f32>(at, factor, 24);
        }
      }
      lines = run;
      if (column == across) {
        column = 0;
        row++;
      }
    }
    let panel = weights;
    for (let first = 0; first < o; first += PANEL) {
      const n = min(PANEL, o - first), units = (n + UNIT - 1) / UNIT, place = <usize>first << 2;
      for (let i = 0; i < count; i++) {
        const pair = pairs + <usize>i * PAIR;
        tile(units, tables, offsets + load<u32>(pair, 4), load<u32>(pair, 8), runCount, threes, most, panel, sums);
        const at = <usize>load<u32>(pair) + place;
        finish(
          sums, n, pair, scales + place, bias + place, y + at, pixelY, residual ? residual + at : 0, low, high, stage,
        );
      }
      panel += <usize>(runCount * threes * 3 * UNIT * units);
    }
    if (steps) applySteps(steps, 0, start, <i32>(y + <usize>(row * ow + 2 * column) * pixelY - start >> 2));
  }
}
