/**
 * Firefox, whose WebGPU reads WGSL with another compiler than Chromium's and has 16-bit floats on software too: every operator's cases
 * in both precisions, and whole models and pages in 16 bits. `npm run test:gpu`; what is not there is skipped by name.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { Page } from 'puppeteer-core';
import { afterAll, expect, test } from 'vitest';
import { fromHalves, toHalves } from '../../src/core/half';
import { readWafer } from '../../src/format/reader';
import { compare } from '../../src/packer/evaluate/compare';
import { type Sample, wasmEngine } from '../../src/packer/evaluate/engine';
import { pack } from '../../src/packer/pack';
import { gpuTolerance } from '../../src/runtime/golden';
import { binaries } from '../../src/runtime/wasm/binaries';
import type { GpuPageResult, GpuRunOptions } from '../browser/gpu.page';
import { launchFirefox } from '../engines/drivers';
import { files, SKIPS, samplesOf } from '../models/models';
import type { ModelCalls } from '../models/models.page';
import { allCases } from '../support/cases';
import { rows, scaled, seeing } from '../support/gpuModels';
import { bundled, openSecurePage } from '../support/page';
import { receiveAll, sendAll, toBase64 } from '../support/sent';

const browser = await launchFirefox({ 'dom.webgpu.enabled': true, 'gfx.webgpu.ignore-blocklist': true });
afterAll(() => browser?.close());

/** What of Firefox is not here; empty where all is. */
async function lacking(): Promise<string> {
  if (!browser) return 'firefox is not installed';
  const page = await openSecurePage(browser);
  const features = await page.evaluate('navigator.gpu?.requestAdapter().then((adapter) => adapter && [...adapter.features])');
  await page.close();
  if (!features) return 'firefox finds no GPU, not even of software (Debian: mesa-vulkan-drivers)';
  return (features as string[]).includes('shader-f16') ? '' : 'firefox’s GPU has no 16-bit floats';
}

const missing = await lacking();
if (missing) test.skip(`gpu/${missing}`, () => {});

/** Answers wait for a timer in Firefox: many cases at a time wait together. */
const atOnce = 16;
const WAYS: Readonly<Record<string, GpuRunOptions>> = {
  'firefox-f32': { precision: 'f32', atOnce },
  'firefox-f16': { precision: 'f16', atOnce },
  'firefox-f32-packed': { precision: 'f32', packed: true, atOnce },
  'firefox-f16-packed': { precision: 'f16', packed: true, atOnce },
};

const LIMIT_MS = 300_000;

async function pageWith(script: string): Promise<Page> {
  const page = await openSecurePage(browser!);
  page.setDefaultTimeout(LIMIT_MS);
  await page.addScriptTag({ path: 'dist/wafer.min.js' });
  await page.addScriptTag({ content: await bundled(script) });
  return page;
}

const runs = new Map<string, Promise<GpuPageResult>>();
let turn: Promise<unknown> = Promise.resolve();

/** Runs all cases in one way once, whichever test asks first; one way at a time. */
function resultsIn(way: string): Promise<GpuPageResult> {
  let run = runs.get(way);
  if (!run) {
    run = turn.then(async () => {
      const page = await pageWith('test/browser/gpu.page.ts');
      const results = (await page.evaluate(`runCases(${JSON.stringify(WAYS[way])})`)) as GpuPageResult;
      await page.close();
      return results;
    });
    runs.set(way, run);
    turn = run.catch(() => undefined);
  }
  return run;
}

for (const way of missing ? [] : Object.keys(WAYS))
  for (const { address } of allCases().filter(({ op }) => op.webgpu))
    test(`${address};device=${way}`, { timeout: LIMIT_MS }, async () => {
      expect((await resultsIn(way)).results[address]).toBe('');
    });

const MODELS = ['face_detection_front_128x128_barracuda.onnx', 'mobilenet_v2.onnx', 'mobilenet_v2_1.0_224.onnx'];
const modelFiles = files.filter((path) => MODELS.includes(basename(path)) && !SKIPS[basename(path)] && !missing);
/** Of what f32 takes on the GPU, at most: some data is no floats, and places are multiples of 256 bytes. */
const SHARE = 0.52;
/** dB that outputs keep which are rounded once. */
const ROUNDED_DB = 60;

const rounded = (sample: Sample): Sample =>
  Object.fromEntries(
    Object.entries(sample).map(([name, { data, shape }]) => [
      name,
      { data: data instanceof Float32Array ? fromHalves(toHalves(data)) : data, shape },
    ]),
  );

