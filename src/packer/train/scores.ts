/** What a graph gives for each example of a data set, computed in batches that threads share. */
import { elements, evaluateShape, type StaticShape } from '../../core/shape';
import type { Graph } from '../../graph/ir';
import { AUGMENTATION, Batches, type BatchOptions } from '../data/batches';
import { sizeOf } from '../data/dataset';
import { unfused } from './differentiate';
import { Executor, type ExecutorName } from './executor';
import { toOnnx } from './onnx';
import { batchBindings, type Fed } from './program';

/** How examples become inputs; they are not varied. */
export type Plain = Omit<BatchOptions, 'augmentation' | 'seed'>;

/** Data that threads can be sent. */
export interface Scoring {
  readonly onnx: Uint8Array;
  readonly input: Fed;
  readonly examples: Plain;
  /** Whether each is computed mirrored too. */
  readonly mirrored: boolean;
  /** Length of the vectors of which the places of the largest are kept, instead of all numbers. */
  readonly classes?: number | undefined;
  /** A row for each example, then one for each mirrored; in shared memory. */
  readonly scores: Float32Array;
}

/** Examples at once, and the numbers that they may come to. */
const [LARGEST_BATCH, MOST_NUMBERS] = [100, 2 ** 24];

export interface ScoringOptions {
  mirrored?: boolean;
  /** Keeps where along the last axis the largest scores are, not the scores. */
  best?: boolean;
}

/** `graph` has one input, whose batch is free, and one output. */
export function makeScoring(graph: Graph, examples: Plain, { mirrored = false, best = false }: ScoringOptions = {}): Scoring {
  const count = sizeOf(examples.set);
  const [{ value: y }] = graph.outputs as [Graph['outputs'][number]];
  const shape = evaluateShape(y.type.shape, batchBindings(graph.inputs[0]!, 1));
  const batch = Math.min(LARGEST_BATCH, count, Math.max(1, Math.floor(MOST_NUMBERS / elements(shape))));
  const { graph: plain } = unfused(graph, batchBindings(graph.inputs[0]!, batch));
  const [x] = plain.inputs;
  const classes = best ? shape.at(-1)! : undefined;
  return {
    onnx: toOnnx({ ...plain, outputs: [{ name: 'y0', value: plain.outputs[0]!.value }] }),
    input: { name: x!.name, shape: x!.type.shape as StaticShape },
    examples,
    mirrored,
    classes,
    scores: new Float32Array(new SharedArrayBuffer((4 * elements(shape) * count * (mirrored ? 2 : 1)) / (classes ?? 1))),
  };
}

export interface Share {
  index: number;
  threads: number;
  executor?: ExecutorName | undefined;
}

/** Fills the rows that are one thread's. */
export async function score(scoring: Scoring, { index, threads, executor }: Share): Promise<void> {
  const { onnx, input, examples, mirrored, classes, scores } = scoring;
  const execution = await (await Executor.load(executor)).open(onnx, 1);
  const [batch] = input.shape as [number, ...number[]];
  const count = sizeOf(examples.set);
  const rows = mirrored ? 2 * count : count;
  const data = new Float32Array(elements(input.shape));
  const size = data.length / batch;
  const batches = new Batches({ ...examples, augmentation: AUGMENTATION, seed: 0 }, batch);
  for (let from = index * batch; from < rows; from += threads * batch) {
    const here = Math.min(batch, rows - from);
    for (let i = 0; i < here; i++) {
      const out = data.subarray(i * size, (i + 1) * size);
      const row = from + i;
      if (row < count) batches.plain(row, out);
      else batches.mirrored(row - count, out);
    }
    const [y] = await execution.run({ [input.name]: { data, shape: input.shape } });
    const kept = classes ? Float32Array.from({ length: y!.length / classes }, (_, i) => largest(y!, i * classes, classes)) : y!;
    const width = kept.length / batch;
    scores.set(kept.subarray(0, here * width), from * width);
  }
  await execution.dispose();
}

/** Where the first of the largest of `count` numbers is. */
function largest(all: Float32Array, from: number, count: number): number {
  let best = 0;
  for (let k = 1; k < count; k++) if (all[from + k]! > all[from + best]!) best = k;
  return best;
}
