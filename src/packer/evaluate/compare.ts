/** How far two tensors are apart. */
export interface Difference {
  /** Largest |got - want|, and where. */
  max: number;
  at: number;
  /** Largest |want|. */
  peak: number;
  /** Signal to noise in dB; Infinity when equal. */
  sqnr: number;
  /** Elements that are further apart than the tolerance allows. */
  beyond: number;
}

export interface Tolerance {
  /** |got - want| <= abs + rel * |want|. */
  abs: number;
  rel: number;
}

/** `got` and `want` have the same length. NaN and infinity agree only with themselves. */
export function compare(got: ArrayLike<number>, want: ArrayLike<number>, { abs, rel }: Tolerance): Difference {
  let [max, at, peak, signal, noise, beyond] = [0, 0, 0, 0, 0, 0];
  for (let i = 0; i < want.length; i++) {
    const [g, w] = [got[i]!, want[i]!];
    const error = Object.is(g, w) || g === w ? 0 : Number.isFinite(g - w) ? Math.abs(g - w) : Number.POSITIVE_INFINITY;
    if (error > max) [max, at] = [error, i];
    if (!(error <= abs + rel * Math.abs(w)) && error > 0) beyond++;
    if (Math.abs(w) > peak) peak = Math.abs(w);
    signal += w * w;
    noise += error * error;
  }
  return { max, at, peak, sqnr: noise === 0 ? Number.POSITIVE_INFINITY : 10 * Math.log10(signal / noise), beyond };
}
