/**
 * From a graph and concrete input shapes to kernel calls with addresses. A plan is data: it knows how much memory it
 * needs before any is allocated. Memory has two regions: *resident* blocks hold constants in the layout that kernels
 * want, are made once a session and kept for all plans; the *arena* after them holds everything that lives during a run.
 */
import type { Bindings } from '../core/dim';
import { sizeOf, type TypedArray } from '../core/dtype';
import { invariant, located } from '../core/errors';
import type { StaticType, TensorType } from '../core/shape';
import { type Graph, type Node, nodeText } from '../graph/ir';
import type { Argument, Block, Dispatch, DotKind, Operand } from '../ops/define';
import type { KernelName } from '../ops/kernels.gen';
import { align, assignOffsets, type Buffer } from './arena';
import { bytesOf, Values } from './values';

/** Kernels may read this far past the end of an operand. */
const SLACK = 64;

/** Bytes of a constant that are in memory at a time while it is packed, where it can be packed in slices. */
const SLICE = 2 ** 20;

/** Two threads that write into the same piece of this size wait for each other's caches. */
const CACHE_LINE = 64;

/** An address: the offset counts from the start of its region. */
export interface Place {
  readonly region: 'resident' | 'arena';
  offset: number;
  readonly bytes: number;
  /** Bytes from one thread's block to the next, where each has its own. */
  readonly stride?: number;
}

/** A dispatch whose operands and blocks have places. */
export interface Call {
  readonly kernel: KernelName;
  readonly args: readonly (number | Place)[];
  readonly rows: number;
  readonly grain: number;
}

/** A value at the boundary of a run. Constants have data and no place. */
export interface Slot {
  readonly name: string;
  readonly type: StaticType;
  readonly place?: Place;
  readonly data?: TypedArray | undefined;
}

export interface PlannedNode {
  readonly node: Node;
  readonly outputs: readonly Slot[];
  readonly calls: readonly Call[];
}

/** A resident block, and how it gets its contents. */
export type Fill = { readonly key: string; readonly place: Place } & (
  | { readonly kind: 'copy'; readonly data: TypedArray; readonly type?: TensorType }
  /**
   * `call` packs the operands in `staged`, which lie after all resident blocks meanwhile: `step` rows at a time, for which the
   * place of one that is `sliced` holds the bytes that they read.
   */
  | { readonly kind: 'pack'; readonly call: Call; readonly staged: readonly Staged[]; readonly step: number }
);

/** The resident blocks that a node needs and the session does not have yet. */
export interface Added {
  /** In order. */
  readonly fills: readonly Fill[];
  /** End of the resident region with them. */
  readonly residentBytes: number;
  /** Arena bytes needed while they are made. */
  readonly stagingBytes: number;
  /** Ranges between them that nothing may write; only in guarded plans. */
  readonly guards: readonly Place[];
}

export interface Staged {
  readonly place: Place;
  readonly operand: Operand;
  readonly sliced: boolean;
}

/** Resident blocks by key, as far as a session has made them. */
export type Residents = ReadonlyMap<string, Place>;

export interface Plan {
  readonly bindings: Bindings;
  readonly inputs: readonly Slot[];
  readonly outputs: readonly Slot[];
  readonly nodes: readonly PlannedNode[];
  /** End of the resident region. */
  readonly residentBytes: number;
  /** Size of the arena, slack included. */
  readonly arenaBytes: number;
  /** Ranges that nothing may write; only in guarded plans. */
  readonly guards: readonly Place[];
}

export interface PlanOptions {
  dot: DotKind;
  /** Those that are there already. */
  residents: Residents;
  residentBytes: number;
  /** How many threads may run the calls at once, each with its own scratch. Default 1. */
  threads?: number;
  /** Gives every buffer bytes of its own with a guard range after each, so that stray writes show. For tests. */
  guard?: boolean;
}

/** Throws what operators throw for shapes that they cannot take, located at the node. */
export function makePlan(graph: Graph, bindings: Bindings, options: PlanOptions): Plan {
  const planner = new Planner(graph, bindings, options);
  for (const node of graph.nodes) planner.add(node);
  return planner.finish();
}

/** A buffer and the places that lie in it: a value, and those that alias it or took it over. */
interface Owned extends Buffer {
  readonly places: Place[];
}

/**
 * Makes a plan node by node: all nodes of the graph are added in order. What a node adds to the resident blocks needs the elements
 * of its own constants and no others. Throws what `makePlan` does.
 */
