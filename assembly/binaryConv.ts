/**
 * Convolutions of signs by weights of -1 and 1, counted from a table. The signs of 4 channels are a number of 4 bits, a
 * group; how many of them equal the 4 weights of an output, which are another such number, is a byte of a table of 16. One
 * lookup counts for 16 outputs, and for two pixels of a row at once, whose counts are the halves of the byte: that is 128
 * products in one instruction, and 5 to add three of them up.
 *
 * A group is stored for a pixel and its neighbour one stride on as the offset of their table, state + 17 * the neighbour's
 * state tables. States are the 16 groups of signs, and 16 for a pixel that has none, whose counts are 0.
 */
import { copyLine } from './line';
import { sumLanes } from './simd';
import { applySteps } from './steps';

const NONE: u8 = 16;
const STATES = 17;
const TABLES: usize = STATES * STATES * 16;
/** Offset of the table of two pixels without signs. */
const EMPTY: u16 = 16 * 16 + 16 * 16 * 17;

/** Threes of lookups whose counts, up to 4 each, are held in a byte. */
const THREES = 21;

/** Outputs of a lookup, lookups of a panel. */
const UNIT = 16, UNITS = 4;

/** Units of the panel that has `left` outputs, or more, to come. */
@inline
function unitsOf(left: i32): i32 {
  const units = min(UNITS, (left + UNIT - 1) / UNIT);
  return units == 3 ? UNITS : units;
}

/**
 * Packs weights [o][taps][c] of -1 and 1 to panels [o/64][groups/3][units][3][16]: a byte for each output of a unit, with a
 * bit for each of the 4 channels of a group. Byte 2i is that of output i, byte 2i + 1 of output 8 + i. A pixel has c/4
 * groups, rounded up; those of all taps are filled up to a multiple of 3. Rows: panels.
 */
export function i8_packBits(source: usize, packed: usize, o: i32, taps: i32, c: i32, from: i32, to: i32): void {
  const depth = (c + 3) >> 2, groups = taps * depth, threes = (groups + 2) / 3;
  for (let panel = from; panel < to; panel++) {
    const first = panel * UNIT * UNITS, units = unitsOf(o - first);
    const out = packed + <usize>(panel * threes * 3) * (UNIT * UNITS);
    memory.fill(out, 0, <usize>(3 * threes * units * UNIT));
    for (let group = 0; group < groups; group++) {
      const tap = group / depth, channel = group % depth << 2;
      const count = min(4, c - channel);
      for (let i = 0; i < units * UNIT; i++) {
        if (first + i >= o) break;
        const at = source + <usize>(((first + i) * taps + tap) * c + channel);
        let bits = 0;
        for (let k = 0; k < count; k++) bits |= i32(load<i8>(at + k) > 0) << k;
        const place = ((group / 3 * units + (i >> 4)) * 3 + group % 3) * UNIT + ((i & 7) << 1) + (i >> 3 & 1);
        store<u8>(out + place, <u8>bits);
      }
    }
  }
}

/** The states of a pixel of c signs, channels that it lacks having 1: the weights of these are 0. */
function signs(pixel: usize, c: i32, states: usize): void {
  const zero = f32x4.splat(0);
  for (; c >= 4; c -= 4) {
    store<u8>(states++, <u8>i32x4.bitmask(f32x4.ge(v128.load(pixel), zero)));
    pixel += 16;
  }
  if (c > 0) store<u8>(states, <u8>(i32x4.bitmask(f32x4.ge(v128.load(pixel), zero)) | 15 << c & 15));
}

