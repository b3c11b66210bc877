/**
 * The GPU as a page has it, on software adapters: backends, pictures, buffers, lost devices, memory. What operators compute there is in
 * ops.test.ts.
 */
import type { Browser } from 'puppeteer-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { gpuFlags, launchBrowser } from '../../scripts/browser';
import { rows, seeing, weighted } from '../support/gpuModels';
import { openSecurePage } from '../support/page';

const models = {
  weighted: weighted(),
  rows: await rows(),
  wrong: await rows(0.5),
  nhwc: seeing('nhwc', 'rgb'),
  nchw: seeing('nchw', 'bgr'),
  gray: seeing('nchw', 'gray'),
};

/** What all pages know: the models, the devices that were asked for, what buffers live, and what y must be. */
const PRELUDE = `
  const decode = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const models = Object.fromEntries(Object.entries(${JSON.stringify(
    Object.fromEntries(Object.entries(models).map(([name, file]) => [name, Buffer.from(file).toString('base64')])),
  )}).map(([name, text]) => [name, decode(text)]));
  const devices = [];
  const alive = new Set();
  const { requestDevice } = GPUAdapter.prototype;
  GPUAdapter.prototype.requestDevice = async function (...args) {
    const device = await requestDevice.apply(this, args);
    devices.push(device);
    return device;
  };
  const { createBuffer } = GPUDevice.prototype;
  GPUDevice.prototype.createBuffer = function (descriptor) {
    const buffer = createBuffer.call(this, descriptor);
    alive.add(buffer);
    const { destroy } = buffer;
    buffer.destroy = () => { alive.delete(buffer); destroy.call(buffer); };
    return buffer;
  };
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const x = (n, from = -3) => ({ data: Float32Array.from({ length: 4 * n }, (_, i) => from + i / 2), shape: [n, 4] });
  const isRight = ({ y, z }, { data }) => data.every((v, i) => y.data[i] === Math.max(0, 2 * v + 1) && z.data[i] === -y.data[i]);
`;

let browser: Browser;
beforeAll(async () => {
  browser = await launchBrowser({ args: gpuFlags('core') });
});
afterAll(() => browser?.close());

/** What the body, an async function's source, returns on a page that has the bundle and PRELUDE. */
async function on<T>(body: string, where: Browser = browser): Promise<T> {
  const page = await openSecurePage(where);
  try {
    await page.addScriptTag({ path: 'dist/wafer.min.js' });
    return (await page.evaluate(`(async () => { ${PRELUDE} ${body} })()`)) as T;
  } finally {
    await page.close();
  }
}

test.each([true, false])('gpu/computes in a worker: %s', async (worker) => {
  const got = await on(
    `const model = await wafer.load(models.rows, { backend: 'webgpu', worker: ${worker} });
    const inputs = [x(0), x(5), x(1), x(5, 2)];
    const outputs = await Promise.all(inputs.map((x) => model.run({ x })));
    const { device, build, why, thread, nodes } = await model.explain();
    const profile = await model.profile({ x: inputs[1] }, { runs: 2 });
    const { total } = await model.memory();
    await model.dispose();
    const code = await model.run({ x: inputs[0] }).catch((e) => e.code);
    return { right: outputs.map((y, i) => isRight(y, inputs[i])), device, build, why, thread: thread.kind, nodes,
      timed: profile.every(({ ms }) => ms >= 0) && profile.length, total, code };`,
  );
  expect(got).toMatchObject({
    right: [true, true, true, true],
    device: 'webgpu',
    build: expect.stringContaining('swiftshader'),
    why: 'webgpu was asked for',
    thread: worker ? 'worker' : 'main',
    nodes: [{ kernels: ['unary ACT=affine,relu'] }, { kernels: ['unary ACT=neg'] }],
    timed: 2,
    code: 'DISPOSED',
  });
  expect(got).toHaveProperty('total', expect.any(Number));
});

test('gpu/f32 is computed where there are no 16-bit floats, and explain says so', async () => {
  const got = await on(
    `const input = x(4);
    const told = [];
    for (const backend of ['webgpu', 'wasm']) {
      const model = await wafer.load(models.rows, { backend, precision: 'f16' });
      const right = isRight(await model.run({ x: input }), input);
      const { device, precision, why } = await model.explain();
      told.push({ right, device, precision, why });
    }
    return told;`,
  );
  const lacking = 'f32 is computed, not f16';
  expect(got).toEqual([
    { right: true, device: 'webgpu', precision: 'f32', why: `webgpu was asked for; ${lacking}: this GPU has no 16-bit floats` },
    {
      right: true,
      device: 'wasm',
      precision: 'f32',
      why: expect.stringContaining(`wasm was asked for; ${lacking}: WASM computes`),
    },
  ]);
});

