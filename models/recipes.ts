/**
 * The files of this folder: the commands that made each, what it is measured on, and what was measured. `npm run models` makes
 * them again, `npm run verify:results` measures them again; a recipe that is added here is in both.
 */
import { WaferError } from '../src/core/errors';

export interface Recipe {
  /** The file is NAME.wafer in this folder. */
  readonly name: string;
  /**
   * Arguments of `wafer`, a list a command. $OUT is the folder of what is made, $SEED the seed; WAFER_MODELS and WAFER_DATA are
   * the variables that name folders of models and of data.
   */
  readonly commands: readonly (readonly string[])[];
  /** What it is measured on, as `wafer eval --data` takes it, and how many records of it were calibrated on. */
  readonly data: string;
  readonly without?: number;
  /** Of the file. */
  readonly bytes: number;
  /** In percent, two digits; or what seeds 1, 2 and 3 give, and the file is that of the median. */
  readonly top1: number | readonly [number, number, number];
  /** Points of top-1 that it may be below another file. */
  readonly loses?: { readonly points: number; readonly against: string };
}

/** The reference net of floats; where it was trained already, the checkpoint is the end of it. */
const trainReference = (output: string): readonly string[] => [
  ...['train', 'models/fashion-mnist/reference.ts', '--data', 'fashion-mnist', '--epochs', '10', '--weight-decay', '5e-4'],
  ...['--workers', '2', '--seed', '$SEED', '--checkpoint', '$OUT/fashion-mnist/fp32-$SEED.npz', '--resume', '-o', output],
];

/** The reference net; with `flags`, quantised and trained on. */
const fashion = (name: string, flags: readonly string[], found: Pick<Recipe, 'bytes' | 'top1'>, points?: number): Recipe => {
  const [floats, output] = ['$OUT/fashion-mnist/fp32-$SEED.wafer', `$OUT/fashion-mnist/${name}.wafer`];
  const tuned = ['train', floats, '--data', 'fashion-mnist', '--workers', '2', '--seed', '$SEED', ...flags, '-o', output];
  return {
    name: `fashion-mnist/${name}`,
    commands: flags.length ? [trainReference(floats), tuned] : [trainReference(output)],
    data: 'fashion-mnist',
    ...found,
    ...(points !== undefined && { loses: { points, against: 'fashion-mnist/fp32' } }),
  };
};

/** The two layers behind the first, which hold nine weights of ten; the others are int8. */
const inner = (format: string): readonly string[] => ['--layer', `conv.1=${format}`, '--layer', `conv.2=${format}`];

/** A net of models/ and the recipe beside it. */
const compressed = (name: string, data: string, found: Pick<Recipe, 'bytes' | 'top1'>): Recipe => ({
  name,
  commands: [
    [
      ...['compress', `models/${name}.ts`, '--recipe', `models/${name}.yaml`, '--seed', '$SEED', '--no-report'],
      ...['-o', `$OUT/${name}.wafer`],
    ],
  ],
  data,
  ...found,
});

/** What students learn from: trained once, by the first 55,000 images. */
const teacher: Recipe = {
  name: 'fashion-mnist/teacher',
  commands: [
    [
      ...['train', 'models/fashion-mnist/teacher.ts', '--data', 'fashion-mnist:train[:55000]'],
      ...['--test', 'fashion-mnist:train[55000:]', '--test-every', '4', '--epochs', '44', '--lr', '0.1', '--warmup', '400'],
      ...['--weight-decay', '5e-4', '--flip', '--crop', '2', '--erase', '0.5', '--workers', '2', '--seed', '$SEED'],
      ...['--checkpoint', '$OUT/fashion-mnist/teacher.npz', '--resume', '--float16', '-o', '$OUT/fashion-mnist/teacher.wafer'],
    ],
  ],
  data: 'fashion-mnist',
  bytes: 718712,
  top1: 94.55,
};

const CALIBRATED = 100;

/** MLPerf Tiny's ResNet8 for CIFAR-10, quantised after training. */
const resnet8 = (name: string, flags: readonly string[], found: Pick<Recipe, 'bytes' | 'top1'>, points?: number): Recipe => ({
  name: `cifar10/resnet8-${name}`,
  commands: [
    [
      ...['pack', '$WAFER_MODELS/resnet8_cifar10_fp32.onnx', '--image-scale', '1'],
      ...(flags.length ? ['--calibrate', CIFAR, '--samples', String(CALIBRATED), ...flags] : []),
      ...['-o', `$OUT/cifar10/resnet8-${name}.wafer`],
    ],
  ],
  data: CIFAR,
  without: CALIBRATED,
  ...found,
  ...(points !== undefined && { loses: { points, against: 'cifar10/resnet8-fp32' } }),
});

const CIFAR = '$WAFER_DATA/images/cifar10';

export const RECIPES: readonly Recipe[] = [
  fashion('fp32', [], { bytes: 189427, top1: [91.04, 91.23, 91.2] }),
  fashion('w8a8', ['--epochs', '1', '--lr', '0.002', '--quantize', 'int8'], { bytes: 52018, top1: [91.26, 91.25, 91.2] }, 0.2),
  fashion(
    'w4a8',
    ['--epochs', '2', '--lr', '0.01', '--quantize', 'int4', '--layer', 'conv.0=int8', '--layer', 'gemm.4=int8'],
    { bytes: 25502, top1: [91, 90.97, 91.12] },
    0.5,
  ),
  fashion('ternary', ['--epochs', '3', '--lr', '0.02', ...inner('ternary')], { bytes: 12693, top1: [90.86, 90.48, 90.65] }, 0.7),
  fashion('binary', ['--epochs', '3', '--lr', '0.02', ...inner('binary')], { bytes: 8957, top1: [90.19, 89.99, 90.16] }, 1.2),
  fashion(
    'xnor',
    ['--epochs', '5', '--optimizer', 'adam', '--lr', '0.003', ...inner('xnor')],
    { bytes: 9864, top1: [89.31, 89.39, 89.4] },
    3,
  ),
  resnet8('fp32', [], { bytes: 260380, top1: 75.89 }),
  resnet8('int8', ['--quantize', 'int8'], { bytes: 73564, top1: 75.89 }, 0.3),
  resnet8('mixed', ['--budget', 'bits=4'], { bytes: 41143, top1: 76.33 }, 1),
  teacher,
  compressed('mnist/lenet-300-100', 'mnist', { bytes: 16776, top1: 97.35 }),
  compressed('mnist/lenet-5', 'mnist', { bytes: 24688, top1: 98.75 }),
];

/** The top-1 that a file is recorded to have, and the seed that it was made from. */
export function recordOf({ top1 }: Recipe): { top1: number; seed: number } {
  if (typeof top1 === 'number') return { top1, seed: 1 };
  const median = [...top1].sort((a, b) => a - b)[1]!;
  return { top1: median, seed: top1.indexOf(median) + 1 };
}

/** Puts in what $NAMES in a recipe stand for. Throws NOT_FOUND where that is not known. */
export function filledIn(text: string, values: Readonly<Record<string, string | undefined>> = process.env): string {
  return text.replace(/\$([A-Z_]+)/g, (_, name: string) => {
    const value = values[name];
    if (value) return value;
    throw new WaferError('NOT_FOUND', `${text} is not known`, { hint: `set ${name} to that folder` });
  });
}
