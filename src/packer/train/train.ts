/**
 * A training from beginning to end: compile, start threads, epochs with checkpoints and tests between them, and the graph with the
 * weights that came out. The same arguments give the same bytes, also when it was stopped and taken up again.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { WaferError } from '../../core/errors';
import { elements, type StaticShape, shapeText } from '../../core/shape';
import type { Graph } from '../../graph/ir';
import { AUGMENTATION, type Augmentation, Batches, fitting, type Normalisation, normalisationOf } from '../data/batches';
import { type Dataset, sizeOf } from '../data/dataset';
import { declutter } from '../passes/index';
import { batched } from './batched';
import { type EpochReport, readCheckpoint, type Standing, writeCheckpoint } from './checkpoint';
import { unfused } from './differentiate';
import { Executor, type ExecutorName } from './executor';
import { logitsOf } from './losses';
import { toOnnx } from './onnx';
import { checkOptimizer, learningRate, OPTIMIZER, type OptimizerOptions, SCHEDULE, type ScheduleOptions } from './optimizers';
import {
  batchBindings,
  classification,
  compile,
  type LossFunction,
  type Program,
  trainedConstants,
  trainedGraph,
  weightsOf,
} from './program';
import { makeMemory, stop, type Task } from './replica';
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
  /** Of this call's steps alone: examples a second of wall time, and processor time for each, tests not counted. */
  speed: { imagesPerSecond: number; cpuMsPerImage: number };
}

/** The largest number of threads up to the processors' that divides a batch. */
function defaultWorkers(batch: number): number {
  let workers = Math.min(8, availableParallelism());
  while (batch % workers) workers--;
  return workers;
}

/** Throws ARGUMENT, SHAPE, UNSUPPORTED, NOT_FOUND, BAD_FILE, and VALUE where the loss is no number any more. */
export async function train(given: Graph, data: { train: Dataset; test?: Dataset }, options: TrainOptions): Promise<Trained> {
  const {
    epochs,
    batch = 64,
    seed = 1,
    loss = classification,
    isFrozen,
    isTrained,
    finish = declutter,
    signal,
    checkpoint,
    onProgress,
    onEpoch,
  } = options;
  const graph = batched(given);
  const workers = options.workers ?? defaultWorkers(batch);
  const optimizer = { ...OPTIMIZER, ...options.optimizer };
  const schedule = { ...SCHEDULE, learningRate: optimizer.name === 'sgd' ? SCHEDULE.learningRate : 1e-3, ...options.schedule };
  checkOptimizer(optimizer, schedule);
  const counts: readonly [string, number][] = [
    ['epochs', epochs],
    ['batch', batch],
    ['workers', workers],
  ];
  for (const [name, value] of counts)
    if (!Number.isInteger(value) || value < 1) throw new WaferError('ARGUMENT', `${name} is ${value}, which is no count`);
  if (batch % workers) throw new WaferError('ARGUMENT', `a batch of ${batch} cannot be shared by ${workers} workers`);
  if (sizeOf(data.train) < batch)
    throw new WaferError('ARGUMENT', `a batch of ${batch} needs more than ${sizeOf(data.train)} examples`, {
      hint: 'choose a smaller batch',
    });

  const program = compile(graph, { batch: batch / workers, loss, isFrozen, isTrained });
  const { channelsFirst } = checkData(program, data.train, data.test);
  const normalisation = options.normalisation ?? normalisationOf(data.train);
  const augmentation = { ...AUGMENTATION, ...options.augmentation };
  const batches = { set: data.train, normalisation, augmentation, seed, channelsFirst };
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
  };
  const memory = makeMemory(task);
  const initial = weightsOf(graph, program);
  memory.parameters.set(initial.parameters);
  memory.states.set(initial.states);

  const signature = signatureOf(task, options.lossName ?? (options.loss ? 'custom' : 'classification'));
  let standing: Standing = { step: 0, loss: 0, history: [], signature };
  if (checkpoint?.resume && existsSync(checkpoint.path))
    standing = readCheckpoint(new Uint8Array(readFileSync(checkpoint.path)), signature, memory);
  const save = () => checkpoint && writeCheckpoint(checkpoint.path, standing, memory);

  const team = await makeTeam(task, memory);
  const onAbort = () => stop(memory);
  signal?.addEventListener('abort', onAbort);
  if (signal?.aborted) stop(memory);
  let [seconds, cpu, made] = [0, 0, 0];
  try {
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
        const top1 = data.test && (await accuracyOf(trainedGraph(graph, memory, program), data.test, batches, team.executor));
        const report: EpochReport = {
          epoch: epochEnd / perEpoch,
          loss: standing.loss / perEpoch,
          ...(top1 !== undefined && { top1 }),
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
    graph: finish(trainedGraph(graph, memory, program)),
    constants: trainedConstants(memory, program),
    history: standing.history,
    complete: standing.step === task.steps,
    normalisation,
    channelsFirst,
    executor: team.executor,
    workers,
    parameters: program.parameterCount,
    frozen: program.frozen,
    speed: { imagesPerSecond: (made * batch) / seconds, cpuMsPerImage: cpu / (made * batch) },
  };
}

