/**
 * Batches: which examples, and how they are varied. Everything follows from the seed, the epoch and the example's place in it, so
 * that any thread can make any part of any batch, and a training that goes on makes the same ones.
 */
import { WaferError } from '../../core/errors';
import { random } from '../../core/random';
import { elements, type StaticShape, sameShape, shapeText } from '../../core/shape';
import { type Dataset, sizeOf } from './dataset';

export interface Augmentation {
  /** Mirror every second image, left to right. */
  flip: boolean;
  /** Shift by up to so many pixels on each axis; what comes in is the mean. */
  crop: number;
  /** The part of images of which a rectangle is replaced by the mean. */
  erase: number;
  /** Examples are mixed in pairs by a part drawn from Beta(mixup, mixup); 0 leaves them. */
  mixup: number;
  /** The part of the probability that is spread over all classes. */
  labelSmoothing: number;
}

export const AUGMENTATION: Augmentation = { flip: false, crop: 0, erase: 0, mixup: 0, labelSmoothing: 0 };

/** How numbers become inputs: (x - mean) / deviation, of bytes after they were divided by 255. A number each channel, or one. */
export interface Normalisation {
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
}

/** Bytes become numbers about 0, which a file says of its pictures; other numbers are taken as they are. */
export const normalisationOf = (set: Dataset): Normalisation =>
  set.data instanceof Uint8Array ? statisticsOf(set) : { mean: [0], deviation: [1] };

/** Mean and deviation of all numbers of a data set, of bytes as parts of 255. */
export function statisticsOf({ data }: Dataset): Normalisation {
  const unit = data instanceof Uint8Array ? 255 : 1;
  // A sample says enough, and the same one always.
  const stride = Math.max(1, Math.floor(data.length / 2 ** 20));
  let [sum, squares, n] = [0, 0, 0];
  for (let i = 0; i < data.length; i += stride, n++) {
    sum += data[i]! / unit;
    squares += (data[i]! / unit) ** 2;
  }
  const mean = sum / n;
  const deviation = Math.sqrt(Math.max(0, squares / n - mean * mean));
  const short = (x: number) => Number(x.toPrecision(4));
  return { mean: [short(mean)], deviation: [deviation > 0 ? short(deviation) : 1] };
}

/** A seed from numbers. */
export function seedOf(...parts: readonly number[]): number {
  let hash = 0x811c9dc5;
  for (const part of parts)
    for (let shift = 0; shift < 32; shift += 8) hash = Math.imul(hash ^ ((part >>> shift) & 255), 0x01000193);
  return hash >>> 0;
}

