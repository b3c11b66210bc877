/**
 * What conv and gemm share: inputs, attributes and types of a sum of products over constant weights, and its epilogue
 * for kernels that take weights in panels of 8 output channels. The integer arithmetic is in requant.ts.
 */
import { isStatic } from '../core/dim';
import type { DType } from '../core/dtype';
import { WaferError } from '../core/errors';
import { elements, type Quant, type Shape, type StaticType, shapeText, type TensorType, typeText } from '../core/shape';
import { type Curve, checkCurve, entryOf, FINE, FINE_BITS, kernelCurve, levelOfEntry } from './curve';
import {
  type AttrsOf,
  type Block,
  type Case,
  type CaseInput,
  type Dispatch,
  type DotKind,
  int,
  ints,
  type Lowering,
  type Operand,
  quant,
  type RefTensor,
  type Step,
  steps,
} from './define';
import { checkRequant, checkSums, FREE_SHIFT, offsetOf, type Requant, requantize, saturation, sumsFit } from './requant';
import { encodeSteps, evaluateSteps, step } from './steps';

/**
 * Float: y = act(x * w + bias + residual). Quantised x and w: with `quant`, y is requantised by `multiplier` (i32) as
 * requant.ts says; without, y = act((x * w + bias) * multiplier) with `multiplier` in f32. With `middle`, y is a function
 * of the sum, by `table` or `swish`, as curve.ts says.
 */
export const productInputs = ['x', 'w', 'bias?', 'multiplier?', 'residual?', 'table?', 'factor?'] as const;

export const productAttrs = {
  act: steps(),
  /** Quantisation of the output; null for a float output. */
  quant: quant(),
  /** Quantisation of the sum that a function is applied to; null without one. */
  middle: quant(),
  /** Binary places of the multipliers. */
  shift: int(22),
  /** Levels to clamp to, before the function. */
  range: ints(-128, 127),
  /** Residual scale over output scale, with `shift` binary places. */
  residualMultiplier: int(0),
  /** Hard swish as a function: half, scale and offset of curve.ts. Empty without it. */
  swish: ints(),
};
export type ProductAttrs = AttrsOf<typeof productAttrs>;

/** The output's type, of `shape` with `channels` last. Throws DTYPE, SHAPE and ARGUMENT for inputs that do not fit. */
export function productType(inputs: readonly TensorType[], attrs: ProductAttrs, shape: Shape): TensorType {
  const [x, w, bias, multiplier, residual, table, factor] = inputs as readonly (TensorType | undefined)[];
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
  if (residual && integer && attrs.residualMultiplier < 1) throw new WaferError('ARGUMENT', 'a residual needs its multiplier');
  if (!attrs.quant && integer && residual) throw new WaferError('ARGUMENT', 'a float output of integers takes no residual');
  expectType('table', table, 'u8', [256, 2]);
  if (attrs.middle && !attrs.quant) throw new WaferError('ARGUMENT', 'a function of levels needs a quantised output');
  expectType('factor', factor, 'i32', factor?.shape[0] === 1 ? [1] : channels);
  if (!factor !== !attrs.middle) throw new WaferError('ARGUMENT', 'a function and factors need each other');
  if ((table ? 1 : 0) + (attrs.swish.length ? 1 : 0) !== (attrs.middle ? 1 : 0))
    throw new WaferError('ARGUMENT', '"middle" needs a table or a swish, and these need it');
  if (attrs.quant && attrs.act.length)
    throw new WaferError('ARGUMENT', 'a quantised output takes no act; use range, table or swish');
  return y;
}

