/** Images between the layouts of ONNX (channels first) and TFLite (channels last). */
import { allocate, dtypeOf, type TypedArray } from '../../src/core/dtype';
import { sameShape } from '../../src/core/shape';

/** `data` of shape `from`, row-major, as the shape `to` wants it; undefined where `to` is no layout of the same tensor. */
export function relayout(data: TypedArray, from: readonly number[], to: readonly number[]): TypedArray | undefined {
  if (sameShape(from, to)) return data;
  if (from.length !== 4 || to.length !== 4) return undefined;
  const [n, a, b, c] = from as [number, number, number, number];
  if (sameShape([n, b, c, a], to)) return swapped(data, n, a, b * c);
  if (sameShape([n, c, a, b], to)) return swapped(data, n, a * b, c);
  return undefined;
}

/** [n, rows, columns] as [n, columns, rows]. */
function swapped(data: TypedArray, n: number, rows: number, columns: number): TypedArray {
  const out = allocate(dtypeOf(data), data.length);
  const plane = rows * columns;
  for (let i = 0; i < n; i++)
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < columns; c++) out[i * plane + c * rows + r] = data[i * plane + r * columns + c]!;
  return out;
}
