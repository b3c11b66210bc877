/**
 * What the weights of a layer may be stored as. Each format is a set of levels within ±127, a scale in each channel apart: the
 * arithmetic of products is the same for all of them, and a device computes those of up to 16 levels from their codes.
 * Levels at equal distances are linear; those of k-means, powers of two and logarithms lie closer where weights are many.
 */
import { nearest, WaferError } from '../../core/errors';

/** A set of levels, and the scales of a channel that are worth trying with it. */
export interface Grid {
  /** Ascending, integers within ±127. */
  readonly levels: readonly number[];
  /** The level that is nearest to `x`. */
  round(x: number): number;
  /** The scale at which the search begins, for a channel that is not all 0. */
  start(row: Float32Array): number;
  /** What that is multiplied with; 1 alone where the channel's peak decides. */
  readonly ratios: readonly number[];
}

/** The weights of one tensor, [channels][K], and how much an error of each of the K counts. */
export interface Tensor {
  weights: Float32Array;
  channels: number;
  importance(channel: number): ArrayLike<number>;
}

interface Format {
  /** Of a code. */
  readonly bits: number;
  grid(tensor: Tensor): Grid;
}

const range = (low: number, high: number): number[] => Array.from({ length: high - low + 1 }, (_, i) => low + i);

/** Magnitudes and their negatives. */
const signed = (magnitudes: readonly number[]): number[] =>
  [...new Set(magnitudes.flatMap((m) => [m, m === 0 ? 0 : -m]))].sort((a, b) => a - b);

const peakOf = (row: Float32Array): number => row.reduce((peak, w) => Math.max(peak, Math.abs(w)), 0);
const meanMagnitude = (row: Float32Array): number => row.reduce((sum, w) => sum + Math.abs(w), 0) / row.length;

const roundTo = (levels: readonly number[]): ((x: number) => number) => {
  const [least, most] = [levels[0]!, levels.at(-1)!];
  if (levels.length === most - least + 1) return (x) => Math.min(most, Math.max(least, Math.round(x)));
  const middles = levels.slice(1).map((level, i) => (level + levels[i]!) / 2);
  return (x) => {
    let [low, high] = [0, middles.length];
    while (low < high) {
      const at = (low + high) >> 1;
      if (x >= middles[at]!) low = at + 1;
      else high = at;
    }
    return levels[low]!;
  };
};

/** Clipping the largest weights makes the others finer. */
const CLIPPED = Array.from({ length: 16 }, (_, i) => 1 - i / 24);
const AROUND = Array.from({ length: 17 }, (_, i) => 0.6 + i / 20);

/** Levels whose largest is a channel's peak, or clipped to. */
export function peakGrid(levels: readonly number[], ratios: readonly number[] = CLIPPED): Grid {
  const most = Math.max(...levels.map(Math.abs));
  return { levels, round: roundTo(levels), start: (row) => peakOf(row) / most, ratios };
}

const linear = (bits: number): Format => {
  const most = 2 ** (bits - 1) - 1;
  return { bits, grid: () => peakGrid(range(-most, most), bits === 8 ? [1] : CLIPPED) };
};

/** The mean of the magnitudes beyond 0.7 times their mean (ternary weight networks, Li et al. 2016) and scales around it. */
const ternary: Format = {
  bits: 2,
  grid: () => ({
    levels: [-1, 0, 1],
    round: roundTo([-1, 0, 1]),
    start(row) {
      const threshold = 0.7 * meanMagnitude(row);
      return meanMagnitude(row.filter((w) => Math.abs(w) >= threshold));
    },
    ratios: AROUND,
  }),
};

/** Of the largest weight of a tensor, under which a weight is 0. */
export const TTQ_THRESHOLD = 0.05;

