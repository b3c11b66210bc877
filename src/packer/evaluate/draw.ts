/** What is calibrated on is drawn from everywhere, and never evaluated on. */
import { WaferError } from '../../core/errors';
import { random } from '../../core/random';
import { type Dataset, pickExamples, placesOf } from '../data/dataset';

/** `count` items drawn with a fixed seed, and the others, each in their order. Throws ARGUMENT when there are no others. */
export function drawItems<T>(items: readonly T[], count: number): [drawn: T[], others: T[]] {
  if (count >= items.length)
    throw new WaferError('ARGUMENT', `of ${items.length} samples, ${count} cannot be calibrated on and others evaluated`);
  const draw = random(1);
  const keys = items.map(draw);
  const bound = [...keys].sort((a, b) => a - b)[count]!;
  return [items.filter((_, i) => keys[i]! < bound), items.filter((_, i) => keys[i]! >= bound)];
}

/** The same of the examples of a data set. */
export function drawExamples(set: Dataset, count: number): [drawn: Dataset, others: Dataset] {
  const [drawn, others] = drawItems(placesOf(set), count);
  return [pickExamples(set, drawn), pickExamples(set, others)];
}