/** Throws SHAPE where examples do not fit the model, VALUE where it has fewer classes than they. */
function checkData({ input, target }: Program, ...sets: (Dataset | undefined)[]): { channelsFirst: boolean } {
  let fits: { channelsFirst: boolean } | undefined;
  for (const set of sets) {
    if (!set) continue;
    fits = fitting(input.name, input.shape.slice(1), set);
    const classes = target.shape.at(-1)!;
    if (target.shape.length !== 2 || set.classes > classes)
      throw new WaferError(
        'VALUE',
        `the data has ${set.classes} classes, the model's output ${shapeText(target.shape)} has ${classes}`,
      );
  }
  return fits!;
}

/** Of all that must be the same for a checkpoint to go on. */
function signatureOf({ program, batches, batch, threads, steps, optimizer, schedule }: Task, loss: string): string {
  const { set, ...how } = batches;
  const hash = createHash('sha256').update(program.onnx);
  hash.update(new Uint8Array(set.data.buffer, set.data.byteOffset, set.data.byteLength)).update(set.labels);
  return hash.update(JSON.stringify([how, batch, threads, steps, optimizer, schedule, loss])).digest('hex');
}

const TEST_BATCH = 100;

/** Part of the examples whose class the graph finds, computed by onnxruntime in one thread. */
export async function accuracyOf(
  graph: Graph,
  set: Dataset,
  how: Omit<ConstructorParameters<typeof Batches>[0], 'set' | 'augmentation' | 'seed'>,
  name?: ExecutorName,
): Promise<number> {
  const executor = await Executor.load(name);
  const count = sizeOf(set);
  const batch = Math.min(TEST_BATCH, count);
  const { graph: plain } = unfused(graph, batchBindings(graph.inputs[0]!, batch));
  const only = { ...plain, outputs: [{ name: 'logits', value: logitsOf(plain.outputs[0]!.value) }] };
  const execution = await executor.open(toOnnx(only), 1);
  const [x] = only.inputs;
  const shape = x!.type.shape as StaticShape;
  const size = elements(shape) / batch;
  const data = new Float32Array(elements(shape));
  const examples = new Batches({ ...how, set, augmentation: AUGMENTATION, seed: 0 }, batch);
  let right = 0;
  for (let from = 0; from < count; from += batch) {
    const here = Math.min(batch, count - from);
    for (let i = 0; i < here; i++) examples.plain(from + i, data.subarray(i * size, (i + 1) * size));
    const [logits] = await execution.run({ [x!.name]: { data, shape } });
    const classes = logits!.length / batch;
    for (let i = 0; i < here; i++) {
      let best = 0;
      for (let k = 1; k < classes; k++) if (logits![i * classes + k]! > logits![i * classes + best]!) best = k;
      if (best === set.labels[from + i]) right++;
    }
  }
  await execution.dispose();
  return right / count;
}
