/**
 * A run of a recipe: step after step, each measured, judged and kept or taken back, with the reason. What was found is in the work folder,
 * by what it was found from, so that a run that was broken off goes on from there and comes to the same bytes; the best file so far is
 * on the disk at any moment.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { version } from '../../../package.json';
import type { Bindings } from '../../core/dim';
import { invariant, WaferError } from '../../core/errors';
import { checkGolden, F32_TOLERANCE } from '../../format/golden';
import { verify } from '../../format/verify';
import type { Graph } from '../../graph/ir';
import { printGraph } from '../../graph/print';
import { runGolden } from '../../runtime/golden';
import { binaries } from '../../runtime/wasm/binaries';
import type { ExampleForm } from '../data/samples';
import { wasmEngine } from '../evaluate/engine';
import { type Task, taskOf } from '../evaluate/evaluate';
import { type Source, type Uses, usesOf, writtenFile } from '../train/file';
import { batchBindings } from '../train/program';
import type { TrainProgress } from '../train/train';
import { type Condition, holds, MEASURES, type Measure, type Standing } from './condition';
import type { RecipeData } from './data';
import { Judge, type Measures, sizesOf, timesOf } from './judge';
import { type AnyStep, type Budget, type Gate, limitOf, type Options, type Recipe, type StepName } from './schema';
import { fileGraph, linesOf, plainGraph, type State } from './state';
import { decodeState, encodeState, stateHash } from './stateFile';
import { CHANGES, type Change, entryOf, type Made, type StepContext, type TeacherModel } from './steps';
import { keyOf, Store, writeWhole } from './store';

/** A model as it was given. */
export interface Given {
  /** Of floats, with a free batch. */
  readonly graph: Graph;
  /** Whether its weights are drawn, not learnt. */
  readonly isNew: boolean;
  readonly form: ExampleForm;
  readonly source: Source;
  /** What its file says of how it is used. */
  readonly uses: Uses;
}

/** A teacher's model, and what tells it apart. */
export interface NamedTeacher extends TeacherModel {
  readonly hash: string;
}

export interface RunOptions {
  readonly model: Given;
  readonly recipe: Recipe;
  readonly data: RecipeData;
  /** The folder of what was found. */
  readonly work: string;
  /** The file to write: the best so far. */
  readonly output: string;
  /** Reads a file that is named as a teacher. */
  loadTeacher(file: string): Promise<NamedTeacher>;
  readonly signal?: AbortSignal | undefined;
  onStage?(what: string): void;
  onProgress?(done: number, total: number, what: string): void;
  onTraining?(progress: TrainProgress, epochs: number): void;
  onStep?(record: StepRecord): void;
}

/** What a file is worth. Accuracy is in percent, and counted as `Compressed.counts` says. */
export interface StepFigures extends Measures {
  /** Of a run in Node, and how many times as fast that was as the start in turn with it; missing where it was not timed. */
  ms?: number;
  faster?: number;
}

export interface StepRecord {
  readonly step: StepName;
  /** As in `3` or `3.2, round 1`. */
  readonly place: string;
  readonly outcome: 'kept' | 'rolled back' | 'skipped' | 'stopped';
  /** Of what was not simply kept. */
  readonly why?: string;
  /** What it did, in a few words. */
  readonly what: string;
  readonly before: StepFigures;
  readonly after?: StepFigures;
  readonly seconds: number;
  /** Whether it was found in the work folder. */
  readonly isFound: boolean;
  /** What the rooms report of it. */
  readonly report?: unknown;
}

export interface ParetoPoint {
  readonly name: string;
  readonly file: string;
  readonly bytes: number;
  readonly accuracy: number;
}

export interface Compressed {
  readonly bytes: Uint8Array;
  /** The model at the start, as a file. */
  readonly startBytes: Uint8Array;
  /** How accuracy is counted. */
  readonly counts: string;
  /** What drops are counted from: the model as it was given, or after the last `train`. */
  readonly start: StepFigures;
  readonly best: StepFigures;
  /** The same on the test data. */
  readonly test: { readonly start: number; readonly best: number; readonly examples: number };
  readonly steps: readonly StepRecord[];
  /** Files that no other is both smaller and more accurate than. */
  readonly pareto: readonly ParetoPoint[];
  /** What of the budget is not met. */
  readonly unmet: readonly string[];
}

