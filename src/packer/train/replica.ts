/**
 * One thread of a training. All threads have the same memory: each computes the gradient of its part of a batch, waits for the
 * others, and moves its range of the parameters by the mean of all gradients. Which thread adds what in which order is fixed, so
 * that a seed and a number of threads give the same bytes.
 */
import { elements } from '../../core/shape';
import { Batches, type BatchOptions, type Part } from '../data/batches';
import { type Execution, Executor, type ExecutorName, type Feeds } from './executor';
import { learningRate, momentsOf, type OptimizerOptions, type ScheduleOptions, update } from './optimizers';
import type { Fed, Program, Slot, Weights } from './program';
import { type Scoring, score } from './scores';

/** All that a thread needs to know; data it can be sent. */
export interface Task {
  readonly program: Program;
  readonly batches: BatchOptions;
  /** Examples of a batch, of all threads together. */
  readonly batch: number;
  readonly threads: number;
  readonly steps: number;
  readonly optimizer: OptimizerOptions;
  readonly schedule: ScheduleOptions;
  readonly executor?: ExecutorName | undefined;
  /** What the teacher says of every example, where it does not see batches. */
  readonly teaching?: Scoring | undefined;
  /** Of the weights' moving average, the part that stays in a step; without it none is kept. */
  readonly decay?: number | undefined;
}

/** What threads share. */
export interface Memory {
  /** Threads that arrived, the barrier's generation, whether all must stop at once, whether to stop after a step. */
  readonly control: Int32Array;
  /** Each thread's loss. */
  readonly losses: Float64Array;
  readonly parameters: Float32Array;
  readonly states: Float32Array;
  readonly moments: readonly Float32Array[];
  /** Each thread's gradient and batch statistics. */
  readonly gradients: readonly Float32Array[];
  readonly statistics: readonly Float32Array[];
  /** 1 for each parameter that stays 0, where some do. */
  readonly pruned?: Uint8Array | undefined;
  /** Moving averages, where they are kept: what is tested and what comes out. */
  readonly averages?: Weights | undefined;
}

const [ARRIVED, GENERATION, ABORTED, STOPPED, STOPPING] = [0, 1, 2, 3, 4];

/** Memory of a training that starts from `initial`. `keeps` says of a tensor whether its zeros stay. */
export function makeMemory(task: Task, initial: Weights, keeps: (slot: Slot) => boolean = () => false): Memory {
  const { program, threads, optimizer, decay } = task;
  const floats = (count: number) => new Float32Array(new SharedArrayBuffer(4 * count));
  const each = (count: number, make: () => Float32Array) => Array.from({ length: count }, make);
  const copied = (data: Float32Array) => {
    const copy = floats(data.length);
    copy.set(data);
    return copy;
  };
  const kept = program.parameters.filter(keeps);
  const pruned = kept.length ? new Uint8Array(new SharedArrayBuffer(program.parameterCount)) : undefined;
  for (const { offset, shape } of kept)
    for (let i = offset; i < offset + elements(shape); i++) pruned![i] = Number(initial.parameters[i] === 0);
  return {
    control: new Int32Array(new SharedArrayBuffer(20)),
    losses: new Float64Array(new SharedArrayBuffer(8 * threads)),
    parameters: copied(initial.parameters),
    states: copied(initial.states),
    pruned,
    averages: decay === undefined ? undefined : { parameters: copied(initial.parameters), states: copied(initial.states) },
    moments: each(momentsOf(optimizer), () => floats(program.parameterCount)),
    gradients: each(threads, () => floats(program.parameterCount)),
    statistics: each(threads, () => floats(program.stateCount)),
  };
}

/** Wakes threads that wait for one that will not come. */
export function abort({ control }: Memory): void {
  Atomics.store(control, ABORTED, 1);
  Atomics.notify(control, GENERATION);
}

/** Has all threads stop after the step that they are in. */
export const stop = ({ control }: Memory): void => void Atomics.store(control, STOPPED, 1);

export interface Outcome {
  /** The step that comes next. */
  step: number;
  /** Sum of the losses of the steps that were made. */
  loss: number;
  /** Whether the last loss was no number; its step is then not made. */
  diverged: boolean;
}

export class Replica {
  private readonly batches: Batches;
  private readonly part: number;
  private readonly own: Float32Array;
  private readonly filled: Part;
  private readonly feeds: Feeds;
  private readonly mean: Float32Array;

