/**
 * Convolution of an NHWC image by constant weights [O, kernel height, kernel width, C / group]; with `group` = C and one
 * output a channel it is depthwise. The border holds zeros (the zero point). Arithmetic on quantised inputs is
 * described in product.ts. ONNX's ConvTranspose becomes this too, one small convolution for each phase of its strides.
 */
import { add, type Dim, isStatic, multiply } from '../core/dim';
import { WaferError } from '../core/errors';
import { elements, shapeText } from '../core/shape';
import {
  type AttrsOf,
  type Block,
  type Case,
  type CaseInput,
  type Dispatch,
  defineOffline,
  defineOp,
  type Emit,
  int,
  ints,
  type Lowering,
  type OnnxNode,
  type Ref,
} from './define';
import { align, GRAIN, gemmDispatches } from './gemm';
import { staticShape, sumTo } from './gradient';
import { depthwise, implicitGemm } from './implicitGemm';
import { implicitGemmInt8 } from './implicitGemmInt8';
import { channelsFirst, channelsLast } from './layout';
import { CODED_TABLES, CODES_BYTES, codedCases } from './levels';
import {
  biasPanels,
  blockBytes,
  clampArguments,
  constantOf,
  costOf,
  finish,
  integerArguments,
  integerCases,
  integerPanels,
  KIND_CODES,
  panelCount,
  productAttrs,
  productInputs,
  productType,
} from './product';
import { narrow } from './slice';
import { SPARSE_BYTES, sparseCases } from './sparsity';
import { step } from './steps';
import { weightsOf } from './weights';
import { extentOf, windowCounts, windowOf } from './window';

const convAttrs = {
  ...productAttrs,
  strides: ints(1, 1),
  /** Top, left, bottom, right. */
  pads: ints(0, 0, 0, 0),
  dilations: ints(1, 1),
  /** Channels are split into this many groups; outputs of a group see its inputs only. */
  group: int(1),
};
type ConvAttrs = AttrsOf<typeof convAttrs>;

export const op = defineOp({
  name: 'conv',
  inputs: productInputs,
  attrs: convAttrs,
  infer(inputs, attrs) {
    const [x, w] = inputs;
    const { group } = attrs;
    if (x!.shape.length !== 4 || w!.shape.length !== 4)
      throw new WaferError(
        'SHAPE',
        `expected [N,H,W,C] and [O,KH,KW,C/group], got ${shapeText(x!.shape)} and ${shapeText(w!.shape)}`,
      );
    const [o, kh, kw, depth] = w!.shape as [number, number, number, number];
    const channels = x!.shape[3]!;
    if (!(group >= 1) || o % group !== 0 || (isStatic(channels) && channels !== depth * group))
      throw new WaferError('SHAPE', `weights ${shapeText(w!.shape)} in ${group} groups do not fit ${shapeText(x!.shape)}`);
    const [oh, ow] = windowCounts(x!.shape.slice(1, 3), { ...attrs, kernel: [kh, kw] });
    return [productType(inputs, attrs, [x!.shape[0]!, oh!, ow!, o])];
  },
  wasm(node) {
    const [x, w] = node.inputs;
    const { strides, pads, group } = node.attrs;
    const [o, kh, kw, depth] = w!.type.shape as [number, number, number, number];
    const single = kh * kw === 1 && strides.every((s) => s === 1) && pads.every((p) => p === 0);
    if (elements(node.outputs[0]!.type.shape) === 0) return [];
    if (single && group === 1) return gemmDispatches(node);
    return group > 1 && depth === 1 && o === x!.type.shape[3] ? depthwiseDispatches(node) : windowDispatches(node);
  },
  webgpu(node) {
    const [x, w] = node.inputs;
    const [y] = node.outputs;
    const { group, ...attrs } = node.attrs;
    const window = { ...attrs, kernel: w!.type.shape.slice(1, 3) };
    const geometry = { x: x!.type.shape, y: y!.type.shape, window, group };
    if (x!.type.dtype === 'i8') return implicitGemmInt8(node, geometry);
    const [o, , , depth] = w!.type.shape;
    if (group > 1 && depth === 1 && o === x!.type.shape[3]) return depthwise(node, window);
    return implicitGemm(node, geometry);
  },
});

