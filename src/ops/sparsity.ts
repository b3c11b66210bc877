/**
 * Weights of which most are zero, for the kernel that skips them (assembly/sparse.ts). What can be skipped is a unit: one
 * output channel's weights of 4 consecutive inputs, all 0 (2 where the device multiplies 16 bits).
 */
import type { Block, Case, Lowering, Operand } from './define';
import { constantOf, integerCases, type ProductAttrs } from './product';

/** Rows from which the kernel's vectors, which run over rows, are filled well enough. */
const ROWS = 16;

/**
 * The share of zero units from which the kernel beats the dense ones, for k inputs and n output channels: skipped products
 * must also pay for the transposition of inputs, once for all channels, and of sums, once for all inputs. Fitted to where
 * times crossed in Chromium on a Zen 5 (784x144x32 at 37 %, 196x384x64 29 %, 49x960x160 30 %, 784x1152x128 34 %, 3x3 on
 * 28x28 128-128 32 %, 784x24x144 55 %, 784x144x8 59 %), a few points above rather than below. The 16-bit dot crosses
 * earlier, mostly at 20 % to 30 %. `bench:kernels -- zeros` times both sides.
 */
const worthwhile = (k: number, n: number): number => 1 / 3 + 6 / k + 2 / n;

/** Bytes of the kernel's tile for a unit or a channel: PITCH of assembly/sparse.ts. */
const PITCH = 208;

/** Rows to multiply at a time, and bytes of a convolution's input: a few tiles, which are then of about equal height. */
export const SPARSE_ROWS = PITCH;
export const SPARSE_BYTES = 2 ** 17;

/** Weights as assembly/sparse.ts takes them, and its working memory. */
export interface Sparse {
  readonly lists: Block;
  readonly tile: Block;
}

/**
 * What the sparse kernel needs to multiply `rows` rows by `w`, whose channels have `runs` runs of `length` weights;
 * undefined where the dense kernels are as fast. Throws UNSUPPORTED when `w` is not constant.
 */
export function sparseWeights(
  node: Lowering<unknown>,
  w: Operand,
  rows: number,
  runs: number,
  length: number,
): Sparse | undefined {
  const weights = constantOf('w', w);
  const n = w.type.shape[0]!;
  if (rows < ROWS || zeroShare(weights, length) < worthwhile(runs * length, n)) return undefined;
  const elements = node.dot === 'i16' ? 2 : 4;
  const tile = node.scratch(PITCH * (runs * Math.ceil(length / elements) + 8));
  return { lists: node.constant('lists', () => listsOf(weights, n, runs, length, elements)), tile };
}

/** Where so many units hold fewer zero ones than this share, no count is needed: `worthwhile` is never below 1/3. */
const PROBED = 256;
const FEW = 1 / 5;
const GOLDEN = (Math.sqrt(5) - 1) / 2;

const shares = new WeakMap<ArrayLike<number>, number>();

/** The share of units of 4 in runs of `length` weights that are zero; about, where they are few. Looked for once in an array. */
function zeroShare(weights: ArrayLike<number>, length: number): number {
  let share = shares.get(weights);
  if (share === undefined) {
    const unitsARun = Math.ceil(length / 4);
    const units = (weights.length / length) * unitsARun;
    const isZeroUnit = (unit: number): boolean => {
      const run = Math.floor(unit / unitsARun) * length;
      const at = run + 4 * (unit % unitsARun);
      return isZero(weights, at, Math.min(at + 4, run + length));
    };
    // Spread evenly, but not at equal distances, which channels have too.
    share = shareOf(PROBED, (i) => isZeroUnit(Math.floor(((i * GOLDEN) % 1) * units)));
    if (share >= FEW) share = shareOf(units, isZeroUnit);
    shares.set(weights, share);
  }
  return share;
}

/** The share of 0 … count - 1 for which `holds` does. */
function shareOf(count: number, holds: (i: number) => boolean): number {
  let held = 0;
  for (let i = 0; i < count; i++) if (holds(i)) held++;
  return count ? held / count : 0;
}

function isZero(weights: ArrayLike<number>, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (weights[i]) return false;
  return true;
}

/** The lists as assembly/sparse.ts says, in units of `elements` weights. */
function listsOf(weights: ArrayLike<number>, channels: number, runs: number, length: number, elements: number): Int32Array {
  const words: number[] = [];
  const bits = 32 / elements;
  for (let channel = 0; channel < 8 * Math.ceil(channels / 8); channel++) {
    const start = words.push(0);
    if (channel >= channels) continue;
    let offset = 0;
    for (let run = channel * runs * length; run < (channel + 1) * runs * length; run += length) {
      for (let at = 0; at < length; at += elements, offset += PITCH) {
        let word = 0;
        for (let i = 0; i < elements && at + i < length; i++) word |= (weights[run + at + i]! & (2 ** bits - 1)) << (bits * i);
        if (word) words.push(word, offset);
      }
    }
    words[start - 1] = 4 * (words.length - start);
  }
  return Int32Array.from(words);
}

/** Integer cases of a geometry with weights that the sparse kernel takes; `share` of their units in runs of `length` are zero. */
export function sparseCases<A extends ProductAttrs>(
  x: readonly number[],
  w: readonly number[],
  y: readonly number[],
  length: number,
  share: number,
  attrs: Partial<A> = {},
): Case<A>[] {
  const depth = w.slice(1).reduce((a, b) => a * b, 1);
  const weights = Array.from({ length: w[0]! * depth }, (_, i) => {
    const unit = Math.floor(i / length) * Math.ceil(length / 4) + Math.floor((i % length) / 4);
    const place = ((unit + 1) * 0.6180339887) % 1;
    // Some of those that are not have a single weight.
    return place < share || (place > 0.95 && i % 4 !== 2) ? 0 : ((i * 89 + unit * 13) % 255) - 127;
  });
  return integerCases<A>(x, w, y, depth, attrs, weights).map((c) => ({ ...c, name: 'sparse' }));
}
