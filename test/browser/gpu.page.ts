/** The part of ops.test.ts that runs in the page: every case on this browser's GPU. */
import { WaferError } from '../../src/core/errors';
import type { Precision } from '../../src/core/half';
import { GpuDevice } from '../../src/runtime/webgpu/device';
import { GpuSession } from '../../src/runtime/webgpu/session';
import { TEXTS } from '../../src/runtime/webgpu/texts.gen';
import { allCases, buildCase, mismatch } from '../support/cases';

export interface GpuPageResult {
  /** Of the GPU. */
  description: string;
  /** What is wrong, by the case's address; empty text where nothing is. */
  results: Record<string, string>;
}

/** In `precision`, which the browser must have. With `packed`, products of bytes are WGSL's packed dot, which no software GPU is given otherwise. */
async function runCases(
  featureLevel: 'core' | 'compatibility',
  packed = false,
  pattern = '',
  precision: Precision = 'f32',
): Promise<GpuPageResult> {
  const own = await GpuDevice.create(TEXTS, { featureLevel });
  // One that sessions do not end.
  const gpu = await GpuDevice.create(TEXTS, { device: own.device });
  // Both GPUs are software: shaders in the forms that they have on hardware run on one of them.
  Object.assign(gpu, { traits: { isSoftware: featureLevel === 'core' && !packed, packedDot: packed } });
  const results: Record<string, string> = {};
  for (const c of allCases().filter(({ address }) => address.includes(pattern)))
    try {
      const built = buildCase(c, precision);
      const session = new GpuSession(built.graph, gpu, () => Promise.resolve(gpu), precision);
      let wrong = mismatch(built, c.offline, await session.run(built.inputs), precision);
      // Buffers hold the first run's values now.
      wrong ??= mismatch(built, c.offline, await session.run(built.inputs), precision);
      if (session.precision !== precision) wrong ??= session.explain().why;
      results[c.address] = wrong ?? '';
      session.dispose();
    } catch (error) {
      results[c.address] = error instanceof WaferError ? `${error.code}: ${error.message}` : String((error as Error).stack);
    }
  own.dispose();
  return { description: own.name, results };
}

Object.assign(globalThis, { runCases });
