/**
 * Convolution of the signs of an image by weights of -1 and 1, as XNOR-Net has it (Rastegari et al., 2016):
 * y = act(multiplier[o] * K * sum of sign(x) * w + bias[o] + residual), with sign(x) = 1 where x >= 0 and else -1, also for
 * NaN. K is 1, or with `scaled` the mean of |x| over each window, whose border holds zeros. Weights [O,KH,KW,C] take images
 * NHWC; weights [O,C] are a dense layer and take [...,C].
 */
import { isStatic } from '../core/dim';
import { WaferError } from '../core/errors';
import { elements, shapeText, type TensorType, typeText } from '../core/shape';
import {
  type AttrsOf,
  bool,
  type Case,
  type CaseInput,
  type Dispatch,
  defineOffline,
  defineOp,
  f32,
  fillAttrs,
  type GpuDispatch,
  type GpuLowering,
  int,
  ints,
  type Lowering,
  steps,
} from './define';
import { align } from './gemm';
import { clampArguments, constantOf, costOf, expectType } from './product';
import { evaluateSteps, step } from './steps';
import { shaderClamps, tileOf } from './tiles';
import { extentOf, windowCounts, windowUniforms } from './window';

const binaryConvAttrs = {
  act: steps(),
  strides: ints(1, 1),
  /** Top, left, bottom, right. */
  pads: ints(0, 0, 0, 0),
  dilations: ints(1, 1),
  /** What the border holds: -1, 1, or 0, which adds nothing to a sum. */
  border: int(0),
  /** Whether sums are multiplied by the mean of |x|. */
  scaled: bool(false),
};
type BinaryConvAttrs = AttrsOf<typeof binaryConvAttrs>;

/** Products of a sum, which kernels hold in 16 bits. */
export const MOST_PRODUCTS = 2 ** 15 - 1;

export const op = defineOp({
  name: 'binaryConv',
  inputs: ['x', 'w', 'bias?', 'multiplier', 'residual?'],
  attrs: binaryConvAttrs,
  infer(inputs, { border, ...attrs }) {
    const [x, w, bias, multiplier, residual] = inputs;
    const { shape } = w!;
    if (x!.dtype !== 'f32') throw new WaferError('DTYPE', `takes the signs of f32, got ${typeText(x!)}`);
    const rank = shape.length;
    const fits = (rank === 4 && x!.shape.length === 4) || (rank === 2 && x!.shape.length >= 1);
    const channels = x!.shape.at(-1)!;
    if (!fits || !shape.every(isStatic) || (isStatic(channels) && channels !== shape[rank - 1]))
      throw new WaferError('SHAPE', `cannot multiply ${shapeText(x!.shape)} by weights ${shapeText(shape)}`);
    const products = elements(shape.slice(1) as number[]);
    if (products < 1 || products > MOST_PRODUCTS)
      throw new WaferError('SHAPE', `sums have 1 to ${MOST_PRODUCTS} products, got ${products}`);
    if (![-1, 0, 1].includes(border)) throw new WaferError('ARGUMENT', `border is -1, 0 or 1, got ${border}`);
    const window = { ...attrs, kernel: rank === 4 ? (shape.slice(1, 3) as number[]) : [1, 1] };
    // A dense layer has no image, but its window must be one that does nothing.
    const counts = windowCounts(rank === 4 ? x!.shape.slice(1, 3) : [1, 1], window);
    if (rank === 2 && [...attrs.strides, ...attrs.dilations, ...attrs.pads.map((p) => p + 1)].some((n) => n !== 1))
      throw new WaferError('ARGUMENT', 'a dense layer takes no strides, pads or dilations');
    const y = [...x!.shape.slice(0, rank === 4 ? 1 : -1), ...(rank === 4 ? counts : []), shape[0]!];
    expectType('w', w, 'i8', shape);
    expectType('multiplier', multiplier, 'f32', shape.slice(0, 1));
    expectType('bias', bias, 'f32', shape.slice(0, 1));
    expectType('residual', residual, 'f32', y);
    return [{ dtype: 'f32', shape: y }];
  },
  wasm: (node) => (elements(node.outputs[0]!.type.shape) === 0 ? [] : dispatches(node)),
  webgpu: (node) => gpuDispatches(node),
});

/**
 * Where each output sees one pixel, as in a dense layer, the image is one of the same pixels whose rows are pairs, which
 * kernels take, or of one row.
 */