/** A level for the weights over a threshold and one for those under its negative: their means (TTQ, Zhu et al. 2017). */
const ttq: Format = {
  bits: 2,
  grid({ weights }) {
    const threshold = TTQ_THRESHOLD * peakOf(weights);
    const [above, below] = [weights.filter((w) => w > threshold), weights.filter((w) => w < -threshold)];
    const levels = ttqLevels(meanMagnitude(above) || 1, meanMagnitude(below) || 1);
    const start = (row: Float32Array) => meanMagnitude(row.filter((w) => Math.abs(w) > TTQ_THRESHOLD * peakOf(row))) / 127;
    return { levels, round: roundTo(levels), start, ratios: AROUND };
  },
};

/** -n, 0 and p, of which one is 127, in the ratio of two magnitudes. */
export function ttqLevels(positive: number, negative: number): [number, 0, number] {
  const unit = 127 / Math.max(positive, negative);
  return [-Math.max(1, Math.round(negative * unit)), 0, Math.max(1, Math.round(positive * unit))];
}

/** The mean magnitude (binary weights, Rastegari et al. 2016) and scales around it. */
const binary: Format = {
  bits: 1,
  grid: () => ({ levels: [-1, 1], round: (x) => (x < 0 ? -1 : 1), start: meanMagnitude, ratios: AROUND }),
};

const codebook = (bits: number): Format => ({
  bits,
  grid: (tensor) => peakGrid(kMeans(tensor, 2 ** bits), [1, 0.95, 0.9, 0.85, 0.8]),
});

const power = (bits: number): Format => ({
  bits,
  grid: () => peakGrid(signed([0, ...range(0, 2 ** (bits - 1) - 2).map((i) => 2 ** i)])),
});

/** Sums of two powers of two (APoT, Li et al. 2020). */
const apot = (bits: 4 | 5): Format => {
  const [a, b] =
    bits === 4
      ? [
          [0, 16, 4, 1],
          [0, 8],
        ]
      : [
          [0, 32, 8, 2],
          [0, 16, 4, 1],
        ];
  return { bits, grid: () => peakGrid(signed(a!.flatMap((x) => b!.map((y) => x + y)))) };
};

/** Magnitudes that fall by a constant factor: that of a few which errs least. */
const logarithmic = (bits: number): Format => {
  const count = 2 ** (bits - 1) - 1;
  const grids = [0.5, 2 ** -0.75, 2 ** -0.5, 2 ** -0.25].map((factor) =>
    peakGrid(signed([0, ...Array.from({ length: count }, (_, i) => Math.round(127 * factor ** i))])),
  );
  const error = (grid: Grid, { weights, channels, importance }: Tensor) => {
    const size = weights.length / channels;
    let sum = 0;
    for (let c = 0; c < channels; c++) {
      const row = weights.subarray(c * size, (c + 1) * size);
      const scale = grid.start(row);
      if (scale > 0) sum += roundingError(row, grid, scale, importance(c));
    }
    return sum;
  };
  return {
    bits,
    grid(tensor) {
      const errors = grids.map((grid) => error(grid, tensor));
      return grids[errors.indexOf(Math.min(...errors))]!;
    },
  };
};

/** What rounding each weight by itself costs. */
export function roundingError(row: Float32Array, grid: Grid, scale: number, importance?: ArrayLike<number>): number {
  let sum = 0;
  for (let k = 0; k < row.length; k++) {
    const error = row[k]! - grid.round(row[k]! / scale) * scale;
    sum += (importance?.[k] ?? 1) * error * error;
  }
  return sum;
}

/**
 * The `count` levels at which weights, each channel scaled to a peak of 127, err the least. In one dimension clusters are
 * intervals, and of 255 levels the best are found exactly, so nothing is drawn. 0 is a level where weights are 0.
 */
