/**
 * Weights of few levels, as codes of 2 or 4 bits. Products of few rows are computed from codes as they lie in memory, so
 * that less of it is read; for more rows a panel at a time becomes bytes again, for the tiles of dot.ts.
 *
 * Codes lie in blocks of 32 output channels, [unit of 4 bytes of a row][32 channels][unit's elements], in such an order that
 * masks give whole vectors of 4 channels (`i8_packCodes`). `levels` is two tables of 16 bytes, the weights that a nibble
 * stands for in its first and its second place, and the words bits, least and step. Where step is not 0, codes stand for
 * least + step * code; else they are looked up. The kinds that a build has are all alike to these kernels.
 */
import { dot } from './kind';
import { PANEL } from './requant';
import { ACROSS, finishVector, toPanel } from './vector';

/** Whether elements of a row have 8 bits, 4 in a unit, not 16 and 2. */
const BYTE: bool = ASC_FEATURE_RELAXED_SIMD;

@inline
function bitsOf(levels: usize): i32 {
  return load<i32>(levels, 32);
}

@inline
function isTable(levels: usize): bool {
  return load<i32>(levels, 40) == 0;
}

/** Rows from which panels of bytes are made: from when making them takes less time than it saves. */
@inline
export function codedRows(levels: usize): i32 {
  return isTable(levels) ? 4 : 6;
}

/** Bytes of the codes of 32 channels that stand for 4 panels of `panelBytes`. */
@inline
export function codeBytes(levels: usize, panelBytes: usize): usize {
  return (panelBytes * bitsOf(levels)) >> (BYTE ? 1 : 2);
}

/** The table's entries at 16 places in 0..15. */
@inline
function lookUp(table: v128, places: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i8x16.relaxed_swizzle(table, places);
  else return i8x16.swizzle(table, places);
}

/** Writes `units` units of panel `index` (0..3) of a block of codes at `w`, as `i8_pack` makes them. */
export function unpack(levels: usize, to: usize, w: usize, index: i32, units: usize): void {
  const end = to + (units << 5);
  const nibble = i8x16.splat(15);
  // Products move a panel's bits to where all panels have them: shifts by numbers that are not known take longer.
  if (!BYTE && !isTable(levels)) {
    const least = v128.load16_splat(levels, 36), step = v128.load16_splat(levels, 40);
    if (bitsOf(levels) == 2) {
      const move = i16x8.splat(<i16>(<i32>4096 >>> (index << 2))), mask = i16x8.splat(3);
      for (; to < end; to += 32, w += 16) {
        const codes = i16x8.shr_u(i16x8.mul(v128.load(w), move), 12);
        v128.store(to, i16x8.add(i16x8.mul(v128.and(codes, mask), step), least));
        v128.store(to, i16x8.add(i16x8.mul(i16x8.shr_u(codes, 2), step), least), 16);
      }
    } else {
      const move = i16x8.splat(index & 1 ? 1 : 256), mask = i16x8.splat(15);
      for (w += <usize>(index >> 1) << 4; to < end; to += 32, w += 32) {
        const codes = i16x8.shr_u(i16x8.mul(v128.load(w), move), 8);
        v128.store(to, i16x8.add(i16x8.mul(v128.and(codes, mask), step), least));
        v128.store(to, i16x8.add(i16x8.mul(i16x8.shr_u(codes, 4), step), least), 16);
      }
    }
    return;
  }
  const table0 = v128.load(levels), table1 = v128.load(levels, 16), move = i16x8.splat(index & 1 ? 1 : 16);
  if (BYTE && bitsOf(levels) == 4) {
    for (w += <usize>index << 4; to < end; to += 32, w += 64) {
      const codes = v128.load(w);
      v128.store(to, lookUp(table0, v128.and(codes, nibble)));
      v128.store(to, lookUp(table1, v128.and(i16x8.shr_u(codes, 4), nibble)), 16);
    }
  } else {
    for (w += <usize>(index >> 1) << 4; to < end; to += 32, w += 32) {
      const places = v128.and(i16x8.shr_u(i16x8.mul(v128.load(w), move), 4), nibble);
      const bytes = lookUp(table0, places);
      if (BYTE) {
        v128.store(to, bytes);
        v128.store(to, lookUp(table1, places), 16);
      } else {
        v128.store(to, i16x8.extend_low_i8x16_s(bytes));
        v128.store(to, i16x8.extend_high_i8x16_s(bytes), 16);
      }
    }
  }
}