  private constructor(
    private readonly task: Task,
    private readonly memory: Memory,
    private readonly index: number,
    private readonly execution: Execution,
    readonly executor: ExecutorName,
  ) {
    const { program, batch, threads } = task;
    this.batches = new Batches(task.batches, batch, task.teaching?.scores);
    this.part = batch / threads;
    // Native code takes no shared memory.
    this.own = new Float32Array(program.parameterCount);
    this.mean = new Float32Array(program.parameterCount);
    const { input, target, taught } = program;
    const room = (fed: Fed | undefined) => fed && new Float32Array(elements(fed.shape));
    this.filled = { x: room(input)!, target: room(target), taught: room(taught) };
    this.feeds = {
      [input.name]: { data: this.filled.x, shape: input.shape },
      ...(target && { [target.name]: { data: this.filled.target!, shape: target.shape } }),
      ...(taught && { [taught.name]: { data: this.filled.taught!, shape: taught.shape } }),
      ...Object.fromEntries(
        program.parameters.map(({ name, shape, offset }) => [
          name,
          { data: this.own.subarray(offset, offset + elements(shape)), shape },
        ]),
      ),
    };
  }

  static async create(task: Task, memory: Memory, index: number): Promise<Replica> {
    const { program } = task;
    const executor = await Executor.load(task.executor);
    const execution = await executor.open(program.onnx, 1 + program.parameters.length + program.states.length);
    return new Replica(task, memory, index, execution, executor.name);
  }

  /** This thread's share of the scores. */
  async score(scoring: Scoring): Promise<void> {
    await score(scoring, { index: this.index, threads: this.task.threads, executor: this.task.executor });
  }

  /** Makes steps `from` to `to`; `onStep` is called after each one with its loss. */
  async run(from: number, to: number, onStep: (step: number, loss: number) => void): Promise<Outcome> {
    const { program, threads, schedule, steps } = this.task;
    const { control, losses } = this.memory;
    let total = 0;
    for (let step = from; step < to; step++) {
      await this.backward(step);
      if (this.index === 0) Atomics.store(control, STOPPING, Atomics.load(control, STOPPED));
      this.wait();
      let loss = 0;
      for (const part of losses) loss += part / threads;
      if (!Number.isFinite(loss)) return { step, loss: total, diverged: true };
      total += loss;
      const stopping = Atomics.load(control, STOPPING) === 1;
      this.forward(step, learningRate(schedule, step, steps), program);
      this.wait();
      onStep(step, loss);
      if (stopping) return { step: step + 1, loss: total, diverged: false };
    }
    return { step: to, loss: total, diverged: false };
  }

  /** Gradient and statistics of this thread's part of the batch. */
  private async backward(step: number): Promise<void> {
    const { program } = this.task;
    const { parameters, gradients, statistics, losses } = this.memory;
    const { part, index } = this;
    this.own.set(parameters);
    this.batches.fill(step, index * part, part, this.filled);
    const [loss, ...rest] = await this.execution.run(this.feeds);
    program.parameters.forEach(({ offset }, i) => gradients[index]!.set(rest[i]!, offset));
    program.states.forEach(({ offset }, i) => statistics[index]!.set(rest[program.parameters.length + i]!, offset));
    losses[index] = loss![0]!;
  }

  /** Moves this thread's range of the parameters. The first thread moves running statistics too. */
  private forward(step: number, rate: number, { parameterCount, states, decayed }: Program): void {
    const { optimizer, threads } = this.task;
    const { parameters, moments, gradients, statistics, pruned, averages } = this.memory;
    const bound = (i: number) => Math.floor((parameterCount * i) / threads);
    const [from, to] = [bound(this.index), bound(this.index + 1)];
    for (let i = from; i < to; i++) {
      let sum = 0;
      for (const gradient of gradients) sum += gradient[i]!;
      this.mean[i] = pruned?.[i] ? 0 : sum / threads;
    }
    update(optimizer, { parameters, gradient: this.mean, moments, decayed, learningRate: rate, step: step + 1 }, from, to);
    const part = 1 - Math.min(this.task.decay ?? 0, (1 + step) / (10 + step));
    const follow = (average: Float32Array, what: Float32Array, from: number, to: number) => {
      for (let i = from; i < to; i++) average[i]! += part * (what[i]! - average[i]!);
    };
    if (averages) follow(averages.parameters, parameters, from, to);
    if (this.index > 0) return;
    for (const { offset, shape, momentum } of states)
      for (let i = offset; i < offset + elements(shape); i++) {
        let sum = 0;
        for (const of of statistics) sum += of[i]!;
        this.memory.states[i]! += momentum * (sum / threads - this.memory.states[i]!);
      }
    if (averages) follow(averages.states, this.memory.states, 0, averages.states.length);
  }

  /** Until all threads are here. Throws where one of them is lost. */
  private wait(): void {
    const { control } = this.memory;
    const generation = Atomics.load(control, GENERATION);
    if (Atomics.add(control, ARRIVED, 1) === this.task.threads - 1) {
      Atomics.store(control, ARRIVED, 0);
      Atomics.add(control, GENERATION, 1);
      Atomics.notify(control, GENERATION);
      return;
    }
    while (Atomics.load(control, GENERATION) === generation) {
      if (Atomics.load(control, ABORTED)) throw new Error('another thread failed');
      Atomics.wait(control, GENERATION, generation, 1000);
    }
  }

  dispose(): Promise<void> {
    return this.execution.dispose();
  }
}