function imageOf({ inputs: [x, w], outputs: [y], attrs: { strides, pads } }: Lowering<BinaryConvAttrs>) {
  const { shape } = x!.type;
  const [o, ...window] = w!.type.shape as readonly number[];
  const single =
    window
      .slice(0, -1)
      .concat(strides)
      .every((n) => n === 1) && pads.every((p) => p === 0);
  if (!single) {
    const [n, h, width] = shape as readonly [number, number, number, number];
    const [, oh, ow] = y!.type.shape as readonly [number, number, number, number];
    const [kh, kw, c] = window as [number, number, number];
    return { n, h, width, c, oh, ow, kh, kw, o: o! };
  }
  const rows = elements(shape.slice(0, -1));
  const width = rows % 2 === 0 ? 2 : rows;
  const h = rows / width;
  return { n: 1, h, width, c: window.at(-1)!, oh: h, ow: width, kh: 1, kw: 1, o: o! };
}

/** Outputs of a lookup of assembly/binaryConv.ts, and of a panel. */
const UNIT = 16;
const PANEL = 64;

/** Pairs of pixels that are counted for one panel of weights before the next. */
const BLOCK = 32;

function dispatches(node: Lowering<BinaryConvAttrs>): Dispatch[] {
  const { inputs, outputs, attrs } = node;
  const [x, w, bias, multiplier, residual] = inputs;
  const { n, h, width, c, oh, ow, kh, kw, o } = imageOf(node);
  const { border, scaled, strides, dilations, pads } = attrs;
  const weights = constantOf('w', w!);
  const depth = Math.ceil(c / 4);
  // Runs of contiguous groups of 4 channels: rows of the window, or pixels.
  const [runs, length] = dilations[1] === 1 ? [kh, kw * depth] : [kh * kw, depth];
  const packed = node.packed('w', w!, align(o, UNIT) * runs * align(length, 3), (block) => ({
    kernel: 'i8_packBits',
    args: [w!, block, o, c, runs, length],
    rows: Math.ceil(o / PANEL),
  }));
  const filled = (data: ArrayLike<number>) => {
    const out = new Float32Array(align(o, UNIT));
    out.set(data);
    return out;
  };
  const scales = node.constant('multiplier', () => {
    checkSigns(weights);
    return filled(constantOf('multiplier', multiplier!));
  });
  const biases = node.constant('bias', () => filled(bias ? constantOf('bias', bias) : []));

  const across = strides[1]!;
  const rows = n * h;
  const columns = (2 * Math.ceil(ow / 2) - 2) * across + extentOf(kw, dilations[1]!);
  const offsets = node.intermediate(2 * align(columns * depth + 2, 8) * (rows + 1));
  const magnitudes = scaled ? node.intermediate(4 * rows * width) : 0;
  const states = node.scratch((columns + across) * depth + 16);
  const scratch = node.scratch(5952 + BLOCK * (32 + 4 * runs));
  return [
    {
      kernel: 'f32_signs',
      args: [x!, offsets, rows, width, c, pads[1]!, columns, across, border, magnitudes, states],
      rows: rows + 1,
    },
    {
      kernel: 'f32_binaryConv',
      args: [
        ...[offsets, outputs[0]!, h, width, c, oh, ow, kh, kw, ...strides, ...dilations, pads[0]!, pads[1]!, o],
        ...[rows, columns, border, packed, scales, biases, residual ?? 0, magnitudes, 1 / (kh * kw * c)],
        ...[...clampArguments(node), BLOCK, scratch],
      ],
      rows: n * oh,
    },
  ];
}

/** Bits of a word. */
const WORD = 32;

