/**
 * From a graph and concrete input shapes to dispatches with places in buffers. A plan is data, and is made and checked without any
 * GPU. WebGPU forbids that a dispatch reads from a buffer that it writes to, even elsewhere in it: activations are therefore
 * spread over a few buffers, *pools*, so that what a dispatch reads is never in the pool that it writes to. Constants
 * have buffers of their own. A plan in 16 bits has every f32 tensor as halves, constants too; what dispatches carry to the next ones of
 * their node stays as it is.
 */
import type { Bindings } from '../../core/dim';
import { type DType, sizeOf, type TypedArray } from '../../core/dtype';
import { invariant, located, WaferError } from '../../core/errors';
import { type Precision, toHalves } from '../../core/half';
import { elements, type StaticType } from '../../core/shape';
import { type Graph, type Node, nodeText } from '../../graph/ir';
import type { Block, Float, GpuDispatch, GpuTraits, Operand } from '../../ops/define';
import { align, assignOffsets, type Buffer } from '../arena';
import { Values } from '../values';

/** What offsets of bindings are multiples of, on every device. */
export const OFFSET = 256;
/** Invocations of a workgroup, in all shaders. */
export const WORKGROUP = 64;
/** Most workgroups of a dispatch along one axis. shaders/lib/thread.wgsl knows it too. */
export const MOST_GROUPS = 65535;

/** Bytes of a pool, or of the constant of this name. */
export type GpuPlace = { readonly bytes: number } & ({ readonly resident: string } | { pool: number; offset: number });

export interface GpuCall {
  readonly dispatch: GpuDispatch;
  readonly reads: readonly GpuPlace[];
  readonly writes: readonly GpuPlace[];
  /** The uniform block. */
  readonly uniforms: Uint32Array<ArrayBuffer>;
  /** Workgroups along x and y. */
  readonly groups: readonly [number, number];
}

export interface GpuSlot {
  readonly name: string;
  readonly type: StaticType;
  readonly place?: GpuPlace | undefined;
  readonly data?: TypedArray | undefined;
}

export interface GpuNode {
  readonly node: Node;
  readonly calls: readonly GpuCall[];
}

export interface GpuPlan {
  readonly bindings: Bindings;
  readonly precision: Precision;
  readonly inputs: readonly GpuSlot[];
  readonly outputs: readonly GpuSlot[];
  readonly nodes: readonly GpuNode[];
  /** Bytes of each pool. */
  readonly pools: readonly number[];
}

/** Constants that a node needs and nobody has yet. */
export interface GpuConstant {
  readonly key: string;
  readonly data: ArrayBufferView;
}

/** Memory for one value and for those that are the same bytes under another shape. */
interface Owned extends Buffer {
  readonly places: { pool: number; offset: number }[];
  /** Never in the same pool. */
  readonly apart: Set<Owned>;
}

/** Bytes of an element on the GPU. */
export const bytesIn = (precision: Precision, dtype: DType): number =>
  dtype === 'f32' && precision === 'f16' ? 2 : sizeOf(dtype);

/** Bytes of a binding: whole words, and at least one. */
const words = (bytes: number): number => Math.max(4, align(bytes, 4));

export class GpuPlanner {
  private readonly values: Values;
  private readonly nodes: GpuNode[] = [];
  private readonly buffers: Owned[] = [];
  private readonly owners = new Map<Operand | Block, Owned>();
  private readonly places = new Map<Operand | Block, GpuPlace>();
  private constants: GpuConstant[] = [];

  /** `residents` are the constants that are there already, with their bytes; those that are added here are put in. */
  constructor(
    private readonly graph: Graph,
    private readonly bindings: Bindings,
    private readonly gpu: GpuTraits,
    private readonly residents: Map<string, number>,
    private readonly precision: Precision = 'f32',
    private readonly isDraft = false,
  ) {
    this.values = new Values(graph, bindings, isDraft);
    for (const input of graph.inputs) this.own(this.values.operand(input), -1, this.values.lastUse(input, -1));
  }

