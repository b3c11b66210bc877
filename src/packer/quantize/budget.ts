/**
 * Mixed precision: which format each layer's weights get under a budget. What a format costs the outputs is measured, one
 * layer at a time; what it takes is what the file would hold. The choice is then a knapsack with one item of each layer.
 */
import { WaferError } from '../../core/errors';
import { encodeTensors } from '../../format/encode';
import type { Graph, Node } from '../../graph/ir';
import { rewrite } from '../../graph/rewrite';
import type { Engine, Sample } from '../evaluate/engine';
import { fuse } from '../passes/fuse';
import { fidelity, type Outputs } from './fidelity';
import { formatNamed, type LevelFormat } from './formats';
import { type Calibration, floatWeights } from './lower';
import { type QuantizedWeights, quantizeForFloats } from './weights';

/** `size`: bytes of the file. `bits`: a weight, on average over all layers that are quantised. */
export type Budget = { readonly size: number } | { readonly bits: number };

/** `1.6MB`, `800kB`, `12000`; undefined for what is no positive number of bytes. */
export function bytesNamed(text: string): number | undefined {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)\s*([kM]?B)?$/i.exec(text) ?? [];
  const value = Number(number) * { b: 1, kb: 1e3, mb: 1e6, '': 1 }[unit.toLowerCase() as 'b' | 'kb' | 'mb' | '']!;
  return value > 0 ? value : undefined;
}

/** `size=1.6MB`, `size=800kB`, `size=12000`, `bits=3.5`. Throws ARGUMENT. */
export function budgetNamed(text: string): Budget {
  const [, kind, value] = /^(size|bits)=(.*)$/i.exec(text) ?? [];
  const size = bytesNamed(value ?? '');
  if (kind?.toLowerCase() === 'size' && size) return { size };
  if (kind?.toLowerCase() === 'bits' && size && /\d$/.test(value!)) return { bits: size };
  throw new WaferError('ARGUMENT', `"${text}" is no budget`, { hint: 'as in --budget size=1.6MB, or bits=4 a weight' });
}

/** One way to store a layer's weights. */
export interface Choice {
  readonly format: LevelFormat;
  /** In bits. */
  readonly cost: number;
  /** Of the outputs, noise over signal, when this layer alone is stored so. */
  readonly error: number;
}

export interface Sensitivity {
  readonly layer: string;
  readonly weights: number;
  /** In the order in which formats were given. */
  readonly choices: readonly Choice[];
}

/** Order-0 entropy of levels, in bits. */
export function entropyOf(levels: Int8Array): number {
  const counts = new Float64Array(256);
  for (const level of levels) counts[level + 128]!++;
  return counts.reduce((bits, n) => (n ? bits - n * Math.log2(n / levels.length) : bits), 0);
}

/** Bits that levels take in a file. */
export const storedBits = (levels: Int8Array): number =>
  8 * encodeTensors([{ name: '', type: { dtype: 'i8', shape: [levels.length] }, data: levels }]).blobs[0]!.bytes;

/** Biases are read in units of this times the weights' scale: as if no input could be finer. */
const FINE_INPUT = 2 ** -12;

/**
 * What each product of the float graph costs the outputs in each format, all others being in floating point. Of a layer that makes scores
 * of classes it is no less than what rounding does to its weights: samples are of few of many classes, and examples of the others lie
 * where their weights point. `graph` ends in scores.
 */
export async function measureSensitivity(
  graph: Graph,
  products: readonly { node: Node; layer: string }[],
  formats: readonly LevelFormat[],
  { samples, outputs, engine }: { samples: readonly Sample[]; outputs: readonly Outputs[]; engine: Engine },
  calibration: Pick<Calibration, 'rowsOf' | 'rounding'>,
  costOf: (levels: Int8Array) => number,
  tick: (layer: string) => void,
): Promise<Sensitivity[]> {
  const found: Sensitivity[] = [];
  const scores = new Set(graph.outputs.map(({ value }) => value));
  for (const { node, layer } of products) {
    const choices: Choice[] = [];
    for (const format of formats) {
      const float = floatWeights(node, { ...calibration, formatOf: () => format });
      const q = quantizeForFloats(float, FINE_INPUT);
      const seen = await fidelity(fuse(withWeights(graph, node, q)), samples, outputs, engine);
      const error = scores.has(node.outputs[0]!) ? Math.max(seen.error, weightError(node, q)) : seen.error;
      choices.push({ format, cost: costOf(q.levels), error });
      tick(layer);
    }
    found.push({ layer, weights: node.inputs[1]!.data!.length, choices });
  }
  return found;
}

