/** Pages of tests in headless Chromium: the bundle that is published, and a script of the test's own. */
import { build } from 'esbuild';
import type { Browser, Page } from 'puppeteer-core';
import { launchBrowser } from '../../scripts/browser';

/** The script that a page module (`*.page.ts`) becomes. */
export async function bundled(entry: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: 'iife',
    target: 'es2022',
    external: ['node:*'],
  });
  return outputFiles[0]!.text;
}

/** An empty page whose context is secure, as WebGPU wants it. No server is needed: the browser is answered here. */
export async function openSecurePage(browser: Browser): Promise<Page> {
  const page = await browser.newPage();
  await page.setRequestInterception(true);
  const answer = { contentType: 'text/html', body: '<!doctype html>' };
  page.once('request', (request) => void request.respond(answer));
  await page.goto('http://localhost/');
  await page.setRequestInterception(false);
  return page;
}

/** Functions that a page module has put on its globalThis, called from Node. Arguments and results are JSON. */
export type Calls<T> = {
  [K in keyof T]: T[K] extends (...args: infer A) => infer R ? (...args: A) => Promise<Awaited<R>> : never;
};

export interface ApiPage<T> {
  call: Calls<T>;
  close(): Promise<void>;
}

/** A browser of its own with these flags, on an empty page with `dist/wafer.min.js` and the page module; the caller closes it. */
export async function openApiPage<T>(entry: string, args: string[] = []): Promise<ApiPage<T>> {
  const script = await bundled(entry);
  const browser = await launchBrowser({ args });
  const page = await openSecurePage(browser);
  await page.addScriptTag({ path: 'dist/wafer.min.js' });
  await page.addScriptTag({ content: script });
  const call = new Proxy({} as Calls<T>, {
    get:
      (_, name: string) =>
      (...args: unknown[]) =>
        page.evaluate(
          (f, list) => (globalThis as unknown as Record<string, (...x: unknown[]) => unknown>)[f]!(...list),
          name,
          args,
        ),
  });
  return { call, close: () => browser.close() };
}
