/** Tensors by their indices, for the references: slow, and obviously right. */
import { elements } from '../core/shape';

/** A tensor of `shape` from a function of the index; the array it is given changes between calls. */
export function tabulate(shape: readonly number[], element: (index: readonly number[]) => number): Float64Array {
  const out = new Float64Array(elements(shape));
  const index = shape.map(() => 0);
  for (let i = 0; i < out.length; i++) {
    out[i] = element(index);
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis]! === shape[axis]; axis--) index[axis] = 0;
  }
  return out;
}

/** Where the element at `index` lies in a dense tensor of `shape`. */
export const position = (shape: readonly number[], index: readonly number[]): number =>
  shape.reduce((at, d, axis) => at * d + index[axis]!, 0);
