/**
 * Weights to levels and a scale per output channel, which is chosen so that the requantisation multiplier is an exact
 * integer: real = acc * m * 2^-shift * outputScale.
 *
 * Weights are rounded one after the other, and the error of each is made good by those after it, as far as their inputs
 * are alike (GPTQ, Frantar et al. 2023); weights of 0 stay 0, because they may be pruned ones, which a kernel skips. What
 * the errors of a channel amount to on the mean input is taken off its bias (Nagel et al. 2019).
 */
import { WaferError } from '../../core/errors';
import type { ColumnBlock } from './covariance';
import { type Grid, roundingError } from './formats';

/** How weights become levels: each by itself; errors made good by later weights; or that and then improved. */
export const ROUNDINGS = ['nearest', 'gptq', 'adaround'] as const;
export type Rounding = (typeof ROUNDINGS)[number];

export interface QuantizedWeights {
  /** [O][K], of the grid. */
  levels: Int8Array;
  /** [O]: what an accumulator of one means, in input scale times weight scale. */
  bias: Int32Array;
  /** [O]: the scale of the channel's weights. */
  scales: Float64Array;
}

export interface RequantizedWeights extends QuantizedWeights {
  /** [O], 1..2^30. */
  multiplier: Int32Array;
}

/** The weights of a product, what calibration knows of its input, and what the weights are to become. */
export interface FloatWeights {
  /** [O][K]. */
  weights: Float32Array;
  bias: Float32Array | undefined;
  /** O. */
  channels: number;
  /** What calibration saw of the rows that a channel's weights are multiplied with. */
  rows(channel: number): Rows;
  grid: Grid;
  rounding: Rounding;
}

export interface Rows {
  /** [K]. */
  mean(): ArrayLike<number>;
  /** Each of the K columns is in one block. */
  readonly blocks: readonly ColumnBlock[];
}

/** Levels beyond which an accumulator could leave i32 are never needed by a real bias. */
const BIAS_LIMIT = 2 ** 30;

/**
 * @param largest upper bound of the multiplier (2^30, or 2^29 with a fused residual).
 * Throws VALUE when a channel needs a multiplier beyond `largest`.
 */
export function quantizeForIntegers(
  float: FloatWeights,
  inputScale: number,
  outputScale: number,
  shift: number,
  largest: number,
): RequantizedWeights {
  const finest = outputScale / inputScale / 2 ** shift;
  const places = spareBits(float, finest);
  const unit = finest * 2 ** places;
  const quantized = quantizeChannels(float, inputScale, {
    // The finest scale that holds the bias.
    empty: (bias) => Math.max(1, Math.ceil(Math.abs(bias) / inputScale / BIAS_LIMIT / unit)) * unit,
    near(scale, row, channel) {
      const ideal = scale / unit;
      const floor = Math.max(1, Math.floor(ideal));
      if ((floor + 1) * 2 ** places > largest)
        throw new WaferError(
          'VALUE',
          `output channel ${channel} needs a multiplier of ${(scale / finest).toExponential(2)}, at most ${largest} fits`,
          {
            hint: 'its weights are too large for the range its output was calibrated to; calibrate with more representative inputs',
          },
        );
      const error = (multiplier: number) => roundingError(row, float.grid, multiplier * unit);
      return (error(floor) <= error(floor + 1) ? floor : floor + 1) * unit;
    },
  });
  const multiplier = Int32Array.from(quantized.scales, (scale) => Math.round(scale / unit) * 2 ** places);
  return { ...quantized, multiplier, bias: roundedBiases(quantized.bias, multiplier, shift, float.grid) };
}

/** Grids of at most so many levels are coarse: their scales and biases need few bits, and in a small file such bits count. */
const COARSE_LEVELS = 64;
/** The least multiplier of a coarse channel in steps that are stored: its scale is then off by 0.8 % at most. */
const LEAST_STEPS = 64;

/** Lowest bits of multipliers that a coarse grid does without. */
function spareBits({ weights, channels, grid }: FloatWeights, unit: number): number {
  if (grid.levels.length > COARSE_LEVELS) return 0;
  const size = weights.length / channels;
  let least = Number.POSITIVE_INFINITY;
  for (let c = 0; c < channels; c++) {
    const row = weights.subarray(c * size, (c + 1) * size);
    if (row.some((w) => w !== 0)) least = Math.min(least, (exactScale(row, grid) ?? grid.start(row)) * Math.min(...grid.ratios));
  }
  return Number.isFinite(least) ? Math.max(0, Math.floor(Math.log2(least / unit / LEAST_STEPS))) : 0;
}

