/**
 * A session runs one graph on one device, in the calling thread. It makes a plan per input shape and keeps the last
 * few; a plan's calls are bound to addresses once, so that a run is a copy in, a loop over calls, and a copy out.
 */
import { DTYPES, type DType, dtypeOf, type TypedArray } from '../core/dtype';
import { invariant, located, nearest, WaferError } from '../core/errors';
import type { Precision } from '../core/half';
import { checkShape, elements, type StaticShape, type StaticType, shapeText, type TensorType } from '../core/shape';
import { type Graph, type Node, nodeText, type Value } from '../graph/ir';
import { align } from './arena';
import { bindShapes } from './bind';
import type { Device, Kernel, SharedCalls } from './device';
import { type Added, type Call, type Fill, type Place, type Plan, Planner, type Slot } from './plan';

/** A tensor at the boundary of a run. Quantised tensors (`i8`) hold levels. */
export interface TensorData {
  data: TypedArray;
  shape: readonly number[];
  dtype: DType;
}

/** What `run` takes; the dtype is the array's own. */
export type TensorInput = Pick<TensorData, 'data' | 'shape'>;

export interface SessionOptions {
  /** Bytes of linear memory that the session may reach; a run that needs more throws MEMORY. Default 2 GiB. */
  memoryCap?: number;
  /** How many plans are kept. Default 8. */
  plans?: number;
  /** Puts guard ranges after all buffers and checks them after each run. For tests. */
  guard?: boolean;
}

/** A node's output as an observer sees it. `data` may be overwritten once the observer returns. */
export interface Observed extends TensorData {
  name: string;
  type: StaticType;
}

export interface RunOptions {
  /** Called after each node, in order. */
  observe?: (node: Node, outputs: readonly Observed[]) => void;
}

export interface NodeProfile {
  node: string;
  kernels: readonly string[];
  /** Least of all runs, in milliseconds. */
  ms: number;
}

export interface Explanation {
  /** What computes: `wasm` or `webgpu`. */
  device: string;
  /** The WASM build, or the GPU's name. */
  build: string;
  dot: string;
  /** What f32 tensors are stored as; arithmetic is in f32 in any case. */
  precision: Precision;
  /** Why this device, build, dot and precision. */
  why: string;
  /** How many threads there are, how many of them the latest plan's runs use, and why. */
  threads: { count: number; used: number; why: string };
  /** Nodes of the latest plan that compute something, with their kernels. Empty before the first run. */
  nodes: readonly { node: string; kernels: readonly string[] }[];
}

/** Bytes. */
export interface MemoryUse {
  /** Linear memory as it is now, and buffers on the GPU. */
  total: number;
  /** Constants in the layout that kernels want. */
  resident: number;
  /** Activations and scratch of the latest plan. */
  arena: number;
  /** How many plans are kept. */
  plans: number;
}

/** A plan with addresses. */
interface Bound {
  readonly plan: Plan;
  /** The arena's address for which `kernels` and `args` were made. */
  base: number;
  kernels: Kernel[];
  args: number[][];
  /** Index into `kernels` at which the calls of each node of the plan begin; one more entry at the end. */
  starts: number[];
  /** The same calls for several threads, where the device has them. */
  shared?: SharedCalls | undefined;
}

const GUARD_BYTE = 0xa5;

export class Session {
  private readonly residents = new Map<string, Place>();
  private residentBytes = 0;
  private readonly plans = new Map<string, Bound>();
  private latest: Bound | undefined;
  private disposed = false;
  private readonly options: Required<SessionOptions>;

  constructor(
    readonly graph: Graph,
    /** The session owns it: no other session may use its memory. */
    readonly device: Device,
    options: SessionOptions = {},
  ) {
    this.options = { memoryCap: 2 ** 31, plans: 8, guard: false, ...options };
  }

  /**
   * Computes all outputs. Throws ARGUMENT, DTYPE and SHAPE for inputs that the model does not take, MEMORY when the
   * plan for these shapes does not fit, DISPOSED.
   */
  run(inputs: Readonly<Record<string, TensorInput>>, { observe }: RunOptions = {}): Record<string, TensorData> {
    const bound = this.prepared(inputs);
    const { plan, kernels, args, shared } = bound;
    do for (const slot of plan.inputs) this.write(slot.place!, inputs[slot.name]!.data, slot.type);
    while (!observe && shared?.run() === false);
    if (observe) this.observedRun(bound, observe);
    else if (!shared) for (let i = 0; i < kernels.length; i++) kernels[i]!.apply(undefined, args[i]!);
    if (this.options.guard) this.checkGuards(plan);
    return Object.fromEntries(plan.outputs.map((slot) => [slot.name, this.read(slot)]));
  }

