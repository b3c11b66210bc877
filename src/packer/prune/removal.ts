/** Graphs without channels: physically, or with 0 in all constants that make them and read them. */
import type { Dim } from '../../core/dim';
import type { TypedArray } from '../../core/dtype';
import { elements, type StaticShape } from '../../core/shape';
import { Builder, type Graph, type Node, type Value } from '../../graph/ir';
import type { Attrs } from '../../ops/define';
import { type Axes, eachIndex } from './axes';
import type { Cut, Dependencies } from './dependencies';

/** By unit, whether it is removed. */
export type Removed = readonly boolean[];

/** Indices that stay. */
const keptOf = (labels: Int32Array, removed: Removed): number[] => [...labels.keys()].filter((i) => !removed[labels[i]!]);

/** `graph` without the removed units. No axis may lose all its indices. Unchanged constants are shared with `graph`. */
export function withoutChannels(graph: Graph, dependencies: Dependencies, removed: Removed): Graph {
  return rebuilt(graph, (copy, node) => {
    const cuts = (dependencies.cuts.get(node) ?? []).filter(({ labels }) => labels.some((label) => removed[label]));
    const inputs = node.inputs.map((x, i) => {
      const own = cuts.filter(({ input }) => input === i);
      if (!x?.data || own.length === 0) return x && copy.value(x);
      const key = own.map(({ axis, labels }) => `${axis}:${keptOf(labels, removed)}`).join(';');
      return copy.constant(x, key, () =>
        own.reduce((part, { axis, labels }) => taken(part, axis, keptOf(labels, removed)), { shape: shapeOf(x), data: x.data! }),
      );
    });
    const axesOf = (x: Value): Axes => dependencies.axes.get(x) ?? [];
    return copy.shortened(node, inputs, axesOf, removed, dependencies.wholeGroups.get(node));
  });
}

/** The same graph with 0 where constants make or read the removed units. */
export function withChannelsMasked(graph: Graph, dependencies: Dependencies, removed: Removed): Graph {
  return rebuilt(graph, (copy, node) => {
    const cuts = (dependencies.cuts.get(node) ?? []).filter((cut) => cut.isZeroed && cut.labels.some((label) => removed[label]));
    const inputs = node.inputs.map((x, i) => {
      const own = cuts.filter(({ input }) => input === i);
      if (!x?.data || own.length === 0) return x && copy.value(x);
      const key = own.map(({ axis, labels }) => `${axis}:${keptOf(labels, removed)}`).join(';');
      return copy.constant(x, key, () => ({ shape: shapeOf(x), data: zeroed(x, own, removed) }));
    });
    return copy.build.add(node.op, node.name, inputs, node.attrs);
  });
}

const shapeOf = (x: Value): StaticShape => x.type.shape as StaticShape;

interface Elements {
  shape: StaticShape;
  data: TypedArray;
}

/** The indices `kept` of an axis. */
function taken({ shape, data }: Elements, axis: number, kept: readonly number[]): Elements {
  const inner = elements(shape.slice(axis + 1));
  const outer = elements(shape.slice(0, axis));
  const made = new (data.constructor as { new (length: number): TypedArray })(outer * kept.length * inner);
  for (let o = 0; o < outer; o++)
    kept.forEach((index, i) => {
      const from = (o * shape[axis]! + index) * inner;
      made.set(data.subarray(from, from + inner), (o * kept.length + i) * inner);
    });
  return { shape: shape.with(axis, kept.length), data: made };
}

function zeroed(x: Value, cuts: readonly Cut[], removed: Removed): TypedArray {
  const data = x.data!.slice();
  for (const { axis, labels } of cuts)
    eachIndex(shapeOf(x), axis, (element, index) => {
      if (removed[labels[index]!]) data[element] = 0;
    });
  return data;
}

/** Copies a graph node by node: `add` gives the outputs that stand for a node's. */
export function rebuilt(graph: Graph, add: (copy: Copy, node: Node) => readonly Value[]): Graph {
  const copy = new Copy();
  for (const x of graph.inputs) copy.now.set(x, copy.build.input(x.name, x.type));
  for (const node of graph.nodes) {
    const made = add(copy, node);
    node.outputs.forEach((y, i) => copy.now.set(y, made[i]!));
  }
  return copy.build.finish(graph.outputs.map(({ name, value }) => ({ name, value: copy.value(value) })));
}

class Copy {
  readonly build = new Builder();
  readonly now = new Map<Value, Value>();
  private readonly constants = new Map<Value, Map<string, Value>>();

