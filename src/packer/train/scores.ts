/** What a graph gives for each example of a data set, computed in batches that threads share. */
import { elements, type StaticShape } from '../../core/shape';
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
  /** A row for each example, then one for each mirrored; in shared memory. */
  readonly scores: Float32Array;
}

const LARGEST_BATCH = 100;

/** `graph` has one input, whose batch is free, and one output. */
export function makeScoring(graph: Graph, examples: Plain, mirrored = false): Scoring {
  const count = sizeOf(examples.set);
  const batch = Math.min(LARGEST_BATCH, count);
  const { graph: plain } = unfused(graph, batchBindings(graph.inputs[0]!, batch));
  const [x] = plain.inputs;
  const [{ value }] = plain.outputs as [Graph['outputs'][number]];
  const size = elements(value.type.shape as StaticShape) / batch;
  return {
    onnx: toOnnx({ ...plain, outputs: [{ name: 'y0', value }] }),
    input: { name: x!.name, shape: x!.type.shape as StaticShape },
    examples,
    mirrored,
    scores: new Float32Array(new SharedArrayBuffer(4 * size * count * (mirrored ? 2 : 1))),
  };
}

export interface Share {
  index: number;
  threads: number;
  executor?: ExecutorName | undefined;
}

/** Fills the rows that are one thread's. */
export async function score({ onnx, input, examples, mirrored, scores }: Scoring, { index, threads, executor }: Share) {
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
    const width = y!.length / batch;
    scores.set(y!.subarray(0, here * width), from * width);
  }
  await execution.dispose();
}
