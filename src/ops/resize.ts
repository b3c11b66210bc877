/**
 * Resize of an NHWC image, nearest or bilinear. Quantised images keep their quantisation: bilinear weights are rounded
 * to 128ths on each axis, so every device computes the same integers.
 */
import { type Dim, floorDivide, isStatic, multiply, sameDim } from '../core/dim';
import { type DType, sizeOf } from '../core/dtype';
import { WaferError } from '../core/errors';
import { elements, normalizeAxis, type Shape, sameShape, shapeText, typeText } from '../core/shape';
import {
  type Block,
  type Case,
  type CaseInput,
  type Dispatch,
  defineOffline,
  defineOp,
  dims,
  type Emit,
  floats,
  type OnnxNode,
  oneOf,
  type Ref,
} from './define';
import { reshaped, staticShape } from './gradient';
import { tabulate } from './indices';
import { channelsFirst, channelsLast } from './layout';

/** In the order of the kernels' codes. */
const ROUNDINGS = ['floor', 'ceil', 'round_prefer_floor', 'round_prefer_ceil'] as const;
const COORDINATES = ['half_pixel', 'asymmetric', 'align_corners', 'pytorch_half_pixel', 'tf_half_pixel_for_nn'] as const;

type Coordinates = (typeof COORDINATES)[number];
type Rounding = (typeof ROUNDINGS)[number];

export const op = defineOp({
  name: 'resize',
  inputs: ['x'],
  attrs: {
    /** Output height and width. */
    size: dims(),
    mode: oneOf('nearest', 'linear'),
    /** ONNX's coordinate transformation modes. */
    coordinates: oneOf(...COORDINATES),
    rounding: oneOf(...ROUNDINGS),
    /** Output size over input size on each axis where it is not exactly that; else empty. */
    scales: floats(),
  },
  infer([x], { size, mode, scales }) {
    const { dtype, shape } = x!;
    if (shape.length !== 4) throw new WaferError('SHAPE', `expected [N,H,W,C], got ${shapeText(shape)}`);
    if (mode === 'linear' && dtype !== 'f32' && dtype !== 'i8')
      throw new WaferError('DTYPE', `cannot interpolate ${typeText(x!)}, only f32 and i8`);
    if (size.length !== 2 || (scales.length !== 0 && scales.length !== 2) || scales.some((s) => !(s > 0)))
      throw new WaferError('ARGUMENT', `size [${size.length}] needs two entries, scales none or two positive ones`);
    if (shape.slice(1, 3).some((d, i) => d === 0 && size[i] !== 0))
      throw new WaferError('SHAPE', `nothing to resize in ${shapeText(shape)}`);
    return [{ ...x!, shape: [shape[0]!, size[0]!, size[1]!, shape[3]!] }];
  },
  wasm({ inputs: [x], outputs: [y], attrs, intermediate }) {
    const [n, h, w, c] = x!.type.shape as [number, number, number, number];
    const [, oh, ow] = y!.type.shape as [number, number, number];
    if (y!.type.shape.includes(0)) return [];
    const nearest = attrs.mode === 'nearest';
    const table = (into: Block, size: number, out: number, scale: number | undefined): Dispatch => {
      const args = [into, size, ...coordinatesOf(attrs.coordinates, size, out, scale)];
      return nearest
        ? { kernel: 'nearestTable', args: [...args, ROUNDINGS.indexOf(attrs.rounding)], rows: out }
        : { kernel: 'linearTable', args, rows: out };
    };
    const entry = nearest ? 4 : 16;
    const [down, across] = [intermediate(oh * entry), intermediate(ow * entry)];
    const tables = [table(down, h, oh, attrs.scales[0]), table(across, w, ow, attrs.scales[1])];
    const rows = n * oh;
    if (nearest) {
      const bytes = c * sizeOf(x!.type.dtype);
      return [...tables, { kernel: 'x8_resizeNearest', args: [x!, y!, down, across, h, w, oh, ow, bytes], rows }];
    }
    const kernel = x!.type.dtype === 'f32' ? 'f32_resizeLinear' : 'i8_resizeLinear';
    return [...tables, { kernel, args: [x!, y!, down, across, h, w, c, oh, ow], rows }];
  },
  webgpu({ inputs: [x], outputs: [y], attrs, constant }) {
    const { dtype, shape } = x!.type;
    const [, h, w, c] = shape as [number, number, number, number];
    const [, oh, ow] = y!.type.shape as [number, number, number];
    const table = constant(`${[h, w]} to ${[oh, ow]}`, () => tableOf(attrs, dtype, [h, w], [oh, ow]));
    const LINEAR = attrs.mode === 'linear';
    const bytes = c * sizeOf(dtype);
    // The nearest pixel is moved as words where it is some.
    const INT8 = sizeOf(dtype) === 1 && (LINEAR || bytes % 4 !== 0);
    const channels = INT8 ? c : bytes / 4;
    const VEC = channels % 4 === 0;
    const results = elements(y!.type.shape.slice(0, 3)) * channels;
    return [
      {
        shader: 'resize',
        flags: { LINEAR, INT8, VEC },
        reads: [x!, table],
        writes: [y!],
        threads: Math.ceil(results / (INT8 || VEC ? 4 : 1)),
        uniforms: [VEC ? channels / 4 : channels, h, w, oh, ow],
      },
    ];
  },
});

