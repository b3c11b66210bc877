/** Sums along an axis of all elements up to each, or with `exclusive` before it; with `reverse` from the other end. */
import { WaferError } from '../core/errors';
import { elements, normalizeAxis, typeText } from '../core/shape';
import { bool, defineOffline, defineOp, int } from './define';
import { position, tabulate } from './indices';

export const op = defineOp({
  name: 'cumsum',
  inputs: ['x'],
  attrs: {
    /** 0..rank-1. */
    axis: int(),
    exclusive: bool(false),
    reverse: bool(false),
  },
  infer([x], { axis }) {
    const { dtype, shape } = x!;
    if (dtype !== 'f32' && dtype !== 'i32') throw new WaferError('DTYPE', `cannot sum ${typeText(x!)}, only f32 and i32`);
    if (axis < 0 || axis >= shape.length) throw new WaferError('ARGUMENT', `axis ${axis} is not one of ${typeText(x!)}`);
    return [{ dtype, shape }];
  },
  inplace: [0],
  wasm({ inputs: [x], outputs: [y], attrs: { axis, exclusive, reverse } }) {
    const { shape, dtype } = x!.type;
    const inner = elements(shape.slice(axis + 1));
    const args = [x!, y!, shape[axis]!, inner, exclusive ? 1 : 0, reverse ? 1 : 0];
    return [{ kernel: `${dtype as 'f32' | 'i32'}_cumsum`, args, rows: elements(shape.slice(0, axis)) * inner }];
  },
  webgpu({ inputs: [x], outputs: [y], attrs: { axis, exclusive, reverse } }) {
    const { shape, dtype } = x!.type;
    const n = shape[axis]!;
    const inner = elements(shape.slice(axis + 1));
    const uniforms = [n, inner, ...(reverse ? [(n - 1) * inner, -inner] : [0, inner]), exclusive ? 1 : 0];
    const threads = n === 0 ? 0 : elements(shape.slice(0, axis)) * inner;
    return [{ shader: 'cumsum', flags: { INTEGERS: dtype === 'i32' }, reads: [x!], writes: [y!], threads, uniforms }];
  },
});

export const offline = defineOffline(op, {
  onnx: {
    CumSum(n, emit) {
      const x = n.input(0);
      const [axis] = n.numbers(1) ?? n.unsupported('an axis that depends on data');
      const attrs = { exclusive: n.int('exclusive', 0) !== 0, reverse: n.int('reverse', 0) !== 0 };
      return emit('cumsum', [x], { axis: normalizeAxis(axis!, x.type.shape.length), ...attrs });
    },
  },
  reference([x], { axis, exclusive, reverse }, [y]) {
    const size = y!.shape[axis]!;
    const element = (index: readonly number[]): number => {
      let sum = 0;
      for (let i = 0; i < size; i++) {
        const counts = i === index[axis] ? !exclusive : i < index[axis]! !== reverse;
        if (counts) sum += x!.data[position(y!.shape, index.toSpliced(axis, 1, i))]!;
      }
      return sum;
    };
    return [tabulate(y!.shape, element)];
  },
  gradient: ({ inputs: [x], dy, attrs, emit }) =>
    x!.type.dtype === 'f32' ? [emit('cumsum', [dy], { ...attrs, reverse: !attrs.reverse })] : undefined,
  accuracy: { abs: 1e-5, rel: 1e-5 },
  cases: [
    { inputs: [[1]], attrs: { axis: 0 } },
    { inputs: [[37]], attrs: { axis: 0, exclusive: true } },
    { inputs: [[3, 10]], attrs: { axis: 1, reverse: true } },
    { inputs: [[2, 5, 7]], attrs: { axis: 1 } },
    { inputs: [[2, 5, 7]], attrs: { axis: 0, exclusive: true, reverse: true } },
    { inputs: [{ shape: [4, 6], dtype: 'i32' }], attrs: { axis: 1, exclusive: true } },
    { inputs: [{ shape: [2, 3, 4], dtype: 'i32' }], attrs: { axis: 1, reverse: true } },
    { inputs: [[0, 4]], attrs: { axis: 0 } },
  ],
});
