/**
 * Transposes sink: from a node's inputs to its output, until they meet their inverse, a graph output, or a node that
 * truly mixes the axes. Importers wrap every image operator in transposes to and from NHWC; this pass takes them out.
 *
 * Throughout, transpose by p means: axis i of the result is axis p[i] of the input.
 */
import { type Dim, exactDivide, multiply, sameDim } from '../../core/dim';
import { type Shape, sameShape } from '../../core/shape';
import type { Graph, Node, Value } from '../../graph/ir';
import { type Rule, rewrite, type Site } from '../../graph/rewrite';
import type { Attrs } from '../../ops/define';
import { composePerms, invertPerm, transposedName } from '../import/names';
import { channelsOf, madeBy } from './match';

export const sinkTransposes = (graph: Graph): Graph =>
  rewrite(
    graph,
    merged,
    throughElementwise(transposesOf(graph)),
    throughAxes,
    throughReduce,
    throughRows,
    throughReshape,
    pointwiseFirst,
    intoGemm,
    intoMatmul,
  );

/**
 * What is left once transposes have sunk as far as they go: those of graph inputs rise to them, over what is done to the
 * input first; moves of unit axes are reshapes, and reshapes merge.
 */
export const settleMoves = (graph: Graph): Graph => rewrite(graph, raised, unitMoves, reshapes);

const permOf = (x: Value | undefined): readonly number[] | undefined =>
  madeBy(x, 'transpose')?.attrs.perm as number[] | undefined;

const sourceOf = (x: Value): Value => x.producer!.inputs[0]!;

/** Element i of the list becomes element p[i]. */
function scatter<T>(list: readonly T[], p: readonly number[]): T[] {
  const moved = new Array<T>(list.length);
  list.forEach((v, i) => {
    moved[p[i]!] = v;
  });
  return moved;
}

/** True when transposing by `p` leaves the axes that are not 1 in their order. */
function movesOnlyUnits(shape: Shape, p: readonly number[]): boolean {
  const moved = p.filter((axis) => shape[axis] !== 1);
  return moved.every((axis, i) => i === 0 || axis > moved[i - 1]!);
}

/** The node over untransposed inputs, and its result transposed by `p`. */
const sunk = ({ node, emit, again }: Site, p: readonly number[], inputs: readonly (Value | undefined)[], attrs?: Attrs): Value =>
  emit('transpose', [again(inputs, attrs, transposedName(node.name, invertPerm(p)))], { perm: p });

const merged: Rule = ({ node, inputs: [x], emit }) => {
  if (node.op.name !== 'transpose') return undefined;
  const outer = node.attrs.perm as number[];
  const inner = permOf(x);
  if (outer.every((axis, i) => axis === i)) return x;
  if (!inner) return undefined;
  const perm = composePerms(inner, outer);
  return perm.every((axis, i) => axis === i) ? sourceOf(x!) : emit('transpose', [sourceOf(x!)], { perm });
};

const ELEMENTWISE = new Set(['unary', 'binary', 'select', 'cast', 'quantize', 'dequantize', 'concat']);

/** Operators that look at one element of each input at a time, and concat, which must move its axis besides. */
const throughElementwise =
  (transposes: ReadonlySet<string>): Rule =>
  (site) => {
    const { node, inputs } = site;
    if (!ELEMENTWISE.has(node.op.name)) return undefined;
    const rank = node.outputs[0]!.type.shape.length;
    const p = inputs.map(permOf).find((perm) => perm?.length === rank);
    if (!p) return undefined;
    const undo = invertPerm(p);
    const moved = inputs.map((x) => untransposed(site, x!, p, undo, transposes));
    if (moved.some((x) => !x)) return undefined;
    const attrs = node.op.name === 'concat' ? { axis: p[node.attrs.axis as number]! } : {};
    return sunk(site, p, moved, attrs);
  };

/** The transposes of a graph, as `name perm`. */
const transposesOf = (graph: Graph): ReadonlySet<string> =>
  new Set(graph.nodes.filter((n) => n.op.name === 'transpose').map((n) => transposeKey(n.inputs[0]!, n.attrs.perm as number[])));

const transposeKey = (x: Value, perm: readonly number[]): string => `${x.name} ${perm}`;

/** The value whose transpose by `p` is `x`, where that takes no work in the graph, or work that is done anyway. */
function untransposed(
  { emit, build }: Site,
  x: Value,
  p: readonly number[],
  undo: readonly number[],
  transposes: ReadonlySet<string>,
): Value | undefined {
  const own = permOf(x);
  if (own?.length === p.length && own.every((axis, i) => axis === p[i])) return sourceOf(x);
  const { shape } = x.type;
  if (shape.length === 0 || (x.data && x.data.length === 1 && shape.length < p.length)) return x;
  const full: Dim[] = [...new Array<Dim>(p.length - shape.length).fill(1), ...shape];
  if (!x.data && !movesOnlyUnits(full, undo) && !transposes.has(transposeKey(x, undo))) return undefined;
  const whole = x.data
    ? build.constant(x.name, { ...x.type, shape: full }, x.data)
    : shape.length === p.length
      ? x
      : emit('reshape', [x], { shape: full }, `${x.name}.full`);
  return emit('transpose', [whole], { perm: undo }, transposedName(x.name, undo));
}

