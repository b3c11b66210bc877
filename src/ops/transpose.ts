/** Transpose: axes in another order. Output axis i is input axis perm[i]. */
import { type Dim, dimText, exactDivide, multiply } from '../core/dim';
import { WaferError } from '../core/errors';
import { shapeText } from '../core/shape';
import { copyView, moveView, type View, whole } from './box';
import { type Case, defineOffline, defineOp, type Emit, ints, type OnnxNode, type Operand } from './define';
import { position, tabulate } from './indices';
import { channelsFirst, channelsLast } from './layout';

export const op = defineOp({
  name: 'transpose',
  inputs: ['x'],
  attrs: {
    /** A permutation of 0..rank-1. */
    perm: ints(),
  },
  infer([x], { perm }) {
    const rank = x!.shape.length;
    if (perm.length !== rank || x!.shape.some((_, i) => !perm.includes(i)))
      throw new WaferError('ARGUMENT', `perm [${perm}] is no permutation of the axes of rank ${rank}`);
    return [{ ...x!, shape: perm.map((axis) => x!.shape[axis]!) }];
  },
  wasm: ({ inputs: [x], outputs: [y], attrs: { perm } }) => copyView(x!, reordered(x!, perm), y!),
  webgpu: ({ inputs: [x], outputs: [y], attrs: { perm } }) => moveView(x!, reordered(x!, perm), y!),
});

/** The tensor with its axes in the output's order. */
function reordered(x: Operand, perm: readonly number[]): View {
  const { strides } = whole(x);
  return { offset: 0, strides: perm.map((axis) => strides[axis]!) };
}

const permuted = (
  shape: number[],
  perm: number[],
  dtype: 'f32' | 'i32' | 'i8' | 'bool' = 'f32',
): Case<{ perm: readonly number[] }> => ({
  inputs: [dtype === 'i8' ? { shape, dtype, quant: { scale: 0.1, zero: -5 } } : { shape, dtype }],
  attrs: { perm },
});

export const offline = defineOffline(op, {
  onnx: {
    Transpose(n, emit) {
      const x = n.input(0);
      const reversed = x.type.shape.map((_, i) => i).reverse();
      return emit('transpose', [x], { perm: n.ints('perm', reversed) });
    },
    /** Channels [b, b, C] (DCR) or [C, b, b] (CRD) of a pixel become a block of b x b pixels. */
    DepthToSpace(n, emit) {
      const { image, block, height, width, batch, channels } = blocks(n, emit);
      const depth = exactDivide(channels, block * block) ?? n.unsupported(`${dimText(channels)} channels in blocks of ${block}`);
      const columnsFirst = n.string('mode', 'DCR') === 'CRD';
      const split = columnsFirst ? [depth, block, block] : [block, block, depth];
      const apart = emit('reshape', [image], { shape: [batch, height, width, ...split] });
      const joined = emit('transpose', [apart], { perm: columnsFirst ? [0, 1, 4, 2, 5, 3] : [0, 1, 3, 2, 4, 5] });
      const shape = [batch, multiply(height, block), multiply(width, block), depth];
      return channelsFirst(emit, emit('reshape', [joined], { shape }));
    },
    SpaceToDepth(n, emit) {
      const { image, block, height, width, batch, channels } = blocks(n, emit);
      const [rows, columns] = [height, width].map(
        (d) => exactDivide(d, block) ?? n.unsupported(`${dimText(d)} in blocks of ${block}`),
      );
      const apart = emit('reshape', [image], { shape: [batch, rows!, block, columns!, block, channels] });
      const joined = emit('transpose', [apart], { perm: [0, 1, 3, 2, 4, 5] });
      return channelsFirst(
        emit,
        emit('reshape', [joined], { shape: [batch, rows!, columns!, multiply(channels, block * block)] }),
      );
    },
  },
  reference: ([x], { perm }, [y]) => [
    tabulate(y!.shape, (index) => {
      const { shape } = x!.type;
      return x!.data[
        position(
          shape,
          shape.map((_, axis) => index[perm.indexOf(axis)]!),
        )
      ]!;
    }),
  ],
  gradient: ({ dy, attrs: { perm }, emit }) => [emit('transpose', [dy], { perm: perm.map((_, axis) => perm.indexOf(axis)) })],
  accuracy: { abs: 0, rel: 0 },
  cases: [
    permuted([], []),
    permuted([7], [0]),
    permuted([0, 3], [1, 0]),
    permuted([5, 6], [1, 0]),
    permuted([64, 33], [1, 0]),
    permuted([37, 70], [1, 0], 'i8'),
    permuted([1, 3, 13, 17], [0, 2, 3, 1]),
    permuted([2, 3, 13, 17], [0, 2, 3, 1], 'i8'),
    permuted([2, 13, 17, 3], [0, 3, 1, 2]),
    permuted([1, 13, 17, 3], [0, 3, 1, 2], 'i8'),
    permuted([2, 24, 5, 7], [0, 2, 3, 1], 'i32'),
    permuted([2, 5, 7, 24], [0, 3, 1, 2], 'bool'),
    permuted([4, 5, 6], [1, 0, 2]),
    permuted([4, 5, 3], [1, 0, 2], 'i8'),
    permuted([2, 3, 4, 5], [3, 2, 1, 0]),
    permuted([2, 3, 4, 5], [2, 3, 0, 1], 'bool'),
    permuted([2, 3, 1, 5, 4], [4, 0, 3, 2, 1], 'i32'),
    permuted([2, 3, 2, 3, 2, 3, 2, 2], [7, 6, 5, 4, 3, 2, 1, 0]),
    permuted([2, 2, 2, 3, 2, 2, 2, 3], [6, 0, 7, 1, 5, 2, 4, 3], 'i8'),
  ],
});

/** The NHWC image that an ONNX operator on blocks of pixels takes, and its dimensions. */
function blocks(n: OnnxNode, emit: Emit) {
  const x = n.input(0);
  if (x.type.shape.length !== 4) return n.unsupported(`an input of ${shapeText(x.type.shape)}, expected [N,C,H,W]`);
  const [batch, channels, height, width] = x.type.shape as [Dim, Dim, Dim, Dim];
  return { image: channelsLast(emit, x), block: n.int('blocksize'), batch, channels, height, width };
}
