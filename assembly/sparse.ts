/**
 * Products with weights most of which are zero: dot.ts's sums, over lists of the units (4 bytes along k of one output
 * channel) that are not. Lists differ from channel to channel, so vectors run over rows instead: a tile of rows is
 * transposed to [unit][row], and each channel adds up the units of its list for all rows of the tile at once.
 *
 * The lists, channel after channel up to a multiple of 8: a word, the bytes that follow for this channel; then for
 * each unit its 4 bytes and the offset of its rows in the transposed tile.
 */
import { dot, WIDE } from './kind';
import { unstage } from './line';
import { addend, bound, follow, isFree, PANEL, rescale, storeFloats, storeLevels } from './requant';

/** Vectors of 4 rows in a tile: with a weight and an activation, as many as there are registers. */
const VECTORS = 13;
/** Bytes of a unit of all rows of a tile; src/ops/sparsity.ts has it too. */
const PITCH: usize = VECTORS << 4;

/** Transposes 4 vectors of 4 words and writes the first `count` of the result, `pitch` bytes apart. */
@inline
function transpose(a: v128, b: v128, c: v128, d: v128, to: usize, pitch: usize, count: i32): void {
  const ab = i32x4.shuffle(a, b, 0, 4, 1, 5), cd = i32x4.shuffle(c, d, 0, 4, 1, 5);
  v128.store(to, i64x2.shuffle(ab, cd, 0, 2));
  if (count > 1) v128.store(to + pitch, i64x2.shuffle(ab, cd, 1, 3));
  if (count > 2) {
    const ab2 = i32x4.shuffle(a, b, 2, 6, 3, 7), cd2 = i32x4.shuffle(c, d, 2, 6, 3, 7);
    v128.store(to + 2 * pitch, i64x2.shuffle(ab2, cd2, 0, 2));
    if (count > 3) v128.store(to + 3 * pitch, i64x2.shuffle(ab2, cd2, 1, 3));
  }
}

/** Writes rows to `tile` as [unit][row]. What the last vector has more than there are rows repeats the last. */
function gather(tile: usize, rows: i32, a: usize, offsets: usize, runs: i32, runOffsets: usize, runBytes: usize): void {
  const last = runOffsets + (<usize>runs << 2);
  for (let row = 0; row < rows; row += 4, tile += 16) {
    const most = rows - 1;
    const p0 = a + load<u32>(offsets + (<usize>row << 2));
    const p1 = a + load<u32>(offsets + (<usize>min(row + 1, most) << 2));
    const p2 = a + load<u32>(offsets + (<usize>min(row + 2, most) << 2));
    const p3 = a + load<u32>(offsets + (<usize>min(row + 3, most) << 2));
    let to = tile;
    for (let run = runOffsets; run < last; run += 4) {
      let at: usize = load<u32>(run);
      const end = at + runBytes;
      for (; at + 16 <= end; at += 16, to += 4 * PITCH)
        transpose(v128.load(p0 + at), v128.load(p1 + at), v128.load(p2 + at), v128.load(p3 + at), to, PITCH, 4);
      if (at < end) {
        const units = <i32>(end - at) >> 2;
        transpose(v128.load(p0 + at), v128.load(p1 + at), v128.load(p2 + at), v128.load(p3 + at), to, PITCH, units);
        to += <usize>units * PITCH;
      }
    }
  }
}

/** The sums of 8 channels for 4 * `vectors` rows, to `sums` as [channel][row]. Returns the end of their lists. */
@inline
function panel(relaxed: bool, vectors: i32, tile: usize, list: usize, biases: usize, sums: usize): usize {
  const end = sums + 8 * PITCH;
  for (; sums < end; sums += PITCH, biases += 4) {
    let c0 = v128.load32_splat(biases);
    let c1 = c0, c2 = c0, c3 = c0, c4 = c0, c5 = c0, c6 = c0, c7 = c0, c8 = c0, c9 = c0, c10 = c0, c11 = c0, c12 = c0;
    const stop = list + 4 + load<u32>(list);
    for (list += 4; list < stop; list += 8) {
      const w = v128.load32_splat(list), x = tile + load<u32>(list, 4);
      c0 = dot(relaxed, w, v128.load(x), c0);
      if (vectors > 1) c1 = dot(relaxed, w, v128.load(x, 16), c1);
      if (vectors > 2) {
        c2 = dot(relaxed, w, v128.load(x, 32), c2);
        c3 = dot(relaxed, w, v128.load(x, 48), c3);
      }
      if (vectors > 4) {
        c4 = dot(relaxed, w, v128.load(x, 64), c4);
        c5 = dot(relaxed, w, v128.load(x, 80), c5);
      }
      if (vectors > 6) {
        c6 = dot(relaxed, w, v128.load(x, 96), c6);
        c7 = dot(relaxed, w, v128.load(x, 112), c7);
      }
      if (vectors > 8) {
        c8 = dot(relaxed, w, v128.load(x, 128), c8);
        c9 = dot(relaxed, w, v128.load(x, 144), c9);
      }
      if (vectors > 10) {
        c10 = dot(relaxed, w, v128.load(x, 160), c10);
        c11 = dot(relaxed, w, v128.load(x, 176), c11);
      }
      if (vectors > 12) c12 = dot(relaxed, w, v128.load(x, 192), c12);
    }
    v128.store(sums, c0);
    if (vectors > 1) v128.store(sums, c1, 16);
    if (vectors > 2) {
      v128.store(sums, c2, 32);
      v128.store(sums, c3, 48);
    }
    if (vectors > 4) {
      v128.store(sums, c4, 64);
      v128.store(sums, c5, 80);
    }
    if (vectors > 6) {
      v128.store(sums, c6, 96);
      v128.store(sums, c7, 112);
    }
    if (vectors > 8) {
      v128.store(sums, c8, 128);
      v128.store(sums, c9, 144);
    }
    if (vectors > 10) {
      v128.store(sums, c10, 160);
      v128.store(sums, c11, 176);
    }
    if (vectors > 12) v128.store(sums, c12, 192);
  }
  return list;
}

