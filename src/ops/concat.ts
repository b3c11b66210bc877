/** Concat: tensors one after another along an axis. Quantised inputs share one quantisation, so every part is a copy. */
import { isStatic, sum } from '../core/dim';
import { sizeOf } from '../core/dtype';
import { WaferError } from '../core/errors';
import { normalizeAxis, shapeText, typeText } from '../core/shape';
import { copyBox, moveBox, type View, whole } from './box';
import { defineOffline, defineOp, int, type Operand } from './define';
import { staticShape } from './gradient';
import { position, tabulate } from './indices';

export const op = defineOp({
  name: 'concat',
  inputs: ['x*'],
  attrs: {
    /** 0..rank-1. */
    axis: int(),
  },
  infer(inputs, { axis }) {
    const first = inputs[0]!;
    if (axis < 0 || axis >= first.shape.length)
      throw new WaferError('ARGUMENT', `axis ${axis} is not one of ${shapeText(first.shape)}`);
    const shape = [...first.shape];
    for (const x of inputs) {
      const differs = x.shape.some((d, i) => i !== axis && isStatic(d) && isStatic(shape[i]!) && d !== shape[i]);
      if (x.shape.length !== shape.length || differs)
        throw new WaferError('SHAPE', `cannot join ${shapeText(first.shape)} and ${shapeText(x.shape)} on axis ${axis}`);
      if (x.dtype !== first.dtype) throw new WaferError('DTYPE', `cannot join ${typeText(first)} and ${typeText(x)}`);
      if (x.quant?.scale !== first.quant?.scale || x.quant?.zero !== first.quant?.zero)
        throw new WaferError('VALUE', 'the parts are quantised differently', { hint: 'requantise them first' });
      x.shape.forEach((d, i) => {
        if (isStatic(d)) shape[i] = d;
      });
    }
    shape[axis] = sum(inputs.map((x) => x.shape[axis]!));
    return [{ ...first, shape }];
  },
  wasm: ({ inputs, outputs: [y], attrs: { axis } }) =>
    parts(inputs, y!, axis).flatMap(({ x, to }) => copyBox(x, whole(x), y!, to, x.type.shape, sizeOf(x.type.dtype))),
  webgpu: ({ inputs, outputs: [y], attrs: { axis } }) =>
    parts(inputs, y!, axis).flatMap(({ x, to }) => moveBox(x, whole(x), y!, to, x.type.shape, sizeOf(x.type.dtype))),
});

/** The inputs, and where in y each goes. */
function parts(inputs: readonly (Operand | undefined)[], y: Operand, axis: number): { x: Operand; to: View }[] {
  const { strides } = whole(y);
  let start = 0;
  return inputs.map((x) => {
    const to = { offset: start * strides[axis]!, strides };
    start += x!.type.shape[axis]!;
    return { x: x!, to };
  });
}

const quant = { scale: 0.02, zero: 11 };

export const offline = defineOffline(op, {
  onnx: {
    Concat(n, emit) {
      const axis = normalizeAxis(n.int('axis'), n.input(0).type.shape.length);
      const parts = n.inputs.map((_, i) => n.input(i)).filter((x, i) => i === 0 || x.type.shape[axis] !== 0);
      const [first, second] = parts;
      if (first!.type.shape[axis] === 0 && second) parts.shift();
      return parts.length === 1 ? parts[0]! : emit('concat', parts, { axis });
    },
  },
  reference(inputs, { axis }, [y]) {
    const element = (index: readonly number[]): number => {
      let i = index[axis]!;
      for (const x of inputs) {
        const { shape } = x!.type;
        if (i < shape[axis]!) return x!.data[position(shape, index.with(axis, i))]!;
        i -= shape[axis]!;
      }
      return Number.NaN;
    };
    return [tabulate(y!.shape, element)];
  },
  gradient({ inputs, dy, attrs: { axis }, wants, emit }) {
    let start = 0;
    return inputs.map((x, i) => {
      const size = staticShape(x!);
      const from = start;
      start += size[axis]!;
      if (!wants(i)) return undefined;
      return emit('slice', [dy], { starts: size.map((_, k) => (k === axis ? from : 0)), steps: size.map(() => 1), size });
    });
  },
  accuracy: { abs: 0, rel: 0 },
  cases: [
    { inputs: [[3], [5]], attrs: { axis: 0 } },
    { inputs: [[2, 3]], attrs: { axis: 1 } },
    {
      inputs: [
        [2, 1],
        [2, 1],
        [2, 1],
      ],
      attrs: { axis: 1 },
    },
    {
      inputs: [
        [2, 3],
        [0, 3],
        [1, 3],
      ],
      attrs: { axis: 0 },
    },
    {
      inputs: [
        [0, 3],
        [0, 2],
      ],
      attrs: { axis: 1 },
    },
    {
      inputs: [
        [2, 4, 3],
        [2, 1, 3],
        [2, 2, 3],
      ],
      attrs: { axis: 1 },
    },
    {
      inputs: [
        [1, 5, 7, 8],
        [1, 5, 7, 3],
        [1, 5, 7, 16],
      ],
      attrs: { axis: 3 },
    },
    {
      inputs: [
        { shape: [2, 5, 3, 8], dtype: 'i8', quant },
        { shape: [2, 5, 3, 13], dtype: 'i8', quant },
        { shape: [2, 5, 3, 17], dtype: 'i8', quant },
      ],
      attrs: { axis: 3 },
    },
    {
      inputs: [
        { shape: [1, 2, 3, 1], dtype: 'i8', quant },
        { shape: [1, 2, 3, 1], dtype: 'i8', quant },
      ],
      attrs: { axis: 3 },
    },
    {
      inputs: [
        { shape: [2, 3], dtype: 'i32' },
        { shape: [2, 2], dtype: 'i32', constant: true },
      ],
      attrs: { axis: 1 },
    },
    {
      inputs: [
        { shape: [2, 1, 2, 2, 3], dtype: 'bool' },
        { shape: [2, 4, 2, 2, 3], dtype: 'bool' },
      ],
      attrs: { axis: 1 },
    },
    {
      inputs: [
        [1, 1, 300],
        [1, 2, 300],
      ],
      attrs: { axis: 1 },
    },
  ],
});
