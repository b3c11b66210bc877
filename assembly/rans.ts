/**
 * Decodes what src/format/rans.ts describes: bytes in an entropy code, and symbols that stand for several elements. A block is
 * the states of 16 lanes, the number of bytes that were read, and from TABLE on 4096 entries: a symbol in the lowest 8 bits, the
 * slot's distance from the symbol's first in the next 12, the symbol's frequency in the highest 12.
 */

const READ: usize = 64;
const TABLE: usize = 128;
const LANES: u32 = 16;

/** For each set of 4 lanes, where in the next 8 bytes the words of those in it are; the others get zeros. */
const SPREAD = memory.data(256, 16);
let isSpread = false;

function fillSpread(): void {
  for (let set: usize = 0; set < 16; set++) {
    let word: u8 = 0;
    for (let lane: usize = 0; lane < 4; lane++) {
      const at = SPREAD + (set << 4) + (lane << 2);
      const isIn = ((set >> lane) & 1) != 0;
      store<u32>(at, isIn ? 0xffff0100 + <u32>word * 0x0202 : 0xffffffff);
      if (isIn) word++;
    }
  }
  isSpread = true;
}

/** The entries of 4 states. */
// @ts-ignore: decorator
@inline
function entries(table: usize, states: v128): v128 {
  const slots = i32x4.shl(v128.and(states, i32x4.splat(4095)), 2);
  let e = v128.load32_zero(table + <u32>i32x4.extract_lane(slots, 0));
  e = v128.load32_lane(table + <u32>i32x4.extract_lane(slots, 1), e, 1);
  e = v128.load32_lane(table + <u32>i32x4.extract_lane(slots, 2), e, 2);
  return v128.load32_lane(table + <u32>i32x4.extract_lane(slots, 3), e, 3);
}

/** 4 states a symbol on, before they take words. */
// @ts-ignore: decorator
@inline
function advance(states: v128, e: v128): v128 {
  const distance = v128.and(i32x4.shr_u(e, 8), i32x4.splat(4095));
  return i32x4.add(i32x4.mul(i32x4.shr_u(e, 20), i32x4.shr_u(states, 12)), distance);
}

/** The lanes whose states must take a word. */
// @ts-ignore: decorator
@inline
function short(states: v128): v128 {
  return i32x4.eq(i32x4.shr_u(states, 16), i32x4.splat(0));
}

// @ts-ignore: decorator
@inline
function refill(states: v128, isShort: v128, set: i32, words: usize): v128 {
  const taken = i8x16.swizzle(v128.load64_zero(words), v128.load(SPREAD + (<usize>set << 4)));
  return v128.or(v128.bitselect(i32x4.shl(states, 16), states, isShort), taken);
}

/**
 * Decodes symbols `from` to `to`, the words of which begin at `words`; the byte count of the block is then of those. With 16
 * lanes `from` is a multiple of 16. Reads up to 2 bytes a symbol, and 8 more.
 */
export function u8_rans(block: usize, words: usize, out: usize, lanes: u32, from: u32, to: u32): void {
  const table = block + TABLE;
  let p = words, y = out, i = from;
  if (lanes == LANES) {
    if (!isSpread) fillSpread();
    let a = v128.load(block), b = v128.load(block, 16), c = v128.load(block, 32), d = v128.load(block, 48);
    for (; i + LANES <= to; i += LANES) {
      const ea = entries(table, a), eb = entries(table, b), ec = entries(table, c), ed = entries(table, d);
      const low = i16x8.narrow_i32x4_u(v128.and(ea, i32x4.splat(255)), v128.and(eb, i32x4.splat(255)));
      const high = i16x8.narrow_i32x4_u(v128.and(ec, i32x4.splat(255)), v128.and(ed, i32x4.splat(255)));
      v128.store(y, i8x16.narrow_i16x8_u(low, high));
      y += LANES;
      a = advance(a, ea);
      const sa = short(a), ma = i32x4.bitmask(sa);
      a = refill(a, sa, ma, p);
      p += <usize>popcnt(ma) << 1;
      b = advance(b, eb);
      const sb = short(b), mb = i32x4.bitmask(sb);
      b = refill(b, sb, mb, p);
      p += <usize>popcnt(mb) << 1;
      c = advance(c, ec);
      const sc = short(c), mc = i32x4.bitmask(sc);
      c = refill(c, sc, mc, p);
      p += <usize>popcnt(mc) << 1;
      d = advance(d, ed);
      const sd = short(d), md = i32x4.bitmask(sd);
      d = refill(d, sd, md, p);
      p += <usize>popcnt(md) << 1;
    }
    v128.store(block, a);
    v128.store(block, b, 16);
    v128.store(block, c, 32);
    v128.store(block, d, 48);
  }
  for (; i < to; i++) {
    const lane = block + ((i & (lanes - 1)) << 2);
    let x = load<u32>(lane);
    const e = load<u32>(table + ((x & 4095) << 2));
    store<u8>(y++, <u8>e);
    x = (e >>> 20) * (x >>> 12) + ((e >>> 8) & 4095);
    if (x < 65536) {
      x = (x << 16) | load<u16>(p);
      p += 2;
    }
    store<u32>(lane, x);
  }
  store<u32>(block, <u32>(p - words), READ);
}

/** Writes for each symbol the `unit` (1..32) bytes that stand in `table`, one entry every 32 bytes. May write 32 bytes too many. */
export function u8_expand(table: usize, symbols: usize, out: usize, unit: u32, from: u32, to: u32): void {
  let y = out + <usize>from * unit;
  for (let i = from; i < to; i++) {
    const entry = table + (<usize>load<u8>(symbols + i) << 5);
    v128.store(y, v128.load(entry));
    if (unit > 16) v128.store(y, v128.load(entry, 16), 16);
    y += unit;
  }
}
