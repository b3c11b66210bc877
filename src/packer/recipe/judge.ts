/** What a state is worth: how accurate its file is on the runtime's own kernels, how large, how much work, how fast beside others. */
import type { Bindings } from '../../core/dim';
import { elements, type StaticShape } from '../../core/shape';
import { constantsOf, type Graph, type Value } from '../../graph/ir';
import type { Session } from '../../runtime/session';
import { binaries } from '../../runtime/wasm/binaries';
import { type Dataset, sizeOf } from '../data/dataset';
import { type ExampleForm, type LabelledSample, labelledSamples } from '../data/samples';
import { countMacs } from '../evaluate/cost';
import { type Sample, wasmEngine } from '../evaluate/engine';
import { type Answer, evaluate, type Figures, type Subject, type Task } from '../evaluate/evaluate';
import type { Measure } from './condition';

export type Measures = Record<Measure, number>;

/** Sizes that need no run. */
export type Sizes = Pick<Measures, 'macs' | 'weights' | 'zeros' | 'norms'>;

/** @param graph the floats that can be trained; `file`: what a file would hold of them. */
export function sizesOf(graph: Graph, file: Graph, bindings: Bindings): Sizes {
  const sum = (numbers: Iterable<number>) => [...numbers].reduce((a, b) => a + b, 0);
  const weights = constantsOf(file).filter(({ type }) => type.shape.length > 1);
  const levels = sum(weights.map(({ data }) => data!.length));
  const zeros = sum(weights.map(({ data }) => data!.length - zeroless(data!)));
  return {
    macs: sum(countMacs(file, bindings).values()),
    weights: sum(constantsOf(graph).map(({ type }) => elements(type.shape as StaticShape))),
    zeros: levels ? (100 * zeros) / levels : 0,
    norms: graph.nodes.filter(({ op }) => op.name === 'batchNorm').length,
  };
}

function zeroless(data: ArrayLike<number>): number {
  let count = 0;
  for (let i = 0; i < data.length; i++) if (data[i] !== 0) count++;
  return count;
}

/** How accuracy is counted, in words. */
export const ACCURACY: Readonly<Record<Task | 'labels', string>> = {
  labels: 'top-1',
  classify: 'same class',
  ctc: 'same signal',
  maps: 'same map',
  values: 'same signal',
};

/** Of examples in memory as a model's inputs: of more, evenly spread ones are taken. */
const MOST_BYTES = 2 ** 29;

/** Examples of which the accuracy of graphs is counted. */
export class Judge {
  private readonly samples: readonly LabelledSample[];

  constructor(
    private readonly set: Dataset,
    x: Value,
    form: ExampleForm,
    private readonly task: Task,
  ) {
    const most = Math.max(1, Math.floor(MOST_BYTES / (4 * elements(set.shape))));
    this.samples = labelledSamples(set, x, form, Math.min(sizeOf(set), most));
  }

  get isLabelled(): boolean {
    return this.set.labels.length > 0 && this.task === 'classify';
  }

  get examples(): number {
    return this.samples.length;
  }

  get counts(): string {
    return ACCURACY[this.isLabelled ? 'labels' : this.task];
  }

  /**
   * Percent of right classes; without labels, of what `reference` answers: the same classes, the same places of maps, or the part of the
   * signal that is no noise.
   */
  async accuracyOf(graph: Graph, reference: Graph): Promise<number> {
    const subject = await subjectOf('', graph);
    const against = this.isLabelled ? undefined : await subjectOf('reference', reference);
    const task = this.task === 'ctc' ? 'values' : this.task;
    try {
      const [figures] = await evaluate([subject], this.samples, { task, against });
      return this.percentOf(figures!);
    } finally {
      subject.dispose();
      against?.dispose();
    }
  }

  private percentOf({ top1, against }: Figures): number {
    if (this.isLabelled) return top1!;
    if (against!.agreement !== undefined) return against!.agreement;
    if (against!.iou !== undefined) return 100 * against!.iou;
    return against!.sqnr === null ? 100 : Math.max(0, 100 * (1 - 10 ** (-against!.sqnr / 10)));
  }

  get sample(): Sample {
    return this.samples[0]!.sample;
  }
}

/** A graph of any number of outputs, which are one answer behind each other. */
async function subjectOf(name: string, graph: Graph): Promise<Subject> {
  const session = await wasmEngine(binaries()).session(graph);
  return {
    name,
    async run(sample): Promise<Answer> {
      const made = session.run(sample);
      const outputs = graph.outputs.map(({ name }) => made[name]!);
      if (outputs.length === 1) return outputs[0]!;
      const data = Float32Array.from(outputs.flatMap(({ data }) => [...data]));
      return { data, shape: [data.length] };
    },
    dispose: () => session.dispose(),
  };
}

const ROUNDS = 24;
/** Of a graph in a round, at the least: what is over sooner is repeated. Short enough to fit between what else the machine does. */
const ROUND_MS = 2;
/** Rounds are made again until none is quicker by more, or so often. */
const [SETTLED, MOST_TIMES] = [0.97, 12];

/**
 * Milliseconds of a run of each graph, in turn: the least, because all above it is due to what else the machine does, and rounds are
 * made until it stays.
 */
export async function timesOf(graphs: readonly Graph[], sample: Sample): Promise<number[]> {
  const engine = wasmEngine(binaries());
  const sessions = await Promise.all(graphs.map((graph) => engine.session(graph)));
  try {
    const time = (session: Session, runs: number): number => {
      const start = performance.now();
      for (let i = 0; i < runs; i++) session.run(sample);
      return (performance.now() - start) / runs;
    };
    const repeats = sessions.map((session) => {
      time(session, 2);
      return Math.max(1, Math.ceil(ROUND_MS / Math.max(0.001, time(session, 1))));
    });
    let least = sessions.map(() => Number.POSITIVE_INFINITY);
    for (let again = 0, isSettled = false; again < MOST_TIMES && !isSettled; again++) {
      const before = least;
      // Each begins as often as the others, lest it be always the same that is interrupted.
      for (let round = 0; round < ROUNDS; round++)
        sessions.forEach((_, turn) => {
          const i = (turn + round) % sessions.length;
          least = least.with(i, Math.min(least[i]!, time(sessions[i]!, repeats[i]!)));
        });
      isSettled = least.every((ms, i) => ms > SETTLED * before[i]!);
    }
    return least;
  } finally {
    for (const session of sessions) session.dispose();
  }
}