/** `vectors` is rounded up to a number that there is code for: rows of the tile that are not rows at all cost time only. */
@inline
function panels(relaxed: bool, vectors: i32, tile: usize, list: usize, biases: usize, sums: usize): usize {
  if (vectors > 12) return panel(relaxed, 13, tile, list, biases, sums);
  if (vectors > 10) return panel(relaxed, 12, tile, list, biases, sums);
  if (vectors > 8) return panel(relaxed, 10, tile, list, biases, sums);
  if (vectors > 6) return panel(relaxed, 8, tile, list, biases, sums);
  if (vectors > 4) return panel(relaxed, 6, tile, list, biases, sums);
  if (vectors > 2) return panel(relaxed, 4, tile, list, biases, sums);
  return panel(relaxed, 2, tile, list, biases, sums);
}

function widePanel(vectors: i32, tile: usize, list: usize, biases: usize, sums: usize): usize {
  return panels(false, vectors, tile, list, biases, sums);
}

function relaxedPanel(vectors: i32, tile: usize, list: usize, biases: usize, sums: usize): usize {
  return panels(true, vectors, tile, list, biases, sums);
}

/** The epilogue of 8 channels: `rows` rows from `sums` to y. Arguments as for blockSparse. */
function finish(
  sums: usize, rows: i32, params: usize, shift: i32, offset: i32, low: v128, high: v128, curve: usize,
  y: usize, channels: i32, pitch: usize, residual: usize, residualPitch: usize, residualMultiplier: i32, stage: usize,
): void {
  const size: usize = shift == 0 ? 4 : 1;
  const offsets = i32x4.splat(offset), factor = i32x4.splat(residualMultiplier);
  for (; rows > 0; rows -= 4, sums += 16) {
    const staged = curve != 0 || channels < 8 || rows < 4;
    const out = staged ? stage : y, step = curve ? 16 : staged ? size << 3 : pitch;
    // Rows of 8 sums, in place of the columns.
    const a = v128.load(sums), b = v128.load(sums, PITCH), c = v128.load(sums, 2 * PITCH), d = v128.load(sums, 3 * PITCH);
    const ab = i32x4.shuffle(a, b, 0, 4, 1, 5), cd = i32x4.shuffle(c, d, 0, 4, 1, 5);
    const ab2 = i32x4.shuffle(a, b, 2, 6, 3, 7), cd2 = i32x4.shuffle(c, d, 2, 6, 3, 7);
    let c00 = i64x2.shuffle(ab, cd, 0, 2), c10 = i64x2.shuffle(ab, cd, 1, 3);
    let c20 = i64x2.shuffle(ab2, cd2, 0, 2), c30 = i64x2.shuffle(ab2, cd2, 1, 3);
    const m0 = v128.load(params, 32), m1 = v128.load(params, 48);
    if (shift) {
      const lo = v128.load(params, 64), hi = v128.load(params, 96);
      c00 = rescale(c00, m0, lo, hi, offsets);
      c10 = rescale(c10, m0, lo, hi, offsets);
      c20 = rescale(c20, m0, lo, hi, offsets);
      c30 = rescale(c30, m0, lo, hi, offsets);
    }
    const e = v128.load(sums, 4 * PITCH), f = v128.load(sums, 5 * PITCH);
    const g = v128.load(sums, 6 * PITCH), h = v128.load(sums, 7 * PITCH);
    const ef = i32x4.shuffle(e, f, 0, 4, 1, 5), gh = i32x4.shuffle(g, h, 0, 4, 1, 5);
    const ef2 = i32x4.shuffle(e, f, 2, 6, 3, 7), gh2 = i32x4.shuffle(g, h, 2, 6, 3, 7);
    let c01 = i64x2.shuffle(ef, gh, 0, 2), c11 = i64x2.shuffle(ef, gh, 1, 3);
    let c21 = i64x2.shuffle(ef2, gh2, 0, 2), c31 = i64x2.shuffle(ef2, gh2, 1, 3);
    if (shift) {
      const lo = v128.load(params, 80), hi = v128.load(params, 112);
      c01 = rescale(c01, m1, lo, hi, offsets);
      c11 = rescale(c11, m1, lo, hi, offsets);
      c21 = rescale(c21, m1, lo, hi, offsets);
      c31 = rescale(c31, m1, lo, hi, offsets);
      if (residual) {
        const r1 = residual + (rows > 1 ? residualPitch : 0);
        const r2 = r1 + (rows > 2 ? residualPitch : 0), r3 = r2 + (rows > 3 ? residualPitch : 0);
        c00 = i32x4.add(c00, addend(residual, factor));
        c01 = i32x4.add(c01, addend(residual + 4, factor));
        c10 = i32x4.add(c10, addend(r1, factor));
        c11 = i32x4.add(c11, addend(r1 + 4, factor));
        c20 = i32x4.add(c20, addend(r2, factor));
        c21 = i32x4.add(c21, addend(r2 + 4, factor));
        c30 = i32x4.add(c30, addend(r3, factor));
        c31 = i32x4.add(c31, addend(r3 + 4, factor));
        residual += residualPitch << 2;
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
      } else {
        c00 = i32x4.shr_s(c00, shift);
        c01 = i32x4.shr_s(c01, shift);
        c10 = i32x4.shr_s(c10, shift);
        c11 = i32x4.shr_s(c11, shift);
        c20 = i32x4.shr_s(c20, shift);
        c21 = i32x4.shr_s(c21, shift);
        c30 = i32x4.shr_s(c30, shift);
        c31 = i32x4.shr_s(c31, shift);
      }
      const clamped = !isFree(params) && !residualMultiplier;
      storeLevels(c00, c01, out, clamped, low, high, curve);
      storeLevels(c10, c11, out + step, clamped, low, high, curve);
      storeLevels(c20, c21, out + 2 * step, clamped, low, high, curve);
      storeLevels(c30, c31, out + 3 * step, clamped, low, high, curve);
    } else {
      storeFloats(c00, c01, out, m0, m1, low, high);
      storeFloats(c10, c11, out + step, m0, m1, low, high);
      storeFloats(c20, c21, out + 2 * step, m0, m1, low, high);
      storeFloats(c30, c31, out + 3 * step, m0, m1, low, high);
    }
    if (curve) follow(stage, min(rows, 4), y, pitch, channels, curve, params + 128);
    else if (staged) unstage(stage, step, y, pitch, min(rows, 4), <usize>min(channels, 8) * size);
    y += pitch << 2;
  }
}

