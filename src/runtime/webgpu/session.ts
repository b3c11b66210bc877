/**
 * A session on a GPU. All that a run needs is made when its shapes are first seen: buffers, bind groups, pipelines. A run writes
 * the inputs, submits one list of commands and maps the outputs. A device that is lost is asked for again, everything is made
 * anew from the graph, and the runs that it was lost in are repeated.
 */
import { DTYPES } from '../../core/dtype';
import { invariant, WaferError } from '../../core/errors';
import { elements, type StaticShape } from '../../core/shape';
import { type Graph, nodeText } from '../../graph/ir';
import { bindShapes } from '../bind';
import { checkInputs, keyOf, type TensorData, type TensorInput } from '../session';
import { type GpuDevice, pipelineKey } from './device';
import { type GpuCall, type GpuConstant, type GpuPlace, type GpuPlan, GpuPlanner, type GpuSlot, OFFSET } from './plan';

/** How many plans are kept. */
const PLANS = 8;
/** Constants are gathered in buffers of this many bytes; a larger one has its own. */
const CHUNK = 2 ** 25;
/** How often a run is tried again on a new device. */
const TRIES = 3;

interface Step {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly groups: readonly [number, number];
}

/** A plan with buffers. */
interface Bound {
  readonly plan: GpuPlan;
  readonly pools: readonly GPUBuffer[];
  readonly uniforms: GPUBuffer;
  readonly steps: readonly Step[];
  /** Where each output goes in a staging buffer, and how long that is. */
  readonly offsets: readonly number[];
  readonly stagingBytes: number;
  /** Those that no run uses now. */
  readonly staging: GPUBuffer[];
}

export class GpuSession {
  private readonly residents = new Map<string, number>();
  private resident = new Map<string, { buffer: GPUBuffer; offset: number }>();
  private constants: GPUBuffer[] = [];
  private plans = new Map<string, Promise<Bound>>();
  private latest: Bound | undefined;
  private disposed = false;
  private recovering: Promise<void> | undefined;
  /** How often a device was lost, and why the last one was. */
  private losses: string[] = [];

  constructor(
    readonly graph: Graph,
    private gpu: GpuDevice,
    /** Asks for another device when this one is lost. */
    private readonly again: () => Promise<GpuDevice>,
  ) {}

  /**
   * Computes all outputs. Rejects with ARGUMENT, DTYPE and SHAPE for inputs that the model does not take, MEMORY, DISPOSED, and
   * NO_DEVICE when the device was lost and none is to be had any more.
   */
  async run(inputs: Readonly<Record<string, TensorInput>>): Promise<Record<string, TensorData>> {
    checkInputs(this.graph, inputs);
    const shapes = this.graph.inputs.map(({ name }) => inputs[name]!.shape);
    for (let tries = 1; ; tries++) {
      const { gpu } = this;
      try {
        const bound = await this.bound(shapes);
        return await this.submitted(bound, inputs);
      } catch (error) {
        this.alive();
        if (!(await lostBy(gpu, error)) || tries === TRIES) throw error;
        await this.recover(gpu);
      }
    }
  }

  /** Makes all that a run with these shapes needs. Rejects as `run` does. */
  async prepare(shapes: Readonly<Record<string, StaticShape>>): Promise<void> {
    await this.bound(this.graph.inputs.map(({ name }) => shapes[name]!));
  }

  /** Bytes in buffers. */
  memory(): { total: number; resident: number; arena: number; plans: number } {
    this.alive();
    const resident = this.constants.reduce((sum, { size }) => sum + size, 0);
    const arena = this.latest?.plan.pools.reduce((sum, bytes) => sum + bytes, 0) ?? 0;
    return { total: resident + arena, resident, arena, plans: this.plans.size };
  }

  explain(): { device: string; why: string; nodes: { node: string; kernels: string[] }[] } {
    this.alive();
    const planned = this.latest?.plan.nodes.filter((n) => n.calls.length > 0) ?? [];
    const nodes = planned.map(({ node, calls }) => ({
      node: nodeText(node),
      kernels: calls.map((c) => pipelineKey(c.dispatch)),
    }));
    const lost = this.losses.length ? `; recovered from ${this.losses.length} lost devices (${this.losses.at(-1)})` : '';
    return { device: this.gpu.name, why: `WebGPU on ${this.gpu.name}${lost}`, nodes };
  }

  dispose(): void {
    this.disposed = true;
    this.forget();
    this.gpu.dispose();
  }

  private alive(): void {
    if (this.disposed) throw new WaferError('DISPOSED', 'the model was used after dispose()');
  }

