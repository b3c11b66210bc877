/**
 * Every operator's cases in headless Chromium: the base build, the build that the probe chooses, and the one it chooses
 * when the CPU's byte dot is taken away. Integer results are compared for equality, so the devices agree byte for byte.
 */
import { afterAll, expect, test } from 'vitest';
import { type LaunchOptions, launchBrowser } from '../../scripts/browser';
import { SKIPS } from '../ops/skips';
import { allCases } from '../support/cases';
import { bundled } from '../support/page';
import type { PageResult } from './ops.page';

/** Devices by name: a browser's flags and the build asked for. */
const DEVICES: Record<string, { flags: string[]; build?: string }> = {
  'chromium-base': { flags: [], build: 'base' },
  chromium: { flags: [] },
  'chromium-novnni': { flags: ['--js-flags=--no-enable-avx-vnni'] },
};

let script: Promise<string> | undefined;

const runs = new Map<string, Promise<PageResult>>();

/** Runs all cases on a device once, whichever test asks first. */
function resultsOn(device: string): Promise<PageResult> {
  let run = runs.get(device);
  if (!run) runs.set(device, (run = runIn(DEVICES[device]!)));
  return run;
}

let turn: Promise<unknown> = Promise.resolve();

/** One browser at a time. */
function runIn({ flags, build }: { flags: string[]; build?: string }): Promise<PageResult> {
  const options: LaunchOptions = { args: flags };
  const run = turn.then(async () => {
    const browser = await launchBrowser(options);
    try {
      const page = await browser.newPage();
      await page.addScriptTag({ content: await (script ??= bundled('test/browser/ops.page.ts')) });
      return (await page.evaluate(`runCases(${JSON.stringify(build)})`)) as PageResult;
    } finally {
      await browser.close();
    }
  });
  turn = run.catch(() => undefined);
  return run;
}

afterAll(async () => {
  for (const [device, run] of runs) {
    const { build, dot, why } = await run;
    console.log(`${device}: ${build} build, dot ${dot} (${why})`);
  }
});

for (const device of Object.keys(DEVICES))
  for (const { address } of allCases()) {
    const full = `${address};device=${device}`;
    test(full, async () => {
      const wrong = (await resultsOn(device)).results[address];
      const reason = SKIPS[full];
      if (reason === undefined) expect(wrong).toBe('');
      else expect(wrong, `this case passes now: take it off the list of skips (${reason})`).not.toBe('');
    });
  }