test('gpu/inputs are the page’s own again once run was called', async () => {
  const got = await on(
    `const model = await wafer.load(models.rows, { backend: 'webgpu', worker: false });
    const input = x(4);
    const right = [];
    for (let i = 0; i < 2; i++) {
      const wanted = { ...input, data: input.data.slice() };
      const run = model.run({ x: input });
      input.data.fill(7 + i);
      right.push(isRight(await run, wanted));
    }
    return right;`,
  );
  expect(got).toEqual([true, true]);
});

test('gpu/auto answers from WASM and says what it measured', async () => {
  const got = await on<{ first: string; right: boolean; later: string; device: string }>(
    `const model = await wafer.load(models.rows);
    const input = x(4);
    const first = await model.explain();
    const right = [isRight(await model.run({ x: input }), input)];
    let later = first;
    for (let i = 0; i < 200 && later.why === first.why; i++) {
      await sleep(50);
      later = await model.explain();
    }
    right.push(isRight(await model.run({ x: input }), input));
    return { first: first.device, right: right.every(Boolean), later: later.why, device: later.device };`,
  );
  // Some microseconds of work: a GPU cannot be faster.
  expect(got).toMatchObject({
    first: 'wasm',
    right: true,
    later: expect.stringMatching(/took .* on the GPU and .* on WASM/),
    device: 'wasm',
  });
});

test('gpu/auto takes the GPU where it is faster, and goes back when that is lost for good', async () => {
  const got = await on(
    `// A page on which WASM is slow.
    const { instantiate } = WebAssembly;
    WebAssembly.instantiate = async (...args) => {
      const { exports } = await instantiate(...args);
      const slow = (...rest) => {
        for (const end = performance.now() + 40; performance.now() < end; );
        exports.f32_steps(...rest);
      };
      return { exports: { ...exports, f32_steps: slow } };
    };
    const model = await wafer.load(models.rows, { worker: false });
    const input = x(5);
    const right = [isRight(await model.run({ x: input }), input)];
    const devicesBefore = devices.length;
    let device = 'wasm';
    for (let i = 0; i < 200 && device === 'wasm'; i++) {
      await sleep(50);
      ({ device } = await model.explain());
    }
    const { why } = await model.explain();
    right.push(isRight(await model.run({ x: input }), input));
    devices[0].destroy();
    right.push(isRight(await model.run({ x: input }), input));
    GPU.prototype.requestAdapter = async () => null;
    devices[1].destroy();
    right.push(isRight(await model.run({ x: input }), input));
    const last = await model.explain();
    return { right, devicesBefore, device, why, last: last.device };`,
  );
  expect(got).toMatchObject({
    ...{ right: [true, true, true, true], devicesBefore: 0, device: 'webgpu', last: 'wasm' },
    why: expect.stringMatching(/took .* on the GPU and .* on WASM/),
  });
});

test('gpu/a driver that computes wrong numbers is found out before its first answer', async () => {
  const got = await on(
    `const { createShaderModule } = GPUDevice.prototype;
    GPUDevice.prototype.createShaderModule = function ({ code, ...rest }) {
      return createShaderModule.call(this, { ...rest, code: code.replace('return max(x,', 'return min(x,') });
    };
    const input = x(2);
    const codes = [];
    for (const worker of [true, false]) {
      const model = await wafer.load(models.rows, { backend: 'webgpu', worker });
      // A worker has its own GPUDevice, whose driver is right.
      codes.push(await model.run({ x: input }).then((y) => isRight(y, input), (e) => e.code));
      codes.push(await model.run({ x: input }).then((y) => isRight(y, input), (e) => e.code));
    }
    codes.push(await wafer.load(models.rows, { backend: 'webgpu', worker: false, verify: 'first-run' }).then(() => 'loaded', (e) => e.code));
    const auto = await wafer.load(models.rows, { worker: false });
    codes.push(isRight(await auto.run({ x: input }), input));
    let why = '';
    for (let i = 0; i < 200 && !why.includes('cannot be used'); i++) {
      await sleep(50);
      ({ why } = await auto.explain());
    }
    codes.push(isRight(await auto.run({ x: input }), input));
    return { codes, why };`,
  );
  expect(got).toMatchObject({
    codes: [true, true, 'MISMATCH', 'MISMATCH', 'MISMATCH', true, true],
    why: expect.stringMatching(/the GPU cannot be used .*golden/),
  });
});

