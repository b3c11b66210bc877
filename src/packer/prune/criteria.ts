/**
 * What channels are worth: a score each, the least of which go first. A unit's score is the mean of what the criterion says of each layer
 * that makes it (of each norm that scales it, of each value where it is read). For a choice among all layers these are made comparable
 * as the papers do it, or left as they are where they do not.
 */
import { WaferError } from '../../core/errors';
import { random } from '../../core/random';
import { elements, evaluateShape, type StaticShape } from '../../core/shape';
import type { Graph, Value } from '../../graph/ir';
import { AUGMENTATION, Batches, fitting, type Normalisation, normalisationOf } from '../data/batches';
import { type Dataset, sizeOf } from '../data/dataset';
import { bindingsOf, type Engine, type Sample } from '../evaluate/engine';
import { batched } from '../train/batched';
import { Executor, type ExecutorName } from '../train/executor';
import { classification, compile, folded, type LossFunction, weightsOf } from '../train/program';
import { eachIndex } from './axes';
import type { Dependencies, Maker } from './dependencies';

export const CRITERIA = ['l1', 'l2', 'median', 'random', 'gamma', 'apoz', 'mean', 'taylor'] as const;
export type Criterion = (typeof CRITERIA)[number];

/** What criteria look at besides weights. */
export interface Evidence {
  /** Inputs to run the graph on, for `apoz` and `mean`. */
  samples?: readonly Sample[] | undefined;
  engine?: Engine | undefined;
  /** Labelled examples, for `taylor`. */
  data?: Dataset | undefined;
  /** How they become inputs. Default: by their own mean and deviation. */
  normalisation?: Normalisation | undefined;
  /** What `taylor` differentiates. Default: cross-entropy. */
  loss?: LossFunction | undefined;
  /** Examples that `taylor` looks at, and of one batch. Default 512 and 32. */
  examples?: number | undefined;
  batch?: number | undefined;
  executor?: ExecutorName | undefined;
}

/** Numbers by index along labels. */
interface Source {
  labels: Int32Array;
  numbers: Float64Array;
}

/**
 * A score for each unit; no number where the criterion has nothing to say. Throws ARGUMENT where evidence is missing, and what
 * compiling a training throws.
 */
export async function scoresOf(
  graph: Graph,
  dependencies: Dependencies,
  by: Criterion,
  seed: number,
  evidence: Evidence = {},
): Promise<Float64Array> {
  const { units, makers, norms } = dependencies;
  const perMaker = (score: (row: Rows) => number) =>
    makers.map((maker) => ({ labels: maker.labels, numbers: Float64Array.from(rowsOf(maker), score) }));
  switch (by) {
    case 'random': {
      const next = random(seed);
      return Float64Array.from(units, next);
    }
    // Li et al., "Pruning Filters for Efficient ConvNets" (2017). Means of a layer are 1, as in DepGraph (Fang et al., 2023).
    case 'l1':
      return scored(
        units.length,
        perMaker((row) => row.reduce((sum, w) => sum + Math.abs(w), 0)),
        meanOne,
      );
    case 'l2':
      return scored(
        units.length,
        perMaker((row) => Math.sqrt(row.reduce((sum, w) => sum + w * w, 0))),
        meanOne,
      );
    // He et al., "Filter Pruning via Geometric Median" (2019): what is nearest to all others can be made up for by them.
    case 'median':
      return scored(
        units.length,
        makers.map((maker) => ({ labels: maker.labels, numbers: distances(rowsOf(maker)) })),
        meanOne,
      );
    // Liu et al., "Network Slimming" (2017): one threshold for all layers.
    case 'gamma': {
      if (norms.length === 0)
        throw new WaferError('ARGUMENT', 'there are no batch norms whose factors could say what channels are worth', {
          hint: 'a file has them folded into its weights: take l2, or gamma in a recipe that trains the model first',
        });
      const factors = ({ node, labels }: (typeof norms)[number]) => ({
        labels,
        numbers: Float64Array.from(node.inputs[1]!.data!, Math.abs),
      });
      return scored(units.length, norms.map(factors), (numbers) => numbers);
    }
    // Hu et al., "Network Trimming" (2016): the average part of zeros.
    case 'apoz':
      return scored(
        units.length,
        await activations(graph, dependencies, evidence, (a) => (a === 0 ? 0 : 1)),
        (numbers) => numbers,
      );
    case 'mean':
      return scored(units.length, await activations(graph, dependencies, evidence, Math.abs), meanOne);
    // Molchanov et al., "Importance Estimation for Neural Network Pruning" (2019): (sum of weight times gradient)^2, which is also the
    // first order in what the channel holds (2017, from where the layer's scale is: its scores have length 1).
    case 'taylor':
      return scored(units.length, await expansions(graph, dependencies, evidence), lengthOne);
  }
}

