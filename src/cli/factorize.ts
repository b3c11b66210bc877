/** `wafer factorize`: layers as products of smaller ones. */
import { Command, Option } from 'commander';
import { WaferError } from '../core/errors';
import { writeWafer } from '../format/writer';
import { readSamples } from '../packer/calibration';
import { bindingsOf, wasmEngine } from '../packer/evaluate/engine';
import { type FactorizeOptions, type FactorizeReport, factorize, METHOD_NAMES, recipeOf } from '../packer/factorize/index';
import { withGraph } from '../packer/pack';
import { binaries } from '../runtime/wasm/binaries';
import { checkOutput, listed, named, part, positiveInt, writeBytes } from './files';
import { imageOptions, imageProcessing } from './images';
import { readSource, type SourceFlags } from './source';
import { bytesText, Progress, print, printJson, printTable } from './terminal';

interface Flags extends SourceFlags {
  output: string;
  energy?: number;
  rank?: number;
  ratio?: number;
  by: NonNullable<FactorizeOptions['by']>;
  method: NonNullable<FactorizeOptions['method']>;
  layer?: string[];
  calibrate?: string;
  samples: number;
  json?: boolean;
}

export const factorizeCommand = (): Command =>
  imageOptions(
    new Command('factorize')
      .description('write layers as products of smaller ones')
      .argument('<model>', 'a .wafer of floats, or an ONNX model')
      .requiredOption('-o, --output <file>', 'the .wafer file to write')
      .option('--energy <part>', 'of the squared weights, that each layer keeps (default: 0.95)', part)
      .option('--rank <n>', 'the same for all layers, instead; needs --method', positiveInt)
      .option('--ratio <part>', 'of all parameters, that may stay, spread over layers by their energy, instead', part)
      .addOption(new Option('--by <what>', 'what is to be saved').choices(['parameters', 'macs']).default('parameters'))
      .addOption(new Option('--method <name>', 'auto takes what saves most').choices(['auto', ...METHOD_NAMES]).default('auto'))
      .option('--layer <pattern>', 'only these layers, by name; * stands for anything (repeat for more)', listed)
      .option('--calibrate <path>', 'samples of real inputs, as in wafer pack: energy is then that of what layers compute')
      .option('--samples <n>', 'how many files, or records of a data set, to look at', positiveInt, 64)
      .option('--input <name=shape>', 'shape of an ONNX input, as in wafer pack', named, {}),
  )
    .addHelpText(
      'after',
      `
Methods:
  svd      fewer outputs, and a matrix that makes all of them: any layer that is not in groups
  spatial  a column of the kernel, then a row of it
  tucker   fewer inputs, the kernel on them with fewer outputs, and all outputs of these

Ranks are multiples of 8 where that is possible. What would not get smaller is left alone. Train afterwards: wafer train.

Examples:
  wafer factorize net.onnx -o net.small.wafer --energy 0.95
  wafer factorize net.wafer -o net.small.wafer --ratio 0.5 --by macs --calibrate pictures/
  wafer factorize net.wafer -o net.small.wafer --method svd --rank 32 --layer 'linear*'`,
    )
    .action(factorizeFile);

async function factorizeFile(path: string, flags: Flags): Promise<void> {
  const { output, calibrate, samples: limit, layer, energy, rank, ratio, method, by } = flags;
  await checkOutput(output, path);
  const progress = new Progress();
  const onProgress = (done: number, total: number, what: string) => progress.update(done, total, what);
  try {
    progress.stage('read');
    const { model, bytes: sourceBytes } = await readSource(path, flags);
    const { graph, images } = model;
    const reading = {
      images: imageProcessing(flags, graph.inputs) ?? images?.[0],
      imageSize: flags.imageSize,
      limit,
      onProgress,
    };
    const samples = calibrate === undefined ? undefined : await readSamples(calibrate, graph.inputs, reading);
    if (samples?.length === 0) throw new WaferError('ARGUMENT', `"${calibrate}" holds no samples`);
    const bindings = samples ? bindingsOf(graph, samples[0]!) : model.goldens[0]?.bindings;
    const options: FactorizeOptions = {
      ...{ method, by, onProgress },
      ...(bindings && { bindings }),
      ...(layer && { layers: layer }),
      ...(energy !== undefined && { energy }),
      ...(rank !== undefined && { rank }),
      ...(ratio !== undefined && { ratio }),
    };
    progress.stage('factorise');
    const made = await factorize(graph, options, samples && { samples, engine: wasmEngine(binaries()) });
    const bytes = writeWafer(await withGraph(model, made.graph, recipeOf(made.report)));
    await writeBytes(output, bytes);
    progress.end();
    if (flags.json) return printJson({ output, sourceBytes, bytes: bytes.length, ...made.report });
    printReport(made.report);
    print(`${output}: ${bytesText(bytes.length)}, from ${bytesText(sourceBytes)}`);
  } finally {
    progress.end();
  }
}

function printReport({ layers, left, parameters, macs }: FactorizeReport): void {
  if (layers.length > 0)
    printTable([
      ['layer', 'method', 'rank', 'energy %', 'parameters', 'after', 'MACs', 'after'],
      ...layers.map(({ layer, method, ranks, energy, parameters, macs }) => [
        ...[layer, method, ranks.join(' x '), (100 * energy).toFixed(2)],
        ...[parameters.before, parameters.after, macs.before, macs.after],
      ]),
    ]);
  const reasons = new Map<string, string[]>();
  for (const { layer, why } of left) reasons.set(why, [...(reasons.get(why) ?? []), layer]);
  for (const [why, names] of reasons) print(`left alone, ${why}: ${names.join(', ')}`);
  const share = (name: string, { before, after }: { before: number; after: number }) =>
    `${name} ${before} to ${after}${before > 0 ? ` (${((100 * after) / before).toFixed(1)} %)` : ''}`;
  print(`${layers.length} layers factorised: ${share('parameters', parameters)}, ${share('MACs', macs)}`);
}
