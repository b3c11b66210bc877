/** Quantize: real values to levels, clamp(round(x / scale) + zero, -128, 127) in f32, ties to even; NaN becomes the zero. */
import { WaferError } from '../core/errors';
import { elements, type Quant } from '../core/shape';
import { type Case, defineOffline, defineOp, f32, quant } from './define';
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
  webgpu({ inputs: [x], outputs: [y], attrs, constant }) {
    const { scale, zero } = attrs.quant!;
    // Products with it and with its inverse are neither flushed to 0 nor infinite.
    if (scale < 2 ** -100 || scale > 2 ** 100)
      throw new WaferError('UNSUPPORTED', `no shader quantises by a scale of ${scale}`, { hint: "use backend: 'wasm'" });
    const least = constant('least', () => leastFloats({ scale, zero }));
    const uniforms = [zero, f32(512 * scale), f32(1 / scale)];
    const threads = Math.ceil(elements(x!.type.shape) / 4);
    return [{ shader: 'quantize', reads: [x!, least], writes: [y!], threads, uniforms }];
  },
});

/** For each level but the first the least float that has it, as shaders/lib/order.wgsl orders them. */
function leastFloats(quant: Quant): Int32Array {
  const float = new Float32Array(1);
  const bits = new Int32Array(float.buffer);
  const orderOf = (x: number) => {
    float[0] = x;
    return bits[0]! < 0 ? -(bits[0]! & 0x7fffffff) : bits[0]!;
  };
  const levelAt = (order: number) => {
    bits[0] = order < 0 ? -order | 0x80000000 : order;
    return levelOf(float[0]!, quant);
  };
  return Int32Array.from({ length: 255 }, (_, i) => {
    const level = i - 127;
    let order = orderOf((level - quant.zero - 0.5) * quant.scale);
    while (levelAt(order - 1) >= level) order--;
    while (levelAt(order) < level) order++;
    return order;
  });
}

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
