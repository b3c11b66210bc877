/**
 * `npm run eval:images -- MODEL.onnx DATA.bin`: how often a classifier is right about labelled images, as the ONNX file
 * under onnxruntime-node, as an fp32 and as an int8 file. Data is in CIFAR-10's binary format. What int8 is calibrated on
 * is never evaluated on: some of the images, drawn, or those of another file.
 */
import { basename } from 'node:path';
import { Command } from 'commander';
import { nonNegative, readBytes } from '../src/cli/files';
import { type ImageFlags, imageOptions, imageProcessing } from '../src/cli/images';
import { print, printJson, printTable } from '../src/cli/terminal';
import { WaferError } from '../src/core/errors';
import type { ImageProcessing } from '../src/format/model';
import { readWafer } from '../src/format/reader';
import type { Value } from '../src/graph/ir';
import { compare } from '../src/packer/evaluate/compare';
import { type Sample, wasmEngine } from '../src/packer/evaluate/engine';
import { loadSource } from '../src/packer/evaluate/source';
import { pack } from '../src/packer/pack';
import { imageTensor, inputSize, type Pixels } from '../src/runtime/image';
import { binaries } from '../src/runtime/wasm/binaries';
import { random } from '../test/support/random';
import { runCommand } from './command';

export interface LabelledImage {
  label: number;
  pixels: Pixels;
}

const SIDE = 32;
const PLANE = SIDE * SIDE;
const RECORD = 1 + 3 * PLANE;

/** CIFAR-10's binary format: records of a label byte and the planes of red, green and blue. Throws BAD_FILE. */
export function readCifar(bytes: Uint8Array, name: string): LabelledImage[] {
  if (bytes.length === 0 || bytes.length % RECORD !== 0)
    throw new WaferError('BAD_FILE', `${name} has ${bytes.length} bytes, which are no records of ${RECORD}`, {
      hint: "data is to be in CIFAR-10's binary format",
    });
  return Array.from({ length: bytes.length / RECORD }, (_, i) => {
    const [label, ...planes] = bytes.subarray(i * RECORD, (i + 1) * RECORD);
    const data = new Uint8Array(4 * PLANE).fill(255);
    planes.forEach((v, k) => (data[(k % PLANE) * 4 + Math.floor(k / PLANE)] = v));
    return { label: label!, pixels: { data, width: SIDE, height: SIDE } };
  });
}

/** `count` items drawn with a fixed seed, and the others, each in their order. Throws ARGUMENT when there are no others. */
export function drawItems<T>(items: readonly T[], count: number): [drawn: T[], others: T[]] {
  if (count >= items.length)
    throw new WaferError('ARGUMENT', `of ${items.length} images, ${count} cannot be calibrated on and others evaluated`);
  const draw = random(1);
  const keys = items.map(() => draw());
  const bound = [...keys].sort((a, b) => a - b)[count]!;
  return [items.filter((_, i) => keys[i]! < bound), items.filter((_, i) => keys[i]! >= bound)];
}

export interface Figures {
  calibrated: number;
  evaluated: number;
  /** Bytes of each file. */
  bytes: Record<Form, number>;
  /** Images of which the class with the greatest score is the label, in percent. */
  top1: Record<Form, number>;
  /** Images that are given the same class, in percent. */
  agreement: { fp32WithOnnx: number; int8WithFp32: number };
  /** Scores of fp32 that are not within 1e-4 + 1e-3 of onnxruntime's. */
  beyond: number;
  /** Points of top-1 that int8 is below fp32. */
  lost: number;
}

const FORMS = ['onnx', 'fp32', 'int8'] as const;
type Form = (typeof FORMS)[number];

export interface Images {
  calibrate: readonly LabelledImage[];
  evaluate: readonly LabelledImage[];
  processing: (inputs: readonly Value[]) => ImageProcessing;
}