type Scale = (numbers: Float64Array) => Float64Array;

const divided = (numbers: Float64Array, by: number): Float64Array => (by > 0 ? numbers.map((v) => v / by) : numbers);
const meanOne: Scale = (numbers) => divided(numbers, numbers.reduce((sum, v) => sum + v, 0) / numbers.length);
const lengthOne: Scale = (numbers) => divided(numbers, Math.sqrt(numbers.reduce((sum, v) => sum + v * v, 0)));

/** Means by unit: of each source, scaled, and of all of them. */
function scored(units: number, sources: readonly Source[], scale: Scale): Float64Array {
  const [sums, counts] = [new Float64Array(units), new Float64Array(units)];
  for (const { labels, numbers } of sources) {
    const own = new Map<number, [sum: number, count: number]>();
    labels.forEach((unit, i) => {
      if (unit < 0) return;
      const [sum, count] = own.get(unit) ?? [0, 0];
      own.set(unit, [sum + numbers[i]!, count + 1]);
    });
    const scaled = scale(Float64Array.from(own.values(), ([sum, count]) => sum / count));
    [...own.keys()].forEach((unit, i) => {
      sums[unit]! += scaled[i]!;
      counts[unit]!++;
    });
  }
  return sums.map((sum, unit) => sum / counts[unit]!);
}

type Rows = Float64Array;

/** The weights that make each channel. */
function rowsOf({ node, input, axis, labels }: Maker): Rows[] {
  const { type, data } = node.inputs[input]!;
  const shape = type.shape as StaticShape;
  const rows = Array.from(labels, () => new Float64Array(data!.length / labels.length));
  const filled = new Int32Array(labels.length);
  eachIndex(shape, axis, (element, index) => {
    rows[index]![filled[index]!++] = data![element]!;
  });
  return rows;
}

/** The sum of each row's distances to all others. */
function distances(rows: readonly Rows[]): Float64Array {
  const sums = new Float64Array(rows.length);
  rows.forEach((a, i) => {
    for (let j = 0; j < i; j++) {
      const b = rows[j]!;
      let square = 0;
      for (let k = 0; k < a.length; k++) square += (a[k]! - b[k]!) ** 2;
      sums[i]! += Math.sqrt(square);
      sums[j]! += Math.sqrt(square);
    }
  });
  return sums;
}

