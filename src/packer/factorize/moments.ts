/** What samples say of the inputs of layers: which sums of them are large, and so which errors in their weights count. */
import type { TypedArray } from '../../core/dtype';
import { located } from '../../core/errors';
import { type Graph, type Node, nodeText, type Value } from '../../graph/ir';
import type { Engine, Sample } from '../evaluate/engine';
import { Covariance } from '../quantize/covariance';
import { rowAt } from '../quantize/rows';
import { folded } from '../train/program';
import { cholesky, transposed } from './linear';
import type { Coordinates } from './methods';

/** Rows of each value that are looked at, over all samples. */
const ROWS = 2048;

/** Runs the samples, batch norms by their running statistics; gives for each layer coordinates of its input's channels. */
export async function inputCoordinates(
  graph: Graph,
  layers: readonly Node[],
  samples: readonly Sample[],
  engine: Engine,
): Promise<Map<Node, Coordinates>> {
  const plain = folded(graph);
  const named = new Map(plain.nodes.map((node) => [node.name, node]));
  const read = new Map(layers.map((layer) => [layer, named.get(layer.name)!.inputs[0]!]));
  const seen = new Map([...read.values()].map((x) => [x, new Covariance(1, x.type.shape.at(-1) as number)]));
  const share = Math.ceil(ROWS / samples.length);
  const see = (value: Value, data: TypedArray) => {
    const covariance = seen.get(value);
    if (!covariance) return;
    const size = covariance.next.length;
    const count = data.length / size;
    for (let i = 0; i < Math.min(share, count); i++) {
      const row = rowAt(i, share, count);
      covariance.next.set(data.subarray(row * size, (row + 1) * size));
      covariance.push();
    }
  };
  const session = await engine.session(plain);
  try {
    for (const sample of samples) {
      for (const x of plain.inputs) see(x, sample[x.name]!.data);
      session.run(sample, {
        observe: (node, given) => located({ node: nodeText(node) }, () => node.outputs.forEach((y, i) => see(y, given[i]!.data))),
      });
    }
  } finally {
    session.dispose();
  }
  const coordinates = new Map([...seen].map(([value, covariance]) => [value, whitening(covariance)]));
  return new Map(layers.map((layer) => [layer, coordinates.get(read.get(layer)!)!]));
}

/**
 * Coordinates in which the second moments of rows are alike and apart: with these as L Lᵀ, w L. Blocks of columns are taken by
 * themselves. A little is added for what samples did not show.
 */
function whitening(covariance: Covariance): Coordinates {
  const mean = covariance.mean();
  const blocks = covariance.blocks.map((block) => {
    const { columns } = block;
    const n = columns.length;
    const spread = block.solved().covariance;
    const moments = Float64Array.from(spread, (v, at) => v + mean[columns[Math.floor(at / n)]!]! * mean[columns[at % n]!]!);
    return { start: columns[0]!, n, upper: transposed(cholesky(moments, n), n, n) };
  });
  const eachRow = (weights: Float64Array, change: (row: Float64Array, upper: Float64Array, n: number) => void) => {
    const changed = weights.slice();
    for (let at = 0; at < weights.length; at += mean.length)
      for (const { start, n, upper } of blocks) change(changed.subarray(at + start, at + start + n), upper, n);
    return changed;
  };
  const along = (row: Float64Array, upper: Float64Array, n: number, j: number, from: number): number => {
    let sum = 0;
    for (let i = from; i < n; i++) sum += row[i]! * upper[j * n + i]!;
    return sum;
  };
  return {
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
