/**
 * A graph on one device: its constants there, and for each of the latest input shapes all that a run needs, which is made when the
 * shapes are first seen: buffers, bind groups, pipelines. A run writes the inputs, submits one list of commands and maps the
 * outputs. When the device is lost all of this is, and session.ts makes another.
 */
import { DTYPES, type DType } from '../../core/dtype';
import { invariant, WaferError } from '../../core/errors';
import { fromHalves, type Precision, toHalves } from '../../core/half';
import { elements, type StaticShape } from '../../core/shape';
import type { Graph } from '../../graph/ir';
import { align } from '../arena';
import { bindShapes } from '../bind';
import type { ImageRequest } from '../image';
import type { Picture } from '../pixels';
import { keyOf, type TensorData, type TensorInput } from '../session';
import type { GpuDevice } from './device';
import { PictureReader, PictureTexture } from './pictures';
import { bytesIn, type GpuCall, type GpuConstant, type GpuPlace, type GpuPlan, GpuPlanner, OFFSET } from './plan';
import { Timestamps } from './timestamps';
import { BUFFER, MAP_READ } from './usage';

/** How many plans are kept. */
const PLANS = 8;
/** Constants are gathered in buffers of this many bytes; a larger one has its own. */
const CHUNK = 2 ** 25;

/** Elements that are on the GPU already, in a buffer of the same device; it needs the usage COPY_SRC. */
export interface GpuTensor {
  readonly buffer: GPUBuffer;
  readonly shape: StaticShape;
}

/** An output that stays on the GPU, in a buffer that is the caller's from now on. */
export interface GpuTensorData extends GpuTensor {
  readonly dtype: DType;
}

export type GpuInput = TensorInput | ImageRequest<Picture> | GpuTensor;
export type GpuInputs = Readonly<Record<string, GpuInput>>;

interface Step {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly groups: readonly [number, number];
}

/** A plan with buffers. */
export interface Bound {
  readonly plan: GpuPlan;
  readonly pools: readonly GPUBuffer[];
  readonly uniforms: GPUBuffer;
  readonly steps: readonly Step[];
  /** Where each output goes in a staging buffer, and how long that is. */
  readonly offsets: readonly number[];
  readonly stagingBytes: number;
  /** Those that no run uses now. */
  readonly staging: GPUBuffer[];
  /** What reads pictures, by the input's name. */
  readonly readers: Map<string, PictureReader>;
}

export class GpuRunner {
  private readonly residents = new Map<string, number>();
  private readonly resident = new Map<string, { buffer: GPUBuffer; offset: number }>();
  private readonly constants: GPUBuffer[] = [];
  private readonly plans = new Map<string, Promise<Bound>>();
  /** By the input's name. */
  private readonly pictures = new Map<string, PictureTexture>();
  /** The plan that was used last. */
  latest: Bound | undefined;

  constructor(
    private readonly graph: Graph,
    readonly gpu: GpuDevice,
    private readonly traits = gpu.traits,
    readonly precision: Precision = 'f32',
  ) {}

