/** Labelled examples as inputs of a model, one by one: to calibrate on, and to evaluate. */
import { isStatic } from '../../core/dim';
import { elements, type StaticShape } from '../../core/shape';
import type { Value } from '../../graph/ir';
import { AUGMENTATION, Batches, type Normalisation } from './batches';
import { type Dataset, sizeOf } from './dataset';

/** As in `Example` of the evaluators. */
export interface LabelledSample {
  name: string;
  sample: Record<string, { data: Float32Array; shape: StaticShape }>;
  label: number;
}

/** How numbers of a data set become a model's. */
export interface ExampleForm {
  readonly normalisation: Normalisation;
  /** Whether images go in as [C,H,W]. */
  readonly channelsFirst: boolean;
}

/** `count` examples, evenly spread, as a batch of one each. `x` is the model's input, with a free batch. */
export function labelledSamples(set: Dataset, x: Value, how: ExampleForm, count = sizeOf(set)): LabelledSample[] {
  const shape = x.type.shape.map((d) => (isStatic(d) ? d : 1));
  const batches = new Batches({ ...how, set, augmentation: AUGMENTATION, seed: 0 }, 1);
  const taken = Math.min(count, sizeOf(set));
  return Array.from({ length: taken }, (_, i) => {
    const at = Math.floor((i * sizeOf(set)) / taken);
    const data = new Float32Array(elements(shape));
    batches.plain(at, data);
    return { name: `${at}`, sample: { [x.name]: { data, shape } }, label: set.labels[at]! };
  });
}