export class Planner {
  private readonly nodes: PlannedNode[] = [];
  private readonly values: Values;
  private readonly places = new Map<Operand | Block, Place>();
  private readonly buffers: Owned[] = [];
  /** Kernels that work in each scratch block. */
  private readonly users = new Map<Operand | Block, Dispatch>();
  private readonly bufferOf = new Map<Operand, Owned>();
  private readonly residents: Map<string, Place>;
  private readonly guards: Place[] = [];
  private fills: Fill[] = [];
  private residentBytes: number;
  private stagingBytes = 0;

  constructor(
    private readonly graph: Graph,
    private readonly bindings: Bindings,
    private readonly options: PlanOptions,
  ) {
    this.residents = new Map(options.residents);
    this.residentBytes = options.residentBytes;
    this.values = new Values(graph, bindings);
    for (const input of graph.inputs) this.own(this.values.operand(input), -1, this.values.lastUse(input, -1));
  }

  add(node: Node): Added {
    const guarded = this.guards.length;
    this.fills = [];
    this.stagingBytes = 0;
    this.nodes.push(located({ node: nodeText(node) }, () => this.node(node, this.nodes.length)));
    const { fills, residentBytes, stagingBytes } = this;
    return { fills, residentBytes, stagingBytes, guards: this.guards.slice(guarded) };
  }

  /** To be called when all nodes were added. */
  finish(): Plan {
    const { graph, nodes } = this;
    const outputs = graph.outputs.map(({ name, value }) => this.slot(name, this.values.operand(value)));
    const arenaBytes = this.layOut();
    return {
      bindings: this.bindings,
      inputs: graph.inputs.map((x) => this.slot(x.name, this.values.operand(x))),
      outputs,
      nodes,
      residentBytes: this.residentBytes,
      arenaBytes,
      guards: this.guards,
    };
  }

  private slot(name: string, operand: Operand): Slot {
    const place = this.places.get(operand);
    if (operand.data) return { name, type: operand.type, data: operand.data };
    invariant(place, () => `value ${name} has no place`);
    return { name, type: operand.type, place };
  }

  /** A buffer of its own for `operand`. */
  private own(operand: Operand, first: number, last: number): void {
    const buffer: Owned = { bytes: bytesOf(operand.type), first, last, offset: 0, places: [] };
    this.buffers.push(buffer);
    this.join(operand, buffer, last);
  }

  /** Puts `operand` into a buffer that is there already. */
  private join(operand: Operand, buffer: Owned, last: number): void {
    const place: Place = { region: 'arena', offset: 0, bytes: bytesOf(operand.type) };
    buffer.last = Math.max(buffer.last, last);
    buffer.places.push(place);
    this.places.set(operand, place);
    this.bufferOf.set(operand, buffer);
  }

  private node(node: Node, step: number): PlannedNode {
    const { op } = node;
    const { attrs, inputs, outputs } = this.values.visit(node);
    outputs.forEach((operand, i) => {
      if (operand.data) return;
      const last = this.values.lastUse(node.outputs[i]!, step);
      const host = op.alias ? this.bufferOf.get(inputs[0]!) : this.inplaceHost(node, inputs, operand.type, step);
      if (host) this.join(operand, host, last);
      else this.own(operand, step, last);
    });
    // Names of values are unique, those of nodes need not be.
    const own = node.outputs[0]!.name;
    const dispatches = op.wasm({
      inputs,
      outputs,
      attrs,
      dot: this.options.dot,
      scratch: (bytes) => this.scratch(bytes, step),
      intermediate: (bytes) => this.block(bytes, bytes, step),
      constant: (key, make) => this.constant(`${own}/${key}`, make),
      packed: (key, source, ...packing) => this.packed(`${own}/${key}`, source, ...packing),
    });
    return {
      node,
      outputs: outputs.map((y, i) => this.slot(node.outputs[i]!.name, y)),
      calls: dispatches.filter((d) => d.rows > 0).map((d) => this.call(d)),
    };
  }

  /** The buffer that the output may take over: that of an input which dies here and has as many elements of the same size. */
  private inplaceHost(node: Node, inputs: readonly (Operand | undefined)[], type: StaticType, step: number): Owned | undefined {
    for (const i of node.op.inplace ?? []) {
      const x = inputs[i];
      const buffer = x && this.bufferOf.get(x);
      if (!buffer || buffer.last > step || buffer.bytes !== bytesOf(type) || sizeOf(x.type.dtype) !== sizeOf(type.dtype))
        continue;
      if (inputs.some((other) => other && other !== x && this.bufferOf.get(other) === buffer)) continue;
      return buffer;
    }
    return undefined;
  }

  private scratch(bytes: number, step: number): Block {
    const { threads = 1 } = this.options;
    const stride = Math.ceil(bytes / CACHE_LINE) * CACHE_LINE;
    return this.block(bytes, threads > 1 ? threads * stride : bytes, step, stride);
  }

