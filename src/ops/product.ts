/**
 * What conv and gemm share: inputs, attributes and types of a sum of products over constant weights, its floating
 * epilogue, and weights as panels of 8 output channels. The integer epilogue is in requant.ts.
 */
import { isStatic } from '../core/dim';
import type { DType } from '../core/dtype';
import { WaferError } from '../core/errors';
import { type Shape, type StaticType, shapeText, type TensorType, typeText } from '../core/shape';
import {
  type AttrsOf,
  type Block,
  int,
  ints,
  type Lowering,
  type Operand,
  quant,
  type RefTensor,
  type Step,
  steps,
} from './define';
import { requantize } from './requant';
import { encodeSteps, evaluateSteps } from './steps';

/**
 * Float: y = act(x * w + bias + residual). Quantised x and w: with `quant`, y is requantised by `multiplier` (i32) as
 * requant.ts says, then looked up in `table`; without, y = act((x * w + bias) * multiplier) with `multiplier` in f32.
 */
export const productInputs = ['x', 'w', 'bias?', 'multiplier?', 'residual?', 'table?'] as const;

export const productAttrs = {
  act: steps(),
  /** Quantisation of the output; null for a float output. */
  quant: quant(),
  /** Quantisation of what `table` is looked up with; null without a table. */
  middle: quant(),
  /** Binary places of the multipliers. */
  shift: int(22),
  /** Levels to clamp to, before the table. */
  range: ints(-128, 127),
  /** Residual scale over output scale, with `shift` binary places. */
  residualMultiplier: int(0),
};
export type ProductAttrs = AttrsOf<typeof productAttrs>;

/** The output's type, of `shape` with `channels` last. Throws DTYPE, SHAPE and ARGUMENT for inputs that do not fit. */
export function productType(inputs: readonly TensorType[], attrs: ProductAttrs, shape: Shape): TensorType {
  const [x, w, bias, multiplier, residual, table] = inputs as readonly (TensorType | undefined)[];
  const channels = w!.shape.slice(0, 1);
  const y: TensorType = attrs.quant ? { dtype: 'i8', shape, quant: attrs.quant } : { dtype: 'f32', shape };
  const integer = x!.dtype === 'i8';
  if (integer ? !x!.quant : x!.dtype !== 'f32') throw new WaferError('DTYPE', `takes f32 and quantised i8, got ${typeText(x!)}`);
  expectType('w', w, x!.dtype, w!.shape);
  expectType('bias', bias, integer ? 'i32' : 'f32', channels);
  if (integer && !multiplier) throw new WaferError('ARGUMENT', 'input "multiplier" is missing');
  if (!integer && (attrs.quant || multiplier)) throw new WaferError('ARGUMENT', 'f32 inputs cannot give a quantised output');
  expectType('multiplier', multiplier, attrs.quant ? 'i32' : 'f32', channels);
  expectType('residual', residual, y.dtype, shape);
  if (residual && integer && !residual.quant) throw new WaferError('DTYPE', 'input "residual" needs a quantised i8 tensor');
  if (!attrs.quant && integer && residual) throw new WaferError('ARGUMENT', 'a float output of integers takes no residual');
  expectType('table', table, 'u8', [256]);
  if (table && !attrs.quant) throw new WaferError('ARGUMENT', 'a table needs a quantised output');
  if (attrs.quant && attrs.act.length) throw new WaferError('ARGUMENT', 'a quantised output takes no act; use range or table');
  return y;
}

/** Throws DTYPE or SHAPE when an input that is there is not of this type. Symbolic dimensions are taken as equal. */
function expectType(name: string, type: TensorType | undefined, dtype: DType, shape: Shape): void {
  if (!type) return;
  if (type.dtype !== dtype) throw new WaferError('DTYPE', `input "${name}" is ${typeText(type)}, expected ${dtype}`);
  const fits =
    type.shape.length === shape.length && type.shape.every((d, i) => !isStatic(d) || !isStatic(shape[i]!) || d === shape[i]);
  if (!fits) throw new WaferError('SHAPE', `input "${name}" is ${shapeText(type.shape)}, expected ${shapeText(shape)}`);
}

/** Elements of a constant input. Throws UNSUPPORTED when it is not known before the run. */
export function constantOf(name: string, operand: Operand): ArrayLike<number> {
  if (operand.data) return operand.data;
  throw new WaferError('UNSUPPORTED', `input "${name}" must be constant`, {
    hint: 'weights that a network computes are not supported here',
  });
}

/** Panels of 8 output channels, each group of `channels` starting a new one. */
export const panelCount = (groups: number, channels: number): number => groups * Math.ceil(channels / 8);

/**
 * Per-channel numbers in the order of the panels: `fill(channel)` for channel 0.., and 0 where a group's last panel has
 * no channel.
 */
export function inPanels(groups: number, channels: number, fill: (channel: number) => number): Float32Array {
  const width = 8 * Math.ceil(channels / 8);
  const out = new Float32Array(groups * width);
  for (let group = 0; group < groups; group++)
    for (let i = 0; i < channels; i++) out[group * width + i] = fill(group * channels + i);
  return out;
}

/** Bounds that leading clamps of an activation program amount to, and the rest of the program. */
export function splitClamp(act: readonly Step[]): { low: number; high: number; rest: readonly Step[] } {
  let [low, high] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  let i = 0;
  for (; i < act.length; i++) {
    const { fn, a, b } = act[i]!;
    if (fn !== 'relu' && fn !== 'clip') break;
    const [from, to] = fn === 'relu' ? [0, Number.POSITIVE_INFINITY] : [a, b];
    [low, high] = [Math.min(Math.max(low, from), to), Math.min(Math.max(high, from), to)];
  }
  return { low, high, rest: act.slice(i) };
}

/** Arguments that end every f32 kernel of the family: low, high, and the program of what is no clamp. */
export function clampArguments({ attrs, constant }: Lowering<{ act: readonly Step[] }>): [number, number, Block | 0] {
  const { low, high, rest } = splitClamp(attrs.act);
  return [low, high, rest.length ? constant('act', () => encodeSteps(rest)) : 0];
}

/**
 * Bytes of left operand to multiply at a time: what stays in L1, or in L2 where the weights are so large that reading
 * them again for every block would cost more.
 */
export const blockBytes = (weightBytes: number): number => Math.max(2 ** 15, Math.min(2 ** 18, weightBytes / 8));

/** The sum of products of a reference, made into an element of the output. */
export function finish(
  inputs: readonly (RefTensor | undefined)[],
  attrs: ProductAttrs,
  sum: number,
  channel: number,
  at: number,
): number {
  const [x, , bias, multiplier, residual, table] = inputs;
  const value = sum + (bias?.data[channel] ?? 0);
  if (x!.type.dtype === 'f32') return evaluateSteps(attrs.act, value + (residual?.data[at] ?? 0));
  if (!attrs.quant) return evaluateSteps(attrs.act, value * multiplier!.data[channel]!);
  const level = requantize(value, multiplier!.data[channel]!, {
    shift: attrs.shift,
    zero: (attrs.middle ?? attrs.quant).zero,
    range: attrs.range,
    addend: residual ? (residual.data[at]! - residual.type.quant!.zero) * attrs.residualMultiplier : 0,
  });
  return table ? table.data[level + 128]! - 128 : level;
}

/** Multiply-accumulates of an output of `y` with `depth` products each. */
export const costOf = (y: StaticType, depth: number) => ({ macs: y.shape.reduce((n, d) => n * d, 1) * depth });
