/**
 * Integer products on WebGPU: every convolution and matrix product is one of matrices, whose rows are the windows of an image
 * (shaders/convInt8.wgsl), but for depthwise convolutions (shaders/depthwiseInt8.wgsl). Sums are exact however they are computed,
 * so results are those of the other devices.
 */
import type { TypedArray } from '../core/dtype';
import { WaferError } from '../core/errors';
import { elements } from '../core/shape';
import { shaderCurve } from './curve';
import { type Block, type Float, f32, type GpuDispatch, type GpuLowering, type Operand } from './define';
import { bytesOf, type ShaderCodes, shaderCodes } from './levels';
import { channelParameters, constantOf, curveOf, type ProductAttrs, scalingOf, splitClamp } from './product';
import { shaderSteps } from './steps';
import { columnsOf, type Geometry } from './tiles';
import { windowUniforms } from './window';

type Node = GpuLowering<ProductAttrs>;

/** Words of 4 output channels of an invocation. */
const TN = 2;
/** Words of products that are summed in f32: so many stay within 2^24. */
const EXACT = 256;
/** Of a channel, whose products are summed in f32. */
const MOST_TAPS = 1024;

const words = (bytes: number): number => Math.ceil(bytes / 4);

/** The node, by whichever shader suits. Throws UNSUPPORTED for weights that are not constant, VALUE for broken quantisation. */
export function implicitGemmInt8(node: Node, geometry: Geometry): GpuDispatch[] {
  constantOf('w', node.inputs[1]!);
  if (elements(geometry.y) === 0) return [];
  const { x, y, group } = geometry;
  return group > 1 && group === x[3] && group === y[3] ? depthwise(node, geometry) : product(node, geometry);
}

function product(node: Node, { x, y, window, group }: Geometry): GpuDispatch[] {
  const { gpu, attrs, constant, inputs, outputs } = node;
  const data = constantOf('w', inputs[1]!);
  const [c, n] = [x[3]!, y[3]!];
  const [share, channels] = [c / group, n / group];
  const rows = elements(y) / n;
  const isFloat = !attrs.quant;
  const isRagged = [c, share, ...(isFloat ? [] : [channels])].some((count) => count % 4 > 0);
  // Few layers are ragged, and software compiles the larger tile for longer than they take.
  const TM = rows <= 2 ? 1 : gpu.isSoftware && !isRagged ? 8 : 4;
  const depth = words(share);
  const tiles = Math.ceil(channels / (4 * TN));
  const taps = window.kernel[0]! * window.kernel[1]!;
  const codes = shaderCodes(inputs[1]!, taps, share);
  const run = codes?.bits === 2 ? Math.ceil(depth / 2) : depth;
  const isWide = gpu.isSoftware && !gpu.packedDot && !codes;
  const weights = constant(isWide ? 'w f32' : 'w', () => {
    const bytes = packed(data, codes, group, channels, taps, share);
    return isWide ? widened(bytes) : bytes;
  });
  const epilogue = epilogueOf(node, group, gpu.isSoftware);
  const unit = isRagged ? 1 : 4;
  const atOnce = gpu.packedDot ? [depth, taps] : [EXACT, Math.max(1, Math.floor(EXACT / Math.max(1, depth)))];
  const target = denseTarget(node, rows, group, channels, isFloat);
  return [
    {
      shader: 'convInt8',
      flags: {
        ...epilogue.flags,
        RAGGED: isRagged,
        DOT: gpu.packedDot,
        SOFTWARE: gpu.isSoftware,
        WIDE: isWide,
        CODES: codes?.bits ?? 0,
        TABLE: codes?.isTable ?? false,
        TM,
        TN,
      },
      reads: [inputs[0]!, weights, ...epilogue.reads],
      writes: [target.block],
      threads: Math.ceil(rows / TM) * tiles * group,
      uniforms: [
        ...windowUniforms(x, y, window),
        ...[rows, c / unit, share / unit, depth, run, ...atOnce, bytesOf(inputs[0]!.type.quant!.zero)],
        ...[tiles, words(channels), channels, tiles * group, words(channels) * group, n],
        ...(codes?.uniforms ?? []),
        ...epilogue.uniforms,
      ],
    },
    ...target.dispatches(outputs[0]!),
  ];
}

