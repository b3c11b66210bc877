/** The part of ops.test.ts that runs in the page: every case on this browser's GPU. */
import { WaferError } from '../../src/core/errors';
import type { Precision } from '../../src/core/half';
import { GpuDevice } from '../../src/runtime/webgpu/device';
import { GpuSession } from '../../src/runtime/webgpu/session';
import { TEXTS } from '../../src/runtime/webgpu/texts.gen';
import { allCases, buildCase, mismatch, type OpCase } from '../support/cases';

export interface GpuPageResult {
  /** Of the GPU. */
  description: string;
  /** What is wrong, by the case's address; empty text where nothing is. */
  results: Record<string, string>;
}

export interface GpuRunOptions {
  featureLevel?: 'core' | 'compatibility';
  /** Whether products of bytes are WGSL's packed dot, which no software GPU is given otherwise. */
  packed?: boolean;
  /** What floats are stored as. Default `f32`. */
  precision?: Precision;
  /** Cases that run at a time: more than one where the browser makes answers wait. */
  atOnce?: number;
  /** Part of the cases' addresses. */
  pattern?: string;
}

async function runCases(options: GpuRunOptions): Promise<GpuPageResult> {
  const { featureLevel = 'core', packed = false, precision = 'f32', atOnce = 1, pattern = '' } = options;
  const own = await GpuDevice.create(TEXTS, { featureLevel });
  // One that sessions do not end.
  const gpu = await GpuDevice.create(TEXTS, { device: own.device });
  // All GPUs of tests are software: shaders in the forms that they have on hardware run on one of them.
  Object.assign(gpu, { traits: { isSoftware: featureLevel === 'core' && !packed, packedDot: packed } });
  const results: Record<string, string> = {};
  const cases = allCases()
    .filter(({ address }) => address.includes(pattern))
    .values();
  const one = async () => {
    for (const c of cases) results[c.address] = await faultOf(c, gpu, precision);
  };
  await Promise.all(Array.from({ length: atOnce }, one));
  own.dispose();
  return { description: own.name, results };
}

async function faultOf(c: OpCase, gpu: GpuDevice, precision: Precision): Promise<string> {
  try {
    const built = buildCase(c, precision);
    const session = new GpuSession(built.graph, gpu, () => Promise.resolve(gpu), precision);
    let wrong = mismatch(built, c.offline, await session.run(built.inputs), precision);
    // Buffers hold the first run's values now.
    wrong ??= mismatch(built, c.offline, await session.run(built.inputs), precision);
    if (session.precision !== precision) wrong ??= session.explain().why;
    session.dispose();
    return wrong ?? '';
  } catch (error) {
    return error instanceof WaferError ? `${error.code}: ${error.message}` : String((error as Error).stack);
  }
}

Object.assign(globalThis, { runCases });