const ROUND: Readonly<Record<Rounding, (at: number) => number>> = {
  floor: Math.floor,
  ceil: Math.ceil,
  round_prefer_floor: (at) => Math.ceil(at - 0.5),
  round_prefer_ceil: (at) => Math.floor(at + 0.5),
};

interface Sampling {
  mode: 'nearest' | 'linear';
  coordinates: Coordinates;
  rounding: Rounding;
  scales: readonly number[];
}

const in128ths = (weight: number): number => Math.floor(weight * 128 + 0.5);

/**
 * What shaders/resize.wgsl reads: for each row and then each column of the output the input's row or column, the one after it and
 * the weight of that, of levels in 128ths.
 */
function tableOf(
  { mode, coordinates, rounding, scales }: Sampling,
  dtype: DType,
  sizes: readonly number[],
  outs: readonly number[],
): Int32Array {
  const indices = new Int32Array(3 * (outs[0]! + outs[1]!));
  const weights = new Float32Array(indices.buffer);
  let entry = 0;
  sizes.forEach((size, axis) => {
    const out = outs[axis]!;
    const [shift, numerator, denominator, origin] = coordinatesOf(coordinates, size, out, scales[axis]);
    for (let o = 0; o < out; o++, entry += 3) {
      const at = ((o + shift) * numerator) / denominator + origin;
      const inside = Math.min(Math.max(mode === 'nearest' ? ROUND[rounding](at) : at, 0), size - 1);
      const first = Math.floor(inside);
      indices[entry] = first;
      indices[entry + 1] = Math.min(first + 1, size - 1);
      weights[entry + 2] = dtype === 'i8' ? in128ths(inside - first) : inside - first;
    }
  });
  return indices;
}

/** shift, numerator, denominator and origin of input coordinate = ((o + shift) * numerator) / denominator + origin. */
function coordinatesOf(mode: Coordinates, size: number, out: number, scale?: number): [number, number, number, number] {
  const [numerator, denominator] = scale === undefined ? [size, out] : [1, scale];
  if (mode === 'asymmetric') return [0, numerator, denominator, 0];
  if (mode === 'tf_half_pixel_for_nn') return [0.5, numerator, denominator, 0];
  if (mode === 'align_corners') return out > 1 ? [0, size - 1, out - 1, 0] : [0, 0, 1, 0];
  if (mode === 'pytorch_half_pixel' && out === 1) return [0, 0, 1, 0];
  return [0.5, numerator, denominator, -0.5];
}

/** What ONNX asks for: the output's shape, and scales of all axes where they say more than the shapes do. */
interface Target {
  readonly shape: Shape;
  readonly scales?: readonly number[];
}

/** Resizes the spatial axes of NCHW, NCL or NHWC, whichever leaves the others alone. */
function resized(
  n: OnnxNode,
  emit: Emit,
  { shape, scales }: Target,
  attrs: { coordinates: Coordinates; rounding: Rounding },
): Ref {
  const x = n.input(0);
  const from = x.type.shape;
  if (sameShape(from, shape)) return x;
  const mode = { nearest: 'nearest', linear: 'linear', bilinear: 'linear' }[n.string('mode', 'nearest')];
  if (!mode) return n.unsupported(`mode ${n.string('mode')}`);
  const kept = (...axes: number[]) => axes.every((axis) => sameDim(from[axis]!, shape[axis]!));
  const resize = (image: Ref, axes: readonly number[]): Ref =>
    emit('resize', [image], {
      ...attrs,
      mode,
      size: axes.map((axis) => shape[axis] ?? 1),
      scales: scales ? axes.map((axis) => scales[axis] ?? 1) : [],
    });
  if (from.length === 4 && kept(0, 1)) return channelsFirst(emit, resize(channelsLast(emit, x), [2, 3]));
  if (from.length === 4 && kept(0, 3)) return resize(x, [1, 2]);
  if (from.length === 3 && kept(0, 1)) {
    const line = emit('reshape', [x], { shape: [from[0]!, from[1]!, 1, from[2]!] });
    // Axis 3 does not exist: height 1 stays.
    return emit('reshape', [channelsFirst(emit, resize(channelsLast(emit, line), [3, 2]))], { shape });
  }
  return n.unsupported(`resizing ${shapeText(from)} to ${shapeText(shape)}`);
}

