/**
 * What computes a model: WASM, a GPU, or with `auto` WASM at once and the GPU from the moment on when it was measured to be
 * faster. A whole graph runs on one of them, never parts of it on each.
 */
import { WaferError } from '../core/errors';
import type { Precision } from '../core/half';
import { checkGolden } from '../format/golden';
import type { Golden } from '../format/model';
import type { Graph } from '../graph/ir';
import { checkAnswer, goldenSample, gpuTolerance, namedOutputs } from './golden';
import { imageTensor } from './image';
import { pixelsOf } from './pixels';
import type { Explanation, MemoryUse, NodeProfile, Session, TensorData, TensorInput } from './session';
import type { GpuInputs, GpuTensorData } from './webgpu/runner';
import { copied, type GpuSession, noHalves } from './webgpu/session';

export type BackendName = 'wasm' | 'webgpu';

export interface BackendOptions {
  readonly graph: Graph;
  readonly goldens: readonly Golden[];
  /** `first-run`: golden runs are checked before anything else is computed. Undefined: see `Backends.webgpu`. */
  readonly verify: 'off' | 'first-run' | undefined;
  /** What a GPU is to store floats as. */
  readonly precision: Precision;
  /** Makes a session on WASM. */
  wasm(): Promise<Session>;
  /** Makes a session on a GPU, ready for its first run. Rejects with NO_DEVICE. */
  webgpu(): Promise<GpuSession>;
  /** Called once the graph's constants are not needed again: the GPU was found to be slower or not there. */
  release(): void;
}

/** How long nobody may have asked for a run before the GPU is tried, and after how many answers it is tried all the same. */
const IDLE_MS = 300;
const ANSWERS = 8;
/** Runs that the GPU is timed for, after as many that are not counted. */
const TIMED = 3;
/** Faults of a GPU for which `auto` stays with WASM, or goes back to it. */
const FAULTS: readonly string[] = ['NO_DEVICE', 'MEMORY', 'MISMATCH', 'UNSUPPORTED'];

export class Backends {
  private used: BackendName;
  private why: string;
  /** Least milliseconds of a run on WASM since the shapes last changed. */
  private times = { shapes: '', least: Number.POSITIVE_INFINITY };
  private running = 0;
  private answers = 0;
  private lastDone = 0;
  private isDisposed = false;
  private trial: Promise<void> | undefined;
  private tuning: Promise<void> | undefined;
  private readonly isAuto: boolean;
  /** WASM, until the GPU's first answer was compared with its. */
  private judge: Session | undefined;
  /** That the GPU computes wrongly, once it was found out. */
  private fault: WaferError | undefined;

  private constructor(
    private readonly options: BackendOptions,
    private wasm: Session | undefined,
    private gpu: GpuSession | undefined,
    /** Undefined where the GPU is to be tried. */
    why: string | undefined,
  ) {
    this.used = gpu ? 'webgpu' : 'wasm';
    this.isAuto = why === undefined;
    this.why = why ?? 'WASM answers first; the GPU has not been tried yet';
  }

  /** `why` there is no choice; undefined where the GPU is to be tried. */
  static wasm(options: BackendOptions, session: Session, why: string | undefined): Backends {
    return new Backends(options, session, undefined, why);
  }

  /**
   * A GPU, whose numbers are not believed: unless `verify` says otherwise, its first answer is compared with WASM's for the same
   * inputs, which are computed meanwhile and hold nothing up, and golden runs are checked when there is time. Where WASM is not to be
   * had, or inputs are such as only a GPU reads, golden runs come first. Rejects with MISMATCH when the GPU computes those wrongly.
   */
  static async webgpu(options: BackendOptions): Promise<Backends> {
    const opening = options.webgpu();
    opening.catch(() => {});
    // Packed while the GPU's pipelines are compiled.
    const judge = options.verify === undefined ? await options.wasm().catch(() => undefined) : undefined;
    const gpu = await opening;
    const backends = new Backends(options, undefined, gpu, 'webgpu was asked for');
    backends.judge = judge;
    if (options.verify !== 'off' && !judge) await backends.checkGoldens();
    return backends;
  }

  /** Whether pictures may stay what they are: a GPU reads them without a copy by the processor. */
  get readsPictures(): boolean {
    return this.used === 'webgpu';
  }

  async run(inputs: GpuInputs): Promise<Record<string, TensorData>> {
    if (this.used === 'webgpu') return this.runOnGpu(inputs);
    return this.runOnWasm(inputs);
  }