/** A state and what is known of it. */
interface Point {
  readonly state: State;
  readonly hash: string;
  readonly graph: Graph;
  readonly file: Uint8Array;
  readonly figures: StepFigures;
}

/** Options that decide what becomes of a step, not what it does. */
const JUDGING = new Set(['when', 'save', 'optional', 'gate', 'force']);

/** Steps that change what is computed: they must not lose size or speed. */
const SHAPING: ReadonlySet<StepName> = new Set(['prune', 'factorize', 'quantize']);

/** Less than that is no loss: a file also says what was done, and times vary. */
const LARGER = { part: 1.02, bytes: 128 };
const SLOWER = { part: 1.15, ms: 0.1 };

/** Bytes by which a file may grow when it says how accurate it is. */
const ROOM = 16;

const interrupted = () => new WaferError('DISPOSED', 'the run was interrupted', { hint: 'the same command goes on from there' });

/** Throws ARGUMENT, UNSUPPORTED, what steps throw, and DISPOSED where it was interrupted. */
export const runRecipe = (options: RunOptions): Promise<Compressed> => new Run(options).run();

type Found = Omit<StepRecord, 'step' | 'place' | 'before' | 'seconds' | 'isFound'> & { isFound?: boolean };
type Report = (found: Found) => void;

class Run {
  private readonly store: Store;
  private readonly records: StepRecord[] = [];
  private readonly judge: Judge;
  private readonly task: Task;
  private readonly bindings: Bindings;
  private readonly dataHash: string;
  private current!: Point;
  /** What drops are counted from, and who teaches. */
  private reference!: Point;
  private best: Point | undefined;
  private pareto: ParetoPoint[] = [];
  /** Set by a gate that ends the run. */
  private isStopped = false;

  constructor(private readonly options: RunOptions) {
    const { model, data, work } = options;
    const [x] = model.graph.inputs;
    this.store = new Store(work);
    this.bindings = batchBindings(x!, 1);
    this.task = taskOfModel(model);
    this.judge = new Judge(data.val, x!, model.form, this.task);
    this.dataHash = keyOf(version, data.hash, model.form, this.task);
  }

  async run(): Promise<Compressed> {
    const { model, recipe, onStage } = this.options;
    onStage?.('measure the model');
    const start = await this.pointOf({ graph: model.graph, trained: !model.isNew, done: [] });
    const [ms] = await this.timesOf(start);
    this.current = this.reference = withTimes(start, ms!, 1);
    await this.offer(this.current, 'start');
    for (const [i, step] of recipe.steps.entries()) {
      await this.make(step, `${i + 1}`);
      if (this.isStopped) break;
    }
    const best = this.best ?? this.current;
    const [startMs, bestMs] = (await this.timesOf(this.reference, best)) as [number, number];
    return {
      bytes: best.file,
      startBytes: this.reference.file,
      counts: this.judge.counts,
      start: { ...this.reference.figures, ms: startMs, faster: 1 },
      best: { ...best.figures, ms: bestMs, faster: startMs / bestMs },
      test: await this.tested(best),
      steps: this.records,
      pareto: this.pareto,
      unmet: recipe.budget ? this.failures(recipe.budget, best) : [],
    };
  }

  /** One step of the recipe, with its record. */
  private async make(step: AnyStep, place: string): Promise<void> {
    if (this.options.signal?.aborted) throw interrupted();
    const [name, options] = entryOf(step);
    const before = this.current;
    const start = performance.now();
    const report: Report = (found) => {
      const seconds = (performance.now() - start) / 1000;
      const record: StepRecord = { step: name, place, before: before.figures, seconds, isFound: false, ...found };
      this.records.push(record);
      this.options.onStep?.(record);
    };
    const { when, save } = options;
    if (when && !this.isTrue(when, before))
      return report({ outcome: 'skipped', what: 'nothing', why: `"${when.text}" is not so${this.valuesIn(when)}` });
    this.options.onStage?.(`${place} ${name}`);
    if (name === 'loop') await this.repeat(options as Options<'loop'>, place, report);
    else
      try {
        if (name === 'verify') await this.verify(options as Options<'verify'>, report);
        else await this.change(name, options as Options<Change>, report);
      } catch (error) {
        if (!(error instanceof WaferError)) throw error;
        if (error.code === 'DISPOSED' || !('optional' in options && options.optional)) throw inStep(error, place, name);
        this.current = before;
        report({ outcome: 'skipped', what: 'nothing', why: `it does not fit: ${textOf(error)}` });
      }
    if (save !== undefined) writeWhole(save, this.current.file);
  }

