/**
 * Which channels of a graph belong together. Every index of every axis carries a label, the channel that it is part of; labels are
 * followed through all nodes, by index, so that what concatenations, slices and reshapes do to them is exact. Nodes that can only
 * lose channels together join them to one unit; what cannot lose any pins them. Removing a unit is then to leave out every index
 * that carries it, of values and of constants alike.
 *
 * A removed unit is one of which nothing is made and nothing is read: in the graph that is masked instead, the constants that make it
 * (rows of weights, biases, factors and terms) and those that read it (columns of weights) are 0. What its values are in between does
 * not matter then, but for nodes that read channels across without weights; so that is followed too, as `rest`.
 */
import { type Dim, isStatic, sameDim } from '../../core/dim';
import { invariant } from '../../core/errors';
import type { Shape, StaticShape } from '../../core/shape';
import { type Graph, type Node, nodeText, type Value } from '../../graph/ir';
import type { Step } from '../../ops/define';
import { evaluateSteps } from '../../ops/steps';
import { evaluateOp, toReference } from '../evaluate/reference';
import { type Axes, type Axis, reshapedAxes } from './axes';

/** An axis of a constant that a node reads, and loses indices with the units that they carry. */
export interface Cut {
  readonly input: number;
  readonly axis: number;
  readonly labels: Int32Array;
  /** Whether the masked graph has 0 there. */
  readonly isZeroed: boolean;
}

/** Weights of which each index of an axis makes a channel. */
export interface Maker {
  readonly node: Node;
  readonly input: number;
  readonly axis: number;
  readonly labels: Int32Array;
}

/** A value that is read across channels, along an axis. */
export interface Reading {
  readonly value: Value;
  readonly axis: number;
  readonly labels: Int32Array;
}

export interface Unit {
  /** Why it is never removed. */
  readonly pinned?: string | undefined;
}

export interface Dependencies {
  readonly units: readonly Unit[];
  /** Of computed values. */
  readonly axes: ReadonlyMap<Value, Axes>;
  readonly cuts: ReadonlyMap<Node, readonly Cut[]>;
  /** Convolutions that lose whole groups: the unit of each group. */
  readonly wholeGroups: ReadonlyMap<Node, Int32Array>;
  readonly makers: readonly Maker[];
  readonly readings: readonly Reading[];
  /** Batch norms by the channels that they scale. */
  readonly norms: readonly { node: Node; labels: Int32Array }[];
}

/** Follows the channels of a graph of floats; batch norms may be those of training. */
export function dependenciesOf(graph: Graph): Dependencies {
  const tracker = new Tracker();
  for (const x of graph.inputs) tracker.axes.set(x, []);
  for (const node of graph.nodes) {
    const site = new Site(tracker, node);
    const rule = RULES[node.op.name];
    const made = rule?.(site);
    if (!made) node.inputs.forEach((_, i) => site.pinAll(i, `${nodeText(node)} reads it as a whole`));
    node.outputs.forEach((y, i) => tracker.axes.set(y, made?.[i] ?? []));
  }
  for (const { name, value } of graph.outputs)
    for (const axis of tracker.axes.get(value) ?? []) tracker.pin(axis, `it is part of the output "${name}"`);
  return tracker.finish();
}

/** Labels, joined as they are found to belong together. */
class Tracker {
  readonly axes = new Map<Value, Axes>();
  readonly cuts = new Map<Node, Cut[]>();
  readonly wholeGroups = new Map<Node, Int32Array>();
  readonly makers: Maker[] = [];
  readonly readings: Reading[] = [];
  readonly norms: { node: Node; labels: Int32Array }[] = [];
  private readonly parents: number[] = [];
  private readonly reasons = new Map<number, string>();

  fresh(count: number): Int32Array {
    const first = this.parents.length;
    for (let i = 0; i < count; i++) this.parents.push(first + i);
    return Int32Array.from({ length: count }, (_, i) => first + i);
  }

  find(label: number): number {
    let root = label;
    while (this.parents[root] !== root) root = this.parents[root]!;
    for (let at = label; at !== root; ) [this.parents[at], at] = [root, this.parents[at]!];
    return root;
  }

  /** A label may be -1, which pins the other. */
  join(a: number, b: number, why: string): void {
    if (a < 0 && b < 0) return;
    if (a < 0 || b < 0) {
      this.pinLabel(Math.max(a, b), why);
      return;
    }
    const [p, q] = [this.find(a), this.find(b)];
    if (p === q) return;
    const reason = this.reasons.get(p) ?? this.reasons.get(q);
    this.parents[q] = p;
    if (reason !== undefined) this.reasons.set(p, reason);
  }