test('gpu/golden runs are checked when there is time, or first where that is asked for', async () => {
  const got = await on(
    `const first = await wafer.load(models.wrong, { backend: 'webgpu', verify: 'first-run' }).catch((e) => e.code);
    const trusted = await wafer.load(models.wrong, { backend: 'webgpu', verify: 'off' });
    const model = await wafer.load(models.wrong, { backend: 'webgpu' });
    const input = x(2);
    const right = isRight(await model.run({ x: input }), input);
    let code = '';
    for (let i = 0; i < 200 && code !== 'MISMATCH'; i++) {
      await sleep(50);
      if (i % 20 === 19) code = await model.run({ x: input }).then(() => '', (e) => e.code);
    }
    return { first, right, code, trusted: isRight(await trusted.run({ x: input }), input) };`,
  );
  expect(got).toEqual({ first: 'MISMATCH', right: true, code: 'MISMATCH', trusted: true });
});

test('gpu/devices that are lost at any moment cost no answer', async () => {
  const got = await on<{ wrong: number; lost: number; why: string }>(
    `const model = await wafer.load(models.rows, { backend: 'webgpu', worker: false });
    let [wrong, state] = [0, 12345];
    const random = () => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) / 2 ** 32;
    for (let i = 0; i < 20; i++) {
      const device = devices.at(-1);
      const inputs = [x(3 + i), x(9), x(1, i)];
      setTimeout(() => device.destroy(), random() * 12);
      const outputs = await Promise.all(inputs.map((x) => model.run({ x })));
      await sleep(random() * 5);
      outputs.forEach((y, k) => { wrong += isRight(y, inputs[k]) ? 0 : 1; });
      if (random() < 0.5) await device.lost;
    }
    const { why } = await model.explain();
    return { wrong, lost: devices.length - 1, why };`,
  );
  expect(got.wrong).toBe(0);
  expect(got.lost).toBeGreaterThan(9);
  expect(got.why).toContain('recovered from the loss of');
});

test('gpu/when no other device is to be had, WASM answers and says so', async () => {
  const got = await on(
    `const model = await wafer.load(models.rows, { backend: 'webgpu', worker: false });
    const input = x(3);
    await model.run({ x: input });
    GPU.prototype.requestAdapter = async () => null;
    devices[0].destroy();
    const right = isRight(await model.run({ x: input }), input);
    const { device, why } = await model.explain();
    return { right, device, why };`,
  );
  expect(got).toMatchObject({ right: true, device: 'wasm', why: expect.stringMatching(/^the GPU failed \(.*\); /) });
});

test('gpu/runs leave nothing behind, and dispose frees all', async () => {
  const got = await on<{ after: number[]; total: number[]; heap: number[]; left: number; lost: string }>(
    `const model = await wafer.load(models.rows, { backend: 'webgpu', worker: false });
    const [after, total] = [[], []];
    for (let i = 0; i < 2000; i++) {
      const input = x(1 + (i % 6));
      if (!isRight(await model.run({ x: input }), input)) throw new Error('wrong');
      if (i % 500 === 499) { after.push(alive.size); total.push((await model.memory()).total); }
    }
    // More shapes than plans are kept.
    for (let n = 1; n < 30; n++) await model.run({ x: x(n) });
    after.push(alive.size);
    await model.dispose();
    const { reason } = await devices[0].lost;
    return { after, total, left: alive.size, lost: reason };`,
  );
  expect(new Set(got.after.slice(0, 4)).size).toBe(1);
  expect(new Set(got.total).size).toBe(1);
  expect(got.after[4]).toBeLessThan(2 * got.after[0]!);
  expect(got).toMatchObject({ left: 0, lost: 'destroyed' });
});

test('gpu/inputs that are too large for the GPU cost no later run', async () => {
  const got = await on(
    `const most = 2 ** 20;
    // A GPU of which no binding may be larger than 1 MiB.
    Object.defineProperty(GPUSupportedLimits.prototype, 'maxStorageBufferBindingSize', { get: () => most });
    const model = await wafer.load(models.weighted, { backend: 'webgpu', worker: false });
    const code = await model.run({ x: x(2 ** 17) }).then(() => 'ran', (e) => e.code);
    const before = alive.size;
    const { y } = await model.run({ x: x(1, 1) });
    return { code, before, y: [...y.data] };`,
  );
  expect(got).toEqual({ code: 'MEMORY', before: 0, y: [1, 3, 6, 10] });
});

