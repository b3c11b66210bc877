/**
 * What is left makes up for what goes: where a convolution or matrix product reads channels that are removed, those that stay predict
 * them as well as a linear function can, pixel by pixel (least squares over samples), and the function is multiplied into the reader's
 * weights and bias. It is the network's best answer before any training. As in He et al., "Channel Pruning for Accelerating Very Deep
 * Neural Networks" (2017), but for one function of channels for all taps of a kernel.
 */
import { WaferError } from '../../core/errors';
import type { StaticShape } from '../../core/shape';
import type { Graph, Node, Value } from '../../graph/ir';
import { cholesky } from '../factorize/linear';
import { rowAt } from '../quantize/rows';
import { folded } from '../train/program';
import type { Evidence } from './criteria';
import type { Dependencies } from './dependencies';
import { type Removed, rebuilt } from './removal';

/** Pixels of each value that are looked at, over all samples. */
const ROWS = 4096;
/** Channels of a value beyond which only their means are made up for. */
const MOST = 2048;
/** Added to the diagonal of second moments, as a share of its mean, so that little is made of what samples hardly show. */
const DAMPING = 1e-3;

/** The share of second moments that variances have at the least where channels are more than constants and rounding. */
const CONSTANT = 1e-6;

/** A product that loses inputs. */
interface Reader {
  x: Value;
  w: Value;
  labels: Int32Array;
}

/** The same graph, with weights for when the removed units are gone. Throws ARGUMENT without samples. */
export async function compensated(
  graph: Graph,
  dependencies: Dependencies,
  removed: Removed,
  { samples = [], engine }: Evidence = {},
): Promise<Graph> {
  if (samples.length === 0 || !engine)
    throw new WaferError('ARGUMENT', 'what is left cannot make up for what goes without samples', {
      hint: 'pass --calibrate with a folder of real inputs',
    });
  const readers = readersOf(graph, dependencies, removed);
  const values = [...new Set([...readers.values()].map(({ x }) => x))];
  const moments = new Map(values.map((x) => [x, new Moments(x.type.shape.at(-1) as number)]));
  const session = await engine.session(folded({ ...graph, outputs: values.map((value, i) => ({ name: `y${i}`, value })) }));
  try {
    for (const sample of samples) {
      const results = session.run(sample);
      values.forEach((x, i) => moments.get(x)!.add(results[`y${i}`]!.data, Math.ceil(ROWS / samples.length)));
    }
  } finally {
    session.dispose();
  }
  return rebuilt(graph, (copy, node) => {
    const reader = readers.get(node);
    // Constants that are replaced are not copied, so that others can have their names.
    const inputs = node.inputs.map((x, i) => (reader && (i === 1 || i === 2) ? undefined : x && copy.value(x)));
    if (!reader) return copy.build.add(node.op, node.name, inputs, node.attrs);
    const { x, w, labels } = reader;
    const shape = w.type.shape as StaticShape;
    const own = node.inputs[2];
    const bias = own ? Float64Array.from(own.data!) : new Float64Array(shape[0]!);
    const weights = moments.get(x)!.moved(w.data as Float32Array, bias, labels, removed);
    inputs[1] = copy.build.constant(w.name, w.type, weights);
    inputs[2] = copy.build.constant(
      own?.name ?? `${node.name}.bias`,
      { dtype: 'f32', shape: [shape[0]!] },
      Float32Array.from(bias),
    );
    return copy.build.add(node.op, node.name, inputs, node.attrs);
  });
}

/** Products with weights and biases of their own that are not in groups. */
function readersOf(graph: Graph, { cuts }: Dependencies, removed: Removed): Map<Node, Reader> {
  const readers = new Map<Node, Reader>();
  for (const node of graph.nodes) {
    const [x, w, bias] = node.inputs;
    const isDense = node.op.name === 'gemm' || (node.op.name === 'conv' && node.attrs.group === 1);
    if (!isDense || !w?.data || (bias && !bias.data)) continue;
    const cut = cuts.get(node)?.find(({ input, axis }) => input === 1 && axis === w.type.shape.length - 1);
    if (cut?.labels.some((unit) => removed[unit])) readers.set(node, { x: x!, w, labels: cut.labels });
  }
  return readers;
}

