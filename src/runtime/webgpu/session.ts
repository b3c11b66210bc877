/**
 * A session on a GPU. A device that is lost is asked for again, everything is made anew from the graph, and the runs that it was lost in
 * are repeated.
 */
import { located, WaferError } from '../../core/errors';
import { fitHalves, type Precision } from '../../core/half';
import { checkShape, type StaticShape, typeText } from '../../core/shape';
import { constantsOf, type Graph, nodeText, type Value } from '../../graph/ir';
import { align } from '../arena';
import { imageShape } from '../image';
import {
  checkNames,
  checkTensor,
  type Explanation,
  type MemoryUse,
  type NodeProfile,
  type TensorData,
  type TensorInput,
} from '../session';
import { bytesOf } from '../values';
import { type GpuDevice, pipelineKey } from './device';
import { type Bound, type GpuInputs, GpuRunner, type GpuTensor, type GpuTensorData } from './runner';
import { tune } from './tune';
import { BUFFER } from './usage';

type Work<T> = (runner: GpuRunner, bound: Bound, inputs: GpuInputs) => Promise<T>;

/** How often a run is tried again on a new device. */
const TRIES = 5;

export class GpuSession {
  private runner: GpuRunner;
  /** Why the model is not computed in the precision that was asked for. */
  private whyNot: string | undefined;
  private isDisposed = false;
  private readonly underway = new Set<Promise<unknown>>();
  private recovering: Promise<void> | undefined;
  /** Why devices were lost. */
  private readonly losses: string[] = [];

  constructor(
    readonly graph: Graph,
    gpu: GpuDevice,
    /** Asks for another device when this one is lost. */
    private readonly again: () => Promise<GpuDevice>,
    /** f32 is computed instead where the GPU or the model's constants do not allow f16, and `explain()` says why. */
    private wanted: Precision = 'f32',
  ) {
    this.runner = this.runnerOn(gpu);
  }

  /**
   * Computes all outputs. Rejects with ARGUMENT, DTYPE and SHAPE for inputs that the model does not take, MEMORY, DISPOSED, and
   * NO_DEVICE when the device was lost and none is to be had any more.
   */
  run(inputs: GpuInputs): Promise<Record<string, TensorData>> {
    return this.tried(inputs, (runner, bound, own) => runner.readBack(bound, own));
  }

  /** As `run`, with outputs that stay on the GPU. Rejects with ARGUMENT where they would be halves. */
  async runToBuffers(inputs: GpuInputs): Promise<Record<string, GpuTensorData>> {
    this.checkBuffers();
    return this.tried(inputs, (runner, bound, own) => runner.gpu.checked(() => runner.submitToBuffers(bound, own)));
  }

  /** Makes all that a run with these shapes needs. Rejects as `run` does. */
  async prepare(shapes: Readonly<Record<string, StaticShape>>): Promise<void> {
    await this.runner.bound(this.graph.inputs.map(({ name }) => shapes[name]!));
  }

  /**
   * Times each node over `runs` runs after one that is not counted: by timestamps on the GPU where it has them, else by the time until
   * its work is done. Rejects as `run` does.
   */
  async profile(inputs: GpuInputs, { runs = 5 }: { runs?: number } = {}): Promise<NodeProfile[]> {
    if (!Number.isSafeInteger(runs) || runs < 1)
      throw new WaferError('ARGUMENT', `runs must be a positive integer, got ${JSON.stringify(runs)}`);
    await this.run(inputs);
    const { runner } = this;
    const bound = await runner.bound(this.shapesOf(inputs));
    const timed = bound.plan.nodes.filter((n) => n.calls.length > 0);
    const best = timed.map(() => Number.POSITIVE_INFINITY);
    for (let run = 0; run < runs; run++) {
      const times = await runner.timed(
        bound,
        timed.map((n) => n.calls.length),
      );
      times.forEach((ms, i) => {
        best[i] = Math.min(best[i]!, ms);
      });
    }
    return timed.map(({ node, calls }, i) => ({
      node: nodeText(node),
      kernels: calls.map((c) => pipelineKey(c.dispatch)),
      ms: best[i]!,
    }));
  }

  /** In which precision the model is computed. */
  get precision(): Precision {
    return this.runner.precision;
  }

  /** Computes in f32 from now on; runs underway come to their end. */
  leaveHalves(why: string): void {
    const { runner } = this;
    void Promise.allSettled(this.underway).then(() => runner.dispose());
    this.wanted = 'f32';
    this.whyNot = why;
    this.runner = this.runnerOn(runner.gpu);
  }

  /** Finds out what is the fastest on this GPU, for the models that are loaded later, unless that is known. Never rejects. */
  async tune(): Promise<void> {
    const { gpu } = this.runner;
    if (!gpu.isTuned) await tune(gpu).catch(() => {});
  }

  memory(): MemoryUse {
    this.alive();
    const { resident, arena, plans } = this.runner.memory();
    return { total: resident + arena, resident, arena, plans };
  }

