/**
 * Every operator's cases in headless Chromium: the base build, the build that the probe chooses, and the one it chooses
 * when the CPU's byte dot is taken away; and on software GPUs, one with all of WebGPU's core, one of OpenGL ES with its
 * compatibility mode, and the first as a hardware GPU is used, with packed dots and smaller tiles. Integer results are compared for equality, so the devices agree byte for byte.
 */
import { afterAll, expect, test } from 'vitest';
import { gpuFlags, type LaunchOptions, launchBrowser } from '../../scripts/browser';
import { SKIPS } from '../ops/skips';
import { allCases } from '../support/cases';
import { bundled, openSecurePage } from '../support/page';
import type { GpuPageResult, GpuRunOptions } from './gpu.page';
import type { PageResult } from './ops.page';

interface TestDevice {
  flags: string[];
  /** The page's script, and what is called in it. */
  page: string;
  call: string;
}

const wasm = (build?: 'base', ...flags: string[]): TestDevice => {
  return { flags, page: 'test/browser/ops.page.ts', call: `runCases(${JSON.stringify(build)})` };
};
const gpu = (featureLevel: 'core' | 'compatibility', packed = false): TestDevice => {
  const options: GpuRunOptions = { featureLevel, packed };
  return { flags: gpuFlags(featureLevel), page: 'test/browser/gpu.page.ts', call: `runCases(${JSON.stringify(options)})` };
};

const DEVICES: Record<string, TestDevice> = {
  'chromium-base': wasm('base'),
  chromium: wasm(),
  'chromium-novnni': wasm(undefined, '--js-flags=--no-enable-avx-vnni'),
  webgpu: gpu('core'),
  'webgpu-compatibility': gpu('compatibility'),
  'webgpu-packed': gpu('core', true),
};

const runs = new Map<string, Promise<PageResult | GpuPageResult>>();

/** Runs all cases on a device once, whichever test asks first. */
function resultsOn(device: string): Promise<PageResult | GpuPageResult> {
  let run = runs.get(device);
  if (!run) runs.set(device, (run = runIn(DEVICES[device]!)));
  return run;
}

let turn: Promise<unknown> = Promise.resolve();

/** One browser at a time. */
function runIn({ flags, page: entry, call }: TestDevice): Promise<PageResult | GpuPageResult> {
  const options: LaunchOptions = { args: flags };
  const run = turn.then(async () => {
    const browser = await launchBrowser(options);
    try {
      const page = await openSecurePage(browser);
      await page.addScriptTag({ content: await bundled(entry) });
      return (await page.evaluate(call)) as PageResult | GpuPageResult;
    } finally {
      await browser.close();
    }
  });
  turn = run.catch(() => undefined);
  return run;
}

afterAll(async () => {
  for (const [device, run] of runs) {
    const { description } = await run;
    console.log(`${device}: ${description}`);
  }
});

for (const device of Object.keys(DEVICES))
  for (const { address, op } of allCases()) {
    if (device.startsWith('webgpu') && !op.webgpu) continue;
    const full = `${address};device=${device}`;
    test(full, async () => {
      const wrong = (await resultsOn(device)).results[address];
      const reason = SKIPS[full];
      if (reason === undefined) expect(wrong).toBe('');
      else expect(wrong, `this case passes now: take it off the list of skips (${reason})`).not.toBe('');
    });
  }