  /** All nodes of the graph are added in order. Returns the constants that this one needs besides those that are there. */
  add(node: Node): GpuConstant[] {
    this.constants = [];
    this.nodes.push(located({ node: nodeText(node) }, () => this.node(node, this.nodes.length)));
    return this.constants;
  }

  /** As `add`; returns the node's calls. */
  callsOf(node: Node): readonly GpuCall[] {
    this.add(node);
    return this.nodes.at(-1)!.calls;
  }

  /** To be called when all nodes were added. */
  finish(): GpuPlan {
    const { graph, bindings, precision, nodes } = this;
    return {
      ...{ bindings, precision },
      inputs: graph.inputs.map((x) => this.slot(x.name, this.values.operand(x))),
      outputs: graph.outputs.map(({ name, value }) => this.slot(name, this.values.operand(value))),
      nodes,
      pools: this.layOut(),
    };
  }

  private slot(name: string, operand: Operand): GpuSlot {
    const { type, data } = operand;
    return data ? { name, type, data } : { name, type, place: this.places.get(operand) };
  }

  private node(node: Node, step: number): GpuNode {
    const { op } = node;
    const { attrs, inputs, outputs } = this.values.visit(node);
    outputs.forEach((operand, i) => {
      if (operand.data) return;
      const last = this.values.lastUse(node.outputs[i]!, step);
      const host = op.alias ? this.owners.get(inputs[0]!) : undefined;
      if (host) this.join(operand, host, last);
      else this.own(operand, step, last);
    });
    if (op.alias) return { node, calls: [] };
    if (!op.webgpu) throw new WaferError('UNSUPPORTED', `${op.name} has no shader`, { hint: "use backend: 'wasm'" });
    // Names of values are unique, those of nodes need not be.
    const own = node.outputs[0]!.name;
    const dispatches = op.webgpu({
      inputs,
      outputs,
      attrs,
      gpu: this.gpu,
      intermediate: (bytes) => this.own({ bytes }, step, step),
      constant: (key, make) => this.resident(`${own}/${key}`, make),
    });
    return { node, calls: dispatches.filter((d) => d.threads > 0).map((d) => this.call(d)) };
  }

  /** Memory of its own for `owner`. */
  private own<T extends Operand | Block>(owner: T, first: number, last: number): T {
    const bytes = words('type' in owner ? elements(owner.type.shape) * bytesIn(this.precision, owner.type.dtype) : owner.bytes);
    const buffer: Owned = { bytes, first, last, offset: 0, places: [], apart: new Set() };
    this.buffers.push(buffer);
    this.join(owner, buffer, last);
    return owner;
  }

  private join(owner: Operand | Block, buffer: Owned, last: number): void {
    const place = { pool: 0, offset: 0, bytes: buffer.bytes };
    buffer.last = Math.max(buffer.last, last);
    buffer.places.push(place);
    this.places.set(owner, place);
    this.owners.set(owner, buffer);
  }

  private resident(key: string, make: () => TypedArray): Block {
    let bytes = this.residents.get(key);
    if (bytes === undefined) {
      const data = this.isDraft ? NOTHING : this.stored(make());
      bytes = words(data.byteLength);
      this.residents.set(key, bytes);
      this.constants.push({ key, data });
    }
    const block = { bytes };
    this.places.set(block, { resident: key, bytes });
    return block;
  }

  private stored(data: TypedArray): ArrayBufferView {
    return data instanceof Float32Array && this.precision === 'f16' ? toHalves(data) : data;
  }

