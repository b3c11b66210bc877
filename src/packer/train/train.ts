/**
 * A training from beginning to end: compile, start threads, epochs with checkpoints and tests between them, and the graph with the
 * weights that came out. The same arguments give the same bytes, also when it was stopped and taken up again.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { WaferError } from '../../core/errors';
import { shapeText } from '../../core/shape';
import type { Graph } from '../../graph/ir';
import { AUGMENTATION, type Augmentation, Batches, type Normalisation, normalisationOf } from '../data/batches';
import { type Dataset, isLabelled, sizeOf } from '../data/dataset';
import { declutter } from '../passes/index';
import { batched, fitted } from './batched';
import { type EpochReport, readCheckpoint, type Standing, writeCheckpoint } from './checkpoint';
import { type DistilOptions, distillation } from './distil';
import type { ExecutorName } from './executor';
import { logitsOf } from './losses';
import { withNorms } from './norms';
import { checkOptimizer, learningRate, OPTIMIZER, type OptimizerOptions, SCHEDULE, type ScheduleOptions } from './optimizers';
import {
  classification,
  compile,
  folded,
  type LossFunction,
  type Program,
  trainedConstants,
  weightsOf,
  withConstants,
} from './program';
import { makeMemory, stop, type Task } from './replica';
import { makeScoring, type Scoring } from './scores';
import { countGammas, keepsZeros, type SparsityOptions, withSparsity } from './sparsity';
import { makeTeam } from './team';

export interface TrainOptions {
  epochs: number;
  /** Examples of a batch, of all workers together. Default 64. */
  batch?: number;
  /** Threads, each with a part of every batch. Default: as many as there are processors and divide the batch. */
  workers?: number;
  /** Default 1. */
  seed?: number;
  optimizer?: Partial<OptimizerOptions>;
  schedule?: Partial<ScheduleOptions>;
  augmentation?: Partial<Augmentation>;
  /** Default: the mean and deviation of the training data. */
  normalisation?: Normalisation;
  /** Default: cross-entropy of the first output. */
  loss?: LossFunction;
  /** What tells losses apart in checkpoints. */
  lossName?: string;
  /** Has a teacher say a part of what is to be learnt. */
  distil?: DistilOptions;
  sparsity?: SparsityOptions;
  /**
   * Whether weights that are 0 stay 0; `binary` and `xnor` have no 0. Default: in tensors of which more than a tenth is 0, and not all.
   */
  keepZeros?: boolean;
  /** What stays of the weights' moving average in a step, as 0.999: the average is tested and comes out. Default: the weights themselves. */
  ema?: number;
  /** Whether convolutions that have no batch norms get some, which are folded away at the end: as they had before a file was written. */
  norms?: boolean;
  /** Epochs from one test to the next; the last is always tested. Default 1. */
  testEvery?: number;
  /** Names of constants that stay as they are. */
  isFrozen?: (name: string) => boolean;
  /** Names of constants that are trained besides weights, biases and norms, such as scales of quantisers. */
  isTrained?: (name: string) => boolean;
  /** What is done with the trained graph. Default: `declutter`, which knows operators of the file only. */
  finish?: (graph: Graph) => Graph;
  /** Default: onnxruntime-node where it loads, else onnxruntime-web. */
  executor?: ExecutorName;
  /** File to write after each epoch, and every so many steps. */
  checkpoint?: { path: string; every?: number; resume?: boolean };
  onProgress?: (progress: TrainProgress) => void;
  onEpoch?: (report: EpochReport) => void;
  /** Stops after the step that is underway, with a checkpoint. */
  signal?: AbortSignal;
}

export interface TrainProgress {
  step: number;
  steps: number;
  epoch: number;
  loss: number;
  imagesPerSecond: number;
  /** Seconds until all steps are made. */
  eta: number;
}

export interface Trained {
  /** With the trained weights, batch norms folded away: ready for `writeWafer`, or for quantisation. */
  graph: Graph;
  /** The graph that was given, with what was trained: to go on training. */
  trainable: Graph;
  /** What was trained, by the names of constants, and running statistics. */
  constants: ReadonlyMap<string, Float32Array>;
  history: readonly EpochReport[];
  /** False where it was stopped. */
  complete: boolean;
  normalisation: Normalisation;
  channelsFirst: boolean;
  executor: ExecutorName;
  workers: number;
  parameters: number;
  /** Nodes through which no gradient goes. */
  frozen: readonly string[];
  /** Of the scales of batch norms that were made sparse: how many there are, and are below 0.01. */
  gammas?: { count: number; nearZero: number };
  /** Of this call's steps alone: examples a second of wall time, and processor time for each, tests not counted. */
  speed: { imagesPerSecond: number; cpuMsPerImage: number };
}

/** The largest number of threads up to the processors' that divides a batch. */
function defaultWorkers(batch: number): number {
  let workers = Math.min(8, availableParallelism());
  while (batch % workers) workers--;
  return workers;
}