/** The target of given scales: floor(size * scale), as onnxruntime computes it in f32. */
function scaled(n: OnnxNode, scales: readonly number[]): Target {
  const shape = n.input(0).type.shape.map((d, i): Dim => {
    const scale = scales[i]!;
    if (isStatic(d)) return Math.floor(Math.fround(d * Math.fround(scale)));
    const divisor = [1, 2, 3, 4, 5, 6, 8, 16, 32].find((q) => Number.isInteger(Math.fround(scale * q)));
    if (divisor === undefined) return n.unsupported(`scale ${scale} of a free dimension`);
    return floorDivide(multiply(d, Math.fround(scale * divisor)), divisor);
  });
  return { shape, scales };
}

/** A list over some axes as one over all. */
function spread<T>(rank: number, axes: readonly number[], given: readonly T[], otherwise: (axis: number) => T): T[] {
  const all = Array.from({ length: rank }, (_, axis) => otherwise(axis));
  axes.forEach((axis, i) => (all[normalizeAxis(axis, rank)] = given[i]!));
  return all;
}

const quant = { scale: 0.02, zero: 4 };
type Attributes = Parameters<typeof op.infer>[1];
const image = (shape: number[], attrs: Partial<Attributes>, dtype: 'f32' | 'i8' | 'i32' = 'f32'): Case<Attributes> => {
  const input: CaseInput = dtype === 'i8' ? { shape, dtype, quant } : { shape, dtype };
  return { inputs: [input], attrs };
};

