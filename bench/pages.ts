/** The runtimes' pages: assembled into one folder, opened side by side in one browser, and timed in turn. */
import { copyFileSync, cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import type { Browser, Page } from 'puppeteer-core';
import { FOLDER } from './cache';
import { type PeakUse, peakSince, peaksOfRenderers } from './memory';
import type { Format, ModelFile } from './models';
import { type FirstResult, hashOf, type Prepared, type Request } from './runtimes/page';
import type { Subject } from './subject';

interface Runtime {
  script: string;
  /** Its page for WebGPU, where it has WebGPU. */
  gpuScript?: string;
  format: Format | 'wafer';
  /** What its page asks for: names in the site, and where they are. */
  files: Readonly<Record<string, string>>;
}

const ORT = 'node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded';

/** Wafer is the first, and what others are compared with. */
const RUNTIMES = {
  wafer: { script: 'wafer.page.ts', gpuScript: 'wafer.page.ts', format: 'wafer', files: { 'wafer.min.js': 'dist/wafer.min.js' } },
  'onnxruntime-web': {
    script: 'onnxruntime.page.ts',
    gpuScript: 'onnxruntimeGpu.page.ts',
    format: 'onnx',
    files: {
      'onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs': `${ORT}.asyncify.mjs`,
      'onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm': `${ORT}.asyncify.wasm`,
      'onnxruntime-web/ort-wasm-simd-threaded.mjs': `${ORT}.mjs`,
      'onnxruntime-web/ort-wasm-simd-threaded.wasm': `${ORT}.wasm`,
    },
  },
  litert: {
    script: 'litert.page.ts',
    gpuScript: 'litert.page.ts',
    format: 'tflite',
    files: { litert: 'node_modules/@litertjs/core/wasm' },
  },
  'tfjs-tflite': {
    script: 'tfjs.page.ts',
    format: 'tflite',
    files: { 'tfjs-tflite': 'node_modules/@tensorflow/tfjs-tflite/wasm' },
  },
} satisfies Readonly<Record<string, Runtime>>;

export type RuntimeName = keyof typeof RUNTIMES;
export const RUNTIME_NAMES = Object.keys(RUNTIMES) as RuntimeName[];
export const SITE = join(FOLDER, 'site');

export interface Options {
  runtimes: readonly RuntimeName[];
  /** Where it is more than 1, Wafer has two turns: one with a single thread. */
  threads: number;
  rounds: number;
  base: boolean;
  /** On WebGPU. Where first results are timed, Wafer has two turns: one with the backend that it chooses itself. */
  gpu: boolean;
}

/** What became of one runtime's turn. */
export interface Timed extends Prepared {
  runtime: RuntimeName;
  backend: Request['backend'];
  file: ModelFile;
  /** Milliseconds a run, of each batch. */
  times: number[];
}

export interface Outcome {
  timed: Timed[];
  /** Runtimes that have no file of the model. */
  left: RuntimeName[];
  /** Runtimes that could not run it, and what they said. */
  failed: { runtime: RuntimeName; why: string }[];
}

/** One runtime's first results, one of each fresh browser. */
export interface ColdTimed extends Omit<Timed, 'times'> {
  results: ColdResult[];
}

/** Memory is that of the page's process, in bytes; `added` counts from the empty page before. */
export interface ColdResult extends FirstResult, PeakUse {}

export interface ColdOutcome extends Omit<Outcome, 'timed'> {
  timed: ColdTimed[];
}
/** Whose turn it is. */
interface Entrant {
  runtime: RuntimeName;
  threads: number;
  backend: Request['backend'];
}

function entrantsOf({ runtimes, threads, gpu }: Options, isCold: boolean): Entrant[] {
  const backend = gpu ? 'webgpu' : 'wasm';
  const entrants: Entrant[] = runtimes.map((runtime) => ({ runtime, threads, backend }));
  if (threads > 1 && !isCold) entrants.push({ runtime: 'wafer', threads: 1, backend });
  if (gpu && isCold) entrants.push({ runtime: 'wafer', threads, backend: 'auto' });
  return entrants;
}

const BURST_MS = 300;

/** Writes all pages and their scripts. */
export async function assembleSite(): Promise<void> {
  rmSync(SITE, { recursive: true, force: true });
  mkdirSync(SITE, { recursive: true });
  for (const [name, { script, gpuScript, files }] of Object.entries<Runtime>(RUNTIMES)) {
    for (const [to, from] of Object.entries(files)) cpSync(from, join(SITE, to), { recursive: true });
    await assemblePage(name as RuntimeName, script, false);
    if (gpuScript) await assemblePage(name as RuntimeName, gpuScript, true);
  }
}

const pageOf = (runtime: RuntimeName, isGpu: boolean): string => `${runtime}${isGpu ? '-gpu' : ''}.html`;

async function assemblePage(runtime: RuntimeName, script: string, isGpu: boolean): Promise<void> {
  const page = pageOf(runtime, isGpu);
  const own = page.replace(/html$/, 'js');
  await build({
    ...{ entryPoints: [join('bench/runtimes', script)], outfile: join(SITE, own) },
    ...{ bundle: true, minify: true, format: 'esm', target: 'esnext', logLevel: 'error' },
    // Its entry for bundlers names a file that the package does not have.
    alias: { '@tensorflow/tfjs-tflite': '@tensorflow/tfjs-tflite/dist/tf-tflite.fesm.js' },
  });
  const wafer = runtime === 'wafer' ? '<script src="wafer.min.js"></script>' : '';
  const html = `<!doctype html><title>${runtime}</title><link rel="icon" href="data:,"><body>${wafer}`;
  writeFileSync(join(SITE, page), `${html}<script type="module" src="${own}"></script>`);
}

/** Times a model in all runtimes, in rounds, so that a busy machine disturbs all alike. */
export async function timeModel(browser: Browser, url: string, subject: Subject, options: Options): Promise<Outcome> {
  const outcome: Outcome = { timed: [], left: [], failed: [] };
  const pages = new Map<Timed, Page>();
  const opened: Page[] = [];
  const attempt = async (runtime: RuntimeName, work: () => Promise<void>, timed?: Timed) =>
    work().catch((error: Error) => {
      outcome.timed = outcome.timed.filter((t) => t !== timed);
      outcome.failed.push({ runtime, why: error.message.split('\n')[0]! });
    });
  try {
    for (const entrant of entrantsOf(options, false)) {
      const { runtime, backend } = entrant;
      const file = fileOf(entrant, subject);
      if (!file) outcome.left.push(runtime);
      else
        await attempt(runtime, async () => {
          const request = requestOf(entrant, file, subject, options, false);
          const page = await browser.newPage();
          opened.push(page);
          const timed = { runtime, backend, file, times: [], ...(await prepare(page, url, request)) };
          pages.set(timed, page);
          outcome.timed.push(timed);
        });
    }
    for (let round = 0; round < options.rounds; round++)
      for (const timed of [...outcome.timed])
        await attempt(
          timed.runtime,
          async () => {
            const page = pages.get(timed)!;
            await page.bringToFront();
            timed.times.push(...((await page.evaluate(`burst(${BURST_MS})`)) as number[]));
          },
          timed,
        );
  } finally {
    for (const page of opened) await page.close();
  }
  return outcome;
}

/**
 * Times a model's first result in all runtimes: each is opened in a fresh browser, with nothing in its caches, round after round.
 * `open` starts one.
 */
export async function timeCold(
  open: () => Promise<Browser>,
  url: string,
  subject: Subject,
  options: Options,
): Promise<ColdOutcome> {
  const outcome: ColdOutcome = { timed: [], left: [], failed: [] };
  const files = new Map<Entrant, ModelFile>();
  for (const entrant of entrantsOf(options, true)) {
    const file = fileOf(entrant, subject);
    if (file) files.set(entrant, file);
    else outcome.left.push(entrant.runtime);
  }
  const isOf = (entrant: Entrant) => (t: ColdTimed) => t.runtime === entrant.runtime && t.backend === entrant.backend;
  for (let round = 0; round < options.rounds; round++)
    for (const [entrant, file] of files)
      try {
        const browser = await open();
        try {
          const result = await firstResult(browser, url, requestOf(entrant, file, subject, options, true));
          const { runtime, backend } = entrant;
          const { build, threads, output } = result;
          const timed = outcome.timed.find(isOf(entrant));
          if (timed) timed.results.push(result);
          else outcome.timed.push({ runtime, backend, file, build, threads, output, results: [result] });
        } finally {
          await browser.close();
        }
      } catch (error) {
        files.delete(entrant);
        outcome.timed = outcome.timed.filter((t) => !isOf(entrant)(t));
        outcome.failed.push({ runtime: entrant.runtime, why: (error as Error).message.split('\n')[0]! });
      }
  return outcome;
}

/** A browser that was just started is busy with itself for so long. */
const SETTLE_MS = 700;

async function firstResult(browser: Browser, url: string, request: Request): Promise<ColdResult> {
  const [page] = await browser.pages();
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const process = browser.process()!.pid!;
  const before = peaksOfRenderers(process);
  await page!.goto(`${url}${request.page}${hashOf(request)}`);
  const result = (await page!.evaluate('firstResult')) as FirstResult;
  return { ...result, ...peakSince(before, peaksOfRenderers(process)) };
}

function fileOf({ runtime, backend }: Entrant, { packed, precision, peers }: Subject): ModelFile | undefined {
  const { format, gpuScript } = RUNTIMES[runtime] as Runtime;
  if (backend !== 'wasm' && !gpuScript) return undefined;
  return format === 'wafer' ? { path: packed, precision } : peers[format];
}

/** Puts the file where the page asks for it. */
function requestOf(
  { runtime, threads, backend }: Entrant,
  file: ModelFile,
  { inputs, output: { name, shape } }: Subject,
  { threads: most, base }: Options,
  isCold: boolean,
): Request {
  const served = `${runtime}.model`;
  copyFileSync(file.path, join(SITE, served));
  const page = pageOf(runtime, backend !== 'wasm');
  return {
    page,
    backend,
    file: served,
    inputs,
    output: { name, shape },
    threads,
    worker: isCold || (most > 1 && !base),
    base,
    isCold,
  };
}

async function prepare(page: Page, url: string, request: Request): Promise<Prepared> {
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push((error as Error).message));
  await page.goto(`${url}${request.page}`);
  await page.waitForFunction('typeof prepare === "function"', { timeout: 60_000 }).catch((error: Error) => {
    throw new Error(errors[0] ?? error.message);
  });
  return (await page.evaluate(`prepare(${JSON.stringify(request)})`)) as Prepared;
}