/** Operators with one list of numbers an axis. */
const AXIS_LISTS: Readonly<Record<string, readonly string[]>> = {
  pad: ['before', 'after'],
  slice: ['starts', 'steps', 'size'],
  expand: ['shape'],
};

const throughAxes: Rule = (site) => {
  const { node, inputs } = site;
  const lists = AXIS_LISTS[node.op.name];
  const p = lists && permOf(inputs[0]);
  if (!p || node.outputs[0]!.type.shape.length !== p.length) return undefined;
  const attrs = Object.fromEntries(lists.map((name) => [name, scatter(node.attrs[name] as Dim[], p)]));
  return sunk(site, p, [sourceOf(inputs[0]!)], attrs);
};

const throughReduce: Rule = (site) => {
  const { node, inputs, emit, again } = site;
  const p = node.op.name === 'reduce' ? permOf(inputs[0]) : undefined;
  if (!p) return undefined;
  const axes = node.attrs.axes as number[];
  const moved = axes.map((axis) => p[axis]!).sort((a, b) => a - b);
  const x = sourceOf(inputs[0]!);
  if (node.attrs.keepdims) return sunk(site, p, [x], { axes: moved });
  const kept = p.filter((_, i) => !axes.includes(i));
  const order = [...kept].sort((a, b) => a - b);
  const perm = kept.map((axis) => order.indexOf(axis));
  return emit('transpose', [again([x], { axes: moved }, transposedName(node.name, invertPerm(perm)))], { perm });
};

/** Operators over rows along the last axis, where that stays the last. */
const throughRows: Rule = (site) => {
  const { node, inputs } = site;
  const p = ['softmax', 'layerNorm'].includes(node.op.name) ? permOf(inputs[0]) : undefined;
  return p && p.at(-1) === p.length - 1 ? sunk(site, p, [sourceOf(inputs[0]!), ...inputs.slice(1)]) : undefined;
};

/**
 * A reshape that splits and joins axes commutes with a transpose, as long as the axes that it joins lie side by side
 * before the transpose too. Where they do in another order (shuffled channels), that order is a transpose of its own.
 */
const throughReshape: Rule = ({ node, inputs: [x], emit }) => {
  const p = node.op.name === 'reshape' ? permOf(x) : undefined;
  if (!p) return undefined;
  const from = sourceOf(x!);
  const to = node.attrs.shape as Dim[];
  if (movesOnlyUnits(from.type.shape, p)) return emit('reshape', [from], { shape: to });
  const groups = matchAxes(x!.type.shape, to)?.map((g) => ({ from: g.from.map((axis) => p[axis]!), to: g.to }));
  if (!groups) return undefined;
  const wide = wideAxes(from.type.shape);
  const inner = p.map((_, axis) => axis);
  for (const group of groups) {
    const sorted = [...group.from].sort((i, j) => i - j);
    if (wide.indexOf(sorted.at(-1)!) - wide.indexOf(sorted[0]!) !== sorted.length - 1) return undefined;
    sorted.forEach((axis, k) => {
      inner[axis] = group.from[k]!;
    });
  }
  // The groups in the source's order take the places that wide axes have in the target.
  const places = wideAxes(to);
  const order = [...groups].sort((g, h) => Math.min(...g.from) - Math.min(...h.from)).flatMap((g) => g.to);
  const shape = [...to];
  const perm = to.map((_, axis) => axis);
  order.forEach((axis, k) => {
    shape[places[k]!] = to[axis]!;
    perm[axis] = places[k]!;
  });
  const isIdentity = (list: readonly number[]) => list.every((axis, i) => axis === i);
  if (isIdentity(perm) && !isIdentity(inner)) return undefined;
  const ordered = isIdentity(inner) ? from : emit('transpose', [from], { perm: inner }, `${node.name}.ordered`);
  return emit('transpose', [emit('reshape', [ordered], { shape }, `${node.name}.wide`)], { perm });
};

const wideAxes = (shape: Shape): number[] => shape.flatMap((d, axis) => (d === 1 ? [] : [axis]));

/** The least groups of axes that hold the same elements before and after a reshape; axes of size 1 are in none. */
function matchAxes(from: Shape, to: Shape): { from: number[]; to: number[] }[] | undefined {
  const [left, right] = [wideAxes(from), wideAxes(to)];
  const groups: { from: number[]; to: number[] }[] = [];
  while (left.length && right.length) {
    const group = { from: [left.shift()!], to: [right.shift()!] };
    let [p, q] = [from[group.from[0]!]!, to[group.to[0]!]!];
    while (!sameDim(p, q)) {
      const joins = exactDivide(q, p) !== undefined;
      const axis = joins ? left.shift() : exactDivide(p, q) === undefined ? undefined : right.shift();
      if (axis === undefined) return undefined;
      (joins ? group.from : group.to).push(axis);
      if (joins) p = multiply(p, from[axis]!);
      else q = multiply(q, to[axis]!);
    }
    groups.push(group);
  }
  return left.length || right.length ? undefined : groups;
}

