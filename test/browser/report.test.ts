/** Reports in headless Chromium: well-formed, quiet, asking for nothing, as wide as the screen, light and dark. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser } from 'puppeteer-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchBrowser } from '../../scripts/browser';
import { reportHtml } from '../../src/packer/report/index';
import { fullReport } from '../support/report';

const folder = mkdtempSync(join(tmpdir(), 'wafer-report-'));
let browser: Browser;
beforeAll(async () => {
  browser = await launchBrowser();
});
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true });
});

test.each([
  ['a usual name', 'net'],
  [
    'a hostile one',
    `</style></title><script>document.title = 'broken'</script><img src="http://localhost/x"/>${'W'.repeat(400)}`,
  ],
])('report/browser: %s', async (_, name) => {
  const text = reportHtml(fullReport(name));
  const path = join(folder, 'report.html');
  writeFileSync(path, text);
  const page = await browser.newPage();
  const [said, asked]: [string[], string[]] = [[], []];
  page.on('console', (message) => said.push(message.text()));
  page.on('pageerror', (error) => said.push(String(error)));
  page.on('request', (request) => asked.push(request.url()));
  const papers: string[] = [];
  for (const [scheme, width] of [
    ['light', 1100],
    ['dark', 360],
  ] as const) {
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    await page.setViewport({ width, height: 800 });
    await page.goto(pathToFileURL(path).href);
    const seen = await page.evaluate(() => ({
      width: document.documentElement.scrollWidth,
      paper: getComputedStyle(document.body).backgroundColor,
      chart: document.querySelector('.plot svg')!.getBoundingClientRect().height,
    }));
    expect(seen.width).toBeLessThanOrEqual(width);
    expect(seen.chart).toBeGreaterThan(200);
    papers.push(seen.paper);
  }
  expect(papers[0]).not.toBe(papers[1]);
  expect(await page.title()).toBe(name);
  const broken = await page.evaluate(
    (html) => new DOMParser().parseFromString(html, 'application/xhtml+xml').querySelector('parsererror')?.textContent ?? '',
    text,
  );
  expect(broken).toBe('');
  expect(said).toEqual([]);
  expect(asked).toEqual(papers.map(() => pathToFileURL(path).href));
});
