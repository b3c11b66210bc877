/** ArgMax: the index of the largest element along an axis, the first of equals. */
import { WaferError } from '../core/errors';
import { elements, normalizeAxis, typeText } from '../core/shape';
import { type Block, bool, defineOffline, defineOp, type GpuDispatch, int, type Operand } from './define';
import { position, tabulate } from './indices';

/** Lines of so many elements are searched in parts by the shader. */
const LONG = 256;

export const op = defineOp({
  name: 'argmax',
  inputs: ['x'],
  attrs: {
    /** 0..rank-1. */
    axis: int(),
    /** Whether the axis stays, with size 1. */
    keepdims: bool(true),
  },
  infer([x], { axis, keepdims }) {
    const { dtype, shape } = x!;
    if (dtype !== 'f32' && dtype !== 'i8') throw new WaferError('DTYPE', `cannot compare ${typeText(x!)}, only f32 and i8`);
    if (axis < 0 || axis >= shape.length) throw new WaferError('ARGUMENT', `axis ${axis} is not one of ${typeText(x!)}`);
    if (shape[axis] === 0) throw new WaferError('SHAPE', `no element on axis ${axis} of ${typeText(x!)}`);
    return [{ dtype: 'i32', shape: [...shape.slice(0, axis), ...(keepdims ? [1] : []), ...shape.slice(axis + 1)] }];
  },
  wasm({ inputs: [x], outputs: [y], attrs: { axis } }) {
    const { shape, dtype } = x!.type;
    const inner = elements(shape.slice(axis + 1));
    return [{ kernel: `${dtype as 'f32' | 'i8'}_argmax`, args: [x!, y!, shape[axis]!, inner], rows: elements(y!.type.shape) }];
  },
  webgpu({ inputs: [x], outputs: [y], attrs: { axis }, intermediate }) {
    const { shape, dtype } = x!.type;
    const n = shape[axis]!;
    const rows = elements(y!.type.shape);
    const flags = { BYTES: dtype === 'i8' };
    /** The largest of each part of `count` elements of a line, which are those that are `found`, or all. */
    const among = (found: Operand | Block | undefined, count: number, span: number, y: Operand | Block): GpuDispatch => {
      const parts = Math.ceil(count / span);
      const uniforms = [n, elements(shape.slice(axis + 1)), count, parts, span, found ? 1 : 0];
      return { shader: 'argmax', flags, reads: [x!, found ?? x!], writes: [y], threads: rows * parts, uniforms };
    };
    if (n < LONG) return [among(undefined, n, n, y!)];
    const span = Math.ceil(Math.sqrt(n));
    const parts = Math.ceil(n / span);
    const found = intermediate(4 * rows * parts);
    return [among(undefined, n, span, found), among(found, parts, parts, y!)];
  },
});

const quant = { scale: 0.1, zero: 0 };

export const offline = defineOffline(op, {
  onnx: {
    ArgMax(n, emit) {
      const x = n.input(0);
      if (n.int('select_last_index', 0) !== 0) return n.unsupported('the last of equal elements');
      const axis = normalizeAxis(n.int('axis', 0), x.type.shape.length);
      return emit('argmax', [x], { axis, keepdims: n.int('keepdims', 1) !== 0 });
    },
  },
  reference([x], { axis, keepdims }, [y]) {
    const { shape } = x!.type;
    const element = (index: readonly number[]): number => {
      const rest = keepdims ? index.toSpliced(axis, 1) : index;
      const line = Array.from({ length: shape[axis]! }, (_, i) => x!.data[position(shape, rest.toSpliced(axis, 0, i))]!);
      return line.indexOf(Math.max(...line));
    };
    return [tabulate(y!.shape, element)];
  },
  accuracy: { abs: 0, rel: 0 },
  cases: [
    { inputs: [[1]], attrs: { axis: 0 } },
    { inputs: [[3, 10]], attrs: { axis: 1 } },
    { inputs: [[2, 67]], attrs: { axis: 1, keepdims: false } },
    { inputs: [{ shape: [4, 21], range: [-2, 2], data: Array.from({ length: 84 }, (_, i) => (i * 7) % 5) }], attrs: { axis: 1 } },
    { inputs: [[2, 5, 3, 4]], attrs: { axis: 1 } },
    { inputs: [{ shape: [2, 3, 40], dtype: 'i8', quant }], attrs: { axis: 2 } },
    { inputs: [{ shape: [2, 3, 4], dtype: 'i8', quant }], attrs: { axis: 0, keepdims: false } },
    { name: 'zeros and subnormals', inputs: [{ shape: [2, 3], data: [-0, 0, -1e-40, 1e-40, 2e-40, 0] }], attrs: { axis: 1 } },
    { name: 'infinities', inputs: [{ shape: [2, 2], data: [-Infinity, -3e38, 3e38, Infinity] }], attrs: { axis: 1 } },
    { inputs: [[3, 1003]], attrs: { axis: 1 } },
    { inputs: [{ shape: [2, 300, 5], dtype: 'i8', quant }], attrs: { axis: 1 } },
    { inputs: [[0, 4]], attrs: { axis: 1 } },
    { inputs: [{ shape: [2, 5], range: [-9, -8] }], attrs: { axis: 1 } },
  ],
});
