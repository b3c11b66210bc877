/**
 * What calibration sees of one value: its range and a histogram that widens as larger numbers arrive, so that one pass
 * over the samples is enough.
 */
import { WaferError } from '../../core/errors';

const HALF = 4096;

export class Histogram {
  min = Number.POSITIVE_INFINITY;
  max = Number.NEGATIVE_INFINITY;
  count = 0;
  /** Bins of equal width over [-limit, limit); their number never changes, the limit doubles. */
  private limit = 2 ** -10;
  private bins = new Float64Array(2 * HALF);

  /** Throws VALUE on NaN or infinity. */
  add(data: Float32Array): void {
    let { min, max } = this;
    for (let i = 0; i < data.length; i++) {
      const x = data[i]!;
      if (x < min) min = x;
      if (x > max) max = x;
      if (x - x !== 0) throw new WaferError('VALUE', `a calibration run computed ${x}`, { hint: 'check the calibration inputs' });
    }
    if (data.length === 0) return;
    this.min = min;
    this.max = max;
    this.count += data.length;
    while (this.limit <= Math.max(-min, max)) this.widen();
    const { bins } = this;
    const scale = HALF / this.limit;
    for (let i = 0; i < data.length; i++) bins[Math.floor(data[i]! * scale) + HALF]!++;
  }

  /** Joins values that must share one quantisation. */
  merge(other: Histogram): void {
    this.min = Math.min(this.min, other.min);
    this.max = Math.max(this.max, other.max);
    this.count += other.count;
    while (this.limit < other.limit) this.widen();
    const ratio = other.limit / this.limit;
    other.bins.forEach((n, i) => {
      this.bins[Math.floor((i - HALF + 0.5) * ratio) + HALF]! += n;
    });
  }

  private widen(): void {
    const wide = new Float64Array(2 * HALF);
    this.bins.forEach((n, i) => {
      wide[((i - HALF) >> 1) + HALF]! += n;
    });
    this.bins = wide;
    this.limit *= 2;
  }

  /** Centre of bin i and its count, from below. */
  *entries(): Generator<readonly [centre: number, count: number]> {
    const width = this.limit / HALF;
    for (let i = 0; i < 2 * HALF; i++) if (this.bins[i]) yield [(i - HALF + 0.5) * width, this.bins[i]!];
  }
}
