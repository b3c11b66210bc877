/**
 * What calibration saw of the rows that a product multiplies with its weights: their mean and, in blocks of columns, their
 * covariance. It says how a rounding error of one weight is made good by the weights after it.
 */
/** Columns that are looked at together. More cost time that grows with their square, and bring little. */
const BLOCK = 512;
/** Added to the diagonal, as a share of its mean, so that errors are not spread over what was hardly ever seen. */
const DAMPING = 0.01;
/** Rows kept until they are added up. */
const PENDING = 64;

/** Columns of a row whose covariance is known, in the order in which they are rounded. */
export interface ColumnBlock {
  readonly columns: Int32Array;
  solved(): Solved;
}

/** What the covariance of n columns says about rounding them. */
export interface Solved {
  /** [n][n]. */
  readonly covariance: Float32Array;
  /**
   * [n][n]: element (i, j), j > i, is what weight j must change by when weight i changes by 1, so that over the rows that
   * calibration saw the product changes the least.
   */
  readonly spread: Float32Array;
  /** [n]: the variance of each column that those after it do not explain. */
  readonly alone: Float64Array;
}

/** The rows of one group of a product. */
export class Covariance {
  readonly blocks: readonly (ColumnBlock & { add(rows: Float32Array, count: number): void })[];
  private readonly sums: Float64Array;
  private readonly pending: Float32Array;
  private held = 0;
  private count = 0;

  /** Rows are [taps][depth]; a block holds all taps of its channels, which see neighbouring pixels and are much alike. */
  constructor(taps: number, depth: number) {
    const size = taps * depth;
    this.sums = new Float64Array(size);
    this.pending = new Float32Array(size * PENDING);
    const channels = Math.max(1, Math.floor(BLOCK / taps));
    const counts = Array.from({ length: Math.ceil(depth / channels) }, (_, b) => Math.min(channels, depth - b * channels));
    this.blocks = counts.map((n, b) => {
      const columns = Int32Array.from({ length: n * taps }, (_, i) => (i % taps) * depth + b * channels + Math.floor(i / taps));
      return new Block(columns, size, () => this.settled());
    });
  }

  /** The row that is written next; it counts once `push` is called. */
  get next(): Float32Array {
    const size = this.sums.length;
    return this.pending.subarray(this.held * size, (this.held + 1) * size);
  }

  push(): void {
    if (++this.held === PENDING) this.flush();
  }

  /** Mean of each element of a row; 0 when none was seen. */
  mean(): Float64Array {
    this.flush();
    return this.sums.map((sum) => sum / Math.max(1, this.count));
  }

  private settled() {
    this.flush();
    return { sums: this.sums, count: this.count };
  }

  private flush(): void {
    const { sums, pending, held } = this;
    for (let at = 0; at < held * sums.length; ) for (let i = 0; i < sums.length; i++) sums[i]! += pending[at++]!;
    for (const block of this.blocks) block.add(pending, held);
    this.count += held;
    this.held = 0;
  }
}

class Block implements ColumnBlock {
  /** [n][n], upper triangle: sums of products. */
  private products: Float64Array | undefined;
  private ready: Solved | undefined;

  constructor(
    readonly columns: Int32Array,
    private readonly rowSize: number,
    private readonly settled: () => { sums: Float64Array; count: number },
  ) {
    this.products = new Float64Array(columns.length ** 2);
  }

  add(rows: Float32Array, count: number): void {
    const { columns, rowSize } = this;
    const products = this.products!;
    const n = columns.length;
    // Four rows at a time, so that each sum is loaded and stored once for four products.
    const four = new Float64Array(4 * n);
    for (let row = 0; row < count; row += 4) {
      for (let r = 0; r < 4; r++)
        for (let i = 0; i < n; i++) four[4 * i + r] = row + r < count ? rows[(row + r) * rowSize + columns[i]!]! : 0;
      for (let i = 0; i < n; i++) {
        const [a, b, c, d] = [four[4 * i]!, four[4 * i + 1]!, four[4 * i + 2]!, four[4 * i + 3]!];
        if (a === 0 && b === 0 && c === 0 && d === 0) continue;
        for (let j = i, at = i * n + i; j < n; j++, at++)
          products[at]! += a * four[4 * j]! + b * four[4 * j + 1]! + c * four[4 * j + 2]! + d * four[4 * j + 3]!;
      }
    }
  }

  solved(): Solved {
    if (!this.ready) {
      const { sums, count } = this.settled();
      this.ready = solve(this.covariance(sums, Math.max(1, count)), this.columns.length);
      this.products = undefined;
    }
    return this.ready;
  }

  private covariance(sums: Float64Array, count: number): Float64Array {
    const { columns } = this;
    const n = columns.length;
    const mean = (i: number) => sums[columns[i]!]! / count;
    const covariance = this.products!;
    let trace = 0;
    for (let i = 0; i < n; i++) {
      for (let j = i; j < n; j++) covariance[i * n + j] = covariance[i * n + j]! / count - mean(i) * mean(j);
      trace += covariance[i * n + i]!;
    }
    const damping = trace > 0 ? (DAMPING * trace) / n : 1;
    for (let i = 0; i < n; i++) covariance[i * n + i]! += damping;
    return covariance;
  }
}

/**
 * With the covariance A = R Rᵀ, R upper triangular, row i of R⁻¹ over its diagonal element is the answer (the Cholesky
 * form of optimal brain surgery's step, Frantar et al. 2023). `upper`: A's upper triangle, n by n; it is overwritten.
 */
function solve(upper: Float64Array, n: number): Solved {
  const covariance = new Float32Array(n * n);
  for (let i = 0; i < n; i++) for (let j = i; j < n; j++) covariance[i * n + j] = covariance[j * n + i] = upper[i * n + j]!;
  for (let j = n - 1; j >= 0; j--) {
    let square = upper[j * n + j]!;
    for (let k = j + 1; k < n; k++) square -= upper[j * n + k]! ** 2;
    const pivot = Math.sqrt(Math.max(square, 1e-30));
    upper[j * n + j] = pivot;
    for (let i = 0; i < j; i++) {
      let sum = upper[i * n + j]!;
      for (let k = j + 1; k < n; k++) sum -= upper[i * n + k]! * upper[j * n + k]!;
      upper[i * n + j] = sum / pivot;
    }
  }
  const spread = new Float32Array(n * n);
  const row = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    // x R = e_i from left to right, scaled so that element i is 1.
    row.fill(0);
    row[i] = 1;
    for (let k = i; k < n; k++) {
      if (k > i) row[k]! /= upper[k * n + k]!;
      const x = row[k]!;
      for (let j = k + 1; j < n; j++) row[j]! -= x * upper[k * n + j]!;
    }
    for (let j = i; j < n; j++) spread[i * n + j] = row[j]!;
  }
  return { covariance, spread, alone: Float64Array.from({ length: n }, (_, i) => upper[i * n + i]! ** 2) };
}