for (const [file, kind] of modelFiles.flatMap((path) => (['fp32', 'int8'] as const).map((kind) => [path, kind] as const))) {
  const name = basename(file);
  const isFloat = kind === 'fp32';

  test(`models/${name}/${kind} in f16: near what WASM gives`, { timeout: LIMIT_MS }, async () => {
    const onnx = new Uint8Array(readFileSync(file));
    const floats = await pack(onnx, { name });
    const samples = await samplesOf(name, floats.model.graph);
    const { bytes } = isFloat ? floats : await pack(onnx, { name, quantize: { samples: async () => samples } });
    const { graph } = readWafer(bytes);
    // Inputs that are levels at once are others when they were rounded before.
    const sample = isFloat ? samples[0]! : rounded(samples[0]!);
    const page = await pageWith('test/models/models.page.ts');
    const run = (options: Parameters<ModelCalls['runFile']>[3]) =>
      page.evaluate(
        (...args) => (globalThis as unknown as ModelCalls).runFile(...args),
        ...([toBase64(bytes), [sendAll(sample)], 'core', options] as Parameters<ModelCalls['runFile']>),
      );
    const [f32, f16] = [await run({}), await run({ precision: 'f16', ...(isFloat ? {} : { verify: 'off' }) })];
    await page.close();
    console.log(`${name} ${kind}: ${f16.resident} + ${f16.arena} bytes of ${f32.resident} + ${f32.arena}`);
    expect(f16.precision, f16.why).toBe('f16');
    if (isFloat) expect(Math.max(f16.resident / f32.resident, f16.arena / f32.arena)).toBeLessThan(SHARE);
    const session = await wasmEngine(binaries()).session(graph);
    const wanted = session.run(sample);
    session.dispose();
    const least = isFloat ? -20 * Math.log10(gpuTolerance(graph, 'f16').rms!) : ROUNDED_DB;
    for (const [output, { data, shape }] of Object.entries(receiveAll(f16.outputs[0]!))) {
      const want = wanted[output]!;
      expect(shape, output).toEqual(want.shape);
      const { max, sqnr } = compare(data, want.data, { abs: 0, rel: 0 });
      console.log(`${name} ${kind}, ${output}: ${max} apart at most, ${sqnr.toFixed(1)} dB`);
      expect(sqnr, output).toBeGreaterThan(least);
    }
  });
}

const MODEL_FILES = {
  ...{ rows: await rows(), nhwc: seeing('nhwc', 'rgb'), nchw: seeing('nchw', 'bgr') },
  ...{ small: await scaled(3), large: await scaled(60000), larger: await scaled(70000) },
};

/** What the body, an async function's source, returns on a page that has the bundle and the files above. */
async function on<T>(body: string): Promise<T> {
  const page = await pageWith('test/models/models.page.ts');
  const files = Object.fromEntries(Object.entries(MODEL_FILES).map(([name, file]) => [name, toBase64(file)]));
  try {
    return (await page.evaluate(`(async () => {
      const models = Object.fromEntries(Object.entries(${JSON.stringify(files)})
        .map(([name, text]) => [name, Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]));
      const load = (name, more) => wafer.load(models[name], { backend: 'webgpu', precision: 'f16', ...more });
      const x = (n, from = -3) => ({ data: Float32Array.from({ length: 4 * n }, (_, i) => from + i / 2), shape: [n, 4] });
      const isRight = ({ y, z }, { data }) =>
        data.every((v, i) => y.data[i] === Math.max(0, 2 * v + 1) && z.data[i] === -y.data[i]);
      ${body}
    })()`)) as T;
  } finally {
    await page.close();
  }
}

const pageTest = missing ? test.skip : test;

pageTest('gpu/f16 in a worker and beside it', async () => {
  const got = await on(
    `const told = [];
    for (const worker of [true, false]) {
      const model = await load('rows', { worker });
      // Numbers of elements that are odd come first.
      const inputs = [x(1), x(5), x(3, 2), x(5, 7)];
      const outputs = await Promise.all(inputs.map((x) => model.run({ x })));
      const right = outputs.every((y, i) => isRight(y, inputs[i]));
      const { precision, why, nodes } = await model.explain();
      told.push({ right, precision, why, kernels: nodes.flatMap(({ kernels }) => kernels) });
      await model.dispose();
    }
    return told;`,
  );
  const kernels = ['unary ACT=affine,relu F16=true', 'unary ACT=neg F16=true'];
  const told = { right: true, precision: 'f16', why: 'webgpu was asked for', kernels };
  expect(got).toEqual([told, told]);
});

pageTest('gpu/f16 takes and gives no buffers', async () => {
  const got = await on(
    `const device = await (await navigator.gpu.requestAdapter()).requestDevice({ requiredFeatures: ['shader-f16'] });
    const model = await load('rows', { device });
    const buffer = device.createBuffer({ size: 48, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC });
    const tries = [() => model.run({ x: { buffer, shape: [3, 4] } }), () => model.run({ x: x(3) }, { outputs: 'buffers' })];
    const codes = [];
    for (const run of tries) codes.push(await run().then(() => 'ran', ({ code, hint }) => code + ': ' + hint));
    const plain = await (await navigator.gpu.requestAdapter()).requestDevice();
    const lacking = await load('rows', { device: plain });
    await lacking.run({ x: { buffer: plain.createBuffer({ size: 48, usage: GPUBufferUsage.COPY_SRC }), shape: [3, 4] } });
    const { precision } = await lacking.explain();
    return { codes, right: isRight(await model.run({ x: x(3) }), x(3)), precision };`,
  );
  const refused = "ARGUMENT: pass and take arrays, or load the model with { precision: 'f32' }";
  expect(got).toEqual({ codes: [refused, refused], right: true, precision: 'f32' });
});