function depthwise(node: Node, { x, y, window }: Geometry): GpuDispatch[] {
  const { attrs, constant, inputs, outputs, gpu } = node;
  const data = constantOf('w', inputs[1]!);
  const [n, oh, ow, c] = y as [number, number, number, number];
  const [kh, kw] = window.kernel as [number, number];
  const taps = kh * kw;
  const isSoftware = gpu.isSoftware && taps <= MOST_TAPS;
  const weights = constant(isSoftware ? 'w f32' : 'w', () => {
    const levels = new (isSoftware ? Float32Array : Int8Array)(4 * words(c) * taps);
    for (let tap = 0; tap < taps; tap++)
      for (let channel = 0; channel < c; channel++)
        levels[4 * (Math.floor(channel / 4) * taps + tap) + (channel % 4)] = data[channel * taps + tap]!;
    return new Int32Array(levels.buffer);
  });
  const epilogue = epilogueOf(node, 1, isSoftware);
  const columns = columnsOf(window, oh, gpu);
  const target = denseTarget(node, n * oh * ow, 1, c, !attrs.quant);
  return [
    {
      shader: 'depthwiseInt8',
      flags: { ...epilogue.flags, ...columns.flags, RAGGED: c % 4 > 0, SOFTWARE: isSoftware },
      reads: [inputs[0]!, weights, ...epilogue.reads],
      writes: [target.block],
      threads: words(c) * ow * columns.count * n,
      uniforms: [
        ...windowUniforms(x, y, window),
        ...[c, words(c), ...columns.uniforms, bytesOf(inputs[0]!.type.quant!.zero)],
        ...epilogue.uniforms,
      ],
    },
    ...target.dispatches(outputs[0]!),
  ];
}

/**
 * Where a shader writes `rows` rows of `groups` groups of `channels` channels by whole words: to the output, or where its groups
 * are none to memory that another dispatch makes it of.
 */
function denseTarget({ outputs: [y], intermediate }: Node, rows: number, groups: number, channels: number, isFloat: boolean) {
  if (isFloat || channels % 4 === 0) return { block: y!, dispatches: (): GpuDispatch[] => [] };
  const rowWords = groups * words(channels);
  const block = intermediate(4 * rows * rowWords);
  const dispatches = (y: Operand): GpuDispatch[] => [
    {
      shader: 'dense',
      reads: [block],
      writes: [y],
      threads: words(rows * groups * channels),
      uniforms: [groups * channels, channels, rowWords, words(channels)],
    },
  ];
  return { block, dispatches };
}

/**
 * Weights [group * channels, taps, depth] as convInt8.wgsl reads them: for each tile of 4 * TN channels, tap and 4 inputs their
 * channels' 4 bytes each. What is no weight is 0. Codes of 4 bits share bytes with those of the tile's other channels, codes of 2
 * bits with those of the next 4 inputs besides.
 */
function packed(
  weights: ArrayLike<number>,
  codes: ShaderCodes | undefined,
  groups: number,
  channels: number,
  taps: number,
  depth: number,
): TypedArray {
  const tiles = Math.ceil(channels / (4 * TN));
  // Bytes for 4 inputs, or for 8 where these share them, of a tile.
  const step = codes ? 16 : 16 * TN;
  const bits = codes?.bits ?? 0;
  const shared = bits === 2 ? 2 : 1;
  const run = Math.ceil(words(depth) / shared) * step;
  const bytes = new Uint8Array(Math.max(step, groups * tiles * taps * run));
  const none = codes?.codes[128] ?? 0;
  if (none) bytes.fill(bits === 2 ? 0x55 * none : 0x11 * none);
  let from = 0;
  for (let channel = 0; channel < groups * channels; channel++) {
    const within = channel % channels;
    const [tile, place] = [Math.floor(within / (4 * TN)), within % (4 * TN)];
    const quad = Math.floor(place / 4);
    const start = (Math.floor(channel / channels) * tiles + tile) * taps * run + 4 * (place % 4) + (codes ? 0 : 16 * quad);
    for (let tap = 0; tap < taps; tap++)
      for (let k = 0; k < words(depth); k++) {
        const to = start + tap * run + Math.floor(k / shared) * step;
        const count = Math.min(4, depth - 4 * k);
        if (!codes) for (let j = 0; j < count; j++) bytes[to + j] = weights[from++]!;
        else {
          const shift = bits * quad + 4 * (k % shared);
          // The bits hold the code of 0, or nothing's.
          for (let j = 0; j < count; j++) bytes[to + j]! ^= (codes.codes[weights[from++]! + 128]! ^ none) << shift;
        }
      }
  }
  return bytes;
}