  private call(made: GpuDispatch): GpuCall {
    const dispatch = this.hasHalves(made) ? withFlag(made) : made;
    const [reads, writes] = [dispatch.reads, dispatch.writes].map((list) => list.map((x) => this.place(x)));
    for (const y of dispatch.writes)
      for (const x of dispatch.reads) {
        const [to, from] = [this.owners.get(y), this.owners.get(x)];
        if (!to || !from) continue;
        invariant(to !== from, () => `${dispatch.shader} reads what it writes`);
        to.apart.add(from);
        from.apart.add(to);
      }
    const { threads, uniforms, shader } = dispatch;
    return {
      ...{ dispatch, reads: reads!, writes: writes! },
      uniforms: uniformsOf(threads, uniforms),
      groups: groupsOf(threads, shader),
    };
  }

  private hasHalves({ reads, writes }: GpuDispatch): boolean {
    return this.precision === 'f16' && [...reads, ...writes].some((x) => 'type' in x && x.type.dtype === 'f32');
  }

  /** Constants that shaders read as they are become resident when first named. */
  private place(x: Operand | Block): GpuPlace {
    const known = this.places.get(x);
    if (known) return known;
    invariant('type' in x && x.data, () => 'a dispatch names memory that is neither operand nor block');
    const { data } = x;
    const place = this.places.get(this.resident(`=${this.values.constantName(data)}`, () => data))!;
    this.places.set(x, place);
    return place;
  }

  /** Gives every buffer its pool and its offset; returns the pools' sizes. */
  private layOut(): number[] {
    const pools: Owned[][] = [];
    const poolOf = new Map<Owned, number>();
    for (const buffer of this.buffers) {
      const taken = new Set([...buffer.apart].map((other) => poolOf.get(other)));
      let pool = 0;
      while (taken.has(pool)) pool++;
      poolOf.set(buffer, pool);
      pools[pool] = [...(pools[pool] ?? []), buffer];
    }
    return pools.map((buffers, pool) => {
      const bytes = assignOffsets(buffers, OFFSET);
      for (const { places, offset } of buffers) for (const place of places) Object.assign(place, { pool, offset });
      return bytes;
    });
  }
}

const NOTHING = new Uint8Array(0);

/**
 * The dispatches of a plan for a graph whose constants have not arrived yet, as far as they do not depend on them: what is to be
 * compiled can be seen ahead. A node that cannot be planned without its constants is left out, and so are those after it.
 */
export function draftOf(graph: Graph, bindings: Bindings, gpu: GpuTraits, precision: Precision): GpuDispatch[] {
  const dispatches: GpuDispatch[] = [];
  try {
    const planner = new GpuPlanner(graph, bindings, gpu, new Map(), precision, true);
    for (const node of graph.nodes) for (const { dispatch } of planner.callsOf(node)) dispatches.push(dispatch);
  } catch {
    // The plan itself will say what is wrong, if anything is.
  }
  return dispatches;
}

/** Every shader that can be given tensors of f32 has the flag. */
const withFlag = (dispatch: GpuDispatch): GpuDispatch =>
  ({ ...dispatch, flags: { ...dispatch.flags, F16: true } }) as GpuDispatch;

/** The uniform block of these numbers. */
export function uniformsOf(threads: number, uniforms: readonly (number | Float)[]): Uint32Array<ArrayBuffer> {
  const block = new Uint32Array(1 + uniforms.length);
  const floats = new Float32Array(block.buffer);
  [threads, ...uniforms].forEach((x, i) => {
    if (typeof x === 'number') block[i] = x;
    else floats[i] = x.f32;
  });
  return block;
}

/** A row of workgroups, or several where there are more than fit. Throws MEMORY. */
export function groupsOf(threads: number, shader: string): [number, number] {
  const groups = Math.ceil(threads / WORKGROUP);
  const y = Math.ceil(groups / MOST_GROUPS);
  if (y > MOST_GROUPS || threads > 2 ** 32 - 2 ** 23)
    throw new WaferError('MEMORY', `${shader} has more work than a GPU takes at once`, { hint: 'use smaller inputs' });
  return [y > 1 ? MOST_GROUPS : groups, y];
}
