/** `wafer train`: a model in TypeScript or ONNX and labelled examples to a trained .wafer. */
import { basename } from 'node:path';
import { Command, Option } from 'commander';
import { WaferError } from '../core/errors';
import type { Dataset } from '../packer/data/dataset';
import { loadDataset, testPart } from '../packer/data/load';
import { recipeOf } from '../packer/pack';
import { toFloat16 } from '../packer/passes/float16';
import { formatNamed, type WeightFormat } from '../packer/quantize/formats';
import type { QuantizeReport } from '../packer/quantize/index';
import { trainQuantized } from '../packer/train/aware';
import type { DistilOptions } from '../packer/train/distil';
import type { ExecutorName } from '../packer/train/executor';
import { type Ready, trainedFile } from '../packer/train/file';
import type { OptimizerName, ScheduleName } from '../packer/train/optimizers';
import { type Trained, type TrainOptions, train } from '../packer/train/train';
import { anyNumber, checkOutput, layerFormat, named, nonNegative, positiveInt, readBytes, writeBytes } from './files';
import { type ImageFlags, imageOptions } from './images';
import { bytesText, Progress, print, printJson, trainingText } from './terminal';
import { readTrainable, type Trainable } from './trainable';

interface Flags extends ImageFlags {
  data: string;
  test?: string;
  output: string;
  input: Record<string, string>;
  epochs: number;
  batch: number;
  workers?: number;
  seed: number;
  optimizer: OptimizerName;
  lr?: number;
  momentum?: number;
  weightDecay?: number;
  schedule: ScheduleName;
  warmup?: number;
  labelSmoothing?: number;
  mixup?: number;
  flip?: boolean;
  crop?: number;
  erase?: number;
  freeze?: string;
  checkpoint?: string;
  resume?: boolean;
  executor?: ExecutorName;
  quantize?: WeightFormat;
  layer: Record<string, WeightFormat>;
  teacher?: string;
  distil?: number;
  temperature?: number;
  teacherViews?: 'fixed' | 'same';
  distilLoss?: 'kl' | 'mse';
  hint: Record<string, string>;
  hintWeight?: number;
  attention: Record<string, string>;
  attentionWeight?: number;
  l1Gamma?: number;
  l1Outputs?: number;
  keepZeros?: boolean;
  norms?: boolean;
  float16?: boolean;
  ema?: number;
  testEvery?: number;
  gate?: number;
  samples: number;
  json?: boolean;
}