/** Throws DTYPE or SHAPE when an input that is there is not of this type. Symbolic dimensions are taken as equal. */
export function expectType(name: string, type: TensorType | undefined, dtype: DType, shape: Shape): void {
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

/** Of the parameters of a panel: PANEL of assembly/requant.ts in words. */
const PANEL_WORDS = 36;

/** Panels of 8 output channels, each group of `channels` starting a new one. */
export const panelCount = (groups: number, channels: number): number => groups * Math.ceil(channels / 8);

/** Biases in the order of the panels, 0 where there is none. */
export function biasPanels({ inputs: [, w, bias], constant }: Lowering<ProductAttrs>, groups: number): Block {
  return constant('bias', () => {
    const channels = w!.type.shape[0]! / groups;
    const width = 8 * Math.ceil(channels / 8);
    const out = new Float32Array(groups * width);
    if (!bias) return out;
    const data = constantOf('bias', bias);
    for (let i = 0; i < data.length; i++) out[Math.floor(i / channels) * width + (i % channels)] = data[i]!;
    return out;
  });
}

/** Codes of assembly/kind.ts. */
export const KIND_CODES: Readonly<Record<DotKind, number>> = { i16: 0, u8: 1, s8: 2 };

/**
 * Parameters of the integer kernels, a block of 36 words for each panel: 8 each of bias, multiplier (or the scale in
 * f32), lo and hi, and 8 factors of 16 bits. The bias has the input's zero point multiplied in, as the device's form of the
 * levels needs it. Throws VALUE when sums or results could leave 32 bits.
 */
export function integerPanels(node: Lowering<ProductAttrs>, groups: number): Block {
  const [x, w] = node.inputs;
  const outputs = w!.type.shape[0]!;
  const [channels, depth] = [outputs / groups, elements(w!.type.shape) / outputs];
  const panels = panelCount(groups, channels);
  const zero = x!.type.quant!.zero + (node.dot === 's8' ? 0 : 128);
  const { quant, residualMultiplier } = node.attrs;
  const { shift, offset } = quant ? scalingOf(node, quant, 128) : { shift: 0, offset: 0 };
  const level = x!.type.quant!.zero;
  const make = (block: Block): Dispatch => {
    const given: Operand = { type: { dtype: 'i32', shape: [panels, PANEL_WORDS] }, data: parametersOf(node, groups) };
    const free = shift === FREE_SHIFT ? 1 : 0;
    return {
      kernel: 'i8_panels',
      args: [w!, given, block, channels, depth, zero, level, offset, 255 * residualMultiplier, free],
      rows: panels,
    };
  };
  return node.packed('requant', w!, 4 * PANEL_WORDS * panels, make, groups === 1 ? 8 * depth : undefined);
}

/** What every device's lowering says of a node. */
type ProductNode = Pick<Lowering<ProductAttrs>, 'inputs' | 'attrs'>;

/** The numbers that requantise a node's sums: y = clamp((sum * m + addend + offset) >> shift, low, high). */
export interface Scaling {
  readonly shift: number;
  readonly offset: number;
  /** Of levels, or of places on the curve. */
  readonly low: number;
  readonly high: number;
}

/** As a device needs them that stores levels `raised` higher. Places on a curve begin at 0. */
export function scalingOf({ attrs, inputs: [, , , , residual] }: ProductNode, quant: Quant, raised: 0 | 128): Scaling {
  const requant = requantOf(attrs, quant);
  const raise = attrs.middle ? FINE * 128 : raised;
  const added = residual ? attrs.residualMultiplier * (residual.type.quant!.zero + raised) : 0;
  const offset = offsetOf({ ...requant, zero: requant.zero + raise }) - added;
  return { shift: requant.shift, offset, low: requant.range[0]! + raise, high: requant.range[1]! + raise };
}

/** Parameters of integer kernels by output channel. */
export interface ChannelParameters {
  readonly biases: ArrayLike<number>;
  /** In f32 for a float output. */
  readonly multipliers: ArrayLike<number>;
  /** Sums to clamp to; 0 for a float output. */
  readonly low: Int32Array;
  readonly high: Int32Array;
  /** Of a curve; 0 without one. */
  readonly factors: ArrayLike<number>;
}

/** Biases are the node's own. Throws VALUE when sums or results could leave 32 bits, or a curve 16. */
export function channelParameters({ attrs, inputs }: ProductNode): ChannelParameters {
  const [, w, bias, multiplier, , table, factor] = inputs;
  const multipliers = constantOf('multiplier', multiplier!);
  const outputs = w!.type.shape[0]!;
  const depth = elements(w!.type.shape) / outputs;
  const biases = bias ? constantOf('bias', bias) : new Int32Array(outputs);
  const factors = factor && constantOf('factor', factor);
  const curve = curveOf(attrs, table);
  if (curve) checkCurve(curve, factors!);
  const saturates = attrs.quant && saturation(requantOf(attrs, attrs.quant), 255 * attrs.residualMultiplier);
  if (attrs.quant) {
    const { zero } = attrs.middle ?? attrs.quant;
    checkRequant({ ...attrs, zero }, multipliers, attrs.residualMultiplier, attrs.middle ? FINE_BITS : 0);
  }
  const [low, high] = [new Int32Array(outputs), new Int32Array(outputs)];
  for (let channel = 0; channel < outputs; channel++) {
    const own = biases[channel]!;
    if (!sumsFit(own, 128 * depth)) checkSums(own, magnitudeOf(w!, channel, depth));
    if (!saturates) continue;
    low[channel] = saturates.low(multipliers[channel]!);
    high[channel] = saturates.high(multipliers[channel]!);
  }
  const each = factors?.length === outputs ? factors : new Int32Array(outputs).fill(factors?.[0] ?? 0);
  return { biases, multipliers, low, high, factors: each };
}

/** As `integerPanels`, the biases being the node's own. */
function parametersOf(node: Lowering<ProductAttrs>, groups: number): Int32Array {
  const outputs = node.inputs[1]!.type.shape[0]!;
  const channels = outputs / groups;
  const { biases, multipliers, low, high, factors } = channelParameters(node);
  const words = new Int32Array(PANEL_WORDS * panelCount(groups, channels));
  const halves = new Int16Array(words.buffer);
  const scales = node.attrs.quant ? words : new Float32Array(words.buffer);
  // Models have ten thousands of channels, and this is run before an engine has optimised it.
  for (let group = 0, channel = 0; group < groups; group++)
    for (let within = 0; within < channels; within++, channel++) {
      const column = within % 8;
      const panel = PANEL_WORDS * (group * Math.ceil(channels / 8) + (within - column) / 8);
      const at = panel + column;
      halves[2 * (panel + 32) + column] = factors[channel]!;
      words[at] = biases[channel]!;
      scales[at + 8] = multipliers[channel]!;
      words[at + 16] = low[channel]!;
      words[at + 24] = high[channel]!;
    }
  return words;
}

/** Sum of the magnitudes of a channel's weights. */
function magnitudeOf(w: Operand, channel: number, depth: number): number {
  const weights = constantOf('w', w);
  let size = 0;
  for (let i = channel * depth; i < (channel + 1) * depth; i++) size += Math.abs(weights[i]!);
  return size;
}

function greatestOf(values: ArrayLike<number>): number {
  let greatest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) greatest = Math.max(greatest, values[i]!);
  return greatest;
}