  pinLabel(label: number, why: string): void {
    if (label < 0) return;
    const root = this.find(label);
    if (!this.reasons.has(root)) this.reasons.set(root, why);
  }

  pin(axis: Axis | undefined, why: string): void {
    for (const label of axis?.labels ?? []) this.pinLabel(label, why);
  }

  /** Numbers units from 0 on, and every label by its unit. */
  finish(): Dependencies {
    const units: Unit[] = [];
    const numbers = new Map<number, number>();
    const unitOf = (label: number): number => {
      const root = this.find(label);
      let unit = numbers.get(root);
      if (unit === undefined) {
        numbers.set(root, (unit = units.length));
        units.push({ pinned: this.reasons.get(root) });
      }
      return unit;
    };
    const resolved = new Map<Int32Array, Int32Array>();
    const resolve = (labels: Int32Array): Int32Array => {
      let made = resolved.get(labels);
      if (!made) resolved.set(labels, (made = labels.map((label) => (label < 0 ? -1 : unitOf(label)))));
      return made;
    };
    const all = <T extends { labels: Int32Array }>(list: readonly T[]): T[] =>
      list.map((entry) => ({ ...entry, labels: resolve(entry.labels) }));
    return {
      makers: all(this.makers),
      readings: all(this.readings),
      norms: all(this.norms),
      cuts: new Map([...this.cuts].map(([node, cuts]) => [node, all(cuts)])),
      wholeGroups: new Map([...this.wholeGroups].map(([node, labels]) => [node, resolve(labels)])),
      axes: new Map([...this.axes].map(([value, axes]) => [value, axes.map((axis) => axis && all([axis])[0])])),
      units,
    };
  }
}

/** One node, as its rule sees it. */
class Site {
  readonly where: string;

  constructor(
    private readonly tracker: Tracker,
    readonly node: Node,
  ) {
    this.where = nodeText(node);
  }

  get attrs() {
    return this.node.attrs;
  }

  value(i: number): Value | undefined {
    return this.node.inputs[i];
  }

  isConstant(i: number): boolean {
    return this.value(i)?.data !== undefined;
  }

  shape(i: number): Shape {
    return this.value(i)!.type.shape;
  }

  /** Of a computed input; nothing of a constant. */
  axes(i: number): Axes {
    const x = this.value(i);
    return (x && this.tracker.axes.get(x)) ?? [];
  }

  fresh(count: number): Int32Array {
    return this.tracker.fresh(count);
  }

  pin(axis: Axis | undefined, why: string): void {
    this.tracker.pin(axis, why);
  }

  pinAll(i: number, why: string): void {
    for (const axis of this.axes(i)) this.pin(axis, why);
  }

  pinLabel(label: number, why: string): void {
    this.tracker.pinLabel(label, why);
  }

  join(a: number, b: number, why = `${this.where} needs it beside channels that stay`): void {
    this.tracker.join(a, b, why);
  }

  /** The labels of both, index by index, as one; where one has none the other is pinned. */
  together(a: Int32Array | undefined, b: Int32Array | undefined): Int32Array | undefined {
    const labels = a ?? b;
    labels?.forEach((_, i) => this.join(a?.[i] ?? -1, b?.[i] ?? -1));
    return a && b ? a : undefined;
  }

  cut(input: number, axis: number, labels: Int32Array | undefined, isZeroed: boolean): void {
    if (!labels) return;
    invariant(this.shape(input)[axis] === labels.length, () => `${this.where} has other channels than its constant ${input}`);
    const { cuts } = this.tracker;
    cuts.set(this.node, [...(cuts.get(this.node) ?? []), { input, axis, labels, isZeroed }]);
  }

  makes(input: number, axis: number, labels: Int32Array): void {
    this.tracker.makers.push({ node: this.node, input, axis, labels });
    this.cut(input, axis, labels, true);
  }

  reads(input: number, axis: number, labels: Int32Array | undefined): void {
    if (labels && !this.isConstant(input)) this.tracker.readings.push({ value: this.value(input)!, axis, labels });
  }

  scales(labels: Int32Array): void {
    this.tracker.norms.push({ node: this.node, labels });
  }

  losesGroups(labels: Int32Array): void {
    this.tracker.wholeGroups.set(this.node, labels);
  }