/** The sum of a row's activations, of what fills the last units as well. */
function sumOf(a: usize, runs: i32, runOffsets: usize, runBytes: usize): i32 {
  const one = BYTE ? i8x16.splat(1) : i16x8.splat(1);
  let sums = i32x4.splat(0);
  const last = runOffsets + (<usize>runs << 2);
  for (; runOffsets < last; runOffsets += 4) {
    let p = a + load<u32>(runOffsets);
    const end = p + runBytes;
    for (; p + 16 <= end; p += 16) sums = dot(BYTE, one, v128.load(p), sums);
    for (; p < end; p += 4) sums = dot(BYTE, one, v128.load32_zero(p), sums);
  }
  const pairs = i32x4.add(sums, i32x4.shuffle(sums, sums, 2, 3, 0, 1));
  return i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1);
}

/** Four sums, from those of codes that are `shift` bits too high: bias + base + step * codes. */
@inline
function weigh(codes: v128, shift: i32, step: v128, base: v128, bias: usize): v128 {
  return i32x4.add(i32x4.add(v128.load(bias), base), i32x4.mul(i32x4.shr_s(codes, shift), step));
}

/**
 * One row by up to 32 of `n` columns, of codes of 2 bits. They are multiplied where they lie in their byte or word, which
 * makes products 4 or 16 times too large. `sum`: of the row's activations.
 */
function vector2(
  a: usize, runs: i32, runOffsets: usize, runBytes: usize, w: usize, levels: usize, sum: i32, params: usize, shift: i32,
  offset: i32, low: f32, high: f32, curve: usize, y: usize, n: i32, residual: usize, residualMultiplier: i32, stage: usize,
): void {
  const mask0 = BYTE ? i8x16.splat(3) : i16x8.splat(3), mask2 = BYTE ? i8x16.splat(12) : i16x8.splat(12);
  const mask4 = BYTE ? i8x16.splat(48) : i16x8.splat(48);
  let c00 = i32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
  const last = runOffsets + (<usize>runs << 2);
  while (runOffsets < last) {
    let p = a + load<u32>(runOffsets);
    const end = p + runBytes;
    do {
      const x = v128.load32_splat(p);
      let codes = v128.load(w);
      c00 = dot(BYTE, v128.and(codes, mask0), x, c00);
      c01 = dot(BYTE, v128.and(codes, mask2), x, c01);
      c10 = dot(BYTE, v128.and(codes, mask4), x, c10);
      if (BYTE) {
        c11 = dot(BYTE, v128.and(i16x8.shr_u(codes, 2), mask4), x, c11);
        codes = v128.load(w, 16);
        c20 = dot(BYTE, v128.and(codes, mask0), x, c20);
        c21 = dot(BYTE, v128.and(codes, mask2), x, c21);
        c30 = dot(BYTE, v128.and(codes, mask4), x, c30);
        c31 = dot(BYTE, v128.and(i16x8.shr_u(codes, 2), mask4), x, c31);
        w += 32;
      } else {
        codes = i16x8.shr_u(codes, 6);
        c11 = dot(BYTE, v128.and(codes, mask0), x, c11);
        c20 = dot(BYTE, v128.and(codes, mask2), x, c20);
        c21 = dot(BYTE, v128.and(codes, mask4), x, c21);
        codes = i16x8.shr_u(codes, 6);
        c30 = dot(BYTE, v128.and(codes, mask0), x, c30);
        c31 = dot(BYTE, v128.and(codes, mask2), x, c31);
        w += 16;
      }
      p += 4;
    } while (p < end);
    runOffsets += 4;
  }
  const bias1 = params + toPanel(1, n, PANEL), bias2 = params + toPanel(2, n, PANEL), bias3 = params + toPanel(3, n, PANEL);
  const base = i32x4.splat(load<i32>(levels, 36) * sum), step = v128.load32_splat(levels, 40);
  finishVector(
    weigh(c00, 0, step, base, params), weigh(c01, 2, step, base, params + 16),
    weigh(c10, 4, step, base, bias1), weigh(c11, BYTE ? 4 : 0, step, base, bias1 + 16),
    weigh(c20, BYTE ? 0 : 2, step, base, bias2), weigh(c21, BYTE ? 2 : 4, step, base, bias2 + 16),
    weigh(c30, BYTE ? 4 : 0, step, base, bias3), weigh(c31, BYTE ? 4 : 2, step, base, bias3 + 16),
    params, shift, offset, low, high, curve, y, n, residual, residualMultiplier, stage,
  );
}