export const trainCommand = (): Command =>
  imageOptions(new Command('train'))
    .description('train a model on labelled examples')
    .argument('<model>', 'a .wafer of floats, an ONNX model, or a .ts or .mjs file whose default export builds one from layers')
    .requiredOption(
      '--data <data>',
      'fashion-mnist, mnist, a folder (of IDX files, of .bin or of folders of images by class), .npz, .csv or .bin',
    )
    .option('--test <data>', 'examples to test on after each epoch (default: the test part of --data, where it has one)')
    .requiredOption('-o, --output <file>', 'the .wafer file to write')
    .option('--input <name=shape>', 'shape of an ONNX input: x=N,1,28,28', named, {})
    .option('--epochs <n>', 'how often every example is seen', positiveInt, 10)
    .option('--batch <n>', 'examples of a step', positiveInt, 64)
    .option('--workers <n>', 'threads (default: the processors, as far as they divide a batch)', positiveInt)
    .option('--seed <n>', 'decides weights, order and variations', positiveInt, 1)
    .addOption(new Option('--optimizer <name>').choices(['sgd', 'adam', 'adamw']).default('sgd'))
    .option('--lr <rate>', 'learning rate (default: 0.1, with --quantize 0.01, with adam 0.001)', anyNumber)
    .option('--momentum <part>', 'of sgd (default: 0.9)', nonNegative)
    .option('--weight-decay <part>', 'of weights, not of biases and norms (default: 0)', nonNegative)
    .addOption(new Option('--schedule <name>', 'of the learning rate').choices(['cosine', 'constant', 'step']).default('cosine'))
    .option('--warmup <steps>', 'over which the rate grows from 0', positiveInt)
    .option('--label-smoothing <part>', 'spread over all classes', nonNegative)
    .option('--mixup <alpha>', 'mixes examples in pairs, by a part from Beta(alpha, alpha)', nonNegative)
    .option('--flip', 'mirrors every second image')
    .option('--crop <pixels>', 'shifts images by up to so many', positiveInt)
    .option('--erase <part>', 'of images, in which a rectangle is blanked', nonNegative)
    .option('--freeze <pattern>', 'weights whose names match this regular expression stay as they are')
    .option('--checkpoint <file>', 'where the training stands, written after each epoch')
    .option('--resume', 'goes on from --checkpoint, where it is there')
    .option('--quantize <format>', 'quantise, and train through the rounding: activations to int8, weights to this', formatNamed)
    .option(
      '--layer <pattern=format>',
      'another format for some layers, by name; * stands for anything, float leaves a layer out',
      layerFormat,
      {},
    )
    .option(
      '--teacher <file>',
      'a .wafer of floats or an ONNX model that says a part of what is learnt (default: with --quantize, or --distil, the model itself)',
    )
    .option('--distil <share>', 'of the loss that is to be like the teacher (default: 0.5)', nonNegative)
    .option('--temperature <t>', 'of that share (default: 2)', nonNegative)
    .addOption(
      new Option(
        '--teacher-views <views>',
        'the teacher is asked once for each example, or sees each batch as it is varied (default: fixed, with --quantize same)',
      ).choices(['fixed', 'same']),
    )
    .addOption(
      new Option(
        '--distil-loss <loss>',
        'compares classes over the last axis, or outputs that are none by the squares of differences',
      ).choices(['kl', 'mse']),
    )
    .option('--hint <from=to>', "a node of the teacher whose numbers one of the model's is to have", nodes, {})
    .option('--hint-weight <w>', 'of hints beside the rest of the loss (default: 1)', nonNegative)
    .option('--attention <from=to>', "a node of the teacher that says where one of the model's is to be large", nodes, {})
    .option('--attention-weight <w>', 'of attention beside the rest of the loss (default: 1)', nonNegative)
    .option(
      '--l1-gamma <cost>',
      'of the magnitudes of the scales of batch norms, to make channels needless: 1e-4 or so',
      nonNegative,
    )
    .option('--l1-outputs <cost>', 'of the mean magnitudes of what comes out of nonlinear functions', nonNegative)
    .option('--keep-zeros', 'weights that are 0 stay 0 (default: in layers of which more than a tenth is)')
    .option('--no-keep-zeros', 'they are trained too')
    .option('--norms', 'gives convolutions batch norms again, which files have folded: larger steps are borne then')
    .option('--ema <part>', 'that stays in a step of the average of weights that is kept then, as 0.999', nonNegative)
    .option('--test-every <epochs>', 'from one test to the next (default: 1)', positiveInt)
    .option('--gate <points>', 'of accuracy on the test that --quantize may cost: trained when it costs more', nonNegative)
    .option('--float16', 'rounds weights that stay floats to 16 bits')
    .option('--samples <n>', 'examples to calibrate on, with --quantize', positiveInt, 256)
    .addOption(new Option('--executor <package>', 'computes').choices(['onnxruntime-node', 'onnxruntime-web']))
    .addHelpText(
      'after',
      `
Examples:
  wafer train net.ts --data fashion-mnist --epochs 10 --weight-decay 5e-4 -o net.wafer
  wafer train resnet.onnx --input x=N,3,32,32 --data images/ --lr 0.01 --flip --crop 4 \\
    --checkpoint resnet.npz --resume -o resnet.wafer
  wafer train small.ts --data fashion-mnist --teacher net.wafer --distil 0.7 --temperature 4 -o small.wafer
  wafer train pruned.wafer --data lines.npz --teacher full.wafer --distil 1 --lr 0.001 -o small.wafer
  wafer train net.wafer --data fashion-mnist --epochs 3 --lr 0.01 --quantize ternary --layer conv1=int8 -o net.ternary.wafer

Pictures become inputs as a .wafer says, for an ONNX model as --image-mean and --image-scale say, and else with mean 0 and
deviation 1 over all data.

Where a teacher says all there is to learn (--distil 1), examples need no classes: an .npy [N,…], an .npz of one array, or a
folder of these or of images. A teacher's and a model's nodes are those that wafer inspect --graph names.

Formats are those of wafer pack, and xnor: binary weights times the signs of what comes in. Where --quantize is left out
and --layer is not, all other layers are int8.

where net.ts is:
  export default ({ input, conv, batchNorm, relu, globalPool, linear }) => {
    const x = relu(batchNorm(conv(input([28, 28, 1]), 32, { bias: false })));
    return linear(globalPool(x), 10);
  };`,
    )
    .action(trainFile);