/**
 * Functions of one element, and per-channel constants along the last axis, move before a reshape: to the product that
 * made what is reshaped. (A transposed convolution is a product whose channels are dealt out over pixels.)
 */
const pointwiseFirst: Rule = ({ node, inputs, only, emit, again, floats }) => {
  const name = `${node.name}.narrow`;
  for (const i of [0, 1]) {
    const reshape = only(i) ? madeBy(inputs[i], 'reshape') : undefined;
    const from = reshape?.inputs[0];
    if (!from || from.data) continue;
    const { shape } = node.outputs[0]!.type;
    if (node.op.name === 'unary') return emit('reshape', [again([from], {}, name)], { shape });
    const [channels, wide] = [shape.at(-1), from.type.shape.at(-1)];
    if (node.op.name !== 'binary' || typeof channels !== 'number' || typeof wide !== 'number') continue;
    const c = sameShape(shape, inputs[i]!.type.shape) && channelsOf(inputs[1 - i], channels, shape.length);
    if (!c || !isTail(shape, wide)) continue;
    const repeated = floats(
      [wide],
      Float32Array.from({ length: wide }, (_, k) => c[k % channels]!),
    );
    return emit('reshape', [again(i === 0 ? [from, repeated] : [repeated, from], {}, name)], { shape });
  }
  return undefined;
};

/** True when the last axes of `shape` have `size` elements together. */
function isTail(shape: Shape, size: number): boolean {
  let product = 1;
  for (const d of [...shape].reverse()) {
    if (product >= size || typeof d !== 'number') break;
    product *= d;
  }
  return product === size;
}

/** Flattening a transposed image before constant weights: the weights are permuted instead. */
const intoGemm: Rule = ({ node, inputs: [x, w, ...rest], again, build, emit }) => {
  const flatten = node.op.name === 'gemm' && w?.data ? madeBy(x, 'reshape') : undefined;
  const image = flatten?.inputs[0];
  const p = permOf(image);
  if (!p || !w?.data || p[0] !== 0 || x!.type.shape.length !== 2 || !sameDim(image!.type.shape[0]!, x!.type.shape[0]!))
    return undefined;
  const inner = image!.type.shape.slice(1);
  if (!inner.every((d) => typeof d === 'number')) return undefined;
  const [n] = w.type.shape as number[];
  const split = build.constant(w.name, { ...w.type, shape: [n!, ...inner] }, w.data);
  const permuted = emit('transpose', [split], { perm: invertPerm(p) }, `${w.name}.permuted`);
  const weights = emit('reshape', [permuted], { shape: w.type.shape }, `${w.name}.flat`);
  return again([emit('reshape', [sourceOf(image!)], { shape: x!.type.shape }, `${node.name}.flat`), weights, ...rest]);
};

/** A right operand whose last two axes are swapped. */
const intoMatmul: Rule = ({ node, inputs: [a, b], again }) => {
  const p = node.op.name === 'matmul' ? permOf(b) : undefined;
  if (!p) return undefined;
  const last = p.length - 1;
  const swaps = p.every((axis, i) => axis === (i === last ? last - 1 : i === last - 1 ? last : i));
  return swaps ? again([a, sourceOf(b!)], { transB: !node.attrs.transB }) : undefined;
};

/** A transpose over a pad or a function of a graph input, that nothing else reads. */
const raised: Rule = ({ node, inputs: [x], only, build, emit }) => {
  const before = node.op.name === 'transpose' && only(0) ? x!.producer : undefined;
  if (!before || !readsInput(before)) return undefined;
  const perm = node.attrs.perm as number[];
  const source = before.inputs[0]!;
  const moved = emit('transpose', [source], { perm }, transposedName(source.name, perm));
  const lists = (AXIS_LISTS[before.op.name] ?? []).map((name) => [
    name,
    perm.map((axis) => (before.attrs[name] as Dim[])[axis]!),
  ]);
  return build.node(before.op, node.name, [moved], { ...before.attrs, ...Object.fromEntries(lists) });
};

/** True when nothing but pads and functions lie between the node and a graph input. */
function readsInput({ op, inputs: [x] }: Node): boolean {
  return ['pad', 'unary', 'cast'].includes(op.name) && (x!.producer ? readsInput(x!.producer) : !x!.data);
}

const unitMoves: Rule = ({ node, inputs: [x], emit }) =>
  node.op.name === 'transpose' && movesOnlyUnits(x!.type.shape, node.attrs.perm as number[])
    ? emit('reshape', [x], { shape: node.outputs[0]!.type.shape })
    : undefined;

const reshapes: Rule = ({ node, inputs: [x], emit }) => {
  const before = node.op.name === 'reshape' ? madeBy(x, 'reshape') : undefined;
  return before && emit('reshape', before.inputs, { shape: node.attrs.shape! });
};