/** Noise over signal of a product's weights, the mean over channels that have any. */
function weightError({ inputs }: Node, { levels, scales }: QuantizedWeights): number {
  const weights = inputs[1]!.data as Float32Array;
  const size = weights.length / scales.length;
  let [sum, count] = [0, 0];
  scales.forEach((scale, c) => {
    let [noise, signal] = [0, 0];
    for (let i = c * size; i < (c + 1) * size; i++) {
      noise += (levels[i]! * scale - weights[i]!) ** 2;
      signal += weights[i]! ** 2;
    }
    if (signal > 0) [sum, count] = [sum + noise / signal, count + 1];
  });
  return count > 0 ? sum / count : 0;
}

/** The graph with what the levels of one product stand for. */
function withWeights(graph: Graph, product: Node, { levels, bias, scales }: QuantizedWeights): Graph {
  const size = levels.length / scales.length;
  return rewrite(graph, ({ node, inputs: [x, w, , ...rest], build, again, floats }) => {
    if (node !== product) return undefined;
    const weights = Float32Array.from(levels, (level, i) => level * scales[Math.floor(i / size)]!);
    const biases = Float32Array.from(bias, (level, c) => level * scales[c]! * FINE_INPUT);
    return again([x, build.constant(w!.name, w!.type, weights), floats([biases.length], biases), ...rest]);
  });
}

/** Steps that a budget is divided into; costs are rounded up to whole ones. */
const STEPS = 1 << 14;

/**
 * One choice of each layer, as its index, with the least sum of errors of all whose costs sum to `budget` at most; undefined where
 * even the cheapest do not. Costs are in the budget's unit.
 */
export function allocate(
  layers: readonly { readonly choices: readonly Pick<Choice, 'cost' | 'error'>[] }[],
  budget: number,
): number[] | undefined {
  if (!(budget > 0)) return layers.length === 0 ? [] : undefined;
  const unit = budget / STEPS;
  // least[s]: the least error of the layers so far at s steps or fewer.
  let least = new Float64Array(STEPS + 1);
  const taken: Int8Array[] = [];
  for (const { choices } of layers) {
    const [next, choice] = [new Float64Array(STEPS + 1).fill(Number.POSITIVE_INFINITY), new Int8Array(STEPS + 1).fill(-1)];
    choices.forEach(({ cost, error }, index) => {
      const steps = Math.ceil(cost / unit);
      for (let s = steps; s <= STEPS; s++) {
        const sum = least[s - steps]! + error;
        if (sum < next[s]!) [next[s], choice[s]] = [sum, index];
      }
    });
    least = next;
    taken.push(choice);
  }
  if (!Number.isFinite(least[STEPS]!)) return undefined;
  let s = STEPS;
  const picked = layers.map(() => 0);
  for (let i = layers.length - 1; i >= 0; i--) {
    picked[i] = taken[i]![s]!;
    s -= Math.ceil(layers[i]!.choices[picked[i]!]!.cost / unit);
  }
  return picked;
}

/** What a budget chooses among where nothing else is said. Of few bits codebooks are often better, and often not. */
export const CHOICES: readonly LevelFormat[] = [
  'int8',
  'int6',
  'int5',
  'codebook5',
  'int4',
  'codebook4',
  'int3',
  'codebook3',
  'codebook2',
  'ternary',
];

/** `8,4,ternary`. Throws ARGUMENT. */
export const choicesNamed = (text: string): LevelFormat[] =>
  text.split(',').map((name) => {
    const format = formatNamed(name.trim());
    if (format === 'float' || format === 'xnor')
      throw new WaferError('ARGUMENT', `a budget does not choose ${format}`, { hint: 'name it with --layer' });
    return format;
  });
