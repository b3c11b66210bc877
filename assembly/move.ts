/**
 * Moves of 1-byte (`x8_`) and 4-byte (`x32_`) elements, whatever they mean. All but `x8_copy` move a box of up to six
 * axes a, b, c, d, e, f between two strided views: `n` are sizes, `s` source and `t` target strides in bytes (`xo`, `yo`
 * the offsets of the first element). The row unit is `tile` indices of axis e at one (a, b, c, d).
 *
 * The three kernels differ in what they know of the innermost axes: `lines` f contiguous in both, `transpose` f
 * contiguous in the target and e in the source, `strided` nothing.
 */

import { copyLine, storeBytes } from './line';

/** Bytes of a row of `x8_copy`. */
const CHUNK: usize = 4096;

/** Stores one element n times. */
@inline
function fillLine<T>(y: usize, value: T, n: usize): void {
  const bytes = n * sizeof<T>();
  if (bytes < 16) {
    for (let i: usize = 0; i < bytes; i += sizeof<T>()) store<T>(y + i, value);
    return;
  }
  const v = sizeof<T>() == 1 ? i8x16.splat(<i8>value) : i32x4.splat(<i32>value);
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) v128.store(y + i, v);
  if (i < bytes) v128.store(y + bytes - 16, v);
}

/** Byte offset of outer index `o` of a box whose outer axes are a, b, c, d. */
@inline
function offsetOf(o: i32, nb: i32, nc: i32, nd: i32, a: i32, b: i32, c: i32, d: i32): i32 {
  const bc = o / nd;
  const ab = bc / nc;
  return (o - bc * nd) * d + (bc - ab * nc) * c + (ab % nb) * b + (ab / nb) * a;
}

/** `bytes` contiguous bytes; the row unit is a chunk of 4096. */
export function x8_copy(x: usize, xo: i32, y: usize, yo: i32, bytes: usize, from: usize, to: usize): void {
  const start = from * CHUNK;
  const end = min(to * CHUNK, bytes);
  memory.copy(y + yo + start, x + xo + start, end - start);
}

export function x8_lines(
  x: usize, xo: i32, y: usize, yo: i32, nb: i32, nc: i32, nd: i32, ne: i32, nf: i32, tile: i32,
  sa: i32, sb: i32, sc: i32, sd: i32, se: i32, sf: i32, ta: i32, tb: i32, tc: i32, td: i32, te: i32, tf: i32,
  from: i32, to: i32,
): void {
  const tiles = (ne + tile - 1) / tile;
  for (let r = from; r < to; r++) {
    const o = r / tiles;
    const e = (r - o * tiles) * tile;
    let p = x + xo + offsetOf(o, nb, nc, nd, sa, sb, sc, sd) + e * se;
    let q = y + yo + offsetOf(o, nb, nc, nd, ta, tb, tc, td) + e * te;
    for (let i = min(tile, ne - e); i > 0; i--) {
      copyLine(q, p, nf);
      p += se;
      q += te;
    }
  }
}

@inline
function strided<T>(
  x: usize, xo: i32, y: usize, yo: i32, nb: i32, nc: i32, nd: i32, ne: i32, nf: i32, tile: i32,
  sa: i32, sb: i32, sc: i32, sd: i32, se: i32, sf: i32, ta: i32, tb: i32, tc: i32, td: i32, te: i32, tf: i32,
  from: i32, to: i32,
): void {
  const tiles = (ne + tile - 1) / tile;
  for (let r = from; r < to; r++) {
    const o = r / tiles;
    const e = (r - o * tiles) * tile;
    let p = x + xo + offsetOf(o, nb, nc, nd, sa, sb, sc, sd) + e * se;
    let q = y + yo + offsetOf(o, nb, nc, nd, ta, tb, tc, td) + e * te;
    for (let i = min(tile, ne - e); i > 0; i--) {
      if (sf == 0 && tf == sizeof<T>()) {
        fillLine<T>(q, load<T>(p), nf);
      } else {
        let pf = p;
        let qf = q;
        for (let f = 0; f < nf; f++) {
          store<T>(qf, load<T>(pf));
          pf += sf;
          qf += tf;
        }
      }
      p += se;
      q += te;
    }
  }
}

export function x8_strided(
  x: usize, xo: i32, y: usize, yo: i32, nb: i32, nc: i32, nd: i32, ne: i32, nf: i32, tile: i32,
  sa: i32, sb: i32, sc: i32, sd: i32, se: i32, sf: i32, ta: i32, tb: i32, tc: i32, td: i32, te: i32, tf: i32,
  from: i32, to: i32,
): void {
  strided<u8>(x, xo, y, yo, nb, nc, nd, ne, nf, tile, sa, sb, sc, sd, se, sf, ta, tb, tc, td, te, tf, from, to);
}

