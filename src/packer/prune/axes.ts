/** Channels along axes, and what a reshape makes of them. */
import { type Dim, exactDivide, isStatic, multiply, sameDim } from '../../core/dim';
import { elements, type Shape, type StaticShape, stridesOf } from '../../core/shape';

/** The channels along one axis. */
export interface Axis {
  /** The unit of each index; -1 where there is none. */
  readonly labels: Int32Array;
  /** What a masked channel holds everywhere; undefined where that varies. */
  readonly rest: number | undefined;
}

/** By axis; undefined where nothing can be removed. */
export type Axes = readonly (Axis | undefined)[];

/** Axes of either side that hold the same elements. */
interface Part {
  from: [start: number, end: number];
  to: [start: number, end: number];
}

/** Cuts both shapes into as many parts as hold the same elements each. What is left where sizes cannot be told is no part. */
function partsOf(from: Shape, to: Shape): Part[] {
  const parts: Part[] = [];
  let [i, j] = [0, 0];
  while (i < from.length || j < to.length) {
    const start = [i, j] as const;
    let p: Dim = from[i++] ?? 1;
    let q: Dim = to[j++] ?? 1;
    while (!sameDim(p, q)) {
      const isLess = isStatic(p) && isStatic(q) ? p < q : exactDivide(q, p) !== undefined;
      if (isLess && i < from.length) p = multiply(p, from[i++]!);
      else if (!isLess && j < to.length) q = multiply(q, to[j++]!);
      else return parts;
    }
    parts.push({ from: [start[0], Math.min(i, from.length)], to: [start[1], Math.min(j, to.length)] });
  }
  return parts;
}

/** Elements of a part of a reshape that are followed one by one. */
const MOST_ELEMENTS = 2 ** 24;

/**
 * The axes of `to` for those of `from`. Where channels are spread over several axes, the one is taken along which most can be removed
 * apart, and those that share an index are joined; what cannot be told is pinned.
 */
export function reshapedAxes(
  from: Shape,
  to: Shape,
  axes: Axes,
  join: (a: number, b: number) => void,
  pin: (axis: Axis) => void,
): (Axis | undefined)[] {
  const made: (Axis | undefined)[] = to.map(() => undefined);
  const followed = new Set<Axis>();
  for (const part of partsOf(from, to)) {
    const [before, after] = [from.slice(...part.from), to.slice(...part.to)];
    const labelled = axes.slice(...part.from).flatMap((axis, k) => (axis ? [{ axis, k }] : []));
    const [only] = labelled;
    if (!only || labelled.length > 1 || after.length === 0) continue;
    if (before.length === 1 && after.length === 1) {
      made[part.to[0]] = only.axis;
      followed.add(only.axis);
      continue;
    }
    const count = elements([...before, ...after]);
    if (!isStatic(count) || elements(before as StaticShape) > MOST_ELEMENTS) continue;
    const labels = elementLabels(before as StaticShape, only.k, only.axis.labels);
    const taken = spread(labels, after as StaticShape);
    const own = new Int32Array(after[taken] as number).fill(-2);
    eachIndex(after as StaticShape, taken, (element, index) => {
      if (own[index] === -2) own[index] = labels[element]!;
      else join(own[index]!, labels[element]!);
    });
    made[part.to[0] + taken] = { ...only.axis, labels: own };
    followed.add(only.axis);
  }
  for (const axis of axes) if (axis && !followed.has(axis)) pin(axis);
  return made;
}

/** The label of each element, by its index on axis `k`. */
function elementLabels(shape: StaticShape, k: number, labels: Int32Array): Int32Array {
  const made = new Int32Array(elements(shape));
  eachIndex(shape, k, (element, index) => {
    made[element] = labels[index]!;
  });
  return made;
}

/** Visits all elements with their index on axis `k`. */
export function eachIndex(shape: StaticShape, k: number, visit: (element: number, index: number) => void): void {
  const stride = stridesOf(shape)[k]!;
  const size = shape[k]!;
  for (let element = 0, count = elements(shape); element < count; element++) visit(element, Math.floor(element / stride) % size);
}

/** The axis on which most labels stay apart when those that share an index are joined; of equal ones the last. */
function spread(labels: Int32Array, shape: StaticShape): number {
  let [best, most] = [shape.length - 1, 0];
  for (let k = shape.length - 1; k >= 0; k--) {
    const parents = new Map<number, number>();
    const find = (label: number): number => {
      let root = label;
      for (let up = parents.get(root); up !== undefined; up = parents.get(root)) root = up;
      return root;
    };
    const first = new Map<number, number>();
    eachIndex(shape, k, (element, index) => {
      const label = labels[element]!;
      const [a, b] = [find(first.get(index) ?? label), find(label)];
      first.set(index, a);
      if (a !== b) parents.set(b, a);
    });
    const apart = new Set([...first.values()].map(find)).size;
    if (apart > most) [best, most] = [k, apart];
  }
  return best;
}
