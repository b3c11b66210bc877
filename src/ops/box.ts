/**
 * Strided box copies: what transpose, slice, concat, pad and expand are made of. A box is visited in two tensors at
 * once, each with its own offset and strides, in elements; a source stride may be 0 (repeat) or negative (reverse).
 * Axes are dropped and merged as far as both views allow, so a kernel is chosen for what really has to be moved.
 */
import type { Argument, Dispatch } from './define';

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

/** Axes that a kernel takes. */
const RANK = 6;
/** Bytes of a row of `x8_copy`. */
const CHUNK = 4096;
/** Elements that make a row of the other kernels worth its overhead. */
const ROW = 2048;
/** Tiles of the transposing kernels start at whole cache lines of the source. */
const LINE = 64;

/** y[to + i·to.strides] = x[from + i·from.strides] for every index i of the box, by elements of `bytes` bytes. */
export function copyBox(x: Argument, from: View, y: Argument, to: View, size: readonly number[], bytes: number): Dispatch[] {
  if (size.includes(0)) return [];
  const axes = merge(size.map((n, i) => ({ n, s: from.strides[i]! * bytes, t: to.strides[i]! * bytes })));
  return copyAxes(x, from.offset * bytes, y, to.offset * bytes, axes, bytes);
}

function copyAxes(x: Argument, xo: number, y: Argument, yo: number, axes: readonly Axis[], bytes: number): Dispatch[] {
  const last = axes.at(-1) ?? { n: 1, s: bytes, t: bytes };
  const contiguous = last.s === bytes && last.t === bytes;
  if (contiguous && axes.length < 2) {
    const length = last.n * bytes;
    return [{ kernel: 'x8_copy', args: [x, xo, y, yo, length], rows: Math.ceil(length / CHUNK) }];
  }
  if (axes.length > RANK) {
    const [first, ...rest] = axes as [Axis, ...Axis[]];
    return Array.from({ length: first.n }, (_, i) => copyAxes(x, xo + i * first.s, y, yo + i * first.t, rest, bytes)).flat();
  }
  const across = !contiguous && last.t === bytes ? axes.findIndex((a) => a.s === bytes) : -1;
  const ordered = across < 0 ? axes : [...axes.slice(0, across), ...axes.slice(across + 1, -1), axes[across]!, last];
  const padded = [...Array.from({ length: RANK - axes.length }, () => ({ n: 1, s: 0, t: 0 })), ...ordered];
  const [a, b, c, d, e, f] = padded as [Axis, Axis, Axis, Axis, Axis, Axis];
  const wide = bytes === 4 ? 'x32' : 'x8';
  const kernel = contiguous ? 'x8_lines' : across < 0 ? (`${wide}_strided` as const) : (`${wide}_transpose` as const);
  const tile = Math.ceil(ROW / f.n / (across < 0 ? 1 : LINE)) * (across < 0 ? 1 : LINE);
  return [
    {
      kernel,
      args: [
        ...[x, xo, y, yo, b.n, c.n, d.n, e.n, contiguous ? f.n * bytes : f.n, tile],
        ...padded.map((axis) => axis.s),
        ...padded.map((axis) => axis.t),
      ],
      rows: a.n * b.n * c.n * d.n * Math.ceil(e.n / tile),
    },
  ];
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
