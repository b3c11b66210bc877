/**
 * Cast between plain types, as ONNX does it: floats are cut towards zero (out of range they saturate, NaN becomes 0),
 * i32 to u8 keeps the low byte, anything but 0 is true. Quantised tensors are converted by quantize and dequantize.
 */
import { DTYPES, type DType, sizeOf } from '../core/dtype';
import { WaferError } from '../core/errors';
import { elements } from '../core/shape';
import { type Case, defineOffline, defineOp, type Emit, type OnnxNode, type Operand, oneOf, type Ref } from './define';

/** Elements in one row of the kernel. */
const BLOCK = 1024;

type Target = 'f32' | 'i32' | 'u8' | 'bool';

export const op = defineOp({
  name: 'cast',
  inputs: ['x'],
  attrs: { to: oneOf('f32', 'i32', 'u8', 'bool') },
  infer([x], { to }) {
    if (x!.dtype === 'i8') throw new WaferError('DTYPE', 'takes no quantised tensor', { hint: 'use dequantize' });
    return [{ dtype: to, shape: x!.shape }];
  },
  wasm({ inputs: [x], outputs: [y] }) {
    const n = elements(x!.type.shape);
    const code = ({ type }: Operand) => DTYPES[type.dtype].code;
    return [{ kernel: 'cast', args: [x!, y!, n, code(x!), code(y!)], rows: Math.ceil(n / BLOCK) }];
  },
  webgpu({ inputs: [x], outputs: [y], attrs: { to } }) {
    const n = elements(x!.type.shape);
    const { dtype } = x!.type;
    const CONVERT = (dtype === 'f32' ? OF_FLOATS : OF_INTEGERS)[to];
    const [FROM_BYTES, TO_BYTES] = [dtype, to].map((type) => sizeOf(type) === 1) as [boolean, boolean];
    const flags = { CONVERT, FROM_BYTES, TO_BYTES, FROM_FLOATS: dtype === 'f32', TO_FLOATS: to === 'f32' };
    return [{ shader: 'cast', flags, reads: [x!], writes: [y!], threads: Math.ceil(n / 4), uniforms: [n] }];
  },
});

/** The shader's functions on the bits of elements. */
const OF_FLOATS: Readonly<Record<Target, readonly string[]>> = {
  f32: [],
  i32: ['truncated'],
  u8: ['truncated', 'saturated'],
  bool: ['unsigned', 'truth'],
};
const OF_INTEGERS: Readonly<Record<Target, readonly string[]>> = { f32: ['converted'], i32: [], u8: [], bool: ['truth'] };

export const offline = defineOffline(op, {
  onnx: {
    Cast: (n, emit) => convert(n, emit, targetOf(n)),
    CastLike: (n, emit) => convert(n, emit, n.input(1).type.dtype),
  },
  reference: ([x], { to }) => [x!.data.map((value) => CONVERT[to](value))],
  gradient: ({ inputs: [x], y, dy }) => (x!.type.dtype === 'f32' && y.type.dtype === 'f32' ? [dy] : undefined),
  accuracy: { abs: 0, rel: 6e-8 },
  cases: casesOf(),
});

const CONVERT: Readonly<Record<Target, (value: number) => number>> = {
  f32: (value) => value,
  i32: (value) => saturate(value, -(2 ** 31), 2 ** 31 - 1),
  u8: (value) => (Number.isInteger(value) && Math.abs(value) < 2 ** 31 ? value & 255 : saturate(value, 0, 255)),
  bool: (value) => Number(value !== 0),
};

const saturate = (value: number, low: number, high: number): number =>
  Number.isNaN(value) ? 0 : Math.min(Math.max(Math.trunc(value), low), high);

/** ONNX's element types; 64-bit integers and 16-bit floats are imported as their 32-bit kin. */
const ONNX_TYPES: Readonly<Record<number, DType>> = {
  1: 'f32',
  2: 'u8',
  6: 'i32',
  7: 'i32',
  9: 'bool',
  10: 'f32',
  11: 'f32',
  16: 'f32',
};

function targetOf(n: OnnxNode): DType {
  const to = n.int('to');
  return ONNX_TYPES[to] ?? n.unsupported(`element type ${to}`);
}

function convert(n: OnnxNode, emit: Emit, to: DType): Ref {
  const x = n.input(0);
  return x.type.dtype === to ? x : emit('cast', [x], { to });
}

function casesOf(): Case<{ to: Target }>[] {
  const types = ['f32', 'i32', 'u8', 'bool'] as const;
  const ranges = { f32: [-50, 50], i32: [-1000, 1000], u8: [0, 255], bool: [0, 1] } as const;
  const list: Case<{ to: Target }>[] = types.flatMap((dtype) =>
    types
      .filter((to) => !(dtype === 'f32' && to === 'u8'))
      .flatMap((to) => [1, 37, 1025].map((n) => ({ inputs: [{ shape: [n], dtype, range: ranges[dtype] }], attrs: { to } }))),
  );
  return [
    ...list,
    { name: 'extremes', inputs: [{ shape: [6], data: [Number.NaN, 1e20, -1e20, 1.999, -1.999, -0.5] }], attrs: { to: 'i32' } },
    { name: 'floats to bytes', inputs: [{ shape: [17], range: [0, 255] }], attrs: { to: 'u8' } },
    {
      name: 'extremes',
      inputs: [{ shape: [7], data: [Number.NaN, 1e20, -1e20, 300.5, 254.9, -0.5, -7.5] }],
      attrs: { to: 'u8' },
    },
    { name: 'zero and NaN', inputs: [{ shape: [4], data: [0, -0, Number.NaN, 0.1] }], attrs: { to: 'bool' } },
    { name: 'empty', inputs: [[0, 3]], attrs: { to: 'i32' } },
  ];
}
