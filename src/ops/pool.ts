/**
 * Pooling over windows of an NHWC image. Quantised tensors keep their quantisation: maxima are exact, and averages are
 * integer sums times ceil(2^22 / count), rounded half up.
 */
import { WaferError } from '../core/errors';
import { elements, shapeText, typeText } from '../core/shape';
import { bool, defineOffline, defineOp, type Emit, f32, ints, type OnnxNode, oneOf, type Ref } from './define';
import { arithmetic, staticShape } from './gradient';
import { tabulate } from './indices';
import { channelsFirst, channelsLast } from './layout';
import { costOf } from './product';
import { extentOf, windowCounts, windowOf, windowUniforms } from './window';

export const op = defineOp({
  name: 'pool',
  inputs: ['x'],
  attrs: {
    fn: oneOf('max', 'average'),
    kernel: ints(1, 1),
    strides: ints(1, 1),
    /** Top, left, bottom, right; each smaller than the window. */
    pads: ints(0, 0, 0, 0),
    dilations: ints(1, 1),
    /** Windows may hang over the bottom and right; what hangs over never counts. */
    ceil: bool(false),
    /** Whether an average counts the pads, as zeros. */
    countIncludePad: bool(false),
  },
  infer([x], attrs) {
    const { dtype, shape } = x!;
    if (dtype !== 'f32' && dtype !== 'i8') throw new WaferError('DTYPE', `cannot pool ${typeText(x!)}, only f32 and i8`);
    if (shape.length !== 4) throw new WaferError('SHAPE', `expected [N,H,W,C], got ${shapeText(shape)}`);
    const [oh, ow] = windowCounts(shape.slice(1, 3), attrs, attrs.ceil);
    if (attrs.pads.some((pad, i) => pad >= extentOf(attrs.kernel[i % 2]!, attrs.dilations[i % 2]!)))
      throw new WaferError('ARGUMENT', `pads [${attrs.pads}] do not leave every window a part of the image`);
    return [{ ...x!, shape: [shape[0]!, oh!, ow!, shape[3]!] }];
  },
  wasm({ inputs: [x], outputs: [y], attrs }) {
    const [n, h, w, c] = x!.type.shape as [number, number, number, number];
    const [, oh, ow] = y!.type.shape as [number, number, number, number];
    const { kernel, strides, dilations, pads } = attrs;
    const [top, left, bottom, right] = pads as [number, number, number, number];
    if (elements(y!.type.shape) === 0) return [];
    const geometry = [x!, y!, h, w, c, oh, ow, ...kernel, ...strides, ...dilations, top, left];
    const rows = n * oh;
    const dtype = x!.type.dtype as 'f32' | 'i8';
    if (attrs.fn === 'max') return [{ kernel: `${dtype}_maxPool`, args: geometry, rows }];
    const counted = attrs.countIncludePad ? [-top, -left, h + bottom, w + right] : [0, 0, h, w];
    if (dtype === 'f32') return [{ kernel: 'f32_averagePool', args: [...geometry, ...counted], rows }];
    return [{ kernel: 'i8_averagePool', args: [...geometry, ...counted, x!.type.quant!.zero + 128], rows }];
  },
  webgpu({ inputs: [x], outputs: [y], attrs }) {
    const { fn } = attrs;
    const [, h, w, c] = x!.type.shape as [number, number, number, number];
    const [top, left, bottom, right] = attrs.pads as [number, number, number, number];
    const INT8 = x!.type.dtype === 'i8';
    const VEC = c % 4 === 0;
    const results = elements(y!.type.shape);
    const counted = attrs.countIncludePad ? [top, left, top + h + bottom, left + w + right] : [0, 0, h, w];
    const outside = INT8 ? (fn === 'max' ? -128 : x!.type.quant!.zero) : f32(Number.NEGATIVE_INFINITY);
    return [
      {
        shader: 'pool',
        flags: { FN: [fn], INT8, VEC },
        reads: [x!],
        writes: [y!],
        threads: Math.ceil(results / (VEC || INT8 ? 4 : 1)),
        uniforms: [VEC ? c / 4 : c, ...windowUniforms(x!.type.shape, y!.type.shape, attrs), ...counted, outside],
      },
    ];
  },
});

/** NCHW in, NCHW out; [N,C,L] is an image of height 1. */
function fromOnnx(fn: 'max' | 'average') {
  return (n: OnnxNode, emit: Emit): Ref => {
    if (n.outputCount > 1) return n.unsupported('indices of maxima');
    const x = n.input(0);
    const spatial = x.type.shape.slice(2);
    const window = windowOf(n, n.ints('kernel_shape'), spatial);
    const ceil = n.int('ceil_mode', 0) !== 0;
    const countIncludePad = n.int('count_include_pad', 0) !== 0;
    const [batch, channels] = x.type.shape;
    const image = spatial.length === 1 ? emit('reshape', [x], { shape: [batch!, channels!, 1, spatial[0]!] }) : x;
    const y = channelsFirst(emit, emit('pool', [channelsLast(emit, image)], { fn, ...window, ceil, countIncludePad }));
    return spatial.length === 1 ? emit('reshape', [y], { shape: [...y.type.shape.slice(0, 2), y.type.shape[3]!] }) : y;
  };
}

const quant = { scale: 0.05, zero: -17 };

