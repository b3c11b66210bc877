/** What is fastest on a GPU is measured there, and remembered. */
import { expect, test } from 'vitest';
import { gpuFlags, launchBrowser } from '../../scripts/browser';
import { bundled, openSecurePage } from '../support/page';

test('tune/what was measured on a GPU is what the next device is made with', async () => {
  const browser = await launchBrowser({ args: gpuFlags('core') });
  try {
    const page = await openSecurePage(browser);
    await page.addScriptTag({ content: await bundled('test/browser/tune.page.ts') });
    const { before, found, next, forced } = (await page.evaluate('measure()')) as Record<string, unknown>;
    expect(before).toEqual({ isSoftware: true, packedDot: false });
    expect(found).toEqual({ isSoftware: expect.any(Boolean), packedDot: expect.any(Boolean) });
    expect(next).toEqual(found);
    expect(forced).toEqual({ isSoftware: false, packedDot: true });
  } finally {
    await browser.close();
  }
});
