/**
 * What a session needs of a device: one linear memory and kernels called with addresses in it. Plans know no more than
 * this, so that they can be tested on the null device.
 */
import type { DotKind } from '../ops/define';
import type { KernelName } from '../ops/kernels.gen';

/** Called with addresses and numbers, the last two being the range of rows. */
export type Kernel = (...args: number[]) => void;

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
}
