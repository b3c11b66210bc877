/**
 * Weights of few levels: up to 16 different values, wherever they come from (ternary and 4-bit networks, k-means, powers of
 * two). They stay in memory as codes of 2 or 4 bits (assembly/codes.ts), which costs a product of many rows little and lets
 * one of a row, which waits for memory, go faster. Sums are the same, bit for bit.
 */
import type { Block, Case, Dispatch, Lowering, Operand } from './define';
import { constantOf, integerCases, type ProductAttrs } from './product';

/** Fewest weights that are held as codes where that takes no time, and where it does: then memory must count. */
const WEIGHTS = 2 ** 12;
const WEIGHTS_THAT_COUNT = 2 ** 16;

/**
 * Whether products with codes take at most some 3 % longer than with bytes, in Chromium on a Zen 5, weights being in its
 * caches. A row of codes that are multiplied where they lie is faster (1024 x 1024: 103 GMAC/s for 93), one of the table is
 * not (69). Making panels of bytes takes the time of about 1.5 rows: 4 rows 84 % as fast, 16 rows 90 %, 32 rows 98 %. With
 * weights in memory, from about 2^23 on, codes are faster for any number of rows.
 */
const isFree = (rows: number, { step }: Levels): boolean => rows >= 32 || (rows < 4 && step > 0);

/** Most weights of a channel for which sums of codes where they lie, 240 times 255 at most, stay in 32 bits. */
const DEPTH = 2 ** 15;

/** Bytes of left operand to multiply at a time: many rows, so that panels are seldom made of codes; they stay in L2. */
export const CODES_BYTES = 2 ** 18;

/** What codes stand for: the table's entry, and where `step` is not 0 that is table[0] + step * code. */
interface Levels {
  readonly bits: 2 | 4;
  readonly step: number;
  readonly table: readonly number[];
}

/** Weights as assembly/codes.ts takes them. */
export interface Codes {
  /** 4 and 16 levels at equal distances, 16 levels of any kind. */
  readonly form: 'ternary' | 'int4' | 'table';
  readonly packed: Block;
  readonly levels: Block;
  readonly room: Block | 0;
}

/**
 * What the kernels need to multiply `rows` rows by `w`, whose channels have `runs` runs of `length` weights, in codes;
 * undefined where weights have too many levels, or bytes are better. Throws UNSUPPORTED when `w` is not constant.
 */
export function codedWeights(node: Lowering<unknown>, w: Operand, rows: number, runs: number, length: number): Codes | undefined {
  const size = node.dot === 'i16' ? 2 : 1;
  const units = runs * Math.ceil((length * size) / 4);
  const channels = w.type.shape[0]!;
  const weights = channels * runs * length;
  const levels = weights < WEIGHTS ? undefined : levelsOf(w, runs * length, (length * size) % 4 > 0);
  if (!levels || (weights < WEIGHTS_THAT_COUNT && !isFree(rows, levels))) return undefined;
  const { bits, step, table } = levels;
  const blocks = Math.ceil(channels / 32);
  const pack = (block: Block): Dispatch => {
    const codes: Operand = { type: { dtype: 'u8', shape: [256] }, data: codesOf(table) };
    return { kernel: 'i8_packCodes', args: [w, codes, block, channels, runs, length, bits, step ? 1 : 0], rows: blocks };
  };
  const packed = node.packed('codes', w, blocks * units * (16 / size) * bits, pack, 32 * runs * length);
  return {
    form: bits === 2 ? 'ternary' : step ? 'int4' : 'table',
    packed,
    levels: node.constant('levels', () => describe(levels)),
    // Products of fewer rows are computed from codes.
    room: rows < 4 ? 0 : node.scratch(4 * 32 * units),
  };
}

/** Weights as shaders/lib/codes.wgsl takes them. */
export interface ShaderCodes {
  readonly bits: 2 | 4;
  /** Whether levels are at unequal distances. */
  readonly isTable: boolean;
  /** The code of each weight, from that of -128 on. */
  readonly codes: Uint8Array;
  /** Words: the first level and the step, or the table. */
  readonly uniforms: readonly number[];
}

/**
 * How a shader unpacks `w`, [channels, taps, depth], of which it reads 4 inputs at a time; undefined where weights have too many
 * levels or are few. Throws UNSUPPORTED when `w` is not constant.
 */
