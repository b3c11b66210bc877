/** The part of tune.test.ts that runs in the page. */
import type { GpuTraits } from '../../src/ops/define';
import { GpuDevice } from '../../src/runtime/webgpu/device';
import { remember } from '../../src/runtime/webgpu/memory';
import { TEXTS } from '../../src/runtime/webgpu/texts.gen';
import { tune } from '../../src/runtime/webgpu/tune';

/** What a device is like before and after it was measured, and what the next one is like. */
async function measure(): Promise<Record<'before' | 'found' | 'next' | 'forced', GpuTraits>> {
  const first = await GpuDevice.create(TEXTS);
  const found = await tune(first);
  const { traits: next } = await GpuDevice.create(TEXTS);
  await remember(first.name, { isSoftware: false, packedDot: true });
  const { traits: forced } = await GpuDevice.create(TEXTS);
  return { before: first.traits, found, next, forced };
}

Object.assign(globalThis, { measure });
