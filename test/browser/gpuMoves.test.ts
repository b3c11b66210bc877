/** Moves of many random boxes, and conversions of floats of all kinds, on software GPUs against the references. */
import type { Browser, Page } from 'puppeteer-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gpuFlags, launchBrowser } from '../../scripts/browser';
import { Builder } from '../../src/graph/ir';
import { GpuPlanner } from '../../src/runtime/webgpu/plan';
import { bundled, openSecurePage } from '../support/page';

describe.each(['core', 'compatibility'] as const)('%s', (level) => {
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    browser = await launchBrowser({ args: gpuFlags(level) });
    page = await openSecurePage(browser);
    await page.addScriptTag({ content: await bundled('test/browser/gpuMoves.page.ts') });
  });
  afterAll(() => browser.close());

  for (const seed of [1, 2, 3])
    test(`moves drawn from ${seed}`, async () => {
      expect(await page.evaluate(`runMoves('${level}', ${seed}, 200)`)).toEqual([]);
    });

  test('floats become levels, integers and truth values exactly', async () => {
    expect(await page.evaluate(`runFloats('${level}')`)).toEqual([]);
  });
});

test('a scale that floats cannot be multiplied by is refused', () => {
  const builder = new Builder();
  const x = builder.input('x', { dtype: 'f32', shape: [4] });
  const y = builder.node('quantize', 'y', [x], { quant: { scale: 2 ** -120, zero: 0 } });
  const graph = builder.finish([{ name: 'y', value: y }]);
  const planner = new GpuPlanner(graph, new Map(), { isSoftware: false, packedDot: false }, new Map());
  expect(() => planner.add(graph.nodes[0]!)).toThrow('no shader quantises by a scale of');
});