/** Numbers that every kernel over windows takes, and how its work is cut into blocks. */
function geometryOf({ inputs: [x, w], outputs: [y], attrs }: Lowering<ConvAttrs>) {
  const [n, h, width, c] = x!.type.shape as [number, number, number, number];
  const [, oh, ow, o] = y!.type.shape as [number, number, number, number];
  const [, kh, kw, depth] = w!.type.shape as [number, number, number, number];
  const { strides, dilations, pads } = attrs;
  const [top, left, bottom, right] = pads as [number, number, number, number];
  return {
    args: [h, width, c, oh, ow, kh, kw, ...strides, ...dilations, top, left],
    rows: n * oh,
    grain: Math.ceil(GRAIN / ow),
    padded: top + left + bottom + right > 0,
    kernel: [kh, kw] as const,
    ...{ c, oh, ow, o, depth },
  };
}

interface Blocks {
  /** Output rows and columns of a block; all columns unless it has one row. */
  height: number;
  width: number;
  /** Bytes of the input that a block needs. */
  bytes: number;
}

/** Cuts the output so that the input of a block, of `pixel` bytes a pixel, takes about `target` bytes. */
function blocksOf({ outputs: [y], inputs: [, w], attrs }: Lowering<ConvAttrs>, pixel: number, target: number): Blocks {
  const [, oh, ow, o] = y!.type.shape as [number, number, number, number];
  const [sh, sw] = attrs.strides as [number, number];
  const [eh, ew] = [0, 1].map((i) => extentOf(w!.type.shape[1 + i]!, attrs.dilations[i]!)) as [number, number];
  const rowBytes = ((ow - 1) * sw + ew) * pixel;
  let [height, width] = [1, ow];
  if (eh * rowBytes > 2 * target) {
    const columns = Math.floor((target / (eh * pixel) - ew) / sw) + 1;
    width = Math.min(ow, 12 * Math.max(1, Math.floor(columns / 12)));
  } else {
    const outputs = Math.max(1, Math.floor(2 ** 18 / (4 * o * ow)));
    height = Math.min(oh, outputs, Math.max(1, Math.floor((target / rowBytes - eh) / sh) + 1));
  }
  return { height, width, bytes: ((height - 1) * sh + eh) * ((width - 1) * sw + ew) * pixel };
}

/** By the form of the weights. */
const KERNELS = {
  dense: 'i8_conv',
  sparse: 'i8_conv',
  ternary: 'i8_convTernary',
  int4: 'i8_convInt4',
  table: 'i8_convTable',
} as const;

function windowDispatches(node: Lowering<ConvAttrs>): Dispatch[] {
  const { inputs, outputs, attrs, dot } = node;
  const [x, w, , , residual] = inputs;
  const { group } = attrs;
  const { args, rows, grain, padded, kernel, c, o, depth } = geometryOf(node);
  const [channels, taps] = [o / group, kernel[0] * kernel[1]];
  const panels = panelCount(group, channels);
  constantOf('w', w!);
  if (x!.type.dtype === 'i8') {
    const kind = KIND_CODES[dot];
    const size = dot === 'i16' ? 2 : 1;
    const contiguous = attrs.dilations[1] === 1 && group === 1;
    const [runs, length] = contiguous ? [kernel[0], kernel[1] * depth] : [taps, depth];
    const weights = weightsOf(node, rows * outputs[0]!.type.shape[2]!, group, runs!, length!);
    const banded = padded || dot !== 'u8';
    const target =
      weights.form === 'dense' ? blockBytes(size * o * taps * depth) : weights.form === 'sparse' ? SPARSE_BYTES : CODES_BYTES;
    const blocks = blocksOf(node, c * size, target);
    const band = blocks.bytes / size;
    const scratch = node.scratch(
      208 + 4 * (blocks.height * blocks.width + taps) + (banded ? align(band, 32) + 32 : 0) + (dot === 'i16' ? 2 * band + 32 : 0),
    );
    const numbers = [kind, x!.type.quant!.zero + 128, ...integerArguments(node)];
    return [
      {
        kernel: KERNELS[weights.form],
        args: [
          ...[x!, outputs[0]!, ...args, o, group, weights.packed, integerPanels(node, group), residual ?? 0, ...numbers],
          ...[banded ? 1 : 0, blocks.height, blocks.width, scratch, ...weights.args],
        ],
        ...{ rows, grain },
      },
    ];
  }
  if (suitsWinograd(node)) return winogradDispatches(node);
  const pack = (block: Block): Dispatch => ({
    kernel: 'f32_pack',
    args: [w!, block, channels, taps * depth, taps * depth, 1],
    rows: panels,
  });
  const panelBytes = taps * depth * 32;
  const packed = node.packed('w', w!, panels * panelBytes, pack, group === 1 ? panelBytes : undefined);
  const blocks = blocksOf(node, 4 * c, blockBytes(4 * o * taps * depth));
  const scratch = node.scratch(144 + 4 * (blocks.height * blocks.width + taps) + (padded ? blocks.bytes : 0));
  return [
    {
      kernel: 'f32_conv',
      args: [
        ...[x!, outputs[0]!, ...args, o, group, packed, biasPanels(node, group), residual ?? 0],
        ...[...clampArguments(node), padded ? 1 : 0, blocks.height, blocks.width, scratch],
      ],
      ...{ rows, grain },
    },
  ];
}

