/**
 * Table: any function of one quantised tensor, as 256 bytes. The packer makes the table in doubles, so that its results
 * are the same everywhere.
 */
import { WaferError } from '../core/errors';
import { elements, type Quant, typeText } from '../core/shape';
import { type Case, defineOffline, defineOp, quant } from './define';

/** Elements in one row of the kernel. */
const BLOCK = 1024;

export const op = defineOp({
  name: 'table',
  /** `table`: u8[256], at level + 128 of x the level + 128 of the result. */
  inputs: ['x', 'table'],
  attrs: { quant: quant() },
  infer([x, table], { quant }) {
    if (!x!.quant || !quant) throw new WaferError('DTYPE', 'takes and gives quantised tensors');
    if (table!.dtype !== 'u8' || table!.shape.length !== 1 || table!.shape[0] !== 256)
      throw new WaferError('SHAPE', `the table is u8[256], got ${typeText(table!)}`);
    return [{ dtype: 'i8', shape: x!.shape, quant }];
  },
  inplace: [0],
  wasm({ inputs: [x, table], outputs: [y] }) {
    const n = elements(x!.type.shape);
    return [{ kernel: 'i8_table', args: [x!, y!, n, table!], rows: Math.ceil(n / BLOCK) }];
  },
  webgpu({ inputs: [x, table], outputs: [y] }) {
    const n = elements(x!.type.shape);
    return [{ shader: 'table', reads: [x!, table!], writes: [y!], threads: Math.ceil(n / 4), uniforms: [n] }];
  },
});

export const offline = defineOffline(op, {
  onnx: {},
  reference: ([x, table]) => [x!.data.map((level) => table!.data[level + 128]! - 128)],
  accuracy: { abs: 0, rel: 0 },
  cases: [0, 1, 3, 4, 7, 17, 1023, 1029].map(
    (n): Case<{ quant: Quant | null }> => ({
      inputs: [
        { shape: [n], dtype: 'i8', quant: { scale: 0.1, zero: 3 } },
        { shape: [256], dtype: 'u8', constant: true },
      ],
      attrs: { quant: { scale: 0.2, zero: -7 } },
    }),
  ),
});