/**
 * The same of codes of 4 bits. In bytes the second code is stored less 8, as a signed nibble, so that it can be multiplied
 * where it lies.
 */
function vector4(
  a: usize, runs: i32, runOffsets: usize, runBytes: usize, w: usize, levels: usize, sum: i32, params: usize, shift: i32,
  offset: i32, low: f32, high: f32, curve: usize, y: usize, n: i32, residual: usize, residualMultiplier: i32, stage: usize,
): void {
  const mask0 = BYTE ? i8x16.splat(15) : i16x8.splat(15), mask4 = BYTE ? i8x16.splat(-16) : i16x8.splat(240);
  let c00 = i32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
  const last = runOffsets + (<usize>runs << 2);
  while (runOffsets < last) {
    let p = a + load<u32>(runOffsets);
    const end = p + runBytes;
    do {
      const x = v128.load32_splat(p);
      let codes = v128.load(w);
      c00 = dot(BYTE, v128.and(codes, mask0), x, c00);
      c01 = dot(BYTE, v128.and(codes, mask4), x, c01);
      codes = BYTE ? v128.load(w, 16) : i16x8.shr_u(codes, 8);
      c10 = dot(BYTE, v128.and(codes, mask0), x, c10);
      c11 = dot(BYTE, v128.and(codes, mask4), x, c11);
      codes = BYTE ? v128.load(w, 32) : v128.load(w, 16);
      c20 = dot(BYTE, v128.and(codes, mask0), x, c20);
      c21 = dot(BYTE, v128.and(codes, mask4), x, c21);
      codes = BYTE ? v128.load(w, 48) : i16x8.shr_u(codes, 8);
      c30 = dot(BYTE, v128.and(codes, mask0), x, c30);
      c31 = dot(BYTE, v128.and(codes, mask4), x, c31);
      w += BYTE ? 64 : 32;
      p += 4;
    } while (p < end);
    runOffsets += 4;
  }
  const bias1 = params + toPanel(1, n, PANEL), bias2 = params + toPanel(2, n, PANEL), bias3 = params + toPanel(3, n, PANEL);
  const least = load<i32>(levels, 36), between = load<i32>(levels, 40);
  const base0 = i32x4.splat(least * sum), base1 = i32x4.splat((least + (BYTE ? 8 * between : 0)) * sum);
  const step = i32x4.splat(between);
  finishVector(
    weigh(c00, 0, step, base0, params), weigh(c01, 4, step, base1, params + 16),
    weigh(c10, 0, step, base0, bias1), weigh(c11, 4, step, base1, bias1 + 16),
    weigh(c20, 0, step, base0, bias2), weigh(c21, 4, step, base1, bias2 + 16),
    weigh(c30, 0, step, base0, bias3), weigh(c31, 4, step, base1, bias3 + 16),
    params, shift, offset, low, high, curve, y, n, residual, residualMultiplier, stage,
  );
}