/** Outputs and positions of a tile along an axis of the kernel, by its length; assembly/winograd.ts. */
const TILE: Readonly<Record<number, { outputs: number; positions: number }>> = {
  1: { outputs: 1, positions: 1 },
  3: { outputs: 4, positions: 6 },
};

/** Least channels, and tiles, from which the transforms pay; and most weights, which grow up to fourfold. */
const WINOGRAD_CHANNELS = 16;
const WINOGRAD_TILES = 8;
const WINOGRAD_WEIGHTS = 2 ** 16;

function suitsWinograd({ inputs: [x, w], outputs: [y], attrs }: Lowering<ConvAttrs>): boolean {
  const [o, kh, kw] = w!.type.shape as [number, number, number, number];
  const c = x!.type.shape[3]!;
  const [, oh, ow] = y!.type.shape as [number, number, number, number];
  const [down, across] = [TILE[kh], TILE[kw]];
  if (!down || !across || ![...attrs.strides, ...attrs.dilations, attrs.group].every((n) => n === 1)) return false;
  const fits = c % 4 === 0 && o % 4 === 0 && Math.min(c, o) >= WINOGRAD_CHANNELS && c * o <= WINOGRAD_WEIGHTS;
  const tiles = Math.ceil(oh / down.outputs) * Math.ceil(ow / across.outputs);
  // Tiles that reach over the border compute for nothing.
  const products = tiles * down.positions * across.positions;
  return fits && tiles >= WINOGRAD_TILES && products * 1.4 <= oh * ow * kh * kw;
}

function winogradDispatches(node: Lowering<ConvAttrs>): Dispatch[] {
  const { inputs, outputs, attrs } = node;
  const [x, w, , , residual] = inputs;
  const [n, h, width, c] = x!.type.shape as [number, number, number, number];
  const [, oh, ow, o] = outputs[0]!.type.shape as [number, number, number, number];
  const [kh, kw] = w!.type.shape.slice(1) as [number, number];
  const [top, left] = attrs.pads as [number, number];
  const [tall, wide] = [TILE[kh]!, TILE[kw]!];
  constantOf('w', w!);
  const panels = panelCount(1, o);
  const positions = tall.positions * wide.positions;
  const packed = node.packed('winograd', w!, positions * panels * c * 32, (block) => ({
    kernel: 'f32_packWinograd',
    args: [w!, block, o, c, kh, kw],
    rows: panels,
  }));
  // What a block transforms and multiplies stays in L2, but weights are not read for fewer rows than a few tiles.
  const tiles = Math.max(16, Math.min(96, Math.floor(2 ** 19 / (4 * positions * (c + o)))));
  const [down, across] = [Math.ceil(oh / tall.outputs), Math.ceil(ow / wide.outputs)];
  const blockW = Math.min(across, align(tiles, 4));
  const blockH = blockW < across ? 1 : Math.min(down, Math.max(1, Math.round(tiles / across)));
  const count = blockH * blockW;
  const seen = wide.outputs * blockW + wide.positions - wide.outputs;
  const floats = align(o, 8) + width * c + 6 * seen * c + positions * count * (c + o);
  const scratch = node.scratch(768 + align(4 * count + 4, 16) + 4 * floats);
  const geometry = [h, width, c, oh, ow, kh, kw, top, left, o];
  const args = [x!, outputs[0]!, ...geometry, packed, biasPanels(node, 1), residual ?? 0, ...clampArguments(node)];
  return [{ kernel: 'f32_winograd', args: [...args, blockH, blockW, scratch], rows: n * down }];
}