/** Means over samples and positions of what `of` makes of the numbers that readers of channels see. */
async function activations(
  graph: Graph,
  { readings }: Dependencies,
  { samples = [], engine }: Evidence,
  of: (activation: number) => number,
): Promise<Source[]> {
  if (samples.length === 0 || !engine)
    throw new WaferError('ARGUMENT', 'activations cannot say what channels are worth without samples', {
      hint: 'pass --calibrate with a folder of real inputs, or choose l2',
    });
  const values = [...new Set(readings.map(({ value }) => value))].filter((value) => value.producer);
  const outputs = values.map((value, i) => ({ name: `y${i}`, value }));
  const session = await engine.session(folded({ ...graph, outputs }));
  const seen = readings.filter(({ value }) => value.producer);
  const sources = seen.map(({ labels }) => ({ labels, numbers: new Float64Array(labels.length) }));
  const counts = seen.map(() => 0);
  try {
    for (const sample of samples) {
      const results = session.run(sample);
      const bindings = bindingsOf(graph, sample);
      seen.forEach(({ value, axis, labels }, i) => {
        const { data } = results[`y${values.indexOf(value)}`]!;
        const { numbers } = sources[i]!;
        eachIndex(evaluateShape(value.type.shape, bindings), axis, (element, index) => {
          numbers[index]! += of(data[element]!);
        });
        counts[i]! += data.length / labels.length;
      });
    }
  } finally {
    session.dispose();
  }
  return sources.map(({ labels, numbers }, i) => ({ labels, numbers: numbers.map((sum) => sum / counts[i]!) }));
}

/** The mean over batches of (sum over a channel's weights and bias of weight times gradient) squared. */
async function expansions(graph: Graph, { makers }: Dependencies, evidence: Evidence): Promise<Source[]> {
  const { data, loss = classification, examples = 512, batch: wanted = 32, executor: name } = evidence;
  if (!data)
    throw new WaferError('ARGUMENT', 'gradients cannot say what channels are worth without labelled examples', {
      hint: 'pass --calibrate with a data set as wafer train takes it, or choose l2',
    });
  const batch = Math.min(wanted, sizeOf(data));
  const model = batched(graph);
  const program = compile(model, { batch, loss });
  const { channelsFirst } = fitting(program.input.name, program.input.shape.slice(1), data);
  const normalisation = evidence.normalisation ?? normalisationOf(data);
  const batches = new Batches({ set: data, normalisation, augmentation: AUGMENTATION, seed: 1, channelsFirst }, batch);
  const { parameters } = weightsOf(model, program);
  const places = new Map(program.parameters.map((slot, i) => [slot.name, { ...slot, gradient: i + 1 }]));
  const of = (x: Value | undefined) => (x?.data ? places.get(x.name) : undefined);
  const known = makers.filter(({ node, input }) => of(node.inputs[input]));
  const sources = known.map(({ labels }) => ({ labels, numbers: new Float64Array(labels.length) }));
  const x = { data: new Float32Array(elements(program.input.shape)), shape: program.input.shape };
  const target = { data: new Float32Array(elements(program.target!.shape)), shape: program.target!.shape };
  const own = program.parameters.map(({ name, shape, offset }) => {
    const data = parameters.subarray(offset, offset + elements(shape));
    return [name, { data, shape }] as const;
  });
  const execution = await (await Executor.load(name)).open(program.onnx, 1 + program.parameters.length);
  const steps = Math.max(1, Math.min(batches.perEpoch, Math.floor(examples / batch)));
  try {
    for (let step = 0; step < steps; step++) {
      batches.fill(step, 0, batch, { x: x.data, target: target.data });
      const results = await execution.run({
        [program.input.name]: x,
        [program.target!.name]: target,
        ...Object.fromEntries(own),
      });
      known.forEach(({ node, input, axis, labels }, i) => {
        const sums = new Float64Array(labels.length);
        const weight = of(node.inputs[input])!;
        const bias = node.op.name === 'conv' || node.op.name === 'gemm' ? of(node.inputs[2]) : undefined;
        eachIndex(weight.shape, axis, (element, index) => {
          sums[index]! += parameters[weight.offset + element]! * results[weight.gradient]![element]!;
        });
        for (let k = 0; bias && k < labels.length; k++) sums[k]! += parameters[bias.offset + k]! * results[bias.gradient]![k]!;
        sums.forEach((sum, k) => (sources[i]!.numbers[k]! += sum ** 2 / steps));
      });
    }
  } finally {
    await execution.dispose();
  }
  return sources;
}