  private async change(name: Change, options: Options<Change>, report: Report): Promise<void> {
    const before = this.current;
    const { made, isFound } = await this.madeOf(name, options);
    const point = await this.pointOf(made.state);
    if (point.hash === before.hash)
      return report({ outcome: 'skipped', what: made.what, isFound, why: `it would change nothing: ${made.what}` });
    // The same nodes of other numbers take as long.
    const isTimed = SHAPING.has(name) && printGraph(point.graph) !== printGraph(before.graph);
    const times = isTimed ? await this.timesOf(this.reference, before, point) : undefined;
    const { ms, faster } = before.figures;
    const after = times ? withTimes(point, times[2]!, times[0]! / times[2]!) : withTimes(point, ms!, faster!);
    const { gate, force } = options;
    const failed = gate ? this.failures(gate, after) : [];
    const lost = times ? lossesOf(gate, before.figures, after.figures, times) : [];
    const found = { what: made.what, after: after.figures, isFound, report: made.report };
    this.addToPareto(after, `${this.records.length + 1}-${name}`);
    if (failed.length > 0 && gate!.onFail === 'stop') {
      this.isStopped = true;
      return report({ ...found, outcome: 'stopped', why: failed.join('; ') });
    }
    const against = [...(gate?.onFail === 'rollback' ? failed : []), ...(force ? [] : lost)];
    if (against.length > 0) return report({ ...found, outcome: 'rolled back', why: against.join('; ') });
    this.current = after;
    if (name === 'train') this.current = this.reference = { ...after, figures: { ...after.figures, drop: 0 } };
    const flagged = [...failed, ...lost];
    const why = flagged.length > 0 ? { why: `kept as the recipe says, though ${flagged.join('; ')}` } : {};
    report({ ...found, outcome: 'kept', ...why });
    await this.offer(this.current, name);
  }

  /** What a step comes to: from the work folder, or made now. */
  private async madeOf(name: Change, options: Options<Change>): Promise<{ made: Made; isFound: boolean }> {
    const { recipe, data, model, signal, onProgress, onTraining } = this.options;
    const own = Object.fromEntries(Object.entries(options).filter(([key]) => !JUDGING.has(key)));
    const { distil, tune } = options as { distil?: { teacher?: string }; tune?: { distil?: { teacher?: string } } };
    const file = (distil ?? tune?.distil)?.teacher ?? recipe.teacher;
    const teacher = file === undefined ? this.ownTeacher() : await this.options.loadTeacher(file);
    // What was not quantised yet is what a step begins with.
    const { quantized: _, ...floats } = this.current.state;
    const begun = stateHash(encodeState(floats));
    const key = keyOf(name, own, begun, this.dataHash, recipe.seed, teacher.hash, this.reference.hash);
    const [bytes, text] = [this.store.read(key, 'state'), this.store.read(key, 'json')];
    if (bytes && text) {
      try {
        const made = JSON.parse(new TextDecoder().decode(text)) as Omit<Made, 'state'>;
        return { made: { ...made, state: decodeState(bytes) }, isFound: true };
      } catch {
        // What is not whole is made again.
      }
    }
    const context: StepContext = {
      ...{ data, form: model.form, seed: recipe.seed, labelled: this.judge.isLabelled && data.train.labels.length > 0, signal },
      isTaught: file !== undefined,
      teacher: async () => {
        if (file === undefined && !this.reference.state.trained)
          throw new WaferError('ARGUMENT', 'a new model has nothing to teach', { hint: 'train it first, or name a teacher' });
        return teacher;
      },
      checkpoint: this.store.checkpoint(key),
      startBytes: this.reference.figures.bytes,
      bytesOf: async (state) => (await this.fileOf(state, fileGraph(state), this.reference.figures.accuracy)).length + ROOM,
      holds: async (condition, state) => this.isTrue(condition, await this.pointOf(state)),
      onTraining: (progress, epochs) => onTraining?.(progress, epochs),
      onProgress(done, total, what) {
        if (signal?.aborted) throw interrupted();
        onProgress?.(done, total, what);
      },
    };
    const change = CHANGES[name] as (state: State, options: Options<Change>, context: StepContext) => Promise<Made>;
    const { state, ...rest } = await change(floats, options, context);
    this.store.write(key, 'state', encodeState(state));
    this.store.write(key, 'json', JSON.stringify(rest));
    this.store.dropCheckpoint(key);
    return { made: { state, ...rest }, isFound: false };
  }

