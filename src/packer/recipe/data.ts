/** The examples of a run: what is learnt from, what is judged on, and what is reported, each by where a recipe says it is. */
import { createHash } from 'node:crypto';
import { nearest, WaferError } from '../../core/errors';
import { type Dataset, sizeOf } from '../data/dataset';
import { loadDataset, type PictureShape, testPart } from '../data/load';
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

/** Of the examples, when nobody says what to test on. */
const HELD_OUT = 0.1;

/** What a model wants of its examples. */
export interface Wanted {
  /** Of images, where the model takes some. */
  readonly pictures?: PictureShape | undefined;
  /** Names of its classes, in order. */
  readonly labels?: readonly string[] | undefined;
}

/** Classes need not be known. Throws ARGUMENT where there are no examples and for classes that the model has not, and as `loadDataset`. */
export async function loadData({ train: where, val, test, calibrate }: DataPlaces, wanted: Wanted): Promise<RecipeData> {
  if (where === undefined)
    throw new WaferError('ARGUMENT', 'a recipe needs examples', {
      hint: 'add --data with a folder of images, or "data" to the recipe',
    });
  const notes: string[] = [];
  const how = { labelled: false, pictures: wanted.pictures };
  let train = await loadDataset(where, 'train', how);
  let tested = await testPart(where, test, how);
  if (!tested && val === undefined) {
    const count = Math.max(1, Math.round(HELD_OUT * sizeOf(train)));
    [tested, train] = drawExamples(train, count);
    notes.push(`${count} of ${count + sizeOf(train)} examples were held out to test on`);
  }
  const judged = val === undefined ? tested! : await loadDataset(val, 'test', how);
  const own = (set: Dataset) => withClasses(set, wanted.labels);
  const [learnt, valued] = [own(train), own(judged)];
  const sets = {
    train: learnt,
    val: valued,
    test: tested && tested !== judged ? own(tested) : valued,
    calibrate: calibrate === undefined ? learnt : own(await loadDataset(calibrate, 'train', how)),
  };
  return { ...sets, hash: keyOf(...Object.values(sets).map(hashOf)), notes };
}

/** Folders are in the order of their names; numbers, and names that the model knows, say which class is meant. */
function withClasses(set: Dataset, labels: readonly string[] | undefined): Dataset {
  const { names } = set;
  if (!names) return set;
  const isNumbered = names.every((name) => /^\d+$/.test(name));
  if (!isNumbered && !labels) return set;
  const places = names.map((name) => {
    const at = isNumbered ? Number(name) : labels!.indexOf(name);
    if (at >= 0 && at < (labels?.length ?? Number.POSITIVE_INFINITY)) return at;
    const near = nearest(name, labels!);
    throw new WaferError('ARGUMENT', `"${name}" is no class of the model`, {
      hint: near
        ? `did you mean "${near}"?`
        : `its classes are ${labels!.slice(0, 5).join(', ')}${labels!.length > 5 ? ', …' : ''}`,
    });
  });
  return {
    ...set,
    labels: set.labels.map((label) => places[label]!),
    classes: labels?.length ?? Math.max(...places) + 1,
    ...{ names: labels },
  };
}

function hashOf({ shape, data, labels, classes, names }: Dataset): string {
  const hash = createHash('sha256').update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return hash
    .update(new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength))
    .update(JSON.stringify([shape, classes, names]))
    .digest('hex');
}