/** The same of codes of 4 bits that are looked up. */
function vectorTable(
  a: usize, runs: i32, runOffsets: usize, runBytes: usize, w: usize, levels: usize, params: usize, shift: i32,
  offset: i32, low: f32, high: f32, curve: usize, y: usize, n: i32, residual: usize, residualMultiplier: i32, stage: usize,
): void {
  const table = v128.load(levels), mask = i8x16.splat(15);
  const bias1 = params + toPanel(1, n, PANEL), bias2 = params + toPanel(2, n, PANEL), bias3 = params + toPanel(3, n, PANEL);
  let c00 = v128.load(params), c01 = v128.load(params, 16), c10 = v128.load(bias1), c11 = v128.load(bias1, 16);
  let c20 = v128.load(bias2), c21 = v128.load(bias2, 16), c30 = v128.load(bias3), c31 = v128.load(bias3, 16);
  const last = runOffsets + (<usize>runs << 2);
  while (runOffsets < last) {
    let p = a + load<u32>(runOffsets);
    const end = p + runBytes;
    do {
      const x = v128.load32_splat(p);
      let codes = v128.load(w);
      let first = lookUp(table, v128.and(codes, mask)), second = lookUp(table, v128.and(i16x8.shr_u(codes, 4), mask));
      codes = v128.load(w, 16);
      if (BYTE) {
        c00 = dot(BYTE, first, x, c00);
        c01 = dot(BYTE, second, x, c01);
        c10 = dot(BYTE, lookUp(table, v128.and(codes, mask)), x, c10);
        c11 = dot(BYTE, lookUp(table, v128.and(i16x8.shr_u(codes, 4), mask)), x, c11);
        codes = v128.load(w, 32);
        c20 = dot(BYTE, lookUp(table, v128.and(codes, mask)), x, c20);
        c21 = dot(BYTE, lookUp(table, v128.and(i16x8.shr_u(codes, 4), mask)), x, c21);
        codes = v128.load(w, 48);
        c30 = dot(BYTE, lookUp(table, v128.and(codes, mask)), x, c30);
        c31 = dot(BYTE, lookUp(table, v128.and(i16x8.shr_u(codes, 4), mask)), x, c31);
        w += 64;
      } else {
        c00 = dot(BYTE, i16x8.extend_low_i8x16_s(first), x, c00);
        c01 = dot(BYTE, i16x8.extend_high_i8x16_s(first), x, c01);
        c10 = dot(BYTE, i16x8.extend_low_i8x16_s(second), x, c10);
        c11 = dot(BYTE, i16x8.extend_high_i8x16_s(second), x, c11);
        first = lookUp(table, v128.and(codes, mask));
        second = lookUp(table, v128.and(i16x8.shr_u(codes, 4), mask));
        c20 = dot(BYTE, i16x8.extend_low_i8x16_s(first), x, c20);
        c21 = dot(BYTE, i16x8.extend_high_i8x16_s(first), x, c21);
        c30 = dot(BYTE, i16x8.extend_low_i8x16_s(second), x, c30);
        c31 = dot(BYTE, i16x8.extend_high_i8x16_s(second), x, c31);
        w += 32;
      }
      p += 4;
    } while (p < end);
    runOffsets += 4;
  }
  finishVector(
    c00, c01, c10, c11, c20, c21, c30, c31, params, shift, offset, low, high, curve, y, n, residual, residualMultiplier,
    stage,
  );
}

