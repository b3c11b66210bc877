/**
 * `npm run bench:kernels -- [PATTERN]`: GMAC/s of the WASM kernels in Chromium, one thread, layer by layer, the layers whose
 * name matches PATTERN, and their share of what the machine reaches in a loop of little else. Exits with 1 when a tile
 * stays under 80 % of that, as it does when its sums are not kept in registers. Layers of signs are compared with f32 instead.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { build } from 'esbuild';
import { launchBrowser } from '../scripts/browser';
import type { Layer, Timing, Unit } from './kernels.page';

const gemm = (m: number, k: number, n: number, dtype: Layer['dtype']): Layer => ({
  ...{ name: `${dtype} gemm ${m}x${k}x${n}`, x: [m, 1, k], o: n, kernel: 1, stride: 1, depthwise: false, dtype },
});
const conv = (size: number, c: number, o: number, kernel: number, stride: number, dtype: Layer['dtype']): Layer => ({
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

const BITS = [
  conv(56, 64, 64, 3, 1, 'bits'),
  conv(28, 128, 128, 3, 1, 'bits'),
  conv(14, 256, 256, 3, 1, 'bits'),
  conv(7, 512, 512, 3, 1, 'bits'),
  conv(56, 64, 128, 3, 2, 'bits'),
  conv(28, 128, 256, 1, 1, 'bits'),
  gemm(1, 4096, 4096, 'bits'),
  gemm(64, 1024, 1024, 'bits'),
];

/** Layers at which a tile must come near the peak of its instruction, and how near. */
const TILES = (['f32', 'i8'] as const).map((t) => gemm(384, 512, 512, t));
const SHARE = 0.8;

const pattern = new RegExp(process.argv[2] ?? '');
const layers = [...TILES, ...[...LAYERS, ...BITS].filter((l) => pattern.test(l.name))];
const bundle = await build({
  entryPoints: ['bench/kernels.page.ts'],
  bundle: true,
  write: false,
  format: 'iife',
  target: 'es2022',
});
const asc = createRequire(import.meta.url).resolve('assemblyscript/bin/asc.js');
const options = [
  '--outFile',
  '../build/peak.wasm',
  '--enable',
  'simd,relaxed-simd',
  '--runtime',
  'stub',
  '--initialMemory',
  '1',
  '--noAssert',
  '-O1',
];
execFileSync(process.execPath, [asc, 'peak.ts', '--baseDir', 'assembly', ...options]);
const wasm = (name: string) => readFileSync(`build/${name}.wasm`).toString('base64');
const binaries = { base: wasm('wafer-base'), relaxed: wasm('wafer-relaxed') };
const browser = await launchBrowser();
try {
  const page = await browser.newPage();
  page.on('pageerror', (e) => console.error(e));
  await page.addScriptTag({ content: bundle.outputFiles[0]!.text });
  const peaks = (await page.evaluate(`peaks(${JSON.stringify(wasm('peak'))})`)) as Record<Unit, number>;
  console.log(
    `peak  ${Object.entries(peaks)
      .map(([unit, gmacs]) => `${unit} ${gmacs.toFixed(1)}`)
      .join(', ')} GMAC/s`,
  );
  for (const choice of [undefined, 'base'] as const) {
    const chosen = choice ? layers.filter((l) => l.dtype !== 'f32') : layers;
    const request = JSON.stringify({ binaries, build: choice, layers: chosen });
    const timings = (await page.evaluate(`run(${request})`)) as Timing[];
    timings.forEach(({ name, dot, ms, gmacs, ratio }, i) => {
      const { dtype } = chosen[i]!;
      const unit = dtype === 'f32' ? 'f32' : dot === 'i16' ? 'i16' : 'u8';
      const share = gmacs / peaks[unit];
      const slow = TILES.includes(chosen[i]!) && share < SHARE;
      if (slow) process.exitCode = 1;
      const by = dtype === 'bits' ? (choice ?? 'relaxed') : unit;
      const beside = ratio ? `${ratio.toFixed(2)} x f32` : `${(100 * share).toFixed(0).padStart(4)} %`;
      console.log(
        `${name.padEnd(30)} ${by.padEnd(7)} ${ms.toFixed(4).padStart(9)} ms ${gmacs.toFixed(1).padStart(7)} GMAC/s ${beside}${slow ? '  too far from the peak' : ''}`,
      );
    });
  }
} finally {
  await browser.close();
}
