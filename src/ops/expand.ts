/** Expand: axes of one element, and new leading axes, repeated. Tile is imported as this between reshapes. */
import { type Dim, isStatic, multiply } from '../core/dim';
import { WaferError } from '../core/errors';
import { broadcast, type StaticShape, sameShape, shapeText, stridesOf } from '../core/shape';
import { copyView, moveView, type View } from './box';
import { defineOffline, defineOp, dims, type Emit, type Ref } from './define';
import { staticShape, sumTo } from './gradient';
import { position, tabulate } from './indices';

export const op = defineOp({
  name: 'expand',
  inputs: ['x'],
  attrs: {
    /** The output's shape, complete. */
    shape: dims(),
  },
  infer([x], { shape }) {
    const together = broadcast(x!.shape, shape);
    if (together.length !== shape.length || together.some((d, i) => isStatic(d) && isStatic(shape[i]!) && d !== shape[i]))
      throw new WaferError('SHAPE', `cannot expand ${shapeText(x!.shape)} to ${shapeText(shape)}`);
    return [{ ...x!, shape }];
  },
  wasm: ({ inputs: [x], outputs: [y] }) => copyView(x!, expanded(x!.type.shape, y!.type.shape.length), y!),
  webgpu: ({ inputs: [x], outputs: [y] }) => moveView(x!, expanded(x!.type.shape, y!.type.shape.length), y!),
});

/** A tensor of `shape` as one of `rank` axes into which it is broadcast. */
function expanded(shape: StaticShape, rank: number): View {
  const strides = stridesOf(shape).map((stride, i) => (shape[i] === 1 ? 0 : stride));
  return { offset: 0, strides: [...new Array<number>(rank - shape.length).fill(0), ...strides] };
}

/** `x` broadcast to `shape`; itself when it has that shape already. */
export const expandTo = (emit: Emit, x: Ref, shape: readonly Dim[]): Ref =>
  sameShape(x.type.shape, shape) ? x : emit('expand', [x], { shape });

export const offline = defineOffline(op, {
  onnx: {
    Expand(n, emit) {
      const x = n.input(0);
      const shape = n.dims(1) ?? n.unsupported('a shape that depends on data');
      return expandTo(emit, x, broadcast(x.type.shape, shape));
    },
    /** Each repeated axis [d] becomes [1, d], is expanded to [r, d] and joined again. */
    Tile(n, emit) {
      const x = n.input(0);
      const { shape } = x.type;
      const repeats = n.dims(1) ?? n.unsupported('repeats that depend on data');
      const split = (lead: (r: Dim) => Dim): Dim[] =>
        shape.flatMap((d, i) => (repeats[i] === 1 ? [d] : d === 1 ? [lead(repeats[i]!)] : [lead(repeats[i]!), d]));
      const apart = emit('reshape', [x], { shape: split(() => 1) });
      const repeated = expandTo(
        emit,
        apart,
        split((r) => r),
      );
      return emit('reshape', [repeated], { shape: shape.map((d, i) => multiply(d, repeats[i]!)) });
    },
  },
  reference: ([x], _attrs, [y]) => [
    tabulate(y!.shape, (index) => {
      const { shape } = x!.type;
      const own = index.slice(index.length - shape.length);
      return x!.data[
        position(
          shape,
          shape.map((d, axis) => (d === 1 ? 0 : own[axis]!)),
        )
      ]!;
    }),
  ],
  gradient: ({ inputs: [x], dy, emit }) => [sumTo(emit, dy, staticShape(x!))],
  accuracy: { abs: 0, rel: 0 },
  cases: [
    { inputs: [[]], attrs: { shape: [] } },
    { inputs: [[]], attrs: { shape: [3, 7] } },
    { inputs: [[1]], attrs: { shape: [2000] } },
    { inputs: [[1, 4]], attrs: { shape: [3, 4] } },
    { inputs: [[3, 1]], attrs: { shape: [3, 70] } },
    { inputs: [[3, 1]], attrs: { shape: [2, 3, 0] } },
    { inputs: [{ shape: [2, 1, 3, 1], dtype: 'i8', quant: { scale: 1, zero: 0 } }], attrs: { shape: [2, 5, 3, 33] } },
    { inputs: [{ shape: [1, 1, 1, 9], dtype: 'i32' }], attrs: { shape: [2, 3, 4, 9] } },
    { inputs: [{ shape: [4, 1, 5], dtype: 'bool', constant: true }], attrs: { shape: [2, 4, 3, 5] } },
    { inputs: [[2, 1, 2, 1, 2, 1, 2]], attrs: { shape: [2, 2, 2, 2, 2, 3, 2] } },
  ],
});