export const offline = defineOffline(op, {
  onnx: { MaxPool: fromOnnx('max'), AveragePool: fromOnnx('average') },
  reference([x], { fn, kernel, strides, pads, dilations, countIncludePad }, [y]) {
    const [, h, w, c] = x!.type.shape as [number, number, number, number];
    const { quant, dtype } = x!.type;
    const [top, left, bottom, right] = pads as [number, number, number, number];
    const element = ([n, oy, ox, channel]: readonly number[]): number => {
      const taps: number[] = [];
      let padded = 0;
      for (let ky = 0; ky < kernel[0]!; ky++)
        for (let kx = 0; kx < kernel[1]!; kx++) {
          const iy = oy! * strides[0]! - top + ky * dilations[0]!;
          const ix = ox! * strides[1]! - left + kx * dilations[1]!;
          if (iy >= 0 && iy < h && ix >= 0 && ix < w) taps.push(x!.data[((n! * h + iy) * w + ix) * c + channel!]!);
          else if (iy < h + bottom && ix < w + right) padded++;
        }
      if (fn === 'max') return Math.max(...taps);
      const zeros = countIncludePad ? padded : 0;
      const count = taps.length + zeros;
      const sum = taps.reduce((s, v) => s + v, 0) + zeros * (quant?.zero ?? 0);
      if (dtype === 'f32') return sum / count;
      return Math.floor(((sum + 128 * count) * Math.ceil(2 ** 22 / count) + 2 ** 21) / 2 ** 22) - 128;
    };
    return [tabulate(y!.shape, element)];
  },
  gradient({ inputs: [x], dy, attrs, emit }) {
    if (x!.type.dtype !== 'f32') return undefined;
    const { fn, kernel, strides, pads, dilations, ceil } = attrs;
    if (fn === 'max') return [emit('maxPoolGradient', [x, dy], { kernel, strides, pads, dilations, ceil })];
    // An average is a depthwise convolution whose sums are divided by how many elements each has.
    const [, h, w, c] = staticShape(x!) as [number, number, number, number];
    const [, oh, ow] = staticShape(dy) as [number, number, number];
    const ones = { type: { dtype: 'f32', shape: [1, h, w, 1] } as const, data: new Float64Array(h * w).fill(1) };
    const averages = offline.reference([ones], attrs, [{ dtype: 'f32', shape: [1, oh, ow, 1] }])[0]!;
    const counted = tabulate([1, oh, ow, 1], ([, oy, ox]) => {
      const inside = (o: number, i: number, size: number) => {
        const taps = Array.from({ length: kernel[i]! }, (_, k) => o * strides[i]! - pads[i]! + k * dilations[i]!);
        return taps.filter((at) => at >= 0 && at < size).length;
      };
      return inside(oy!, 0, h) * inside(ox!, 1, w);
    });
    const weights = emit.constant(
      'f32',
      [1, oh, ow, 1],
      averages.map((mean, i) => mean / counted[i]!),
    );
    const by = arithmetic(emit).mul(dy, weights);
    const taps = emit.constant('f32', [c, ...kernel, 1], new Float32Array(c * kernel[0]! * kernel[1]!).fill(1));
    return [emit('convInputGradient', [by, taps], { strides, pads, dilations, group: c, image: [h, w] })];
  },
  accuracy: { abs: 1e-6, rel: 1e-6 },
  cost: (_, { kernel }, [y]) => costOf(y!, kernel[0]! * kernel[1]!),
  cases: (['max', 'average'] as const).flatMap((fn) => [
    {
      inputs: [{ shape: [1, 5, 4, 83], dtype: 'i8', quant }],
      attrs: { fn, kernel: [3, 3], strides: [2, 2], pads: [1, 1, 0, 0] },
    },
    { inputs: [[1, 6, 6, 8]], attrs: { fn, kernel: [2, 2], strides: [2, 2] } },
    { inputs: [[2, 7, 9, 3]], attrs: { fn, kernel: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] } },
    { inputs: [[1, 7, 9, 21]], attrs: { fn, kernel: [3, 2], strides: [2, 3], pads: [0, 1, 1, 0], ceil: true } },
    {
      inputs: [[1, 7, 7, 4]],
      attrs: { fn, kernel: [2, 2], strides: [3, 3], pads: [1, 1, 1, 1], ceil: true, countIncludePad: true },
    },
    { inputs: [[1, 6, 5, 6]], attrs: { fn, kernel: [3, 3], pads: [1, 2, 2, 1], countIncludePad: true } },
    { inputs: [[1, 9, 8, 16]], attrs: { fn, kernel: [3, 2], dilations: [2, 3], pads: [2, 1, 2, 1] } },
    { inputs: [[3, 1, 11, 1]], attrs: { fn, kernel: [1, 4], strides: [1, 2] } },
    { inputs: [[0, 4, 4, 8]], attrs: { fn, kernel: [2, 2] } },
    { inputs: [[2, 4, 4, 0]], attrs: { fn, kernel: [2, 2] } },
    { inputs: [{ shape: [1, 6, 6, 8], dtype: 'i8', quant }], attrs: { fn, kernel: [2, 2], strides: [2, 2] } },
    { inputs: [{ shape: [2, 7, 9, 3], dtype: 'i8', quant }], attrs: { fn, kernel: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] } },
    {
      inputs: [{ shape: [1, 7, 9, 37], dtype: 'i8', quant }],
      attrs: { fn, kernel: [3, 2], strides: [2, 3], pads: [0, 1, 1, 0], ceil: true },
    },
    {
      inputs: [{ shape: [1, 6, 5, 16], dtype: 'i8', quant }],
      attrs: { fn, kernel: [3, 3], pads: [1, 2, 2, 1], countIncludePad: true },
    },
    { inputs: [{ shape: [1, 20, 20, 12], dtype: 'i8', quant }], attrs: { fn, kernel: [17, 16], strides: [2, 2] } },
  ]),
});
