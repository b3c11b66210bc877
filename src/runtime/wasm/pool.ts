/** The session's side of threads: starts them, gives them plans, and runs plans with them where that is quicker. */
import type { Kernel, Pool, SharedCall, SharedCalls } from '../device';
import { Choice } from './choice';
import {
  CALL,
  CLAIM,
  CONTROL_WORDS,
  COUNT,
  claimOf,
  DONE,
  FAILED,
  FIRST,
  type Given,
  isOpen,
  JOINED,
  type Join,
  MOST_CHUNKS,
  type Own,
  PLAN,
  runRows,
  SLEEPING,
  spin,
  takeChunk,
  UNIT,
  WAITING,
} from './team';

/** Another thread, as it is started: its script calls `serveThread`. */
export interface StartedThread {
  postMessage(message: Join | Given): void;
  terminate(): void;
}

/** Starts one; `failed` hears why it cannot be, or that it has died. */
export type Spawn = (failed: (why: string) => void) => StartedThread;

/** How many threads a model may use, the session's own included, and why. */
export interface ThreadLimit {
  count: number;
  why: string;
  /** There where `count` is more than 1. */
  spawn?: Spawn;
}

/** More would have too few chunks each. */
const MOST_THREADS = 16;
const AUTO_THREADS = 4;

/** Whether memory can be shared between threads here. */
export const canShareMemory = (): boolean => typeof SharedArrayBuffer === 'function' && globalThis.crossOriginIsolated === true;

/** As many threads as there are processors, within reason. */
export const autoThreads = (): number => Math.min(AUTO_THREADS, navigator.hardwareConcurrency || 1);

/** What of `asked` threads can be had here. `spawn` is there where this thread may wait for others. */
export function threadLimit(asked: number | 'auto', spawn?: Spawn): ThreadLimit {
  const one = (why: string): ThreadLimit => ({ count: 1, why });
  if (asked === 1) return one('1 thread was asked for');
  if (!spawn) return one("the page's own thread computes, which may not wait for others");
  if (!canShareMemory()) return one('the page is not cross-origin isolated, so that no memory can be shared');
  if (asked !== 'auto') return { count: Math.min(asked, MOST_THREADS), spawn, why: `${asked} threads were asked for` };
  const count = autoThreads();
  return count === 1 ? one('there is 1 processor') : { count, spawn, why: 'there are as many processors, or more' };
}

export interface PoolOptions {
  /** Shares every call that has two rows, in chunks as small as can be, whatever it costs. For tests. */
  always?: boolean;
  /** Milliseconds in which no thread gets a chunk done, after which those that work are given up. Default 10 s. */
  patience?: number;
}

/** Runs that take less, in milliseconds, are not worth a thread. */
const LEAST_RUN_MS = 0.2;
/** A call that takes less, in milliseconds, is not worth being shared. */
const LEAST_CALL_MS = 0.02;
/** What a chunk is to take at least, in milliseconds, and how many a thread are enough. */
const CHUNK_MS = 0.03;
const CHUNKS_A_THREAD = 6;
/** Divided by the heights of all tiles, so that only a call's last chunk is ragged. */
const TILE_ROWS = 12;
const PATIENCE_MS = 10_000;
/** Of one wait. Patience is counted in waits, as time also passes while the whole page is frozen. */
const WAIT_MS = 100;

export class ThreadPool implements Pool {
  /** What the latest plan's runs have shown. */
  prefersShared = true;
  private readonly control = new Int32Array(new SharedArrayBuffer(4 * CONTROL_WORDS));
  private readonly plans = new Map<number, readonly SharedCall[]>();
  private planned = 0;
  private published = 0;
  private threads: StartedThread[] = [];
  private isStarted = false;
  private failure: string | undefined;

  constructor(
    private readonly limit: ThreadLimit,
    private readonly module: WebAssembly.Module,
    private readonly memory: WebAssembly.Memory,
    private readonly kernel: (name: SharedCall['kernel']) => Kernel,
    readonly options: PoolOptions = {},
  ) {}

  get size(): number {
    return this.limit.count;
  }

  /** Threads that are there, the session's own included. */
  get count(): number {
    return this.failure === undefined ? 1 + Atomics.load(this.control, JOINED) : 1;
  }

  get why(): string {
    if (this.failure !== undefined) return this.failure;
    if (!this.isStarted) return `${this.limit.why}, but no run so far has taken ${LEAST_RUN_MS} ms`;
    return this.count < this.size ? `${this.limit.why}; some are being started` : this.limit.why;
  }

  share(calls: readonly SharedCall[]): SharedCalls {
    const plan = this.planned++;
    this.plans.set(plan, calls);
    this.threads.forEach((thread, i) => give(thread, i + 1, plan, calls));
    const own = calls.map(({ kernel, args, rows }): Own => ({ kernel: this.kernel(kernel), args: args(0), rows }));
    const grains = calls.map(({ grain }) => grain);
    return new PooledCalls(this, plan, own, grains);
  }

  /** Other threads need not keep `plan`. */
  take(plan: number): void {
    if (this.plans.delete(plan)) for (const thread of this.threads) thread.postMessage({ plan });
  }

  /** Starts all threads, once. They join when they are ready. */
  start(): void {
    if (this.isStarted || this.failure !== undefined) return;
    this.isStarted = true;
    const { module, memory, control } = this;
    try {
      for (let i = 1; i < this.size; i++) {
        const thread = this.limit.spawn!((why) => this.close(`a thread failed: ${why}`));
        this.threads.push(thread);
        thread.postMessage({ module, memory, control });
        for (const [plan, calls] of this.plans) give(thread, i, plan, calls);
      }
    } catch (error) {
      this.close(`a thread cannot be started: ${error}`);
    }
  }

