/** Softmax, or its logarithm, over the last axis. Other axes are moved there when a model is imported. */
import { WaferError } from '../core/errors';
import { elements, normalizeAxis } from '../core/shape';
import { bool, defineOffline, defineOp, type Emit, type OnnxNode, type Ref } from './define';
import { arithmetic } from './gradient';
import { partsOf } from './parts';

export const op = defineOp({
  name: 'softmax',
  inputs: ['x'],
  attrs: { log: bool() },
  infer([x]) {
    if (x!.dtype !== 'f32' || x!.shape.length === 0) throw new WaferError('DTYPE', `takes f32 with an axis, got ${x!.dtype}`);
    return [x!];
  },
  inplace: [0],
  wasm({ inputs: [x], outputs: [y], attrs: { log } }) {
    const { shape } = x!.type;
    return [{ kernel: 'f32_softmax', args: [x!, y!, shape.at(-1)!, Number(log)], rows: elements(shape.slice(0, -1)) }];
  },
  webgpu({ inputs: [x], outputs: [y], attrs: { log }, intermediate }) {
    const n = x!.type.shape.at(-1)!;
    if (n === 0) return [];
    const rows = elements(x!.type.shape.slice(0, -1));
    const { parts, length } = partsOf(rows, n);
    const threads = rows * parts;
    const ofParts = intermediate(threads * 8);
    const uniforms = [n, parts, length, Number(log)];
    return [
      { shader: 'softmax', flags: { PARTS: true }, reads: [x!], writes: [ofParts], threads, uniforms },
      { shader: 'softmax', reads: [x!, ofParts], writes: [y!], threads, uniforms },
    ];
  },
});

export const offline = defineOffline(op, {
  onnx: {
    Softmax: (n, emit) => convert(n, emit, false),
    LogSoftmax: (n, emit) => convert(n, emit, true),
  },
  reference([x], { log }) {
    const n = x!.type.shape.at(-1)!;
    const y = new Float64Array(x!.data.length);
    for (let at = 0; at < y.length; at += n) {
      const row = x!.data.subarray(at, at + n);
      const top = row.reduce((p, q) => Math.max(p, q), Number.NEGATIVE_INFINITY);
      const sum = row.reduce((s, value) => s + Math.exp(value - top), 0);
      row.forEach((value, i) => {
        y[at + i] = log ? value - top - Math.log(sum) : Math.exp(value - top) / sum;
      });
    }
    return [y];
  },
  gradient({ y, dy, attrs: { log }, emit }) {
    const { mul, sub, unary } = arithmetic(emit);
    const sum = (x: Ref) => emit('reduce', [x], { fn: 'sum', axes: [x.type.shape.length - 1], keepdims: true });
    return [log ? sub(dy, mul(unary(y, 'exp'), sum(dy))) : mul(y, sub(dy, sum(mul(dy, y))))];
  },
  accuracy: { abs: 1e-6, rel: 5e-6 },
  cases: [false, true].flatMap((log) => [
    ...[1, 2, 3, 4, 5, 7, 17, 1023].map((n) => ({ inputs: [{ shape: [3, n], range: [-8, 8] as const }], attrs: { log } })),
    { name: 'large values', inputs: [{ shape: [2, 5], range: [-1e4, 1e4] as const }], attrs: { log } },
    { name: 'long rows', inputs: [{ shape: [2, 2051], range: [-8, 8] as const }], attrs: { log } },
    { name: 'one axis', inputs: [[9]], attrs: { log } },
    { name: 'no rows', inputs: [[0, 4]], attrs: { log } },
    { name: 'no columns', inputs: [[4, 0]], attrs: { log } },
    {
      name: 'masked',
      inputs: [{ shape: [6], data: [0, Number.NEGATIVE_INFINITY, 1, 2, Number.NEGATIVE_INFINITY, -1] }],
      attrs: { log },
    },
  ]),
});

/** Before opset 13 the axes from `axis` on are one; since then it is one axis, which may have to be moved to the end. */
function convert(n: OnnxNode, emit: Emit, log: boolean): Ref {
  const x = n.input(0);
  const { shape } = x.type;
  const rank = shape.length;
  if (n.opset < 13) {
    const axis = normalizeAxis(n.int('axis', 1), rank);
    if (axis === rank - 1) return emit('softmax', [x], { log });
    const rows = emit('reshape', [x], { shape: [...shape.slice(0, axis), elements(shape.slice(axis))] });
    return emit('reshape', [emit('softmax', [rows], { log })], { shape });
  }
  const axis = normalizeAxis(n.int('axis', -1), rank);
  if (axis === rank - 1) return emit('softmax', [x], { log });
  const swap = shape.map((_, i) => (i === axis ? rank - 1 : i === rank - 1 ? axis : i));
  return emit('transpose', [emit('softmax', [emit('transpose', [x], { perm: swap })], { log })], { perm: swap });
}