/** Channels whose band is made at a time: about `usual`, all when they are few more. */
const sliceOf = (channels: number, usual: number): number => (channels <= 1.5 * usual ? channels : usual);

function depthwiseDispatches(node: Lowering<ConvAttrs>): Dispatch[] {
  const { inputs, outputs, dot } = node;
  const [x, w, , , residual] = inputs;
  const { args, rows, kernel, c } = geometryOf(node);
  const taps = kernel[0] * kernel[1];
  const panels = panelCount(1, c);
  constantOf('w', w!);
  if (x!.type.dtype === 'i8') {
    const kind = KIND_CODES[dot];
    // Taps come in fours; the columns of kernels 3 high are filled up to 4.
    const filled = kernel[0] === 3 ? 4 * kernel[1] : align(taps, 4);
    const packed = node.packed('w', w!, panels * filled * (dot === 'i16' ? 16 : 8), (block) => ({
      kernel: 'i8_packDepthwise',
      args: [w!, block, c, ...kernel, kind],
      rows: panels,
    }));
    const slice = sliceOf(c, 64);
    const blocks = blocksOf(node, slice, 2 ** 15);
    const slides = kernel.every((n) => n === 5) && node.attrs.strides[1] === 1 && node.attrs.dilations[1] === 1;
    const gathered = slides ? 96 * (blocks.width + 7) : 0;
    const scratch = node.scratch(96 + 16 * blocks.width + 4 * filled + gathered + blocks.bytes);
    const numbers = [kind, x!.type.quant!.zero + 128, ...integerArguments(node)];
    return [
      {
        kernel: 'i8_depthwise',
        args: [
          ...[x!, outputs[0]!, ...args, packed, integerPanels(node, 1), residual ?? 0, ...numbers],
          ...[blocks.height, blocks.width, slice, scratch],
        ],
        rows,
      },
    ];
  }
  const packed = node.packed('w', w!, panels * taps * 32, (block) => ({
    kernel: 'f32_pack',
    args: [w!, block, c, taps, taps, 1],
    rows: panels,
  }));
  const slice = sliceOf(c, 32);
  const blocks = blocksOf(node, 4 * slice, 2 ** 16);
  const scratch = node.scratch(144 + 4 * taps + blocks.bytes);
  return [
    {
      kernel: 'f32_depthwise',
      args: [
        ...[x!, outputs[0]!, ...args, packed, biasPanels(node, 1), residual ?? 0],
        ...[...clampArguments(node), blocks.height, blocks.width, slice, scratch],
      ],
      rows,
    },
  ];
}

/** [O,I,KH,KW] (or [O,I,K], of height 1) to [O,KH,KW,I]: at once when the elements are known, else as nodes. */
function weightsLast(emit: Emit, w: Ref): Ref {
  const [o, depth, ...kernel] = w.type.shape as number[];
  const [kh, kw] = kernel.length === 1 ? [1, kernel[0]!] : (kernel as [number, number]);
  if (!w.data) return channelsLast(emit, kernel.length === 1 ? emit('reshape', [w], { shape: [o!, depth!, 1, kw!] }) : w);
  const taps = kh! * kw!;
  const out = new Float32Array(w.data.length);
  for (let i = 0; i < o!; i++)
    for (let j = 0; j < depth!; j++)
      for (let tap = 0; tap < taps; tap++) out[(i * taps + tap) * depth! + j] = w.data[(i * depth! + j) * taps + tap]!;
  return emit.constant('f32', [o!, kh!, kw!, depth!], out);
}

/** [N,C,…] as an NHWC image; one spatial axis becomes the width. */
function imageOf(emit: Emit, x: Ref): Ref {
  const { shape } = x.type;
  return channelsLast(emit, shape.length === 3 ? emit('reshape', [x], { shape: [shape[0]!, shape[1]!, 1, shape[2]!] }) : x);
}

/** An NHWC image as [N,C,…] with `axes` spatial axes. */
function fromImage(emit: Emit, y: Ref, axes: number): Ref {
  const first = channelsFirst(emit, y);
  const { shape } = first.type;
  return axes === 1 ? emit('reshape', [first], { shape: [shape[0]!, shape[1]!, shape[3]!] }) : first;
}

