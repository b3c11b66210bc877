/**
 * Quantisation-aware training: what post-training quantisation planned is trained through its rounding, to give the right answers and
 * those of the float graph, where that costs more than it may.
 */
import { WaferError } from '../../core/errors';
import type { Graph } from '../../graph/ir';
import { binaries } from '../../runtime/wasm/binaries';
import { normalisationOf } from '../data/batches';
import { type Dataset, isLabelled } from '../data/dataset';
import { labelledSamples } from '../data/samples';
import { wasmEngine } from '../evaluate/engine';
import { type QuantizeOptions, type QuantizeReport, quantize } from '../quantize/index';
import type { Plan, Tuned } from '../quantize/plan';
import { awareGraph } from './awareGraph';
import { batched, fitted } from './batched';
import type { DistilOptions } from './distil';
import { kernelAccuracy, type Ready } from './file';
import { type Trained, type TrainOptions, train } from './train';

export interface AwareOptions extends Omit<TrainOptions, 'distil' | 'isFrozen' | 'isTrained' | 'finish'> {
  /** The teacher is the float graph where no other is given, and sees the same views where nothing else is said. */
  distil?: Partial<DistilOptions>;
}

/** What `tune` of `quantize` is; `onTrained` is given how the training went. */
export const quantizationAware =
  (data: { train: Dataset; test?: Dataset }, options: AwareOptions, onTrained?: (trained: Trained) => void) =>
  async (plan: Plan): Promise<Tuned> => {
    const aware = awareGraph(plan);
    const trained = await train(aware.graph, data, {
      ...options,
      schedule: { learningRate: options.optimizer?.name?.startsWith('adam') ? 1e-3 : SGD_RATE, ...options.schedule },
      distil: { teacher: plan.graph, views: 'same', ...options.distil },
      isFrozen: (name) => !aware.trained.has(name),
      isTrained: (name) => aware.trained.has(name),
      finish: (graph) => graph,
    });
    onTrained?.(trained);
    return aware.read(trained.constants);
  };

export interface QuantizedTraining extends Omit<QuantizeOptions, 'tune'> {
  /** Examples to calibrate on. */
  samples: number;
  /** Points of accuracy on the test examples that quantising may cost: it is trained when it costs more, or has layers in signs. Default: always. */
  gate?: number;
}

export interface Quantized extends Ready {
  report: QuantizeReport;
  /** Missing where the gate was not passed. */
  trained?: Trained | undefined;
}

/** Calibrates a float graph on training examples, quantises it, and trains it through its rounding. Throws as `train` and `quantize`. */
export async function trainQuantized(
  given: Graph,
  data: { train: Dataset; test?: Dataset },
  options: AwareOptions,
  { samples, gate, ...quantization }: QuantizedTraining,
): Promise<Quantized> {
  const graph = batched(given);
  const { graph: sized, channelsFirst } = fitted(graph, data.train);
  const normalisation = options.normalisation ?? normalisationOf(data.train);
  const how = { normalisation, channelsFirst };
  const calibration = labelledSamples(data.train, sized.inputs[0]!, how, samples).map(({ sample }) => sample);
  const engine = wasmEngine(binaries());
  const signs = [quantization.weights, ...Object.values(quantization.layers ?? {})].includes('xnor');
  if (gate !== undefined && !signs) {
    const { test } = data;
    if (!test || !isLabelled(test)) throw new WaferError('ARGUMENT', 'a gate needs test examples whose classes are known');
    const plain = await quantize(graph, calibration, engine, quantization);
    const [before, after] = [await kernelAccuracy(graph, how, test), await kernelAccuracy(plain.graph, how, test)];
    if (100 * (before - after) <= gate) return { ...how, ...plain };
  }
  let trained: Trained | undefined;
  const tune = quantizationAware(data, { ...options, normalisation }, (t) => void (trained = t));
  return { ...how, ...(await quantize(graph, calibration, engine, { ...quantization, tune })), trained };
}

/** Where a training of floats ends, not where it begins. */
const SGD_RATE = 0.01;
