/**
 * Windows that slide over an image: the geometry that convolution and pooling share. Everything is [height, width];
 * pads are [top, left, bottom, right].
 */
import { add, type Dim, floorDivide, isStatic } from '../core/dim';
import { WaferError } from '../core/errors';
import type { Shape, StaticShape } from '../core/shape';
import type { OnnxNode } from './define';

export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly pads: readonly number[];
  readonly dilations: readonly number[];
}

/** Elements that a window spans on one axis. */
export const extentOf = (kernel: number, dilation: number): number => (kernel - 1) * dilation + 1;

/** Output [height, width] of a window over an image [height, width]. Throws ARGUMENT and SHAPE. */
export function windowCounts(image: Shape, { kernel, strides, pads, dilations }: Window, ceil = false): Dim[] {
  const lists = [kernel, strides, dilations];
  if (lists.some((l) => l.length !== 2 || l.some((v) => !(v >= 1))) || pads.length !== 4 || pads.some((v) => !(v >= 0)))
    throw new WaferError('ARGUMENT', 'kernel, strides and dilations need two positive entries each, pads four of 0 or more');
  return image.map((d, i) => {
    const [before, after, stride] = [pads[i]!, pads[i + 2]!, strides[i]!];
    const extent = extentOf(kernel[i]!, dilations[i]!);
    const count = ceil
      ? ceilCount(d, before, after, extent, stride)
      : add(floorDivide(add(d, before + after - extent), stride), 1);
    if (isStatic(count) && count < 1)
      throw new WaferError('SHAPE', `a window of ${extent} does not fit into ${d} with pads ${before} and ${after}`);
    return count;
  });
}

/** A window that starts inside the image or the pads before it may hang over the end, one that starts later is left out. */
function ceilCount(d: Dim, before: number, after: number, extent: number, stride: number): Dim {
  const count = add(floorDivide(add(d, before + after - extent + stride - 1), stride), 1);
  if (isStatic(count) && isStatic(d)) return (count - 1) * stride >= d + before ? count - 1 : count;
  if (after + stride > extent)
    throw new WaferError('UNSUPPORTED', 'ceil mode on a free dimension with windows that may start beyond the image', {
      hint: 'give the model a fixed input size when packing',
    });
  return count;
}

/** Geometry of an ONNX Conv or pool over the last 2 axes of `spatial`, or its 1, taken as an image of height 1. */
export function windowOf(n: OnnxNode, kernel: readonly number[], spatial: Shape): Window {
  const axes = spatial.length;
  if (axes < 1 || axes > 2) return n.unsupported(`${axes} spatial axes`);
  const ones = kernel.map(() => 1);
  const strides = n.ints('strides', ones);
  const dilations = n.ints('dilations', ones);
  const auto = n.string('auto_pad', 'NOTSET');
  let pads = n.ints('pads', [...ones, ...ones].fill(0));
  if (auto === 'VALID') pads = pads.map(() => 0);
  else if (auto !== 'NOTSET') {
    const totals = spatial.map((d, i) => samePad(n, d, extentOf(kernel[i]!, dilations[i]!), strides[i]!));
    const small = totals.map((total) => Math.floor(total / 2));
    const large = totals.map((total) => Math.ceil(total / 2));
    pads = auto === 'SAME_UPPER' ? [...small, ...large] : [...large, ...small];
  }
  if (axes === 2) return { kernel, strides, pads, dilations };
  return { kernel: [1, ...kernel], strides: [1, ...strides], pads: [0, pads[0]!, 0, pads[1]!], dilations: [1, ...dilations] };
}

/** Padding, before and after together, that makes ceil(d / stride) windows. */
function samePad(n: OnnxNode, d: Dim, extent: number, stride: number): number {
  if (stride === 1) return extent - 1;
  if (!isStatic(d)) return n.unsupported('SAME padding of a free dimension by strides');
  return Math.max(0, (Math.ceil(d / stride) - 1) * stride + extent - d);
}

/** The uniforms of shaders/lib/window.wgsl, in order: h, w, oh, ow, kh, kw, strideH, strideW, dilationH, dilationW, top, left. */
export function windowUniforms(x: StaticShape, y: StaticShape, { kernel, strides, pads, dilations }: Window): number[] {
  return [...x.slice(1, 3), ...y.slice(1, 3), ...kernel, ...strides, ...dilations, pads[0]!, pads[1]!];
}
