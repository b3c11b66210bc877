/** Pages of tests in headless Chromium: the bundle that is published, and a script of the test's own. */
import { build } from 'esbuild';
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

/** Functions that a page module has put on its globalThis, called from Node. Arguments and results are JSON. */
export type Calls<T> = {
  [K in keyof T]: T[K] extends (...args: infer A) => infer R ? (...args: A) => Promise<Awaited<R>> : never;
};

export interface ApiPage<T> {
  call: Calls<T>;
  close(): Promise<void>;
}

/** A browser of its own, on an empty page with `dist/wafer.min.js` and the page module; the caller closes it. */
export async function openApiPage<T>(entry: string): Promise<ApiPage<T>> {
  const script = await bundled(entry);
  const browser = await launchBrowser();
  const page = await browser.newPage();
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