  /** The axis with masked channels of another value; a value that is no number pins them. */
  resting(axis: Axis | undefined, rest: number | undefined): Axis | undefined {
    if (!axis) return undefined;
    const isNumber = rest === undefined || Number.isFinite(rest);
    if (!isNumber) this.pin(axis, `${this.where} makes no number of a channel that is masked`);
    return { ...axis, rest: isNumber ? rest : undefined };
  }
}

/** The axes of each output; undefined where channels cannot be followed. */
type NodeRule = (site: Site) => readonly Axes[] | undefined;

const kept = (axis: Axis | undefined): Axis | undefined => axis;
/** For nodes that give 0 where they are given nothing but zeros. */
const zeroOnly = (axis: Axis | undefined): Axis | undefined => axis && { ...axis, rest: axis.rest === 0 ? 0 : undefined };
const varying = (axis: Axis | undefined): Axis | undefined => axis && { ...axis, rest: undefined };

const lastOf = (axes: Axes, rank: number): Axis | undefined => axes[rank - 1];

/** Pins all axes but those that `passes` says go through, which `become` maps. */
function through(
  site: Site,
  passes: (axis: number) => boolean,
  become: (axis: Axis | undefined) => Axis | undefined,
  why = `${site.where} computes across its channels`,
): (Axis | undefined)[] {
  return site.shape(0).map((_, k) => {
    const axis = site.axes(0)[k];
    if (passes(k)) return become(axis);
    site.pin(axis, why);
    return undefined;
  });
}

/** What operands have where channels are masked: their value, all elements of a constant, or undefined where it varies. */
type Resting = readonly (number | ArrayLike<number> | undefined)[];

/**
 * The axes of a result of which operands are broadcast to `shape`, but for the last `besides` axes of each and for axis `except`. Constants
 * are cut, and 0 in the masked graph where `isZeroed`.
 */
function broadcastAxes(
  site: Site,
  operands: readonly number[],
  shape: Shape,
  restOf: (values: Resting) => number | undefined,
  { isZeroed = false, besides = 0, except = -1 } = {},
): (Axis | undefined)[] {
  const at = (i: number, k: number): number => k - shape.length + site.shape(i).length - besides;
  return shape.map((size, k) => {
    if (k === except) return undefined;
    const present = operands.filter((i) => at(i, k) >= 0);
    let labels: Int32Array | undefined;
    const on = new Map<number, Axis>();
    const computed = present.filter((i) => {
      if (site.isConstant(i)) return false;
      const axis = site.axes(i)[at(i, k)];
      if (site.shape(i)[at(i, k)] !== 1 || size === 1) return true;
      site.pin(axis, `${site.where} repeats it along other channels`);
      return false;
    });
    computed.forEach((i, n) => {
      const axis = site.axes(i)[at(i, k)];
      if (axis) on.set(i, axis);
      labels = n === 0 ? axis?.labels : site.together(labels, axis?.labels);
    });
    if (!labels) return undefined;
    const values = operands.map((i) => {
      if (!site.isConstant(i)) return on.get(i)?.rest;
      const axis = at(i, k);
      if (axis < 0 || site.shape(i)[axis] !== size) return site.value(i)!.data!;
      site.cut(i, axis, labels, isZeroed);
      return isZeroed ? 0 : site.value(i)!.data!;
    });
    return site.resting({ labels, rest: undefined }, restOf(values));
  });
}

/** Elementwise functions of which a masked constant makes nothing of a masked channel. */
const LINEAR = new Set(['add', 'sub', 'mul']);

/** What a binary node makes of masked channels. What varies is tried as 1, to see whether numbers come out at all. */
function binaryRest({ op, attrs, inputs }: Node, values: Resting): number | undefined {
  const tensors = values.map((v, i) => {
    const data = v === undefined ? [1] : typeof v === 'number' ? [v] : v;
    return toReference({ dtype: inputs[i]!.type.dtype, shape: [data.length] }, data);
  });
  const { data } = evaluateOp(op, tensors, attrs)[0]!;
  const strange = data.find((v) => !Number.isFinite(v));
  if (strange !== undefined) return strange;
  const isZero = attrs.fn === 'mul' && values.includes(0);
  if (values.includes(undefined) && !isZero) return undefined;
  return data.every((v) => v === data[0]) ? data[0] : undefined;
}

/** What a product makes of masked channels: nothing, and what comes in besides, under its activation. */
const activated = (site: Site, sum: number | undefined): number | undefined =>
  sum === undefined ? undefined : evaluateSteps(site.attrs.act as readonly Step[], sum);

