/**
 * `npm run eval:images -- MODEL.onnx DATA`: how often a classifier is right about labelled images, as the ONNX file
 * under onnxruntime-node, as an fp32 and as an int8 file. Data is a data set of pictures, by name or path. What int8 is calibrated on
 * is never evaluated on: some of the images, drawn, or those of another file.
 */
import { basename } from 'node:path';
import { Command } from 'commander';
import { nonNegative, readBytes } from '../src/cli/files';
import { type ImageFlags, imageOptions, imageProcessing } from '../src/cli/images';
import { print, printJson, printTable } from '../src/cli/terminal';
import type { ImageProcessing } from '../src/format/model';
import { readWafer } from '../src/format/reader';
import type { Value } from '../src/graph/ir';
import { samplesOf } from '../src/packer/calibration';
import type { Dataset } from '../src/packer/data/dataset';
import { loadDataset } from '../src/packer/data/load';
import { drawExamples } from '../src/packer/evaluate/draw';
import { evaluate, onnxSubject, waferSubject } from '../src/packer/evaluate/evaluate';
import { pack } from '../src/packer/pack';
import { binaries } from '../src/runtime/wasm/binaries';
import { runCommand } from './command';

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
  calibrate: Dataset;
  evaluate: Dataset;
  processing: (inputs: readonly Value[]) => ImageProcessing;
}

/** Packs a classifier of images that has one output, its scores. Throws what `pack` does, and ARGUMENT. */
export async function evaluateImages(onnx: Uint8Array, name: string, images: Images): Promise<Figures> {
  const { processing } = images;
  /** Images take the size that the input has, or keep their own where it is free. */
  const labelled = (set: Dataset, inputs: readonly Value[]) => samplesOf(set, 'data', inputs, { images: processing(inputs) });
  const { bytes: fp32 } = await pack(onnx, { name, images: processing });
  const samples = async (inputs: readonly Value[]) => labelled(images.calibrate, inputs).map(({ sample }) => sample);
  const { bytes: int8 } = await pack(onnx, { name, images: processing, quantize: { samples } });
  const { inputs } = readWafer(fp32).graph;
  const examples = labelled(images.evaluate, inputs).map((one, i) => ({ name: `image ${i}`, ...one }));
  const subjects = [
    await onnxSubject('onnx', onnx),
    await waferSubject('fp32', fp32, binaries()),
    await waferSubject('int8', int8, binaries()),
  ] as const;
  const found = await evaluate(subjects, examples, { task: 'classify', against: subjects[1] });
  for (const subject of subjects) subject.dispose();
  const of = (form: Form) => found[FORMS.indexOf(form)]!;
  const top1 = { onnx: of('onnx').top1!, fp32: of('fp32').top1!, int8: of('int8').top1! };
  return {
    calibrated: images.calibrate.labels.length,
    evaluated: examples.length,
    bytes: { onnx: onnx.length, fp32: fp32.length, int8: int8.length },
    top1,
    agreement: { fp32WithOnnx: of('onnx').against!.agreement!, int8WithFp32: of('int8').against!.agreement! },
    beyond: of('onnx').against!.beyond,
    lost: top1.fp32 - top1.int8,
  };
}

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
      .argument('<data>', 'pictures: fashion-mnist, mnist, or in IDX or the format of CIFAR'),
  )
    .option('--calibrate <n|file>', 'how many of the images int8 is calibrated on, or a data set of others', '100')
    .option('--lose <points>', 'points of top-1 that int8 may lose', nonNegative, 0.5)
    .option('--json', 'print the figures as JSON')
    .action(evaluateFiles);

async function evaluateFiles(model: string, data: string, { calibrate, lose, json, ...flags }: Flags): Promise<void> {
  const all = await loadDataset(data, 'test');
  const [taken, others] = /^\d+$/.test(calibrate)
    ? drawExamples(all, Number(calibrate))
    : [await loadDataset(calibrate, 'train'), all];
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
