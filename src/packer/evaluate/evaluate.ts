/**
 * How good models are, on the runtime's own kernels: what they are right about, how far they agree with another model, and how long
 * a run takes. Several go through the examples side by side, so that what is timed is timed alike.
 */
import { WaferError } from '../../core/errors';
import { shapeText } from '../../core/shape';
import type { Postprocessing } from '../../format/model';
import { readWafer } from '../../format/reader';
import type { Graph } from '../../graph/ir';
import type { TensorData } from '../../runtime/session';
import type { Binaries } from '../../runtime/wasm/device';
import { compare } from './compare';
import { ctcPath, ctcText } from './ctc';
import { type Sample, wasmEngine } from './engine';
import type { Example } from './examples';
import { distance, greatest, overlapOf, rankOf } from './metrics';
import { loadSource } from './source';

export type Answer = Pick<TensorData, 'data' | 'shape'>;

/** A model to be evaluated, which has one output. */
export interface Subject {
  name: string;
  run(sample: Sample): Promise<Answer>;
  dispose(): void;
}

/** What answers are: scores of classes, scores of characters along a line, maps of probabilities, or other numbers. */
export const TASKS = ['classify', 'ctc', 'maps', 'values'] as const;
export type Task = (typeof TASKS)[number];

/** What a file says its outputs are. */
export const taskOf = ({ kind }: Postprocessing): Task | undefined =>
  kind === 'none' ? undefined : kind === 'db' ? 'maps' : kind;

export interface EvaluateOptions {
  task: Task;
  /** Answers are compared with this one's. */
  against?: Subject | undefined;
  /** Characters by class, for ctc. */
  labels?: readonly string[] | undefined;
  /** Above this a map says yes. Default 0.3. */
  threshold?: number;
  onProgress?: (done: number, total: number, what: string) => void;
  /** Hears of each line that is read otherwise than by `against`. */
  onDifference?: (example: string, got: string, want: string) => void;
}

/** Shares are in percent, of those examples that the figure is about; a figure is missing where it is about none. */
export interface Figures {
  name: string;
  examples: number;
  /** The class with the greatest score, or one of the five greatest, is the label. */
  top1?: number;
  top5?: number;
  /** Characters that are right, by edit distance, and texts that are right as a whole. */
  characters?: number;
  texts?: number;
  against?: Agreement;
  /** Of a run, in milliseconds. */
  ms: { median: number; min: number };
}

export interface Agreement {
  name: string;
  /** The same class has the greatest score. */
  agreement?: number;
  /** The same characters, and the same texts. */
  characters?: number;
  texts?: number;
  /** Intersection over union of all maps, 0..1. */
  iou?: number;
  /** Signal to noise of all answers, in dB; null where they are equal. */
  sqnr: number | null;
  /** Elements that are further apart than 1e-4 + 1e-3 of the value. */
  beyond: number;
}

/** A .wafer file on the base build, which computes the same bits everywhere. Throws BAD_FILE, and ARGUMENT unless it has one output. */
export async function waferSubject(name: string, file: Uint8Array, binaries: Binaries): Promise<Subject> {
  return graphSubject(name, readWafer(file).graph, binaries);
}

/** The same of a graph. */
export async function graphSubject(name: string, graph: Graph, binaries: Binaries): Promise<Subject> {
  if (graph.outputs.length !== 1)
    throw new WaferError('ARGUMENT', `${name} has ${graph.outputs.length} outputs, of what is evaluated there is one`);
  const session = await wasmEngine(binaries).session(graph);
  return {
    name,
    run: async (sample) => session.run(sample)[graph.outputs[0]!.name]!,
    dispose: () => session.dispose(),
  };
}

/** An ONNX model under onnxruntime-node; of several outputs the first counts. Throws as `loadSource`. */
export async function onnxSubject(name: string, onnx: Uint8Array): Promise<Subject> {
  const source = await loadSource(onnx);
  return { name, run: async (sample) => [...(await source.run(sample)).values()][0]!, dispose: () => {} };
}

