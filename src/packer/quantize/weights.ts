/**
 * Weights to int8, per output channel and symmetric, with each channel's scale chosen so that the requantisation
 * multiplier is an exact integer: real = acc * m * 2^-shift * outputScale.
 *
 * Weights are rounded one after the other, and the error of each is made good by those after it, as far as their inputs
 * are alike (GPTQ, Frantar et al. 2023); weights of 0 stay 0, because they may be pruned ones, which a kernel skips. What
 * the errors of a channel amount to on the mean input is taken off its bias (Nagel et al. 2019).
 */
import { WaferError } from '../../core/errors';
import type { ColumnBlock } from './covariance';

export interface QuantizedWeights {
  /** [O][K], -127..127. */
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

/** The weights of a product and what calibration knows of its input. */
export interface FloatWeights {
  /** [O][K]. */
  weights: Float32Array;
  bias: Float32Array | undefined;
  /** O. */
  channels: number;
  /** What calibration saw of the rows that a channel's weights are multiplied with. */
  rows(channel: number): Rows;
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
  const { weights, channels } = float;
  const multiplier = new Int32Array(channels);
  const unit = outputScale / inputScale / 2 ** shift;
  const quantized = quantizeChannels(float, inputScale, (channel, peak, realBias) => {
    if (peak === 0) {
      // Only the bias is left: the finest scale that holds it.
      multiplier[channel] = Math.max(1, Math.ceil(Math.abs(realBias) / inputScale / BIAS_LIMIT / unit));
      return multiplier[channel]! * unit;
    }
    const ideal = peak / 127 / unit;
    const floor = Math.max(1, Math.floor(ideal));
    if (floor + 1 > largest)
      throw new WaferError(
        'VALUE',
        `output channel ${channel} needs a multiplier of ${ideal.toExponential(2)}, at most ${largest} fits`,
        {
          hint: 'its weights are too large for the range its output was calibrated to; calibrate with more representative inputs',
        },
      );
    const row = weights.subarray((channel * weights.length) / channels, ((channel + 1) * weights.length) / channels);
    const m = roundingError(row, floor * unit) <= roundingError(row, (floor + 1) * unit) ? floor : floor + 1;
    multiplier[channel] = m;
    return m * unit;
  });
  return { ...quantized, multiplier };
}

/** For layers whose output stays in floating point: any scale will do. */
export function quantizeForFloats(float: FloatWeights, inputScale: number): QuantizedWeights {
  return quantizeChannels(float, inputScale, (_, peak, realBias) =>
    Math.max(peak / 127, Math.abs(realBias) / inputScale / BIAS_LIMIT, 2 ** -60),
  );
}

function quantizeChannels(
  { weights, bias, channels, rows }: FloatWeights,
  inputScale: number,
  scaleFor: (channel: number, peak: number, bias: number) => number,
): QuantizedWeights {
  const size = weights.length / channels;
  const levels = new Int8Array(weights.length);
  const biasLevels = new Int32Array(channels);
  const scales = new Float64Array(channels);
  for (let channel = 0; channel < channels; channel++) {
    const row = weights.subarray(channel * size, (channel + 1) * size);
    const own = levels.subarray(channel * size, (channel + 1) * size);
    let peak = 0;
    for (const w of row) peak = Math.max(peak, Math.abs(w));
    const realBias = bias?.[channel] ?? 0;
    if (!Number.isFinite(peak) || !Number.isFinite(realBias))
      throw new WaferError('VALUE', `output channel ${channel} has weights that are no numbers`);
    const scale = scaleFor(channel, peak, realBias);
    scales[channel] = scale;
    const seen = rows(channel);
    for (const block of seen.blocks) roundBlock(row, own, scale, block);
    const mean = seen.mean();
    let shift = 0;
    for (let k = 0; k < size; k++) shift += (own[k]! * scale - row[k]!) * mean[k]!;
    biasLevels[channel] = clamp(Math.round((realBias - shift) / (inputScale * scale)), BIAS_LIMIT);
  }
  return { levels, bias: biasLevels, scales };
}

/** Rounds the columns of a block in turn; the error of each is spread over those after it. */
function roundBlock(row: Float32Array, levels: Int8Array, scale: number, block: ColumnBlock): void {
  const { columns } = block;
  const n = columns.length;
  const spread = block.spread();
  const wanted = Float64Array.from(columns, (k) => row[k]! / scale);
  for (let i = 0; i < n; i++) {
    const level = row[columns[i]!] === 0 ? 0 : clamp(Math.round(wanted[i]!), 127);
    levels[columns[i]!] = level;
    const change = level - wanted[i]!;
    if (change !== 0) for (let j = i + 1; j < n; j++) wanted[j]! += change * spread[i * n + j]!;
  }
}

const clamp = (x: number, limit: number) => Math.min(limit, Math.max(-limit, x));

function roundingError(row: Float32Array, scale: number): number {
  let sum = 0;
  for (const w of row) sum += (w - clamp(Math.round(w / scale), 127) * scale) ** 2;
  return sum;
}