export function x32_strided(
  x: usize, xo: i32, y: usize, yo: i32, nb: i32, nc: i32, nd: i32, ne: i32, nf: i32, tile: i32,
  sa: i32, sb: i32, sc: i32, sd: i32, se: i32, sf: i32, ta: i32, tb: i32, tc: i32, td: i32, te: i32, tf: i32,
  from: i32, to: i32,
): void {
  strided<u32>(x, xo, y, yo, nb, nc, nd, ne, nf, tile, sa, sb, sc, sd, se, sf, ta, tb, tc, td, te, tf, from, to);
}

/** A block of 4 e by f (1..4) elements at p (lines of f, stride sf) goes to q (lines of e, stride te); `lines` of e exist. */
@inline
function block32(p: usize, sf: i32, q: usize, te: i32, lines: i32, f: i32): void {
  const r0 = v128.load(p);
  const r1 = v128.load(p + (f > 1 ? sf : 0));
  const r2 = v128.load(p + (f > 2 ? 2 * sf : 0));
  const r3 = v128.load(p + (f > 3 ? 3 * sf : 0));
  const u0 = i32x4.shuffle(r0, r1, 0, 4, 1, 5);
  const u1 = i32x4.shuffle(r0, r1, 2, 6, 3, 7);
  const u2 = i32x4.shuffle(r2, r3, 0, 4, 1, 5);
  const u3 = i32x4.shuffle(r2, r3, 2, 6, 3, 7);
  const c0 = i64x2.shuffle(u0, u2, 0, 2);
  const c1 = i64x2.shuffle(u0, u2, 1, 3);
  const c2 = i64x2.shuffle(u1, u3, 0, 2);
  const c3 = i64x2.shuffle(u1, u3, 1, 3);
  if (f == 4) {
    v128.store(q, c0);
    if (lines > 1) v128.store(q + te, c1);
    if (lines > 2) v128.store(q + 2 * te, c2);
    if (lines > 3) v128.store(q + 3 * te, c3);
  } else {
    storeBytes(q, c0, f * 4);
    if (lines > 1) storeBytes(q + te, c1, f * 4);
    if (lines > 2) storeBytes(q + 2 * te, c2, f * 4);
    if (lines > 3) storeBytes(q + 3 * te, c3, f * 4);
  }
}

export function x32_transpose(
  x: usize, xo: i32, y: usize, yo: i32, nb: i32, nc: i32, nd: i32, ne: i32, nf: i32, tile: i32,
  sa: i32, sb: i32, sc: i32, sd: i32, se: i32, sf: i32, ta: i32, tb: i32, tc: i32, td: i32, te: i32, tf: i32,
  from: i32, to: i32,
): void {
  const tiles = (ne + tile - 1) / tile;
  for (let r = from; r < to; r++) {
    const o = r / tiles;
    let e = (r - o * tiles) * tile;
    const end = min(e + tile, ne);
    const p = x + xo + offsetOf(o, nb, nc, nd, sa, sb, sc, sd);
    const q = y + yo + offsetOf(o, nb, nc, nd, ta, tb, tc, td);
    // A cache line of the source at a time.
    for (; e < end; e += 16) {
      const until = min(e + 16, end);
      let f = 0;
      for (; f + 4 <= nf; f += 4) {
        for (let i = e; i < until; i += 4) block32(p + i * 4 + f * sf, sf, q + i * te + f * 4, te, until - i, 4);
      }
      if (f < nf) {
        for (let i = e; i < until; i += 4) block32(p + i * 4 + f * sf, sf, q + i * te + f * 4, te, until - i, nf - f);
      }
    }
  }
}