export const offline = defineOffline(op, {
  onnx: {
    Resize(n, emit) {
      const x = n.input(0);
      const rank = x.type.shape.length;
      if (n.opset < 11) {
        const scales = n.numbers(1) ?? n.unsupported('scales that depend on data');
        return resized(n, emit, scaled(n, scales), { coordinates: 'asymmetric', rounding: 'floor' });
      }
      if (n.int('antialias', 0) !== 0) return n.unsupported('antialias');
      if (n.string('keep_aspect_ratio_policy', 'stretch') !== 'stretch') return n.unsupported('keeping the aspect ratio');
      const coordinates = n.string('coordinate_transformation_mode', 'half_pixel') as Coordinates;
      const rounding = n.string('nearest_mode', 'round_prefer_floor') as Rounding;
      if (!COORDINATES.includes(coordinates)) return n.unsupported(`coordinates ${coordinates}`);
      if (!ROUNDINGS.includes(rounding)) return n.unsupported(`rounding ${rounding}`);
      const axes = n.ints(
        'axes',
        x.type.shape.map((_, i) => i),
      );
      const sizes = n.inputs[3] && (n.dims(3) ?? n.unsupported('sizes that depend on data'));
      if (sizes?.length)
        return resized(n, emit, { shape: spread(rank, axes, sizes, (i) => x.type.shape[i]!) }, { coordinates, rounding });
      const scales = n.numbers(2) ?? n.unsupported('scales that depend on data');
      return resized(
        n,
        emit,
        scaled(
          n,
          spread(rank, axes, scales, () => 1),
        ),
        { coordinates, rounding },
      );
    },
    Upsample(n, emit) {
      const scales = n.opset >= 9 ? n.numbers(1) : n.floats('scales');
      if (!scales) return n.unsupported('scales that depend on data');
      return resized(n, emit, scaled(n, scales), { coordinates: 'asymmetric', rounding: 'floor' });
    },
  },
  reference([x], { mode, coordinates, rounding, scales }, [y]) {
    const [, h, w, c] = x!.type.shape as [number, number, number, number];
    const [, oh, ow] = y!.shape as [number, number, number];
    /** Where output index o falls on an input axis. */
    const coordinate = (o: number, size: number, out: number, scale?: number): number => {
      const stretched = (at: number) => (scale === undefined ? (at * size) / out : at / scale);
      if (coordinates === 'asymmetric') return stretched(o);
      if (coordinates === 'tf_half_pixel_for_nn') return stretched(o + 0.5);
      if (coordinates === 'align_corners') return out > 1 ? (o * (size - 1)) / (out - 1) : 0;
      if (coordinates === 'pytorch_half_pixel' && out === 1) return 0;
      return stretched(o + 0.5) - 0.5;
    };
    const inside = (at: number, size: number) => Math.min(Math.max(at, 0), size - 1);
    const nearest = (at: number): number => {
      if (rounding === 'floor') return Math.floor(at);
      if (rounding === 'ceil') return Math.ceil(at);
      return rounding === 'round_prefer_floor' ? Math.ceil(at - 0.5) : Math.floor(at + 0.5);
    };
    const element = ([n, oy, ox, channel]: readonly number[]): number => {
      const pixel = (iy: number, ix: number) => x!.data[((n! * h + iy) * w + ix) * c + channel!]!;
      const [cy, cx] = [coordinate(oy!, h, oh, scales[0]), coordinate(ox!, w, ow, scales[1])];
      if (mode === 'nearest') return pixel(inside(nearest(cy), h), inside(nearest(cx), w));
      const [ay, ax] = [inside(cy, h), inside(cx, w)];
      const [y0, x0] = [Math.floor(ay), Math.floor(ax)];
      const [y1, x1] = [Math.min(y0 + 1, h - 1), Math.min(x0 + 1, w - 1)];
      const blend = (wy: number, wx: number, one: number) =>
        (one - wy) * ((one - wx) * pixel(y0, x0) + wx * pixel(y0, x1)) + wy * ((one - wx) * pixel(y1, x0) + wx * pixel(y1, x1));
      if (x!.type.dtype === 'f32') return blend(ay - y0, ax - x0, 1);
      return Math.floor((blend(in128ths(ay - y0), in128ths(ax - x0), 128) + 2 ** 13) / 2 ** 14);
    };
    return [tabulate(y!.shape, element)];
  },
  gradient({ inputs: [x], dy, attrs, emit }) {
    if (x!.type.dtype !== 'f32') return undefined;
    const [n, h, w, c] = staticShape(x!) as [number, number, number, number];
    const [, oh, ow] = staticShape(dy) as [number, number, number];
    // An axis is resized by a matrix; its rows are what images of one 1 become.
    const matrix = (size: number, out: number, axis: 0 | 1) => {
      const shape = (length: number) => (axis === 0 ? [1, length, 1, size] : [1, 1, length, size]);
      const ones = {
        type: { dtype: 'f32', shape: shape(size) } as const,
        data: tabulate([size, size], ([i, k]) => Number(i === k)),
      };
      const scales = attrs.scales.length ? attrs.scales.map((s, i) => (i === axis ? s : 1)) : [];
      const [of] = offline.reference([ones], { ...attrs, scales }, [{ dtype: 'f32', shape: shape(out) }]);
      return emit.constant(
        'f32',
        [size, out],
        tabulate([size, out], ([i, o]) => of![o! * size + i!]!),
      );
    };
    const down = emit('matmul', [matrix(h, oh, 0), reshaped(emit, dy, [n, oh, ow * c])]);
    const across = emit('matmul', [matrix(w, ow, 1), reshaped(emit, down, [n * h, ow, c])]);
    return [reshaped(emit, across, [n, h, w, c])];
  },
  accuracy: { abs: 1e-6, rel: 1e-6 },
  cases: [
    ...COORDINATES.flatMap((coordinates) =>
      ROUNDINGS.map((rounding) => image([1, 5, 7, 3], { size: [8, 4], coordinates, rounding })),
    ),
    ...COORDINATES.flatMap((coordinates) =>
      (['f32', 'i8'] as const).flatMap((dtype) => [
        image([1, 5, 7, 3], { size: [8, 4], mode: 'linear', coordinates }, dtype),
        image([2, 3, 4, 12], { size: [6, 8], mode: 'linear', coordinates }, dtype),
      ]),
    ),
    image([2, 3, 4, 8], { size: [6, 8], coordinates: 'asymmetric', rounding: 'floor' }),
    image([2, 3, 4, 8], { size: [6, 8], coordinates: 'asymmetric', rounding: 'floor' }, 'i8'),
    image([2, 3, 4, 3], { size: [5, 7] }, 'i8'),
    image([1, 3, 4, 5], { size: [6, 6], coordinates: 'asymmetric' }, 'i32'),
    image([1, 6, 6, 1], { size: [1, 1], mode: 'linear', coordinates: 'pytorch_half_pixel' }),
    image([1, 6, 6, 1], { size: [1, 1], mode: 'linear', coordinates: 'align_corners' }),
    image([1, 1, 1, 5], { size: [3, 4], mode: 'linear' }),
    image([1, 10, 10, 4], { size: [7, 13], mode: 'linear', scales: [0.75, 1.3] }),
    image([1, 10, 10, 19], { size: [7, 13], mode: 'linear', scales: [0.75, 1.3] }, 'i8'),
    image([1, 10, 10, 2], { size: [7, 13], coordinates: 'asymmetric', rounding: 'floor', scales: [0.75, 1.3] }),
    image([0, 4, 4, 2], { size: [8, 8], mode: 'linear' }),
    image([1, 4, 4, 2], { size: [0, 8] }),
  ],
});
