/** `wafer pack`: ONNX to .wafer. */
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Command, Option } from 'commander';
import { WaferError } from '../core/errors';
import type { Postprocessing } from '../format/model';
import type { Value } from '../graph/ir';
import { readSamples } from '../packer/calibration';
import type { ImportOptions } from '../packer/import/onnx/import';
import { pack } from '../packer/pack';
import { type Budget, budgetNamed, CHOICES, choicesNamed } from '../packer/quantize/budget';
import { formatNamed, type LevelFormat, type WeightFormat } from '../packer/quantize/formats';
import { METHODS, type Measured, type QuantizeOptions, type QuantizeReport } from '../packer/quantize/index';
import { ROUNDINGS, type Rounding } from '../packer/quantize/weights';
import { checkOutput, layerFormat, named, numberList, positiveInt, readBytes, writeBytes } from './files';
import { type ImageFlags, imageOptions, imageProcessing } from './images';
import { bytesText, Progress, print, printJson, printTable } from './terminal';

interface Flags extends ImageFlags {
  output: string;
  input: Record<string, string>;
  int8?: boolean;
  quantize?: WeightFormat;
  layer: Record<string, WeightFormat>;
  budget?: Budget;
  choices?: LevelFormat[];
  rounding?: Rounding;
  float16?: boolean;
  calibrate?: string;
  samples: number;
  method: (typeof METHODS)[number] | 'auto';
  labels?: string;
  postprocess?: Postprocessing['kind'];
  strip?: boolean;
  json?: boolean;
}

export const packCommand = (): Command =>
  imageOptions(
    new Command('pack')
      .description('turn an ONNX model into a .wafer file')
      .argument('<model.onnx>')
      .requiredOption('-o, --output <file>', 'the .wafer file to write')
      .option('--input <name=shape>', 'a shape (x=1,3,H,W; names stay free) or a fixed value (sr=value:16000)', named, {})
      .option('--int8', 'quantise to 8-bit integers: --quantize int8')
      .option('--quantize <format>', 'quantise: activations to int8, weights to this; needs --calibrate', formatNamed)
      .option(
        '--layer <pattern=format>',
        'another format for some layers, by name; * stands for anything, float leaves a layer out',
        layerFormat,
        {},
      )
      .option(
        '--budget <budget>',
        'choose formats by layer so that the file has size=1.6MB, or weights bits=4 on average',
        budgetNamed,
      )
      .option('--choices <formats>', `what --budget chooses among (default: ${CHOICES.join()})`, choicesNamed)
      .addOption(
        new Option('--rounding <name>', 'how weights become levels (default: adaround below 8 bits, else gptq)').choices(
          ROUNDINGS,
        ),
      )
      .option('--float16', 'round weights that stay floats to 16 bits')
      .option(
        '--calibrate <path>',
        'samples of real inputs: a folder of images, .npy or .npz files, one such file, or a data set as in wafer eval',
      )
      .option('--samples <n>', 'how many files, or records of a data set, to calibrate on', positiveInt, 64)
      .addOption(
        new Option('--method <name>', 'how ranges of activations are chosen').choices(['auto', ...METHODS]).default('auto'),
      )
      .option('--labels <file>', 'class names, one a line, to put in the file')
      .addOption(new Option('--postprocess <kind>', 'how outputs are to be read').choices(['classify', 'ctc', 'db']))
      .option('--strip', "leave out the source's names of values (wafer diff needs them)"),
  )
    .addHelpText(
      'after',
      `
Examples:
  wafer pack mobilenet.onnx -o mobilenet.wafer
  wafer pack mobilenet.onnx -o mobilenet.int8.wafer --int8 --calibrate pictures/ \\
    --image-mean 128 --image-scale 0.0078125 --labels imagenet.txt
  wafer pack detector.onnx -o detector.wafer --input x=1,3,H,W
  wafer pack net.onnx -o net.wafer --calibrate samples.npz --quantize int4 --layer 'conv1*=int8' --layer head=codebook6
  wafer pack net.onnx -o net.wafer --calibrate samples.npz --budget size=40kB --choices 8,5,4,ternary

Formats of weights:
  int8 int6 int5 int4 int3   linear, symmetric, a scale for each output channel; a number alone means the same
  ternary  binary            -1 0 1 and -1 1, times a scale for each output channel
  ttq                        0 and two magnitudes of each tensor, one for each sign
  codebook2 ... codebook8    2 to the 2 ... 8 levels of each tensor, by k-means
  power3 power4              powers of two; apot4 apot5: sums of two; log3 log4 log5: geometric series
  float                      computed in floating point`,
    )
    .action(packFile);

async function packFile(path: string, flags: Flags): Promise<void> {
  const quantization = quantizationOf(flags);
  const onnx = await readBytes(path);
  await checkOutput(flags.output, path);
  const labels = flags.labels && (await readLabels(flags.labels));
  const progress = new Progress();
  const onProgress = (done: number, total: number, what: string) => progress.update(done, total, what);
  const { bytes, report } = await pack(onnx, {
    name: basename(path),
    inputs: Object.fromEntries(Object.entries(flags.input).map(([name, text]) => [name, inputOption(name, text)])),
    externalData: (file) => externalData(path, file),
    ...(flags.float16 && { float16: true }),
    ...(quantization && {
      quantize: {
        ...quantization,
        samples: (inputs: readonly Value[]) =>
          readSamples(flags.calibrate!, inputs, {
            images: imageProcessing(flags, inputs),
            imageSize: flags.imageSize,
            limit: flags.samples,
            onProgress,
          }),
        onProgress,
      },
    }),
    ...(labels && { labels }),
    images: (inputs: readonly Value[]) => imageProcessing(flags, inputs),
    ...(flags.postprocess && { postprocessing: { kind: flags.postprocess } }),
    ...(flags.strip && { strip: true }),
    onStage: (stage) => progress.stage(stage),
  }).finally(() => progress.end());
  await writeBytes(flags.output, bytes);
  if (flags.json) return printJson({ output: flags.output, ...report });
  for (const note of report.notes) print(`note: ${note}`);
  if (report.quantize) printQuantization(report.quantize);
  const percent = ((100 * report.bytes) / report.sourceBytes).toFixed(1);
  print(`${flags.output}: ${bytesText(report.bytes)}, ${percent} % of ${bytesText(report.sourceBytes)}`);
}

