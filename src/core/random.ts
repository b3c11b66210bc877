/** Random numbers from a seed, the same everywhere: mulberry32 by Tommy Ettinger (public domain), rewritten. */

/** 32 random bits a call. */
export function randomBits(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    return z ^ (z >>> 14);
  };
}

/** Uniform over [0, 1). */
export function random(seed: number): () => number {
  const next = randomBits(seed);
  return () => (next() >>> 0) / 2 ** 32;
}
