/**
 * Weights of few levels: up to 16 different values, wherever they come from (ternary and 4-bit networks, k-means, powers of
 * two). They stay in memory as codes of 2 or 4 bits (assembly/codes.ts), which costs a product of many rows little and lets
 * one of a row, which waits for memory, go faster. Sums are the same, bit for bit.
 */
import type { Block, Case, Lowering, Operand } from './define';
import { constantOf, integerCases, KIND_CODES, type ProductAttrs } from './product';

/** Fewest weights that are worth it: less memory is not waited for. */
const WEIGHTS = 2 ** 12;

/** Most weights of a channel for which sums of codes, at their place in a byte, stay in 32 bits: 2^31 / (255 * 48). */
const DEPTH = 2 ** 17;

/** Bytes of left operand to multiply at a time: many rows, so that panels are seldom made of codes; they stay in L2. */
export const CODES_BYTES = 2 ** 18;

/** The weight of each code; those of 2 bits are least + step * code. */
interface Levels {
  readonly bits: 2 | 4;
  readonly table: readonly number[];
}

/** Weights as assembly/codes.ts takes them. */
export interface Codes {
  readonly bits: 2 | 4;
  readonly packed: Block;
  readonly levels: Block;
  readonly room: Block | 0;
}

/**
 * What the kernels need to multiply `rows` rows by `w`, whose channels have `runs` runs of `length` weights, in codes;
 * undefined where weights have too many levels or are few. Throws UNSUPPORTED when `w` is not constant.
 */
export function codedWeights(node: Lowering<unknown>, w: Operand, rows: number, runs: number, length: number): Codes | undefined {
  const size = node.dot === 'i16' ? 2 : 1;
  const units = runs * Math.ceil((length * size) / 4);
  const channels = w.type.shape[0]!;
  const levels = channels * runs * length < WEIGHTS ? undefined : levelsOf(w, runs * length, (length * size) % 4 > 0);
  if (!levels) return undefined;
  const { bits, table } = levels;
  const groups = Math.ceil(channels / 32);
  const packed = node.packed('codes', w, groups * units * (16 / size) * bits, (block) => {
    const codes: Operand = { type: { dtype: 'u8', shape: [256] }, data: codesOf(table) };
    return { kernel: 'i8_packCodes', args: [w, codes, block, channels, runs, length, KIND_CODES[node.dot], bits], rows: groups };
  });
  const described = node.constant('levels', () => {
    const words = new Int32Array(8);
    new Int8Array(words.buffer).set(table);
    words.set([bits, table[0]!, (table[1] ?? 0) - table[0]!], 4);
    return words;
  });
  // Products of up to 3 rows are computed from codes.
  return { bits, packed, levels: described, room: rows < 4 ? 0 : node.scratch(4 * 32 * units) };
}

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
  if ((most - least) / step > 3 || depth > DEPTH) return { bits: 4, table };
  return { bits: 2, table: [0, 1, 2, 3].map((code) => least + step * code) };
}

const greatestDivisor = (a: number, b: number): number => (b === 0 ? a : greatestDivisor(b, a % b));

/** The code of each weight, from that of -128 on. */
function codesOf(table: readonly number[]): Uint8Array<ArrayBuffer> {
  const codes = new Uint8Array(256);
  table.forEach((level, code) => {
    if (level <= 127) codes[level + 128] = code;
  });
  return codes;
}

/** Ternary weights; binary ones, of another size; 8 levels; and 16 in no order, 0 not among them. */
export const CODED_TABLES: readonly (readonly number[])[] = [
  [-1, 0, 1],
  [-63, 64],
  [-4, -3, -2, -1, 0, 1, 2, 3],
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
