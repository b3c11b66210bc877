/** The part of ops.test.ts that runs in the page: every case on the WASM device that this browser gets. */
import { WaferError } from '../../src/core/errors';
import { Session } from '../../src/runtime/session';
import { binaries } from '../../src/runtime/wasm/binaries';
import { WasmDevice } from '../../src/runtime/wasm/device';
import { allCases, buildCase, mismatch } from '../support/cases';

export interface PageResult {
  /** Of the device. */
  description: string;
  /** What is wrong, by the case's address; empty text where nothing is. */
  results: Record<string, string>;
}

async function runCases(build?: 'base' | 'relaxed'): Promise<PageResult> {
  const device = await WasmDevice.create(binaries(), build);
  const results: Record<string, string> = {};
  for (const c of allCases())
    try {
      const built = buildCase(c);
      results[c.address] = mismatch(built, c.offline, new Session(built.graph, device, { guard: true }).run(built.inputs)) ?? '';
    } catch (error) {
      results[c.address] = error instanceof WaferError ? `${error.code}: ${error.message}` : String((error as Error).stack);
    }
  return { description: `${device.build} build, dot ${device.dot} (${device.why})`, results };
}

Object.assign(globalThis, { runCases });
