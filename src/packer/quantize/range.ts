/** From what calibration saw to the scale and zero point of an int8 tensor. */
import type { Quant } from '../../core/shape';
import type { Histogram } from './histogram';

/** How the range of an activation is chosen. */
export const METHODS = ['minmax', 'percentile', 'mse', 'kl'] as const;
export type Method = (typeof METHODS)[number];

/** Share of values kept by `percentile`; both tails are cut alike. */
const KEPT = 0.9999;

/** Range by the given method; always within what was seen. */
export function chooseRange(seen: Histogram, method: Method): [low: number, high: number] {
  if (seen.count === 0) return [0, 0];
  if (method === 'minmax') return [seen.min, seen.max];
  if (method === 'percentile') return percentile(seen);
  return method === 'kl' ? leastDivergence(seen) : leastSquares(seen);
}

function percentile(seen: Histogram): [number, number] {
  const cut = (seen.count * (1 - KEPT)) / 2;
  const entries = [...seen.entries()];
  const bound = (list: typeof entries) => {
    let passed = 0;
    for (const [centre, n] of list) if ((passed += n) > cut) return centre;
    return 0;
  };
  return [Math.max(seen.min, bound(entries)), Math.min(seen.max, bound(entries.reverse()))];
}

/** Rounding error plus clipping error is least. */
function leastSquares(seen: Histogram): [number, number] {
  const entries = [...seen.entries()];
  return shrunk(seen, (low, high) => {
    const rounding = ((Math.max(high, 0) - Math.min(low, 0)) / 255) ** 2 / 12;
    let sum = 0;
    for (const [x, n] of entries) sum += n * (x < low ? (low - x) ** 2 : x > high ? (x - high) ** 2 : rounding);
    return sum;
  });
}

/**
 * What levels say of the distribution differs the least from it, by Kullback and Leibler (TensorRT's calibration, Migacz
 * 2017). All that is clipped counts at the ends, and what is in a level's interval is spread over its bins that were seen.
 * Zeros, which are many after a ReLU and always exact, do not count.
 */
function leastDivergence(seen: Histogram): [number, number] {
  const all = [...seen.entries()];
  const zero = Math.min(...all.map(([x]) => Math.abs(x)));
  const entries = all.filter(([x]) => Math.abs(x) > zero);
  const count = entries.reduce((sum, [, n]) => sum + n, 0);
  return shrunk(seen, (low, high) => {
    const [a, b] = [Math.min(low, 0), Math.max(high, 0)];
    const levelAt = (x: number) => Math.min(255, Math.max(0, Math.round(((x - a) / (b - a)) * 255)));
    const [inside, bins] = [new Float64Array(256), new Float64Array(256)];
    let [below, above] = [0, 0];
    for (const [x, n] of entries)
      if (x < a) below += n;
      else if (x > b) above += n;
      else {
        inside[levelAt(x)]! += n;
        bins[levelAt(x)]!++;
      }
    const within = entries.filter(([x]) => x >= a && x <= b);
    const total = count - below - above;
    return within.reduce(
      (sum, [x, n], i) => {
        const clipped = (i === 0 ? below : 0) + (i === within.length - 1 ? above : 0);
        const p = (n + clipped) / count;
        const level = levelAt(x);
        return sum + p * Math.log((p * bins[level]! * total) / inside[level]!);
      },
      within.length ? 0 : Number.POSITIVE_INFINITY,
    );
  });
}

/** Shrinks each end of the range in turn to where `error` is least. */
function shrunk(seen: Histogram, error: (low: number, high: number) => number): [number, number] {
  const shrink = (end: number, errorAt: (end: number) => number) => {
    let best = end;
    let least = errorAt(end);
    for (let k = 1; k <= 40; k++) {
      const candidate = end * (1 - k / 50);
      const e = errorAt(candidate);
      if (e < least) {
        least = e;
        best = candidate;
      }
    }
    return best;
  };
  let [low, high] = [seen.min, seen.max];
  if (high > 0) high = shrink(high, (h) => error(low, h));
  if (low < 0) low = shrink(low, (l) => error(l, high));
  return [low, high];
}

/**
 * Scale and zero point for [low, high] widened to hold 0, which must be exact: padding and ReLU depend on it. The scale
 * is a power-free f32 number, so that files and engines agree on it.
 */
export function quantOf(low: number, high: number): Quant {
  const [a, b] = [Math.min(low, 0), Math.max(high, 0)];
  const scale = Math.fround(b > a ? Math.max((b - a) / 255, 2 ** -100) : 1 / 128);
  const zero = Math.min(127, Math.max(-128, Math.round(-128 - a / scale)));
  return { scale, zero };
}

/** The level of a real number. */
export const levelOf = (x: number, { scale, zero }: Quant): number => Math.min(127, Math.max(-128, Math.round(x / scale) + zero));

export const realOf = (level: number, { scale, zero }: Quant): number => (level - zero) * scale;