  /** A block of its own for one node, in a buffer of `taken` bytes. */
  private block(bytes: number, taken: number, step: number, stride?: number): Block {
    const block = { bytes };
    const place: Place = { region: 'arena', offset: 0, bytes, ...(stride === undefined ? {} : { stride }) };
    this.places.set(block, place);
    this.buffers.push({ bytes: taken, first: step, last: step, offset: 0, places: [place] });
    return block;
  }

  /** The resident block of this key, made by `fill` unless the session or this plan has it. */
  private resident(key: string, bytes: number, fill: (place: Place, block: Block) => Fill): Block {
    const block = { bytes };
    let place = this.residents.get(key);
    if (!place) {
      place = { region: 'resident', offset: this.residentBytes, bytes };
      this.residentBytes += this.guarded(place);
      this.residents.set(key, place);
      this.places.set(block, place);
      this.fills.push(fill(place, block));
    }
    this.places.set(block, place);
    return block;
  }

  private constant(key: string, make: () => TypedArray): Block {
    const known = this.residents.get(key);
    const data = known ? undefined : make();
    return this.resident(key, known?.bytes ?? data!.byteLength, (place) => ({ kind: 'copy', key, place, data: data! }));
  }

  private packed(key: string, source: Operand, bytes: number, dispatch: (packed: Block) => Dispatch, rowBytes?: number): Block {
    invariant(source.data, () => `${key} packs an operand that is no constant`);
    return this.resident(key, bytes, (place, block) => {
      const staged: Staged[] = [];
      let staging = 0;
      const { kernel, args, rows, grain = 1 } = dispatch(block);
      const step = rowBytes ? Math.min(rows, Math.max(1, Math.floor(SLICE / rowBytes))) : rows;
      const placed = args.map((arg) => {
        if (typeof arg === 'number') return arg;
        if (!('data' in arg && arg.data)) return this.place(arg);
        const sliced = arg === source && step < rows;
        const at: Place = { region: 'arena', offset: staging, bytes: sliced ? step * rowBytes! : arg.data.byteLength };
        staging += align(at.bytes);
        staged.push({ place: at, operand: arg, sliced });
        return at;
      });
      this.stagingBytes = Math.max(this.stagingBytes, staging + SLACK);
      return { kind: 'pack', key, place, call: { kernel, args: placed, rows, grain }, staged, step };
    });
  }

  private call(dispatch: Dispatch): Call {
    const { kernel, args, rows, grain = 1 } = dispatch;
    invariant(Number.isSafeInteger(rows), () => `${kernel} has ${rows} rows`);
    for (const arg of args) if (typeof arg !== 'number') this.checkScratch(arg, dispatch);
    return { kernel, args: args.map((arg) => (typeof arg === 'number' ? arg : this.place(arg))), rows, grain };
  }

  /** What a thread leaves in its scratch is lost to the others. */
  private checkScratch(arg: Exclude<Argument, number>, dispatch: Dispatch): void {
    if (this.places.get(arg)?.stride === undefined) return;
    const user = this.users.get(arg) ?? dispatch;
    this.users.set(arg, user);
    invariant(user === dispatch, () => `${user.kernel} and ${dispatch.kernel} share scratch, which must be an intermediate`);
  }

  /** Constants that kernels read directly become resident when first named. */
  private place(arg: Exclude<Argument, number>): Place {
    const known = this.places.get(arg);
    if (known) return known;
    invariant('type' in arg && arg.data, () => 'a dispatch names memory that is neither operand nor block');
    const { data, type } = arg;
    const key = `=${this.values.constantName(data)}`;
    const block = this.resident(key, data.byteLength, (place) => ({ kind: 'copy', key, place, data, type }));
    const place = this.places.get(block)!;
    this.places.set(arg, place);
    return place;
  }

  /** Gives every buffer its offset; returns the arena's size. */
  private layOut(): number {
    let total = 0;
    if (this.options.guard) {
      for (const buffer of this.buffers) {
        buffer.offset = total;
        total += this.guarded({ region: 'arena', offset: total, bytes: buffer.bytes });
      }
    } else total = assignOffsets(this.buffers);
    for (const buffer of this.buffers) for (const place of buffer.places) place.offset = buffer.offset;
    return total + SLACK;
  }

  /** Bytes that `place` takes up, with its guard in guarded plans. */
  private guarded({ region, offset, bytes }: Place): number {
    if (!this.options.guard) return align(bytes);
    this.guards.push({ region, offset: offset + bytes, bytes: SLACK });
    return align(bytes + SLACK);
  }
}
