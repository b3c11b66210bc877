/**
 * Labelled examples in memory: one dense array of bytes or floats, in memory that threads share, and a class for each. What a file
 * says is checked before it is believed.
 */
import { WaferError } from '../../core/errors';
import { elements, type StaticShape, shapeText } from '../../core/shape';
import type { Pixels } from '../../runtime/image';

export interface Dataset {
  /** Of one example; images are [H,W,C]. */
  readonly shape: StaticShape;
  /** Examples one after the other. Bytes are read as 0 to 1. */
  readonly data: Uint8Array | Float32Array;
  /** 0 to classes - 1, one an example; none at all where nobody knows. */
  readonly labels: Int32Array;
  /** 0 where there are no labels. */
  readonly classes: number;
  /** Names of the classes, where they have some. */
  readonly names?: readonly string[] | undefined;
}

export const sizeOf = ({ shape, data }: Dataset): number => data.length / elements(shape);

export const isLabelled = ({ labels }: Dataset): boolean => labels.length > 0;

const shared = (bytes: number): SharedArrayBuffer => new SharedArrayBuffer(bytes);

/**
 * Copies into shared memory. `name` is for messages. Throws SHAPE where numbers do not go together, VALUE for labels out of range
 * and numbers that are none.
 */
export function makeDataset(
  name: string,
  shape: StaticShape,
  data: Uint8Array | Float32Array,
  labels: ArrayLike<number>,
  names?: readonly string[],
): Dataset {
  const bad = inData(name);
  const size = elements(shape);
  if (labels.length === 0) throw bad('SHAPE', 'there are no examples', 'is the path right?');
  if (size === 0 || data.length !== size * labels.length)
    throw bad(
      'SHAPE',
      `${labels.length} labels and examples of shape ${shapeText(shape)} need ${size * labels.length} numbers, got ${data.length}`,
      'examples and labels must belong together',
    );
  const own = new Int32Array(shared(4 * labels.length));
  let most = 0;
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i]!;
    if (!Number.isInteger(label) || label < 0 || label >= (names?.length ?? MOST_CLASSES))
      throw bad('VALUE', `label ${i} is ${label}, which is no class`, `classes are 0 to ${(names?.length ?? MOST_CLASSES) - 1}`);
    own[i] = label;
    most = Math.max(most, label);
  }
  return { ...makeExamples(name, shape, data), labels: own, classes: names?.length ?? most + 1, names };
}

const inData = (name: string) => (code: 'SHAPE' | 'VALUE', what: string, hint: string) =>
  new WaferError(code, `${name}: ${what}`, { hint });

/** The same for examples of which no class is known. */
export function makeExamples(name: string, shape: StaticShape, data: Uint8Array | Float32Array): Dataset {
  const bad = inData(name);
  const size = elements(shape);
  if (data.length === 0 || data.length % size)
    throw bad('SHAPE', `${data.length} numbers are no examples of shape ${shapeText(shape)}`, 'is the path right?');
  if (data instanceof Float32Array) {
    const at = data.findIndex((x) => !Number.isFinite(x));
    if (at >= 0) throw bad('VALUE', `number ${at % size} of example ${Math.floor(at / size)} is ${data[at]}`, 'mend the data');
  }
  const copy = data instanceof Uint8Array ? new Uint8Array(shared(data.length)) : new Float32Array(shared(4 * data.length));
  copy.set(data);
  return { shape, data: copy, labels: new Int32Array(0), classes: 0 };
}

/** More are taken for a mistake. */
const MOST_CLASSES = 65536;

/** Examples `from` to `to`, a view. Throws ARGUMENT for a range that has none. */
export function sliceDataset(set: Dataset, from: number, to: number): Dataset {
  const size = elements(set.shape);
  if (!(from >= 0 && from < to && to <= sizeOf(set)))
    throw new WaferError('ARGUMENT', `examples ${from} to ${to} are not all there: the data has ${sizeOf(set)}`);
  return { ...set, data: set.data.subarray(from * size, to * size), labels: set.labels.subarray(from, to) };
}

export const placesOf = (set: Dataset): number[] => Array.from({ length: sizeOf(set) }, (_, i) => i);

/** Those examples, in that order, a copy. */
export function pickExamples(set: Dataset, indices: readonly number[]): Dataset {
  const size = elements(set.shape);
  const data = set.data instanceof Uint8Array ? new Uint8Array(indices.length * size) : new Float32Array(indices.length * size);
  indices.forEach((from, to) => data.set(set.data.subarray(from * size, (from + 1) * size), to * size));
  return { ...set, data, labels: Int32Array.from(isLabelled(set) ? indices : [], (i) => set.labels[i]!) };
}

/** Sets of examples of one shape as one. Throws SHAPE where they are of several. */
export function joinDatasets(name: string, sets: readonly Dataset[]): Dataset {
  const [first] = sets as [Dataset];
  for (const { shape, data } of sets)
    if (shapeText(shape) !== shapeText(first.shape) || data.constructor !== first.data.constructor)
      throw new WaferError('SHAPE', `${name}: examples are ${shapeText(first.shape)} and ${shapeText(shape)}`);
  const total = sets.reduce((sum, { data }) => sum + data.length, 0);
  const data = first.data instanceof Uint8Array ? new Uint8Array(total) : new Float32Array(total);
  let at = 0;
  for (const set of sets) {
    data.set(set.data, at);
    at += set.data.length;
  }
  const labels = sets.flatMap((set) => [...set.labels]);
  if (!isLabelled(first)) return makeExamples(name, first.shape, data);
  return makeDataset(name, first.shape, data, labels, first.names);
}

/** Whether examples are pictures: bytes, [H,W,1] or [H,W,3]. */
export const isPictures = ({ data, shape }: Dataset): boolean =>
  data instanceof Uint8Array && shape.length === 3 && (shape[2] === 1 || shape[2] === 3);

/** Example `index` of pictures. */
export function pixelsOf({ data: all, shape }: Dataset, index: number): Pixels {
  const [height, width, planes] = shape as [number, number, number];
  const data = new Uint8Array(4 * height * width).fill(255);
  const from = index * height * width * planes;
  for (let p = 0; p < height * width; p++)
    for (let k = 0; k < 3; k++) data[4 * p + k] = all[from + p * planes + Math.min(k, planes - 1)]!;
  return { data, width, height };
}
