/** The sample picture read on WebGPU as on WASM, by the demo's pipeline over the fp32 files: from the picture in a texture to text. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Stage, stages } from '../../demo/ocr/read';
import { gpuFlags } from '../../scripts/browser';
import { packed } from '../../scripts/pack-ocr';
import { type ApiPage, openApiPage } from '../support/page';
import { toBase64 } from '../support/sent';
import type { GpuCalls } from './gpu.page';

let page: ApiPage<GpuCalls>;
let files: Record<Stage, string>;

beforeAll(async () => {
  page = await openApiPage('test/demo/gpu.page.ts', gpuFlags('core'));
  const made = await Promise.all(stages.map(async (stage) => [stage, toBase64(await packed(stage))] as const));
  files = Object.fromEntries(made) as Record<Stage, string>;
});
afterAll(() => page?.close());

test('demo/webgpu reads as WASM does, and only outputs leave the GPU', async () => {
  const picture = readFileSync('demo/ocr/sample.png', 'base64');
  const wasm = await page.call.readWith('wasm', files, picture);
  const gpu = await page.call.readWith('webgpu', files, picture);
  expect(wasm.devices).toEqual(['wasm', 'wasm', 'wasm']);
  expect(gpu.devices).toEqual(['webgpu', 'webgpu', 'webgpu']);
  expect(gpu.texts).toEqual(wasm.texts);
  expect(gpu.texts).toHaveLength(16);
  expect(gpu.turned).toEqual(['Please turn me over']);
  expect(wasm.traffic).toMatchObject({ buffers: 0, pixels: 4 * 640 * 720, copies: 0 });
  const { outputs } = gpu.traffic;
  // Each of the three networks has the picture in a texture of its own, once.
  expect(gpu.traffic).toEqual({ outputs, buffers: outputs, pixels: 0, copies: 3 });
});