  /**
   * Makes the plan for these input shapes ahead of the first run, so that it takes no longer than the next. Gives each node before
   * it takes the elements of the node's constants, which need not be there earlier. Throws as `run` does.
   */
  *prepare(shapes: Readonly<Record<string, StaticShape>>): Generator<Node, void> {
    this.alive();
    const ordered = this.graph.inputs.map(({ name }) => shapes[name]!);
    this.keep(ordered, yield* this.planning(ordered));
    this.planned(ordered);
  }

  /** Times each node, in this thread alone, over `runs` runs after one that is not counted. Throws ARGUMENT, and what `run` does. */
  profile(inputs: Readonly<Record<string, TensorInput>>, options: { runs?: number } = {}): NodeProfile[] {
    const { runs = 5 } = options ?? {};
    if (!Number.isSafeInteger(runs) || runs < 1)
      throw new WaferError('ARGUMENT', `runs must be a positive integer, got ${JSON.stringify(runs)}`);
    this.run(inputs);
    const bound = this.prepared(inputs);
    const { plan, kernels, args, starts } = bound;
    const best = plan.nodes.map(() => Number.POSITIVE_INFINITY);
    for (let run = 0; run < runs; run++) {
      for (const slot of plan.inputs) this.write(slot.place!, inputs[slot.name]!.data, slot.type);
      for (let n = 0; n < plan.nodes.length; n++) {
        const start = performance.now();
        for (let i = starts[n]!; i < starts[n + 1]!; i++) kernels[i]!.apply(undefined, args[i]!);
        best[n] = Math.min(best[n]!, performance.now() - start);
      }
    }
    return plan.nodes.flatMap(({ node, calls }, n) =>
      calls.length ? [{ node: nodeText(node), kernels: calls.map((c) => c.kernel), ms: best[n]! }] : [],
    );
  }

  explain(): Explanation {
    this.alive();
    const { kind, build, dot, why, threads } = this.device;
    const used = Math.min(threads.count, this.latest?.shared?.threads ?? 1);
    const planned = this.latest?.plan.nodes.filter((n) => n.calls.length > 0) ?? [];
    const nodes = planned.map(({ node, calls }) => ({ node: nodeText(node), kernels: calls.map((c) => c.kernel) }));
    return { device: kind, build, dot, precision: 'f32', why, threads: { ...threads, used }, nodes };
  }

  memory(): MemoryUse {
    this.alive();
    return {
      total: this.device.buffer.byteLength,
      resident: this.residentBytes,
      arena: this.latest?.plan.arenaBytes ?? 0,
      plans: this.plans.size,
    };
  }

  /** Lets go of plans and addresses, and ends the device's threads; its memory goes when nothing else holds the device. */
  dispose(): void {
    this.device.dispose();
    this.disposed = true;
    this.plans.clear();
    this.residents.clear();
    this.latest = undefined;
  }

  /** The plan for `inputs`, which are checked, bound to current addresses. */
  private prepared(inputs: Readonly<Record<string, TensorInput>>): Bound {
    this.alive();
    checkInputs(this.graph, inputs);
    const bound = this.planned(this.graph.inputs.map(({ name }) => inputs[name]!.shape));
    this.fillGuards(bound.plan.guards.filter((guard) => guard.region === 'arena'));
    return bound;
  }

  private alive(): void {
    if (this.disposed) throw new WaferError('DISPOSED', 'the model was used after dispose()');
  }

  /** The plan for input shapes in order of the graph's inputs, from the kept ones or made now. */
  private planned(shapes: readonly StaticShape[]): Bound {
    const key = keyOf(shapes);
    let bound = this.plans.get(key);
    if (bound) {
      this.plans.delete(key);
      this.plans.set(key, bound);
    } else bound = this.keep(shapes, resultOf(this.planning(shapes)));
    if (bound.base !== this.arenaBase) this.bind(bound);
    this.latest = bound;
    return bound;
  }

  private keep(shapes: readonly StaticShape[], plan: Plan): Bound {
    const bound: Bound = { plan, base: -1, kernels: [], args: [], starts: [] };
    this.plans.set(keyOf(shapes), bound);
    if (this.plans.size > this.options.plans) {
      const oldest = this.plans.keys().next().value!;
      this.plans.get(oldest)!.shared?.release();
      this.plans.delete(oldest);
    }
    return bound;
  }

