/** How near a graph's outputs are to what the float graph gave on the same samples. */
import type { Graph } from '../../graph/ir';
import type { Engine, Sample } from '../evaluate/engine';

export type Outputs = Record<string, Float32Array>;

export interface Fidelity {
  /** Signal to noise over all samples, the mean of all outputs, in dB. */
  sqnr: number;
  /**
   * What small changes of independent layers add up to: of outputs that are probabilities, the mean Kullback-Leibler divergence
   * of their rows in nats, of others noise over signal; the mean of all outputs.
   */
  error: number;
}

export const floatOutputs = (result: Record<string, { data: ArrayLike<number> }>): Outputs =>
  Object.fromEntries(Object.entries(result).map(([name, t]) => [name, Float32Array.from(t.data)]));

/** `expected`: the float graph's outputs of each sample. */
export async function fidelity(
  graph: Graph,
  samples: readonly Sample[],
  expected: readonly Outputs[],
  engine: Engine,
  tick: () => void = () => {},
): Promise<Fidelity> {
  const session = await engine.session(graph);
  const sums = new Map<string, { signal: number; noise: number; divergence: number; rows: number }>();
  try {
    samples.forEach((sample, i) => {
      for (const [name, { data, shape }] of Object.entries(session.run(sample))) {
        const want = expected[i]![name]!;
        const sum = sums.get(name) ?? { signal: 0, noise: 0, divergence: 0, rows: 0 };
        sums.set(name, sum);
        for (let k = 0; k < want.length; k++) {
          sum.signal += want[k]! ** 2;
          sum.noise += (want[k]! - data[k]!) ** 2;
        }
        const length = shape.at(-1) ?? 1;
        if (!areProbabilities(want, length)) continue;
        sum.rows += want.length / length;
        for (let k = 0; k < want.length; k++) sum.divergence += divergence(want[k]!, data[k]!);
      }
      tick();
    });
  } finally {
    session.dispose();
  }
  const each = [...sums.values()];
  const mean = (of: (sum: (typeof each)[number]) => number) =>
    each.reduce((total, sum) => total + of(sum), 0) / Math.max(1, each.length);
  return {
    sqnr: mean(({ signal, noise }) => Math.min(150, 10 * Math.log10((signal + 1e-30) / (noise + 1e-30)))),
    error: mean(({ signal, noise, divergence, rows }) => (rows ? divergence / rows : noise / (signal + 1e-30))),
  };
}

/** Probabilities below this are taken for it. */
const LEAST = 1e-9;

/** One term of the divergence; with q - p added, which sums to 0, it is never negative. */
function divergence(p: number, q: number): number {
  const [a, b] = [Math.max(p, LEAST), Math.max(q, LEAST)];
  return a * Math.log(a / b) + b - a;
}

/** Whether the elements of each row, `length` of them, are a distribution. */
function areProbabilities(data: Float32Array, length: number): boolean {
  if (length < 2 || data.length === 0) return false;
  for (let at = 0; at < data.length; at += length) {
    let sum = 0;
    for (let k = at; k < at + length; k++) {
      if (!(data[k]! >= 0)) return false;
      sum += data[k]!;
    }
    if (Math.abs(sum - 1) > 1e-3) return false;
  }
  return true;
}