/**
 * blockI8 of dot.ts with `lists` in place of its panels. `tile`: room for the units of a row and 8 more, each of PITCH
 * bytes, to work in.
 */
export function blockSparse(
  kind: i32, rows: i32, a: usize, offsets: usize, runs: i32, runOffsets: usize, runBytes: usize, lists: usize,
  params: usize, shift: i32, offset: i32, low: f32, high: f32, curve: usize, y: usize, n: i32, pitch: usize,
  residual: usize, residualPitch: usize, residualMultiplier: i32, stage: usize, tile: usize,
): void {
  const size: usize = shift == 0 ? 4 : 1;
  const least = bound(shift, curve, low), most = bound(shift, curve, high);
  const sums = tile, units = tile + 8 * PITCH;
  let vectors = (rows + 3) >> 2;
  // Tiles of about equal height.
  for (let tiles = (vectors + VECTORS - 1) / VECTORS; tiles > 0; tiles--) {
    const across = (vectors + tiles - 1) / tiles;
    const count = min(rows, across << 2);
    gather(units, count, a, offsets, runs, runOffsets, runBytes);
    let list = lists, at = params, out = y, add = residual;
    for (let left = n; left > 0; left -= 8) {
      if (kind == WIDE) list = widePanel(across, units, list, at, sums);
      else if (ASC_FEATURE_RELAXED_SIMD) list = relaxedPanel(across, units, list, at, sums);
      finish(
        sums, count, at, shift, offset, least, most, curve, out, left, pitch, add, residualPitch, residualMultiplier, stage,
      );
      at += PANEL;
      out += size << 3;
      if (add) add += 8;
    }
    vectors -= across;
    rows -= count;
    offsets += <usize>count << 2;
    y += <usize>count * pitch;
    residual += <usize>count * residualPitch;
  }
}