  /** Rounds of steps. A round that fails its gate is taken back, and is the last. */
  private async repeat({ until, max, steps, gate }: Options<'loop'>, place: string, report: Report): Promise<void> {
    let rounds = 0;
    const end = (outcome: StepRecord['outcome'], why: string) => {
      const what = `${rounds} ${rounds === 1 ? 'round' : 'rounds'}`;
      report({ outcome, what, why, after: this.current.figures });
    };
    while (rounds < max) {
      if (until && this.isTrue(until, this.current)) return end('kept', `"${until.text}" is so`);
      const before = this.current;
      for (const [i, step] of steps.entries()) {
        await this.make(step as AnyStep, `${place}.${i + 1}, round ${rounds + 1}`);
        if (this.isStopped) return end('stopped', 'a gate in it ended the run');
        const { step: name, outcome } = this.records.at(-1)!;
        if (name === 'prune' && outcome === 'skipped' && this.current.hash === before.hash)
          return end('kept', 'no more can be pruned');
      }
      rounds++;
      const failed = gate ? this.failures(gate, this.current) : [];
      if (failed.length > 0 && gate!.onFail !== 'keep') {
        if (gate!.onFail === 'stop') this.isStopped = true;
        else {
          this.current = before;
          await this.offer(before, 'loop');
        }
        return end(gate!.onFail === 'stop' ? 'stopped' : 'rolled back', `round ${rounds}: ${failed.join('; ')}`);
      }
      if (this.current.hash === before.hash) return end('kept', 'a round changed nothing');
    }
    const isReached = !until || this.isTrue(until, this.current);
    end('kept', isReached ? 'all rounds were made' : `"${until.text}" is not so after all rounds${this.valuesIn(until)}`);
  }

  /** Throws MISMATCH where the file does not do what it promises. */
  private async verify({ gate }: Options<'verify'>, report: Report): Promise<void> {
    const { model, canonical } = verify(this.current.file);
    invariant(canonical, () => 'the file is not what is written of its model');
    const session = await wasmEngine(binaries()).session(model.graph);
    try {
      for (const golden of model.goldens) checkGolden(golden, runGolden(session, golden), F32_TOLERANCE);
    } finally {
      session.dispose();
    }
    const { start, best, examples } = await this.tested(this.current, model.graph);
    const after = { ...this.current.figures, accuracy: best, drop: start - best };
    const failed = gate ? this.failures(gate, { ...this.current, figures: after }) : [];
    const what = `the file is sound; ${this.judge.counts} ${best.toFixed(2)} % of ${examples} test examples, ${start.toFixed(2)} % before`;
    if (failed.length > 0 && gate!.onFail === 'stop') {
      this.isStopped = true;
      return report({ outcome: 'stopped', what, why: failed.join('; '), after });
    }
    report({ outcome: 'kept', what, after, ...(failed.length > 0 && { why: failed.join('; ') }) });
  }

  private ownTeacher(): NamedTeacher {
    return { graph: plainGraph(this.reference.state), hash: this.reference.hash };
  }