  async runToBuffers(inputs: GpuInputs): Promise<Record<string, GpuTensorData>> {
    const { gpu } = this;
    if (this.used === 'webgpu' && gpu) {
      if (!this.judge) return gpu.runToBuffers(inputs);
      const own = copied(inputs);
      await this.judgeByGoldens(this.judge);
      return gpu.runToBuffers(own);
    }
    throw new WaferError('ARGUMENT', 'outputs can stay on the GPU only where it computes, which it does not here', {
      hint: "load the model with { backend: 'webgpu', worker: false }",
    });
  }

  async profile(inputs: GpuInputs, options: { runs?: number }): Promise<NodeProfile[]> {
    return this.used === 'webgpu' ? this.gpu!.profile(inputs, options) : this.wasm!.profile(tensorsOf(inputs), options);
  }

  explain(): Explanation {
    const isWasm = this.used === 'wasm';
    const explanation = (isWasm ? this.wasm! : this.gpu!).explain();
    const precision = isWasm && this.options.precision === 'f16' ? noHalves('WASM computes') : '';
    return { ...explanation, why: [this.why, precision, explanation.why].filter((text) => text).join('; ') };
  }

  memory(): MemoryUse {
    const [one, two] = [this.used === 'webgpu' ? this.gpu! : this.wasm!, this.used === 'webgpu' ? this.wasm : this.gpu];
    const memory = one.memory();
    return { ...memory, total: memory.total + (two?.memory().total ?? 0) };
  }

  dispose(): void {
    this.isDisposed = true;
    this.wasm?.dispose();
    this.gpu?.dispose();
  }

  private async runOnGpu(inputs: GpuInputs): Promise<Record<string, TensorData>> {
    this.running++;
    try {
      const outputs = await this.judged(inputs);
      this.tuning ??= this.tuneGpu(this.gpu!);
      return outputs;
    } catch (error) {
      if (!(error instanceof WaferError) || this.isDisposed) throw error;
      const isGone = error.code === 'NO_DEVICE' || (this.isAuto && FAULTS.includes(error.code));
      if (!isGone) throw error;
      this.wasm ??= await this.options.wasm();
      this.leaveGpu(`the GPU failed (${firstLine(error)})`);
      return this.runOnWasm(inputs);
    } finally {
      this.answered();
    }
  }

  /** The GPU's outputs; the first ones are compared with WASM's. */
  private async judged(inputs: GpuInputs): Promise<Record<string, TensorData>> {
    const { judge, fault } = this;
    if (fault) throw fault;
    const gpu = this.gpu!;
    if (!judge) return gpu.run(inputs);
    // The caller may change its arrays before what follows has read them.
    const own = copied(inputs);
    if (!Object.values(own).every((x) => ArrayBuffer.isView((x as Partial<TensorInput>)?.data))) {
      await this.judgeByGoldens(judge);
      return gpu.run(own);
    }
    this.judge = undefined;
    try {
      const running = gpu.run(own);
      running.catch(() => {});
      const wanted = judge.run(tensorsOf(own));
      const outputs = await running;
      return await inEitherPrecision(gpu, async (isAgain) => {
        const answer = isAgain ? await gpu.run(own) : outputs;
        checkAnswer(answer, wanted, gpuTolerance(this.options.graph, gpu.precision));
        return answer;
      });
    } catch (error) {
      if (error instanceof WaferError && error.code === 'MISMATCH') this.fault = error;
      throw error;
    } finally {
      judge.dispose();
    }
  }

  /** Checks golden runs where the first answer cannot be compared with another. */
  private async judgeByGoldens(judge: Session): Promise<void> {
    judge.dispose();
    this.judge = undefined;
    await this.checkGoldens();
  }

  private async checkGoldens(): Promise<void> {
    try {
      await checkGoldens(this.gpu!, this.options);
    } catch (error) {
      if (error instanceof WaferError && error.code === 'MISMATCH') this.fault = error;
      throw error;
    }
  }

  /** When there is time: golden runs, where nothing came of them yet, and what is fastest. */
  private async tuneGpu(gpu: GpuSession): Promise<void> {
    await this.quiet();
    if (this.isDisposed || this.gpu !== gpu) return;
    if (!this.isAuto && this.options.verify === undefined) await this.checkGoldens().catch(() => {});
    await gpu.tune();
  }

  private runOnWasm(inputs: GpuInputs): Record<string, TensorData> {
    const tensors = tensorsOf(inputs);
    const start = performance.now();
    this.running++;
    try {
      const outputs = this.wasm!.run(tensors);
      this.clock(tensors, performance.now() - start);
      return outputs;
    } finally {
      this.answered();
      if (this.isAuto && this.gpu === undefined) this.trial ??= this.tryGpu(tensors);
    }
  }

  private answered(): void {
    this.running--;
    this.answers++;
    this.lastDone = performance.now();
  }