/** A level of the output in steps that biases of coarse layers are rounded to. */
const BIAS_STEPS = 16;

function roundedBiases(bias: Int32Array, multiplier: Int32Array, shift: number, { levels }: Grid): Int32Array {
  if (levels.length > COARSE_LEVELS) return bias;
  const largest = multiplier.reduce((a, b) => Math.max(a, b), 0);
  const step = 2 ** Math.max(0, Math.floor(shift - Math.log2(BIAS_STEPS * largest)));
  return bias.map((value) => clamp(Math.round(value / step) * step, BIAS_LIMIT));
}

/** For layers whose output stays in floating point: any scale will do. */
export function quantizeForFloats(float: FloatWeights, inputScale: number): QuantizedWeights {
  const least = (bias: number) => Math.max(Math.abs(bias) / inputScale / BIAS_LIMIT, 2 ** -60);
  return quantizeChannels(float, inputScale, {
    empty: least,
    near: (scale, _row, channel) => Math.max(scale, least(float.bias?.[channel] ?? 0)),
  });
}

/** The largest scale that a channel may get, before it is brought to a multiplier. */
export function coarsestScale({ weights, channels, grid }: FloatWeights): number {
  const size = weights.length / channels;
  let largest = 0;
  for (let c = 0; c < channels; c++) {
    const row = weights.subarray(c * size, (c + 1) * size);
    if (row.some((w) => w !== 0)) largest = Math.max(largest, grid.start(row));
  }
  return largest * Math.max(...grid.ratios);
}

/** [K]: the variance of what each weight is multiplied with. */
export function importanceOf({ blocks }: Rows, size: number): Float64Array {
  const importance = new Float64Array(size);
  for (const block of blocks) {
    const { covariance } = block.solved();
    block.columns.forEach((k, i) => (importance[k] = covariance[i * (block.columns.length + 1)]!));
  }
  return importance;
}

/** Which scales a channel can have. */
interface Scales {
  /** Of a channel without weights. */
  empty(bias: number): number;
  /** The one beside `scale` at which `row` errs the least. */
  near(scale: number, row: Float32Array, channel: number): number;
}

function quantizeChannels(float: FloatWeights, inputScale: number, possible: Scales): QuantizedWeights {
  const { weights, bias, channels, rows } = float;
  const size = weights.length / channels;
  const levels = new Int8Array(weights.length);
  const biasLevels = new Int32Array(channels);
  const scales = new Float64Array(channels);
  const trial = new Int8Array(size);
  for (let channel = 0; channel < channels; channel++) {
    const row = weights.subarray(channel * size, (channel + 1) * size);
    const own = levels.subarray(channel * size, (channel + 1) * size);
    const realBias = bias?.[channel] ?? 0;
    if (!row.every(Number.isFinite) || !Number.isFinite(realBias))
      throw new WaferError('VALUE', `output channel ${channel} has weights that are no numbers`);
    const seen = rows(channel);
    const candidates = row.some((w) => w !== 0)
      ? candidateScales(row, float, seen).map((scale) => possible.near(scale, row, channel))
      : [possible.empty(realBias)];
    let least = Number.POSITIVE_INFINITY;
    for (const scale of new Set(candidates)) {
      let cost = 0;
      for (const block of seen.blocks) cost += roundBlock(row, trial, scale, block, float);
      if (cost * scale * scale >= least) continue;
      least = cost * scale * scale;
      scales[channel] = scale;
      own.set(trial);
    }
    const scale = scales[channel]!;
    const mean = seen.mean();
    let shift = 0;
    for (let k = 0; k < size; k++) shift += (own[k]! * scale - row[k]!) * mean[k]!;
    biasLevels[channel] = clamp(Math.round((realBias - shift) / (inputScale * scale)), BIAS_LIMIT);
  }
  return { levels, bias: biasLevels, scales };
}

