/**
 * The texts that are compiled: of each shader with its defaults, whole; and of each variant that any case of any operator asks for, by
 * its key, a checksum; in 16 bits too. `npx vitest run test/shaders -u` takes over what has changed; read the difference before.
 */

import type { Browser, Page } from 'puppeteer-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { gpuFlags, launchBrowser } from '../../scripts/browser';
import { crc32 } from '../../src/core/crc';
import type { Precision } from '../../src/core/half';
import type { GpuTraits } from '../../src/ops/define';
import type { ShaderFlags, ShaderName } from '../../src/ops/shaders.gen';
import { pipelineKey, shaderText } from '../../src/runtime/webgpu/device';
import { GpuPlanner } from '../../src/runtime/webgpu/plan';
import { TEXTS } from '../../src/runtime/webgpu/texts.gen';
import { allCases, buildCase } from '../support/cases';
import { openSecurePage } from '../support/page';

const names = Object.keys(TEXTS.shaders) as ShaderName[];

let browser: Browser;
let page: Page;
beforeAll(async () => {
  browser = await launchBrowser({ args: gpuFlags('core') });
  page = await openSecurePage(browser);
  await page.evaluate(`(async () => {
    const device = await (await navigator.gpu.requestAdapter()).requestDevice();
    globalThis.messagesOf = async (code) =>
      (await device.createShaderModule({ code }).getCompilationInfo()).messages.map((m) => m.lineNum + ': ' + m.message);
  })()`);
});
afterAll(() => browser?.close());

test.each(names)('shaders/%s is valid with its defaults', async (shader) => {
  const text = shaderText({ shader }, TEXTS);
  expect(await page.evaluate(`messagesOf(${JSON.stringify(text)})`)).toEqual([]);
  await expect(`${text}\n`).toMatchFileSnapshot(`texts/${shader}.wgsl`);
});

const inHalves = names.filter((shader) => /^#flag F16 /m.test(TEXTS.shaders[shader]));

/** Flags without which these shaders have no floats in memory, or fewer. */
const HALVES: Readonly<Partial<ShaderFlags>> = {
  ...{ cast: { FROM_FLOATS: true }, table: { WIDE: true }, convInt8: { FLOAT: true }, depthwiseInt8: { FLOAT: true } },
} as object;

const halfText = (shader: ShaderName, more: object = {}): string =>
  shaderText({ shader, flags: { F16: true, ...HALVES[shader], ...more } }, TEXTS);

test.each(inHalves)('shaders/%s in 16 bits', async (shader) => {
  const text = halfText(shader);
  await expect(`${text}\n`).toMatchFileSnapshot(`texts/f16/${shader}.wgsl`);
});

// Software GPUs of Chromium have no halves. Integers want the same conversions, but there are no matrices of them.
test.each(inHalves)('shaders/%s converts from halves and to halves', async (shader) => {
  const text = halfText(shader, shader === 'conv' ? { VX: false } : {})
    .replaceAll('enable f16;', '')
    .replaceAll('f16', 'i32');
  expect(await page.evaluate(`messagesOf(${JSON.stringify(text)})`)).toEqual([]);
});

const WAYS: readonly (readonly [GpuTraits, Precision])[] = [true, false].flatMap((isSoftware) =>
  [true, false].flatMap((packedDot) =>
    (['f32', 'f16'] as const).map((precision) => [{ isSoftware, packedDot }, precision] as const),
  ),
);

test('shaders/every variant that the operators ask for', async () => {
  const variants = new Map<string, string>();
  for (const c of allCases()) {
    if (!c.op.webgpu) continue;
    const { graph } = buildCase(c);
    for (const [traits, precision] of WAYS) {
      const planner = new GpuPlanner(graph, new Map(), traits, new Map(), precision);
      for (const node of graph.nodes) planner.add(node);
      for (const { calls } of planner.finish().nodes)
        for (const { dispatch } of calls) {
          const sum = crc32(new TextEncoder().encode(shaderText(dispatch, TEXTS)));
          variants.set(pipelineKey(dispatch), sum.toString(16).padStart(8, '0'));
        }
    }
  }
  const lines = [...variants].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, sum]) => `${sum} ${key}`);
  await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot('texts/variants.txt');
});
