/**
 * Weights to int8, per output channel and symmetric, with each channel's scale chosen so that the requantisation
 * multiplier is an exact integer: real = acc * m * 2^-shift * outputScale.
 *
 * Rounding errors are kept from adding up where inputs are alike: the taps of one kernel see neighbouring pixels, so
 * their errors are made to cancel (after SQuant, Guo et al. 2022); what the errors of a channel amount to on the mean
 * input is taken off its bias (Nagel et al. 2019).
 */
import { WaferError } from '../../core/errors';

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
  /** [O][taps][depth]. */
  weights: Float32Array;
  bias: Float32Array | undefined;
  /** O. */
  channels: number;
  /** Kernel positions that see neighbouring pixels: kernel height * width of a convolution, 1 of a matrix. */
  taps: number;
  /** Mean of the input over calibration that weight [o][.][i] is multiplied with. */
  mean(o: number, i: number): number;
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
  { weights, bias, channels, taps, mean }: FloatWeights,
  inputScale: number,
  scaleFor: (channel: number, peak: number, bias: number) => number,
): QuantizedWeights {
  const size = weights.length / channels;
  const depth = size / taps;
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
    for (let k = 0; k < size; k++) own[k] = clamp(Math.round(row[k]! / scale), 127);
    if (taps > 1) for (let i = 0; i < depth; i++) cancelErrors(row, own, scale, i, depth);
    let shift = 0;
    for (let k = 0; k < size; k++) shift += (own[k]! * scale - row[k]!) * mean(channel, k % depth);
    biasLevels[channel] = clamp(Math.round((realBias - shift) / (inputScale * scale)), BIAS_LIMIT);
  }
  return { levels, bias: biasLevels, scales };
}

/**
 * Rounds the elements `first`, `first + step` … of a row the other way, those nearest to the middle first, until their
 * errors sum to at most half a level.
 */
function cancelErrors(row: Float32Array, levels: Int8Array, scale: number, first: number, step: number): void {
  const error = (k: number) => levels[k]! - row[k]! / scale;
  const elements: number[] = [];
  let sum = 0;
  for (let k = first; k < row.length; k += step) {
    elements.push(k);
    sum += error(k);
  }
  const sign = Math.sign(sum);
  elements.sort((a, b) => sign * (error(b) - error(a)));
  for (const k of elements.slice(0, Math.round(Math.abs(sum)))) levels[k] = clamp(levels[k]! - sign, 127);
}

const clamp = (x: number, limit: number) => Math.min(limit, Math.max(-limit, x));

function roundingError(row: Float32Array, scale: number): number {
  let sum = 0;
  for (const w of row) sum += (w - clamp(Math.round(w / scale), 127) * scale) ** 2;
  return sum;
}
