/** The public API on pages as people write them, on what `npm run build` made, in headless Chromium. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'puppeteer-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchBrowser } from '../../scripts/browser';
import { symbol } from '../../src/core/dim';
import { goldenInputs, makeGolden } from '../../src/format/golden';
import type { WaferModel } from '../../src/format/model';
import { writeWafer } from '../../src/format/writer';
import { Builder } from '../../src/graph/ir';

const provenance = { packer: 'wafer test', source: { name: 'made', bytes: 0, sha256: '' }, recipe: [], metrics: {} };

/** y = relu(x), x: f32[N,4]. */
function reluModel(): WaferModel {
  const builder = new Builder();
  const x = builder.input('x', { dtype: 'f32', shape: [symbol('N'), 4] });
  const y = builder.node('unary', 'relu', [x], { steps: [{ fn: 'relu', a: 0, b: 0 }] });
  return { graph: builder.finish([{ name: 'y', value: y }]), provenance, goldens: [], labels: ['a', 'b'] };
}

/** y = image, 2 x 2, planar, scaled to 0..1. */
function imageModel(): WaferModel {
  const builder = new Builder();
  const x = builder.input('image', { dtype: 'f32', shape: [1, 3, 2, 2] });
  const y = builder.node('unary', 'relu', [x], { steps: [{ fn: 'relu', a: 0, b: 0 }] });
  const scale = [1 / 255, 1 / 255, 1 / 255];
  return {
    graph: builder.finish([{ name: 'y', value: y }]),
    provenance,
    goldens: [],
    images: [{ input: 'image', layout: 'nchw', channels: 'rgb', mean: [0, 0, 0], scale }],
  };
}

/** y = x * w, 4 to 4096: weights that take several packets. */
function productModel(): WaferModel {
  const builder = new Builder();
  const x = builder.input('x', { dtype: 'f32', shape: [1, 4] });
  const w = builder.numbers(
    'w',
    'f32',
    [4096, 4],
    Float32Array.from({ length: 16384 }, (_, i) => i % 1000),
  );
  return { graph: builder.finish([{ name: 'y', value: builder.node('gemm', 'y', [x, w]) }]), provenance, goldens: [] };
}

/** A golden run of the relu model, made here; `off` is added to what is expected. */
function goldenFile(off: number): Uint8Array {
  const model = reluModel();
  const golden = { seed: 7, bindings: new Map([['N', 3]]) };
  const { x } = goldenInputs(model.graph, golden);
  const y = Float32Array.from(x!, (v) => Math.max(v, 0) + off);
  const outputs = [{ name: 'y', dtype: 'f32' as const, shape: [3, 4], data: y }];
  return writeWafer({ ...model, goldens: [makeGolden(golden.seed, golden.bindings, outputs)] });
}

const dist = (name: string) => readFileSync(join('dist', name));
const relu = writeWafer(reluModel());
const product = writeWafer(productModel());
const damaged = product.slice();
damaged[product.length - 1]! ^= 1;

/** Ends itself when it is asked to run, as a worker does that the system kills. */
const DYING = `importScripts('/wafer.worker.js');
const answer = onmessage;
onmessage = (event) => (event.data.method === 'run' ? close() : answer(event));`;

const html = (script: string) => `<!doctype html><title>wafer</title>${script}`;

interface Served {
  type: string;
  body: string | Uint8Array;
  csp?: string;
  /** Whether the page is cross-origin isolated. */
  isolated?: boolean;
}

/** Loads a model, and runs it until its threads have joined, at most 10 s. */
const UNTIL_JOINED = `
  const x = wafer.tensor(Float32Array.from({ length: 2e6 }, (_, i) => Math.sin(i)), [5e5, 4]);
  async function joined(options) {
    const model = await wafer.load('/relu.wafer', options);
    const end = performance.now() + 1e4;
    do await model.run(x);
    while ((await model.explain()).threads.count < options.threads && performance.now() < end);
    return model;
  }`;