/** A product's new channels along its last axis, with its bias and what is added. `outer`: the axes before the last. */
function productAxes(site: Site, labels: Int32Array, outer: Axes, rank: number): (Axis | undefined)[] {
  const made: (Axis | undefined)[] = Array.from({ length: rank }, (_, k) => (k === rank - 1 ? { labels, rest: 0 } : outer[k]));
  if (site.value(2)) site.cut(2, 0, labels, true);
  const residual = site.value(4);
  return made.map((axis, k) => {
    const isLast = k === rank - 1;
    if (!residual) return site.resting(axis, isLast ? activated(site, 0) : undefined);
    if (site.isConstant(4)) {
      site.cut(4, k, axis?.labels, true);
      return site.resting(axis, isLast ? activated(site, 0) : undefined);
    }
    const other = site.axes(4)[k];
    const both = site.together(axis?.labels, other?.labels);
    return both && site.resting({ labels: both, rest: 0 }, isLast ? activated(site, other!.rest) : undefined);
  });
}

const conv: NodeRule = (site) => {
  if (!site.isConstant(1)) return undefined;
  const [count, , , depth] = site.shape(1) as StaticShape as [number, number, number, number];
  const group = site.attrs.group as number;
  const labels = site.fresh(count);
  const x = site.axes(0)[3]?.labels;
  through(site, (k) => k === 3, kept, `${site.where} slides along it`);
  site.makes(1, 0, labels);
  site.reads(0, 3, x);
  const each = count / group;
  if (group === 1) site.cut(1, 3, x, true);
  else if (group >= depth && (x || each === 1)) {
    // Depthwise convolutions among them: a group goes with its inputs and outputs.
    const groups = labels.filter((_, k) => k % each === 0);
    for (let k = 0; k < count; k++) site.join(groups[Math.floor(k / each)]!, labels[k]!);
    for (let c = 0; c < group * depth; c++) site.join(groups[Math.floor(c / depth)]!, x?.[c] ?? -1);
    site.losesGroups(groups);
  } else {
    // The same places of every group.
    for (let k = each; k < count; k++) site.join(labels[k % each]!, labels[k]!);
    x?.forEach((label, c) => site.join(x[c % depth]!, label));
    site.cut(1, 3, x?.subarray(0, depth), true);
  }
  return [productAxes(site, labels, [], 4)];
};

const gemm: NodeRule = (site) => {
  if (!site.isConstant(1)) return undefined;
  const rank = site.shape(0).length;
  const labels = site.fresh(site.shape(1)[0] as number);
  const x = lastOf(site.axes(0), rank)?.labels;
  site.makes(1, 0, labels);
  site.cut(1, 1, x, true);
  site.reads(0, rank - 1, x);
  const outer = site.axes(0).slice(0, -1).map(varying);
  return [productAxes(site, labels, outer, rank)];
};

const matmul: NodeRule = (site) => {
  const { transB } = site.attrs;
  const [p, q] = [site.shape(0).length, site.shape(1).length];
  // Axes of a and b that are summed over, and those that are left of each.
  const [innerA, innerB] = [p - 1, transB ? q - 1 : q - 2];
  const [outerA, outerB] = [p - 2, transB ? q - 2 : q - 1];
  const [a, b] = [site.axes(0)[innerA], site.axes(1)[innerB]];
  if (site.isConstant(0) && site.isConstant(1)) return undefined;
  if (site.isConstant(1)) site.cut(1, innerB, a?.labels, true);
  else if (site.isConstant(0)) site.cut(0, innerA, b?.labels, true);
  else if (a?.rest === 0 || b?.rest === 0) site.together(a?.labels, b?.labels);
  else for (const axis of [a, b]) site.pin(axis, `${site.where} would sum what masked channels hold`);
  site.reads(0, innerA, a?.labels);
  site.reads(1, innerB, b?.labels);
  const outer = (i: number, axis: number): Axis | undefined => {
    if (!site.isConstant(i)) return site.axes(i)[axis];
    const labels = site.fresh(site.shape(i)[axis] as number);
    site.makes(i, axis, labels);
    return { labels, rest: 0 };
  };
  const shape = site.node.outputs[0]!.type.shape;
  const batch = broadcastAxes(
    site,
    [0, 1],
    shape.slice(0, -2),
    (values) => (values.includes(0) ? activated(site, 0) : undefined),
    { besides: 2 },
  );
  const sums = [outer(0, outerA), outer(1, outerB)].map((axis) =>
    site.resting(axis, axis?.rest === 0 ? activated(site, 0) : undefined),
  );
  return [[...batch, ...sums]];
};