export function shaderCodes(w: Operand, taps: number, depth: number): ShaderCodes | undefined {
  const weights = w.type.shape[0]! * taps * depth;
  // A draft has no elements, and is made as for many levels.
  const levels = weights < WEIGHTS || w.data?.length === 0 ? undefined : levelsOf(w, taps * depth, depth % 4 > 0);
  if (!levels) return undefined;
  const { bits, step, table } = levels;
  const bytes = Int8Array.from({ length: 16 }, (_, code) => table[code] ?? 0);
  const uniforms = step ? [bytesOf(table[0]! + 128), step, 0, 0] : [...new Int32Array(bytes.buffer)];
  return { bits, isTable: step === 0, codes: codesOf(table), uniforms };
}

/** A word of 4 times the byte. */
export const bytesOf = (byte: number): number => ((byte & 255) * 0x01010101) >>> 0;

const distinct = new WeakMap<ArrayLike<number>, readonly number[]>();

/** The different values of an array in ascending order, when they are 16 or fewer; else the 17 found first. Looks once. */
function valuesOf(array: ArrayLike<number>): readonly number[] {
  let values = distinct.get(array);
  if (!values) {
    const seen = new Set<number>();
    for (let i = 0; i < array.length && seen.size <= 16; i++) seen.add(array[i]!);
    values = [...seen].sort((a, b) => a - b);
    distinct.set(array, values);
  }
  return values;
}

/** Undefined where there are too many. `filled`: the kernels' units take weights of 0 besides. */
function levelsOf(w: Operand, depth: number, filled: boolean): Levels | undefined {
  const found = valuesOf(constantOf('w', w));
  const table = filled && !found.includes(0) ? [...found, 0].sort((a, b) => a - b) : found;
  if (table.length > 16) return undefined;
  const [least, most] = [table[0]!, table.at(-1)!];
  const step = table.reduce((divisor, level) => greatestDivisor(divisor, level - least), 0) || 1;
  const codes = (most - least) / step;
  if (codes > 15 || depth > DEPTH) return { bits: 4, step: 0, table };
  return { bits: codes > 3 ? 4 : 2, step, table: Array.from({ length: codes > 3 ? 16 : 4 }, (_, code) => least + step * code) };
}

const greatestDivisor = (a: number, b: number): number => (b === 0 ? a : greatestDivisor(b, a % b));

/** `levels` of assembly/codes.ts: what nibbles hold is two codes of 2 bits, or one, in bytes less 8 in the second place. */
function describe({ bits, step, table }: Levels): Int32Array {
  const words = new Int32Array(12);
  const bytes = new Int8Array(words.buffer);
  for (let nibble = 0; nibble < 16; nibble++) {
    bytes[nibble] = table[bits === 2 ? nibble & 3 : nibble]!;
    bytes[16 + nibble] = table[bits === 2 ? nibble >> 2 : step ? nibble ^ 8 : nibble]!;
  }
  words.set([bits, table[0]!, step], 8);
  return words;
}

/** The code of each weight, from that of -128 on. */
function codesOf(table: readonly number[]): Uint8Array<ArrayBuffer> {
  const codes = new Uint8Array(256);
  table.forEach((level, code) => {
    if (level <= 127) codes[level + 128] = code;
  });
  return codes;
}

/** Ternary weights; binary ones, of another size; 16 levels at equal distances; and 16 that are not, 0 not among them. */
export const CODED_TABLES: readonly (readonly number[])[] = [
  [-1, 0, 1],
  [-63, 64],
  [-128, -112, -96, -80, -64, -48, -32, -16, 0, 16, 32, 48, 64, 80, 96, 112],
  [-127, -90, -64, -33, -20, -9, -4, -1, 2, 5, 11, 23, 40, 64, 99, 127],
];

/** Integer cases of a geometry with weights drawn from `table`. */
export function codedCases<A extends ProductAttrs>(
  x: readonly number[],
  w: readonly number[],
  y: readonly number[],
  table: readonly number[],
  attrs: Partial<A> = {},
): Case<A>[] {
  const depth = w.slice(1).reduce((a, b) => a * b, 1);
  const weights = Array.from({ length: w[0]! * depth }, (_, i) => table[Math.floor(table.length * ((i * 0.6180339887) % 1))]!);
  return integerCases<A>(x, w, y, depth, attrs, weights).map((c) => ({ ...c, name: `levels ${table.length}` }));
}
