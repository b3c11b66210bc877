/** How a GPU's invocations share products: what the shaders of f32 and of integers have in common. */
import type { StaticShape } from '../core/shape';
import { type Float, f32, type GpuTraits, type Step } from './define';
import { splitClamp } from './product';
import { shaderSteps } from './steps';
import type { Window } from './window';

/** What a product slides over: NHWC shapes of the input and the output, and in how many groups channels are. */
export interface Geometry {
  readonly x: StaticShape;
  readonly y: StaticShape;
  readonly window: Window;
  readonly group: number;
}

/** A matrix product is a window of one pixel over an image of one row. */
export const matrixGeometry = (rows: number, k: number, n: number): Geometry => ({
  x: [1, 1, rows, k],
  y: [1, 1, rows, n],
  window: { kernel: [1, 1], strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1] },
  group: 1,
});

/** Flag and uniforms that shaders/lib/clamps.wgsl takes: clamps that come first in a program, and what is left of it. */
export function shaderClamps(act: readonly Step[]): { ACT: string[]; uniforms: Float[] } {
  const { low, high, rest } = splitClamp(act);
  const { ACT, constants } = shaderSteps(rest);
  return { ACT, uniforms: [f32(low), f32(high), ...constants] };
}

/** Rows and fours of outputs of an invocation: as many as registers hold, but one row where there is hardly a second. */
export function tileOf(rows: number, isSoftware: boolean): [TM: number, TN: number] {
  if (rows <= 2) return [1, isSoftware ? 2 : 1];
  return isSoftware ? [8, 2] : [4, 2];
}

/**
 * Whether elements are read by fours where they come so. Software reads them one by one in any case: a shader for all sizes is as
 * fast there, and one less to compile.
 */
export const readsFours = ({ isSoftware }: GpuTraits, ...sizes: readonly number[]): boolean =>
  !isSoftware && sizes.every((size) => size > 0 && size % 4 === 0);

/** Most taps that an invocation of a depthwise shader holds in registers: software spills to a cache that is near. */
const TAPS = { software: 25, hardware: 9 };
/** Outputs of a column at most, where threads are few and where there have to be many. */
const RUN = { software: 32, hardware: 4 };

/**
 * How depthwise shaders go down the columns of an output `oh` rows high: flags, how many columns there are for each column of the
 * image, and the uniforms step, stride, run and columns.
 */
export function columnsOf(
  { kernel: [kh, kw], strides, dilations }: Window,
  oh: number,
  { isSoftware }: GpuTraits,
): { flags: { KH: number; KW: number }; count: number; uniforms: number[] } {
  const traits = isSoftware ? 'software' : 'hardware';
  const [stride, dilation] = [strides[0]!, dilations[0]!];
  const isRunning = kh! * kw! <= TAPS[traits];
  const common = isRunning ? gcd(stride, dilation) : stride;
  const step = isRunning ? dilation / common : 1;
  const run = isRunning ? Math.min(RUN[traits], Math.ceil(oh / step)) : 1;
  const count = Math.ceil(oh / (step * run)) * step;
  return { flags: isRunning ? { KH: kh!, KW: kw! } : { KH: 0, KW: 0 }, count, uniforms: [step, stride / common, run, count] };
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
