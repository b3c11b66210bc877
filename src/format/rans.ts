/**
 * The entropy code of long byte streams: rANS with frequencies of 12 bits, in 1 or 16 interleaved lanes of 32-bit states that take
 * words of 16 bits. What it takes to decode it is a `Codec`: JavaScript here, WASM where there is a device.
 *
 * Frequencies are stored as ranks, logarithms that are rounded as coarsely as pays, of levels. A symbol can stand for several
 * levels, and its frequency then follows from theirs, so that even few levels come in bytes and their table stays a few bytes.
 */
import { crc32 } from '../core/crc';
import { Chances, type Coder, Numbers } from './bits';

/** How often all symbols of a stream come together. */
export const TOTAL = 4096;
/** The least a state can be, before and after each symbol; the first when writing and the last when reading. */
export const LOW = 65536;
/** Streams of more symbols have 16 lanes, which decode faster, and take 30 bytes more. */
const SHORT = 8192;

export const lanesOf = (symbols: number): number => (symbols < SHORT ? 1 : 16);

/** What decodes bytes in bulk. Both implementations come to the same results. */
export interface Codec {
  /** CRC-32 as core/crc.ts has it. */
  crc32(bytes: Uint8Array, before?: number): number;
  /** Decodes `to` from `coded`, a state a lane and the words behind. False when it is damaged; then `to` may hold anything. */
  rans(coded: Uint8Array, table: Uint32Array, lanes: number, to: Uint8Array): boolean;
  /**
   * For each symbol the first `unit` bytes of its entry in `table`, which has entries of UNIT bytes; of the last symbols only what
   * `to` has room for.
   */
  expand(symbols: Uint8Array, table: Uint8Array, unit: number, to: Uint8Array): void;
}

/** Bytes of an entry of `expand`. */
export const UNIT = 32;

// ---- frequencies ----

/** 2^(1/8) to the powers 0..7, times 256. */
const EIGHTHS = [256, 279, 304, 332, 362, 395, 431, 470];
/** Frequencies are within 2^12 of each other. */
const OCTAVES = 12;

/** How often levels come, as logarithms: rank 0 is never, rank r is 2^((r - 1) / 2^fineness). */
export interface Ranks {
  /** 0..3. */
  readonly fineness: number;
  readonly ranks: readonly number[];
}

export const maxRank = (fineness: number): number => (OCTAVES << fineness) + 1;

/** Codes the ranks of `levels` levels. Undefined when a rank cannot be. */
export function codeRanks(coder: Coder, levels: number, given?: Ranks): Ranks | undefined {
  const bits = new Chances(2);
  let fineness = 0;
  for (let bit = 0; bit < 2; bit++) fineness += bits.code(coder, ((given?.fineness ?? 0) >> bit) & 1, bit) << bit;
  // Levels that come and that do not are each among their like.
  const steps = [new Numbers(2), new Numbers(2)] as const;
  const ranks: number[] = [];
  let last = 0;
  for (let i = 0; i < levels; i++) {
    const step = (given?.ranks[i] ?? 0) - last;
    const coded = steps[last ? 1 : 0].code(coder, step < 0 ? -2 * step - 1 : 2 * step);
    last += coded % 2 ? -(coded + 1) / 2 : coded / 2;
    if (last < 0 || last > maxRank(fineness)) return undefined;
    ranks.push(last);
  }
  return { fineness, ranks };
}

/** Frequencies, TOTAL together, of the symbols that stand for `group` levels each, the first the lowest digit. Undefined for fewer than two that come. */
export function frequencies({ fineness, ranks }: Ranks, group: number): Uint16Array | undefined {
  const levels = ranks.map((rank) => (rank ? EIGHTHS[((rank - 1) << (3 - fineness)) & 7]! << ((rank - 1) >> fineness) : 0));
  let weights = levels;
  for (let i = 1; i < group; i++) weights = levels.flatMap((high) => weights.map((low) => low * high));
  let all = 0;
  for (const weight of weights) all += weight;
  const found = new Uint16Array(weights.length);
  let [sum, placed, given, coming] = [0, 0, 0, 0];
  for (let i = 0; i < weights.length; i++) {
    if (weights[i] === 0) continue;
    coming++;
    sum += weights[i]!;
    const next = Math.round((sum / all) * TOTAL);
    found[i] = Math.max(1, next - placed);
    placed = next;
    given += found[i]!;
  }
  if (coming < 2) return undefined;
  // What rare symbols were given is taken from the most frequent.
  for (let debt = given - TOTAL; debt > 0; ) {
    const part = Math.ceil(debt / 8);
    let most = 0;
    for (let i = 1; i < found.length; i++) if (found[i]! > found[most]!) most = i;
    found[most]! -= part;
    debt -= part;
  }
  return found;
}

/** The entries of all slots, as assembly/rans.ts has them. */
export function slotsOf(found: Uint16Array): Uint32Array<ArrayBuffer> {
  const table = new Uint32Array(TOTAL);
  let slot = 0;
  for (let symbol = 0; symbol < found.length; symbol++) {
    const frequency = found[symbol]!;
    for (let i = 0; i < frequency; i++) table[slot++] = symbol | (i << 8) | (frequency << 20);
  }
  return table;
}

// ---- in JavaScript ----

/** For wherever there is no WASM. */
export const scalarCodec: Codec = { crc32, rans, expand };

function rans(coded: Uint8Array, table: Uint32Array, lanes: number, to: Uint8Array): boolean {
  if (coded.length < 4 * lanes) return false;
  const states = new Uint32Array(coded.slice(0, 4 * lanes).buffer);
  let at = 4 * lanes;
  for (let i = 0; i < to.length; i++) {
    const lane = i & (lanes - 1);
    const state = states[lane]!;
    const entry = table[state & (TOTAL - 1)]!;
    to[i] = entry;
    let next = Math.imul(entry >>> 20, state >>> 12) + ((entry >>> 8) & (TOTAL - 1));
    if (next >>> 16 === 0) {
      next = (next << 16) | coded[at]! | (coded[at + 1]! << 8);
      at += 2;
    }
    states[lane] = next;
  }
  return at === coded.length && states.every((state) => state === LOW);
}

function expand(symbols: Uint8Array, table: Uint8Array, unit: number, to: Uint8Array): void {
  let at = 0;
  for (const symbol of symbols) {
    const entry = symbol * UNIT;
    for (let i = 0; i < unit && at < to.length; i++) to[at++] = table[entry + i]!;
  }
}
