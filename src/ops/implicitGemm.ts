/**
 * f32 products on a GPU: shaders/conv.wgsl multiplies windows of an image by constant weights, and so the rows of a matrix, as
 * an image of one row with windows of one pixel. Depthwise convolutions have shaders/depthwise.wgsl.
 */
import { elements } from '../core/shape';
import type { GpuDispatch, GpuLowering } from './define';
import { constantOf, type ProductAttrs } from './product';
import { columnsOf, type Geometry, readsFours, shaderClamps, tileOf } from './tiles';
import { type Window, windowUniforms } from './window';

/**
 * A product of f32: windows over the images x [N,H,W,C] with weights [O,KH,KW,C/group], for outputs y [N,OH,OW,O]. The node's
 * operands have these elements in any shape. Throws UNSUPPORTED for weights that are not constant.
 */
export function implicitGemm(
  { inputs, outputs, attrs, gpu, constant }: GpuLowering<ProductAttrs>,
  { x: image, y, window, group }: Geometry,
): GpuDispatch[] {
  const [x, w, bias, , residual] = inputs;
  const [c, o] = [image[3]!, y[3]!];
  const [depth, n] = [c / group, o / group];
  const rows = elements(y.slice(0, 3));
  const data = constantOf('w', w!);
  const [TM, TN] = tileOf(rows, gpu.isSoftware);
  const VX = readsFours(gpu, depth);
  const VY = n % 4 === 0;
  const groupTiles = Math.ceil(n / (4 * TN));
  const tiles = group * groupTiles;
  const shape = { n, groupTiles, width: 4 * TN, taps: window.kernel[0]! * window.kernel[1]!, depth, unit: VX ? 4 : 1 };
  const weights = constant(`w ${TN} ${VX}`, () => tiledWeights(data, tiles, shape));
  const biases = constant(`bias ${TN}`, () => tiledBias(bias && constantOf('bias', bias), tiles, shape));
  const { ACT, uniforms } = shaderClamps(attrs.act);
  return [
    {
      shader: 'conv',
      flags: { TM, TN, VX, VY, ACT },
      reads: [x!, weights, biases, residual ?? biases],
      writes: [outputs[0]!],
      threads: tiles * Math.ceil(rows / TM),
      uniforms: [
        ...windowUniforms(image, y, window),
        ...[rows, c, depth, o, n, tiles, groupTiles, residual ? 1 : 0],
        ...uniforms,
      ],
    },
  ];
}

interface Tiling {
  /** Outputs of a group, the tiles of them, and outputs of a tile. */
  n: number;
  groupTiles: number;
  width: number;
  taps: number;
  depth: number;
  /** Channels of which a four of outputs has its weights together; a divisor of depth. */
  unit: number;
}

/** First output of a tile, and how many it has. */
function outputsOf(tile: number, { n, groupTiles, width }: Tiling): [first: number, count: number] {
  const within = (tile % groupTiles) * width;
  return [Math.floor(tile / groupTiles) * n + within, Math.min(width, n - within)];
}

/** Weights [o][tap][channel] as [tile][tap][unit of channels][four of outputs][channel][output], 0 beyond a group's outputs. */
function tiledWeights(data: ArrayLike<number>, tiles: number, tiling: Tiling): Float32Array {
  const { width, taps, depth, unit } = tiling;
  const length = taps * depth;
  const packed = new Float32Array(Math.max(1, tiles * length) * width);
  for (let at = 0, tile = 0; tile < tiles; tile++) {
    const [first, count] = outputsOf(tile, tiling);
    // Taps follow one another as units do.
    for (let k = 0; k < length; k += unit)
      for (let four = 0; four < width; four += 4)
        for (let j = 0; j < unit; j++)
          for (let i = four; i < four + 4; i++, at++) if (i < count) packed[at] = data[(first + i) * length + k + j]!;
  }
  return packed;
}

/** Biases by tile, 0 where there is none. */
function tiledBias(data: ArrayLike<number> | undefined, tiles: number, tiling: Tiling): Float32Array {
  const packed = new Float32Array(tiles * tiling.width);
  if (!data) return packed;
  for (let tile = 0; tile < tiles; tile++) {
    const [first, count] = outputsOf(tile, tiling);
    for (let i = 0; i < count; i++) packed[tile * tiling.width + i] = data[first + i]!;
  }
  return packed;
}

/** A depthwise convolution of f32, of images `x` [N,H,W,C] with one filter [KH,KW] a channel. Throws UNSUPPORTED. */
export function depthwise(
  { inputs, outputs, attrs, gpu, constant }: GpuLowering<ProductAttrs>,
  { kernel: [kh, kw], ...rest }: Window,
): GpuDispatch[] {
  const [x, w, bias, , residual] = inputs;
  const [y] = outputs;
  const [images, oh, ow, c] = y!.type.shape as [number, number, number, number];
  const data = constantOf('w', w!);
  const taps = kh! * kw!;
  const V4 = c % 4 === 0;
  const unit = V4 ? 4 : 1;
  const window = { kernel: [kh!, kw!], ...rest };
  const columns = columnsOf(window, oh, gpu);
  const weights = constant('w', () => {
    const packed = new Float32Array(c * taps);
    for (let channel = 0; channel < c; channel++)
      for (let tap = 0; tap < taps; tap++)
        packed[(channel - (channel % unit)) * taps + tap * unit + (channel % unit)] = data[channel * taps + tap]!;
    return packed;
  });
  const biases = bias ?? constant('bias', () => new Float32Array(c));
  const { ACT, uniforms } = shaderClamps(attrs.act);
  return [
    {
      shader: 'depthwise',
      flags: { ...columns.flags, V4, ACT },
      reads: [x!, weights, biases, residual ?? biases],
      writes: [y!],
      threads: (c / unit) * ow * columns.count * images,
      uniforms: [
        ...windowUniforms(x!.type.shape, y!.type.shape, window),
        ...[c / unit, ...columns.uniforms, residual ? 1 : 0],
        ...uniforms,
      ],
    },
  ];
}
