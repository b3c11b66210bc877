/** Dequantize: levels to real values, (level - zero) * scale in f32. */
import { WaferError } from '../core/errors';
import { elements } from '../core/shape';
import { defineOffline, defineOp } from './define';

/** Elements in one row of the kernel. */
const BLOCK = 1024;

export const op = defineOp({
  name: 'dequantize',
  inputs: ['x'],
  attrs: {},
  infer([x]) {
    if (!x!.quant) throw new WaferError('DTYPE', `takes a quantised tensor, got ${x!.dtype}`);
    return [{ dtype: 'f32', shape: x!.shape }];
  },
  wasm({ inputs: [x], outputs: [y] }) {
    const n = elements(x!.type.shape);
    const { scale, zero } = x!.type.quant!;
    return [{ kernel: 'i8_dequantize', args: [x!, y!, n, scale, zero + 128], rows: Math.ceil(n / BLOCK) }];
  },
  webgpu({ inputs: [x], outputs: [y], constant }) {
    const n = elements(x!.type.shape);
    const { scale, zero } = x!.type.quant!;
    // The products of JavaScript, for WGSL leaves open to which side it rounds its own.
    const table = constant('table', () => Float32Array.from({ length: 256 }, (_, i) => (i - 128 - zero) * scale));
    const flags = { WIDE: true };
    return [{ shader: 'table', flags, reads: [x!, table], writes: [y!], threads: Math.ceil(n / 4), uniforms: [n] }];
  },
});

export const offline = defineOffline(op, {
  onnx: {},
  reference([x]) {
    const { scale, zero } = x!.type.quant!;
    return [x!.data.map((level) => (level - zero) * scale)];
  },
  accuracy: { abs: 0, rel: 6e-8 },
  cases: [
    ...[0, 1, 2, 3, 5, 17, 1023, 1027].map((n) => ({
      inputs: [{ shape: [n], dtype: 'i8' as const, quant: { scale: Math.fround(0.0371), zero: -5 } }],
    })),
    {
      name: 'every level',
      inputs: [
        { shape: [256], dtype: 'i8', quant: { scale: 0.5, zero: -128 }, data: Array.from({ length: 256 }, (_, i) => i - 128) },
      ],
    },
  ],
});
