/**
 * Optimisers and schedules, in plain arithmetic on flat vectors, so that a range of them is one thread's work. Weight decay is for
 * the first elements only: weights come before biases and scales of norms, which are not decayed.
 */
import { WaferError } from '../../core/errors';

export type OptimizerName = 'sgd' | 'adam' | 'adamw';
export type ScheduleName = 'constant' | 'cosine' | 'step';

export interface OptimizerOptions {
  name: OptimizerName;
  /** Of sgd. */
  momentum: number;
  nesterov: boolean;
  /** Of adam and adamw. */
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
}

export const OPTIMIZER: OptimizerOptions = {
  name: 'sgd',
  momentum: 0.9,
  nesterov: false,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
};

/** Vectors of the size of the parameters that an optimiser keeps. */
export const momentsOf = ({ name }: OptimizerOptions): number => (name === 'sgd' ? 1 : 2);

export interface Update {
  parameters: Float32Array;
  gradient: Float32Array;
  moments: readonly Float32Array[];
  /** Elements from 0 that are decayed. */
  decayed: number;
  learningRate: number;
  /** From 1. */
  step: number;
}

/** Moves elements `from` to `to` of the parameters. */
export function update(options: OptimizerOptions, given: Update, from: number, to: number): void {
  const { parameters, gradient, moments, decayed, learningRate, step } = given;
  const { name, momentum, nesterov, beta1, beta2, epsilon, weightDecay } = options;
  const [first, second] = moments as [Float32Array, Float32Array];
  if (name === 'sgd') {
    for (let i = from; i < to; i++) {
      const g = gradient[i]! + (i < decayed ? weightDecay * parameters[i]! : 0);
      first[i] = momentum * first[i]! + g;
      parameters[i]! -= learningRate * (nesterov ? g + momentum * first[i]! : first[i]!);
    }
    return;
  }
  const [correct1, correct2] = [1 - beta1 ** step, 1 - beta2 ** step];
  for (let i = from; i < to; i++) {
    const decay = i < decayed ? weightDecay * parameters[i]! : 0;
    const g = gradient[i]! + (name === 'adam' ? decay : 0);
    first[i] = beta1 * first[i]! + (1 - beta1) * g;
    second[i] = beta2 * second[i]! + (1 - beta2) * g * g;
    const move = first[i]! / correct1 / (Math.sqrt(second[i]! / correct2) + epsilon);
    parameters[i]! -= learningRate * (move + (name === 'adamw' ? decay : 0));
  }
}

export interface ScheduleOptions {
  name: ScheduleName;
  learningRate: number;
  /** Steps over which the rate grows from 0. */
  warmup: number;
  /** Of step: the rate is multiplied by `factor` at each of these parts of the training. */
  milestones: readonly number[];
  factor: number;
}

export const SCHEDULE: ScheduleOptions = {
  name: 'cosine',
  learningRate: 0.1,
  warmup: 0,
  milestones: [0.5, 0.75],
  factor: 0.1,
};

/** The learning rate of a step, from 0, of `total`. */
export function learningRate(
  { name, learningRate, warmup, milestones, factor }: ScheduleOptions,
  step: number,
  total: number,
): number {
  if (step < warmup) return (learningRate * (step + 1)) / warmup;
  const done = (step - warmup) / Math.max(1, total - warmup);
  if (name === 'cosine') return (learningRate * (1 + Math.cos(Math.PI * done))) / 2;
  if (name === 'step') return learningRate * factor ** milestones.filter((part) => done >= part).length;
  return learningRate;
}

/** Throws ARGUMENT for rates and decays that make no sense. */
export function checkOptimizer(optimizer: OptimizerOptions, schedule: ScheduleOptions): void {
  const rules: readonly [string, number, boolean][] = [
    ['learning rate', schedule.learningRate, schedule.learningRate > 0 && schedule.learningRate < 1e3],
    ['momentum', optimizer.momentum, optimizer.momentum >= 0 && optimizer.momentum < 1],
    ['weight decay', optimizer.weightDecay, optimizer.weightDecay >= 0 && optimizer.weightDecay < 1],
    ['warm-up', schedule.warmup, schedule.warmup >= 0],
  ];
  for (const [what, value, isRight] of rules)
    if (!isRight) throw new WaferError('ARGUMENT', `a ${what} of ${value} makes no sense`);
}