pageTest.each(['nhwc', 'nchw'])('gpu/f16 pictures, %s', async (name) => {
  const got = await on<{ off: number; precision: string }>(
    `const image = new ImageData(33, 21);
    image.data.forEach((_, i) => { image.data[i] = i % 4 === 3 ? 255 : (i * 7) % 256; });
    const run = async (precision) => {
      const model = await load('${name}', { precision });
      const { y } = await model.run({ x: { image, height: 9, width: 13 } });
      return { y, ...(await model.explain()) };
    };
    const [want, got] = [await run('f32'), await run('f16')];
    const off = Math.max(...want.y.data.map((v, i) => Math.abs(v - got.y.data[i])));
    return { off, precision: got.precision };`,
  );
  expect(got.precision).toBe('f16');
  expect(got.off).toBeGreaterThan(0);
  // Values are up to 5 in size, and rounded twice.
  expect(got.off).toBeLessThan(5 * 2 ** -9);
});

pageTest('gpu/f16 is left where numbers do not fit, and explain says why', async () => {
  const got = await on(
    `const told = {};
    const numbers = Float32Array.from({ length: 8 }, (_, i) => i - 4);
    const isTwice = (factor, { y }) => y.data.every((v, i) => v === 2 * factor * numbers[i]);
    const tries = { small: ['small', 3], answer: ['large', 60000], golden: ['large', 60000, 'first-run'], constant: ['larger', 70000] };
    for (const [what, [name, factor, verify]] of Object.entries(tries)) {
      const model = await load(name, { worker: false, ...(verify && { verify }) });
      const data = numbers.slice();
      const first = model.run({ data, shape: [2, 4] });
      // The page's own again.
      data.fill(0);
      const right = [isTwice(factor, await first), isTwice(factor, await model.run({ data: numbers, shape: [2, 4] }))];
      const { precision, why } = await model.explain();
      told[what] = { right, precision, why: why.replace('webgpu was asked for', '') };
    }
    const unchecked = await load('large', { verify: 'off' });
    const { y } = await unchecked.run({ data: numbers, shape: [2, 4] });
    return { ...told, unchecked: (await unchecked.explain()).precision, first: y.data[0] };`,
  );
  const left = (why: string) => ({
    right: [true, true],
    precision: 'f32',
    why: expect.stringContaining(`f32 is computed, not f16: ${why}`),
  });
  expect(got).toEqual({
    small: { right: [true, true], precision: 'f16', why: '' },
    answer: left('output "y" is -Infinity at element 0 on the GPU, -480000 on WASM'),
    golden: left('golden output "y" is'),
    constant: left('a constant f32[4] has numbers beyond 65504'),
    ...{ unchecked: 'f16', first: Number.NEGATIVE_INFINITY },
  });
});

pageTest('gpu/f16 is left while other runs are underway', async () => {
  const got = await on(
    `const model = await load('large', { worker: false });
    const filled = (value) => ({ data: new Float32Array(8).fill(value), shape: [2, 4] });
    const { mapAsync } = GPUBuffer.prototype;
    const later = [];
    // Runs that begin at every moment from the first answer to the second, which is on its way when it is found to be wrong.
    GPUBuffer.prototype.mapAsync = async function (...args) {
      GPUBuffer.prototype.mapAsync = mapAsync;
      await mapAsync.apply(this, args);
      for (let moment = 0; moment < 40; moment++) later.push((async () => {
        for (let i = 0; i < moment; i++) await null;
        return model.run(filled(0.5));
      })());
    };
    const { y } = await model.run(filled(4));
    const outputs = await Promise.all(later);
    const { precision } = await model.explain();
    await model.run(filled(1));
    return { first: y.data[0], precision, others: [...new Set(outputs.flatMap(({ y }) => [...y.data]))] };`,
  );
  expect(got).toEqual({ first: 480000, precision: 'f32', others: [60000] });
});

pageTest('gpu/f16 comes back after the loss of a device', async () => {
  const got = await on(
    `const devices = [];
    const { requestDevice } = GPUAdapter.prototype;
    GPUAdapter.prototype.requestDevice = async function (...args) {
      const device = await requestDevice.apply(this, args);
      devices.push(device);
      return device;
    };
    const model = await load('rows', { worker: false });
    const right = [isRight(await model.run({ x: x(3) }), x(3))];
    devices[0].destroy();
    right.push(isRight(await model.run({ x: x(5) }), x(5)));
    return { right, devices: devices.length, precision: (await model.explain()).precision };`,
  );
  expect(got).toEqual({ right: [true, true], devices: 2, precision: 'f16' });
});