  /** The plan for input shapes in order of the graph's inputs, from the kept ones or made now. */
  async bound(shapes: readonly StaticShape[]): Promise<Bound> {
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
      this.latest = await bound;
      return this.latest;
    } catch (error) {
      if (this.plans.get(key) === bound) this.plans.delete(key);
      throw error;
    }
  }

  private async bind(shapes: readonly StaticShape[]): Promise<Bound> {
    const { graph, gpu } = this;
    const bindings = bindShapes(graph.inputs.map(({ name, type }, i) => ({ name, declared: type.shape, given: shapes[i]! })));
    const planner = new GpuPlanner(graph, bindings, this.traits, this.residents, this.precision);
    const added = graph.nodes.flatMap((node) => planner.add(node));
    const plan = planner.finish();
    const calls = plan.nodes.flatMap((n) => n.calls);
    const made: GPUBuffer[] = [];
    try {
      this.checkLimits(plan, calls);
      const pipelines = Promise.all(calls.map(({ dispatch }) => gpu.pipeline(dispatch)));
      await gpu.checked(() => {
        this.upload(added);
        for (const size of plan.pools) made.push(gpu.device.createBuffer({ size, usage: ACTIVATIONS }));
        made.push(this.uniforms(calls));
      });
      const [pools, uniforms] = [made.slice(0, -1), made.at(-1)!];
      const steps = await this.steps(calls, { pools, uniforms }, await pipelines);
      return { plan, pools, uniforms, steps, ...stagingOf(plan), staging: [], readers: new Map() };
    } catch (error) {
      for (const buffer of made) buffer.destroy();
      // Another plan is not to count on them.
      for (const { key } of added) this.residents.delete(key);
      throw error;
    }
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
        const buffer = this.gpu.device.createBuffer({ size, usage: BUFFER.STORAGE, mappedAtCreation: true });
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
    const buffer = this.gpu.device.createBuffer({ size, usage: BUFFER.UNIFORM, mappedAtCreation: true });
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

  /** Makes what reads the pictures among the inputs, where it is not there. */
  async readers({ plan, pools, readers }: Bound, inputs: GpuInputs): Promise<void> {
    for (const { name, place } of plan.inputs)
      if ('processing' in inputs[name]! && !readers.has(name)) {
        invariant(place && 'pool' in place, () => 'an input has no place in a pool');
        const { pool, offset, bytes } = place;
        const { precision } = plan;
        const pictures = this.pictures.get(name) ?? new PictureTexture(this.gpu);
        this.pictures.set(name, pictures);
        readers.set(name, await PictureReader.create(this.gpu, pictures, { buffer: pools[pool]!, offset, bytes, precision }));
      }
  }

  /** Writes the inputs and encodes all dispatches; nothing is submitted yet. */
  private encoded(bound: Bound, inputs: GpuInputs): GPUCommandEncoder {
    const { plan, pools, steps, readers } = bound;
    const commands = this.gpu.device.createCommandEncoder();
    for (const { name, place } of plan.inputs) {
      const given = inputs[name]!;
      if ('processing' in given) continue;
      if ('buffer' in given) this.copy(commands, given.buffer, pools, place!);
      else
        this.write(
          pools,
          place!,
          plan.precision === 'f16' && given.data instanceof Float32Array ? toHalves(given.data) : given.data,
        );
    }
    const pass = commands.beginComputePass();
    for (const { name } of plan.inputs) {
      const given = inputs[name]!;
      if ('processing' in given) readers.get(name)!.encode(pass, given);
    }
    for (const step of steps) dispatch(pass, step);
    pass.end();
    return commands;
  }

  async readBack(bound: Bound, inputs: GpuInputs): Promise<Record<string, TensorData>> {
    const { gpu } = this;
    const { plan, pools, offsets, stagingBytes } = bound;
    const commands = this.encoded(bound, inputs);
    const size = Math.max(4, stagingBytes);
    const usage = BUFFER.MAP_READ | BUFFER.COPY_DST;
    const staging = bound.staging.pop() ?? gpu.device.createBuffer({ size, usage });
    plan.outputs.forEach(({ place }, i) => {
      if (!place) return;
      invariant('pool' in place, () => 'an output lies among the constants');
      commands.copyBufferToBuffer(pools[place.pool]!, place.offset, staging, offsets[i]!, place.bytes);
    });
    gpu.device.queue.submit([commands.finish()]);
    await staging.mapAsync(MAP_READ);
    gpu.takeError();
    const mapped = staging.getMappedRange();
    const results = resultsOf(plan, (i, bytes) => mapped.slice(offsets[i]!, offsets[i]! + bytes));
    staging.unmap();
    bound.staging.push(staging);
    return results;
  }

  submitToBuffers(bound: Bound, inputs: GpuInputs): Record<string, GpuTensorData> {
    const { device } = this.gpu;
    const commands = this.encoded(bound, inputs);
    const usage = BUFFER.STORAGE | BUFFER.COPY_SRC | BUFFER.COPY_DST;
    const outputs = bound.plan.outputs.map(({ name, type, place, data }): [string, GpuTensorData] => {
      const buffer = device.createBuffer({ size: place?.bytes ?? aligned(data!.byteLength), usage });
      if (data) this.writeAll(buffer, 0, data);
      else {
        invariant(place && 'pool' in place, () => 'an output lies among the constants');
        commands.copyBufferToBuffer(bound.pools[place.pool]!, place.offset, buffer, 0, place.bytes);
      }
      return [name, { buffer, shape: type.shape, dtype: type.dtype }];
    });
    device.queue.submit([commands.finish()]);
    return Object.fromEntries(outputs);
  }

  /** Milliseconds of groups of steps, `counts` of them each, in order. */
  async timed({ steps }: Bound, counts: readonly number[]): Promise<number[]> {
    const { device } = this.gpu;
    let at = 0;
    const groups = counts.map((count) => steps.slice(at, (at += count)));
    const clock = device.features.has('timestamp-query') ? new Timestamps(device, groups.length) : undefined;
    const times: number[] = [];
    for (const [i, group] of groups.entries()) {
      const commands = device.createCommandEncoder();
      const pass = commands.beginComputePass(clock?.around(i));
      for (const step of group) dispatch(pass, step);
      pass.end();
      const start = performance.now();
      device.queue.submit([commands.finish()]);
      if (clock) continue;
      await device.queue.onSubmittedWorkDone();
      times.push(performance.now() - start);
    }
    return clock ? clock.read() : times;
  }

  private write(pools: readonly GPUBuffer[], place: GpuPlace, data: ArrayBufferView): void {
    invariant('pool' in place, () => 'an input lies among the constants');
    this.writeAll(pools[place.pool]!, place.offset, data);
  }

  /** A buffer is written by whole words. */
  private writeAll(target: GPUBuffer, offset: number, { buffer, byteOffset, byteLength }: ArrayBufferView): void {
    const { queue } = this.gpu.device;
    const whole = byteLength & ~3;
    if (whole) queue.writeBuffer(target, offset, buffer as ArrayBuffer, byteOffset, whole);
    if (whole === byteLength) return;
    const last = new Uint8Array(4);
    last.set(new Uint8Array(buffer, byteOffset + whole, byteLength - whole));
    queue.writeBuffer(target, offset + whole, last);
  }

  private copy(commands: GPUCommandEncoder, from: GPUBuffer, pools: readonly GPUBuffer[], place: GpuPlace): void {
    invariant('pool' in place, () => 'an input lies among the constants');
    commands.copyBufferToBuffer(from, 0, pools[place.pool]!, place.offset, place.bytes);
  }

  /** Bytes of constants and of the latest plan's activations, and how many plans there are. */
  memory(): { resident: number; arena: number; plans: number } {
    const resident = this.constants.reduce((sum, { size }) => sum + size, 0);
    const arena = this.latest?.plan.pools.reduce((sum, bytes) => sum + bytes, 0) ?? 0;
    return { resident, arena, plans: this.plans.size };
  }

  /** Frees all; the device is left as it is. */
  dispose(): void {
    for (const bound of this.plans.values()) void bound.then(release, () => {});
    for (const buffer of this.constants) buffer.destroy();
    for (const pictures of this.pictures.values()) pictures.dispose();
  }
}

