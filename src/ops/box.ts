/**
 * Strided box copies: what transpose, slice, concat, pad and expand are made of. A box is visited in two tensors at
 * once, each with its own offset and strides, in elements; a source stride may be 0 (repeat) or negative (reverse).
 * Axes are dropped and merged as far as both views allow, so a kernel is chosen for what really has to be moved.
 */
import { sizeOf } from '../core/dtype';
import { stridesOf } from '../core/shape';
import type { Argument, Block, Dispatch, GpuDispatch, Operand } from './define';

/** Where a box lies in a tensor. */
export interface View {
  readonly offset: number;
  readonly strides: readonly number[];
}

interface Axis {
  n: number;
  /** Source and target strides in bytes. */
  s: number;
  t: number;
}

/** A box of merged axes and where it begins in both tensors, in bytes. */
interface Box {
  readonly xo: number;
  readonly yo: number;
  readonly axes: readonly Axis[];
}

/** Axes that a kernel takes; the shader takes one of them apart. */
const RANK = 6;
/** Axes that most boxes have, for which the shader is faster. */
const FEW = 3;
/** Bytes of a row of `x8_copy`. */
const CHUNK = 4096;
/** Elements that make a row of the other kernels worth its overhead. */
const ROW = 2048;
/** Tiles of the transposing kernels start at whole cache lines of the source. */
const LINE = 64;
/** Elements that an invocation of the shader moves. */
const MOVES = 4;

/** Bytes of the elements that shaders move, the most first, and the flags that say so. */
const UNITS = [
  { unit: 16, flags: { WIDE: true } },
  { unit: 4, flags: {} },
  { unit: 1, flags: { BYTES: true } },
] as const;

/** The largest elements that all these numbers of bytes are whole numbers of. */
export const unitOf = (...bytes: readonly number[]) => UNITS.find(({ unit }) => bytes.every((n) => n % unit === 0))!;

/** y[to + i·to.strides] = x[from + i·from.strides] for every index i of the box, by elements of `bytes` bytes. */
export function copyBox(x: Argument, from: View, y: Argument, to: View, size: readonly number[], bytes: number): Dispatch[] {
  return boxesOf(from, to, size, bytes, RANK).map((box) => copyAxes(x, y, box, bytes));
}

function copyAxes(x: Argument, y: Argument, { xo, yo, axes }: Box, bytes: number): Dispatch {
  const { last, contiguous, across } = layoutOf(axes, bytes);
  if (contiguous && axes.length < 2) {
    const length = last.n * bytes;
    return { kernel: 'x8_copy', args: [x, xo, y, yo, length], rows: Math.ceil(length / CHUNK) };
  }
  const ordered = across < 0 ? axes : [...axes.toSpliced(across, 1).slice(0, -1), axes[across]!, last];
  const padded = [...Array.from({ length: RANK - axes.length }, () => ({ n: 1, s: 0, t: 0 })), ...ordered];
  const [a, b, c, d, e, f] = padded as [Axis, Axis, Axis, Axis, Axis, Axis];
  const wide = bytes === 4 ? 'x32' : 'x8';
  const kernel = contiguous ? 'x8_lines' : across < 0 ? (`${wide}_strided` as const) : (`${wide}_transpose` as const);
  const tile = Math.ceil(ROW / f.n / (across < 0 ? 1 : LINE)) * (across < 0 ? 1 : LINE);
  return {
    kernel,
    args: [
      ...[x, xo, y, yo, b.n, c.n, d.n, e.n, contiguous ? f.n * bytes : f.n, tile],
      ...padded.map((axis) => axis.s),
      ...padded.map((axis) => axis.t),
    ],
    rows: a.n * b.n * c.n * d.n * Math.ceil(e.n / tile),
  };
}

/** All of y from a view of x. */
export const copyView = (x: Operand, from: View, y: Operand): Dispatch[] =>
  copyBox(x, from, y, whole(y), y.type.shape, sizeOf(y.type.dtype));

/** As `copyView`, on a GPU. */
export const moveView = (x: Operand, from: View, y: Operand): GpuDispatch[] =>
  moveBox(x, from, y, whole(y), y.type.shape, sizeOf(y.type.dtype));

