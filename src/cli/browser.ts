/** Timing a file in a real page: a server for the bundle and the file, and a headless browser that loads them. */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dtypeOf } from '../core/dtype';
import { WaferError } from '../core/errors';
import type { Sample } from '../packer/evaluate/engine';
import { optionalPackage } from '../packer/optional';
import type { load } from '../runtime/load';

/** Milliseconds. */
export interface Times {
  device: string;
  /** From the file's bytes to a model that can run. */
  load_ms: number;
  first_ms: number;
  /** Of each later run. */
  runs_ms: readonly number[];
  peak_bytes: number;
}

interface Options {
  device: 'auto' | 'wasm' | 'webgpu';
  threads: number;
  runs: number;
}

/** Throws NOT_FOUND when there is no browser, or no bundle beside this script. */
export async function benchInBrowser(file: Uint8Array, sample: Sample, { device, threads, runs }: Options): Promise<Times> {
  await optionalPackage('puppeteer-core', 'bench in a browser');
  const { launchBrowser, launchWithGpu } = await import('../../scripts/browser');
  const server = await serve(file);
  const browser = await (device === 'webgpu' ? launchWithGpu() : launchBrowser());
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    const inputs = Object.entries(sample).map(([name, { data, shape }]) => ({ name, shape, dtype: dtypeOf(data) }));
    const result = await page.evaluate(timeInPage, inputs, { backend: device, threads }, runs);
    if ('error' in result) throw WaferError.fromJSON(result.error as ReturnType<WaferError['toJSON']>);
    return { ...result, device: `${result.device} in ${await browser.version()}` };
  } finally {
    await browser.close();
    server.close();
  }
}

async function serve(file: Uint8Array): Promise<ReturnType<typeof createServer>> {
  const bundle = join(dirname(fileURLToPath(import.meta.url)), 'wafer.min.js');
  const script = await readFile(bundle).catch(() => {
    throw new WaferError('NOT_FOUND', `"${bundle}" is missing`, { hint: 'npm run build' });
  });
  const pages: Record<string, [type: string, body: Uint8Array | string]> = {
    '/': ['text/html', '<!doctype html><title>wafer bench</title><script src="wafer.min.js"></script>'],
    '/wafer.min.js': ['text/javascript', script],
    '/model.wafer': ['application/octet-stream', file],
  };
  const server = createServer((request, response) => {
    const [type, body] = pages[request.url ?? ''] ?? [];
    response.writeHead(body === undefined ? 404 : 200, {
      'Content-Type': type ?? 'text/plain',
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cross-Origin-Embedder-Policy': 'require-corp',
    });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

/** Runs in the page, so it names nothing outside itself. */
async function timeInPage(
  specs: { name: string; shape: readonly number[]; dtype: string }[],
  options: { backend: Options['device']; threads: number },
  runs: number,
): Promise<Times | { error: unknown }> {
  const { wafer } = globalThis as unknown as { wafer: { load: typeof load } };
  const arrays = { f32: Float32Array, i32: Int32Array, i8: Int8Array, u8: Uint8Array, bool: Uint8Array };
  try {
    const inputs = Object.fromEntries(
      specs.map(({ name, shape, dtype }) => {
        const data = new arrays[dtype as keyof typeof arrays](shape.reduce((a, b) => a * b, 1));
        if (dtype === 'f32') for (let i = 0; i < data.length; i++) data[i] = Math.random() * 2 - 1;
        return [name, { data, shape: [...shape] }];
      }),
    );
    const file = await (await fetch('model.wafer')).arrayBuffer();
    const start = performance.now();
    const model = await wafer.load(file, options);
    const loaded = performance.now();
    await model.run(inputs);
    const first = performance.now();
    const times: number[] = [];
    for (let i = 0; i < runs; i++) {
      const before = performance.now();
      await model.run(inputs);
      times.push(performance.now() - before);
    }
    const { device, build, dot, threads } = await model.explain();
    const { total } = await model.memory();
    return {
      device: `${device} ${build} (dot ${dot}), ${threads.used} of ${threads.count} threads,`,
      load_ms: loaded - start,
      first_ms: first - loaded,
      runs_ms: times,
      peak_bytes: total,
    };
  } catch (error) {
    if ((error as Error).name === 'WaferError') return { error: JSON.parse(JSON.stringify(error)) };
    throw error;
  }
}
