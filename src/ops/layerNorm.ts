/** Layer normalisation over the last axis: (x - mean) / sqrt(variance + epsilon) * gamma + beta. */
import { WaferError } from '../core/errors';
import { elements, normalizeAxis, sameShape, typeText } from '../core/shape';
import { type Case, defineOffline, defineOp, f32, float, type Ref } from './define';
import { arithmetic, staticShape, sumTo } from './gradient';
import { partsOf } from './parts';

export const op = defineOp({
  name: 'layerNorm',
  /** gamma and beta: f32[C] for x[..., C]. */
  inputs: ['x', 'gamma?', 'beta?'],
  attrs: { epsilon: float(1e-5) },
  infer([x, gamma, beta]) {
    if (x!.dtype !== 'f32' || x!.shape.length === 0) throw new WaferError('DTYPE', `takes f32 with an axis, got ${typeText(x!)}`);
    for (const p of [gamma, beta])
      if (p && (p.dtype !== 'f32' || !sameShape(p.shape, x!.shape.slice(-1))))
        throw new WaferError('SHAPE', `gamma and beta match the last axis of ${typeText(x!)}, got ${typeText(p)}`);
    return [x!];
  },
  inplace: [0],
  wasm({ inputs: [x, gamma, beta], outputs: [y], attrs: { epsilon } }) {
    const { shape } = x!.type;
    const args = [x!, y!, shape.at(-1)!, gamma ?? 0, beta ?? 0, epsilon];
    return [{ kernel: 'f32_layerNorm', args, rows: elements(shape.slice(0, -1)) }];
  },
  webgpu({ inputs: [x, gamma, beta], outputs: [y], attrs: { epsilon }, intermediate }) {
    const n = x!.type.shape.at(-1)!;
    if (n === 0) return [];
    const rows = elements(x!.type.shape.slice(0, -1));
    const { parts, length } = partsOf(rows, n);
    const threads = rows * parts;
    const ofParts = intermediate(threads * 8);
    const geometry = [n, parts, length];
    return [
      { shader: 'layerNorm', flags: { PARTS: true }, reads: [x!], writes: [ofParts], threads, uniforms: geometry },
      {
        shader: 'layerNorm',
        reads: [x!, ofParts, gamma ?? x!, beta ?? x!],
        writes: [y!],
        threads,
        uniforms: [...geometry, f32(epsilon), Number(!!gamma), Number(!!beta)],
      },
    ];
  },
});

export const offline = defineOffline(op, {
  onnx: {
    LayerNormalization(n, emit) {
      const x = n.input(0);
      const { shape } = x.type;
      const [gamma, beta] = [n.inputs[1], n.inputs[2]];
      if (n.outputCount > 1) return n.unsupported('the mean and deviation outputs');
      const epsilon = n.float('epsilon', 1e-5);
      const axis = normalizeAxis(n.int('axis', -1), shape.length);
      if (axis === shape.length - 1) return emit('layerNorm', [x, gamma, beta], { epsilon });
      const flat = elements(shape.slice(axis));
      const row = (p: typeof gamma) => p && emit('reshape', [p], { shape: [flat] });
      const rows = emit('reshape', [x], { shape: [...shape.slice(0, axis), flat] });
      return emit('reshape', [emit('layerNorm', [rows, row(gamma), row(beta)], { epsilon })], { shape });
    },
  },
  reference([x, gamma, beta], { epsilon }) {
    const n = x!.type.shape.at(-1)!;
    const y = new Float64Array(x!.data.length);
    for (let at = 0; at < y.length; at += n) {
      const row = x!.data.subarray(at, at + n);
      const mean = row.reduce((s, v) => s + v, 0) / n;
      const variance = row.reduce((s, v) => s + (v - mean) ** 2, 0) / n;
      row.forEach((v, i) => {
        const normal = (v - mean) / Math.sqrt(variance + epsilon);
        y[at + i] = normal * (gamma?.data[i] ?? 1) + (beta?.data[i] ?? 0);
      });
    }
    return [y];
  },
  gradient({ inputs: [x, gamma, beta], dy, attrs: { epsilon }, wants, emit }) {
    const { add, div, mul, sub, unary } = arithmetic(emit);
    const mean = (of: Ref) => emit('reduce', [of], { fn: 'mean', axes: [of.type.shape.length - 1], keepdims: true });
    const centred = sub(x!, mean(x!));
    const deviation = unary(add(mean(unary(centred, 'square')), epsilon), 'sqrt');
    const normal = div(centred, deviation);
    const by = gamma ? mul(dy, gamma) : dy;
    return [
      wants(0) ? div(sub(sub(by, mean(by)), mul(normal, mean(mul(by, normal)))), deviation) : undefined,
      gamma && wants(1) ? sumTo(emit, mul(dy, normal), staticShape(gamma)) : undefined,
      beta && wants(2) ? sumTo(emit, dy, staticShape(beta)) : undefined,
    ];
  },
  accuracy: { abs: 5e-6, rel: 1e-5 },
  cases: [
    ...[1, 2, 3, 5, 17, 120, 1023].map(
      (n): Case<{ epsilon: number }> => ({ inputs: [{ shape: [3, n], range: [-4, 6] }, [n], [n]] }),
    ),
    { name: 'no gamma', inputs: [[2, 3, 7], null, [7]] },
    { name: 'no beta', inputs: [[2, 3, 7], [7]] },
    { name: 'neither', inputs: [[2, 9]], attrs: { epsilon: 1e-3 } },
    { name: 'constant rows', inputs: [{ shape: [2, 6], range: [3, 3] }, [6], [6]] },
    { name: 'no rows', inputs: [[0, 5], [5], [5]] },
  ],
});