  /** Ends all threads but the session's own. */
  close(why: string): void {
    this.failure ??= why;
    for (const thread of this.threads) thread.terminate();
    this.threads = [];
  }

  /** Computes a call's rows from `first` on in `count` chunks, with all threads. Returns whether none failed. */
  publish(plan: number, call: number, own: Own, first: number, count: number): boolean {
    const { control } = this;
    Atomics.store(control, DONE, 0);
    Atomics.store(control, PLAN, plan);
    Atomics.store(control, CALL, call);
    Atomics.store(control, FIRST, first);
    Atomics.store(control, COUNT, count);
    Atomics.store(control, UNIT, own.rows - first >= TILE_ROWS * count ? TILE_ROWS : 1);
    this.published = (this.published + 1) | 0;
    Atomics.store(control, CLAIM, claimOf(this.published, count));
    if (Atomics.load(control, SLEEPING)) Atomics.notify(control, CLAIM);
    for (;;) {
      const claim = Atomics.load(control, CLAIM);
      if (!isOpen(claim)) break;
      if (takeChunk(control, claim, own, false)) Atomics.add(control, DONE, 1);
    }
    const isDone = () => Atomics.load(control, DONE) === count;
    if (!spin(isDone) && !this.await(isDone)) return false;
    return Atomics.load(control, FAILED) === 0;
  }

  /** Leaves the processor to others until `isDone`. Returns whether it is. */
  private await(isDone: () => boolean): boolean {
    const { control } = this;
    Atomics.store(control, WAITING, 1);
    const most = (this.options.patience ?? PATIENCE_MS) / WAIT_MS;
    for (let waits = 0; !isDone() && waits < most; ) {
      const done = Atomics.load(control, DONE);
      if (!isDone()) waits = Atomics.wait(control, DONE, done, WAIT_MS) === 'timed-out' ? waits + 1 : 0;
    }
    Atomics.store(control, WAITING, 0);
    return isDone();
  }
}

function give(thread: StartedThread, index: number, plan: number, calls: readonly SharedCall[]): void {
  thread.postMessage({ plan, calls: calls.map(({ kernel, args, rows }) => ({ kernel, args: args(index), rows })) });
}

/** One plan's calls. */
class PooledCalls implements SharedCalls {
  private readonly choice: Choice;
  /** Milliseconds of each call, in one thread; NaN until it was run so. */
  private readonly cost: Float64Array;
  private timed = 0;

  constructor(
    private readonly pool: ThreadPool,
    private readonly plan: number,
    private readonly calls: readonly Own[],
    private readonly grains: readonly number[],
  ) {
    this.choice = new Choice(pool.prefersShared);
    this.cost = new Float64Array(calls.length).fill(Number.NaN);
    if (pool.options.always) pool.start();
  }

  get threads(): number {
    return this.choice.prefersShared ? this.pool.count : 1;
  }

  run(): boolean {
    const { pool, choice } = this;
    const isShared = pool.count > 1 && (pool.options.always || choice.next());
    const start = performance.now();
    if (!isShared) this.runAlone();
    else if (!this.runShared()) {
      pool.close('a thread failed in a run');
      return false;
    }
    const ms = performance.now() - start;
    if (pool.count > 1) {
      choice.record(isShared, ms);
      pool.prefersShared = choice.prefersShared;
    } else if (ms >= LEAST_RUN_MS) pool.start();
    return true;
  }

  release(): void {
    this.pool.take(this.plan);
  }

  /** Each call is timed while that is to tell how to share it. */
  private runAlone(): void {
    const { calls, cost } = this;
    if (this.pool.count === 1 || !this.choice.prefersShared) {
      for (const call of calls) runRows(call, 0, call.rows);
      return;
    }
    const weight = 1 / Math.min(++this.timed, 4);
    let start = performance.now();
    calls.forEach((call, i) => {
      runRows(call, 0, call.rows);
      const end = performance.now();
      const ms = end - start;
      start = end;
      cost[i] = Number.isNaN(cost[i]!) ? ms : cost[i]! + weight * (ms - cost[i]!);
    });
  }

  private runShared(): boolean {
    const { pool, calls, plan } = this;
    return calls.every((call, i) => {
      const { rows } = call;
      const first = pool.options.always || !Number.isNaN(this.cost[i]!) || rows < 2 ? 0 : this.sound(i);
      const count = this.chunks(i, rows - first);
      if (count > 1) return pool.publish(plan, i, call, first, count);
      runRows(call, first, rows);
      return true;
    });
  }

  /** Runs the first rows of a call whose cost is not known, to guess it. Returns how many. */
  private sound(i: number): number {
    const call = this.calls[i]!;
    const rows = Math.ceil(call.rows / 16);
    const start = performance.now();
    runRows(call, 0, rows);
    this.cost[i] = (performance.now() - start) * (call.rows / rows);
    return rows;
  }

  /** Into how many chunks `rows` rows of a call are cut: as many for each thread. */
  private chunks(i: number, rows: number): number {
    const { size, options } = this.pool;
    if (options.always) return Math.min(rows, MOST_CHUNKS);
    const ms = (this.cost[i]! * rows) / this.calls[i]!.rows;
    if (!(ms >= LEAST_CALL_MS)) return 1;
    const each = Math.min(CHUNKS_A_THREAD, ms / CHUNK_MS / size, rows / this.grains[i]! / size);
    return Math.min(rows, MOST_CHUNKS, size * Math.max(1, Math.floor(each)));
  }
}