/** A tensor as it lies. */
export const whole = ({ type }: Operand): View => ({ offset: 0, strides: stridesOf(type.shape) });

type Memory = Operand | Block;

/** As `copyBox`, on a GPU. Strides of `to` fall from axis to axis, as those of a dense tensor do. */
export function moveBox(x: Memory, from: View, y: Memory, to: View, size: readonly number[], bytes: number): GpuDispatch[] {
  return boxesOf(from, to, size, bytes, RANK - 1).map((box) => moveAxes(x, y, box, bytes));
}

function moveAxes(x: Memory, y: Memory, { xo, yo, axes }: Box, bytes: number): GpuDispatch {
  const { last, contiguous, across } = layoutOf(axes, bytes);
  const before = axes.slice(0, -1);
  const { unit, flags } = unitOf(xo, yo, ...before.flatMap(({ s, t }) => [s, t]), contiguous ? last.n * bytes : bytes);
  const move = (list: readonly Axis[], threads: number, ...more: number[]): GpuDispatch => {
    const AXES = list.length > FEW ? RANK : FEW;
    const numbers = Array.from({ length: AXES }, (_, i) => list[i] ?? none).flatMap(({ n, s, t }) => [n, s / unit, t / unit]);
    const uniforms = [xo / unit, yo / unit, ...numbers, ...more];
    return { shader: 'move', flags: { ...flags, AXES }, reads: [x], writes: [y], threads, uniforms };
  };
  const none = { n: 1, s: 0, t: unit };
  if (unit === 1) {
    const end = axes.reduce((at, { n, t }) => at + (n - 1) * t, yo);
    return move(axes, (end >>> 2) - (yo >>> 2) + 1);
  }
  const inner = contiguous ? { n: (last.n * bytes) / unit, s: unit, t: unit } : last;
  const lanes = Math.ceil(inner.n / MOVES);
  // Neighbouring invocations go along the axis that is dense in the source, where there is one, each with elements that are dense in y.
  const [stride, span, step] = across < 0 ? [1, inner.n, lanes] : [MOVES, MOVES, 1];
  const first = before[across] ?? none;
  const list = [first, { n: lanes, s: 0, t: 0 }, ...before.filter((axis) => axis !== first)];
  const threads = list.reduce((product, { n }) => product * n, 1);
  return move(list, threads, inner.n, inner.s / unit, inner.t / unit, stride, span, step);
}

/** Boxes of at most `rank` merged axes that make up the one that is to be copied. */
function boxesOf(from: View, to: View, size: readonly number[], bytes: number, rank: number): Box[] {
  if (size.includes(0)) return [];
  const axes = merge(size.map((n, i) => ({ n, s: from.strides[i]! * bytes, t: to.strides[i]! * bytes })));
  let boxes: Box[] = [{ xo: from.offset * bytes, yo: to.offset * bytes, axes }];
  for (const { n, s, t } of axes.slice(0, Math.max(0, axes.length - rank)))
    boxes = boxes.flatMap(({ xo, yo, axes: [, ...rest] }) =>
      Array.from({ length: n }, (_, i) => ({ xo: xo + i * s, yo: yo + i * t, axes: rest })),
    );
  return boxes;
}

/** How a box lies: its last axis, whether that is dense in both tensors, and if only in y, the axis that is in x, or -1. */
function layoutOf(axes: readonly Axis[], bytes: number): { last: Axis; contiguous: boolean; across: number } {
  const last = axes.at(-1) ?? { n: 1, s: bytes, t: bytes };
  const contiguous = last.s === bytes && last.t === bytes;
  const across = !contiguous && last.t === bytes ? axes.findIndex((axis) => axis.s === bytes) : -1;
  return { last, contiguous, across };
}

/** Drops axes of one element and joins neighbours that both views walk as one axis. */
function merge(axes: readonly Axis[]): Axis[] {
  const merged: Axis[] = [];
  for (const axis of axes) {
    if (axis.n === 1) continue;
    const before = merged.at(-1);
    if (before && before.s === axis.s * axis.n && before.t === axis.t * axis.n)
      merged[merged.length - 1] = { n: before.n * axis.n, s: axis.s, t: axis.t };
    else merged.push(axis);
  }
  return merged;
}