/** The states of a pixel outside the image: of -1, 1, or none. */
function borderStates(border: i32, c: i32, states: usize): void {
  const depth = <usize>(c + 3) >> 2;
  memory.fill(states, border == 0 ? NONE : border > 0 ? 15 : 0, depth);
  const lacking = 15 << (c & 3) & 15;
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

/**
 * The signs of images [n][h][w][c], 1 where x >= 0 and else -1, in groups, to rows of offsets of 16 bits: for each of
 * `columns` columns from `left` columns before the image on, and each group, those of the column and the one `step` columns
 * on. `rows` rows, n * h of them, are followed by one outside the image. `border`: signs outside the image, 0 for none.
 * `magnitudes`: to hold the sum of |x| of each pixel; 0 to leave it. `scratch`: (columns + step) * c/4 bytes, c/4 being
 * rounded up, and 16. A row takes columns * c/4 offsets, rounded up to 8. Rows: of offsets.
 */
export function f32_signs(
  x: usize, offsets: usize, rows: i32, w: i32, c: i32, left: i32, columns: i32, step: i32, border: i32, magnitudes: usize,
  scratch: usize, from: i32, to: i32,
): void {
  const depth = <usize>(c + 3) >> 2, pixel = <usize>c << 2;
  const count = <usize>columns * depth, pitch = (count + 7 & ~7) << 1, next = scratch + <usize>step * depth;
  for (let row = from; row < to; row++) {
    const image = x + <usize>(row * w) * pixel;
    for (let column = 0; column < columns + step; column++) {
      const ix = column - left, states = scratch + <usize>column * depth;
      if (row == rows || ix < 0 || ix >= w) borderStates(border, c, states);
      else signs(image + <usize>ix * pixel, c, states);
    }
    const out = offsets + <usize>row * pitch;
    for (let i: usize = 0; i < count; i += 8) {
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
    const upper = t < 16 ? i8x16.shl(i8x16.popcnt(v128.xor(all, i8x16.splat(<i8>(15 - t)))), 4) : i8x16.splat(0);
    for (let s = 0; s < STATES; s++) {
      const lower = s < 16 ? i8x16.popcnt(v128.xor(all, i8x16.splat(<i8>(15 - s)))) : i8x16.splat(0);
      v128.store(tables, i8x16.add(lower, upper));
      tables += 16;
    }
  }
}

@inline
function lookUp(table: v128, at: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? i8x16.relaxed_swizzle(table, at) : i8x16.swizzle(table, at);
}

/**
 * Adds the counts of a unit to 4 vectors of 16 bits: outputs 0 to 7 and 8 to 15 of the pixel, and of its neighbour. With a
 * and b for the pixel's counts and the neighbour's, the bytes of `whole` are a + 16b, and those of `upper` b for outputs from 8
 * on and b + 16a' before, where a' is the count of the output 8 on; all but their last 8 bits are lost.
 */
@inline
function widen(whole: v128, upper: v128, sums: usize, first: bool): void {
  const byte = i16x8.splat(255);
  let b1 = i16x8.shr_u(upper, 8);
  let a1 = v128.and(i16x8.sub(i16x8.shr_u(whole, 8), i16x8.shl(b1, 4)), byte);
  let b0 = v128.and(i16x8.sub(upper, i16x8.shl(a1, 4)), byte);
  let a0 = v128.and(i16x8.sub(whole, i16x8.shl(b0, 4)), byte);
  if (!first) {
    a0 = i16x8.add(a0, v128.load(sums));
    a1 = i16x8.add(a1, v128.load(sums, 16));
    b0 = i16x8.add(b0, v128.load(sums, 32));
    b1 = i16x8.add(b1, v128.load(sums, 48));
  }
  v128.store(sums, a0);
  v128.store(sums, a1, 16);
  v128.store(sums, b0, 32);
  v128.store(sums, b1, 48);
}

/** The counts of two pixels for `units` units, 1, 2 or 4; `most`: threes until counts are widened. */
@inline
function tile(units: i32, tables: usize, at: usize, threes: i32, most: i32, w: usize, sums: usize): void {
  let first = true;
  for (; threes > 0; threes -= most) {
    const end = at + 6 * <usize>min(threes, most);
    let w0 = i8x16.splat(0), u0 = w0, w1 = w0, u1 = w0, w2 = w0, u2 = w0, w3 = w0, u3 = w0;
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
        t = i8x16.add(lookUp(p, v128.load(w, 144)), lookUp(q, v128.load(w, 160)));
        t = i8x16.add(t, lookUp(r, v128.load(w, 176)));
        w3 = i8x16.add(w3, t);
        u3 = i8x16.add(u3, i16x8.shr_u(t, 4));
      }
      w += 48 * units;
      at += 6;
    } while (at < end);
    widen(w0, u0, sums, first);
    if (units > 1) widen(w1, u1, sums + 64, first);
    if (units > 2) {
      widen(w2, u2, sums + 128, first);
      widen(w3, u3, sums + 192, first);
    }
    first = false;
  }
}

