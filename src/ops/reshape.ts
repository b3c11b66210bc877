/** Reshape: the same elements under another shape. Squeeze, Unsqueeze and Flatten are imported as this. */
import { type Dim, exactDivide, isStatic } from '../core/dim';
import { WaferError } from '../core/errors';
import { elements, normalizeAxis, type Shape, sameShape, shapeText } from '../core/shape';
import { defineOffline, defineOp, dims, type OnnxNode } from './define';

export const op = defineOp({
  name: 'reshape',
  inputs: ['x'],
  attrs: {
    /** The new shape, complete: no 0 for "copy" and no -1 for "infer" (the importer resolves them). */
    shape: dims(),
  },
  infer([x], { shape }) {
    const [from, to] = [elements(x!.shape), elements(shape)];
    if (isStatic(from) && isStatic(to) && from !== to)
      throw new WaferError('SHAPE', `cannot reshape ${shapeText(x!.shape)} (${from} elements) to ${shapeText(shape)} (${to})`);
    return [{ ...x!, shape }];
  },
  alias: true,
  wasm: () => [],
});

export const offline = defineOffline(op, {
  onnx: {
    Reshape(n, emit) {
      const x = n.input(0);
      const wanted = n.dims(1) ?? n.unsupported('a target shape that depends on data');
      return emit('reshape', [x], { shape: resolve(n, x.type.shape, wanted, n.int('allowzero', 0) !== 0) });
    },
    Flatten(n, emit) {
      const x = n.input(0);
      const { shape } = x.type;
      const axis = n.int('axis', 1);
      const at = axis < 0 ? axis + shape.length : axis;
      return emit('reshape', [x], { shape: [elements(shape.slice(0, at)), elements(shape.slice(at))] });
    },
    Squeeze(n, emit) {
      const x = n.input(0);
      const { shape } = x.type;
      const asInput = n.opset >= 13 && n.inputs[1] !== undefined;
      const given = asInput
        ? (n.numbers(1) ?? n.unsupported('axes that depend on data'))
        : n.opset < 13 && n.has('axes')
          ? n.ints('axes')
          : undefined;
      const axes = given?.map((a) => normalizeAxis(a, shape.length)) ?? shape.flatMap((d, i) => (d === 1 ? [i] : []));
      return emit('reshape', [x], { shape: shape.filter((_, i) => !axes.includes(i)) });
    },
    Unsqueeze(n, emit) {
      const x = n.input(0);
      const given = n.opset >= 13 ? n.numbers(1) : n.ints('axes');
      if (!given) return n.unsupported('axes that depend on data');
      const rank = x.type.shape.length + given.length;
      const axes = given.map((a) => normalizeAxis(a, rank)).sort((a, b) => a - b);
      const shape: Dim[] = [...x.type.shape];
      for (const axis of axes) shape.splice(axis, 0, 1);
      return emit('reshape', [x], { shape });
    },
  },
  reference: ([x]) => [x!.data],
  gradient: ({ inputs: [x], dy, emit }) => [emit('reshape', [dy], { shape: x!.type.shape })],
  accuracy: { abs: 0, rel: 0 },
  cases: [
    { inputs: [[2, 3, 4]], attrs: { shape: [6, 4] } },
    { inputs: [[1]], attrs: { shape: [] } },
    { inputs: [{ shape: [0, 3], dtype: 'i32' }], attrs: { shape: [3, 0] } },
    { inputs: [{ shape: [5, 1, 7], dtype: 'i8', quant: { scale: 0.5, zero: 3 } }], attrs: { shape: [35] } },
  ],
});

/** ONNX's target: 0 copies the input's dimension (unless `allowzero`), one -1 is inferred. */
function resolve(n: OnnxNode, from: Shape, wanted: readonly Dim[], allowZero: boolean): Dim[] {
  const shape = wanted.map((d, i) => (d === 0 && !allowZero ? (from[i] ?? n.unsupported('a 0 beyond the input rank')) : d));
  const at = shape.indexOf(-1);
  if (at < 0) return shape;
  shape[at] = 1;
  const rest = elements(shape);
  if (sameShape(from, shape)) return shape;
  shape[at] = exactDivide(elements(from), rest) ?? n.unsupported(`-1 in ${shapeText(wanted)} for an input of ${shapeText(from)}`);
  return shape;
}
