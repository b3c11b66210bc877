/** What samples say of the inputs of layers: which sums of them vary much, and so which errors in their weights count. */
import type { TypedArray } from '../../core/dtype';
import { located } from '../../core/errors';
import { type Graph, type Node, nodeText, type Value } from '../../graph/ir';
import type { Engine, Sample } from '../evaluate/engine';
import type { Covariance } from '../quantize/covariance';
import { RowSampler } from '../quantize/rows';
import { folded } from '../train/program';
import type { Stage } from './layer';
import { cholesky, transposed } from './linear';
import type { Coordinates } from './methods';

/** Rows of each stage's input that are looked at, over all samples. */
const ROWS = 2048;

/** Runs the samples, batch norms by their running statistics; gives coordinates of what each of `stages` of a layer reads. */
export async function inputCoordinates(
  graph: Graph,
  layers: readonly { readonly node: Node; readonly stages: readonly Stage[] }[],
  samples: readonly Sample[],
  engine: Engine,
): Promise<Coordinates[][]> {
  const plain = folded(graph);
  const named = new Map(plain.nodes.map((node) => [node.name, node]));
  const samplers = layers.map(({ node, stages }) => {
    const own = named.get(node.name)!;
    return { read: own.inputs[0]!, each: stages.map((stage) => new RowSampler(reading(own, stage))) };
  });
  const share = Math.ceil(ROWS / samples.length);
  const see = (value: Value, data: TypedArray, shape: readonly number[]) => {
    for (const { read, each } of samplers)
      if (read === value) for (const sampler of each) sampler.sample(data as Float32Array, shape, share);
  };
  const session = await engine.session(plain);
  try {
    for (const sample of samples) {
      for (const x of plain.inputs) see(x, sample[x.name]!.data, sample[x.name]!.shape);
      session.run(sample, {
        observe: (node, given) =>
          located({ node: nodeText(node) }, () => node.outputs.forEach((y, i) => see(y, given[i]!.data, given[i]!.shape))),
      });
    }
  } finally {
    session.dispose();
  }
  return samplers.map(({ each }) => each.map(({ groups: [group] }) => whitening(group!)));
}

/** The layer as if it read its input in windows of another stage. */
function reading(node: Node, { shape, ...window }: Stage): Node {
  const [x, w] = node.inputs;
  const isConv = node.op.name === 'conv';
  const type = { dtype: 'f32' as const, shape: isConv ? shape : [shape[0], shape[3]] };
  return { ...node, inputs: [x, { name: w!.name, type }], attrs: isConv ? { ...node.attrs, ...window } : node.attrs };
}

/**
 * Coordinates about the mean of rows in which they vary as much in every direction: with their covariance as L Lᵀ, w L. Blocks of
 * columns are taken by themselves. A little is added for what samples did not show.
 */
function whitening(covariance: Covariance): Coordinates {
  const mean = covariance.mean();
  const blocks = covariance.blocks.map((block) => {
    const { columns } = block;
    const n = columns.length;
    return { columns, n, upper: transposed(cholesky(Float64Array.from(block.solved().covariance), n), n, n) };
  });
  const eachRow = (weights: Float64Array, change: (row: Float64Array, upper: Float64Array, n: number) => void) => {
    const changed = weights.slice();
    for (let at = 0; at < weights.length; at += mean.length)
      for (const { columns, n, upper } of blocks) {
        const row = Float64Array.from(columns, (column) => weights[at + column]!);
        change(row, upper, n);
        columns.forEach((column, i) => {
          changed[at + column] = row[i]!;
        });
      }
    return changed;
  };
  const along = (row: Float64Array, upper: Float64Array, n: number, j: number, from: number): number => {
    let sum = 0;
    for (let i = from; i < n; i++) sum += row[i]! * upper[j * n + i]!;
    return sum;
  };
  return {
    mean,
    to: (weights) =>
      eachRow(weights, (row, upper, n) => {
        for (let j = 0; j < n; j++) row[j] = along(row, upper, n, j, j);
      }),
    from: (weights) =>
      eachRow(weights, (row, upper, n) => {
        for (let j = n - 1; j >= 0; j--) row[j] = (row[j]! - along(row, upper, n, j, j + 1)) / upper[j * n + j]!;
      }),
  };
}