/** A function of each element alone; channels stay where they are. */
const alone =
  (become: (axis: Axis | undefined, site: Site) => Axis | undefined): NodeRule =>
  (site) => [site.axes(0).map((axis) => become(axis, site))];

const unary: NodeRule = alone(
  (axis, site) =>
    axis &&
    site.resting(axis, axis.rest === undefined ? undefined : evaluateSteps(site.attrs.steps as readonly Step[], axis.rest)),
);

const binary: NodeRule = (site) => [
  broadcastAxes(site, [0, 1], site.node.outputs[0]!.type.shape, (values) => binaryRest(site.node, values), {
    isZeroed: LINEAR.has(site.attrs.fn as string),
  }),
];

const select: NodeRule = (site) => [
  broadcastAxes(site, [0, 1, 2], site.node.outputs[0]!.type.shape, ([, a, b]) =>
    typeof a === 'number' && a === b ? a : undefined,
  ),
];

const batchNorm: NodeRule = (site) => {
  const rank = site.shape(0).length;
  const axis = lastOf(site.axes(0), rank);
  through(site, (k) => k === rank - 1, kept);
  if (!axis) return [[], [], []];
  for (const input of [1, 2, 3, 4]) site.cut(input, 0, axis.labels, input < 3);
  site.scales(axis.labels);
  const made = { labels: axis.labels, rest: 0 };
  return [
    [
      ...site
        .axes(0)
        .slice(0, -1)
        .map(() => undefined),
      made,
    ],
    [varying(made)],
    [varying(made)],
  ];
};

/** Images that windows or positions are taken of. */
const image: NodeRule = (site) => [through(site, (k) => k === 3, zeroOnly)];

/** What reads its last axis as a whole. */
const acrossLast: NodeRule = (site) => [through(site, (k) => k < site.shape(0).length - 1, varying)];

/** Sums that channels of 0 do not change. */
const SUMS = new Set(['sum', 'l1', 'l2', 'sumSquare']);

const reduce: NodeRule = (site) => {
  const { fn, axes, keepdims } = site.attrs as { fn: string; axes: readonly number[]; keepdims: boolean };
  if (fn.startsWith('log')) return undefined;
  const become = ['mean', 'max', 'min'].includes(fn) ? kept : zeroOnly;
  const isSummed = (k: number) => axes.includes(k) && SUMS.has(fn) && site.axes(0)[k]?.rest === 0;
  const passed = through(site, (k) => !axes.includes(k) || isSummed(k), become);
  for (const k of axes) if (isSummed(k)) site.reads(0, k, site.axes(0)[k]!.labels);
  return [passed.map((axis, k) => (axes.includes(k) ? undefined : axis)).filter((_, k) => keepdims || !axes.includes(k))];
};

const transpose: NodeRule = (site) => [(site.attrs.perm as readonly number[]).map((k) => site.axes(0)[k])];

const reshape: NodeRule = (site) => [
  reshapedAxes(
    site.shape(0),
    site.node.outputs[0]!.type.shape,
    site.axes(0),
    (a, b) => site.join(a, b),
    (axis) => site.pin(axis, `${site.where} mixes its axis with others`),
  ),
];

const expand: NodeRule = (site) => {
  const shape = site.node.outputs[0]!.type.shape;
  const given = site.shape(0);
  const added = shape.length - given.length;
  const isSame = (k: number) => sameDim(given[k]!, shape[k + added]!);
  const passed = through(site, isSame, kept, `${site.where} repeats it along other channels`);
  return [[...Array.from({ length: added }, () => undefined), ...passed]];
};

const concat: NodeRule = (site) => {
  const axis = site.attrs.axis as number;
  const { inputs, outputs } = site.node;
  const { shape } = outputs[0]!.type;
  const operands = inputs.map((_, i) => i);
  return [broadcastAxes(site, operands, shape, sameRest, { except: axis }).with(axis, joined(site, axis, shape[axis]!))];
};

