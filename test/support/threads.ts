/** Threads in Node: real ones, whose script is the runtime's own, and a pool that splits calls without any. */
import { Worker } from 'node:worker_threads';
import type { Device, Pool } from '../../src/runtime/device';
import type { Spawn } from '../../src/runtime/wasm/pool';
import { bundled } from './page';

/** Starts threads that run a page module, by default the thread that `serveThread` makes. */
export async function nodeSpawn(entry = 'test/support/thread.ts'): Promise<Spawn> {
  const script = await bundled(entry);
  return (failed) => {
    const thread = new Worker(script, { eval: true });
    thread.unref();
    thread.on('error', (error) => failed(error.message));
    return { postMessage: (message) => thread.postMessage(message), terminate: () => void thread.terminate() };
  };
}

/**
 * `device` with calls cut into single rows, the last one first, which two threads' scratch serves by turns: what threads do
 * at the worst, and the same each time.
 */
export function splitting(device: Device): Device {
  const pool: Pool = {
    size: 2,
    share: (calls) => ({
      threads: 2,
      run() {
        for (const { kernel, args, rows } of calls)
          for (let row = rows - 1; row >= 0; row--) device.kernel(kernel)(...args(row % 2).slice(0, -2), row, row + 1);
        return true;
      },
      release() {},
    }),
  };
  return new Proxy(device, {
    get: (target, key) => {
      if (key === 'pool') return pool;
      const value = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