test('gpu/buffers in and out', async () => {
  const got = await on(
    `const adapter = await navigator.gpu.requestAdapter();
    const device = await adapter.requestDevice();
    const model = await wafer.load(models.rows, { backend: 'webgpu', device });
    const input = x(3);
    const { STORAGE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
    const buffer = device.createBuffer({ size: 48, usage: STORAGE | COPY_SRC | COPY_DST });
    device.queue.writeBuffer(buffer, 0, input.data);
    const fromBuffer = await model.run({ x: { buffer, shape: [3, 4] } });
    const { y } = await model.run({ x: { buffer, shape: [3, 4] } }, { outputs: 'buffers' });
    const staging = device.createBuffer({ size: 48, usage: MAP_READ | COPY_DST });
    const commands = device.createCommandEncoder();
    commands.copyBufferToBuffer(y.buffer, 0, staging, 0, 48);
    device.queue.submit([commands.finish()]);
    await staging.mapAsync(1);
    const data = [...new Float32Array(staging.getMappedRange())];
    const code = (...args) => model.run(...args).then(() => 'ran', (e) => e.code);
    const blind = device.createBuffer({ size: 48, usage: STORAGE });
    const codes = [await code({ x: { buffer, shape: [4, 4] } }), await code({ x: { buffer: blind, shape: [3, 4] } }),
      await code({ x: input }, { outputs: 'nowhere' })];
    const other = await wafer.load(models.rows, { backend: 'wasm', worker: false });
    codes.push(await other.run({ x: { buffer, shape: [3, 4] } }).catch((e) => e.code));
    codes.push(await other.run({ x: input }, { outputs: 'buffers' }).catch((e) => e.code));
    const away = await wafer.load(models.rows, { backend: 'webgpu' });
    codes.push(await away.run({ x: input }, { outputs: 'buffers' }).catch((e) => e.code));
    codes.push(await wafer.load(models.rows, { device, worker: true }).catch((e) => e.code));
    await model.dispose();
    const isKept = await Promise.race([device.lost.then(() => false), sleep(50).then(() => true)]);
    return { right: isRight(fromBuffer, input), data, shape: y.shape, dtype: y.dtype, codes, isKept };`,
  );
  const data = Array.from({ length: 12 }, (_, i) => Math.max(0, 2 * (-3 + i / 2) + 1));
  const codes = ['SHAPE', 'ARGUMENT', 'ARGUMENT', 'ARGUMENT', 'ARGUMENT', 'ARGUMENT', 'ARGUMENT'];
  expect(got).toEqual({ right: true, data, shape: [3, 4], dtype: 'f32', codes, isKept: true });
});

/** How far the GPU's results are from WASM's at the most, by kind of picture, in every framing, in a worker and without. */
const pictureErrors = (name: string, kinds: readonly string[]) =>
  on<Record<string, number>>(
    `const canvas = new OffscreenCanvas(40, 30);
    const context = canvas.getContext('2d');
    const gradient = context.createLinearGradient(0, 0, 40, 30);
    gradient.addColorStop(0, 'rgb(250, 20, 40)');
    gradient.addColorStop(1, 'rgb(10, 200, 120)');
    context.fillStyle = gradient;
    context.fillRect(0, 0, 40, 30);
    context.fillStyle = 'blue';
    context.fillRect(5, 7, 11, 9);
    const element = document.createElement('img');
    element.src = URL.createObjectURL(await canvas.convertToBlob());
    await element.decode();
    const pictures = { canvas, element, pixels: context.getImageData(0, 0, 40, 30), bitmap: await createImageBitmap(canvas),
      frame: new VideoFrame(canvas, { timestamp: 0 }) };
    const quad = [[4, 2], [36, 6], [38, 27], [1, 22]];
    const framings = [{}, { height: 17, width: 64 }, { height: 20, width: 50, columns: 33, quad }];
    const reference = await wafer.load(models.${name}, { backend: 'wasm', worker: false });
    const worst = {};
    for (const worker of [true, false]) {
      const model = await wafer.load(models.${name}, { backend: 'webgpu', worker });
      for (const kind of ${JSON.stringify(kinds)})
        for (const framing of framings) {
          const image = pictures[kind];
          const given = Object.keys(framing).length ? { image, ...framing } : image;
          const [want, got] = await Promise.all([reference.run({ x: given }), model.run({ x: given })]);
          if (want.y.shape.join() !== got.y.shape.join()) return { shape: NaN };
          const off = want.y.data.reduce((most, v, i) => Math.max(most, Math.abs(v - got.y.data[i])), 0);
          worst[kind] = Math.max(worst[kind] ?? 0, off);
        }
    }
    return worst;`,
  );

