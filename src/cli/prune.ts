/** `wafer prune`: a model without the channels, or the weights, that are worth least. */
import { Command, Option } from 'commander';
import type { Bindings } from '../core/dim';
import { WaferError } from '../core/errors';
import type { WaferModel } from '../format/model';
import { writeWafer } from '../format/writer';
import type { Graph } from '../graph/ir';
import { readSamples } from '../packer/calibration';
import { loadDataset } from '../packer/data/load';
import { someBindings } from '../packer/evaluate/bindings';
import { countMacs } from '../packer/evaluate/cost';
import { wasmEngine } from '../packer/evaluate/engine';
import { withGraph } from '../packer/pack';
import {
  type ChannelOptions,
  type ChannelReport,
  CRITERIA,
  type Criterion,
  type Evidence,
  pruneChannels,
  pruneWeights,
  WEIGHT_CRITERIA,
  type WeightOptions,
  type WeightReport,
} from '../packer/prune/index';
import { normalisationOfImages } from '../packer/train/file';
import { binaries } from '../runtime/wasm/binaries';
import { checkOutput, layerPart, named, positiveInt, smallPart, writeBytes } from './files';
import { imageOptions, imageProcessing } from './images';
import { readSource, type SourceFlags } from './source';
import { bytesText, Progress, print, printJson, printTable } from './terminal';

interface Flags extends SourceFlags {
  output: string;
  ratio?: number;
  layer: Record<string, number>;
  by?: Criterion | WeightOptions['by'];
  scope: 'global' | 'layer';
  multiple?: number;
  least?: number;
  compensate?: boolean;
  weights?: boolean;
  block?: '1' | '4';
  seed: number;
  calibrate?: string;
  samples: number;
  json?: boolean;
}

export const pruneCommand = (): Command =>
  imageOptions(
    new Command('prune')
      .description('remove the channels of a model that are worth least, or set weights to 0')
      .argument('<model>', 'a .wafer of floats, or an ONNX model')
      .requiredOption('-o, --output <file>', 'the .wafer file to write')
      .option('--ratio <part>', 'of the channels, or weights, to remove', smallPart)
      .option('--layer <pattern=part>', 'another part for some layers, by name; * stands for anything (repeat)', layerPart, {})
      .addOption(
        new Option('--by <criterion>', 'what says how much they are worth (default: l2, with --weights magnitude)').choices([
          ...new Set([...CRITERIA, ...WEIGHT_CRITERIA]),
        ]),
      )
      .addOption(
        new Option('--scope <scope>', 'whether the part is of each layer, or of all together')
          .choices(['layer', 'global'])
          .default('layer'),
      )
      .option('--multiple <n>', 'channels that are kept of a layer are a multiple of this (default: 8)', positiveInt)
      .option('--least <part>', "of each layer's channels, that is always kept (default: 0.1)", smallPart)
      .option(
        '--compensate',
        'weights that read what is left make up for what goes, as far as inputs of --calibrate show them alike',
      )
      .option('--weights', 'weights instead of channels: they become 0')
      .addOption(
        new Option('--block <n>', 'consecutive inputs whose weights go together; kernels of int8 skip 4').choices(['1', '4']),
      )
      .option('--seed <n>', 'of random', positiveInt, 1)
      .option('--calibrate <path>', 'samples of real inputs, as in wafer pack; for taylor, labelled data as in wafer train')
      .option('--samples <n>', 'how many files, or records of a data set, to look at', positiveInt, 64)
      .option('--input <name=shape>', 'shape of an ONNX input, as in wafer pack', named, {}),
  )
    .addHelpText(
      'after',
      `
What says what a channel is worth:
  l1 l2    norms of the weights that make it
  median   how far these are from those of all others
  apoz     how often it is not 0, on the inputs of --calibrate
  mean     its mean size, on the inputs of --calibrate
  taylor   what the loss would change by without it, on the labelled data of --calibrate
  random   nothing

Channels go with all that depends on them; what cannot lose any is left alone, and named. Train afterwards: wafer train.

Examples:
  wafer prune net.onnx -o net.small.wafer --ratio 0.3 --by l2
  wafer prune net.wafer -o net.small.wafer --ratio 0.5 --scope global --by mean --compensate \\
    --calibrate pictures/ --layer conv1=0
  wafer prune net.wafer -o net.sparse.wafer --weights --block 4 --ratio 0.7`,
    )
    .action(pruneFile);

async function pruneFile(path: string, flags: Flags): Promise<void> {
  const { output, weights } = flags;
  checkFlags(flags);
  await checkOutput(output, path);
  const progress = new Progress();
  try {
    progress.stage('read');
    const { model, bytes: sourceBytes } = await readSource(path, flags);
    const { graph } = model;
    const evidence = await evidenceFor(flags, model, progress);
    progress.stage('prune');
    const made = weights
      ? pruneWeights(graph, weightOptions(flags))
      : await pruneChannels(graph, channelOptions(flags), evidence);
    // Values have other channels than those of the source that they were called after.
    const { origins, ...rest } = model;
    const file = await withGraph(weights ? model : rest, made.graph, [recipeOf(flags, made.report)]);
    const bytes = writeWafer(file);
    await writeBytes(output, bytes);
    progress.end();
    const bindings = model.goldens[0]?.bindings ?? someBindings(graph);
    const macs = { before: macsOf(graph, bindings), after: macsOf(made.graph, bindings) };
    if (flags.json) return printJson({ output, sourceBytes, bytes: bytes.length, macs, ...made.report });
    if ('channels' in made.report) printChannels(made.report, macs);
    else printWeights(made.report);
    print(`${output}: ${bytesText(bytes.length)}, from ${bytesText(sourceBytes)}`);
  } finally {
    progress.end();
  }
}