  value(x: Value): Value {
    let made = this.now.get(x);
    if (!made) this.now.set(x, (made = this.build.constant(x.name, x.type, x.data!)));
    return made;
  }

  /** A changed constant; made once for all nodes that change it alike, as `key` says. */
  constant(x: Value, key: string, make: () => Elements): Value {
    const known = this.constants.get(x) ?? new Map<string, Value>();
    this.constants.set(x, known);
    let made = known.get(key);
    if (!made) {
      const { shape, data } = make();
      known.set(key, (made = this.build.constant(x.name, { ...x.type, shape }, data)));
    }
    return made;
  }

  /** The node over shorter inputs, with attributes that say of sizes what is left. */
  shortened(
    node: Node,
    inputs: readonly (Value | undefined)[],
    axesOf: (x: Value) => Axes,
    removed: Removed,
    groups: Int32Array | undefined,
  ): readonly Value[] {
    const { op, name, attrs } = node;
    const again = (more: Attrs) => this.build.add(op, name, inputs, { ...attrs, ...more });
    const from = node.inputs[0] ? axesOf(node.inputs[0]) : [];
    const shorter = (axes: Axes, sizes: readonly Dim[]): Dim[] =>
      sizes.map((size, k) => (axes[k] ? keptOf(axes[k].labels, removed).length : size));
    switch (op.name) {
      case 'conv':
        return again(groups ? { group: keptOf(groups, removed).length } : {});
      case 'reshape':
      case 'expand':
        return again({ shape: shorter(axesOf(node.outputs[0]!), attrs.shape as readonly Dim[]) });
      case 'pad': {
        const to = axesOf(node.outputs[0]!);
        const part = (sizes: readonly Dim[], isEnd: boolean) =>
          sizes.map((size, k) => {
            const count = size as number;
            if (!to[k] || !count) return size;
            return keptOf(isEnd ? to[k].labels.slice(-count) : to[k].labels.slice(0, count), removed).length;
          });
        return again({
          before: part(attrs.before as readonly Dim[], false),
          after: part(attrs.after as readonly Dim[], true),
        });
      }
      case 'gather': {
        const labels = from[attrs.axis as number]?.labels;
        if (!labels) return again({});
        const indices = node.inputs[1]!;
        const kept = keptOf(labels, removed);
        const place = new Map(kept.map((index, i) => [index, i]));
        const data = [...indices.data!].flatMap((i) => place.get(i < 0 ? i + labels.length : i) ?? []);
        const list = this.build.constant(indices.name, { dtype: 'i32', shape: [data.length] }, Int32Array.from(data));
        return this.build.add(op, name, [inputs[0], list], attrs);
      }
      case 'slice':
        return this.sliced(node, inputs[0]!, from, removed);
      default:
        return again({});
    }
  }

  /** A slice of what is left; where that is no regular step any more, a gather. */
  private sliced(node: Node, x: Value, from: Axes, removed: Removed): readonly Value[] {
    const starts = [...(node.attrs.starts as readonly Dim[])];
    const steps = [...(node.attrs.steps as readonly number[])];
    const size = [...(node.attrs.size as readonly Dim[])];
    const picks: { axis: number; places: number[] }[] = [];
    from.forEach((axis, k) => {
      if (!axis) return;
      const kept = keptOf(axis.labels, removed);
      const place = new Map(kept.map((index, i) => [index, i]));
      const [start, step] = [starts[k] as number, steps[k]!];
      const places = Array.from({ length: size[k] as number }, (_, i) => place.get(start + i * step)).filter(
        (i) => i !== undefined,
      );
      const stride = places.length > 1 ? places[1]! - places[0]! : 1;
      const isRegular = places.every((at, i) => at === places[0]! + i * stride);
      [starts[k], steps[k], size[k]] = isRegular ? [places[0]!, stride, places.length] : [0, 1, kept.length];
      if (!isRegular) picks.push({ axis: k, places });
    });
    let y = this.build.add(node.op, node.name, [x], { starts, steps, size });
    for (const { axis, places } of picks) {
      const indices = this.build.numbers(`${node.name}.indices`, 'i32', [places.length], places);
      y = this.build.add('gather', node.name, [y[0], indices], { axis });
    }
    return y;
  }
}

/** Elements of all constants that nodes read, counted once each. */
export function parametersIn(graph: Graph): number {
  const seen = new Set<Value>();
  for (const { inputs } of graph.nodes) for (const x of inputs) if (x?.data) seen.add(x);
  return [...seen].reduce((sum, { data }) => sum + data!.length, 0);
}
