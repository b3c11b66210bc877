/**
 * Which of several texts for the same results is the fastest on this GPU. No feature tells: a packed dot may be an instruction or
 * be spelled out, and registers may be many or few. So it is measured once on each GPU, in idle time, and the browser remembers it for
 * the models that are loaded later.
 */
import { Builder, type Graph } from '../../graph/ir';
import type { GpuTraits } from '../../ops/define';
import { type GpuDevice, hasPackedDot } from './device';
import { remember } from './memory';
import { GpuRunner } from './runner';

/** A 1x1 convolution as mobile networks have them: 784 pixels of 96 channels to as many; long enough for a clock of 0.1 ms. */
const PIXELS = 784;
const CHANNELS = 96;
/** Products in a row. */
const LAYERS = 12;
const ROUNDS = 5;

/** In order: what is chosen first is used for what comes after. */
const CHOICES: readonly { graph: () => Graph; other: (traits: GpuTraits) => GpuTraits }[] = [
  { graph: () => products('f32'), other: (traits) => ({ ...traits, isSoftware: !traits.isSoftware }) },
  { graph: () => products('i8'), other: (traits) => ({ ...traits, packedDot: !traits.packedDot }) },
];

/** Measures what can be chosen on `gpu`, and remembers it under its name. Resolves to what was found. */
export async function tune(gpu: GpuDevice): Promise<GpuTraits> {
  let best = gpu.traits;
  for (const { graph, other } of CHOICES) {
    const rival = other(best);
    if (rival.packedDot && !hasPackedDot()) continue;
    const [one, two] = await times(gpu, graph(), [best, rival]);
    if (two! < one!) best = rival;
  }
  await remember(gpu.name, best);
  return best;
}

/** Least milliseconds of a run with each of the traits, in turn. */
async function times(gpu: GpuDevice, graph: Graph, traits: readonly GpuTraits[]): Promise<number[]> {
  const runners = traits.map((one) => new GpuRunner(graph, gpu, one));
  const least = traits.map(() => Number.POSITIVE_INFINITY);
  try {
    const [input] = graph.inputs;
    const shape = input!.type.shape as number[];
    const data = new (input!.type.dtype === 'f32' ? Float32Array : Int8Array)(PIXELS * CHANNELS).map((_, i) => i % 7);
    for (let round = -1; round < ROUNDS; round++)
      for (const [i, runner] of runners.entries()) {
        const bound = await runner.bound([shape]);
        const start = performance.now();
        await runner.readBack(bound, { x: { data, shape } });
        // The first compiles.
        if (round >= 0) least[i] = Math.min(least[i]!, performance.now() - start);
      }
    return least;
  } finally {
    for (const runner of runners) runner.dispose();
  }
}

/** LAYERS products, whose last element alone is read back. */
function products(dtype: 'f32' | 'i8'): Graph {
  const builder = new Builder();
  const quant = { scale: 1, zero: 0 };
  const shape = [1, 28, PIXELS / 28, CHANNELS];
  let y = builder.input('x', dtype === 'f32' ? { dtype, shape } : { dtype, shape, quant });
  const draw = (i: number) => ((i * 7919) % 15) - 7;
  for (let layer = 0; layer < LAYERS; layer++) {
    const numbers = Array.from({ length: CHANNELS * CHANNELS }, (_, i) => draw(i));
    const w = builder.numbers('w', dtype, [CHANNELS, 1, 1, CHANNELS], numbers);
    const multiplier =
      dtype === 'i8' ? builder.numbers('m', 'i32', [CHANNELS], new Int32Array(CHANNELS).fill(2 ** 15)) : undefined;
    y = builder.node('conv', 'y', [y, w, undefined, multiplier], dtype === 'i8' ? { quant } : {});
  }
  const last = builder.node('slice', 'last', [y], { starts: [0, 0, 0, 0], steps: [1, 1, 1, 1], size: [1, 1, 1, CHANNELS] });
  return builder.finish([{ name: 'y', value: last }]);
}
