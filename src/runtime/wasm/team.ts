/**
 * How threads share a run. The thread that owns the session goes through the calls in order; the rows of a call that is
 * worth it are published in chunks, which all threads claim one after the other until none is left. A thread that comes
 * late, or was not given a processor, finds nothing to claim and is not waited for; one that is slow takes fewer chunks.
 *
 * The session's thread takes chunks from a call's first row on, the others from its last one back, so that mostly a thread
 * reads what it has itself written in the call before, and has in its cache.
 *
 * CLAIM holds the number of the published call and which of its chunks are left, and is only changed by comparing and
 * exchanging it as a whole. Whoever claims a chunk has thus read the words of that call, as they change only once all its
 * chunks are done.
 */
import type { KernelName } from '../../ops/kernels.gen';
import type { Kernel } from '../device';

/** Indices of the control block's words, those that different threads write in lines of their own. */
export const CLAIM = 0;
/** Chunks that are done. */
export const DONE = 16;
/** How many threads wait for CLAIM to change. */
export const SLEEPING = 32;
/** Whether the session's own thread waits for DONE to change. */
export const WAITING = 48;
/** How many other threads are ready. */
export const JOINED = 64;
/** Whether a kernel failed in another thread. */
export const FAILED = 80;
/** Of the published call: which plan's, its index in it, its first row that is shared, how many chunks, and what their ends are multiples of. */
export const PLAN = 1;
export const CALL = 2;
export const FIRST = 3;
export const COUNT = 4;
export const UNIT = 5;
export const CONTROL_WORDS = 96;

/** CLAIM = number of the call | end of the chunks that are left | first of them, the latter two of so many bits. */
const CHUNK_BITS = 5;
export const MOST_CHUNKS = (1 << CHUNK_BITS) - 1;

/** CLAIM when none of a call's chunks is taken. */
export const claimOf = (call: number, count: number): number => (call << (2 * CHUNK_BITS)) | (count << CHUNK_BITS);

/** Whether chunks are left. */
export const isOpen = (claim: number): boolean => (claim & MOST_CHUNKS) < ((claim >> CHUNK_BITS) & MOST_CHUNKS);

/** What the session's thread sends to the others: `Join` once, then plans as they are bound. */
export interface Join {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  control: Int32Array;
}
export interface Given {
  plan: number;
  /** With the receiving thread's own scratch; the last two arguments are set for each chunk. Undefined takes the plan back. */
  calls?: readonly { kernel: KernelName; args: number[]; rows: number }[];
}

/** A call as a thread runs it. */
export interface Own {
  readonly kernel: Kernel;
  readonly args: number[];
  readonly rows: number;
}

/** Computes rows [from, to). */
export function runRows({ kernel, args }: Own, from: number, to: number): void {
  args[args.length - 2] = from;
  args[args.length - 1] = to;
  kernel.apply(undefined, args);
}

/**
 * Claims and computes a chunk of `own`, the published call, when `claim` is still the state of CLAIM: the last one that is
 * left, or the first.
 */
export function takeChunk(control: Int32Array, claim: number, own: Own, isLast: boolean): boolean {
  const first = Atomics.load(control, FIRST);
  const count = Atomics.load(control, COUNT);
  const unit = Atomics.load(control, UNIT);
  const next = isLast ? claim - (1 << CHUNK_BITS) : claim + 1;
  if (Atomics.compareExchange(control, CLAIM, claim, next) !== claim) return false;
  const chunk = isLast ? (next >> CHUNK_BITS) & MOST_CHUNKS : claim & MOST_CHUNKS;
  const start = (at: number) => first + unit * Math.floor(((own.rows - first) * at) / (count * unit));
  runRows(own, start(chunk), chunk + 1 === count ? own.rows : start(chunk + 1));
  return true;
}

/**
 * How long threads look again before they wait: about what waking one costs. Waiting leaves the processor to others,
 * perhaps to the very thread that is waited for.
 */
const SPIN_MS = 0.05;
const LOOKS = 32;

/** Looks until `isReady` or SPIN_MS have passed; returns whether it is. */
export function spin(isReady: () => boolean): boolean {
  if (isReady()) return true;
  for (const end = performance.now() + SPIN_MS; performance.now() < end; )
    for (let look = 0; look < LOOKS; look++) if (isReady()) return true;
  return false;
}

/** What is used of a DedicatedWorkerGlobalScope. */
export interface ThreadScope {
  onmessage: ((event: { data: Join | Given }) => void) | null;
}

/** By this name a worker knows that it is to be one more thread. */
export const THREAD_NAME = 'wafer-thread';

/**
 * The whole of another thread. Messages cannot be received while it works or waits, so it goes back to them when a call
 * of a plan is published that it does not know: the plan was sent before.
 */
export function serveThread(scope: ThreadScope): void {
  const plans = new Map<number, readonly Own[]>();
  let joined: { control: Int32Array; kernels: Readonly<Record<string, Kernel>> } | undefined;

  function work(control: Int32Array): void {
    for (;;) {
      const claim = Atomics.load(control, CLAIM);
      if (!isOpen(claim)) {
        if (spin(() => Atomics.load(control, CLAIM) !== claim)) continue;
        Atomics.add(control, SLEEPING, 1);
        Atomics.wait(control, CLAIM, claim);
        Atomics.sub(control, SLEEPING, 1);
        continue;
      }
      const calls = plans.get(Atomics.load(control, PLAN));
      if (!calls) return;
      const own = calls[Atomics.load(control, CALL)];
      if (!own) continue;
      let failure: unknown;
      try {
        if (!takeChunk(control, claim, own, true)) continue;
      } catch (error) {
        Atomics.store(control, FAILED, 1);
        failure = error;
      }
      Atomics.add(control, DONE, 1);
      if (Atomics.load(control, WAITING)) Atomics.notify(control, DONE);
      if (failure) throw failure;
    }
  }

  scope.onmessage = ({ data }) => {
    if ('module' in data) {
      const { exports } = new WebAssembly.Instance(data.module, { env: { memory: data.memory } });
      joined = { control: data.control, kernels: exports as Record<string, Kernel> };
      Atomics.add(data.control, JOINED, 1);
    } else if (data.calls) {
      const own = data.calls.map(({ kernel, ...call }): Own => ({ kernel: joined!.kernels[kernel]!, ...call }));
      plans.set(data.plan, own);
    } else plans.delete(data.plan);
    if (joined) work(joined.control);
  };
}
