/** What each step does to a state. The same state, options, data and seed give the same state. */
import { WaferError } from '../../core/errors';
import type { Graph } from '../../graph/ir';
import { binaries } from '../../runtime/wasm/binaries';
import { AUGMENTATION, type Normalisation } from '../data/batches';
import { sizeOf } from '../data/dataset';
import { type ExampleForm, labelledSamples } from '../data/samples';
import { type Engine, type Sample, wasmEngine } from '../evaluate/engine';
import { factorize } from '../factorize/index';
import { recipeOf } from '../pack';
import { type Criterion, type Evidence, pruneChannels, pruneWeights, type WeightOptions } from '../prune/index';
import type { LevelFormat, WeightFormat } from '../quantize/formats';
import { type QuantizeOptions, type QuantizeReport, quantize } from '../quantize/index';
import { type AwareOptions, quantizationAware } from '../train/aware';
import type { DistilOptions } from '../train/distil';
import { expectOneOutput, type Trained, type TrainOptions, type TrainProgress, train } from '../train/train';
import type { Condition } from './condition';
import type { RecipeData } from './data';
import { type AnyStep, type Limit, limitOf, type Options, type StepName } from './schema';
import { plainGraph, type State } from './state';

/** Who teaches, and how pictures become its input. */
export interface TeacherModel {
  readonly graph: Graph;
  readonly normalisation?: Normalisation | undefined;
}

/** What steps work with. */
export interface StepContext {
  readonly data: RecipeData;
  readonly form: ExampleForm;
  readonly seed: number;
  /** Whether labels may be learnt. */
  readonly labelled: boolean;
  teacher(): Promise<TeacherModel>;
  /** Whether that is another model than the one at the start. */
  readonly isTaught: boolean;
  /** Where a training stands, to go on from. */
  readonly checkpoint: string;
  readonly signal?: AbortSignal | undefined;
  /** Bytes of the file at the start. */
  readonly startBytes: number;
  bytesOf(state: State): Promise<number>;
  /** Whether a condition is true of a state. */
  holds(condition: Condition, state: State): Promise<boolean>;
  onTraining(progress: TrainProgress, epochs: number): void;
  onProgress(done: number, total: number, what: string): void;
}

export interface Made {
  readonly state: State;
  /** What it did, in a few words. */
  readonly what: string;
  /** What the rooms report of it. */
  readonly report?: unknown;
}

/** Steps that change the graph. */
export type Change = Exclude<StepName, 'loop' | 'verify'>;

type Training = Options<'train'> | Options<'sparsify'> | Options<'retrain'> | NonNullable<Options<'quantize'>['tune']>;

const LARGEST_BATCH = 64;

export const present = <T extends object>(values: T) =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as { [K in keyof T]: NonNullable<T[K]> };

/** The name and the options of a step. */
export function entryOf(step: AnyStep): [StepName, Options<StepName>] {
  const [[name, options] = []] = Object.entries(step).filter(([, options]) => options !== undefined);
  return [name as StepName, options as Options<StepName>];
}

/** Examples of a step, and epochs. */
function amountOf(
  { epochs, leastSteps = 0, batch }: Training,
  { data }: StepContext,
): { batch: number; epochs: number; perEpoch: number } {
  const size = sizeOf(data.train);
  const examples = batch ?? Math.min(LARGEST_BATCH, size);
  const perEpoch = Math.max(1, Math.floor(size / examples));
  return { batch: examples, epochs: Math.max(epochs, Math.ceil(leastSteps / perEpoch)), perEpoch };
}

const epochsText = (epochs: number): string => `${epochs} ${epochs === 1 ? 'epoch' : 'epochs'}`;

function trainOptions(options: Training, context: StepContext, ownRate?: number): TrainOptions {
  const { form, seed, checkpoint, signal } = context;
  const { workers, optimizer, lr, momentum, weightDecay, schedule, warmup, freeze, ema } = options;
  const { flip, crop, erase, mixup, labelSmoothing } = options;
  const { batch, epochs, perEpoch } = amountOf(options, context);
  const rate = lr ?? (optimizer === 'sgd' ? ownRate : undefined);
  return {
    ...{ epochs, seed, batch },
    ...present({ workers, signal, ema, isFrozen: freeze === undefined ? undefined : frozenBy(freeze) }),
    optimizer: { name: optimizer, weightDecay, ...present({ momentum }) },
    schedule: { name: schedule, ...present({ learningRate: rate, warmup }) },
    augmentation: { ...AUGMENTATION, flip, ...present({ crop, erase, mixup, labelSmoothing }) },
    normalisation: form.normalisation,
    checkpoint: { path: checkpoint, resume: true, every: Math.ceil(perEpoch / CHECKPOINTS) },
    onProgress: (progress) => context.onTraining(progress, epochs),
  };
}

/** In an epoch. */
const CHECKPOINTS = 4;

function frozenBy(pattern: string): (name: string) => boolean {
  try {
    const expression = new RegExp(pattern);
    return (name) => expression.test(name);
  } catch {
    throw new WaferError('ARGUMENT', `"${pattern}" is no regular expression`, { hint: 'as in freeze: "^conv1"' });
  }
}