async function trainFile(path: string, flags: Flags): Promise<void> {
  if (flags.resume && !flags.checkpoint)
    throw new WaferError('ARGUMENT', '--resume needs a checkpoint', { hint: 'add --checkpoint with the file that was written' });
  const bytes = await readBytes(path);
  await checkOutput(flags.output, path);
  const isFrozen = flags.freeze === undefined ? undefined : frozenBy(flags.freeze);
  const progress = new Progress();
  progress.stage('read model and data');
  const set = await loadDataset(flags.data, 'train', { labelled: false });
  const read = await readTrainable(path, bytes, flags, set);
  const { graph } = read;
  const normalisation = set.data instanceof Float32Array ? undefined : read.normalisation;
  const test = await testPart(flags.data, flags.test, { labelled: false });
  const controller = new AbortController();
  const interrupt = () => controller.abort();
  process.once('SIGINT', interrupt);
  const { epochs, batch, seed } = flags;
  const distil = await distilOptions(read, flags, set);
  const data = { train: set, ...(test && { test }) };
  const options: TrainOptions = {
    ...{ epochs, batch, seed, signal: controller.signal },
    ...present({ workers: flags.workers, isFrozen, executor: flags.executor, normalisation }),
    ...present({ keepZeros: flags.keepZeros, norms: flags.norms, ema: flags.ema, testEvery: flags.testEvery }),
    sparsity: present({ gamma: flags.l1Gamma, outputs: flags.l1Outputs }),
    optimizer: { name: flags.optimizer, ...present({ momentum: flags.momentum, weightDecay: flags.weightDecay }) },
    schedule: { name: flags.schedule, ...present({ learningRate: flags.lr, warmup: flags.warmup }) },
    augmentation: present({
      flip: flags.flip,
      crop: flags.crop,
      erase: flags.erase,
      mixup: flags.mixup,
      labelSmoothing: flags.labelSmoothing,
    }),
    ...(flags.checkpoint && { checkpoint: { path: flags.checkpoint, resume: Boolean(flags.resume) } }),
    onProgress: (made) => progress.update(made.step, made.steps, trainingText(made, epochs)),
    onEpoch({ epoch, loss, top1, agreement }) {
      if (flags.json) return;
      progress.end();
      const figures = [
        ...(top1 === undefined ? [] : [`top-1 ${(100 * top1).toFixed(2)} %`]),
        ...(agreement === undefined ? [] : [`${(100 * agreement).toFixed(2)} % as the teacher says`]),
      ];
      print([`epoch ${epoch}: loss ${loss.toFixed(4)}`, ...figures].join(', '));
    },
  };
  const made: Made = await (isQuantised(flags)
    ? trainQuantized(
        graph,
        data,
        { ...options, ...(distil && { distil }) },
        { samples: flags.samples, layers: flags.layer, ...present({ weights: flags.quantize, gate: flags.gate }) },
      )
    : train(graph, data, { ...options, ...(distil && { distil: { teacher: graph, ...distil } }) }).then((trained) => ({
        ...trained,
        trained,
      }))
  ).finally(() => {
    progress.end();
    process.off('SIGINT', interrupt);
  });
  const { trained, report } = made;
  if (trained && !trained.complete)
    throw new WaferError('DISPOSED', 'the training was interrupted', {
      hint: flags.checkpoint ? `--resume goes on from "${flags.checkpoint}"` : 'with --checkpoint it could go on',
    });
  const recipe = [
    ...(trained ? [`train ${epochs} epochs of ${flags.data}, ${flags.optimizer}, seed ${seed}`] : []),
    ...(report ? recipeOf(report) : []),
    ...(flags.float16 ? ['weights in f16'] : []),
  ];
  progress.stage('test');
  const written = flags.float16 ? { ...made, graph: toFloat16(made.graph) } : made;
  const file = await trainedFile(written, data, { name: basename(path), bytes }, recipe, read.uses).finally(() => progress.end());
  await writeBytes(flags.output, file.bytes);
  const { top1 } = file;
  if (flags.json) {
    const { parameters, executor, workers, frozen, speed, history, gammas } = trained ?? {};
    return printJson({
      ...{
        output: flags.output,
        bytes: file.bytes.length,
        top1,
        parameters,
        executor,
        workers,
        frozen,
        ...speed,
        history,
        gammas,
      },
      ...(report && { quantize: report }),
    });
  }
  for (const node of trained?.frozen ?? []) print(`note: no gradient goes through ${node}; weights behind it stay as they are`);
  const { gammas } = trained ?? {};
  if (gammas) print(`${gammas.nearZero} of ${gammas.count} scales of batch norms are below 0.01`);
  const accuracy = top1 === undefined ? '' : `, top-1 ${(100 * top1).toFixed(2)} % on Wafer's kernels`;
  const how = trained
    ? `${trained.parameters} parameters trained by ${trained.executor} in ${trained.workers} threads`
    : 'quantising costs no more than the gate: not trained';
  print(`${flags.output}: ${bytesText(file.bytes.length)}${accuracy}; ${how}`);
}