function fromConv(n: OnnxNode, emit: Emit): Ref {
  const [x, w] = [n.input(0), n.input(1)];
  const kernel = w.type.shape.slice(2);
  if (!kernel.every(isStatic)) return n.unsupported('weights of free shape');
  const window = windowOf(n, kernel, x.type.shape.slice(2));
  const { strides, pads, dilations } = window;
  const attrs = { strides, pads, dilations, group: n.int('group', 1) };
  return fromImage(emit, emit('conv', [imageOf(emit, x), weightsLast(emit, w), n.inputs[2]], attrs), kernel.length);
}

/** One axis of a transposed convolution. */
interface Phase {
  /** Kernel elements, holes of a dilation included. */
  extent: number;
  stride: number;
  dilation: number;
  /** Taps of each phase's convolution. */
  taps: number;
  /** First element of the interleaved phases that the output keeps. */
  start: number;
  size: Dim;
  /** Elements beyond the interleaved phases that the output needs, as convolution outputs. */
  extra: number;
}

/**
 * Output element s * q + r of a transposed convolution, before its pads are cut off, is a sum over j of x[q - j] *
 * w[s * j + r]: for each phase r an ordinary convolution with ceil(k / s) taps. All phases are computed as channels of
 * one convolution and then interleaved.
 */
function fromConvTranspose(n: OnnxNode, emit: Emit): Ref {
  const [x, w, bias] = [n.input(0), n.input(1), n.inputs[2]];
  const data = w.data ?? n.unsupported('weights that are no constant');
  if (bias && !bias.data) return n.unsupported('a bias that is no constant');
  const [c, depth, ...kernel] = w.type.shape as number[];
  const axes = kernel.length;
  if (axes < 1 || axes > 2) return n.unsupported(`${axes} spatial axes`);
  const group = n.int('group', 1);
  const spatial = x.type.shape.slice(2);
  const phases = phasesOf(n, kernel, spatial);
  if (axes === 1) phases.unshift({ extent: 1, stride: 1, dilation: 1, taps: 1, start: 0, size: 1, extra: 0 });
  const [kh, kw] = axes === 1 ? [1, kernel[0]!] : (kernel as [number, number]);
  const [v, u] = phases as [Phase, Phase];
  const [inputs, outputs] = [c! / group, depth!];
  const phaseCount = v.stride * u.stride;

  const shape = [group * phaseCount * outputs, v.taps, u.taps, inputs];
  const weights = new Float32Array(elements(shape));
  for (let channel = 0; channel < c!; channel++)
    for (let o = 0; o < outputs; o++)
      for (let ky = 0; ky < kh!; ky++)
        for (let kx = 0; kx < kw!; kx++) {
          const [y, z] = [ky * v.dilation, kx * u.dilation];
          const phase = (y % v.stride) * u.stride + (z % u.stride);
          const out = (Math.floor(channel / inputs) * phaseCount + phase) * outputs + o;
          const row = v.taps - 1 - Math.floor(y / v.stride);
          const column = u.taps - 1 - Math.floor(z / u.stride);
          const to = ((out * v.taps + row) * u.taps + column) * inputs + (channel % inputs);
          weights[to] = data[((channel * outputs + o) * kh! + ky) * kw! + kx]!;
        }
  const repeated =
    bias &&
    Float32Array.from({ length: group * phaseCount * outputs }, (_, i) => {
      const g = Math.floor(i / (phaseCount * outputs));
      return bias.data![g * outputs + (i % outputs)]!;
    });

  const conv = emit(
    'conv',
    [imageOf(emit, x), emit.constant('f32', shape, weights), repeated && emit.constant('f32', [repeated.length], repeated)],
    { pads: [v.taps - 1, u.taps - 1, v.taps - 1 + v.extra, u.taps - 1 + u.extra], group },
  );
  const [batch, rows, columns] = conv.type.shape as [Dim, Dim, Dim];
  let y = conv;
  if (phaseCount > 1) {
    const split = emit('reshape', [conv], { shape: [batch, rows, columns, group, v.stride, u.stride, outputs] });
    const interleaved = emit('transpose', [split], { perm: [0, 1, 4, 2, 5, 3, 6] });
    y = emit('reshape', [interleaved], {
      shape: [batch, multiply(rows, v.stride), multiply(columns, u.stride), group * outputs],
    });
  }
  y = narrow(emit, narrow(emit, y, 1, v.start, v.size), 2, u.start, u.size);
  return fromImage(emit, y, axes);
}