/** Signs as bits, and their products with bits; a dense layer is an image of one row with windows of one pixel. */
function gpuDispatches({ inputs, outputs, attrs, gpu, intermediate, constant }: GpuLowering<BinaryConvAttrs>): GpuDispatch[] {
  const [x, w, bias, multiplier, residual] = inputs;
  const [y] = outputs;
  const { scaled, border } = attrs;
  const weights = constantOf('w', w!);
  const o = w!.type.shape[0]!;
  const c = w!.type.shape.at(-1)!;
  const dense = w!.type.shape.length === 2;
  const pixels = elements(x!.type.shape.slice(0, -1));
  const rows = elements(y!.type.shape.slice(0, -1));
  const [image, windows] = dense
    ? [
        [1, 1, pixels, c],
        [1, 1, rows, o],
      ]
    : [x!.type.shape, y!.type.shape];
  const kernel = dense ? [1, 1] : w!.type.shape.slice(1, 3);
  const words = Math.ceil(c / WORD);
  const [TM, TN] = tileOf(rows, gpu.isSoftware);
  const width = 4 * TN;
  const tiles = Math.ceil(o / width);
  const packed = constant(`w ${TN}`, () => {
    checkSigns(weights);
    return tiledSigns(weights, c, o, width);
  });
  const parameters = constant(`outputs ${TN}`, () => {
    const fours = new Float32Array(2 * tiles * width);
    const [multipliers, biases] = [constantOf('multiplier', multiplier!), bias && constantOf('bias', bias)];
    for (let i = 0; i < o; i++) {
      const at = 8 * (i >> 2) + (i & 3);
      fours[at] = multipliers[i]!;
      fours[at + 4] = biases?.[i] ?? 0;
    }
    return fours;
  });
  const signs = intermediate(4 * (scaled ? 2 : 1) * pixels * words);
  const { ACT, uniforms } = shaderClamps(attrs.act);
  const ones = 2 ** WORD - 1;
  const last = ones >>> (WORD * words - c);
  return [
    { shader: 'signs', flags: { SCALED: scaled }, reads: [x!], writes: [signs], threads: pixels * words, uniforms: [c, words] },
    {
      shader: 'binaryConv',
      flags: { TM, TN, SCALED: scaled, VY: o % 4 === 0, ACT },
      reads: [signs, packed, parameters, residual ?? parameters],
      writes: [y!],
      threads: tiles * Math.ceil(rows / TM),
      uniforms: [
        ...windowUniforms(image, windows, { ...attrs, kernel }),
        ...[rows, c, words, last, o, tiles],
        ...[border === 1 ? ones : 0, border ? ones : 0, border ? c : 0, f32(1 / (kernel[0]! * kernel[1]! * c))],
        residual ? 1 : 0,
        ...uniforms,
      ],
    },
  ];
}

/** Weights [o][tap][c] of -1 and 1 as [tile][tap][word][output], 1 in a bit for 1. */
function tiledSigns(weights: ArrayLike<number>, c: number, o: number, width: number): Int32Array {
  const taps = weights.length / (o * c);
  const words = Math.ceil(c / WORD);
  const packed = new Int32Array(Math.ceil(o / width) * width * taps * words);
  for (let at = 0, output = 0; output < o; output++) {
    const tile = Math.floor(output / width) * taps;
    for (let tap = 0; tap < taps; tap++)
      for (let i = 0; i < c; i++, at++)
        if (weights[at]! > 0) packed[((tile + tap) * words + (i >> 5)) * width + (output % width)]! |= 1 << (i & 31);
  }
  return packed;
}

/** Throws VALUE unless each weight is -1 or 1. */
function checkSigns(weights: ArrayLike<number>): void {
  for (let i = 0; i < weights.length; i++)
    if (weights[i] !== 1 && weights[i] !== -1) throw new WaferError('VALUE', `weights are -1 and 1, got ${weights[i]}`);
}

export const offline = defineOffline(op, {
  // ONNX spells it with Where and Conv: passes/binary.ts.
  onnx: {},
  reference([x, w, bias, multiplier, residual], { act, strides, pads, dilations, border, scaled }, [y]) {
    const dense = w!.type.shape.length === 2;
    const c = w!.type.shape.at(-1)!;
    const [o] = w!.type.shape;
    const [kh, kw] = dense ? [1, 1] : w!.type.shape.slice(1, 3);
    const rows = elements(x!.type.shape.slice(0, -1));
    const [n, h, width] = dense ? [rows, 1, 1] : x!.type.shape;
    const [oh, ow] = dense ? [1, 1] : y!.shape.slice(1, 3);
    const out = new Float64Array(elements(y!.shape));
    let at = 0;
    for (let image = 0; image < n!; image++)
      for (let oy = 0; oy < oh!; oy++)
        for (let ox = 0; ox < ow!; ox++)
          for (let channel = 0; channel < o!; channel++, at++) {
            let [sum, magnitude] = [0, 0];
            for (let ky = 0; ky < kh!; ky++)
              for (let kx = 0; kx < kw!; kx++) {
                const iy = oy * strides[0]! - pads[0]! + ky * dilations[0]!;
                const ix = ox * strides[1]! - pads[1]! + kx * dilations[1]!;
                const inside = iy >= 0 && iy < h! && ix >= 0 && ix < width!;
                for (let i = 0; i < c; i++) {
                  const weight = w!.data[((channel * kh! + ky) * kw! + kx) * c + i]!;
                  const value = inside ? x!.data[((image * h! + iy) * width! + ix) * c + i]! : 0;
                  sum += weight * (inside ? (value >= 0 ? 1 : -1) : border);
                  magnitude += Math.abs(value);
                }
              }
            const k = scaled ? magnitude / (kh! * kw! * c) : 1;
            const value = multiplier!.data[channel]! * k * sum + (bias?.data[channel] ?? 0) + (residual?.data[at] ?? 0);
            out[at] = evaluateSteps(act, value);
          }
    return [out];
  },
  accuracy: { abs: 1e-5, rel: 1e-5 },
  cost: ([, w], _, [y]) => costOf(y!, elements(w!.shape.slice(1))),
  cases: casesOf(),
});