const SAMPLED: readonly (string | undefined)[] = ['apoz', 'mean', 'taylor'] satisfies Criterion[];

/** Throws ARGUMENT for flags that do not go together. */
function checkFlags({ ratio, layer, by, multiple, least, compensate, weights, block, calibrate }: Flags): void {
  const refuse = (message: string, hint: string) => {
    throw new WaferError('ARGUMENT', message, { hint });
  };
  if (ratio === undefined && Object.keys(layer).length === 0)
    refuse('nothing says how much is to be removed', 'add --ratio 0.3, or --layer PATTERN=0.3');
  const criteria: readonly string[] = weights ? WEIGHT_CRITERIA : CRITERIA;
  if (by && !criteria.includes(by))
    refuse(`--by ${by} says nothing of ${weights ? 'weights' : 'channels'}`, `choose one of ${criteria.join(', ')}`);
  for (const [flag, value] of Object.entries({ '--multiple': multiple, '--least': least, '--compensate': compensate }))
    if (weights && value !== undefined) refuse(`${flag} is for channels`, 'leave it out, or --weights');
  if (block && !weights) refuse('--block is for weights', 'add --weights');
  const sampled = SAMPLED.includes(by) ? `--by ${by}` : compensate && '--compensate';
  if (calibrate && !sampled)
    refuse('--calibrate is for what is seen of inputs', `add --by ${SAMPLED.join(', ')}, or --compensate`);
  if (sampled && !calibrate) refuse(`${sampled} looks at inputs`, 'add --calibrate with some');
}

const given = <T extends object>(options: T): T =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;

const channelOptions = ({ by = 'l2', ratio, layer, scope, multiple, least, compensate, seed }: Flags): ChannelOptions => ({
  ...{ by: by as Criterion, layers: layer, scope, seed },
  ...given({ ratio, multiple, least, compensate }),
});

const weightOptions = ({ by = 'magnitude', ratio, layer, scope, block, seed }: Flags): WeightOptions => ({
  ...{ by: by as WeightOptions['by'], layers: layer, scope, seed, block: block === '4' ? 4 : 1 },
  ...given({ ratio }),
});

async function evidenceFor(flags: Flags, { graph, images }: WaferModel, progress: Progress): Promise<Evidence | undefined> {
  const { calibrate, samples: limit, by, compensate, imageSize } = flags;
  if (calibrate === undefined) return undefined;
  const image = imageProcessing(flags, graph.inputs) ?? images?.[0];
  const evidence: Evidence = {};
  if (by === 'taylor') {
    const data = await loadDataset(calibrate, 'train');
    Object.assign(evidence, { data, examples: limit, ...(image && { normalisation: normalisationOfImages(image) }) });
  }
  if (by !== 'taylor' || compensate) {
    const onProgress = (done: number, total: number, what: string) => progress.update(done, total, what);
    const samples = await readSamples(calibrate, graph.inputs, { images: image, imageSize, limit, onProgress });
    Object.assign(evidence, { samples, engine: wasmEngine(binaries()) });
  }
  return evidence;
}

const macsOf = (graph: Graph, bindings: Bindings): number => [...countMacs(graph, bindings).values()].reduce((a, b) => a + b, 0);

function recipeOf({ scope, compensate }: Flags, report: ChannelReport | WeightReport): string {
  const of = scope === 'global' ? ' of all layers together' : '';
  if ('channels' in report)
    return `prune channels ${report.channels.before} to ${report.channels.after} by ${report.by}${of}${compensate ? ', compensated' : ''}`;
  const { by, block, zeros, weights } = report;
  return `prune ${zeros.after} of ${weights} weights by ${by}${block > 1 ? ` in blocks of ${block}` : ''}${of}`;
}

/** Names that are printed of a list. */
const NAMES = 5;

const shortList = (names: readonly string[], between: string): string =>
  [...names.slice(0, NAMES), ...(names.length > NAMES ? [`and ${names.length - NAMES} more`] : [])].join(between);

interface BeforeAfter {
  before: number;
  after: number;
}

function printChannels({ groups, channels, parameters }: ChannelReport, macs: BeforeAfter): void {
  printTable([
    ['layers', 'channels', 'kept'],
    ...groups
      .filter(({ channels, kept }) => kept < channels)
      .map(({ layers, channels, kept }) => [shortList(layers, ' '), channels, kept]),
  ]);
  const reasons = new Map<string, string[]>();
  for (const { layers, pinned } of groups) if (pinned) reasons.set(pinned, [...(reasons.get(pinned) ?? []), ...layers]);
  for (const [why, layers] of reasons) print(`left alone, ${why}: ${shortList(layers, ', ')}`);
  const share = (name: string, { before, after }: BeforeAfter) =>
    `${name} ${before} to ${after}${before > 0 ? ` (${((100 * after) / before).toFixed(1)} %)` : ''}`;
  print([share('channels', channels), share('parameters', parameters), share('MACs', macs)].join(', '));
}

function printWeights({ layers, weights, zeros }: WeightReport): void {
  printTable([['layer', 'weights', 'zeros'], ...layers.map(({ layer, weights, zeros }) => [layer, weights, zeros])]);
  print(`${zeros.after} of ${weights} weights are 0 (${((100 * zeros.after) / weights).toFixed(1)} %), before ${zeros.before}`);
}