/** The scale at which rounding each weight by itself errs the least, and those beside it; that of weights that are levels already. */
function candidateScales(row: Float32Array, { grid }: FloatWeights, seen: Rows): number[] {
  const exact = exactScale(row, grid);
  if (exact) return [exact];
  const { ratios } = grid;
  const start = grid.start(row);
  if (ratios.length === 1) return [start * ratios[0]!];
  const importance = importanceOf(seen, row.length);
  const errors = ratios.map((ratio) => roundingError(row, grid, start * ratio, importance));
  const best = errors.indexOf(Math.min(...errors));
  return ratios.slice(Math.max(0, best - 1), best + 2).map((ratio) => start * ratio);
}

/** What weights may be off their levels by, as a share of the largest: floats that were multiplied are. */
const EXACT = 1e-6;

/** Whether each channel's weights are levels at some scale. */
export function isExact({ weights, channels, grid }: Pick<FloatWeights, 'weights' | 'channels' | 'grid'>): boolean {
  const size = weights.length / channels;
  return Array.from({ length: channels }, (_, c) => weights.subarray(c * size, (c + 1) * size)).every(
    (row) => row.every((w) => w === 0) || exactScale(row, grid) !== undefined,
  );
}

/** The finest scale at which all weights are levels: networks that were trained on levels have one. */
function exactScale(row: Float32Array, { levels, round }: Grid): number | undefined {
  const peak = row.reduce((most, w) => Math.max(most, Math.abs(w)), 0);
  for (const level of [...new Set(levels.map(Math.abs))].sort((a, b) => b - a)) {
    const scale = peak / level;
    if (level > 0 && row.every((w) => Math.abs(w - round(w / scale) * scale) <= EXACT * peak)) return scale;
  }
  return undefined;
}

/** Rounds the columns of a block and returns what it changes of the product, squared, in squares of `scale`. */
function roundBlock(
  row: Float32Array,
  levels: Int8Array,
  scale: number,
  block: ColumnBlock,
  { grid, rounding }: FloatWeights,
): number {
  const { columns } = block;
  const { covariance, spread, alone } = block.solved();
  const n = columns.length;
  const keepsZero = grid.levels.includes(0);
  const given = Float64Array.from(columns, (k) => row[k]! / scale);
  const wanted = given.slice();
  let cost = 0;
  for (let i = 0; i < n; i++) {
    const level = given[i] === 0 && keepsZero ? 0 : grid.round(wanted[i]!);
    levels[columns[i]!] = level;
    const change = level - wanted[i]!;
    if (change === 0) continue;
    if (rounding === 'nearest') cost += change * change * covariance[i * n + i]!;
    else {
      cost += change * change * alone[i]!;
      for (let j = i + 1; j < n; j++) wanted[j]! += change * spread[i * n + j]!;
    }
  }
  return rounding === 'adaround' ? descend(levels, given, block, grid) : cost;
}

/** Passes over the weights of a block; most end before. */
const PASSES = 8;

/**
 * Moves one weight at a time to a neighbouring level as long as that brings the product nearer to what it was: the problem
 * that AdaRound (Nagel et al. 2020) relaxes, descended to where no single step helps. Returns the cost, as `roundBlock`.
 */
function descend(levels: Int8Array, given: Float64Array, block: ColumnBlock, grid: Grid): number {
  const { columns } = block;
  const { covariance } = block.solved();
  const n = columns.length;
  const keepsZero = grid.levels.includes(0);
  /** Half of how the cost changes with each weight. */
  const slope = new Float64Array(n);
  const moved = (i: number, by: number) => {
    for (let j = 0; j < n; j++) slope[j]! += by * covariance[i * n + j]!;
  };
  for (let i = 0; i < n; i++) moved(i, levels[columns[i]!]! - given[i]!);
  let improved = true;
  for (let pass = 0; pass < PASSES && improved; pass++) {
    improved = false;
    for (let i = 0; i < n; i++) {
      if (given[i] === 0 && keepsZero) continue;
      const level = levels[columns[i]!]!;
      const at = grid.levels.indexOf(level);
      const to = grid.levels[slope[i]! > 0 ? at - 1 : at + 1];
      if (to === undefined) continue;
      const by = to - level;
      if (2 * by * slope[i]! + by * by * covariance[i * n + i]! >= -1e-12) continue;
      levels[columns[i]!] = to;
      moved(i, by);
      improved = true;
    }
  }
  return slope.reduce((sum, s, i) => sum + s * (levels[columns[i]!]! - given[i]!), 0);
}

const clamp = (x: number, limit: number) => Math.min(limit, Math.max(-limit, x));
