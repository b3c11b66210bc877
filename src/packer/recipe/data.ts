/** The examples of a run: what is learnt from, what is judged on, and what is reported, each by where a recipe says it is. */
import { createHash } from 'node:crypto';
import { WaferError } from '../../core/errors';
import { type Dataset, sizeOf } from '../data/dataset';
import { loadDataset, testPart } from '../data/load';
import { drawExamples } from '../evaluate/draw';
import { keyOf } from './store';

export interface RecipeData {
  readonly train: Dataset;
  /** What gates, conditions and budgets are judged on. */
  readonly val: Dataset;
  /** What is reported at the end. */
  readonly test: Dataset;
  readonly calibrate: Dataset;
  /** Of all of it. */
  readonly hash: string;
  /** What was decided where nothing was said, a sentence each. */
  readonly notes: readonly string[];
}

export interface DataPlaces {
  train?: string | undefined;
  val?: string | undefined;
  test?: string | undefined;
  calibrate?: string | undefined;
}

/** Classes need not be known. */
const ANY = { labelled: false };

/** Of the examples, when nobody says what to test on. */
const HELD_OUT = 0.1;

/** Throws ARGUMENT where there are no examples, and as `loadDataset`. */
export async function loadData({ train: where, val, test, calibrate }: DataPlaces): Promise<RecipeData> {
  if (where === undefined)
    throw new WaferError('ARGUMENT', 'a recipe needs examples', {
      hint: 'add --data with a folder of images, or "data" to the recipe',
    });
  const notes: string[] = [];
  let train = await loadDataset(where, 'train', ANY);
  let tested = await testPart(where, test, ANY);
  if (!tested && val === undefined) {
    const count = Math.max(1, Math.round(HELD_OUT * sizeOf(train)));
    [tested, train] = drawExamples(train, count);
    notes.push(`${count} of ${count + sizeOf(train)} examples were held out to test on`);
  }
  const judged = val === undefined ? tested! : await loadDataset(val, 'test', ANY);
  const sets = {
    train,
    val: judged,
    test: tested ?? judged,
    calibrate: calibrate === undefined ? train : await loadDataset(calibrate, 'train', ANY),
  };
  return { ...sets, hash: keyOf(...Object.values(sets).map(hashOf)), notes };
}

function hashOf({ shape, data, labels, classes, names }: Dataset): string {
  const hash = createHash('sha256').update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return hash
    .update(new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength))
    .update(JSON.stringify([shape, classes, names]))
    .digest('hex');
}
