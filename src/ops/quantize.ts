/** Quantize: real values to levels, clamp(round(x / scale) + zero, -128, 127) in f32, ties to even; NaN becomes the zero. */
import { WaferError } from '../core/errors';
import { elements } from '../core/shape';
import { type Case, defineOffline, defineOp, quant } from './define';
import { roundHalfEven } from './steps';

/** Elements in one row of the kernel. */
const BLOCK = 1024;

export const op = defineOp({
  name: 'quantize',
  inputs: ['x'],
  attrs: { quant: quant() },
  infer([x], { quant }) {
    if (x!.dtype !== 'f32') throw new WaferError('DTYPE', `takes f32, got ${x!.dtype}`);
    if (!quant) throw new WaferError('ARGUMENT', 'needs a quantisation');
    return [{ dtype: 'i8', shape: x!.shape, quant }];
  },
  wasm({ inputs: [x], outputs: [y], attrs: { quant } }) {
    const n = elements(x!.type.shape);
    return [{ kernel: 'f32_quantize', args: [x!, y!, n, quant!.scale, quant!.zero + 128], rows: Math.ceil(n / BLOCK) }];
  },
});

/** The level of x, with the kernel's f32 division. */
export function levelOf(x: number, { scale, zero }: { scale: number; zero: number }): number {
  const steps = roundHalfEven(Math.fround(Math.fround(x) / Math.fround(scale)));
  return Math.min(Math.max((Number.isNaN(steps) ? 0 : steps) + zero, -128), 127);
}

export const offline = defineOffline(op, {
  onnx: {},
  reference: ([x], { quant }) => [x!.data.map((value) => levelOf(value, quant!))],
  accuracy: { abs: 0, rel: 0 },
  cases: casesOf(),
});

function casesOf(): Case<{ quant: { scale: number; zero: number } | null }>[] {
  const ties = Array.from({ length: 31 }, (_, i) => (i - 15.5) / 4);
  const extremes = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 3e38, -3e38, 1e-40, -0];
  return [
    ...[0, 1, 3, 5, 15, 16, 17, 1023, 1041].map((n) => ({
      inputs: [{ shape: [n], range: [-20, 20] as const }],
      attrs: { quant: { scale: Math.fround(0.1234), zero: 17 } },
    })),
    { name: 'ties to even', inputs: [{ shape: [31], data: ties }], attrs: { quant: { scale: 0.25, zero: -1 } } },
    { name: 'extremes', inputs: [{ shape: [7], data: extremes }], attrs: { quant: { scale: 0.5, zero: 100 } } },
    {
      name: 'least zero',
      inputs: [{ shape: [100], range: [0, 6] }],
      attrs: { quant: { scale: Math.fround(6 / 255), zero: -128 } },
    },
  ];
}