/** Weights of -1 and 1 without a period. */
function signsOf(shape: readonly number[]): CaseInput {
  const data = Array.from({ length: elements(shape) }, (_, i) => (Math.sin(7 * i + 1) > 0 ? 1 : -1));
  return { shape, dtype: 'i8', constant: true, data };
}

/** An image [N,H,W,C], or rows, weights, and attributes. */
type Geometry = [x: readonly number[], w: readonly number[], attrs?: Partial<BinaryConvAttrs>];

function casesOf(): Case<BinaryConvAttrs>[] {
  const pads = [1, 1, 1, 1];
  const geometries: Geometry[] = [
    [
      [1, 5, 6, 1],
      [1, 3, 3, 1],
    ],
    [[1, 5, 6, 3], [7, 3, 3, 3], { pads }],
    [[2, 7, 7, 16], [9, 3, 3, 16], { pads }],
    [[1, 8, 10, 64], [64, 3, 3, 64], { pads }],
    [[1, 6, 7, 20], [80, 3, 3, 20], { pads, border: 1 }],
    [[1, 6, 7, 22], [100, 3, 3, 22], { pads, border: -1 }],
    [[1, 9, 11, 13], [130, 3, 3, 13], { pads: [0, 0, 1, 1], strides: [2, 2] }],
    [[1, 9, 12, 30], [20, 3, 2, 30], { pads: [2, 1, 0, 3], strides: [1, 3], border: -1 }],
    [[1, 12, 11, 6], [48, 3, 3, 6], { pads: [2, 3, 2, 3], dilations: [2, 3] }],
    [[1, 8, 8, 9], [33, 1, 1, 9], { pads }],
    [[1, 6, 9, 32], [16, 5, 5, 32], { pads: [2, 2, 2, 2] }],
    [[2, 3, 50, 128], [24, 3, 3, 128], { pads }],
    [
      [1, 1, 1, 700],
      [40, 1, 1, 700],
    ],
    [[1, 3, 3, 512], [8, 3, 3, 512], { pads }],
    [[0, 6, 6, 8], [8, 3, 3, 8], { pads }],
    [[40], [9, 40]],
    [
      [7, 130],
      [70, 130],
    ],
    [
      [2, 3, 5, 64],
      [17, 64],
    ],
  ];
  const acts = [[], [step('relu')], [step('clip', -1, 1.5)], [step('hardSwish')]];
  const list = geometries.flatMap(([x, w, attrs], i): Case<BinaryConvAttrs>[] => {
    const [o, act] = [w[0]!, acts[i % 4]!];
    const multiplier: CaseInput = { shape: [o], constant: true, range: [-0.1, 0.1] };
    const bias: CaseInput = { shape: [o], constant: true };
    const types = [x, w].map((shape, k): TensorType => ({ dtype: k === 1 ? 'i8' : 'f32', shape }));
    const [y] = op.infer(types, fillAttrs(op.attrs, attrs ?? {}) as BinaryConvAttrs);
    const residual = i % 2 ? (y!.shape as number[]) : null;
    return [
      { inputs: [x, signsOf(w), i % 3 ? bias : null, multiplier], attrs: { ...attrs, act } },
      { inputs: [x, signsOf(w), bias, multiplier, residual], attrs: { ...attrs, act, scaled: true } },
      { inputs: [x, signsOf(w), null, multiplier, y!.shape as number[]], attrs: attrs ?? {} },
    ];
  });
  const [low, high] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  list.push({
    name: 'zeros',
    inputs: [
      { shape: [1, 1, 2, 4], data: [0, -0, 1e-45, -1e-45, Number.NaN, high, low, -1] },
      { shape: [1, 1, 1, 4], dtype: 'i8', constant: true, data: [1, 1, 1, -1] },
      null,
      { shape: [1], constant: true, data: [1] },
    ],
  });
  return list;
}