  private clock(tensors: Readonly<Record<string, TensorInput>>, ms: number): void {
    const shapes = Object.values(tensors)
      .map(({ shape }) => shape.join())
      .join(';');
    if (this.times.shapes !== shapes) this.times = { shapes, least: Number.POSITIVE_INFINITY };
    this.times.least = Math.min(this.times.least, ms);
  }

  /** Measures the GPU on inputs of these shapes, once there is time for it, and takes it when it is faster. */
  private async tryGpu(tensors: Readonly<Record<string, TensorInput>>): Promise<void> {
    const shapes = Object.entries(tensors).map(([name, { shape, data }]) => [name, { shape, data: data.slice() }] as const);
    let gpu: GpuSession | undefined;
    try {
      await this.quiet();
      gpu = await verified(this.options);
      const sample = Object.fromEntries(shapes);
      const ms = await least(TIMED, () => gpu!.run(sample));
      await this.quiet();
      // What was timed first may have run before the kernels were optimised.
      for (let i = 0; i < TIMED; i++) {
        const start = performance.now();
        this.wasm!.run(sample);
        this.clock(sample, performance.now() - start);
      }
      if (this.isDisposed) return gpu.dispose();
      const figures = `a run took ${shown(ms)} on the GPU and ${shown(this.times.least)} on WASM`;
      if (ms < this.times.least) {
        this.gpu = gpu;
        this.used = 'webgpu';
        this.why = figures;
      } else {
        this.why = figures;
        gpu.dispose();
        this.options.release();
      }
    } catch (error) {
      gpu?.dispose();
      this.options.release();
      if (!this.isDisposed) this.why = `the GPU cannot be used (${firstLine(error)})`;
    }
  }

  /** Resolves when nobody has asked for a run for a while, or often enough. */
  private async quiet(): Promise<void> {
    const from = this.answers;
    const isQuiet = () => this.running === 0 && performance.now() - this.lastDone >= IDLE_MS;
    while (!isQuiet() && this.answers - from < ANSWERS) await new Promise((resolve) => setTimeout(resolve, IDLE_MS / 4));
  }

  private leaveGpu(why: string): void {
    this.gpu?.dispose();
    this.gpu = undefined;
    this.used = 'wasm';
    this.why = why;
    // It is not tried again.
    this.trial = Promise.resolve();
  }
}

/** What went wrong, without the hint. */
const firstLine = (error: unknown): string => String(error instanceof Error ? error.message : error).split('\n')[0]!;

const shown = (ms: number): string => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;

async function least(runs: number, run: () => Promise<unknown>): Promise<number> {
  let ms = Number.POSITIVE_INFINITY;
  for (let i = -runs; i < runs; i++) {
    const start = performance.now();
    await run();
    if (i >= 0) ms = Math.min(ms, performance.now() - start);
  }
  return ms;
}

/** A session on a GPU that computes the file's golden runs as the packer did. Rejects with MISMATCH where it does not. */
async function verified(options: BackendOptions): Promise<GpuSession> {
  const session = await options.webgpu();
  try {
    if (options.verify !== 'off') await checkGoldens(session, options);
    return session;
  } catch (error) {
    session.dispose();
    throw error;
  }
}

/** Golden runs on a GPU. Rejects with MISMATCH. */
const checkGoldens = (session: GpuSession, { goldens, graph }: BackendOptions): Promise<void> =>
  inEitherPrecision(session, async () => {
    for (const golden of goldens)
      checkGolden(golden, namedOutputs(await session.run(goldenSample(graph, golden))), gpuTolerance(graph, session.precision));
  });

/** What `check` gives, which is tried again in f32 where f16 is MISMATCH. */
async function inEitherPrecision<T>(session: GpuSession, check: (isAgain: boolean) => Promise<T>): Promise<T> {
  try {
    return await check(false);
  } catch (error) {
    if (session.precision === 'f32' || !(error instanceof WaferError && error.code === 'MISMATCH')) throw error;
    session.leaveHalves(firstLine(error));
    return check(true);
  }
}

/** Inputs as WASM takes them. Throws ARGUMENT for what only a GPU can read. */
function tensorsOf(inputs: GpuInputs): Record<string, TensorInput> {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, given]): [string, TensorInput] => {
      if (typeof given === 'object' && given !== null && 'processing' in given)
        return [name, imageTensor({ ...given, image: pixelsOf(given.image) })];
      if (typeof given === 'object' && given !== null && 'buffer' in given)
        throw new WaferError('ARGUMENT', `input "${name}" is a GPU's buffer, but WASM computes here`, {
          hint: "load the model with { backend: 'webgpu', worker: false }",
        });
      return [name, given];
    }),
  );
}
