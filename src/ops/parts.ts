/**
 * How a GPU cuts long sums: each result is computed of `parts` parts of up to `length` elements, by one invocation each, and then
 * of the parts. That gives a few long sums more invocations, and keeps the rounding of all of them small.
 */

/** Invocations that keep a GPU busy. */
const BUSY = 2048;
/** Elements of a part: fewer are not worth a dispatch of their own, more lose digits. */
const [LEAST, MOST] = [64, 1024];

export function partsOf(results: number, n: number): { parts: number; length: number } {
  const useful = Math.floor(Math.min(Math.sqrt(n), n / LEAST));
  const wanted = Math.max(Math.ceil(n / MOST), Math.min(useful, Math.ceil(BUSY / results)), 1);
  const length = Math.ceil(n / wanted);
  return { parts: n > length ? Math.ceil(n / length) : 1, length };
}