  /** The plan for input shapes in order of the graph's inputs, from the kept ones or made now. */
  private async bound(shapes: readonly StaticShape[]): Promise<Bound> {
    this.alive();
    if (this.recovering) await this.recovering;
    const key = keyOf(shapes);
    let bound = this.plans.get(key);
    this.plans.delete(key);
    bound ??= this.bind(shapes);
    this.plans.set(key, bound);
    if (this.plans.size > PLANS) {
      const [oldest, unused] = this.plans.entries().next().value!;
      this.plans.delete(oldest);
      void unused.then(release, () => {});
    }
    try {
      return (this.latest = await bound);
    } catch (error) {
      if (this.plans.get(key) === bound) this.plans.delete(key);
      throw error;
    }
  }

  private async bind(shapes: readonly StaticShape[]): Promise<Bound> {
    const { graph, gpu } = this;
    const bindings = bindShapes(graph.inputs.map(({ name, type }, i) => ({ name, declared: type.shape, given: shapes[i]! })));
    const planner = new GpuPlanner(graph, bindings, gpu.traits, this.residents);
    const added = graph.nodes.flatMap((node) => planner.add(node));
    const plan = planner.finish();
    const calls = plan.nodes.flatMap((n) => n.calls);
    this.checkLimits(plan, calls);
    const pipelines = Promise.all(calls.map(({ dispatch }) => gpu.pipeline(dispatch)));
    const buffers = await gpu.checked(() => {
      this.upload(added);
      const pools = plan.pools.map((size) => gpu.device.createBuffer({ size, usage: ACTIVATIONS }));
      return { pools, uniforms: this.uniforms(calls) };
    });
    const steps = await this.steps(calls, buffers, await pipelines);
    let stagingBytes = 0;
    const offsets = plan.outputs.map(({ place }) => {
      const offset = stagingBytes;
      stagingBytes += place ? place.bytes : 0;
      return offset;
    });
    return { plan, ...buffers, steps, offsets, stagingBytes, staging: [] };
  }

  /** Throws MEMORY for what this device cannot hold in one buffer or bind at once. */
  private checkLimits({ pools }: GpuPlan, calls: readonly GpuCall[]): void {
    const { maxBufferSize, maxStorageBufferBindingSize } = this.gpu.device.limits;
    const places = calls.flatMap(({ reads, writes }) => [...reads, ...writes]);
    const check = (bytes: number, most: number, what: string) => {
      if (bytes > most)
        throw new WaferError(
          'MEMORY',
          `${what} of ${(bytes / 2 ** 20).toFixed(1)} MiB is more than this GPU's ${most / 2 ** 20} MiB`,
          {
            hint: "use smaller inputs, or backend: 'wasm'",
          },
        );
    };
    for (const bytes of pools) check(bytes, maxBufferSize, 'memory for activations');
    for (const { bytes } of places) check(bytes, maxStorageBufferBindingSize, 'a tensor');
  }