/** The node's curve, when it has one. */
export function curveOf({ middle, swish }: ProductAttrs, table: Operand | undefined): Curve | undefined {
  return middle ? { table: table && constantOf('table', table), swish, middle } : undefined;
}

/** To levels, or before a function to its places. */
function requantOf({ shift, range, middle }: ProductAttrs, quant: Quant): Requant {
  if (!middle) return { shift, range, zero: quant.zero };
  return { shift: shift - FINE_BITS, range: range.map((level) => FINE * level), zero: FINE * middle.zero };
}

/** Arguments of the integer kernels: shift, offset, low, high, residual multiplier, and a curve or activation program. */
export function integerArguments(node: Lowering<ProductAttrs>): (number | Operand | Block)[] {
  const { attrs, inputs, constant } = node;
  const [, , , , residual, table] = inputs;
  if (!attrs.quant) {
    const [low, high, program] = clampArguments(node);
    return [0, 0, low, high, 0, program];
  }
  const { shift, offset, low, high } = scalingOf(node, attrs.quant, 128);
  // A multiplier of more than a level can step over the bounds that sums are clamped to: kernels look at the result as well.
  const oversteps = greatestOf(constantOf('multiplier', inputs[3]!)) > 2 ** shift;
  const factor = residual ? attrs.residualMultiplier : oversteps ? 1 : 0;
  const curve = curveOf(attrs, table);
  const after = curve ? constant('curve', () => kernelCurve(curve, attrs.quant!)) : 0;
  return [shift, offset, low, high, factor, after];
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
  const [x, , bias, multiplier, residual, table, factor] = inputs;
  const value = sum + (bias?.data[channel] ?? 0);
  if (x!.type.dtype === 'f32') return evaluateSteps(attrs.act, value + (residual?.data[at] ?? 0));
  if (!attrs.quant) return evaluateSteps(attrs.act, value * multiplier!.data[channel]!);
  const level = requantize(value, multiplier!.data[channel]!, {
    ...requantOf(attrs, attrs.quant),
    addend: residual ? (residual.data[at]! - residual.type.quant!.zero) * attrs.residualMultiplier : 0,
  });
  const { middle, swish } = attrs;
  if (!middle) return level;
  const entry = entryOf({ table: table?.data, swish, middle }, level + FINE * 128);
  return levelOfEntry(entry, factor!.data[factor!.data.length > 1 ? channel : 0]!, attrs.quant);
}

