/** How near a graph's outputs are to what the float graph gave on the same samples. */
import type { Graph } from '../../graph/ir';
import type { Engine, Sample } from '../evaluate/engine';

export type Outputs = Record<string, Float32Array>;

export interface Fidelity {
  /** Signal to noise over all samples, the mean of all outputs, in dB. */
  sqnr: number;
  /** Noise over signal, which adds up where it has several sources; both without the mean of each row. The mean of all outputs. */
  error: number;
}

export const floatOutputs = (result: Record<string, { data: ArrayLike<number> }>): Outputs =>
  Object.fromEntries(Object.entries(result).map(([name, t]) => [name, Float32Array.from(t.data)]));

/** What the graph gives for each sample. */
export async function outputsOf(graph: Graph, samples: readonly Sample[], engine: Engine): Promise<Outputs[]> {
  const session = await engine.session(graph);
  try {
    return samples.map((sample) => floatOutputs(session.run(sample)));
  } finally {
    session.dispose();
  }
}

/**
 * The graph with outputs that a softmax makes taken from before it. Probabilities say nothing of the classes that samples
 * are not of; scores do.
 */
export function withoutSoftmax(graph: Graph): Graph {
  const outputs = graph.outputs.map(({ name, value }) => {
    const { producer } = value;
    return { name, value: producer?.op.name === 'softmax' ? producer.inputs[0]! : value };
  });
  const read = new Set([...graph.nodes.flatMap(({ inputs }) => inputs), ...outputs.map(({ value }) => value)]);
  return { ...graph, outputs, nodes: graph.nodes.filter((node) => node.outputs.some((y) => read.has(y))) };
}

/** `expected`: the float graph's outputs of each sample. */
export async function fidelity(
  graph: Graph,
  samples: readonly Sample[],
  expected: readonly Outputs[],
  engine: Engine,
  tick: () => void = () => {},
): Promise<Fidelity> {
  const session = await engine.session(graph);
  const sums = new Map<string, Sums>();
  try {
    samples.forEach((sample, i) => {
      for (const [name, { data, shape }] of Object.entries(session.run(sample))) {
        const sum = sums.get(name) ?? new Sums();
        sums.set(name, sum);
        sum.add(data, expected[i]![name]!, shape.at(-1) ?? 1);
      }
      tick();
    });
  } finally {
    session.dispose();
  }
  const each = [...sums.values()];
  const mean = (of: (sum: Sums) => number) => each.reduce((total, sum) => total + of(sum), 0) / Math.max(1, each.length);
  return { sqnr: mean((sum) => sum.sqnr), error: mean((sum) => sum.error) };
}

/** Of one output. */
class Sums {
  private signal = 0;
  private noise = 0;
  /** What the means of rows are of these. */
  private meanSignal = 0;
  private meanNoise = 0;

  add(got: ArrayLike<number>, want: ArrayLike<number>, length: number): void {
    for (let at = 0; at < want.length; at += length) {
      let [sum, difference] = [0, 0];
      for (let k = at; k < at + length; k++) {
        const off = want[k]! - got[k]!;
        this.signal += want[k]! ** 2;
        this.noise += off ** 2;
        sum += want[k]!;
        difference += off;
      }
      if (length < 2) continue;
      this.meanSignal += sum ** 2 / length;
      this.meanNoise += difference ** 2 / length;
    }
  }

  get sqnr(): number {
    return Math.min(150, 10 * Math.log10((this.signal + 1e-30) / (this.noise + 1e-30)));
  }

  get error(): number {
    return Math.max(0, this.noise - this.meanNoise) / (Math.max(0, this.signal - this.meanSignal) + 1e-30);
  }
}