/** The order of an epoch's examples: Fisher and Yates. */
export function epochOrder(count: number, seed: number, epoch: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  const next = random(seedOf(seed, epoch, 0x5eed));
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

export interface BatchOptions {
  readonly set: Dataset;
  readonly normalisation: Normalisation;
  readonly augmentation: Augmentation;
  readonly seed: number;
  /** Whether images go in as [C,H,W]. */
  readonly channelsFirst: boolean;
}

/** A part of a batch, to be written: examples one after the other, and what is wanted of each. */
export interface Part {
  readonly x: Float32Array;
  /** Probabilities of classes. */
  readonly target?: Float32Array | undefined;
  /** What a teacher says. */
  readonly taught?: Float32Array | undefined;
}

/** Makes parts of batches. */
export class Batches {
  private order: Int32Array = new Int32Array(0);
  private epoch = -1;
  private readonly size: number;
  private readonly table: Float32Array;
  private readonly scratch: Float32Array;

  constructor(
    private readonly options: BatchOptions,
    /** Examples of a batch. */
    private readonly batch: number,
    /** What a teacher says of each example, as rows, and of each mirrored one behind them where examples are mirrored. */
    private readonly taught?: Float32Array,
  ) {
    const { set, normalisation } = options;
    this.size = elements(set.shape);
    this.scratch = new Float32Array(this.size);
    const { mean, deviation } = normalisation;
    const channels = mean.length;
    // Bytes are looked up.
    this.table = Float32Array.from({ length: 256 * channels }, (_, i) => {
      const c = i % channels;
      return (Math.floor(i / channels) / 255 - mean[c]!) / deviation[c]!;
    });
  }

  /** Batches in an epoch; examples that fill none are left out, other ones each time. */
  get perEpoch(): number {
    return Math.floor(sizeOf(this.options.set) / this.batch);
  }

  /** Writes examples `from` to `from + count` of batch `step`. */
  fill(step: number, from: number, count: number, { x, target, taught }: Part): void {
    const { set, seed, augmentation } = this.options;
    const epoch = Math.floor(step / this.perEpoch);
    if (epoch !== this.epoch) {
      this.order = epochOrder(sizeOf(set), seed, epoch);
      this.epoch = epoch;
    }
    const start = (step % this.perEpoch) * this.batch;
    const { labelSmoothing, mixup } = augmentation;
    const classes = target ? target.length / count : 0;
    target?.fill(labelSmoothing / classes);
    taught?.fill(0);
    const mixed = mixup > 0 ? beta(random(seedOf(seed, step, 0x313)), mixup) : 1;
    /** Adds `part` of what is known of the example at `place` to what is wanted of the `i`th. */
    const want = (i: number, place: number, mirrored: boolean, part: number) => {
      const index = this.order[place]!;
      if (target) target[i * classes + set.labels[index]!]! += (1 - labelSmoothing) * part;
      if (!taught) return;
      const size = taught.length / count;
      const row = size * (mirrored ? sizeOf(set) + index : index);
      for (let k = 0; k < size; k++) taught[i * size + k]! += part * this.taught![row + k]!;
    };
    for (let i = 0; i < count; i++) {
      const at = from + i;
      const own = x.subarray(i * this.size, (i + 1) * this.size);
      want(i, start + at, this.example(start + at, epoch, own), mixed);
      if (mixed === 1) continue;
      const partner = start + (this.batch - 1 - at);
      want(i, partner, this.example(partner, epoch, this.scratch), 1 - mixed);
      for (let k = 0; k < this.size; k++) own[k] = mixed * own[k]! + (1 - mixed) * this.scratch[k]!;
    }
  }

  /** Returns whether it is mirrored. */
  private example(place: number, epoch: number, out: Float32Array): boolean {
    const { set, augmentation, seed } = this.options;
    const index = this.order[place]!;
    const { flip, crop, erase } = augmentation;
    if (set.shape.length === 3 && (flip || crop || erase)) return this.varied(index, random(seedOf(seed, epoch, place)), out);
    this.plain(index, out);
    return false;
  }

  /** An example mirrored, as one is where mirroring is all that varies it. */
  mirrored(index: number, out: Float32Array): void {
    this.window(index, 0, 0, true, out);
  }

  /** An example as it is. */
  plain(index: number, out: Float32Array): void {
    const { set, channelsFirst } = this.options;
    const from = index * this.size;
    if (channelsFirst && set.shape.length === 3 && set.shape[2]! > 1) this.window(index, 0, 0, false, out);
    else for (let i = 0; i < this.size; i++) out[i] = this.value(from + i, i);
  }

  private value(at: number, i: number): number {
    const { set, normalisation } = this.options;
    const channels = normalisation.mean.length;
    if (set.data instanceof Uint8Array)
      return this.table[channels === 1 ? set.data[at]! : set.data[at]! * channels + (i % channels)]!;
    return (set.data[at]! - normalisation.mean[i % channels]!) / normalisation.deviation[i % channels]!;
  }

  private window(index: number, dy: number, dx: number, mirrored: boolean, out: Float32Array): void {
    const { set, channelsFirst } = this.options;
    const [h, w, c] = set.shape as [number, number, number];
    const from = index * this.size;
    for (let y = 0; y < h; y++)
      for (let x = 0; x < w; x++) {
        const [iy, ix] = [y + dy, (mirrored ? w - 1 - x : x) + dx];
        const inside = iy >= 0 && iy < h && ix >= 0 && ix < w;
        for (let k = 0; k < c; k++) {
          const to = channelsFirst ? (k * h + y) * w + x : (y * w + x) * c + k;
          out[to] = inside ? this.value(from + (iy * w + ix) * c + k, k) : 0;
        }
      }
  }

  /** Returns whether it is mirrored. */
  private varied(index: number, next: () => number, out: Float32Array): boolean {
    const { set, augmentation, channelsFirst } = this.options;
    const [h, w, c] = set.shape as [number, number, number];
    const { flip, crop, erase } = augmentation;
    const shift = () => (crop ? Math.floor(next() * (2 * crop + 1)) - crop : 0);
    const mirrored = flip && next() < 0.5;
    this.window(index, shift(), shift(), mirrored, out);
    if (!(erase && next() < erase)) return mirrored;
    // A rectangle of 2 to 33 % of the image, up to 3 times as high as wide or the reverse, as in the paper on random erasing.
    const area = (0.02 + 0.31 * next()) * h * w;
    const ratio = 0.3 ** (1 - 2 * next());
    const [eh, ew] = [Math.min(h, Math.round(Math.sqrt(area * ratio))), Math.min(w, Math.round(Math.sqrt(area / ratio)))];
    const [top, left] = [Math.floor(next() * (h - eh + 1)), Math.floor(next() * (w - ew + 1))];
    for (let y = top; y < top + eh; y++)
      for (let x = left; x < left + ew; x++)
        for (let k = 0; k < c; k++) out[channelsFirst ? (k * h + y) * w + x : (y * w + x) * c + k] = 0;
    return mirrored;
  }
}

/** A number from Beta(a, a), by two from Gamma(a): Marsaglia and Tsang. */
function beta(next: () => number, a: number): number {
  const [p, q] = [gamma(next, a), gamma(next, a)];
  return p + q > 0 ? p / (p + q) : 0.5;
}

function gamma(next: () => number, a: number): number {
  if (a < 1) return gamma(next, a + 1) * next() ** (1 / a);
  const d = a - 1 / 3;
  for (;;) {
    const normal = Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
    const v = (1 + normal / Math.sqrt(9 * d)) ** 3;
    if (v > 0 && Math.log(1 - next()) < normal ** 2 / 2 + d - d * v + d * Math.log(v)) return d * v;
  }
}

/** Whether a model whose input has this shape, without the batch, takes examples with their channels first. Throws SHAPE. */
export function fitting(name: string, input: StaticShape, { shape: example }: Dataset): { channelsFirst: boolean } {
  if (sameShape(input, example) || sameShape(input, [elements(example)])) return { channelsFirst: false };
  const [h, w, c] = example;
  if (example.length === 3 && sameShape(input, [c!, h!, w!])) return { channelsFirst: true };
  throw new WaferError('SHAPE', `examples are ${shapeText(example)}, the model's input "${name}" takes ${shapeText(input)}`);
}