const isQuantised = ({ quantize, layer }: Flags): boolean => quantize !== undefined || Object.keys(layer).length > 0;

const present = <T extends object>(values: T) =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: NonNullable<T[K]>;
  };

/** Collects FROM=TO by what TO is. */
function nodes(text: string, before: Record<string, string>): Record<string, string> {
  const [from, to, ...rest] = text.split('=');
  if (!from || !to || rest.length)
    throw new WaferError('ARGUMENT', `"${text}" is not FROM=TO`, { hint: 'a node of the teacher, then one of the model' });
  return { ...before, [to]: from };
}

/** What the flags say of distillation, if anything; the teacher where one is named. */
async function distilOptions({ isNew }: Trainable, flags: Flags, set: Dataset): Promise<Partial<DistilOptions> | undefined> {
  const { teacher: path, distil: share, temperature, teacherViews: views, distilLoss: loss } = flags;
  const pairs = (all: Record<string, string>, weight?: number) => {
    const listed = Object.entries(all).map(([to, from]) => ({ from, to, ...present({ weight }) }));
    return listed.length ? listed : undefined;
  };
  const [hints, attention] = [pairs(flags.hint, flags.hintWeight), pairs(flags.attention, flags.attentionWeight)];
  const said = present({ share, temperature, views, loss, hints, attention });
  if (path === undefined) {
    if (Object.keys(said).length === 0) return undefined;
    if (isNew && !isQuantised(flags))
      throw new WaferError('ARGUMENT', 'a new model has nothing to teach', { hint: 'name who has by --teacher' });
    return said;
  }
  if (!/\.(wafer|onnx)$/.test(path))
    throw new WaferError('ARGUMENT', `the teacher "${path}" is no model`, { hint: 'it ends in .wafer or .onnx' });
  const { graph, normalisation } = await readTrainable(path, await readBytes(path), flags, set);
  return { teacher: graph, normalisation, ...said };
}

/** What goes into a file, and how it came about. */
interface Made extends Ready {
  trained?: Trained | undefined;
  report?: QuantizeReport;
}

function frozenBy(pattern: string): (name: string) => boolean {
  let expression: RegExp;
  try {
    expression = new RegExp(pattern);
  } catch {
    throw new WaferError('ARGUMENT', `--freeze "${pattern}" is no regular expression`, { hint: 'as in --freeze "^conv1"' });
  }
  return (name) => expression.test(name);
}