/** Bytes of `packed` as the bits of floats, which plans leave as they are; of each 4 channels by 4 inputs those of an input together. */
function widened(bytes: TypedArray): Int32Array {
  const levels = new Int8Array(bytes.buffer);
  const floats = new Float32Array(levels.length);
  for (let at = 0; at < levels.length; at += 16)
    for (let input = 0; input < 4; input++)
      for (let channel = 0; channel < 4; channel++) floats[at + 4 * input + channel] = levels[at + 4 * channel + input]!;
  return new Int32Array(floats.buffer);
}

interface Epilogue {
  readonly flags: { FLOAT: boolean; ACT: readonly string[] };
  /** All but the operands of the product. */
  readonly reads: readonly (Operand | Block)[];
  /** Those of shaders/lib/requantUniforms.wgsl. */
  readonly uniforms: readonly (number | Float)[];
}

function epilogueOf(node: Node, groups: number, isSoftware: boolean): Epilogue {
  const { attrs, inputs, constant } = node;
  const [x, , , , residual, table] = inputs;
  const channels = constant('channels', () => channelWords(node, groups));
  if (!attrs.quant) {
    const { low, high, rest } = splitClamp(attrs.act);
    const { ACT, constants } = shaderSteps(rest);
    const bounds = [low, high].map((bound) => f32(Math.min(Math.max(bound, -MOST), MOST)));
    if (rest.length > STEPS)
      throw new WaferError('UNSUPPORTED', `no shader applies ${rest.length} functions to a product of levels`);
    return { flags: { FLOAT: true, ACT }, reads: [channels], uniforms: [...bounds, ...constants] };
  }
  const { shift, offset, low, high } = scalingOf(node, attrs.quant, 0);
  const { uniforms, knots } = shaderCurve(curveOf(attrs, table), attrs.quant);
  return {
    flags: { FLOAT: false, ACT: [] },
    reads: [channels, residual ?? x!, knots ? constant('knots', knots) : channels],
    uniforms: [
      ...(isSoftware ? [2 ** shift, f32(2 ** -shift)] : [shift]),
      offset,
      low,
      high,
      residual ? attrs.residualMultiplier : 0,
      ...uniforms,
    ],
  };
}

/** Functions of an activation for which a uniform block has room. */
const STEPS = 15;

/** The largest f32. */
const MOST = 3.4028234663852886e38;

/**
 * `Channels` of shaders/lib/requant.wgsl for each 4 of a group's channels. The bias has the input's zero point multiplied in.
 * Throws VALUE.
 */
function channelWords(node: Node, groups: number): Int32Array<ArrayBuffer> {
  const [x, w] = node.inputs;
  const weights = constantOf('w', w!);
  const outputs = w!.type.shape[0]!;
  const [channels, depth] = [outputs / groups, weights.length / outputs];
  const { biases, multipliers, low, high, factors } = channelParameters(node);
  const { zero } = x!.type.quant!;
  const block = new Int32Array(20 * groups * words(channels));
  const scales = node.attrs.quant ? block : new Float32Array(block.buffer);
  for (let channel = 0; channel < outputs; channel++) {
    let sum = 0;
    for (let i = channel * depth; i < (channel + 1) * depth; i++) sum += weights[i]!;
    const within = channel % channels;
    const at = 20 * (Math.floor(channel / channels) * words(channels) + Math.floor(within / 4)) + (within % 4);
    block[at] = biases[channel]! - zero * sum;
    scales[at + 4] = multipliers[channel]!;
    block[at + 8] = low[channel]!;
    block[at + 12] = high[channel]!;
    block[at + 16] = factors[channel]!;
  }
  return block;
}