/** Fewer than `codedRows` rows by all columns; arguments as for blockI8 of dot.ts. */
export function blockCodes(
  rows: i32, a: usize, offsets: usize, runs: i32, runOffsets: usize, runBytes: usize, w: usize, levels: usize,
  params: usize, shift: i32, offset: i32, low: f32, high: f32, curve: usize, y: usize, n: i32, pitch: usize,
  residual: usize, residualPitch: usize, residualMultiplier: i32, stage: usize,
): void {
  const byTable = isTable(levels), byPairs = bitsOf(levels) == 2;
  const step = codeBytes(levels, (<usize>runs * runBytes) << 3);
  const size: usize = shift == 0 ? 4 : 1;
  const sums = stage + 64;
  if (!byTable) {
    for (let m: usize = 0; m < <usize>rows; m++)
      store<i32>(sums + (m << 2), sumOf(a + load<u32>(offsets + (m << 2)), runs, runOffsets, runBytes));
  }
  for (; n > 0; n -= ACROSS) {
    for (let m: usize = 0; m < <usize>rows; m++) {
      const row = a + load<u32>(offsets + (m << 2)), at = y + m * pitch, add = residual ? residual + m * residualPitch : 0;
      if (byTable) {
        vectorTable(
          row, runs, runOffsets, runBytes, w, levels, params, shift, offset, low, high, curve, at, n, add,
          residualMultiplier, stage,
        );
      } else if (byPairs) {
        vector2(
          row, runs, runOffsets, runBytes, w, levels, load<i32>(sums + (m << 2)), params, shift, offset, low, high, curve,
          at, n, add, residualMultiplier, stage,
        );
      } else {
        vector4(
          row, runs, runOffsets, runBytes, w, levels, load<i32>(sums + (m << 2)), params, shift, offset, low, high, curve,
          at, n, add, residualMultiplier, stage,
        );
      }
    }
    w += step;
    params += 4 * PANEL;
    y += size * ACROSS;
    if (residual) residual += ACROSS;
  }
}

/**
 * Packs weights [n][runs][length] of s8 as codes of `bits` bits. `codes`: the code of each weight, that of -128 first.
 * `isLinear`: they will be multiplied, not looked up. Units of 4 bytes of a row are filled up with the code of 0. Rows: blocks
 * of 32 channels.
 */
export function i8_packCodes(
  source: usize, codes: usize, packed: usize, n: i32, runs: i32, length: i32, bits: i32, isLinear: i32, from: i32, to: i32,
): void {
  const across = BYTE ? 4 : 2, units = (length + across - 1) / across;
  const unitBytes = <usize>(ACROSS * across * bits) >> 3, blockBytes = <usize>(runs * units) * unitBytes;
  const middle = codes + 128;
  // Elements of 16 bits that are multiplied hold as many codes as there is room for; looked up are bytes.
  const width = !BYTE && isLinear ? 2 : 1;
  const channels = !BYTE && !isLinear ? 8 : 4, fields = (8 * width) / bits;
  memory.fill(packed + <usize>from * blockBytes, 0, <usize>(to - from) * blockBytes);
  for (let channel = from * ACROSS; channel < min(n, to * ACROSS); channel++) {
    const within = channel % ACROSS;
    const vector = within / (channels * fields), field = (within / channels) % fields;
    let out = packed + <usize>(channel / ACROSS) * blockBytes + <usize>(vector * 16 + (within % channels) * across * width);
    let at = source + <usize>channel * runs * length;
    const shift = field * bits, flip = BYTE && isLinear && bits == 4 && field == 1 ? 8 : 0;
    for (let run = 0; run < runs; run++) {
      for (let first = 0; first < length; first += across) {
        let word: u32 = 0;
        for (let j = 0; j < across; j++) {
          const weight = first + j < length ? load<i8>(at + first + j) : 0;
          word |= (<u32>load<u8>(middle + weight) ^ flip) << (8 * width * j + shift);
        }
        if (across * width == 2) store<u16>(out, load<u16>(out) | word);
        else store<u32>(out, load<u32>(out) | word);
        out += unitBytes;
      }
      at += length;
    }
  }
}