  /** Puts constants into buffers that are written as they are made. */
  private upload(constants: readonly GpuConstant[]): void {
    let chunk: { data: Uint8Array; buffer: GPUBuffer; used: number } | undefined;
    let left = constants.reduce((sum, { key }) => sum + aligned(this.residents.get(key)!), 0);
    for (const { key, data } of constants) {
      const bytes = aligned(this.residents.get(key)!);
      if (!chunk || chunk.used + bytes > chunk.data.length) {
        chunk?.buffer.unmap();
        const size = Math.max(bytes, Math.min(CHUNK, left));
        const buffer = this.gpu.device.createBuffer({ size, usage: GPUBufferUsage.STORAGE, mappedAtCreation: true });
        this.constants.push(buffer);
        chunk = { data: new Uint8Array(buffer.getMappedRange()), buffer, used: 0 };
      }
      chunk.data.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), chunk.used);
      this.resident.set(key, { buffer: chunk.buffer, offset: chunk.used });
      chunk.used += bytes;
      left -= bytes;
    }
    chunk?.buffer.unmap();
  }

  /** The uniform blocks of all calls, one after the other. */
  private uniforms(calls: readonly GpuCall[]): GPUBuffer {
    const size = Math.max(1, calls.length) * OFFSET;
    const buffer = this.gpu.device.createBuffer({ size, usage: GPUBufferUsage.UNIFORM, mappedAtCreation: true });
    const words = new Uint32Array(buffer.getMappedRange());
    calls.forEach(({ uniforms, dispatch }, i) => {
      invariant(4 * uniforms.length <= OFFSET, () => `${dispatch.shader} has ${uniforms.length} uniforms`);
      words.set(uniforms, (i * OFFSET) / 4);
    });
    buffer.unmap();
    return buffer;
  }

  private steps(
    calls: readonly GpuCall[],
    { pools, uniforms }: Pick<Bound, 'pools' | 'uniforms'>,
    pipelines: readonly GPUComputePipeline[],
  ): Promise<Step[]> {
    const { gpu } = this;
    const binding = (place: GpuPlace): GPUBufferBinding => {
      const { bytes } = place;
      if ('resident' in place) return { ...this.resident.get(place.resident)!, size: bytes };
      return { buffer: pools[place.pool]!, offset: place.offset, size: bytes };
    };
    return gpu.checked(() =>
      calls.map(({ dispatch, reads, writes, groups }, i) => {
        const block = { buffer: uniforms, offset: i * OFFSET, size: OFFSET };
        const resources = [block, ...reads.map(binding), ...writes.map(binding)];
        const entries = resources.map((resource, at) => ({ binding: at, resource }));
        const group = gpu.device.createBindGroup({ layout: gpu.layout(dispatch), entries });
        return { pipeline: pipelines[i]!, group, groups };
      }),
    );
  }

  private async submitted(bound: Bound, inputs: Readonly<Record<string, TensorInput>>): Promise<Record<string, TensorData>> {
    const { gpu } = this;
    const { plan, pools, steps, offsets, stagingBytes } = bound;
    for (const { name, place } of plan.inputs) this.write(pools, place!, inputs[name]!.data);
    const commands = gpu.device.createCommandEncoder();
    const pass = commands.beginComputePass();
    for (const { pipeline, group, groups } of steps) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(...groups);
    }
    pass.end();
    if (stagingBytes === 0) {
      gpu.device.queue.submit([commands.finish()]);
      return resultsOf(plan.outputs, () => new ArrayBuffer(0));
    }
    const staging =
      bound.staging.pop() ??
      gpu.device.createBuffer({ size: stagingBytes, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    plan.outputs.forEach(({ place }, i) => {
      if (!place) return;
      invariant('pool' in place, () => 'an output lies among the constants');
      commands.copyBufferToBuffer(pools[place.pool]!, place.offset, staging, offsets[i]!, place.bytes);
    });
    gpu.device.queue.submit([commands.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    gpu.takeError();
    const mapped = staging.getMappedRange();
    const results = resultsOf(plan.outputs, (i, bytes) => mapped.slice(offsets[i]!, offsets[i]! + bytes));
    staging.unmap();
    bound.staging.push(staging);
    return results;
  }

  /** A buffer is written by whole words. */
  private write(pools: readonly GPUBuffer[], place: GpuPlace, { buffer, byteOffset, byteLength }: ArrayBufferView): void {
    invariant('pool' in place, () => 'an input lies among the constants');
    const { queue } = this.gpu.device;
    const whole = byteLength & ~3;
    if (whole) queue.writeBuffer(pools[place.pool]!, place.offset, buffer as ArrayBuffer, byteOffset, whole);
    if (whole === byteLength) return;
    const last = new Uint8Array(4);
    last.set(new Uint8Array(buffer, byteOffset + whole, byteLength - whole));
    queue.writeBuffer(pools[place.pool]!, place.offset + whole, last);
  }

  /** Once for all runs that the loss of `lost` has ended. */
  private recover(lost: GpuDevice): Promise<void> {
    if (this.gpu !== lost) return this.recovering ?? Promise.resolve();
    this.recovering ??= (async () => {
      this.losses.push(lost.lost ?? 'unknown');
      this.forget();
      this.gpu = await this.again();
    })().finally(() => {
      this.recovering = undefined;
    });
    return this.recovering;
  }

  /** Lets go of all that belongs to the device. */
  private forget(): void {
    for (const bound of this.plans.values()) void bound.then(release, () => {});
    for (const buffer of this.constants) buffer.destroy();
    this.plans = new Map();
    this.constants = [];
    this.resident.clear();
    this.residents.clear();
    this.latest = undefined;
  }
}

const ACTIVATIONS = 0x80 | 0x8 | 0x4; // STORAGE, COPY_DST, COPY_SRC: the names are not there where there is no WebGPU

const aligned = (bytes: number): number => Math.ceil(bytes / OFFSET) * OFFSET;

function release({ pools, uniforms, staging }: Bound): void {
  for (const buffer of [...pools, uniforms, ...staging]) buffer.destroy();
}

/** Outputs whose bytes are what `bytesOf` gives; constants have their own. */
function resultsOf(outputs: readonly GpuSlot[], bytesOf: (i: number, bytes: number) => ArrayBuffer): Record<string, TensorData> {
  return Object.fromEntries(
    outputs.map(({ name, type, data }, i) => {
      const { array, bytes } = DTYPES[type.dtype];
      const own = data?.slice() ?? new array(bytesOf(i, elements(type.shape) * bytes));
      return [name, { data: own, shape: type.shape, dtype: type.dtype }];
    }),
  );
}

/** Whether `error` came of the device's loss, which may be told a little later. */
async function lostBy(gpu: GpuDevice, error: unknown): Promise<boolean> {
  if (!(error instanceof DOMException)) return gpu.lost !== undefined;
  await Promise.race([gpu.whenLost, new Promise((resolve) => setTimeout(resolve, 200))]);
  return gpu.lost !== undefined;
}
