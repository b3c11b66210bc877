/**
 * `npm run bench:kernels -- [PATTERN]`: GMAC/s of the WASM kernels in Chromium, one thread, layer by layer, the layers whose
 * name matches PATTERN, and their share of what the machine reaches in a loop of little else; products with weights of 0 count.
 * Exits with 1 when a tile stays under 80 % of that, as it does when its sums are not kept in registers, and when a row times
 * 8192 x 8192 ternary weights, which stream from memory, is not 2.5 times as fast as int8 or takes more than 0.26 bytes a weight.
 * Then, where "decode" matches, MB/s at which tensors are decoded from files, and 1 when WASM does less than 300.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { build } from 'esbuild';
import { launchBrowser } from '../scripts/browser';
import type { DecodeTiming, Layer, Timing, Unit } from './kernels.page';

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
const depthwise = (size: number, c: number, kernel: number, stride: number, dtype: Layer['dtype']): Layer => ({
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

/** Shapes of products, and the shares of zero units in their weights beside none. */
const SPARSE = [
  gemm(784, 144, 32, 'i8'),
  gemm(196, 384, 64, 'i8'),
  gemm(196, 576, 96, 'i8'),
  gemm(49, 960, 160, 'i8'),
  gemm(784, 1152, 128, 'i8'),
  conv(28, 128, 128, 3, 1, 'i8'),
];
const ZEROS = [0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
/** Weights of few levels: 3, 15 at equal distances, and 16 that are not. */
const LEVELS = {
  ternary: [-1, 0, 1],
  int4: Array.from({ length: 15 }, (_, i) => i - 7),
  table: [-127, -90, -64, -45, -32, -23, -16, -11, 0, 11, 16, 23, 32, 45, 64, 90],
};

/** A product with weights of all values, then of few. */
const coded = (layer: Layer): Layer[] => [
  layer,
  ...Object.entries(LEVELS).map(([form, levels]) => ({ ...layer, name: `${layer.name} ${form}`, levels })),
];

const SIGNS = [-1, 1];

/** A product in f32, then of signs. */
const binary = (layer: Layer): Layer[] => [
  layer,
  { ...layer, name: layer.name.replace('f32', 'bits'), dtype: 'bits', levels: SIGNS },
];

/** Products that are timed in turn with the first of them. */
const GROUPS = [
  binary(conv(56, 64, 64, 3, 1, 'f32')),
  binary(conv(28, 128, 128, 3, 1, 'f32')),
  binary(conv(14, 256, 256, 3, 1, 'f32')),
  binary(conv(7, 512, 512, 3, 1, 'f32')),
  binary(conv(56, 64, 128, 3, 2, 'f32')),
  binary(conv(28, 128, 256, 1, 1, 'f32')),
  binary(gemm(1, 4096, 4096, 'f32')),
  binary(gemm(64, 1024, 1024, 'f32')),
  ...SPARSE.map((l) => ZEROS.map((zeros): Layer => ({ ...l, name: `${l.name} zeros ${100 * zeros} %`, zeros }))),
  ...[1024, 4096, 8192].map((k) => coded({ ...gemm(1, k, k, 'i8'), name: `i8 gemv ${k}x${k}` })),
  coded({ ...gemm(49, 960, 160, 'i8'), name: 'i8 levels 49x960x160' }),
  coded({ ...conv(14, 256, 256, 3, 1, 'i8'), name: 'i8 levels 14 256-256 k3' }),
];

/** The layer that the issue of ternary weights is about, how many times as fast as int8 it must be, and bytes of a weight. */
const TERNARY = { name: 'i8 gemv 8192x8192 ternary', speed: 2.5, bytes: 0.26 };

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

/** Layers at which a tile must come near the peak of its instruction, and how near. */
const TILES = (['f32', 'i8'] as const).map((t) => gemm(384, 512, 512, t));
const SHARE = 0.8;

/** MB/s of decoded tensors that WASM must reach, but for small ones, where making tables takes as long. */
const DECODE = 300;

const pattern = new RegExp(process.argv[2] ?? '');
const alone = [...TILES, ...LAYERS.filter((l) => pattern.test(l.name))].map((l) => [l]);
const groups = [...alone, ...GROUPS.filter((group) => group.some((l) => pattern.test(l.name)))];
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
    const chosen = groups.filter((group) => !choice || group.some((l) => l.dtype !== 'f32'));
    const request = JSON.stringify({ binaries, build: choice, groups: chosen });
    const timings = (await page.evaluate(`run(${request})`)) as Timing[][];
    timings.forEach((group, g) => {
      for (const [i, timing] of group.entries()) report(chosen[g]![i]!, timing, group[0]!, peaks);
    });
  }
  if (pattern.test('decode'))
    for (const timing of (await page.evaluate(`decodes(${JSON.stringify(binaries)})`)) as DecodeTiming[]) reportDecode(timing);
} finally {
  await browser.close();
}

/** Prints a tensor's line and sets the exit code. */
function reportDecode({ name, encoding, bits, entropy, wasm, scalar }: DecodeTiming): void {
  const isSlow = wasm < DECODE && !name.includes('elements');
  if (isSlow) process.exitCode = 1;
  const [fast, slow] = [wasm, scalar].map((rate) => rate.toFixed(0).padStart(6));
  const size = `${bits.toFixed(3).padStart(6)} bits${entropy === undefined ? '' : `, entropy ${entropy.toFixed(3)}`}`;
  console.log(`decode ${name.padEnd(27)} ${fast} MB/s ${slow} without WASM  ${size}  ${encoding}${isSlow ? '  too slow' : ''}`);
}

/** Prints a layer's line and sets the exit code; `first`: that of its group. */
function report(layer: Layer, timing: Timing, first: Timing, peaks: Record<Unit, number>): void {
  const { name, dot, ms, gmacs, weightBytes } = timing;
  // Signs are not multiplied, and have no peak of that kind.
  const unit = layer.dtype !== 'i8' ? layer.dtype : dot === 'i16' ? 'i16' : 'u8';
  const share = unit === 'bits' ? undefined : gmacs / peaks[unit];
  const speed = first.ms / ms;
  const faults = [
    ...(TILES.includes(layer) && share! < SHARE ? ['too far from the peak'] : []),
    ...(name === TERNARY.name && dot !== 'i16' && speed < TERNARY.speed ? [`not ${TERNARY.speed} times as fast`] : []),
    ...(name === TERNARY.name && weightBytes > TERNARY.bytes ? [`more than ${TERNARY.bytes} bytes a weight`] : []),
  ];
  if (faults.length) process.exitCode = 1;
  const compared = timing === first ? '' : `  ${speed.toFixed(2)} times ${first.name}, ${weightBytes.toFixed(3)} bytes a weight`;
  console.log(
    `${name.padEnd(34)} ${unit.padEnd(4)} ${ms.toFixed(4).padStart(9)} ms ${gmacs.toFixed(1).padStart(7)} GMAC/s ${share === undefined ? '      ' : `${(100 * share).toFixed(0).padStart(4)} %`}${compared}${faults.map((fault) => `  ${fault}`).join()}`,
  );
}