/** In the order of `subjects`. Throws ARGUMENT for labels that there are no classes for, SHAPE for answers of other shapes, and what runs throw. */
export async function evaluate(
  subjects: readonly Subject[],
  examples: readonly Example[],
  options: EvaluateOptions,
): Promise<Figures[]> {
  const tallies = subjects.map(({ name }) => new Tally(name, options));
  for (const [i, example] of examples.entries()) {
    const want = options.against && (await options.against.run(example.sample));
    for (const [k, subject] of subjects.entries()) {
      const start = performance.now();
      const got = await subject.run(example.sample);
      tallies[k]!.add(example, got, want, performance.now() - start);
    }
    options.onProgress?.(i + 1, examples.length, example.name);
  }
  return tallies.map((tally) => tally.figures());
}

/** A share of so many, in percent. */
class Share {
  right = 0;
  all = 0;
  add(right: number, all = 1): void {
    this.right += right;
    this.all += all;
  }
  get percent(): number | undefined {
    return this.all ? (100 * this.right) / this.all : undefined;
  }
}

class Reading {
  readonly characters = new Share();
  readonly texts = new Share();
  add(got: string, want: string): void {
    const length = [...want].length;
    this.characters.add(length - distance(got, want), length);
    this.texts.add(got === want ? 1 : 0);
  }
}

/** What one subject's answers come to. */
class Tally {
  private readonly times: number[] = [];
  private readonly top1 = new Share();
  private readonly top5 = new Share();
  private readonly agreement = new Share();
  private readonly truth = new Reading();
  private readonly other = new Reading();
  private readonly overlap = new Share();
  private signal = 0;
  private noise = 0;
  private beyond = 0;

  constructor(
    private readonly name: string,
    private readonly options: EvaluateOptions,
  ) {}

  add({ name, label, text }: Example, got: Answer, want: Answer | undefined, ms: number): void {
    this.times.push(ms);
    const { task } = this.options;
    if (task === 'classify' && label !== undefined) {
      if (!(label >= 0 && label < got.data.length))
        throw new WaferError('ARGUMENT', `${name} is of class ${label}, ${this.name} has ${got.data.length}`);
      const rank = rankOf(got.data, label);
      this.top1.add(rank < 1 ? 1 : 0);
      this.top5.add(rank < 5 ? 1 : 0);
    }
    const read = task === 'ctc' ? this.read(got) : '';
    if (task === 'ctc' && text !== undefined) this.truth.add(read, text);
    if (want) this.compare(name, got, read, want);
  }

  private compare(name: string, got: Answer, read: string, want: Answer): void {
    const { task, threshold = 0.3, onDifference, against } = this.options;
    if (got.data.length !== want.data.length)
      throw new WaferError('SHAPE', `${this.name} gives ${shapeText(got.shape)}, ${against!.name} ${shapeText(want.shape)}`);
    if (task === 'classify') this.agreement.add(greatest(got.data) === greatest(want.data) ? 1 : 0);
    if (task === 'ctc') {
      const wanted = this.read(want);
      this.other.add(read, wanted);
      if (read !== wanted) onDifference?.(name, read, wanted);
    }
    if (task === 'maps') {
      const { both, either } = overlapOf(got.data, want.data, threshold);
      this.overlap.add(both, either);
    }
    for (let i = 0; i < want.data.length; i++) {
      this.signal += want.data[i]! ** 2;
      this.noise += (want.data[i]! - got.data[i]!) ** 2;
    }
    this.beyond += compare(got.data, want.data, { abs: 1e-4, rel: 1e-3 }).beyond;
  }

  private read(answer: Answer): string {
    return ctcText(ctcPath(answer), this.options.labels ?? []);
  }

  figures(): Figures {
    const { times, top1, top5, truth, other, agreement, overlap, signal, noise, beyond } = this;
    const { against, task } = this.options;
    const sorted = [...times].sort((a, b) => a - b);
    return given({
      name: this.name,
      examples: times.length,
      top1: top1.percent,
      top5: top5.percent,
      characters: truth.characters.percent,
      texts: truth.texts.percent,
      against:
        against &&
        given({
          name: against.name,
          agreement: agreement.percent,
          characters: other.characters.percent,
          texts: other.texts.percent,
          // Maps that say nothing anywhere are alike.
          iou: task === 'maps' ? (overlap.all ? overlap.right / overlap.all : 1) : undefined,
          sqnr: noise === 0 ? null : 10 * Math.log10(signal / noise),
          beyond,
        }),
      ms: { median: sorted[sorted.length >> 1] ?? 0, min: sorted[0] ?? 0 },
    });
  }
}

type Given<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** Without what is undefined. */
const given = <T extends object>(fields: T): Given<T> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Given<T>;