/** Throws DISPOSED where a training was stopped. */
function whole(trained: Trained): Trained {
  if (!trained.complete)
    throw new WaferError('DISPOSED', 'the run was interrupted', { hint: 'the same command goes on from there' });
  return trained;
}

/** What a teacher is asked, where one is wanted or nobody else knows the answers. */
async function distilOptions(
  { graph }: State,
  asked: Options<'retrain'>['distil'],
  context: StepContext,
): Promise<DistilOptions | undefined> {
  if (!asked && context.labelled) return undefined;
  const { share, temperature, views, hints, attention } = asked ?? {};
  const scores = graph.outputs[0]!.value.type.shape.length;
  const { graph: teacher, normalisation } = await context.teacher();
  return {
    ...{ teacher, normalisation },
    ...present({ share: context.labelled ? share : 1, temperature, views }),
    ...present({ hints: hints?.map(present), attention: attention?.map(present) }),
    loss: scores === 2 ? 'kl' : 'mse',
  };
}

async function trainStep(
  state: State,
  options: Options<'train'> | Options<'sparsify'> | Options<'retrain'>,
  context: StepContext,
  { verb, ownRate, isTeaching, more }: { verb: string; ownRate?: number; isTeaching: boolean; more?: Partial<TrainOptions> },
): Promise<Made> {
  expectOneOutput(state.graph);
  const distil = isTeaching ? await distilOptions(state, options.distil, context) : undefined;
  const { data, labelled, seed } = context;
  if (!labelled && !distil)
    throw new WaferError('ARGUMENT', 'the examples have no labels to train on', {
      hint: '"retrain" learns from the model itself',
    });
  const trained = whole(
    await train(
      state.graph,
      { train: data.train, ...(labelled && { test: data.val }) },
      {
        ...trainOptions(options, context, ownRate),
        norms: options.norms,
        ...(distil && { distil }),
        ...more,
      },
    ),
  );
  const how = distil ? `, ${Math.round(100 * (distil.share ?? 0.5))} % from a teacher` : '';
  const what = `${verb} ${epochsText(amountOf(options, context).epochs)} by ${options.optimizer}${how}`;
  return {
    state: { graph: trained.trainable, trained: true, done: [...state.done, `${what}, seed ${seed}`] },
    what,
    report: { history: trained.history, parameters: trained.parameters, frozen: trained.frozen, workers: trained.workers },
  };
}

/** Examples as the model's inputs, one by one. */
const samplesOf = ({ graph }: State, { data, form }: StepContext, count: number): Sample[] =>
  labelledSamples(data.calibrate, graph.inputs[0]!, form, count).map(({ sample }) => sample);

const engine = (): Engine => wasmEngine(binaries());

async function quantizeStep(state: State, options: Options<'quantize'>, context: StepContext): Promise<Made> {
  const { weights, method, rounding, budget, choices, samples, tune } = options;
  const graph = plainGraph(state);
  const layers = layersOf(graph, options);
  const calibration = samplesOf(state, context, samples);
  const spent = budgetOf(budget, context.startBytes);
  const stateOf = (graph: Graph, report: QuantizeReport): State => ({
    ...state,
    quantized: { graph, report, done: recipeOf(report, spent) },
  });
  const asked: QuantizeOptions = {
    ...{ method, layers },
    ...present({ weights, rounding: rounding as QuantizeOptions['rounding'] }),
    ...present({ budget: spent, choices: choices as LevelFormat[] | undefined }),
    fileBytes: (graph, report) => context.bytesOf(stateOf(graph, report)),
    onProgress: (done, total, what) => context.onProgress(done, total, what),
  };
  if (!tune || tune.when) {
    const { graph: integers, report } = await quantize(graph, calibration, engine(), asked);
    const plain = stateOf(integers, report);
    const wanted = tune?.when && (await context.holds(tune.when, plain));
    if (!wanted) {
      const why = tune?.when ? `, not trained because "${tune.when.text}" is not so` : '';
      return { state: plain, what: `${wordsOf(report)}${why}`, report };
    }
  }
  expectOneOutput(state.graph);
  const { distil } = tune!;
  const taught = context.isTaught ? await context.teacher() : undefined;
  const epochs = epochsText(amountOf(tune!, context).epochs);
  const aware: AwareOptions = {
    ...trainOptions(tune!, context),
    distil: present({
      ...{ teacher: taught?.graph, normalisation: taught?.normalisation },
      ...{ share: context.labelled ? distil?.share : 1, temperature: distil?.temperature, views: distil?.views },
    }),
  };
  const { train: set, val } = context.data;
  const training = quantizationAware({ train: set, ...(context.labelled && { test: val }) }, aware, whole);
  const { graph: integers, report } = await quantize(graph, calibration, engine(), { ...asked, tune: training });
  const made = stateOf(integers, report);
  const what = `${wordsOf(report)}, trained ${epochs} through the rounding`;
  const { done, ...rest } = made.quantized!;
  const line = `trained ${epochs} through the rounding, seed ${context.seed}`;
  return { state: { ...made, quantized: { ...rest, done: [...done, line] } }, what, report };
}

