/** Tensors as a page makes them. */
import { DTYPES, type DType, dtypeOf, type TypedArray } from '../core/dtype';
import { WaferError } from '../core/errors';
import { checkShape, elements, shapeText } from '../core/shape';
import type { TensorData } from './session';

/** Elements in row-major order, images in the layout that the model's input has. */
export type Tensor = TensorData;

/**
 * A tensor of `shape`. Plain numbers become f32, or `dtype` when it is given; typed arrays are kept, not copied.
 * Throws SHAPE when the number of elements differs, DTYPE, ARGUMENT.
 */
export function tensor(data: TypedArray | readonly number[], shape: readonly number[], dtype?: DType): Tensor {
  if (!ArrayBuffer.isView(data) && !Array.isArray(data))
    throw new WaferError('ARGUMENT', 'data must be an array of numbers or a typed array');
  if (dtype !== undefined && !Object.hasOwn(DTYPES, dtype))
    throw new WaferError('DTYPE', `no dtype "${dtype}"`, { hint: `there are ${Object.keys(DTYPES).join(', ')}` });
  checkShape(shape);
  const array = ArrayBuffer.isView(data) ? data : fromNumbers(data, dtype ?? 'f32');
  const own = dtypeOf(array);
  const wanted = dtype ?? own;
  if (wanted !== own && !(wanted === 'bool' && own === 'u8'))
    throw new WaferError('DTYPE', `a ${wanted} tensor needs a ${DTYPES[wanted].array.name}, got a ${array.constructor.name}`);
  if (array.length !== elements(shape))
    throw new WaferError('SHAPE', `${array.length} elements do not fill shape ${shapeText(shape)}, which has ${elements(shape)}`);
  return { data: array, shape, dtype: wanted };
}

function fromNumbers(data: readonly number[], dtype: DType): TypedArray {
  const array = new DTYPES[dtype].array(data.length);
  array.set(data);
  return array;
}