/**
 * Of a pair of pixels: at 0 the place of the first in y, at 4 how many of them there are, at 8 and 12 the signs that each
 * saw, at 16 and 20 the factor of each.
 */
const PAIR: usize = 32;

/** y of one pixel for n channels, from counts: (2 * count - signs) * scale * factor + bias + residual, clamped. */
function finish(
  sums: usize, n: i32, signs: i32, factor: f32, scales: usize, bias: usize, y: usize, residual: usize, low: f32, high: f32,
  stage: usize,
): void {
  const k = i16x8.splat(<i16>signs), f = f32x4.splat(factor), lo = f32x4.splat(low), hi = f32x4.splat(high);
  for (; n > 0; n -= 8) {
    const counts = v128.load(sums);
    const s = i16x8.sub(i16x8.add(counts, counts), k);
    let c0 = f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(s)), v128.load(scales)), f);
    let c1 = f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(s)), v128.load(scales, 16)), f);
    c0 = f32x4.add(c0, v128.load(bias));
    c1 = f32x4.add(c1, v128.load(bias, 16));
    if (residual) {
      c0 = f32x4.add(c0, v128.load(residual));
      c1 = f32x4.add(c1, v128.load(residual, 16));
      residual += 32;
    }
    const out = n < 8 ? stage : y;
    v128.store(out, f32x4.pmin(f32x4.pmax(c0, lo), hi));
    v128.store(out, f32x4.pmin(f32x4.pmax(c1, lo), hi), 16);
    if (n < 8) copyLine(y, stage, <usize>n << 2);
    // Of a unit, the other half lies beside this one.
    sums += sums & 16 ? 48 : 16;
    scales += 32;
    bias += 32;
    y += 32;
  }
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
  let count = 0;
  for (let i = 0; i < n; i++, first += dilation) count += i32(first >= 0 && first < size);
  return count;
}

/**
 * y = act(clamp(sum of signs of x times w * scale * factor + bias + residual)) for images [n][h][w][c] to [n][oh][ow][o],
 * from the rows of f32_signs, `columns` long and with a step of strideW. The factor is `mean` times the sum of `magnitudes`
 * over a window, or 1 where these are 0. `weights`: of i8_packBits. `scales`, `bias`: o floats, rounded up to 16.
 * `residual`, `steps`: 0 for none. `block`: pairs of pixels to count at a time. `scratch`: 5056 bytes, and for each pair of
 * the block 32 and 2 for each lookup, and 16. Rows: rows of y, N * oh.
 */