/** Multiply-accumulates of an output of `y` with `depth` products each. */
export const costOf = (y: StaticType, depth: number) => ({ macs: y.shape.reduce((n, d) => n * d, 1) * depth });

/** Cases of integer operands for one geometry: requantised, with residual, table, range, and to floats. `weights`: or drawn. */
export function integerCases<A extends ProductAttrs>(
  x: readonly number[],
  w: readonly number[],
  y: readonly number[],
  depth: number,
  attrs: Partial<A> = {},
  weights?: readonly number[],
): Case<A>[] {
  const channels = w[0]!;
  const quant: Quant = { scale: 0.5, zero: -11 };
  const constants = { constant: true } as const;
  // Multipliers that bring a typical sum to about a third of the levels, each channel another.
  const unit = 40 / (75 * 75 * Math.sqrt(Math.max(1, depth)));
  const levels = Array.from({ length: channels }, (_, i) => unit * (0.5 + (i % 7) / 3));
  const multiplier = (shift: number): CaseInput => ({
    ...constants,
    shape: [channels],
    dtype: 'i32',
    data: levels.map((v) => Math.max(1, Math.round(v * 2 ** shift))),
  });
  const first: CaseInput[] = [
    { shape: x, dtype: 'i8', quant: { scale: 0.1, zero: 7 } },
    { ...constants, shape: w, dtype: 'i8', ...(weights && { data: weights }) },
  ];
  const bias: CaseInput = { ...constants, shape: [channels], dtype: 'i32', range: [-9000, 9000] };
  const residual: CaseInput = { shape: y, dtype: 'i8', quant: { scale: 0.4, zero: -20 } };
  const table: CaseInput = {
    ...constants,
    shape: [256, 2],
    dtype: 'u8',
    data: Array.from({ length: 512 }, (_, i) => (i * 7 + (i >> 3)) & 255),
  };
  const factor: CaseInput = { ...constants, shape: [channels], dtype: 'i32', range: [1, 999] };
  const one: CaseInput = { ...constants, shape: [1], dtype: 'i32', data: [256] };
  const scale: CaseInput = { ...constants, shape: [channels], data: levels.map((v) => v / 16) };
  const given: Case<ProductAttrs>[] = [
    { inputs: [...first, null, multiplier(22)], attrs: { quant } },
    { inputs: [...first, bias, multiplier(20), residual], attrs: { quant, shift: 20, residualMultiplier: 2 ** 20 - 77 } },
    { inputs: [...first, bias, multiplier(17), null, table, one], attrs: { quant, middle: { scale: 1, zero: 30 }, shift: 17 } },
    {
      inputs: [...first, bias, multiplier(20), residual, table, factor],
      attrs: { quant, middle: { scale: 1, zero: -20 }, range: [-20, 40], shift: 20, residualMultiplier: 77777 },
    },
    {
      inputs: [...first, bias, multiplier(19), null, null, factor],
      attrs: { quant, middle: { scale: 1, zero: -30 }, shift: 19, swish: [2000, 8, -700] },
    },
    { inputs: [...first, bias, multiplier(22)], attrs: { quant, range: [-11, 60] } },
    { inputs: [...first, bias, multiplier(FREE_SHIFT)], attrs: { quant, shift: FREE_SHIFT } },
    {
      inputs: [...first, null, multiplier(FREE_SHIFT), residual],
      attrs: { quant, range: [-11, 60], shift: FREE_SHIFT, residualMultiplier: 2 ** 17 + 55 },
    },
    { inputs: [...first, bias, scale], attrs: { act: [step('relu')] } },
    { inputs: [...first, null, scale], attrs: { act: [step('hardSwish')] } },
  ];
  return given.map((c): Case<A> => ({ inputs: c.inputs, attrs: { ...attrs, ...c.attrs } as Partial<A> }));
}
