/** A device that records calls instead of running them: what a plan would do can be tested where nothing can run. */
import type { DotKind } from '../../ops/define';
import type { KernelName } from '../../ops/kernels.gen';
import type { Device, Kernel } from '../device';

export interface Recorded {
  kernel: KernelName;
  args: readonly number[];
}

export class NullDevice implements Device {
  readonly kind = 'null';
  readonly build: 'base' | 'relaxed';
  readonly why = 'nothing runs on the null device';
  readonly heapBase = 1024;
  readonly threads = { count: 1, why: 'nothing runs on the null device' };
  /** Every kernel call so far, packing included. */
  readonly calls: Recorded[] = [];
  buffer = new ArrayBuffer(this.heapBase);

  constructor(readonly dot: DotKind) {
    this.build = dot === 'i16' ? 'base' : 'relaxed';
  }

  reserve(bytes: number): void {
    if (bytes <= this.buffer.byteLength) return;
    const grown = new ArrayBuffer(bytes);
    new Uint8Array(grown).set(new Uint8Array(this.buffer));
    this.buffer = grown;
  }

  dispose(): void {}

  kernel(name: KernelName): Kernel {
    return (...args) => void this.calls.push({ kernel: name, args });
  }
}
