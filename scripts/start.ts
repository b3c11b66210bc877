/**
 * `npm start`: packs the OCR networks, serves the demo, has a real browser read the sample picture with both precisions,
 * and stays for the person's own browser. `--once` ends after the reading; `--port N` chooses the port; `--backend NAME` is what
 * the page computes with there: auto, wasm or webgpu, for which a software GPU stands in where there is none.
 */
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import type { Backend, Report } from '../demo/page';
import { WaferError } from '../src/core/errors';
import { launchBrowser, launchWithGpu } from './browser';
import { type PackedFile, packOcr, precisions } from './pack-ocr';
import { type Served, serve } from './serve';

const SITE = 'build/demo';
const DEFAULT_PORT = 8080;

const BACKENDS: readonly Backend[] = ['auto', 'wasm', 'webgpu'];
const isBackend = (name: string): name is Backend => (BACKENDS as readonly string[]).includes(name);

const print = (line: string) => process.stdout.write(`${line}\n`);
const kilobytes = (bytes: number) => `${Math.round(bytes / 1000)} kB`;

/** Everything that the page asks for, in one folder. */
async function assembleSite(): Promise<PackedFile[]> {
  mkdirSync(SITE, { recursive: true });
  for (const file of ['index.html', 'page.css', 'ocr/sample.png'])
    copyFileSync(join('demo', file), join(SITE, file.split('/').at(-1)!));
  for (const file of ['wafer.min.js', 'wafer.min.js.map']) copyFileSync(join('dist', file), join(SITE, file));
  await build({ entryPoints: ['demo/page.ts'], bundle: true, minify: true, format: 'iife', outfile: join(SITE, 'page.js') });
  return packOcr(join(SITE, 'models'), print);
}

function printSizes(files: readonly PackedFile[]): void {
  print('\nnetwork      onnx         wafer fp32   wafer int8');
  for (const { stage, sourceBytes } of files.filter((f) => f.precision === 'fp32')) {
    const [fp32, int8] = precisions.map((precision) => files.find((f) => f.stage === stage && f.precision === precision)!.bytes);
    const percent = ` (${((100 * int8!) / sourceBytes).toFixed(1)} %)`;
    print(
      [stage.padEnd(12), kilobytes(sourceBytes).padEnd(12), kilobytes(fp32!).padEnd(12), kilobytes(int8!) + percent].join(' '),
    );
  }
}

/** A headless browser reads the sample; its window closes, the server stays. */
async function readSample(site: Served, backend: Backend): Promise<void> {
  const browser = await (backend === 'webgpu' ? launchWithGpu() : launchBrowser());
  try {
    for (const precision of precisions) {
      const page = await browser.newPage();
      const before = site.sent();
      await page.goto(`${site.url}?precision=${precision}&backend=${backend}`);
      await page.waitForFunction(() => ['done', 'failed'].includes(document.body.dataset.state ?? ''), { timeout: 180_000 });
      const report = await page.evaluate((): Report | string => window.report ?? document.getElementById('status')!.textContent!);
      if (typeof report === 'string') throw new WaferError('MISMATCH', `the page failed: ${report}`);
      const downloaded = site.sent() - before;
      await page.close();
      print(`\n${precision}: ${report.device}; ${kilobytes(downloaded)} downloaded, page and runtime included`);
      print(`  ${report.why}`);
      for (const { text, score } of report.lines) print(`  ${text}  (${(100 * score).toFixed(1)} %)`);
      for (const [stage, { load, runs, run }] of Object.entries(report.models))
        print(`  ${stage.padEnd(10)} load ${load.toFixed(0)} ms, ${runs} run${runs === 1 ? '' : 's'} in ${run.toFixed(0)} ms`);
      print(`  picture to text in ${report.total.toFixed(0)} ms`);
    }
  } finally {
    await browser.close();
  }
}

/** The chosen port, or a free one where it was not chosen and is taken. */
async function serveSite(port: string | undefined): Promise<Served> {
  if (port !== undefined && !/^\d{1,5}$/.test(port)) throw new WaferError('ARGUMENT', `"${port}" is no port`);
  try {
    return await serve(SITE, { port: Number(port ?? DEFAULT_PORT) });
  } catch (error) {
    if (port !== undefined || (error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    return serve(SITE);
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { once: { type: 'boolean' }, port: { type: 'string' }, backend: { type: 'string', default: 'auto' } },
  });
  const { backend } = values;
  if (!isBackend(backend)) throw new WaferError('ARGUMENT', `no backend "${backend}": ${BACKENDS.join(', ')}`);
  printSizes(await assembleSite());
  const site = await serveSite(values.port);
  await readSample(site, backend);
  if (values.once) await site.close();
  else print(`\nThe demo is at ${site.url} - press Ctrl+C to end.`);
}

main().catch((error) => {
  process.stderr.write(`${error instanceof WaferError ? error.message : error instanceof Error ? error.stack : error}\n`);
  process.exit(1);
});
