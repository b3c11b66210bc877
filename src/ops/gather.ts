/**
 * Gather: slices of an axis picked by index. A negative index counts from the end; an index out of range takes the
 * nearest element, so no data can make a kernel read outside its operand.
 */
import { add } from '../core/dim';
import { sizeOf } from '../core/dtype';
import { WaferError } from '../core/errors';
import { elements, normalizeAxis, typeText } from '../core/shape';
import { unitOf } from './box';
import { defineOffline, defineOp, int, type Ref } from './define';
import { reshaped, staticShape } from './gradient';
import { position, tabulate } from './indices';
import { narrow } from './slice';

export const op = defineOp({
  name: 'gather',
  inputs: ['x', 'indices'],
  attrs: {
    /** 0..rank-1. The output has the indices' shape in its place. */
    axis: int(),
  },
  infer([x, indices], { axis }) {
    if (indices!.dtype !== 'i32') throw new WaferError('DTYPE', `indices are ${typeText(indices!)}, expected i32`);
    if (axis < 0 || axis >= x!.shape.length) throw new WaferError('ARGUMENT', `axis ${axis} is not one of ${typeText(x!)}`);
    if (x!.shape[axis] === 0 && elements(indices!.shape) !== 0)
      throw new WaferError('SHAPE', `nothing to gather on axis ${axis} of ${typeText(x!)}`);
    return [{ ...x!, shape: [...x!.shape.slice(0, axis), ...indices!.shape, ...x!.shape.slice(axis + 1)] }];
  },
  wasm({ inputs: [x, indices], outputs: [y], attrs: { axis } }) {
    const { shape, dtype } = x!.type;
    const bytes = elements(shape.slice(axis + 1)) * sizeOf(dtype);
    const count = elements(indices!.type.shape);
    const rows = bytes === 0 ? 0 : elements(shape.slice(0, axis)) * count;
    return [{ kernel: 'x8_gather', args: [x!, indices!, y!, shape[axis]!, count, bytes], rows }];
  },
  webgpu({ inputs: [x, indices], outputs: [y], attrs: { axis } }) {
    const { shape, dtype } = x!.type;
    const bytes = elements(shape.slice(axis + 1)) * sizeOf(dtype);
    const { unit, flags } = unitOf(bytes);
    const threads = Math.ceil((elements(y!.type.shape) * sizeOf(dtype)) / Math.max(unit, 4));
    const uniforms = [shape[axis]!, elements(indices!.type.shape), bytes / unit];
    return [{ shader: 'gather', flags, reads: [x!, indices!], writes: [y!], threads, uniforms }];
  },
});

export const offline = defineOffline(op, {
  onnx: {
    Gather(n, emit) {
      const x = n.input(0);
      const { shape } = x.type;
      const axis = normalizeAxis(n.int('axis', 0), shape.length);
      const indices = n.input(1);
      const [index, ...more] = n.numbers(1) ?? [];
      if (index === undefined || more.length) return emit('gather', [x, indices], { axis });
      const one = narrow(emit, x, axis, index < 0 ? add(shape[axis]!, index) : index, 1);
      return emit('reshape', [one], { shape: [...shape.slice(0, axis), ...indices.type.shape, ...shape.slice(axis + 1)] });
    },
  },
  reference([x, indices], { axis }, [y]) {
    const { shape } = x!.type;
    const taken = indices!.type.shape;
    const element = (index: readonly number[]): number => {
      const given = indices!.data[position(taken, index.slice(axis, axis + taken.length))]!;
      const picked = Math.min(Math.max(given < 0 ? given + shape[axis]! : given, 0), shape[axis]! - 1);
      return x!.data[position(shape, [...index.slice(0, axis), picked, ...index.slice(axis + taken.length)])]!;
    };
    return [tabulate(y!.shape, element)];
  },
  gradient({ inputs: [x, indices], dy, attrs: { axis }, emit }) {
    if (x!.type.dtype !== 'f32') return undefined;
    const shape = staticShape(x!);
    const size = shape[axis]!;
    const count = elements(staticShape(indices!));
    const of = (x: Ref, fn: string, y: Ref) => emit('binary', [x, y], { fn });
    const number = (n: number) => emit.constant('i32', [], [n]);
    // As the reference takes them: negative ones from the end, then the nearest that there is.
    const flat = emit('reshape', [indices], { shape: [1, count] });
    const negative = emit('cast', [of(flat, 'less', number(0))], { to: 'i32' });
    const counted = of(flat, 'add', of(negative, 'mul', number(size)));
    const taken = of(of(counted, 'max', number(0)), 'min', number(size - 1));
    const all = emit.constant(
      'i32',
      [size, 1],
      Array.from({ length: size }, (_, i) => i),
    );
    const chosen = emit('cast', [of(all, 'equal', taken)], { to: 'f32' });
    const [outer, inner] = [elements(shape.slice(0, axis)), elements(shape.slice(axis + 1))];
    const product = emit('matmul', [chosen, reshaped(emit, dy, [outer, count, inner])]);
    return [reshaped(emit, product, shape), undefined];
  },
  accuracy: { abs: 0, rel: 0 },
  cases: [
    { inputs: [[7], { shape: [], dtype: 'i32', data: [3] }], attrs: { axis: 0 } },
    { inputs: [[7], { shape: [2, 3], dtype: 'i32', range: [-7, 6] }], attrs: { axis: 0 } },
    {
      name: 'out of range',
      inputs: [[7, 2], { shape: [4], dtype: 'i32', data: [7, -8, 2147483647, -2147483648] }],
      attrs: { axis: 0 },
    },
    { inputs: [[3, 5, 4], { shape: [6], dtype: 'i32', range: [0, 4], constant: true }], attrs: { axis: 1 } },
    {
      inputs: [
        { shape: [3, 5, 4], dtype: 'i8', quant: { scale: 1, zero: 0 } },
        { shape: [2], dtype: 'i32', range: [0, 3] },
      ],
      attrs: { axis: 2 },
    },
    {
      inputs: [
        { shape: [10, 33], constant: true },
        { shape: [1, 4], dtype: 'i32', range: [0, 9] },
      ],
      attrs: { axis: 0 },
    },
    {
      inputs: [
        { shape: [2, 3, 2, 3], dtype: 'bool' },
        { shape: [3], dtype: 'i32', range: [0, 2] },
      ],
      attrs: { axis: 1 },
    },
    { inputs: [[4, 3], { shape: [0], dtype: 'i32' }], attrs: { axis: 0 } },
    {
      inputs: [
        { shape: [4, 0], dtype: 'i32' },
        { shape: [2], dtype: 'i32', range: [0, 3] },
      ],
      attrs: { axis: 0 },
    },
  ],
});