function kMeans({ weights, channels, importance }: Tensor, count: number): number[] {
  const size = weights.length / channels;
  const bins = 255;
  const [mass, first, second] = [new Float64Array(bins + 1), new Float64Array(bins + 1), new Float64Array(bins + 1)];
  let hasZero = false;
  for (let c = 0; c < channels; c++) {
    const row = weights.subarray(c * size, (c + 1) * size);
    const scale = peakOf(row) / 127;
    if (scale === 0) continue;
    const counts = importance(c);
    for (let k = 0; k < size; k++) {
      const x = row[k]! / scale;
      const share = counts[k]! * scale * scale;
      const bin = Math.round(x) + 128;
      mass[bin]! += share;
      first[bin]! += share * x;
      second[bin]! += share * x * x;
      hasZero ||= x === 0;
    }
  }
  for (let i = 1; i <= bins; i++) {
    mass[i]! += mass[i - 1]!;
    first[i]! += first[i - 1]!;
    second[i]! += second[i - 1]!;
  }
  /** Bins after `from` to `to`: their level and its error. */
  const cluster = (from: number, to: number) => {
    const [m, s, q] = [mass[to]! - mass[from]!, first[to]! - first[from]!, second[to]! - second[from]!];
    const level = m > 0 ? Math.round(s / m) : to - 128;
    return { level, error: q - 2 * level * s + level * level * m };
  };
  let least = Array.from({ length: bins + 1 }, (_, to) => (to === 0 ? 0 : Number.POSITIVE_INFINITY));
  const cuts: Int32Array[] = [];
  for (let k = 0; k < Math.min(count, bins); k++) {
    const cut = new Int32Array(bins + 1);
    least = least.map((_, to) => {
      let best = Number.POSITIVE_INFINITY;
      for (let from = 0; from <= to; from++) {
        const error = least[from]! + (from === to ? 0 : cluster(from, to).error);
        if (error < best) [best, cut[to]] = [error, from];
      }
      return best;
    });
    cuts.push(cut);
  }
  const levels = new Set<number>();
  for (let [k, to] = [cuts.length - 1, bins]; k >= 0; k--) {
    const from = cuts[k]![to]!;
    if (from < to && mass[to]! > mass[from]!) levels.add(cluster(from, to).level);
    to = from;
  }
  if (hasZero && !levels.has(0) && levels.size > 0) {
    levels.delete([...levels].reduce((a, b) => (Math.abs(b) < Math.abs(a) ? b : a)));
    levels.add(0);
  }
  if (levels.size === 0) levels.add(0).add(127);
  return [...levels].sort((a, b) => a - b);
}

const KNOWN = {
  int8: linear(8),
  int6: linear(6),
  int5: linear(5),
  int4: linear(4),
  int3: linear(3),
  ternary,
  ttq,
  binary,
  codebook8: codebook(8),
  codebook7: codebook(7),
  codebook6: codebook(6),
  codebook5: codebook(5),
  codebook4: codebook(4),
  codebook3: codebook(3),
  codebook2: codebook(2),
  power4: power(4),
  power3: power(3),
  apot5: apot(5),
  apot4: apot(4),
  log5: logarithmic(5),
  log4: logarithmic(4),
  log3: logarithmic(3),
} satisfies Record<string, Format>;

export type LevelFormat = keyof typeof KNOWN;
/** A format of levels; `xnor`: binary weights times the signs of what comes in; or `float`: computed in floating point. */
export type WeightFormat = LevelFormat | 'xnor' | 'float';
export const LEVEL_FORMATS = Object.keys(KNOWN) as readonly LevelFormat[];
export const FORMATS: readonly WeightFormat[] = [...LEVEL_FORMATS, 'xnor', 'float'];

/** Bits of a code. */
export const bitsOf = (format: LevelFormat): number => KNOWN[format].bits;

/** The levels that a tensor's weights take. */
export const gridOf = (format: LevelFormat, tensor: Tensor): Grid => KNOWN[format].grid(tensor);

/** Throws ARGUMENT, naming the nearest. A number stands for that many bits, linear. */
export function formatNamed(text: string): WeightFormat {
  const name = /^\d+$/.test(text) ? `int${text}` : text;
  const found = FORMATS.find((format) => format === name);
  if (found) return found;
  const near = nearest(name, FORMATS);
  throw new WaferError('ARGUMENT', `no weight format "${text}"`, {
    hint: `${near ? `did you mean "${near}"? ` : ''}formats are ${FORMATS.join(', ')}`,
  });
}
