/** What this browser and page can do for a model. */
import { autoThreads, canShareMemory } from './wasm/pool';
import { probeDot } from './wasm/probe';
import { hasWebgpu } from './webgpu/device';

export interface Capabilities {
  /** Whether WASM may be compiled in this thread, and why not. */
  wasm: boolean;
  /** Whether its relaxed byte dot is exact here: the fast int8 kernels. */
  relaxed: boolean;
  /** What the probe found, in words. */
  why: string;
  worker: boolean;
  /** Whether memory can be shared between threads. */
  sharedMemory: boolean;
  /** How many threads models may use by default. */
  threads: number;
  /** Whether the browser has WebGPU; whether it finds a GPU too, `load` and `explain()` tell. */
  webgpu: boolean;
}

/** (module): compiling it shows whether the page's policy lets anything be compiled. */
const EMPTY = new Uint8Array([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]);

/** Never throws. */
export function capabilities(): Capabilities {
  const worker = typeof Worker === 'function';
  const sharedMemory = canShareMemory();
  const rest = {
    ...{ worker, sharedMemory, threads: worker && sharedMemory ? autoThreads() : 1 },
    webgpu: hasWebgpu(),
  };
  try {
    new WebAssembly.Module(EMPTY);
    const { dot, why } = probeDot();
    return { wasm: true, relaxed: dot !== 'i16', why, ...rest };
  } catch (error) {
    return { wasm: false, relaxed: false, why: String(error), ...rest };
  }
}