function phasesOf(n: OnnxNode, kernel: readonly number[], spatial: readonly Dim[]): Phase[] {
  const axes = kernel.length;
  const filled = (value: number) => kernel.map(() => value);
  const strides = n.ints('strides', filled(1));
  const dilations = n.ints('dilations', filled(1));
  const outputPadding = n.ints('output_padding', filled(0));
  const pads = n.ints('pads', [...filled(0), ...filled(0)]);
  const auto = n.string('auto_pad', 'NOTSET');
  return kernel.map((k, i): Phase => {
    const [stride, dilation, more] = [strides[i]!, dilations[i]!, outputPadding[i]!];
    const extent = extentOf(k, dilation);
    let [before, after] = [pads[i]!, pads[i + axes]!];
    let total: number | undefined;
    if (n.has('output_shape')) {
      const d = spatial[i]!;
      if (!isStatic(d)) return n.unsupported('output_shape with an input of free size');
      total = stride * (d - 1) + more + extent - n.ints('output_shape').at(i - axes)!;
    } else if (auto.startsWith('SAME')) total = extent + more - stride;
    else if (auto === 'VALID') total = 0;
    if (total !== undefined) {
      const small = Math.floor(Math.max(0, total) / 2);
      const large = Math.max(0, total) - small;
      [before, after] = auto === 'SAME_LOWER' || auto === 'NOTSET' ? [large, small] : [small, large];
    }
    const taps = Math.ceil(extent / stride);
    const size = add(multiply(spatial[i]!, stride), extent - stride + more - before - after);
    // The phases give stride * (d + taps - 1) elements, the output ends at stride * (d - 1) + extent + more - after.
    const extra = Math.max(0, Math.ceil((extent + more - after) / stride) - taps);
    return { extent, stride, dilation, taps, start: before, size, extra };
  });
}

export const offline = defineOffline(op, {
  onnx: { Conv: fromConv, ConvTranspose: fromConvTranspose },
  reference(inputs, attrs, [y]) {
    const [x, w] = inputs;
    const [n, h, width, c] = x!.type.shape as [number, number, number, number];
    const [o, kh, kw, depth] = w!.type.shape as [number, number, number, number];
    const [, oh, ow] = y!.shape as [number, number, number, number];
    const { strides, pads, dilations, group } = attrs;
    const zero = x!.type.quant?.zero ?? 0;
    const out = new Float64Array(elements(y!.shape));
    let at = 0;
    for (let image = 0; image < n; image++)
      for (let oy = 0; oy < oh; oy++)
        for (let ox = 0; ox < ow; ox++)
          for (let channel = 0; channel < o; channel++, at++) {
            const first = Math.floor(channel / (o / group)) * depth;
            let sum = 0;
            for (let ky = 0; ky < kh; ky++) {
              const iy = oy * strides[0]! - pads[0]! + ky * dilations[0]!;
              if (iy < 0 || iy >= h) continue;
              for (let kx = 0; kx < kw; kx++) {
                const ix = ox * strides[1]! - pads[1]! + kx * dilations[1]!;
                if (ix < 0 || ix >= width) continue;
                const from = ((image * h + iy) * width + ix) * c + first;
                const weight = ((channel * kh + ky) * kw + kx) * depth;
                for (let i = 0; i < depth; i++) sum += (x!.data[from + i]! - zero) * w!.data[weight + i]!;
              }
            }
            out[at] = finish(inputs, attrs, sum, channel, at);
          }
    return [out];
  },
  gradient({ inputs: [x, w, bias], dy, attrs, wants, emit }) {
    if (x!.type.dtype !== 'f32') return undefined;
    const { strides, pads, dilations, group } = attrs;
    const geometry = { strides, pads, dilations, group };
    const [image, kernel] = [staticShape(x!).slice(1, 3), staticShape(w!).slice(1, 3)];
    return [
      wants(0) ? emit('convInputGradient', [dy, w], { ...geometry, image }) : undefined,
      wants(1) ? emit('convWeightGradient', [x, dy], { ...geometry, kernel }) : undefined,
      bias && wants(2) ? sumTo(emit, dy, staticShape(bias)) : undefined,
    ];
  },
  accuracy: { abs: 1e-4, rel: 1e-5 },
  cost: ([, w], _, [y]) => costOf(y!, elements(w!.shape.slice(1))),
  cases: casesOf(),
});

/** The geometry of a case: image [N,H,W,C], weights [O,KH,KW,C/group], and attributes. */
interface Geometry {
  x: readonly [number, number, number, number];
  w: readonly [number, number, number, number];
  attrs?: Partial<ConvAttrs>;
}