/** Sums over pixels of channels, and of products of two of them. */
class Moments {
  private readonly sums: Float64Array;
  private readonly products: Float64Array | undefined;
  private count = 0;

  constructor(private readonly size: number) {
    this.sums = new Float64Array(size);
    if (size <= MOST) this.products = new Float64Array(size * size);
  }

  /** Adds `share` rows of [..., size], or all, evenly spread. */
  add(data: ArrayLike<number>, share: number): void {
    const { size, sums, products } = this;
    const rows = data.length / size;
    for (let i = 0; i < Math.min(share, rows); i++) {
      const from = rowAt(i, share, rows) * size;
      this.count++;
      for (let p = 0; p < size; p++) {
        const value = data[from + p]!;
        if (value === 0) continue;
        sums[p]! += value;
        if (products) for (let q = 0; q <= p; q++) products[p * size + q]! += value * data[from + q]!;
      }
    }
  }

  /**
   * The weights w[..., size] with what removed channels said moved to those that stay, and to `bias`. The weights of removed channels
   * are left as they are.
   */
  moved(w: Float32Array, bias: Float64Array, labels: Int32Array, removed: Removed): Float32Array {
    const { size, sums, count } = this;
    const [kept, gone]: [number[], number[]] = [[], []];
    labels.forEach((unit, i) => (removed[unit] ? gone : kept).push(i));
    const mean = sums.map((sum) => sum / count);
    const from = this.prediction(kept, gone, mean);
    const made = w.slice();
    const taps = w.length / bias.length / size;
    const sum = new Float64Array(kept.length);
    for (let row = 0; row < w.length / size; row++) {
      sum.fill(0);
      gone.forEach((g, i) => {
        const weight = w[row * size + g]!;
        if (weight === 0) return;
        let constant = mean[g]!;
        if (from)
          for (let k = 0; k < kept.length; k++) {
            const share = from[i * kept.length + k]!;
            sum[k]! += weight * share;
            constant -= share * mean[kept[k]!]!;
          }
        bias[Math.floor(row / taps)]! += weight * constant;
      });
      kept.forEach((index, k) => (made[row * size + index] = w[row * size + index]! + sum[k]!));
    }
    return made;
  }

  /** [gone][kept]: how much of each that stays is in each that goes, apart from the means; undefined where it is not known. */
  private prediction(kept: readonly number[], gone: readonly number[], mean: Float64Array): Float64Array | undefined {
    const { size, products, count } = this;
    if (!products) return undefined;
    const covariance = (p: number, q: number): number =>
      products[Math.max(p, q) * size + Math.min(p, q)]! / count - mean[p]! * mean[q]!;
    const n = kept.length;
    const matrix = Float64Array.from({ length: n * n }, (_, at) => covariance(kept[Math.floor(at / n)]!, kept[at % n]!));
    const trace = kept.reduce((total, p) => total + covariance(p, p), 0);
    const power = kept.reduce((total, p) => total + products[p * size + p]! / count, 0);
    if (!(trace > CONSTANT * power)) return undefined;
    for (let i = 0; i < n; i++) matrix[i * n + i]! += (DAMPING * trace) / n;
    const lower = cholesky(matrix, n);
    const made = new Float64Array(gone.length * n);
    gone.forEach((g, i) => {
      const row = made.subarray(i * n, (i + 1) * n);
      kept.forEach((p, k) => (row[k] = covariance(g, p)));
      for (let k = 0; k < n; k++) {
        for (let j = 0; j < k; j++) row[k]! -= lower[k * n + j]! * row[j]!;
        row[k]! /= lower[k * n + k]!;
      }
      for (let k = n - 1; k >= 0; k--) {
        for (let j = k + 1; j < n; j++) row[k]! -= lower[j * n + k]! * row[j]!;
        row[k]! /= lower[k * n + k]!;
      }
    });
    return made;
  }
}
