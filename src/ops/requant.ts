/**
 * Requantisation: y = clamp(floor((acc * m + C) / 2^b)) with C = zero * 2^b + 2^(b-1), in integers and exactly, so that
 * every engine gives the same levels. Kernels clamp the accumulator first to where the result saturates; then nothing
 * leaves 32 bits. Kernels see levels as bytes (level + 128), which moves zero and range by 128.
 */
import { WaferError } from '../core/errors';

export interface Requant {
  /** b, 1..22. */
  shift: number;
  /** The output's zero point. */
  zero: number;
  /** Levels that the result is clamped to. */
  range: readonly number[];
}

/** The definition. `addend` is in units of 2^-shift. */
export function requantize(
  acc: number,
  multiplier: number,
  { shift, zero, range, addend = 0 }: Requant & { addend?: number },
): number {
  const exact = BigInt(acc) * BigInt(multiplier) + BigInt(addend) + BigInt(zero) * 2n ** BigInt(shift) + 2n ** BigInt(shift - 1);
  const level = Number(exact >> BigInt(shift));
  return Math.min(Math.max(level, range[0]!), range[1]!);
}

/** The constant C. */
export const offsetOf = ({ shift, zero }: Pick<Requant, 'shift' | 'zero'>): number => zero * 2 ** shift + 2 ** (shift - 1);

/**
 * Gives for a multiplier the largest accumulator that gives the range's bottom whatever is added, and the smallest that gives
 * its top, both within 32 bits. `reach` bounds what is added, in units of 2^-shift.
 */
export function saturation(requant: Requant, reach = 0): Record<'low' | 'high', (multiplier: number) => number> {
  const { shift, range } = requant;
  const offset = offsetOf(requant);
  const bottom = (range[0]! + 1) * 2 ** shift - offset - reach;
  const top = range[1]! * 2 ** shift - offset + reach;
  return {
    low: (multiplier) => Math.max(Math.ceil(bottom / multiplier) - 1, -(2 ** 31)),
    high: (multiplier) => Math.min(Math.ceil(top / multiplier), 2 ** 31 - 1),
  };
}

/**
 * The shift at which kernels leave out the clamping of accumulators where the worst of them stays within 32 bits: there is
 * room for 2^13 levels.
 */
export const FREE_SHIFT = 18;

/** Throws VALUE when kernels could leave 32 bits. `finer`: bits by which the result is finer than levels. */
export function checkRequant(
  { shift, zero, range }: Requant,
  multipliers: ArrayLike<number>,
  residualMultiplier: number,
  finer = 0,
): void {
  const [low, high] = range as readonly [number, number];
  const integers = [shift, zero, low, high, residualMultiplier].every(Number.isInteger);
  if (!integers || shift < 1 + finer || shift > 22) fail(`shift ${shift} is not in ${1 + finer}..22`);
  if (!(low >= -128 && low <= zero && zero <= high && high <= 127 && low < high))
    fail(`range [${range}] does not lie in -128..127 around the zero point ${zero}`);
  const largest = residualMultiplier ? 2 ** 29 : 2 ** 30;
  for (let i = 0; i < multipliers.length; i++)
    if (!(multipliers[i]! >= 1 && multipliers[i]! <= largest))
      fail(`multiplier ${multipliers[i]} of channel ${i} is not in 1..${largest}`);
  if (residualMultiplier && (residualMultiplier < 0 || residualMultiplier > 2 ** 21 || shift > 20))
    fail(`residual multiplier ${residualMultiplier} is not in 0..2^21, or shift ${shift} not in 1..20`);
}

/** Whether a sum of levels times weights stays in 32 bits; `size` is the sum of the weights' magnitudes, or more. */
export const sumsFit = (bias: number, size: number): boolean => Math.abs(bias) + 255 * size < 2 ** 31;

/** Throws VALUE when it does not. */
export function checkSums(bias: number, size: number): void {
  if (!sumsFit(bias, size)) fail(`a bias of ${bias} and weights of ${size} in all can overflow 32 bits`);
}

function fail(what: string): never {
  throw new WaferError('VALUE', what, { hint: 'the file was not made by this packer, or its quantisation is broken' });
}
