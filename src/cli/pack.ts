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
import { METHODS } from '../packer/quantize/index';
import { checkOutput, named, numberList, positiveInt, readBytes, writeBytes } from './files';
import { type ImageFlags, imageOptions, imageProcessing } from './images';
import { bytesText, Progress, print, printJson } from './terminal';

interface Flags extends ImageFlags {
  output: string;
  input: Record<string, string>;
  int8?: boolean;
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
      .option('--int8', 'quantise to 8-bit integers; needs --calibrate')
      .option('--calibrate <path>', 'samples of real inputs: a folder of images, .npy or .npz files, or one such file')
      .option('--samples <n>', 'how many files to calibrate on', positiveInt, 64)
      .addOption(new Option('--method <name>', 'how int8 ranges are chosen').choices(['auto', ...METHODS]).default('auto'))
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
  wafer pack detector.onnx -o detector.wafer --input x=1,3,H,W`,
    )
    .action(packFile);

async function packFile(path: string, flags: Flags): Promise<void> {
  if (flags.int8 && !flags.calibrate)
    throw new WaferError('ARGUMENT', '--int8 needs calibration data', { hint: 'add --calibrate with a folder of real inputs' });
  if (flags.calibrate && !flags.int8) throw new WaferError('ARGUMENT', '--calibrate is for --int8', { hint: 'add --int8' });
  const onnx = await readBytes(path);
  await checkOutput(flags.output, path);
  const labels = flags.labels && (await readLabels(flags.labels));
  const progress = new Progress();
  const onProgress = (done: number, total: number, what: string) => progress.update(done, total, what);
  const { bytes, report } = await pack(onnx, {
    name: basename(path),
    inputs: Object.fromEntries(Object.entries(flags.input).map(([name, text]) => [name, inputOption(name, text)])),
    externalData: (file) => externalData(path, file),
    ...(flags.int8 && {
      int8: {
        method: flags.method,
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
  if (report.quantize) {
    const { method, sqnr, integerNodes, floatNodes } = report.quantize;
    print(`int8: ${integerNodes} nodes in integers, ${floatNodes.length} in float; ranges by ${method}, ${sqnr[method]} dB`);
  }
  const percent = ((100 * report.bytes) / report.sourceBytes).toFixed(1);
  print(`${flags.output}: ${bytesText(report.bytes)}, ${percent} % of ${bytesText(report.sourceBytes)}`);
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
function inputOption(name: string, text: string): NonNullable<ImportOptions['inputs']>[string] {
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
function externalData(model: string, file: string): Uint8Array {
  if (file.includes('..') || file.startsWith('/'))
    throw new WaferError('BAD_MODEL', `the model wants to read "${file}", which is not beside it`);
  try {
    return new Uint8Array(readFileSync(join(dirname(model), file)));
  } catch {
    throw new WaferError('NOT_FOUND', `the model keeps weights in "${file}", which is not beside it`);
  }
}
