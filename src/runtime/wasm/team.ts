/**
 * How threads share a run. The thread that owns the session goes through the calls in order; the rows of a call that is
 * worth it are published in chunks, which all threads claim one after the other until none is left. A thread that comes
 * late, or was not given a processor, finds nothing to claim and is not waited for; one that is slow takes fewer chunks.
 *
 * CLAIM holds the number of the published call and how many of its chunks are left, and is only changed by comparing and
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
/** Of the published call: which plan's, its index in it, the first row, rows a chunk, and chunks. The last takes what is left. */
export const PLAN = 1;
export const CALL = 2;
export const FIRST = 3;
export const STEP = 4;
export const COUNT = 5;
export const CONTROL_WORDS = 96;

/** CLAIM = number of the call << CHUNK_BITS | chunks that are left. */
export const CHUNK_BITS = 6;
export const MOST_CHUNKS = (1 << CHUNK_BITS) - 1;

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

/** Claims and computes a chunk of `own`, the published call, when `claim` is still the state of CLAIM. */
export function takeChunk(control: Int32Array, claim: number, own: Own): boolean {
  const first = Atomics.load(control, FIRST);
  const step = Atomics.load(control, STEP);
  const count = Atomics.load(control, COUNT);
  if (Atomics.compareExchange(control, CLAIM, claim, claim - 1) !== claim) return false;
  const chunk = (claim & MOST_CHUNKS) - 1;
  runRows(own, first + chunk * step, chunk === count - 1 ? own.rows : first + (chunk + 1) * step);
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
      if ((claim & MOST_CHUNKS) === 0) {
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
        if (!takeChunk(control, claim, own)) continue;
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