/** The axis that is `size` long on which all inputs lie one after the other. */
function joined(site: Site, axis: number, size: Dim): Axis | undefined {
  const { inputs } = site.node;
  const parts = inputs.map((_, i) => site.axes(i)[axis]);
  if (!isStatic(size) || parts.every((part) => !part)) {
    for (const part of parts) site.pin(part, `${site.where} joins it with an axis of free size`);
    return undefined;
  }
  const labels = inputs.flatMap((_, i) => {
    const count = site.shape(i)[axis] as number;
    if (!site.isConstant(i)) return [...(parts[i]?.labels ?? new Int32Array(count).fill(-1))];
    const own = site.fresh(count);
    site.cut(i, axis, own, false);
    return [...own];
  });
  const rests = parts.filter((part) => part !== undefined).map(({ rest }) => rest);
  const isAlike = inputs.every((_, i) => !site.isConstant(i)) && rests.every((rest) => rest === rests[0]);
  return { labels: Int32Array.from(labels), rest: isAlike ? rests[0] : undefined };
}

const sameRest = (values: Resting): number | undefined => {
  const [first] = values;
  return typeof first === 'number' && values.every((v) => v === first) ? first : undefined;
};

const slice: NodeRule = (site) => {
  const { starts, steps, size } = site.attrs as { starts: Shape; steps: readonly number[]; size: Shape };
  return [
    site.axes(0).map((axis, k) => {
      const [start, count] = [starts[k]!, size[k]!];
      if (!axis) return undefined;
      if (isStatic(start) && isStatic(count))
        return { ...axis, labels: Int32Array.from({ length: count }, (_, i) => axis.labels[start + i * steps[k]!]!) };
      site.pin(axis, `${site.where} takes a part of it whose size is free`);
      return undefined;
    }),
  ];
};

const pad: NodeRule = (site) => {
  const { before, after, mode, value } = site.attrs as { before: Shape; after: Shape; mode: string; value: number };
  return [
    site.axes(0).map((axis, k) => {
      const [front, back] = [before[k]!, after[k]!];
      if (!axis || (front === 0 && back === 0)) return isPadded(site) && mode === 'constant' ? merged(axis, value) : axis;
      if (!isStatic(front) || !isStatic(back) || mode !== 'constant') {
        site.pin(axis, `${site.where} pads it with channels that are there`);
        return undefined;
      }
      const labels = Int32Array.from([...site.fresh(front), ...axis.labels, ...site.fresh(back)]);
      return merged({ ...axis, labels }, value);
    }),
  ];
};

const isPadded = ({ attrs }: Site): boolean => [attrs.before, attrs.after].some((list) => (list as Shape).some((d) => d !== 0));

/** The axis where masked channels may hold `value` besides. */
const merged = (axis: Axis | undefined, value: number): Axis | undefined =>
  axis && { ...axis, rest: axis.rest === value ? value : undefined };

const gather: NodeRule = (site) => {
  const axis = site.attrs.axis as number;
  const shape = site.shape(0);
  const indices = site.value(1)!;
  if (site.isConstant(0)) {
    // A table of vectors makes channels.
    const last = shape.length - 1;
    if (axis === last) return [[]];
    const labels = site.fresh(shape[last] as number);
    site.makes(0, last, labels);
    const rank = site.node.outputs[0]!.type.shape.length;
    return [Array.from({ length: rank }, (_, k) => (k === rank - 1 ? { labels, rest: 0 } : undefined))];
  }
  const isPicked = indices.data !== undefined && indices.type.shape.length === 1;
  const passed = through(site, (k) => k !== axis || isPicked, kept, `${site.where} takes parts of it that are not known`);
  const taken = passed[axis];
  const count = shape[axis];
  const picked = taken && {
    ...taken,
    labels: Int32Array.from(indices.data!, (i) => taken.labels[i < 0 ? i + (count as number) : i]!),
  };
  const inside = indices.type.shape.map((_, k) => (k === 0 ? picked : undefined));
  return [[...passed.slice(0, axis), ...inside, ...passed.slice(axis + 1)]];
};

const argmax: NodeRule = (site) => {
  const { axis, keepdims } = site.attrs as { axis: number; keepdims: boolean };
  const passed = through(site, (k) => k !== axis, varying);
  return [passed.filter((_, k) => keepdims || k !== axis)];
};

const cumsum: NodeRule = (site) => [through(site, (k) => k !== site.attrs.axis, zeroOnly)];

const RULES: Readonly<Record<string, NodeRule>> = {
  ...{
    conv,
    gemm,
    matmul,
    unary,
    binary,
    select,
    batchNorm,
    reduce,
    transpose,
    reshape,
    expand,
    concat,
    slice,
    pad,
    gather,
    argmax,
  },
  ...{ cumsum, pool: image, resize: image, softmax: acrossLast, layerNorm: acrossLast, cast: alone(zeroOnly) },
};