/** A loss that nobody wrote is of one output. Throws UNSUPPORTED for a model of several. */
export function expectOneOutput({ outputs }: Graph): void {
  if (outputs.length > 1)
    throw new WaferError('UNSUPPORTED', `the model has ${outputs.length} outputs, of which training knows one`, {
      hint: 'what does not train takes it',
    });
}

/**
 * Floats of `data` go in as they are; `buildModel` makes nets that normalise them. Throws ARGUMENT, SHAPE, UNSUPPORTED, NOT_FOUND,
 * BAD_FILE, and VALUE where the loss is no number any more.
 */
export async function train(given: Graph, data: { train: Dataset; test?: Dataset }, options: TrainOptions): Promise<Trained> {
  const {
    epochs,
    batch = 64,
    seed = 1,
    ema,
    testEvery = 1,
    loss = classification,
    isFrozen,
    isTrained,
    finish = declutter,
    signal,
    checkpoint,
    onProgress,
    onEpoch,
  } = options;
  if (!options.loss) expectOneOutput(given);
  const workers = options.workers ?? defaultWorkers(batch);
  const optimizer = { ...OPTIMIZER, ...options.optimizer };
  const schedule = { ...SCHEDULE, learningRate: optimizer.name === 'sgd' ? SCHEDULE.learningRate : 1e-3, ...options.schedule };
  checkOptimizer(optimizer, schedule);
  const counts: readonly [string, number][] = [
    ['epochs', epochs],
    ['batch', batch],
    ['workers', workers],
    ['testEvery', testEvery],
  ];
  for (const [name, value] of counts)
    if (!Number.isInteger(value) || value < 1) throw new WaferError('ARGUMENT', `${name} is ${value}, which is no count`);
  if (ema !== undefined && !(ema > 0 && ema < 1)) throw new WaferError('ARGUMENT', `an average that keeps ${ema} makes no sense`);
  if (batch % workers) throw new WaferError('ARGUMENT', `a batch of ${batch} cannot be shared by ${workers} workers`);
  if (sizeOf(data.train) < batch)
    throw new WaferError('ARGUMENT', `a batch of ${batch} needs more than ${sizeOf(data.train)} examples`, {
      hint: 'choose a smaller batch',
    });

  const normalisation = options.normalisation ?? normalisationOf(data.train);
  const plain = batched(given);
  const whole = options.norms ? await withNorms(plain, data.train, normalisation) : plain;
  const { graph, channelsFirst } = fitted(whole, data.train);
  if (data.test) fitted(whole, data.test);
  const augmentation = { ...AUGMENTATION, ...options.augmentation };
  const batches = { set: data.train, normalisation, augmentation, seed, channelsFirst };
  const distil = options.distil && distillation(graph, options.distil, batches);
  const trained = distil?.graph ?? graph;
  const program = compile(trained, {
    ...{ batch: batch / workers, isTrained },
    isFrozen: (name) => !distil?.adapters.has(name) && Boolean(isFrozen?.(name)),
    loss: withSparsity(distil ? distil.loss(loss) : loss, options.sparsity ?? {}),
    teacher: distil?.teacher,
  });
  checkLabels(program, data.train, data.test);
  const perEpoch = new Batches(batches, batch).perEpoch;
  const task: Task = {
    program,
    batches,
    batch,
    threads: workers,
    steps: epochs * perEpoch,
    optimizer,
    schedule,
    executor: options.executor,
    teaching: distil?.teaching,
    decay: ema,
  };
  const initial = weightsOf(trained, program);
  const memory = makeMemory(task, initial, keepsZeros(options.keepZeros, initial.parameters));

  const lossName = options.lossName ?? (options.loss ? 'custom' : 'classification');
  const signature = signatureOf(task, [lossName, distil?.signature, options.sparsity, options.keepZeros, ema]);
  let standing: Standing = { step: 0, loss: 0, history: [], signature };
  if (checkpoint?.resume && existsSync(checkpoint.path))
    standing = readCheckpoint(new Uint8Array(readFileSync(checkpoint.path)), signature, memory);
  const save = () => checkpoint && writeCheckpoint(checkpoint.path, standing, memory);

  const team = await makeTeam(task, memory);
  const onAbort = () => stop(memory);
  signal?.addEventListener('abort', onAbort);
  if (signal?.aborted) stop(memory);
  let [seconds, cpu, made] = [0, 0, 0];
  const constants = () => trainedConstants(memory.averages ?? memory, program);
  const trainable = () => withConstants(whole, constants());
  let wanted: ArrayLike<number> | undefined;
  const tested = async (set: Dataset): Promise<Pick<EpochReport, 'top1' | 'agreement'>> => {
    const best = isLabelled(set) || distil?.kind === 'kl';
    const computed = async (scoring: Scoring) => {
      await team.score(scoring);
      return scoring.scores;
    };
    const now = folded(withConstants(graph, constants()));
    const scores = { ...now, outputs: [{ name: 'scores', value: logitsOf(now.outputs[0]!.value) }] };
    const got = await computed(makeScoring(scores, { set, normalisation, channelsFirst }, { best }));
    if (isLabelled(set)) return { top1: equalPart(got, set.labels) };
    wanted ??= await computed(distil!.answers(set, { best }));
    return { agreement: best ? equalPart(got, wanted) : explainedPart(got, wanted) };
  };
  try {
    if (task.teaching) await team.score(task.teaching);
    while (standing.step < task.steps && !(signal?.aborted && made > 0)) {
      const { step } = standing;
      const epochEnd = (Math.floor(step / perEpoch) + 1) * perEpoch;
      const to = Math.min(epochEnd, checkpoint?.every ? step + checkpoint.every : epochEnd);
      const [start, before] = [performance.now(), process.cpuUsage()];
      const outcome = await team.run(step, to, (at, value) => {
        const elapsed = seconds + (performance.now() - start) / 1000;
        const done = made + at + 1 - step;
        const imagesPerSecond = (done * batch) / elapsed;
        const eta = ((task.steps - at - 1) * batch) / imagesPerSecond;
        onProgress?.({
          step: at + 1,
          steps: task.steps,
          epoch: Math.floor(at / perEpoch) + 1,
          loss: value,
          imagesPerSecond,
          eta,
        });
      });
      const used = process.cpuUsage(before);
      seconds += (performance.now() - start) / 1000;
      cpu += (used.user + used.system) / 1000;
      made += outcome.step - step;
      if (outcome.diverged)
        throw new WaferError('VALUE', `the loss is no number any more, in step ${outcome.step + 1} of ${task.steps}`, {
          hint: `the learning rate was ${learningRate(schedule, outcome.step, task.steps)}: try a tenth of it, or a warm-up`,
        });
      standing = { ...standing, step: outcome.step, loss: standing.loss + outcome.loss };
      if (outcome.step === epochEnd) {
        const epoch = epochEnd / perEpoch;
        const isTested = epoch % testEvery === 0 || epoch === epochs;
        const report: EpochReport = {
          epoch,
          loss: standing.loss / perEpoch,
          ...(isTested && data.test && (await tested(data.test))),
          learningRate: learningRate(schedule, outcome.step - 1, task.steps),
        };
        standing = { ...standing, loss: 0, history: [...standing.history, report] };
        onEpoch?.(report);
      }
      save();
      if (outcome.step < to) break;
    }
  } finally {
    signal?.removeEventListener('abort', onAbort);
    await team.dispose();
  }
  return {
    graph: finish(folded(trainable())),
    trainable: trainable(),
    constants: constants(),
    history: standing.history,
    complete: standing.step === task.steps,
    normalisation,
    channelsFirst,
    executor: team.executor,
    workers,
    parameters: program.parameterCount,
    frozen: program.frozen,
    ...(options.sparsity?.gamma && { gammas: countGammas(trainable()) }),
    speed: { imagesPerSecond: (made * batch) / seconds, cpuMsPerImage: cpu / (made * batch) },
  };
}

