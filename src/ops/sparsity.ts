/**
 * Weights of which most are zero, for the kernel that skips them (assembly/sparse.ts). What can be skipped is a unit: one
 * output channel's weights of 4 consecutive inputs, all 0 (2 where the device multiplies 16 bits).
 */
import type { TypedArray } from '../core/dtype';
import type { Block, Lowering, Operand } from './define';
import { constantOf } from './product';

/** Share of units that must be zero, and rows that there must be, for the kernel to beat the dense ones. */
const THRESHOLD = 0.4;
const ROWS = 16;

/** Rows that a tile of the kernel holds, and its bytes for a unit or a channel: PITCH of assembly/sparse.ts. */
const PITCH = 208;
/** Rows to multiply at a time: a few tiles. */
export const SPARSE_ROWS = PITCH;

export interface Sparse {
  lists: Block;
  /** Working memory. */
  tile: Block;
}

/**
 * The lists of `w`, whose channels have `runs` runs of `length` weights, for products of `rows` rows; undefined where dense
 * kernels are as fast.
 */
export function sparseWeights(
  node: Lowering<unknown>,
  w: Operand,
  rows: number,
  runs: number,
  length: number,
): Sparse | undefined {
  const weights = constantOf('w', w) as TypedArray;
  if (rows < ROWS || zeroShare(weights, length) < ((globalThis as any).SPARSE ?? THRESHOLD)) return undefined;
  const elements = node.dot === 'i16' ? 2 : 4;
  const tile = node.scratch(PITCH * (runs * Math.ceil(length / elements) + 8));
  return { lists: node.constant('lists', () => listsOf(weights, w.type.shape[0]!, runs, length, elements)), tile };
}

const shares = new WeakMap<TypedArray, number>();

/** The share of units of 4 in runs of `length` weights that are zero. */
export function zeroShare(weights: TypedArray, length: number): number {
  let share = shares.get(weights);
  if (share === undefined) {
    let [zeros, units] = [0, 0];
    for (let run = 0; run < weights.length; run += length)
      for (let at = run; at < run + length; at += 4, units++) if (isZero(weights, at, Math.min(at + 4, run + length))) zeros++;
    share = units ? zeros / units : 0;
    shares.set(weights, share);
  }
  return share;
}

function isZero(weights: TypedArray, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (weights[i]) return false;
  return true;
}

/** The lists as assembly/sparse.ts says, in units of `elements` weights. */
export function listsOf(
  weights: ArrayLike<number>,
  channels: number,
  runs: number,
  length: number,
  elements: number,
): Int32Array {
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

/** Weights for cases: units of 4 in runs of `length`, of which about `share` are zero, and some all but one. */
export function sparseCase(count: number, length: number, share: number): number[] {
  return Array.from({ length: count }, (_, i) => {
    const unit = Math.floor(i / length) * Math.ceil(length / 4) + Math.floor((i % length) / 4);
    const draw = ((unit + 1) * 0.6180339887) % 1;
    return draw < share || (draw > 0.95 && i % 4 !== 2) ? 0 : ((i * 89 + unit * 13) % 255) - 127;
  });
}