  /** Makes a plan and its resident blocks; gives each node before it takes the elements of the node's constants. */
  private *planning(shapes: readonly StaticShape[]): Generator<Node, Plan> {
    const bindings = bindShapes(
      this.graph.inputs.map(({ name, type }, i) => ({ name, declared: type.shape, given: shapes[i]! })),
    );
    const { residents, residentBytes, device } = this;
    const { guard } = this.options;
    const threads = device.pool?.size ?? 1;
    const planner = new Planner(this.graph, bindings, { dot: device.dot, residents, residentBytes, threads, guard });
    for (const node of this.graph.nodes) {
      yield node;
      this.makeResident(planner.add(node));
    }
    const plan = planner.finish();
    this.reserve(plan.residentBytes + plan.arenaBytes);
    return plan;
  }

  private makeResident({ fills, residentBytes, stagingBytes, guards }: Added): void {
    if (!fills.length) return;
    this.reserve(residentBytes + stagingBytes);
    this.residentBytes = residentBytes;
    this.fillGuards(guards);
    for (const fill of fills) {
      if (fill.kind === 'copy') this.write(fill.place, fill.data, fill.type);
      else this.pack(fill);
      this.residents.set(fill.key, fill.place);
    }
  }

  private pack({ call, staged, step }: Fill & { kind: 'pack' }): void {
    const kernel = this.device.kernel(call.kernel);
    for (let from = 0; from < call.rows; from += step) {
      const numbers = this.resolve(call);
      for (const { place, operand, sliced } of staged) {
        const bytes = bytesIn(operand.data!);
        if (!sliced) {
          if (from === 0) this.write(place, bytes, operand.type);
          continue;
        }
        const first = (from / step) * place.bytes;
        this.write(place, bytes.subarray(first, first + place.bytes), operand.type);
        // The kernel counts from the start of the whole source.
        numbers[call.args.indexOf(place)]! -= first;
      }
      kernel(...numbers.slice(0, -2), from, Math.min(call.rows, from + step));
    }
  }

  /** Makes so many bytes from the start of the resident region usable. Throws MEMORY. */
  private reserve(bytes: number): void {
    const end = align(this.device.heapBase) + bytes;
    const { memoryCap } = this.options;
    if (end > memoryCap)
      throw new WaferError(
        'MEMORY',
        `these input shapes need ${mebibytes(end)} of memory, the limit is ${mebibytes(memoryCap)}`,
        { hint: 'use smaller inputs' },
      );
    this.device.reserve(end);
  }

  /** Resident blocks may have been added since `bound` was made, which moves the arena. */
  private bind(bound: Bound): void {
    this.device.reserve(this.arenaBase + bound.plan.arenaBytes);
    bound.base = this.arenaBase;
    bound.kernels = [];
    bound.args = [];
    bound.starts = [];
    for (const { calls } of bound.plan.nodes) {
      bound.starts.push(bound.kernels.length);
      for (const call of calls) {
        bound.kernels.push(this.device.kernel(call.kernel));
        bound.args.push(this.resolve(call));
      }
    }
    bound.starts.push(bound.kernels.length);
    bound.shared?.release();
    const calls = bound.plan.nodes.flatMap((n) => n.calls);
    bound.shared = this.device.pool?.share(calls.map((call) => ({ ...call, args: (thread) => this.resolve(call, thread) })));
  }

  /** A kernel's arguments, those of all rows; scratch is that of the thread. */
  private resolve({ args, rows }: Call, thread = 0): number[] {
    const numbers = args.map((arg) => (typeof arg === 'number' ? arg : this.address(arg) + thread * (arg.stride ?? 0)));
    return [...numbers, 0, rows];
  }

  private get arenaBase(): number {
    return align(this.device.heapBase) + this.residentBytes;
  }

  private address({ region, offset }: Place): number {
    return (region === 'arena' ? this.arenaBase : align(this.device.heapBase)) + offset;
  }

  private bytes(place: Place): Uint8Array {
    return new Uint8Array(this.device.buffer, this.address(place), place.bytes);
  }

  /** Copies elements in. Quantised activations are levels outside and level + 128 in memory. */
  private write(place: Place, data: TypedArray, type?: TensorType): void {
    const target = this.bytes(place);
    target.set(bytesIn(data));
    if (type?.quant) flip(target);
  }