function outputOf({ x, w, attrs = {} }: Geometry): number[] {
  const { strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1] } = attrs;
  const [oh, ow] = windowCounts(x.slice(1, 3), { kernel: w.slice(1, 3), strides, pads, dilations }) as number[];
  return [x[0], oh!, ow!, w[0]];
}

function casesOf(): Case<ConvAttrs>[] {
  const geometries: Geometry[] = [
    { x: [1, 5, 6, 1], w: [1, 3, 3, 1] },
    { x: [1, 5, 6, 3], w: [7, 3, 3, 3], attrs: { pads: [1, 1, 1, 1] } },
    { x: [1, 9, 11, 3], w: [8, 3, 3, 3], attrs: { pads: [0, 0, 1, 1], strides: [2, 2] } },
    { x: [2, 7, 7, 24], w: [9, 3, 3, 24], attrs: { pads: [1, 1, 1, 1] } },
    { x: [1, 7, 7, 5], w: [40, 1, 1, 5] },
    { x: [1, 8, 7, 24], w: [16, 1, 1, 24], attrs: { strides: [2, 2] } },
    { x: [1, 6, 9, 8], w: [8, 5, 5, 8], attrs: { pads: [2, 2, 2, 2] } },
    { x: [1, 13, 12, 3], w: [12, 7, 7, 3], attrs: { pads: [3, 3, 3, 3], strides: [2, 2] } },
    { x: [1, 9, 4, 6], w: [5, 3, 1, 6], attrs: { pads: [1, 0, 1, 0] } },
    { x: [1, 1, 20, 10], w: [12, 1, 5, 10], attrs: { pads: [0, 3, 0, 1], strides: [1, 2] } },
    { x: [1, 12, 11, 6], w: [8, 3, 3, 6], attrs: { pads: [2, 3, 2, 3], dilations: [2, 3] } },
    { x: [1, 8, 8, 4], w: [4, 1, 1, 4], attrs: { pads: [1, 1, 1, 1] } },
    { x: [1, 6, 6, 12], w: [20, 3, 3, 3], attrs: { pads: [1, 1, 1, 1], group: 4 } },
    { x: [1, 6, 6, 6], w: [12, 3, 3, 1], attrs: { pads: [1, 1, 1, 1], group: 6 } },
    { x: [1, 3, 200, 96], w: [24, 3, 3, 96], attrs: { pads: [1, 1, 1, 1] } },
    { x: [1, 31, 29, 16], w: [8, 3, 3, 16], attrs: { pads: [1, 1, 1, 1] } },
    { x: [1, 9, 23, 16], w: [20, 3, 3, 16], attrs: { pads: [1, 1, 1, 1] } },
    { x: [2, 6, 46, 20], w: [24, 3, 3, 20], attrs: { pads: [0, 1, 1, 0] } },
    { x: [1, 5, 150, 64], w: [16, 3, 3, 64], attrs: { pads: [1, 1, 1, 1] } },
    { x: [1, 4, 40, 16], w: [16, 3, 3, 16], attrs: { pads: [2, 2, 2, 2] } },
    { x: [1, 4, 5, 24], w: [24, 3, 3, 1], attrs: { pads: [1, 1, 1, 1], group: 24 } },
    { x: [2, 9, 9, 16], w: [16, 3, 3, 1], attrs: { pads: [0, 0, 1, 1], strides: [2, 2], group: 16 } },
    { x: [1, 7, 8, 3], w: [3, 3, 3, 1], attrs: { pads: [1, 1, 1, 1], group: 3 } },
    { x: [1, 9, 14, 20], w: [20, 5, 5, 1], attrs: { pads: [2, 2, 2, 2], group: 20 } },
    { x: [1, 15, 16, 9], w: [9, 7, 7, 1], attrs: { pads: [3, 2, 3, 4], strides: [2, 1], group: 9 } },
    { x: [1, 9, 9, 8], w: [8, 3, 3, 1], attrs: { pads: [2, 2, 2, 2], dilations: [2, 2], group: 8 } },
    { x: [1, 8, 8, 12], w: [12, 5, 1, 1], attrs: { pads: [2, 0, 2, 0], group: 12 } },
    { x: [1, 6, 6, 8], w: [8, 1, 1, 1], attrs: { group: 8 } },
    { x: [1, 3, 300, 40], w: [40, 3, 3, 1], attrs: { pads: [1, 1, 1, 1], group: 40 } },
    { x: [1, 39, 5, 8], w: [8, 3, 3, 1], attrs: { pads: [3, 1, 3, 1], strides: [2, 1], dilations: [3, 2], group: 8 } },
    { x: [2, 21, 4, 4], w: [4, 3, 2, 1], attrs: { pads: [2, 1, 2, 0], strides: [4, 3], dilations: [6, 1], group: 4 } },
    { x: [0, 6, 6, 8], w: [8, 3, 3, 8], attrs: { pads: [1, 1, 1, 1] } },
  ];
  const list: Case<ConvAttrs>[] = [];
  geometries.forEach((g, i) => {
    const y = outputOf(g);
    const [w, bias]: CaseInput[] = [
      { shape: g.w, constant: true },
      { shape: [g.w[0]], constant: true },
    ];
    const acts = [[], [step('relu')], [step('clip', -1, 1.5)], [step('hardSwish')]];
    const act = acts[i % 4]!;
    list.push({ inputs: [g.x, w!, ...(i % 3 ? [bias!] : [])], attrs: { ...g.attrs, act } });
    if (i % 2) list.push({ inputs: [g.x, w!, bias!, null, y], attrs: { ...g.attrs, act } });
    const integers = integerCases<ConvAttrs>(g.x, g.w, y, g.w[1] * g.w[2] * g.w[3], g.attrs);
    list.push(...integers.filter((_, j) => (i + j) % 3 === 0 || i === 3 || i === 18));
  });
  // What lies beside a border is not in it.
  const [low, high] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  const infinite: [x: number[], w: number[], group: number][] = [
    [[high, 1, 2, 3, low, 4], [1, 3, 1, 2], 1],
    [[high, 1, 2, low, 3, high, 2, 1, 3, low, 5, 4], [4, 1, 3, 1], 4],
  ];
  for (const [data, shape, group] of infinite)
    list.push({
      name: 'infinite',
      inputs: [
        { shape: [1, 1, 3, shape[3]! * group], data },
        { shape, constant: true, data: Array.from({ length: elements(shape) }, (_, i) => i + 1) },
      ],
      attrs: { pads: [1, 1, 1, 1], group },
    });
  const sparse: (Geometry & { share: number })[] = [
    { x: [2, 7, 7, 24], w: [9, 3, 3, 24], attrs: { pads: [1, 1, 1, 1] }, share: 0.8 },
    { x: [1, 9, 11, 3], w: [8, 3, 3, 3], attrs: { pads: [0, 0, 1, 1], strides: [2, 2] }, share: 0.9 },
    { x: [1, 9, 9, 6], w: [11, 3, 2, 6], share: 0.75 },
    { x: [1, 12, 11, 6], w: [8, 3, 3, 6], attrs: { pads: [2, 3, 2, 3], dilations: [2, 3] }, share: 0.8 },
    { x: [1, 3, 200, 96], w: [24, 3, 3, 96], attrs: { pads: [1, 1, 1, 1] }, share: 0.9 },
    { x: [1, 5, 6, 20], w: [10, 1, 1, 20], share: 0.9 },
  ];
  for (const g of sparse) {
    const length = g.w[3] * (g.attrs?.dilations ? 1 : g.w[2]);
    list.push(...sparseCases<ConvAttrs>(g.x, g.w, outputOf(g), length, g.share, g.attrs));
  }
  const coded: Geometry[] = [
    { x: [2, 7, 7, 24], w: [20, 3, 3, 24], attrs: { pads: [1, 1, 1, 1] } },
    { x: [2, 9, 9, 13], w: [43, 3, 3, 13], attrs: { pads: [0, 0, 1, 1], strides: [2, 2] } },
    { x: [1, 12, 11, 14], w: [40, 3, 3, 14], attrs: { pads: [2, 3, 2, 3], dilations: [2, 3] } },
    { x: [1, 3, 3, 50], w: [17, 3, 3, 50] },
    { x: [1, 5, 7, 66], w: [70, 1, 1, 66] },
  ];
  for (const [i, g] of coded.entries())
    for (const table of CODED_TABLES)
      list.push(...codedCases<ConvAttrs>(g.x, g.w, outputOf(g), table, g.attrs).filter((_, j) => (i + j) % 4 === 0));
  return list;
}
