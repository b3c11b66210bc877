/** Shapes: lists of dimensions, outermost first. A scalar has shape []. */
import { type Bindings, type Dim, dimText, evaluate, isStatic, multiply, sameDim } from './dim';
import type { DType } from './dtype';
import { WaferError } from './errors';

export type Shape = readonly Dim[];
export type StaticShape = readonly number[];

/** How an `i8` tensor's levels are read: real = (level - zero) * scale. */
export interface Quant {
  /** Positive and finite; exactly representable in f32. */
  scale: number;
  /** -128..127. */
  zero: number;
}

/** What is known of a tensor without its elements. `quant` is set exactly on quantised activations (dtype `i8`). */
export interface TensorType<S extends Shape = Shape> {
  dtype: DType;
  shape: S;
  quant?: Quant | undefined;
}

export type StaticType = TensorType<StaticShape>;

export const shapeText = (shape: Shape): string => `[${shape.map(dimText).join(',')}]`;

export const typeText = (type: TensorType): string => `${type.dtype}${shapeText(type.shape)}`;

export const isStaticShape = (shape: Shape): shape is StaticShape => shape.every(isStatic);

export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((d, i) => sameDim(d, b[i]!));

/** Number of elements. */
export function elements(shape: StaticShape): number;
export function elements(shape: Shape): Dim;
export function elements(shape: Shape): Dim {
  return shape.reduce<Dim>((n, d) => multiply(n, d), 1);
}

/** Of one tensor. */
const MAX_ELEMENTS = 2 ** 31;

/** Throws SHAPE when a known dimension is no size, or the known ones make more elements than any device could hold. */
export function checkSizes(shape: Shape): void {
  const known = shape.filter(isStatic);
  if (!known.every((d) => Number.isInteger(d) && d >= 0 && d < MAX_ELEMENTS) || elements(known) > MAX_ELEMENTS)
    throw new WaferError('SHAPE', `${shapeText(shape)} is no shape, or too large a one`);
}

/** Throws ARGUMENT for what is no list of sizes. */
export function checkShape(shape: unknown): asserts shape is readonly number[] {
  if (!Array.isArray(shape) || !shape.every((d) => Number.isSafeInteger(d) && d >= 0))
    throw new WaferError('ARGUMENT', 'a shape is an array of integers that are not negative', { hint: 'as in [1, 3, 224, 224]' });
}

export const evaluateShape = (shape: Shape, bindings: Bindings): number[] => shape.map((d) => evaluate(d, bindings));

/** Row-major strides in elements. */
export function stridesOf(shape: StaticShape): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let i = shape.length - 2; i >= 0; i--) strides[i] = strides[i + 1]! * shape[i + 1]!;
  return strides;
}

/** `axis` counted from the front, in 0..rank-1. Throws SHAPE when out of range. */
export function normalizeAxis(axis: number, rank: number): number {
  const at = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(at) || at < 0 || at >= rank)
    throw new WaferError('SHAPE', `axis ${axis} is out of range for rank ${rank}`);
  return at;
}

/**
 * NumPy broadcasting. Two symbolic dimensions that cannot be compared offline are taken as equal; the page checks them
 * again with numbers. Throws SHAPE.
 */
export function broadcast(a: Shape, b: Shape): Dim[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const p = a[i - rank + a.length] ?? 1;
    const q = b[i - rank + b.length] ?? 1;
    if (p === 1) return q;
    if (q === 1 || sameDim(p, q)) return p;
    if (isStatic(p) && isStatic(q)) throw new WaferError('SHAPE', `shapes ${shapeText(a)} and ${shapeText(b)} do not broadcast`);
    return isStatic(p) ? p : isStatic(q) ? q : p;
  });
}