  /** A state with its file and all figures but times. */
  private async pointOf(state: State): Promise<Point> {
    const hash = stateHash(encodeState(state));
    const graph = fileGraph(state);
    const accuracy = await this.accuracyOf(hash, graph, this.judge, 'val');
    const file = await this.fileOf(state, graph, accuracy);
    const drop = this.reference ? this.reference.figures.accuracy - accuracy : 0;
    const figures = { accuracy, drop, bytes: file.length, ...sizesOf(state.graph, graph, this.bindings) };
    return { state, hash, graph, file, figures };
  }

  private accuracyOf(hash: string, graph: Graph, judge: Judge, part: 'val' | 'test'): Promise<number> {
    const { graph: reference, hash: referenceHash } = this.reference ?? { graph, hash };
    const key = keyOf('accuracy', hash, part, this.dataHash, judge.isLabelled || referenceHash);
    return this.store.once(key, () => judge.accuracyOf(graph, reference));
  }

  private fileOf(state: State, graph: Graph, accuracy: number): Promise<Uint8Array> {
    const { model, data } = this.options;
    // What the model came with counts more than what these examples say: its classes, and how pictures become its input.
    const uses: Uses = { ...usesOf({ graph, ...model.form }, data.train), ...model.uses };
    return writtenFile(graph, model.source, {
      ...uses,
      recipe: linesOf(state),
      metrics: { [this.judge.isLabelled ? 'top1' : 'agreement']: accuracy / 100 },
    });
  }

  /** On the test data: of the reference, and of a point. */
  private async tested(point: Point, graph = point.graph): Promise<Compressed['test']> {
    const { model, data } = this.options;
    const judge = data.test === data.val ? this.judge : new Judge(data.test, model.graph.inputs[0]!, model.form, this.task);
    const part = judge === this.judge ? 'val' : 'test';
    const { reference } = this;
    const start = await this.accuracyOf(reference.hash, reference.graph, judge, part);
    const best = await this.accuracyOf(point.hash, graph, judge, part);
    return { start, best, examples: judge.examples };
  }

  /** Milliseconds of runs, in turn. */
  private timesOf(...points: readonly Point[]): Promise<number[]> {
    const key = keyOf('times', this.dataHash, ...points.map(({ hash }) => hash));
    return this.store.once(key, () =>
      timesOf(
        points.map(({ graph }) => graph),
        this.judge.sample,
      ),
    );
  }

  private standingOf({ state, figures }: Point): Standing {
    const { trained, quantized } = state;
    const flags = { trained, quantized: quantized !== undefined, labelled: this.judge.isLabelled };
    return { now: figures, start: this.reference.figures, flags };
  }

  private isTrue(condition: Condition, point: Point): boolean {
    return holds(condition, this.standingOf(point));
  }

  /** The values of what a condition compares, in words. */
  private valuesIn({ any }: Condition): string {
    const measures = [...new Set(any.flat().flatMap((clause) => ('measure' in clause ? [clause.measure] : [])))];
    return measures.length ? `: ${measures.map((m) => `${m} is ${measureText(m, this.current.figures[m])}`).join(', ')}` : '';
  }

  /** Limits that are not kept, in words. */
  private failures({ drop, accuracy, bytes, macs, faster }: Budget | Gate, { figures }: Point): string[] {
    const start = this.reference.figures;
    const most = (what: Measure, limit: number | undefined) =>
      limit !== undefined && figures[what] > limit
        ? [`${what} is ${measureText(what, figures[what])}, at the most ${measureText(what, limit)}`]
        : [];
    const speed = figures.faster ?? 1;
    return [
      ...most('drop', drop),
      ...(accuracy !== undefined && figures.accuracy < accuracy
        ? [`accuracy is ${measureText('accuracy', figures.accuracy)}, at the least ${measureText('accuracy', accuracy)}`]
        : []),
      ...most('bytes', bytes && limitOf(bytes, start.bytes)),
      ...most('macs', macs && limitOf(macs, start.macs)),
      ...(faster !== undefined && speed < faster
        ? [`it is ${speed.toFixed(2)} times as fast as at the start, at the least ${faster}`]
        : []),
    ];
  }

