/**
 * What a session needs of a device: one linear memory and kernels called with addresses in it. Plans know no more than
 * this, so that they can be tested on the null device.
 */
import type { DotKind } from '../ops/define';
import type { KernelName } from '../ops/kernels.gen';

/** Called with addresses and numbers, the last two being the range of rows. */
export type Kernel = (...args: number[]) => void;

/** A call with addresses, for each thread those of its own scratch. */
export interface SharedCall {
  readonly kernel: KernelName;
  /** Thread 0 is the session's own. */
  args(thread: number): number[];
  readonly rows: number;
  /** Rows at a time that are worth it. */
  readonly grain: number;
}

/** A plan's calls, ready to be run by several threads. */
export interface SharedCalls {
  /** How many threads the next runs use, as far as is known. */
  readonly threads: number;
  /** Runs all calls in order. False where a thread failed underway: inputs must be written again, and the next try is alone. */
  run(): boolean;
  release(): void;
}

/** Threads that share the rows of calls. */
export interface Pool {
  /** How many there may be, the session's own included. */
  readonly size: number;
  share(calls: readonly SharedCall[]): SharedCalls;
}

export interface Device {
  readonly kind: 'wasm' | 'null';
  /** Which binary runs: `relaxed` has the relaxed byte dot, `base` is plain SIMD128. */
  readonly build: 'base' | 'relaxed';
  readonly dot: DotKind;
  /** Why this build and dot were chosen, for `explain()`. */
  readonly why: string;
  /** First byte that the device does not use itself. Plans own everything from here on. */
  readonly heapBase: number;
  /** The memory; a new object after `reserve`. */
  readonly buffer: ArrayBuffer;
  /** Makes [0, bytes) addressable and keeps the contents. Throws MEMORY. */
  reserve(bytes: number): void;
  kernel(name: KernelName): Kernel;
  /** Other threads that compute; none where there may be one only. */
  readonly pool?: Pool | undefined;
  /** How many threads compute now, this one included, and why no more. */
  readonly threads: { readonly count: number; readonly why: string };
  /** Ends other threads. The memory goes when nothing holds the device any more. */
  dispose(): void;
}