  explain(): Explanation {
    this.alive();
    const planned = this.runner.latest?.plan.nodes.filter((n) => n.calls.length > 0) ?? [];
    const nodes = planned.map(({ node, calls }) => ({
      node: nodeText(node),
      kernels: calls.map((c) => pipelineKey(c.dispatch)),
    }));
    const { gpu, precision } = this.runner;
    const { name, traits } = gpu;
    const dot = traits.packedDot ? 'packed' : 'unpacked';
    const lost = this.losses.length ? `recovered from the loss of ${this.losses.length} devices (${this.losses.at(-1)})` : '';
    const why = [lost, this.whyNot && noHalves(this.whyNot)].filter((text) => text).join('; ');
    const threads = { count: 1, used: 1, why: 'the GPU computes' };
    return { device: 'webgpu', build: name, dot, precision, why, threads, nodes };
  }

  dispose(): void {
    this.isDisposed = true;
    this.runner.dispose();
    this.runner.gpu.dispose();
  }

  /** Does what needs a device, and again on another one when that is lost underway. */
  private tried<T>(inputs: GpuInputs, work: Work<T>): Promise<T> {
    const answer = this.answer(inputs, work);
    const done = () => void this.underway.delete(answer);
    this.underway.add(answer);
    answer.then(done, done);
    return answer;
  }

  private async answer<T>(inputs: GpuInputs, work: Work<T>): Promise<T> {
    this.alive();
    const shapes = this.shapesOf(inputs);
    // The caller may change its arrays as soon as it has called.
    const own = copied(inputs);
    for (let tries = 1; ; tries++) {
      await this.recovering;
      this.alive();
      const { runner } = this;
      try {
        const bound = await runner.bound(shapes);
        await runner.readers(bound, own);
        return await work(runner, bound, own);
      } catch (error) {
        this.alive();
        if (!(await lostBy(runner.gpu, error)) || tries === TRIES) throw error;
        await this.recover(runner);
      }
    }
  }

  private runnerOn(gpu: GpuDevice): GpuRunner {
    if (this.wanted === 'f16') this.whyNot = whyNoHalves(gpu, this.graph);
    return new GpuRunner(this.graph, gpu, gpu.traits, this.whyNot ? 'f32' : this.wanted);
  }

  private alive(): void {
    if (this.isDisposed) throw new WaferError('DISPOSED', 'the model was used after dispose()');
  }

  /** Shapes of the inputs, which are checked, in the graph's order. */
  private shapesOf(inputs: GpuInputs): StaticShape[] {
    checkNames(this.graph, inputs);
    return this.graph.inputs.map((value): StaticShape => {
      const given = inputs[value.name]!;
      if ('processing' in given) return imageShape(given);
      if ('buffer' in given) {
        this.checkBuffers();
        checkBuffer(value, given);
      } else checkTensor(value, given);
      return given.shape;
    });
  }

  /** Throws ARGUMENT where buffers would have to hold halves. */
  private checkBuffers(): void {
    if (this.precision === 'f16')
      throw new WaferError('ARGUMENT', 'inputs and outputs cannot be buffers of a GPU that stores floats in 16 bits', {
        hint: "pass and take arrays, or load the model with { precision: 'f32' }",
      });
  }

  /** Once for all runs that the loss of this runner's device has ended. */
  private recover(lost: GpuRunner): Promise<void> {
    if (this.runner !== lost) return Promise.resolve();
    this.recovering ??= (async () => {
      this.losses.push(lost.gpu.lost ?? 'unknown');
      lost.dispose();
      const gpu = await this.again();
      this.runner = this.runnerOn(gpu);
      if (this.isDisposed) this.dispose();
    })().finally(() => {
      this.recovering = undefined;
    });
    return this.recovering;
  }
}

/** What `explain()` says where f16 was asked for in vain. */
export const noHalves = (why: string): string => `f32 is computed, not f16: ${why}`;

/** Why a model cannot be computed in 16 bits; undefined where it can. */
function whyNoHalves({ hasHalves }: GpuDevice, graph: Graph): string | undefined {
  if (!hasHalves) return 'this GPU has no 16-bit floats';
  const large = constantsOf(graph).find(({ data }) => data instanceof Float32Array && !fitHalves(data));
  return large && `a constant ${typeText(large.type)} has numbers beyond 65504`;
}

/** Inputs that the caller cannot change. */
export const copied = (inputs: GpuInputs): GpuInputs =>
  Object.fromEntries(
    Object.entries(inputs).map(([name, x]) => {
      const { data } = (x ?? {}) as Partial<TensorInput>;
      return [name, ArrayBuffer.isView(data) ? { ...(x as TensorInput), data: data.slice() } : x];
    }),
  );

/** Throws SHAPE and ARGUMENT for a buffer that cannot hold this input. */
function checkBuffer({ name, type }: Value, { buffer, shape }: GpuTensor): void {
  located({ node: `input "${name}"` }, () => checkShape(shape));
  const bytes = align(bytesOf({ ...type, shape }), 4);
  if (!(buffer.size >= bytes))
    throw new WaferError('SHAPE', `input "${name}" is in a buffer of ${buffer.size} bytes, its shape needs ${bytes}`);
  if (!(buffer.usage & BUFFER.COPY_SRC))
    throw new WaferError('ARGUMENT', `the buffer of input "${name}" may not be copied from`, {
      hint: 'make it with usage COPY_SRC',
    });
}

/** Whether `error` came of the device's loss, which may be told a little later. */
async function lostBy(gpu: GpuDevice, error: unknown): Promise<boolean> {
  if (!(error instanceof DOMException)) return gpu.lost !== undefined;
  await Promise.race([gpu.whenLost, new Promise((resolve) => setTimeout(resolve, 200))]);
  return gpu.lost !== undefined;
}
