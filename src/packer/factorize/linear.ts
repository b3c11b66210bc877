/**
 * The linear algebra of low rank, in doubles: matrices are flat and row-major. Singular vectors come from the eigenvectors of the
 * Gram matrix of a matrix's smaller side. These are orthonormal to the last bit but a few, so that what is projected on them is
 * right at any rank; singular values below 1e-8 of the greatest are not to be relied on, and nothing here does.
 */
import { invariant } from '../../core/errors';

/** a [m, k] times b [k, n]. */
export function multiply(a: Float64Array, b: Float64Array, m: number, k: number, n: number): Float64Array {
  const c = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    const row = c.subarray(i * n, (i + 1) * n);
    for (let j = 0; j < k; j++) {
      const factor = a[i * k + j]!;
      if (factor === 0) continue;
      for (let l = 0, at = j * n; l < n; l++, at++) row[l]! += factor * b[at]!;
    }
  }
  return c;
}

/** a [m, n] as [n, m]. */
export function transposed(a: Float64Array, m: number, n: number): Float64Array {
  const t = new Float64Array(m * n);
  for (let i = 0; i < m; i++) for (let j = 0; j < n; j++) t[j * m + i] = a[i * n + j]!;
  return t;
}

/** Products of the rows of a [m, n] with each other: [m, m]. */
export function gram(a: Float64Array, m: number, n: number): Float64Array {
  const g = new Float64Array(m * m);
  for (let i = 0; i < m; i++) {
    // Four rows at a time, so that each element of row i is loaded once for four products.
    for (let j = i; j < m; j += 4) {
      const rows = [j, j + 1, j + 2, j + 3].map((r) => Math.min(r, m - 1) * n);
      const [r0, r1, r2, r3] = rows as [number, number, number, number];
      let [s0, s1, s2, s3] = [0, 0, 0, 0];
      for (let k = 0, at = i * n; k < n; k++, at++) {
        const x = a[at]!;
        s0 += x * a[r0 + k]!;
        s1 += x * a[r1 + k]!;
        s2 += x * a[r2 + k]!;
        s3 += x * a[r3 + k]!;
      }
      [s0, s1, s2, s3].forEach((s, r) => {
        if (j + r < m) g[i * m + j + r] = g[(j + r) * m + i] = s;
      });
    }
  }
  return g;
}

export interface Eigen {
  /** The greatest first. */
  readonly values: Float64Array;
  /** A row each. */
  readonly vectors: Float64Array;
}

/** Of a symmetric matrix [n, n], which is overwritten. */
export function eigen(a: Float64Array, n: number): Eigen {
  const { diagonal, beside, vectors } = tridiagonal(a, n);
  diagonalize(diagonal, beside, vectors, n);
  const order = Array.from(diagonal.keys()).sort((i, j) => diagonal[j]! - diagonal[i]! || i - j);
  const sorted = new Float64Array(n * n);
  order.forEach((from, to) => sorted.set(vectors.subarray(from * n, (from + 1) * n), to * n));
  return { values: Float64Array.from(order, (i) => diagonal[i]!), vectors: sorted };
}

/** Householder: vectors · a · vectorsᵀ has only a diagonal and what is beside it. */
function tridiagonal(a: Float64Array, n: number) {
  const [diagonal, beside, scales] = [new Float64Array(n), new Float64Array(n), new Float64Array(n)];
  const w = new Float64Array(n);
  for (let k = 0; k < n - 2; k++) {
    diagonal[k] = a[k * n + k]!;
    // The matrix is symmetric: row k holds what is to be eliminated, and then the vector that does it.
    const v = a.subarray(k * n, (k + 1) * n);
    let rest = 0;
    for (let i = k + 2; i < n; i++) rest += v[i]! * v[i]!;
    const first = v[k + 1]!;
    if (rest === 0) {
      beside[k] = first;
      continue;
    }
    const length = Math.sqrt(first * first + rest);
    beside[k] = first > 0 ? -length : length;
    v[k + 1] = first - beside[k]!;
    const scale = 2 / (v[k + 1]! ** 2 + rest);
    scales[k] = scale;
    let along = 0;
    for (let i = k + 1; i < n; i++) {
      let sum = 0;
      for (let j = k + 1, at = i * n + k + 1; j < n; j++, at++) sum += a[at]! * v[j]!;
      w[i] = scale * sum;
      along += w[i]! * v[i]!;
    }
    along *= scale / 2;
    for (let i = k + 1; i < n; i++) w[i]! -= along * v[i]!;
    for (let i = k + 1; i < n; i++) {
      const [x, y] = [v[i]!, w[i]!];
      for (let j = k + 1, at = i * n + k + 1; j < n; j++, at++) a[at]! -= x * w[j]! + y * v[j]!;
    }
  }
  for (let k = Math.max(0, n - 2); k < n; k++) diagonal[k] = a[k * n + k]!;
  if (n > 1) beside[n - 2] = a[(n - 2) * n + n - 1]!;

  const product = new Float64Array(n * n);
  for (let i = 0; i < n; i++) product[i * n + i] = 1;
  for (let k = n - 3; k >= 0; k--) {
    if (scales[k] === 0) continue;
    const v = a.subarray(k * n, (k + 1) * n);
    w.fill(0);
    for (let i = k + 1; i < n; i++) {
      const x = scales[k]! * v[i]!;
      for (let j = k + 1, at = i * n + k + 1; j < n; j++, at++) w[j]! += x * product[at]!;
    }
    for (let i = k + 1; i < n; i++) {
      const x = v[i]!;
      for (let j = k + 1, at = i * n + k + 1; j < n; j++, at++) product[at]! -= x * w[j]!;
    }
  }
  return { diagonal, beside, vectors: transposed(product, n, n) };
}