/** What the flags say of quantising, or undefined when they do not ask for it. Throws ARGUMENT. */
function quantizationOf({
  int8,
  quantize,
  layer,
  budget,
  choices,
  rounding,
  method,
  calibrate,
}: Flags): QuantizeOptions | undefined {
  const asked = quantize ? '--quantize' : budget ? '--budget' : int8 ? '--int8' : undefined;
  const refuse = (message: string, hint: string) => {
    throw new WaferError('ARGUMENT', message, { hint });
  };
  if (asked && !calibrate) refuse(`${asked} needs calibration data`, 'add --calibrate with a folder of real inputs');
  const needs = { '--calibrate': calibrate, '--layer': Object.keys(layer).length, '--rounding': rounding };
  for (const [flag, given] of Object.entries(needs))
    if (given && !asked) refuse(`${flag} is for quantising`, 'add --int8, --quantize or --budget');
  if (choices && !budget) refuse('--choices are what a budget chooses among', 'add --budget');
  if (budget && (quantize || int8))
    refuse(`${asked === '--budget' ? '--int8' : asked} and --budget both choose formats`, 'leave one out; --layer fixes a layer');
  if (quantize && int8) refuse('--int8 and --quantize both choose a format', 'leave one out');
  return asked
    ? {
        method,
        layers: layer,
        ...(quantize && { weights: quantize }),
        ...(budget && { budget }),
        ...(choices && { choices }),
        ...(rounding && { rounding }),
      }
    : undefined;
}

export function printQuantization({ method, outputSqnr, integerNodes, floatNodes, layers, budget }: QuantizeReport): void {
  if (budget) {
    const formats = budget.uniform.map(({ format }) => format);
    print('what each layer alone would cost the outputs:');
    printTable([
      ['layer', 'weights', ...formats, 'chosen'],
      ...budget.sensitivity.map(({ layer, weights, choices }) => [
        layer,
        weights,
        ...choices.map(({ error }) => error.toExponential(1)),
        layers.find((l) => l.layer === layer)!.format,
      ]),
    ]);
    const row = (name: string, { bits, bytes, sqnr, error }: Measured) => [
      name,
      bits.toFixed(2),
      ...(bytes === undefined ? [] : [bytes]),
      sqnr.toFixed(1),
      error.toExponential(2),
    ];
    print('together:');
    printTable([
      ['weights', 'bits', ...(budget.chosen.bytes === undefined ? [] : ['bytes']), 'dB', 'error'],
      ...budget.uniform.map((measured) => row(`all ${measured.format}`, measured)),
      row('chosen', budget.chosen),
    ]);
  }
  const kinds = [...new Set(layers.map(({ format }) => format))].join(', ');
  print(
    `${kinds || 'int8'}: ${integerNodes} nodes in integers, ${floatNodes.length} in float; ranges by ${method}, ${outputSqnr} dB`,
  );
}

/** Class names, one a line. Throws NOT_FOUND, BAD_FILE. */
async function readLabels(path: string): Promise<string[]> {
  const bytes = await readBytes(path);
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    if (text.trim()) return text.replace(/\r?\n$/, '').split(/\r?\n/);
  } catch {}
  throw new WaferError('BAD_FILE', `"${path}" ${bytes.length ? 'is no UTF-8 text' : 'is empty'}`, {
    hint: '--labels takes a text file with one class name a line',
  });
}

/** `1,3,H,W` (or with x between numbers) is a shape, `value:0.5,1` a value. Throws ARGUMENT. */
export function inputOption(name: string, text: string): NonNullable<ImportOptions['inputs']>[string] {
  if (text.startsWith('value:')) {
    try {
      return { value: numberList(text.slice('value:'.length)) };
    } catch {
      throw new WaferError('ARGUMENT', `"${text}" is no value for input "${name}"`, {
        hint: `as in --input ${name}=value:16000`,
      });
    }
  }
  const parts = /^\d+(x\d+)+$/.test(text) ? text.split('x') : text.split(',');
  const shape = parts.filter(Boolean).map((part) => (/^\d+$/.test(part) ? Number(part) : part));
  return { shape };
}

/** Weights that a large model keeps in files beside it, and nowhere else. Throws NOT_FOUND, BAD_MODEL. */
export function externalData(model: string, file: string): Uint8Array {
  if (file.includes('..') || file.startsWith('/'))
    throw new WaferError('BAD_MODEL', `the model wants to read "${file}", which is not beside it`);
  try {
    return new Uint8Array(readFileSync(join(dirname(model), file)));
  } catch {
    throw new WaferError('NOT_FOUND', `the model keeps weights in "${file}", which is not beside it`);
  }
}