/** Packs a classifier of images that has one output, its scores. Throws what `pack` does, and ARGUMENT. */
export async function evaluateImages(
  onnx: Uint8Array,
  name: string,
  { calibrate, evaluate, processing }: Images,
): Promise<Figures> {
  const samples = (images: readonly LabelledImage[], inputs: readonly Value[]) =>
    images.map(({ pixels }) => sampleOf(pixels, inputs, processing(inputs)));
  const { bytes: fp32 } = await pack(onnx, { name, images: processing });
  const int8Options = { samples: async (inputs: readonly Value[]) => samples(calibrate, inputs) };
  const { bytes: int8 } = await pack(onnx, { name, images: processing, quantize: int8Options });
  const { graph } = readWafer(fp32);
  if (graph.outputs.length !== 1)
    throw new WaferError('ARGUMENT', `the model has ${graph.outputs.length} outputs, a classifier has one`);
  const given = samples(evaluate, graph.inputs);

  const source = await loadSource(onnx);
  const scores: Record<Form, ArrayLike<number>[]> = {
    onnx: [],
    fp32: await scoresOf(fp32, given),
    int8: await scoresOf(int8, given),
  };
  for (const sample of given) scores.onnx.push([...(await source.run(sample)).values()][0]!.data);

  const classes = forms((form) => scores[form].map(greatest));
  const share = (isSo: (i: number) => boolean) => (100 * evaluate.filter((_, i) => isSo(i)).length) / evaluate.length;
  const top1 = forms((form) => share((i) => classes[form][i] === evaluate[i]!.label));
  const tolerance = { abs: 1e-4, rel: 1e-3 };
  return {
    calibrated: calibrate.length,
    evaluated: evaluate.length,
    bytes: { onnx: onnx.length, fp32: fp32.length, int8: int8.length },
    top1,
    agreement: {
      fp32WithOnnx: share((i) => classes.fp32[i] === classes.onnx[i]),
      int8WithFp32: share((i) => classes.int8[i] === classes.fp32[i]),
    },
    beyond: scores.fp32.reduce((sum, got, i) => sum + compare(got, scores.onnx[i]!, tolerance).beyond, 0),
    lost: top1.fp32 - top1.int8,
  };
}

const forms = <T>(of: (form: Form) => T): Record<Form, T> => ({ onnx: of('onnx'), fp32: of('fp32'), int8: of('int8') });

/** Images take the size that the input has, or keep their own where it is free. */
function sampleOf(pixels: Pixels, inputs: readonly Value[], processing: ImageProcessing): Sample {
  const { shape } = inputs.find((x) => x.name === processing.input)!.type;
  const size = inputSize(shape, processing, { height: SIDE, width: SIDE });
  const { data, shape: given } = imageTensor({ image: pixels, ...size, processing });
  return { [processing.input]: { data, shape: [...given] } };
}

async function scoresOf(file: Uint8Array, samples: readonly Sample[]): Promise<ArrayLike<number>[]> {
  const session = await wasmEngine(binaries()).session(readWafer(file).graph);
  try {
    return samples.map((sample) => Object.values(session.run(sample))[0]!.data);
  } finally {
    session.dispose();
  }
}

const greatest = (scores: ArrayLike<number>): number =>
  Array.from(scores).reduce((best, v, i) => (v > scores[best]! ? i : best), 0);

interface Flags extends ImageFlags {
  calibrate: string;
  lose: number;
  json?: boolean;
}

const command = (): Command =>
  imageOptions(
    new Command('eval:images')
      .description('top-1 of a classifier as ONNX, fp32 and int8; exits with 1 when int8 loses too much')
      .argument('<model.onnx>')
      .argument('<data.bin...>', "images in CIFAR-10's binary format"),
  )
    .option('--calibrate <n|file>', 'how many of the images int8 is calibrated on, or a file of others', '100')
    .option('--lose <points>', 'points of top-1 that int8 may lose', nonNegative, 0.5)
    .option('--json', 'print the figures as JSON')
    .action(evaluateFiles);

async function evaluateFiles(model: string, paths: readonly string[], { calibrate, lose, json, ...flags }: Flags): Promise<void> {
  const read = async (path: string) => readCifar(await readBytes(path), path);
  const all = (await Promise.all(paths.map(read))).flat();
  const [taken, others] = /^\d+$/.test(calibrate) ? drawItems(all, Number(calibrate)) : [await read(calibrate), all];
  const figures = await evaluateImages(await readBytes(model), basename(model), {
    calibrate: taken,
    evaluate: others,
    // Pixels as they are, where no flag says otherwise.
    processing: (inputs) => imageProcessing({ imageScale: [1], ...flags }, inputs)!,
  });
  if (json) printJson(figures);
  else printFigures(figures);
  process.exitCode = figures.lost <= lose ? 0 : 1;
}

function printFigures({ calibrated, evaluated, bytes, top1, agreement, beyond, lost }: Figures): void {
  printTable([
    ['file', 'bytes', '% of ONNX', 'top-1 %'],
    ...FORMS.map((form) => [form, bytes[form], ((100 * bytes[form]) / bytes.onnx).toFixed(1), top1[form].toFixed(2)]),
  ]);
  print(`${evaluated} images, int8 calibrated on ${calibrated} others`);
  print(`fp32 decides as onnxruntime on ${agreement.fp32WithOnnx.toFixed(2)} %, ${beyond} scores beyond tolerance`);
  print(`int8 decides as fp32 on ${agreement.int8WithFp32.toFixed(2)} %, and loses ${lost.toFixed(2)} points`);
}

if (process.argv[1]?.endsWith('eval-images.ts')) await runCommand(command());