/** QL steps that one eigenvalue may take; two are usual. */
const MOST_STEPS = 60;

/** Implicit QL: the eigenvalues come to lie in `diagonal`, and each row of `vectors` is turned into that of its eigenvalue. */
function diagonalize(diagonal: Float64Array, beside: Float64Array, vectors: Float64Array, n: number): void {
  const rotations = new Rotations(vectors, n);
  let size = 0;
  for (let i = 0; i < n; i++) size = Math.max(size, Math.abs(diagonal[i]!) + Math.abs(beside[i]!));
  const least = Number.EPSILON * size;
  for (let l = 0; l < n; l++) {
    for (let steps = 0; ; steps++) {
      let m = l;
      while (m < n - 1 && Math.abs(beside[m]!) > least) m++;
      if (m === l) break;
      invariant(steps < MOST_STEPS, () => `an eigenvalue of ${n} did not settle`);
      const slope = (diagonal[l + 1]! - diagonal[l]!) / (2 * beside[l]!);
      const root = Math.sqrt(slope * slope + 1);
      let g = diagonal[m]! - diagonal[l]! + beside[l]! / (slope + (slope < 0 ? -root : root));
      let [sine, cosine, shift] = [1, 1, 0];
      let i = m - 1;
      for (; i >= l; i--) {
        const [f, b] = [sine * beside[i]!, cosine * beside[i]!];
        const r = Math.sqrt(f * f + g * g);
        beside[i + 1] = r;
        if (r === 0) {
          diagonal[i + 1]! -= shift;
          beside[m] = 0;
          break;
        }
        sine = f / r;
        cosine = g / r;
        g = diagonal[i + 1]! - shift;
        const turn = (diagonal[i]! - g) * sine + 2 * cosine * b;
        shift = sine * turn;
        diagonal[i + 1] = g + shift;
        g = cosine * turn - b;
        rotations.push(i, sine, cosine);
      }
      if (i >= l) continue;
      diagonal[l]! -= shift;
      beside[l] = g;
      beside[m] = 0;
    }
  }
  rotations.flush();
}

/** Rotations of neighbouring rows, kept until there are many, and then made in as many columns at a time as stay in the cache. */
class Rotations {
  private readonly rows = new Int32Array(2 ** 16);
  private readonly turns = new Float64Array(2 ** 17);
  private held = 0;

  constructor(
    private readonly matrix: Float64Array,
    private readonly n: number,
  ) {}

  push(row: number, sine: number, cosine: number): void {
    this.rows[this.held] = row;
    this.turns[2 * this.held] = sine;
    this.turns[2 * this.held + 1] = cosine;
    if (++this.held === this.rows.length) this.flush();
  }

  flush(): void {
    const { rows, turns, matrix, n, held } = this;
    const width = Math.max(8, Math.min(n, Math.floor(2 ** 15 / n)));
    for (let from = 0; from < n; from += width) {
      const count = Math.min(width, n - from);
      for (let r = 0; r < held; r++) {
        const [sine, cosine] = [turns[2 * r]!, turns[2 * r + 1]!];
        const upper = rows[r]! * n + from;
        for (let at = upper, end = upper + count; at < end; at++) {
          const [x, y] = [matrix[at]!, matrix[at + n]!];
          matrix[at + n] = sine * x + cosine * y;
          matrix[at] = cosine * x - sine * y;
        }
      }
    }
    this.held = 0;
  }
}

export interface Decomposition {
  /** Squared singular values, the greatest first. */
  readonly energies: Float64Array;
  /** left [m, rank] times right [rank, n] is the nearest matrix of that rank. */
  factors(rank: number): { left: Float64Array; right: Float64Array };
}

/** Singular values and vectors of a [m, n]. */
export function decompose(a: Float64Array, m: number, n: number): Decomposition {
  const isWide = m <= n;
  const across = transposed(a, m, n);
  const size = Math.min(m, n);
  const { values, vectors } = eigen(isWide ? gram(a, m, n) : gram(across, n, m), size);
  return {
    energies: values.map((value) => Math.max(0, value)),
    factors(rank) {
      const top = vectors.subarray(0, rank * size);
      return isWide
        ? { left: transposed(top, rank, m), right: multiply(top, a, rank, m, n) }
        : { left: transposed(multiply(top, across, rank, n, m), rank, m), right: top.slice() };
    },
  };
}

/** The lower triangle L [n, n] of a symmetric, positive a = L Lᵀ [n, n]. */
export function cholesky(a: Float64Array, n: number): Float64Array {
  const lower = new Float64Array(n * n);
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let sum = a[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= lower[i * n + k]! * lower[j * n + k]!;
      lower[i * n + j] = i === j ? Math.sqrt(sum) : sum / lower[j * n + j]!;
      invariant(i !== j || sum > 0, () => `row ${i} of ${n} depends on those before`);
    }
  return lower;
}
