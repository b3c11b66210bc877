/**
 * Firefox, whose WebGPU reads WGSL with another compiler than Chromium's and has 16-bit floats on software too: every operator's cases
 * in both precisions, and whole models and pages in 16 bits. `npm run test:gpu`; what is not there is skipped by name.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { Page } from 'puppeteer-core';
import { afterAll, expect, test } from 'vitest';
import { readWafer } from '../../src/format/reader';
import { compare } from '../../src/packer/evaluate/compare';
import { wasmEngine } from '../../src/packer/evaluate/engine';
import { pack } from '../../src/packer/pack';
import { gpuTolerance } from '../../src/runtime/golden';
import { binaries } from '../../src/runtime/wasm/binaries';
import type { GpuPageResult, GpuRunOptions } from '../browser/gpu.page';
import { launchFirefox } from '../engines/drivers';
import { files, SKIPS, samplesOf } from '../models/models';
import type { ModelCalls } from '../models/models.page';
import { allCases } from '../support/cases';
import { bundled, openSecurePage } from '../support/page';
import { receiveAll, sendAll, toBase64 } from '../support/sent';

const browser = await launchFirefox({ 'dom.webgpu.enabled': true, 'gfx.webgpu.ignore-blocklist': true });
afterAll(() => browser?.close());

/** What of Firefox is not here; empty where all is. */
async function lacking(): Promise<string> {
  if (!browser) return 'firefox is not installed';
  const page = await openSecurePage(browser);
  const features = await page.evaluate('navigator.gpu?.requestAdapter().then((adapter) => adapter && [...adapter.features])');
  await page.close();
  if (!features) return 'firefox finds no GPU, not even of software (Debian: mesa-vulkan-drivers)';
  return (features as string[]).includes('shader-f16') ? '' : 'firefox’s GPU has no 16-bit floats';
}

const missing = await lacking();
if (missing) test.skip(`gpu/${missing}`, () => {});

/** Answers wait for a timer in Firefox: many cases at a time wait together. */
const atOnce = 16;
const WAYS: Readonly<Record<string, GpuRunOptions>> = {
  'firefox-f32': { precision: 'f32', atOnce },
  'firefox-f16': { precision: 'f16', atOnce },
  'firefox-f32-packed': { precision: 'f32', packed: true, atOnce },
  'firefox-f16-packed': { precision: 'f16', packed: true, atOnce },
};

const LIMIT_MS = 300_000;

async function pageWith(script: string): Promise<Page> {
  const page = await openSecurePage(browser!);
  page.setDefaultTimeout(LIMIT_MS);
  await page.addScriptTag({ path: 'dist/wafer.min.js' });
  await page.addScriptTag({ content: await bundled(script) });
  return page;
}

const runs = new Map<string, Promise<GpuPageResult>>();
let turn: Promise<unknown> = Promise.resolve();

/** Runs all cases in one way once, whichever test asks first; one way at a time. */
function resultsIn(way: string): Promise<GpuPageResult> {
  let run = runs.get(way);
  if (!run) {
    run = turn.then(async () => {
      const page = await pageWith('test/browser/gpu.page.ts');
      const results = (await page.evaluate(`runCases(${JSON.stringify(WAYS[way])})`)) as GpuPageResult;
      await page.close();
      return results;
    });
    runs.set(way, run);
    turn = run.catch(() => undefined);
  }
  return run;
}

for (const way of missing ? [] : Object.keys(WAYS))
  for (const { address } of allCases().filter(({ op }) => op.webgpu))
    test(`${address};device=${way}`, { timeout: LIMIT_MS }, async () => {
      expect((await resultsIn(way)).results[address]).toBe('');
    });

/** Small ones, of floats and of levels. */
const MODELS = ['face_detection_front_128x128_barracuda.onnx', 'mobilenet_v2.onnx', 'mobilenet_v2_1.0_224.onnx'];

for (const file of files.filter((path) => MODELS.includes(basename(path)) && !SKIPS[basename(path)] && !missing)) {
  const name = basename(file);

  test(`models/${name}/f16: half the memory, and near what WASM gives`, { timeout: LIMIT_MS }, async () => {
    const { bytes, model } = await pack(new Uint8Array(readFileSync(file)), { name });
    const [sample] = await samplesOf(name, model.graph);
    const page = await pageWith('test/models/models.page.ts');
    const run = (precision: 'f32' | 'f16') =>
      page.evaluate(
        (...args) => (globalThis as unknown as ModelCalls).runFile(...args),
        ...([toBase64(bytes), [sendAll(sample!)], 'core', precision] as Parameters<ModelCalls['runFile']>),
      );
    const [f32, f16] = [await run('f32'), await run('f16')];
    await page.close();
    expect(f16.precision).toBe('f16');
    expect(f16.resident / f32.resident).toBeLessThan(0.52);
    expect(f16.arena / f32.arena).toBeLessThan(0.52);
    const session = await wasmEngine(binaries()).session(readWafer(bytes).graph);
    const wanted = session.run(sample!);
    session.dispose();
    const { rms } = gpuTolerance(model.graph, 'f16');
    for (const [output, { data, shape }] of Object.entries(receiveAll(f16.outputs[0]!))) {
      const want = wanted[output]!;
      expect(shape, output).toEqual(want.shape);
      const { max, sqnr } = compare(data, want.data, { abs: 0, rel: 0 });
      console.log(`${name}, ${output}: ${max} apart at most, ${sqnr.toFixed(1)} dB`);
      expect(sqnr, output).toBeGreaterThan(-20 * Math.log10(rms!));
    }
  });
}