/** Throws ARGUMENT where labels are needed and lacking, VALUE where a model that they teach has fewer classes. */
function checkLabels({ target, scores }: Program, train: Dataset, test?: Dataset): void {
  if (target && !isLabelled(train))
    throw new WaferError('ARGUMENT', 'nobody says what the examples are', {
      hint: 'without classes all of the loss has to be the share of a teacher: distil 1',
    });
  if (target && test && !isLabelled(test)) throw new WaferError('ARGUMENT', 'nobody says what the test examples are');
  for (const set of [train, test])
    if (set && target && (scores.length !== 2 || set.classes > scores[1]!))
      throw new WaferError(
        'VALUE',
        `the data has ${set.classes} classes, the model's output ${shapeText(scores)} has ${scores.at(-1)}`,
      );
}

/** Of all that must be the same for a checkpoint to go on. */
function signatureOf({ program, batches, batch, threads, steps, optimizer, schedule, teaching }: Task, more: unknown): string {
  const { set, ...how } = batches;
  const hash = createHash('sha256').update(program.onnx);
  hash.update(new Uint8Array(set.data.buffer, set.data.byteOffset, set.data.byteLength)).update(set.labels);
  if (teaching) hash.update(teaching.onnx).update(JSON.stringify(teaching.examples.normalisation));
  return hash.update(JSON.stringify([how, batch, threads, steps, optimizer, schedule, more])).digest('hex');
}

/** Part of the places at which both are equal. */
function equalPart(got: ArrayLike<number>, wanted: ArrayLike<number>): number {
  let equal = 0;
  for (let i = 0; i < wanted.length; i++) if (got[i] === wanted[i]) equal++;
  return equal / wanted.length;
}

/** Part of the variance of what is wanted that is got, 1 where all is equal. */
function explainedPart(got: ArrayLike<number>, wanted: ArrayLike<number>): number {
  let [error, square, sum] = [0, 0, 0];
  for (let i = 0; i < wanted.length; i++) {
    error += (got[i]! - wanted[i]!) ** 2;
    square += wanted[i]! ** 2;
    sum += wanted[i]!;
  }
  return 1 - error / (square - sum ** 2 / wanted.length);
}