async function pruneStep(state: State, options: Options<'prune'>, context: StepContext): Promise<Made> {
  const { what, by = what === 'channels' ? 'l2' : 'magnitude', ...rest } = options;
  const criteria = [by].flat();
  const { ratio, layers, scope, multiple, least, block, compensate, samples } = rest;
  const amount = present({ ratio, layers, scope });
  const { seed, data, form } = context;
  for (const [i, criterion] of criteria.entries()) {
    try {
      if (what === 'weights') {
        const asked = { ...amount, by: criterion as WeightOptions['by'], seed, ...present({ block }) };
        const { graph, report } = pruneWeights(state.graph, asked);
        const words = `${report.zeros.after} of ${report.weights} weights are 0, by ${criterion}`;
        return { state: { ...state, graph, done: [...state.done, words] }, what: words, report };
      }
      const asked = { ...amount, by: criterion as Criterion, seed, compensate, ...present({ multiple, least }) };
      const evidence: Evidence = {
        ...((SEEING.has(criterion) || compensate) && { samples: samplesOf(state, context, samples), engine: engine() }),
        ...(criterion === 'taylor' && { data: data.train, normalisation: form.normalisation, examples: samples }),
      };
      const { graph, report } = await pruneChannels(state.graph, asked, evidence);
      const words = `${report.channels.before - report.channels.after} of ${report.channels.before} channels gone, by ${criterion}`;
      const isSame = report.channels.before === report.channels.after;
      return { state: isSame ? state : { ...state, graph, done: [...state.done, words] }, what: words, report };
    } catch (error) {
      // The next criterion may fit.
      if (!(error instanceof WaferError) || i === criteria.length - 1) throw error;
    }
  }
  throw new WaferError('ARGUMENT', 'no criterion is named');
}

/** Criteria that look at what layers give. */
const SEEING: ReadonlySet<string> = new Set(['apoz', 'mean']);

async function factorizeStep(state: State, options: Options<'factorize'>, context: StepContext): Promise<Made> {
  const { method, layers, energy, rank, ratio, by, samples } = options;
  const asked = { method, by, ...present({ layers, energy, rank, ratio }) };
  const onProgress: StepContext['onProgress'] = (done, total, what) => context.onProgress(done, total, what);
  // Kernels know no norms of training.
  const isPlain = state.graph.nodes.every(({ op }) => op.name !== 'batchNorm');
  const evidence = samples > 0 && isPlain ? { samples: samplesOf(state, context, samples), engine: engine() } : undefined;
  const { graph, report } = await factorize(state.graph, { ...asked, onProgress }, evidence);
  const { layers: made, parameters } = report;
  const what = `${made.length} of ${made.length + report.left.length} layers as products, ${parameters.after} of ${parameters.before} weights left`;
  return { state: made.length ? { ...state, graph, done: [...state.done, `factorized ${what}`] } : state, what, report };
}

/** Formats by layer: of ends and of groups, and what is said of layers by name, which counts more. */
function layersOf(graph: Graph, { layers, ends, grouped }: Options<'quantize'>): Record<string, WeightFormat> {
  const products = graph.nodes.filter(({ op, inputs }) => (op.name === 'conv' || op.name === 'gemm') && inputs[1]?.data);
  const inGroups = grouped ? products.filter(({ attrs }) => (attrs.group ?? 1) !== 1) : [];
  const first = ends ? products.filter((node) => node === products[0] || node === products.at(-1)) : [];
  return {
    ...Object.fromEntries(inGroups.map(({ name }) => [name, grouped!])),
    ...Object.fromEntries(first.map(({ name }) => [name, ends!])),
    ...layers,
  };
}

const budgetOf = (budget: Options<'quantize'>['budget'], startBytes: number) =>
  budget &&
  (budget.bits === undefined ? { size: Math.floor(limitOf(budget.bytes as Limit, startBytes)) } : { bits: budget.bits });

/** The first line of what a file says of its quantisation. */
function wordsOf(report: QuantizeReport): string {
  const float = report.floatNodes.length;
  return `${recipeOf(report)[0]}${float ? `, ${float} ${float === 1 ? 'node' : 'nodes'} in float` : ''}`;
}

/** What the steps are made by. */
export const CHANGES: { readonly [N in Change]: (state: State, options: Options<N>, context: StepContext) => Promise<Made> } = {
  train: (state, options, context) =>
    trainStep(state, options, context, { verb: 'trained', isTeaching: options.distil !== undefined }),
  sparsify: (state, options, context) =>
    trainStep(state, options, context, {
      ...{ verb: 'made sparse in', ownRate: 0.01, isTeaching: true },
      more: { sparsity: present({ gamma: options.gamma, outputs: options.outputs }) },
    }),
  retrain: (state, options, context) =>
    trainStep(state, options, context, {
      ...{ verb: 'retrained', ownRate: 0.01, isTeaching: true },
      more: present({ keepZeros: options.keepZeros }),
    }),
  prune: pruneStep,
  factorize: factorizeStep,
  quantize: quantizeStep,
};
