/** Select: a where the condition holds, b elsewhere. Each operand has the output's shape or one element. */

import { isStatic } from '../core/dim';
import { sizeOf } from '../core/dtype';
import { WaferError } from '../core/errors';
import { broadcast, elements, type Shape, sameShape, shapeText, typeText } from '../core/shape';
import { defineOffline, defineOp, type Operand, type Ref } from './define';
import { arithmetic, staticShape, sumTo } from './gradient';

/** Elements in one row of the kernels. */
const BLOCK = 1024;

export const op = defineOp({
  name: 'select',
  inputs: ['condition', 'a', 'b'],
  attrs: {},
  infer([condition, a, b]) {
    if (condition!.dtype !== 'bool') throw new WaferError('DTYPE', `the condition is bool, got ${typeText(condition!)}`);
    const { dtype, quant } = a!;
    if (dtype !== b!.dtype || quant?.scale !== b!.quant?.scale || quant?.zero !== b!.quant?.zero)
      throw new WaferError('DTYPE', `takes two operands of one type, got ${typeText(a!)} and ${typeText(b!)}`);
    const shape = broadcast(broadcast(condition!.shape, a!.shape), b!.shape);
    for (const x of [condition!, a!, b!])
      if (!isSingle(x.shape) && !sameElements(x.shape, shape))
        throw new WaferError('SHAPE', `an operand has the output's shape ${shapeText(shape)} or one element, got ${typeText(x)}`);
    return [{ dtype, shape, quant }];
  },
  inplace: [1, 2],
  wasm({ inputs, outputs: [y] }) {
    const n = elements(y!.type.shape);
    const advances = stepsOf(inputs);
    const kernel = sizeOf(y!.type.dtype) === 4 ? 'f32_select' : 'u8_select';
    const [condition, a, b] = inputs;
    return [{ kernel, args: [condition!, a!, b!, y!, n, ...advances], rows: Math.ceil(n / BLOCK) }];
  },
  webgpu({ inputs, outputs: [y] }) {
    const n = elements(y!.type.shape);
    const BYTES = sizeOf(y!.type.dtype) === 1;
    const uniforms = [n, ...stepsOf(inputs)];
    return [
      { shader: 'select', flags: { BYTES }, reads: inputs as Operand[], writes: [y!], threads: Math.ceil(n / 4), uniforms },
    ];
  },
});

/** Whether each operand advances (1) or is one element (0). */
const stepsOf = (inputs: readonly (Operand | undefined)[]): number[] =>
  inputs.map((x) => (elements(x!.type.shape) === 1 ? 0 : 1));

const isSingle = (shape: Shape): boolean => shape.every((d) => d === 1);

/** Whether the shapes agree but for leading ones, as far as that is known. */
function sameElements(a: Shape, b: Shape): boolean {
  const [p, q] = [a, b].map((shape) => shape.slice(shape.findIndex((d) => d !== 1)));
  return p!.length === q!.length && p!.every((d, i) => !isStatic(d) || !isStatic(q![i]!) || d === q![i]);
}

export const offline = defineOffline(op, {
  onnx: {
    Where(n, emit) {
      const inputs = [n.input(0), n.input(1), n.input(2)];
      const shape = inputs.reduce<Shape>((s, x) => broadcast(s, x.type.shape), []);
      const full = (x: Ref) => (isSingle(x.type.shape) || sameShape(x.type.shape, shape) ? x : emit('expand', [x], { shape }));
      return emit('select', inputs.map(full));
    },
  },
  reference([condition, a, b], _, [y]) {
    const at = (x: { data: Float64Array }, i: number) => x.data[x.data.length === 1 ? 0 : i]!;
    const n = elements(y!.shape);
    return [Float64Array.from({ length: n }, (_, i) => (at(condition!, i) ? at(a!, i) : at(b!, i)))];
  },
  gradient({ inputs: [condition, a, b], dy, emit }) {
    if (a!.type.dtype !== 'f32') return undefined;
    const { mul, sub } = arithmetic(emit);
    const chosen = emit('cast', [condition], { to: 'f32' });
    return [undefined, sumTo(emit, mul(dy, chosen), staticShape(a!)), sumTo(emit, mul(dy, sub(1, chosen)), staticShape(b!))];
  },
  accuracy: { abs: 0, rel: 6e-8 },
  cases: [
    { inputs: [{ shape: [5, 7], dtype: 'bool' }, [5, 7], [5, 7]] },
    { inputs: [{ shape: [1030], dtype: 'bool' }, [1], [1030]] },
    { inputs: [{ shape: [3, 5], dtype: 'bool' }, [3, 5], []] },
    { inputs: [{ shape: [], dtype: 'bool' }, [3, 5], [3, 5]] },
    { inputs: [{ shape: [0], dtype: 'bool' }, [0], [1]] },
    {
      inputs: [
        { shape: [9], dtype: 'bool' },
        { shape: [9], dtype: 'i32' },
        { shape: [1], dtype: 'i32' },
      ],
    },
    {
      inputs: [
        { shape: [9], dtype: 'bool' },
        { shape: [9], dtype: 'bool' },
        { shape: [9], dtype: 'bool' },
      ],
    },
    {
      inputs: [
        { shape: [33], dtype: 'bool' },
        { shape: [33], dtype: 'i8', quant: { scale: 0.5, zero: 3 } },
        { shape: [1], dtype: 'i8', quant: { scale: 0.5, zero: 3 } },
      ],
    },
  ],
});