const ACTIVATIONS = BUFFER.STORAGE | BUFFER.COPY_DST | BUFFER.COPY_SRC;

const aligned = (bytes: number): number => align(bytes, OFFSET);

/** Where each output goes in a staging buffer, and how long that is. */
function stagingOf({ outputs }: GpuPlan): Pick<Bound, 'offsets' | 'stagingBytes'> {
  let stagingBytes = 0;
  const offsets = outputs.map(({ place }) => {
    const offset = stagingBytes;
    stagingBytes += place ? place.bytes : 0;
    return offset;
  });
  return { offsets, stagingBytes };
}

function release({ pools, uniforms, staging, readers }: Bound): void {
  for (const buffer of [...pools, uniforms, ...staging]) buffer.destroy();
  for (const reader of readers.values()) reader.dispose();
}

function dispatch(pass: GPUComputePassEncoder, { pipeline, group, groups }: Step): void {
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(...groups);
}

/** Outputs whose bytes are what `bytesOf` gives; constants have their own. */
function resultsOf(
  { outputs, precision }: GpuPlan,
  bytesOf: (i: number, bytes: number) => ArrayBuffer,
): Record<string, TensorData> {
  return Object.fromEntries(
    outputs.map(({ name, type, data }, i) => {
      const { shape, dtype } = type;
      const bytes = () => bytesOf(i, elements(shape) * bytesIn(precision, dtype));
      const isHalf = precision === 'f16' && dtype === 'f32';
      const own = data?.slice() ?? (isHalf ? fromHalves(new Uint16Array(bytes())) : new DTYPES[dtype].array(bytes()));
      return [name, { data: own, shape, dtype }];
    }),
  );
}
