/**
 * `npx tsx bench/kernels.ts [PATTERN]`: GMAC/s of the WASM kernels in Chromium, one thread, layer by layer; the layers
 * whose name matches PATTERN. Needs the binaries of `npm run build:assembly`.
 */
import { readFileSync } from 'node:fs';
import { build } from 'esbuild';
import { launchBrowser } from '../scripts/browser';
import type { Layer, Timing } from './kernels.page';

const gemm = (m: number, k: number, n: number, dtype: 'f32' | 'i8'): Layer => ({
  ...{ name: `${dtype} gemm ${m}x${k}x${n}`, x: [m, 1, k], o: n, kernel: 1, stride: 1, depthwise: false, dtype },
});
const conv = (size: number, c: number, o: number, kernel: number, stride: number, dtype: 'f32' | 'i8'): Layer => ({
  ...{
    name: `${dtype} conv ${size} ${c}-${o} k${kernel} s${stride}`,
    x: [size, size, c],
    o,
    kernel,
    stride,
    depthwise: false,
    dtype,
  },
});
const depthwise = (size: number, c: number, kernel: number, stride: number, dtype: 'f32' | 'i8'): Layer => ({
  ...{
    name: `${dtype} depthwise ${size} ${c} k${kernel} s${stride}`,
    x: [size, size, c],
    o: c,
    kernel,
    stride,
    depthwise: true,
    dtype,
  },
});

const LAYERS = (['f32', 'i8'] as const).flatMap((t) => [
  gemm(12544, 32, 16, t),
  gemm(12544, 16, 96, t),
  gemm(3136, 24, 144, t),
  gemm(784, 144, 32, t),
  gemm(196, 384, 64, t),
  gemm(49, 960, 160, t),
  gemm(49, 160, 960, t),
  gemm(49, 320, 1280, t),
  gemm(25600, 24, 4, t),
  gemm(1, 1280, 1000, t),
  conv(224, 3, 32, 3, 2, t),
  conv(224, 3, 64, 7, 2, t),
  conv(56, 64, 64, 3, 1, t),
  conv(28, 128, 128, 3, 1, t),
  conv(14, 256, 256, 3, 1, t),
  conv(7, 512, 512, 3, 1, t),
  conv(160, 96, 24, 3, 1, t),
  conv(32, 16, 16, 3, 1, t),
  depthwise(112, 32, 3, 1, t),
  depthwise(112, 96, 3, 2, t),
  depthwise(56, 144, 3, 1, t),
  depthwise(28, 192, 3, 1, t),
  depthwise(14, 384, 3, 1, t),
  depthwise(7, 960, 3, 1, t),
  depthwise(28, 96, 5, 1, t),
]);

const pattern = new RegExp(process.argv[2] ?? '');
const layers = LAYERS.filter((l) => pattern.test(l.name));
const bundle = await build({
  entryPoints: ['bench/kernels.page.ts'],
  bundle: true,
  write: false,
  format: 'iife',
  target: 'es2022',
});
const binary = (name: string) => readFileSync(`build/wafer-${name}.wasm`).toString('base64');
const binaries = { base: binary('base'), relaxed: binary('relaxed') };
const browser = await launchBrowser();
try {
  const page = await browser.newPage();
  page.on('pageerror', (e) => console.error(e));
  await page.addScriptTag({ content: bundle.outputFiles[0]!.text });
  for (const choice of [undefined, 'base'] as const) {
    const chosen = choice ? layers.filter((l) => l.dtype === 'i8') : layers;
    const request = JSON.stringify({ binaries, build: choice, layers: chosen });
    const timings = (await page.evaluate(`run(${request})`)) as Timing[];
    for (const { name, dot, ms, gmacs } of timings)
      console.log(`${name.padEnd(30)} ${dot.padEnd(4)} ${ms.toFixed(4).padStart(9)} ms ${gmacs.toFixed(1).padStart(7)} GMAC/s`);
  }
} finally {
  await browser.close();
}