/** As `block32`, 8 e by 8 f bytes. */
@inline
function block8(p: usize, sf: i32, q: usize, te: i32, lines: i32): void {
  const t0 = i8x16.shuffle(v128.load64_zero(p), v128.load64_zero(p + sf), 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  p += 2 * sf;
  const t1 = i8x16.shuffle(v128.load64_zero(p), v128.load64_zero(p + sf), 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  p += 2 * sf;
  const t2 = i8x16.shuffle(v128.load64_zero(p), v128.load64_zero(p + sf), 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  p += 2 * sf;
  const t3 = i8x16.shuffle(v128.load64_zero(p), v128.load64_zero(p + sf), 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const u0 = i16x8.shuffle(t0, t1, 0, 8, 1, 9, 2, 10, 3, 11);
  const u1 = i16x8.shuffle(t0, t1, 4, 12, 5, 13, 6, 14, 7, 15);
  const u2 = i16x8.shuffle(t2, t3, 0, 8, 1, 9, 2, 10, 3, 11);
  const u3 = i16x8.shuffle(t2, t3, 4, 12, 5, 13, 6, 14, 7, 15);
  const v0 = i32x4.shuffle(u0, u2, 0, 4, 1, 5);
  const v1 = i32x4.shuffle(u0, u2, 2, 6, 3, 7);
  const v2 = i32x4.shuffle(u1, u3, 0, 4, 1, 5);
  const v3 = i32x4.shuffle(u1, u3, 2, 6, 3, 7);
  v128.store64_lane(q, v0, 0);
  if (lines > 1) v128.store64_lane(q + te, v0, 1);
  if (lines > 2) v128.store64_lane(q + 2 * te, v1, 0);
  if (lines > 3) v128.store64_lane(q + 3 * te, v1, 1);
  if (lines > 4) v128.store64_lane(q + 4 * te, v2, 0);
  if (lines > 5) v128.store64_lane(q + 5 * te, v2, 1);
  if (lines > 6) v128.store64_lane(q + 6 * te, v3, 0);
  if (lines > 7) v128.store64_lane(q + 7 * te, v3, 1);
}

/** 16 pixels of three planes to 48 interleaved bytes. */
@inline
function interleave3(p: usize, plane: i32, q: usize): void {
  const r = v128.load(p);
  const g = v128.load(p + plane);
  const b = v128.load(p + 2 * plane);
  const rg0 = i8x16.shuffle(r, g, 0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5);
  const rg1 = i8x16.shuffle(r, g, 21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26);
  const rg2 = i8x16.shuffle(r, g, 0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0);
  v128.store(q, i8x16.shuffle(rg0, b, 0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15));
  v128.store(q + 16, i8x16.shuffle(rg1, b, 0, 21, 2, 3, 22, 5, 6, 23, 8, 9, 24, 11, 12, 25, 14, 15));
  v128.store(q + 32, i8x16.shuffle(rg2, b, 26, 1, 2, 27, 4, 5, 28, 7, 8, 29, 10, 11, 30, 13, 14, 31));
}

/** 48 interleaved bytes to 16 pixels of three planes. */
@inline
function deinterleave3(p: usize, q: usize, plane: i32): void {
  const a = v128.load(p);
  const b = v128.load(p + 16);
  const c = v128.load(p + 32);
  const r = i8x16.shuffle(a, b, 0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0, 0, 0, 0, 0);
  const g = i8x16.shuffle(a, b, 1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 0, 0, 0, 0, 0);
  const d = i8x16.shuffle(a, b, 2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 0, 0, 0, 0, 0, 0);
  v128.store(q, i8x16.shuffle(r, c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 20, 23, 26, 29));
  v128.store(q + plane, i8x16.shuffle(g, c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 18, 21, 24, 27, 30));
  v128.store(q + 2 * plane, i8x16.shuffle(d, c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 19, 22, 25, 28, 31));
}

export function x8_transpose(
  x: usize, xo: i32, y: usize, yo: i32, nb: i32, nc: i32, nd: i32, ne: i32, nf: i32, tile: i32,
  sa: i32, sb: i32, sc: i32, sd: i32, se: i32, sf: i32, ta: i32, tb: i32, tc: i32, td: i32, te: i32, tf: i32,
  from: i32, to: i32,
): void {
  const tiles = (ne + tile - 1) / tile;
  for (let r = from; r < to; r++) {
    const o = r / tiles;
    let e = (r - o * tiles) * tile;
    const end = min(e + tile, ne);
    const p = x + xo + offsetOf(o, nb, nc, nd, sa, sb, sc, sd);
    const q = y + yo + offsetOf(o, nb, nc, nd, ta, tb, tc, td);
    if (nf == 3 && te == 3) for (; e + 16 <= end; e += 16) interleave3(p + e, sf, q + e * 3);
    for (; e < end; e += 64) {
      const until = min(e + 64, end);
      let f = 0;
      if (ne == 3 && sf == 3) for (; f + 16 <= nf; f += 16) deinterleave3(p + f * 3, q + f, te);
      for (; f + 8 <= nf; f += 8) {
        for (let i = e; i < until; i += 8) block8(p + i + f * sf, sf, q + i * te + f, te, until - i);
      }
      for (; f < nf; f++) {
        for (let i = e; i < until; i++) store<u8>(q + i * te + f, load<u8>(p + i + f * sf));
      }
    }
  }
}

/**
 * Lines of `bytes` from `n` lines of x, picked by i32 indices; x has one block of n lines for every `count` rows.
 * Negative indices count from the end; what is out of range takes the nearest line.
 */
export function x8_gather(x: usize, indices: usize, y: usize, n: i32, count: i32, bytes: i32, from: i32, to: i32): void {
  for (let r = from; r < to; r++) {
    const block = r / count;
    let index = load<i32>(indices + ((r - block * count) << 2));
    if (index < 0) index += n;
    index = min(max(index, 0), n - 1);
    copyLine(y + r * bytes, x + (block * n + index) * bytes, bytes);
  }
}