export function f32_binaryConv(
  offsets: usize, y: usize, h: i32, w: i32, c: i32, oh: i32, ow: i32, kernelH: i32, kernelW: i32, strideH: i32, strideW: i32,
  dilationH: i32, dilationW: i32, top: i32, left: i32, o: i32, rows: i32, columns: i32, border: i32, weights: usize,
  scales: usize, bias: usize, residual: usize, magnitudes: usize, mean: f32, low: f32, high: f32, steps: usize, block: i32,
  scratch: usize, from: i32, to: i32,
): void {
  const depth = <usize>(c + 3) >> 2, pixelY = <usize>o << 2;
  const pitch = (<usize>columns * depth + 7 & ~7) << 1;
  const groups = kernelH * kernelW * <i32>depth, threes = (groups + 2) / 3;
  const lookups = <usize>threes * 6;
  const rounds = (threes + THREES - 1) / THREES, most = (threes + rounds - 1) / rounds;
  const runs = dilationW == 1 ? 1 : kernelW;
  const run = (dilationW == 1 ? <usize>kernelW * depth : depth) << 1;
  const sums = (scratch + 31) & ~31, stage = sums + 256, tables = stage + 32, pairs = tables + TABLES;
  const windows = pairs + <usize>block * PAIR;
  const across = (ow + 1) >> 1;
  makeTables(tables);
  let row = from, column = 0;
  while (row < to) {
    const start = y + <usize>(row * ow + 2 * column) * pixelY;
    let count = 0;
    for (; count < block && row < to; count++) {
      const n = row / oh, oy = row % oh, ox = 2 * column;
      const iy = oy * strideH - top, ix = ox * strideW - left;
      let window = windows + <usize>count * lookups;
      for (let ky = 0; ky < kernelH; ky++) {
        const inner = iy + ky * dilationH;
        const line = offsets + <usize>(inner < 0 || inner >= h ? rows : n * h + inner) * pitch;
        let at = line + (<usize>(ox * strideW) * depth << 1);
        for (let i = 0; i < runs; i++) {
          copyLine(window, at, run);
          window += run;
          at += <usize>dilationW * depth << 1;
        }
      }
      for (let i = groups; i < 3 * threes; i++) {
        store<u16>(window, EMPTY);
        window += 2;
      }
      const pair = pairs + <usize>count * PAIR, pixels = min(2, ow - ox);
      store<u32>(pair, <u32>(<usize>(row * ow + ox) * pixelY));
      store<i32>(pair, pixels, 4);
      const down = border ? kernelH : tapsInside(iy, kernelH, dilationH, h);
      for (let i = 0; i < pixels; i++) {
        const column = ix + i * strideW, at = pair + (<usize>i << 2);
        store<i32>(at, down * (border ? kernelW : tapsInside(column, kernelW, dilationW, w)) * c, 8);
        let factor: f32 = 1;
        if (magnitudes) {
          const image = magnitudes + (<usize>(n * h * w) << 2);
          factor = windowSum(image, h, w, iy, column, kernelH, kernelW, dilationH, dilationW) * mean;
        }
        store<f32>(at, factor, 16);
      }
      if (++column == across) {
        column = 0;
        row++;
      }
    }
    let panel = weights;
    for (let first = 0; first < o; first += UNIT * UNITS) {
      const units = unitsOf(o - first), n = min(UNIT * UNITS, o - first);
      const place = <usize>first << 2;
      let window = windows;
      for (let i = 0; i < count; i++) {
        if (units == 4) tile(4, tables, window, threes, most, panel, sums);
        else if (units == 2) tile(2, tables, window, threes, most, panel, sums);
        else tile(1, tables, window, threes, most, panel, sums);
        const pair = pairs + <usize>i * PAIR, pixels = load<i32>(pair, 4);
        let at = <usize>load<u32>(pair) + place;
        for (let k: usize = 0; k < <usize>pixels; k++) {
          finish(
            sums + (k << 5), n, load<i32>(pair + (k << 2), 8), load<f32>(pair + (k << 2), 16), scales + place, bias + place,
            y + at, residual ? residual + at : 0, low, high, stage,
          );
          at += pixelY;
        }
        window += lookups;
      }
      panel += <usize>threes * 3 * UNIT * units;
    }
    if (steps) {
      const end = y + <usize>(row * ow + 2 * column) * pixelY;
      applySteps(steps, start, <i32>(end - start >> 2));
    }
  }
}