  private read({ type, place, data }: Slot): TensorData {
    if (data) return { data: data.slice(), shape: type.shape, dtype: type.dtype };
    const bytes = this.bytes(place!).slice();
    if (type.quant) flip(bytes);
    return { data: new DTYPES[type.dtype].array(bytes.buffer), shape: type.shape, dtype: type.dtype };
  }

  private observedRun({ plan, kernels, args, starts }: Bound, observe: NonNullable<RunOptions['observe']>): void {
    plan.nodes.forEach(({ node, outputs }, n) => {
      for (let i = starts[n]!; i < starts[n + 1]!; i++) kernels[i]!.apply(undefined, args[i]!);
      observe(
        node,
        outputs.map((slot) => ({ name: slot.name, type: slot.type, ...this.view(slot) })),
      );
    });
  }

  /** As `read`, without a copy where the elements can be seen in place. */
  private view(slot: Slot): TensorData {
    const { type, place } = slot;
    if (!place || type.quant) return this.read(slot);
    const data = new DTYPES[type.dtype].array(this.device.buffer, this.address(place), elements(type.shape));
    return { data, shape: type.shape, dtype: type.dtype };
  }

  private fillGuards(guards: readonly Place[]): void {
    for (const guard of guards) this.bytes(guard).fill(GUARD_BYTE);
  }

  private checkGuards(plan: Plan): void {
    for (const guard of plan.guards) {
      const at = this.bytes(guard).findIndex((byte) => byte !== GUARD_BYTE);
      invariant(at < 0, () => `a kernel wrote ${at} bytes past the end of a buffer in the ${guard.region} region`);
    }
  }
}

/** Plans are kept by the shapes of their inputs. */
export const keyOf = (shapes: readonly StaticShape[]): string => shapes.map((shape) => shape.join()).join(';');

/** What a generator returns once it has given all it gives. */
function resultOf<T>(steps: Generator<unknown, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

const bytesIn = (data: TypedArray): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** Levels to level + 128 and back. */
function flip(bytes: Uint8Array): void {
  for (let i = 0; i < bytes.length; i++) bytes[i]! ^= 0x80;
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** Names, dtypes and element counts; shapes are checked when a plan is made for them. */
function checkInputs(graph: Graph, inputs: Readonly<Record<string, TensorInput>>): void {
  checkNames(graph, inputs);
  for (const value of graph.inputs) checkTensor(value, inputs[value.name]!);
}

/** Throws ARGUMENT when there is an input that the graph does not have, or one is missing. */
export function checkNames(graph: Graph, inputs: Readonly<Record<string, unknown>>): void {
  const names = graph.inputs.map((x) => x.name);
  for (const name of Object.keys(inputs))
    if (!names.includes(name)) {
      const near = nearest(name, names);
      const hint = near ? `did you mean "${near}"?` : `inputs are ${names.map((n) => `"${n}"`).join(', ')}`;
      throw new WaferError('ARGUMENT', `the model has no input "${name}"`, { hint });
    }
  for (const { name, type } of graph.inputs)
    if (!inputs[name]) throw new WaferError('ARGUMENT', `input "${name}" ${shapeText(type.shape)} is missing`);
}

/** Throws ARGUMENT, DTYPE, SHAPE for what cannot be the elements of this input. */
export function checkTensor({ name, type }: Value, given: TensorInput): void {
  if (!ArrayBuffer.isView(given.data) || !Array.isArray(given.shape))
    throw new WaferError('ARGUMENT', `input "${name}" must be { data: TypedArray, shape: number[] }`, {
      hint: `pass { data: new ${DTYPES[type.dtype].array.name}(…), shape: ${shapeText(type.shape)} }`,
    });
  located({ node: `input "${name}"` }, () => checkShape(given.shape));
  const dtype = located({ node: `input "${name}"` }, () => dtypeOf(given.data));
  if (dtype !== type.dtype && !(type.dtype === 'bool' && dtype === 'u8'))
    throw new WaferError('DTYPE', `input "${name}" must be ${type.dtype}, got ${dtype}`, {
      hint: `pass a ${DTYPES[type.dtype].array.name}`,
    });
  const count = elements(given.shape);
  if (given.data.length !== count)
    throw new WaferError(
      'SHAPE',
      `input "${name}" has ${given.data.length} elements, its shape ${shapeText(given.shape)} has ${count}`,
    );
}