const PAGES: Record<string, Served> = {
  '/relu.wafer': { type: 'application/octet-stream', body: relu },
  '/damaged.wafer': { type: 'application/octet-stream', body: damaged },
  '/cut.wafer': { type: 'application/octet-stream', body: relu.slice(0, relu.length - 9) },
  '/golden.wafer': { type: 'application/octet-stream', body: goldenFile(0) },
  '/wrong.wafer': { type: 'application/octet-stream', body: goldenFile(1) },
  '/image.wafer': { type: 'application/octet-stream', body: writeWafer(imageModel()) },
  '/dying.js': { type: 'text/javascript', body: DYING },
  '/script': { type: 'text/html', body: html('<script src="/wafer.min.js"></script>') },
  '/module': {
    type: 'text/html',
    body: html(`<script type="module">
      import * as wafer from '/wafer.mjs';
      const model = await wafer.load('/relu.wafer');
      const { y } = await model.run(wafer.tensor([-1, 2, -3, 4], [1, 4]));
      globalThis.outcome = { y: [...y.data], thread: (await model.explain()).thread.kind };
    </script>`),
  },
  '/strict': {
    type: 'text/html',
    body: html('<script src="/wafer.min.js"></script><script src="/strict.js"></script>'),
    csp: "default-src 'self'",
  },
  '/strict.js': {
    type: 'text/javascript',
    body: `(async () => {
      const model = await wafer.load('/relu.wafer', { worker: '/wafer.worker.js' });
      const { y } = await model.run(wafer.tensor([-1, 2, -3, 4], [1, 4]));
      const refused = await wafer.load('/relu.wafer').catch((e) => e);
      globalThis.outcome = { y: [...y.data], thread: (await model.explain()).thread.kind, code: refused.code, hint: refused.hint };
    })();`,
  },
  '/isolated': { type: 'text/html', body: html('<script src="/wafer.min.js"></script>'), isolated: true },
  '/isolated-strict': {
    ...{ type: 'text/html', csp: "default-src 'self'", isolated: true },
    body: html('<script src="/wafer.min.js"></script><script src="/isolated-strict.js"></script>'),
  },
  '/isolated-strict.js': {
    type: 'text/javascript',
    body: `${UNTIL_JOINED}
    (async () => {
      const model = await joined({ worker: '/wafer.worker.js', threads: 2 });
      const { y } = await model.run(x);
      globalThis.outcome = { y: y.data.every((v, i) => v === Math.max(x.data[i], 0)), threads: (await model.explain()).threads };
    })();`,
  },
  '/workerless': {
    type: 'text/html',
    body: html('<script src="/wafer.min.js"></script>'),
    csp: "default-src 'self'; worker-src 'none'; script-src 'self' 'unsafe-eval' 'wasm-unsafe-eval'",
  },
};

/** Paths whose responses were ended, by whichever side. */
const closed: string[] = [];

/** What goes on when a page asks for `/next`, which it may before it is waited for. */
let asked = 0;
const waiting: (() => void)[] = [];
const next = () => {
  const goOn = waiting.shift();
  if (goOn) goOn();
  else asked++;
};

/** The next 5000 bytes each time that a page asks for them. */
async function trickle(response: ServerResponse): Promise<void> {
  asked = 0;
  for (let at = 0; at < product.length; at += 5000) {
    response.write(product.subarray(at, at + 5000));
    if (asked > 0) asked--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
  }
  response.end();
}

let server: Server;
let origin: string;
let browser: Browser;