  /** Writes the output where this is the best so far. */
  private async offer(point: Point, name: string): Promise<void> {
    this.addToPareto(point, `${this.records.length}-${name}`);
    if (!point.state.trained) return;
    const { budget } = this.options.recipe;
    if (!this.best || !budget || this.isBetter(point, this.best, budget)) this.best = point;
    if (this.best === point) writeWhole(this.options.output, point.file);
  }

  /** Those that meet the budget first; then the more accurate where bytes are given, else the smaller; of the others the more accurate. */
  private isBetter(a: Point, b: Point, budget: Budget): boolean {
    const [meetsA, meetsB] = [a, b].map((point) => this.failures(budget, point).length === 0);
    if (meetsA !== meetsB) return meetsA!;
    if (!meetsA || budget.bytes) return a.figures.accuracy >= b.figures.accuracy;
    return a.figures.bytes <= b.figures.bytes;
  }

  /** Keeps the file of a point that none is both smaller and more accurate than, and drops those that it outdoes. */
  private addToPareto({ state, file, figures: { bytes, accuracy } }: Point, name: string): void {
    const isOutdone = (p: { bytes: number; accuracy: number }, by: { bytes: number; accuracy: number }) =>
      by.bytes <= p.bytes && by.accuracy >= p.accuracy;
    if (!state.trained || this.pareto.some((other) => isOutdone({ bytes, accuracy }, other))) return;
    const folder = join(this.store.folder, 'pareto');
    for (const other of this.pareto.filter((p) => isOutdone(p, { bytes, accuracy })))
      rmSync(join(folder, other.file), { force: true });
    const point: ParetoPoint = { name, file: `${name}.wafer`, bytes, accuracy };
    this.pareto = [...this.pareto.filter((p) => !isOutdone(p, point)), point].sort((a, b) => a.bytes - b.bytes);
    writeWhole(join(folder, point.file), file);
    writeWhole(join(folder, 'pareto.json'), `${JSON.stringify(this.pareto, null, 2)}\n`);
  }
}

const withTimes = (point: Point, ms: number, faster: number): Point => ({
  ...point,
  figures: { ...point.figures, ms, faster },
});

/** What a step made worse that nobody asked for. `times`: of the start, before and after. */
export function lossesOf(
  gate: Gate | undefined,
  before: StepFigures,
  after: StepFigures,
  [, was, is]: readonly number[],
): string[] {
  const lost: string[] = [];
  // Floats that were of 16 bits are of 32 when anything was changed: a network of fewer weights is smaller nevertheless.
  const left = ({ weights, zeros }: StepFigures) => weights * (1 - zeros / 100);
  if (
    !gate?.bytes &&
    !(left(after) < left(before)) &&
    after.bytes > Math.max(LARGER.part * before.bytes, before.bytes + LARGER.bytes)
  )
    lost.push(`the file is larger: ${measureText('bytes', after.bytes)}, before ${measureText('bytes', before.bytes)}`);
  const isSlower = is! > SLOWER.part * was! && is! - was! > SLOWER.ms;
  if (!gate?.faster && isSlower) lost.push(`it is slower: ${is!.toFixed(2)} ms a run, before ${was!.toFixed(2)} ms`);
  return lost;
}

export function measureText(measure: Measure, value: number): string {
  if (measure === 'accuracy' || measure === 'zeros') return `${value.toFixed(2)} %`;
  if (measure === 'drop') return `${Number(value.toFixed(2))} points`;
  return MEASURES[measure].share || measure === 'norms' ? `${Math.round(value)}` : `${value}`;
}

function taskOfModel({ graph, uses: { postprocessing } }: Given): Task {
  const said = postprocessing && taskOf(postprocessing);
  if (graph.outputs.length > 1) return 'values';
  return said ?? (graph.outputs[0]!.value.type.shape.length === 2 ? 'classify' : 'values');
}

/** A message in one line, with what it is about. */
const textOf = (error: WaferError): string => `${error.node ? `${error.node}: ` : ''}${error.toJSON().message}`;

function inStep(error: WaferError, place: string, name: string): WaferError {
  const { code, message, hint, ...details } = error.toJSON();
  if (code === 'DISPOSED') return error;
  const node = `step ${place} (${name})${error.node ? `, ${error.node}` : ''}`;
  return new WaferError(code, message, { ...details, node, hint });
}