// A hundredth of a level at a scale of 0.03.
const PICTURE_ERROR = 3e-3;

test.each(['nhwc', 'nchw', 'gray'])('gpu/pictures of every kind, %s', async (name) => {
  const got = await pictureErrors(name, ['canvas', 'element', 'pixels', 'bitmap']);
  expect(Object.keys(got)).toHaveLength(4);
  for (const kind of Object.keys(got)) expect({ [kind]: got[kind]! < PICTURE_ERROR }).toEqual({ [kind]: true });
});

test.for(['nhwc', 'nchw', 'gray'])('gpu/frames of a video, %s', async (name, { skip }) => {
  const got = await pictureErrors(name, ['frame']).catch((error: Error) => {
    // On SwiftShader, Chromium 150 loses its GPU process where a bare page copies a VideoFrame into a texture.
    if (/external Instance reference no longer exists/.test(error.message)) skip('this browser cannot copy frames');
    throw error;
  });
  expect(Object.keys(got)).toEqual(['frame']);
  expect(got.frame!).toBeLessThan(PICTURE_ERROR);
});

test('gpu/a bitmap is copied once for the inputs of all sizes, and what may change at every run', async () => {
  const got = await on(
    `let copies = 0;
    const { copyExternalImageToTexture } = GPUQueue.prototype;
    GPUQueue.prototype.copyExternalImageToTexture = function (...args) {
      copies++;
      return copyExternalImageToTexture.apply(this, args);
    };
    const canvas = new OffscreenCanvas(8, 6);
    const context = canvas.getContext('2d');
    const filled = async (colour) => {
      context.fillStyle = colour;
      context.fillRect(0, 0, 8, 6);
      return createImageBitmap(canvas);
    };
    const [red, blue] = [await filled('#ff0000'), await filled('#0000ff')];
    const model = await wafer.load(models.nhwc, { backend: 'webgpu', worker: false });
    const isSeen = async (image, width, r, b) => {
      const { y } = await model.run({ x: { image, height: 3, width } });
      const want = [(r - 100) * 0.01 + 0.5, -2.2 + 0.5, (b - 120) * 0.03 + 0.5];
      return y.data.every((v, i) => Math.abs(v - want[i % 3]) < 1e-3);
    };
    const counts = [];
    const see = async (...args) => counts.push((await isSeen(...args)) ? copies : 'wrong');
    for (const width of [5, 6, 5]) await see(red, width, 255, 0);
    for (const width of [5, 7]) await see(blue, width, 0, 255);
    await see(red, 6, 255, 0);
    for (let i = 0; i < 2; i++) await see(canvas, 5, 0, 255);
    await filled('#ff0000');
    await see(canvas, 5, 255, 0);
    const together = await Promise.all([isSeen(red, 4, 255, 0), isSeen(blue, 4, 0, 255), isSeen(blue, 3, 0, 255)]);
    blue.close();
    const closed = await model.run({ x: blue }).catch((e) => e.code);
    await model.dispose();
    return { counts, together, closed };`,
  );
  expect(got).toEqual({ counts: [1, 1, 1, 2, 2, 3, 4, 5, 6], together: [true, true, true], closed: 'ARGUMENT' });
});

test('gpu/compatibility mode', async () => {
  const other = await launchBrowser({ args: gpuFlags('compatibility') });
  try {
    const got = await on(
      `const { requestAdapter } = GPU.prototype;
      GPU.prototype.requestAdapter = async function (options) {
        return options.featureLevel === 'compatibility' ? requestAdapter.call(this, options) : null;
      };
      const model = await wafer.load(models.rows, { backend: 'webgpu', worker: false });
      const input = x(5);
      const right = isRight(await model.run({ x: input }), input);
      const seeing = await wafer.load(models.nhwc, { backend: 'webgpu', worker: false });
      const image = { data: new Uint8ClampedArray(64).fill(100), width: 4, height: 4 };
      const { y } = await seeing.run({ x: image });
      return { right, build: (await model.explain()).build, y: [...y.data.slice(0, 3)] };`,
      other,
    );
    expect(got).toMatchObject({ right: true, build: expect.stringContaining('compatibility') });
  } finally {
    await other.close();
  }
});