beforeAll(async () => {
  server = createServer((request, response) => {
    const path = request.url!;
    const file = /^\/wafer[\w.]*\.(js|mjs)$/.test(path) ? { type: 'text/javascript', body: dist(path.slice(1)) } : PAGES[path];
    if (path === '/broken.wafer') {
      response.writeHead(200, { 'Content-Length': relu.length }).write(relu.subarray(0, 50));
      return setTimeout(() => response.destroy(), 50);
    }
    if (path === '/next') {
      next();
      return response.writeHead(204).end();
    }
    const stalled = /^\/stalled\/(\d+)$/.exec(path);
    if (stalled || path === '/slow.wafer' || path === '/stalled.html') {
      response.writeHead(200, { 'Content-Length': product.length });
      response.on('close', () => closed.push(path));
      if (path === '/stalled.html') return response.write('<!doctype html>');
      if (stalled) return response.write(product.subarray(0, Number(stalled[1])));
      return void trickle(response);
    }
    if (!file) return response.writeHead(404).end();
    const { type, body, csp, isolated }: Served = file;
    response.writeHead(200, {
      ...{ 'Content-Type': type, 'Content-Length': body.length },
      ...(csp ? { 'Content-Security-Policy': csp } : {}),
      ...(isolated ? { 'Cross-Origin-Opener-Policy': 'same-origin' } : {}),
      // A page that is isolated takes no worker that does not ask for the same.
      ...(isolated || type === 'text/javascript' ? { 'Cross-Origin-Embedder-Policy': 'require-corp' } : {}),
    });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  browser = await launchBrowser();
});

afterAll(async () => {
  await browser?.close();
  server?.close();
});

async function open(url: string): Promise<Page> {
  const page = await browser.newPage();
  await page.goto(url);
  return page;
}

/** What the body, an async function's source, returns on a page. */
async function on<T>(url: string, body: string): Promise<T> {
  const page = await open(url);
  try {
    return (await page.evaluate(`(async () => { ${body} })()`)) as T;
  } finally {
    await page.close();
  }
}

/** What a page's own script leaves in `outcome`: a page under a policy must not be helped by the debugger. */
async function outcome(url: string): Promise<Record<string, unknown>> {
  const page = await open(url);
  try {
    await page.waitForFunction('globalThis.outcome', { timeout: 20_000 });
    return (await page.evaluate('globalThis.outcome')) as Record<string, unknown>;
  } finally {
    await page.close();
  }
}

const RUN = `
  const model = await wafer.load('/relu.wafer');
  const data = new Float32Array([-1, 2, -3, 4]);
  const { y } = await model.run({ x: { data, shape: [1, 4] } });`;

test('api/script tag', async () => {
  const got = await on(
    `${origin}/script`,
    `${RUN}
    const { thread, device, nodes } = await model.explain();
    const { total } = await model.memory();
    return { y: [...y.data], shape: y.shape, kept: data.length, thread: thread.kind, device, nodes: nodes.length, total,
      inputs: model.inputs, labels: model.labels, profile: (await model.profile({ x: { data, shape: [1, 4] } })).length };`,
  );
  expect(got).toMatchObject({
    y: [0, 2, 0, 4],
    shape: [1, 4],
    kept: 4,
    thread: 'worker',
    device: 'wasm',
    nodes: 1,
    inputs: [{ name: 'x', dtype: 'f32', shape: ['N', 4] }],
    labels: ['a', 'b'],
    profile: 1,
  });
});

test('api/module', async () => {
  expect(await outcome(`${origin}/module`)).toEqual({ y: [0, 2, 0, 4], thread: 'worker' });
});

test('api/page opened from a file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'wafer-'));
  try {
    writeFileSync(join(folder, 'wafer.min.js'), dist('wafer.min.js'));
    writeFileSync(join(folder, 'page.html'), html('<script src="wafer.min.js"></script>'));
    const bytes = Buffer.from(relu).toString('base64');
    const got = await on(
      pathToFileURL(join(folder, 'page.html')).href,
      `const model = await wafer.load(Uint8Array.from(atob('${bytes}'), (c) => c.charCodeAt(0)));
      const { y } = await model.run({ x: wafer.tensor([-1, 2, -3, 4], [1, 4]) });
      const { hint } = await wafer.load('relu.wafer').catch((e) => e);
      return { y: [...y.data], thread: (await model.explain()).thread.kind, hint };`,
    );
    expect(got).toMatchObject({ y: [0, 2, 0, 4], thread: 'worker', hint: expect.stringContaining('bytes') });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('api/strict content security policy', async () => {
  expect(await outcome(`${origin}/strict`)).toEqual({
    y: [0, 2, 0, 4],
    thread: 'worker',
    code: 'CSP',
    hint: expect.stringContaining('wafer.worker.js'),
  });
});

test('api/main thread where no worker may be started', async () => {
  const got = await on(`${origin}/workerless`, `${RUN} return { y: [...y.data], ...(await model.explain()).thread };`);
  expect(got).toMatchObject({ y: [0, 2, 0, 4], kind: 'main', why: expect.stringContaining('cannot be started') });
});

test('api/main thread when asked for', async () => {
  const got = await on(
    `${origin}/script`,
    `const model = await wafer.load('/relu.wafer', { worker: false });
    const { y } = await model.run(wafer.tensor([-1, 2], [0.5, 4].length ? [1, 2] : [])).catch((e) => ({ y: e.code }));
    return { y, kind: (await model.explain()).thread.kind };`,
  );
  expect(got).toEqual({ y: 'SHAPE', kind: 'main' });
});

test('api/disposed models refuse', async () => {
  const got = await on<unknown[]>(
    `${origin}/script`,
    `const codes = [];
    for (const worker of [true, false]) {
      const model = await wafer.load('/relu.wafer', { worker });
      const x = wafer.tensor(new Float32Array(4e5), [1e5, 4]);
      const underWay = worker ? model.run(x).catch((e) => e.code) : 'DISPOSED';
      await model.dispose();
      codes.push(await underWay, await model.run(x).catch((e) => e.code), await model.dispose());
    }
    return codes;`,
  );
  expect(got).toEqual(['DISPOSED', 'DISPOSED', undefined, 'DISPOSED', 'DISPOSED', undefined].map((x) => x ?? null));
});

test('api/a worker that dies fails its calls', async () => {
  const got = await on(
    `${origin}/script`,
    `const model = await wafer.load('/relu.wafer', { worker: '/dying.js' });
    const first = await model.run(wafer.tensor([1, 2, 3, 4], [1, 4])).catch((e) => e);
    const later = await model.memory().catch((e) => e);
    return [first.code, first.message, later.code];`,
  );
  expect(got).toEqual(['DISPOSED', expect.stringContaining('the worker ended'), 'DISPOSED']);
});

test('api/errors cross from the worker whole', async () => {
  const got = await on(
    `${origin}/script`,
    `${RUN}
    const e = await model.run({ X1: wafer.tensor([1], [1]) }).catch((e) => e);
    const cut = await wafer.load('/cut.wafer').catch((e) => e);
    return { own: e instanceof wafer.WaferError, code: e.code, hint: e.hint, cut: cut.code, offset: typeof cut.offset };`,
  );
  expect(got).toEqual({ own: true, code: 'ARGUMENT', hint: 'did you mean "x"?', cut: 'BAD_FILE', offset: 'number' });
});

test('api/what cannot be loaded', async () => {
  const got = await on(
    `${origin}/script`,
    `const code = (...args) => wafer.load(...args).then(() => 'loaded', (e) => e.code ?? e.name);
    const aborted = new AbortController();
    aborted.abort();
    const gone = new ArrayBuffer(8);
    structuredClone(gone, { transfer: [gone] });
    const used = await fetch('/relu.wafer');
    await used.text();
    return [await code('/none.wafer'), await code('/relu.wafer', { worker: '/none.js' }), await code(7),
      await code('/relu.wafer', { backend: 'webgpu' }), await code('/relu.wafer', { threads: 'all' }),
      await code('/relu.wafer', { backend: 'gpu' }), await code('/relu.wafer', { device: 'webgpu' }), await code('/relu.wafer', { precision: 'f64' }),
      await code('/relu.wafer', { threads: 0 }), await code('/relu.wafer', { thread: 1 }), await code('/relu.wafer', null),
      await code('http://['), await code('/broken.wafer'), await code(gone), await code(used), await code('/script'), await code(new Blob([])), await code('/relu.wafer', { signal: aborted.signal })];`,
  );
  expect(got).toEqual([
    'NOT_FOUND',
    'NOT_FOUND',
    'ARGUMENT',
    'NO_DEVICE',
    'ARGUMENT',
    'ARGUMENT',
    'ARGUMENT',
    'ARGUMENT',
    'ARGUMENT',
    'ARGUMENT',
    'ARGUMENT',
    'NOT_FOUND',
    'NOT_FOUND',
    'ARGUMENT',
    'ARGUMENT',
    'BAD_FILE',
    'BAD_FILE',
    20,
  ]);
});

test('api/what is no tensor', async () => {
  const got = await on<string[]>(
    `${origin}/script`,
    `const found = [];
    for (const worker of [true, false]) {
      const model = await wafer.load('/relu.wafer', { worker });
      const x = { data: new Float32Array(4), shape: [1, 4] };
      const gone = new Float32Array(4);
      structuredClone(gone.buffer, { transfer: [gone.buffer] });
      const given = [[1, 2], 'x', 7, document.body, { x: [1, 2, 3, 4] }, { x: { ...x, data: new Float64Array(4) } }, { x: { data: x.data } },
        { x: { ...x, shape: ['1', '4'] } }, { x: { ...x, shape: [-1, -4] } }, { x: { ...x, shape: [1, 3] } },
        { x: { data: gone, shape: [1, 4] } }, { x: undefined }, { X: x }];
      for (const inputs of given) found.push(await model.run(inputs).then(() => 'ran', (e) => e.hint ? e.code : String(e)));
      found.push(await model.profile(x, { runs: 0 }).catch((e) => e.code), await model.profile(x, null).then((p) => p.length));
      const nan = await model.run({ x: { data: new Float32Array([NaN, 1, -1, Infinity]), shape: [1, 4] } });
      const many = await Promise.all(Array.from({ length: 8 }, (_, i) => model.run({ x: { ...x, data: x.data.map(() => i) } })));
      found.push([...nan.y.data].join(), many.map(({ y }) => y.data[3]).join());
      await model.dispose();
      for (const method of ['memory', 'explain']) found.push(await model[method]().catch((e) => e.code));
    }
    return found.map(String);`,
  );
  const common = [
    'ARGUMENT',
    'ARGUMENT',
    'ARGUMENT',
    'ARGUMENT',
    'ARGUMENT',
    'DTYPE',
    'ARGUMENT',
    'ARGUMENT',
    'ARGUMENT',
    'SHAPE',
  ];
  const after = ['ARGUMENT', 'ARGUMENT', 'ARGUMENT', '1', 'NaN,1,0,Infinity', '0,1,2,3,4,5,6,7', 'DISPOSED', 'DISPOSED'];
  expect(got).toEqual([...common, 'ARGUMENT', ...after, ...common, 'SHAPE', ...after]);
});

test('api/large inputs stay the page’s own, and runs under way do not share them', async () => {
  const got = await on(
    `${origin}/script`,
    `const model = await wafer.load('/relu.wafer');
    const data = new Float32Array(2e4).fill(-1);
    const given = data.subarray(4, 16004);
    const runs = Array.from({ length: 12 }, (_, i) => model.run(wafer.tensor(given.fill(i), [4000, 4])));
    const clamped = await model.run({ x: { data: new Uint8ClampedArray(2e4), shape: [5000, 4] } }).catch((e) => e.code);
    const again = await model.run(wafer.tensor(new Float32Array(2e4).fill(7), [5000, 4]));
    const values = (await Promise.all(runs)).map(({ y }) => (y.data.every((v) => v === y.data[0]) ? y.data[0] : 'mixed'));
    return { values, clamped, again: again.y.data[19999], kept: [data.length, data[3], data[4], data[16004]] };`,
  );
  expect(got).toEqual({ values: [...Array(12).keys()], clamped: 'DTYPE', again: 7, kept: [20000, -1, 11, -1] });
});

test('api/what tensor() refuses', async () => {
  const got = await on(
    `${origin}/script`,
    `const code = (...args) => { try { return wafer.tensor(...args) && 'made'; } catch (e) { return e.code ?? String(e); } };
    return [code(null, [1]), code('ab', [2]), code([1, 2]), code([1, 2], [-1, -2]), code([1], [1], 'f99'), code([1], [2])];`,
  );
  expect(got).toEqual(['ARGUMENT', 'ARGUMENT', 'ARGUMENT', 'ARGUMENT', 'DTYPE', 'SHAPE']);
});

test('api/sources and progress', async () => {
  const got = await on(
    `${origin}/script`,
    `const response = await fetch('/relu.wafer');
    const buffer = await response.clone().arrayBuffer();
    const seen = [];
    for (const source of [response, buffer, new Blob([buffer]), new URL('/relu.wafer', location)]) {
      const model = await wafer.load(source, { onProgress: (p) => seen.push(p) });
      await model.dispose();
    }
    return { kept: buffer.byteLength, last: seen.at(-2), phases: [...new Set(seen.map((p) => p.phase))] };`,
  );
  const { length } = relu;
  expect(got).toEqual({
    kept: length,
    last: { phase: 'download', loaded: length, total: length },
    phases: ['download', 'open'],
  });
});

test('api/a file that comes slowly', async () => {
  const got = await on<unknown[]>(
    `${origin}/script`,
    `const found = [];
    for (const worker of [true, false]) {
      const seen = [];
      const onProgress = (p) => { seen.push(p); fetch('/next'); };
      const model = await wafer.load('/slow.wafer', { worker, onProgress });
      const { y } = await model.run(new Float32Array([1, 0, 0, 2]));
      const rising = seen.every((p, i) => i === 0 || p.loaded >= seen[i - 1].loaded);
      found.push(seen.length > 3 && rising, seen.at(-1), [...y.data.slice(0, 2)]);
    }
    return found;`,
  );
  const last = { phase: 'open', loaded: product.length, total: product.length };
  expect(got).toEqual([true, last, [6, 18], true, last, [6, 18]]);
});

test('api/what is bad is said before all is there, and when the end is bad', async () => {
  const got = await on<unknown[]>(
    `${origin}/script`,
    `const found = [];
    for (const worker of [true, false])
      for (const path of ['/stalled.html', '/damaged.wafer'])
        found.push(await wafer.load(path, { worker }).catch((e) => [e.code, typeof e.offset]));
    return found;`,
  );
  expect(got).toEqual(new Array(4).fill(['BAD_FILE', 'number']));
  await expect.poll(() => closed.filter((path) => path === '/stalled.html').length, { timeout: 5000 }).toBe(2);
});

test('api/a download that stalls can be ended', async () => {
  const got = await on<unknown[]>(
    `${origin}/script`,
    `const found = [];
    for (const worker of [true, false])
      for (const n of [0, 10, 2000]) {
        const response = n === 10 ? await fetch('/stalled/10') : undefined;
        const stop = new AbortController();
        setTimeout(() => stop.abort(new Error('enough')), 100);
        found.push(await wafer.load(response ?? '/stalled/' + n, { worker, signal: stop.signal }).catch((e) => e.message));
      }
    return found;`,
  );
  expect(got).toEqual(new Array(6).fill('enough'));
  await expect.poll(() => closed.filter((path) => path.startsWith('/stalled/')).length, { timeout: 5000 }).toBe(6);
});

test("api/a page's own stream keeps its arrays", async () => {
  const got = await on(
    `${origin}/script`,
    `const bytes = new Uint8Array(await (await fetch('/relu.wafer')).arrayBuffer());
    const own = () => new Response(new ReadableStream({ start: (c) => (c.enqueue(bytes), c.close()) }));
    const words = () => new Response(new ReadableStream({ start: (c) => (c.enqueue('words'), c.close()) }));
    const model = await wafer.load(own());
    const { y } = await model.run(wafer.tensor([-1, 2, -3, 4], [1, 4]));
    return { y: [...y.data], kept: bytes.length, words: await wafer.load(words()).catch((e) => e.code) };`,
  );
  expect(got).toEqual({ y: [0, 2, 0, 4], kept: relu.length, words: 'ARGUMENT' });
});

test('api/pictures', async () => {
  const got = await on<number[][]>(
    `${origin}/script`,
    `const model = await wafer.load('/image.wafer');
    const canvas = Object.assign(document.createElement('canvas'), { width: 4, height: 4 });
    const context = canvas.getContext('2d');
    context.fillStyle = '#ff0000';
    context.fillRect(0, 0, 2, 4);
    context.fillStyle = '#0000ff';
    context.fillRect(2, 0, 2, 4);
    const pixels = context.getImageData(0, 0, 4, 4);
    const results = [canvas, pixels, await createImageBitmap(canvas)].map((picture) => model.run({ image: picture }));
    return (await Promise.all([...results, model.run(canvas)])).map(({ y }) => [...y.data]);`,
  );
  for (const y of got) expect(y).toEqual([1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1]);
});

test('api/golden runs are repeated when asked for', async () => {
  const got = await on(
    `${origin}/script`,
    `const code = (...args) => wafer.load(...args).then(() => 'loaded', (e) => e.code);
    return [await code('/golden.wafer', { verify: 'first-run' }), await code('/wrong.wafer', { verify: 'first-run' }), await code('/wrong.wafer')];`,
  );
  expect(got).toEqual(['loaded', 'MISMATCH', 'loaded']);
});

test('api/capabilities', async () => {
  expect(await on(`${origin}/script`, 'return wafer.capabilities();')).toMatchObject({
    wasm: true,
    worker: true,
    webgpu: expect.any(Boolean),
  });
});

test('api/threads on an isolated page', async () => {
  const got = await on(
    `${origin}/isolated`,
    `${UNTIL_JOINED}
    const [one, two] = [await joined({ threads: 1 }), await joined({ threads: 2 })];
    const outputs = [];
    for (const model of [one, two, two, two]) outputs.push((await model.run(x)).y.data);
    const alike = outputs.every((y) => y.buffer instanceof ArrayBuffer && y.every((v, i) => v === outputs[0][i]));
    const result = { alike, threads: [(await one.explain()).threads, (await two.explain()).threads] };
    await two.dispose();
    return { ...result, auto: wafer.capabilities().threads, processors: navigator.hardwareConcurrency };`,
  );
  const used = expect.any(Number);
  expect(got).toEqual({
    alike: true,
    threads: [
      { count: 1, used: 1, why: '1 thread was asked for' },
      { count: 2, used, why: '2 threads were asked for' },
    ],
    auto: Math.min(4, (got as { processors: number }).processors),
    processors: used,
  });
});

test('api/threads end with their model', async () => {
  const page = await open(`${origin}/isolated`);
  try {
    await page.evaluate(`(async () => { ${UNTIL_JOINED}; globalThis.model = await joined({ threads: 3 }); })()`);
    expect(page.workers().length).toBe(3);
    await page.evaluate('model.dispose()');
    // Chromium lets workers that wait live for 2 s more.
    for (const end = performance.now() + 10_000; page.workers().length && performance.now() < end; )
      await new Promise((resolve) => setTimeout(resolve, 50));
    expect(page.workers().length).toBe(0);
  } finally {
    await page.close();
  }
});

test('api/threads under a strict content security policy', async () => {
  expect(await outcome(`${origin}/isolated-strict`)).toEqual({
    y: true,
    threads: { count: 2, used: expect.any(Number), why: '2 threads were asked for' },
  });
});

test('api/threads that are not to be had', async () => {
  const threads = `return (await (await wafer.load('/relu.wafer', { threads: 2, worker })).explain()).threads;`;
  const one = { count: 1, used: 1 };
  expect(await on(`${origin}/script`, `const worker = true; ${threads}`)).toEqual({
    ...one,
    why: 'the page is not cross-origin isolated, so that no memory can be shared',
  });
  expect(await on(`${origin}/isolated`, `const worker = false; ${threads}`)).toEqual({
    ...one,
    why: "the page's own thread computes, which may not wait for others",
  });
});

const CONSUMER = `
import { load, type Model, type Tensor, tensor, WaferError } from 'waferjs';
const model: Model = await load('x.wafer', { worker: '/w.js', onProgress: ({ phase }) => console.log(phase) });
const picture = document.createElement('canvas');
const out: Record<string, Tensor> = await model.run({ x: tensor([1, 2], [1, 2]), y: new Float32Array(3), picture });
console.log(out.y?.data.length, model.inputs[0]?.shape, (await model.explain()).thread.why);
await model.dispose().catch((e) => e instanceof WaferError && e.code === 'DISPOSED');
// @ts-expect-error
await load('x', { backend: 'cuda' });
// @ts-expect-error
await model.run({ x: 'text' });
`;

test.each(['bundler', 'nodenext'])('build/declarations resolve as %s', (resolution) => {
  const folder = mkdtempSync(join(tmpdir(), 'wafer-'));
  try {
    mkdirSync(join(folder, 'node_modules'));
    symlinkSync(process.cwd(), join(folder, 'node_modules', 'waferjs'), 'junction');
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    writeFileSync(join(folder, 'page.ts'), CONSUMER);
    const compilerOptions = {
      target: 'es2022',
      lib: ['es2022', 'dom'],
      module: resolution === 'bundler' ? 'esnext' : 'nodenext',
      moduleResolution: resolution,
      strict: true,
      noEmit: true,
      types: [],
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['page.ts'] }));
    const { stdout } = spawnSync(join('node_modules', '.bin', 'tsc'), ['-p', folder], {
      encoding: 'utf8',
      shell: process.platform === 'win32',
    });
    expect(stdout).toBe('');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('build/bundles leave out what only the packer knows', () => {
  for (const name of ['wafer.min.js', 'wafer.mjs', 'wafer.worker.js']) expect(dist(name).includes('allowzero')).toBe(false);
});
