/**
 * Whether a plan's runs are shared between threads: by measurement, all the time, as what the other processors have to do
 * changes. The quicker way is used; the other is tried again so rarely that trying costs a few percent.
 */

/** Share of a new run time in the moving estimate. */
const WEIGHT = 0.2;
/** A time counts as at most so many times the estimate: a page that was asleep says nothing about threads. */
const MOST = 4;
/** Runs each way before the choice is made. */
const TRIALS = 3;
/** Time that trying the other way may cost, as a share of all. */
const COST = 0.02;
const LEAST_INTERVAL = 16;
/** Threads that gain less are left alone. */
const GAIN = 0.95;

interface Estimate {
  ms: number;
  runs: number;
}

export class Choice {
  private readonly alone: Estimate = { ms: 0, runs: 0 };
  private readonly shared: Estimate = { ms: 0, runs: 0 };
  private sinceTrial = 0;
  private interval = LEAST_INTERVAL;

  /** `startsShared`: what is tried first. */
  constructor(private readonly startsShared: boolean) {}

  /** Whether sharing is the quicker way, as far as is known. */
  get prefersShared(): boolean {
    if (Math.min(this.alone.runs, this.shared.runs) === 0) return this.startsShared;
    return this.shared.ms < GAIN * this.alone.ms;
  }

  /** Whether the next run is to be shared. */
  next(): boolean {
    const { alone, shared } = this;
    if (Math.min(alone.runs, shared.runs) < TRIALS)
      return this.startsShared ? shared.runs <= alone.runs : shared.runs < alone.runs;
    const isTrial = this.sinceTrial >= this.interval;
    return this.prefersShared !== isTrial;
  }

  /** A run took `ms`. */
  record(isShared: boolean, ms: number): void {
    const estimate = isShared ? this.shared : this.alone;
    // What comes before kernels are optimised, and threads awake, is no measure of what comes after.
    if (estimate.runs++ < TRIALS) estimate.ms = estimate.runs === 1 ? ms : Math.min(estimate.ms, ms);
    else estimate.ms += WEIGHT * (Math.min(ms, MOST * estimate.ms) - estimate.ms);
    if (isShared === this.prefersShared) this.sinceTrial++;
    else {
      this.sinceTrial = 0;
      const [used, other] = this.prefersShared ? [this.shared.ms, this.alone.ms] : [this.alone.ms, this.shared.ms];
      this.interval = Math.max(LEAST_INTERVAL, Math.ceil((other / used - 1) / COST));
    }
  }
}
