/**
 * Samples for a model's inputs: from images, .npy and .npz, one or a folder of them, or from the records of a data set, and what they
 * are known to be. Every sample is checked against the graph's inputs here, so that what follows may trust it.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { isStatic } from '../core/dim';
import { dtypeOf } from '../core/dtype';
import { located, nearest, WaferError } from '../core/errors';
import { elements, shapeText, typeText } from '../core/shape';
import type { ImageProcessing } from '../format/model';
import type { Value } from '../graph/ir';
import { imageTensor, inputSize, type Pixels } from '../runtime/image';
import type { TensorInput } from '../runtime/session';
import { type Dataset, isPictures, pixelsOf, sizeOf } from './data/dataset';
import { holdsRecords, loadDataset } from './data/load';
import { drawExamples } from './evaluate/draw';
import type { Sample } from './evaluate/engine';
import { decodeImage, IMAGE_NAMES } from './image';
import { type NpyArray, readNpy, readNpz } from './npy';

export interface SampleOptions {
  /** How images become tensors; without it images are refused. */
  images?: ImageProcessing | undefined;
  /** [width, height] for inputs whose size is free; without it an image keeps its own. */
  imageSize?: readonly [number, number] | undefined;
  /** Files beyond this many (in order of name, evenly spread) are left out; of records, as many are drawn. */
  limit?: number | undefined;
  onProgress?: (done: number, total: number, what: string) => void;
}

/** A sample, and the class that it is of where its file says so. */
export interface Labelled {
  sample: Sample;
  label?: number;
}

/** Throws NOT_FOUND, BAD_FILE, ARGUMENT, SHAPE, DTYPE and VALUE, located at the file. */
export async function readSamples(path: string, inputs: readonly Value[], options: SampleOptions = {}): Promise<Sample[]> {
  if (holdsRecords(path)) {
    const set = await loadDataset(path, 'train');
    const isFew = options.limit === undefined || options.limit >= sizeOf(set);
    const some = isFew ? set : drawExamples(set, options.limit!)[0];
    return samplesOf(some, path, inputs, options).map(({ sample }) => sample);
  }
  const files = spread(await sampleFiles(path), options.limit);
  const samples: Sample[] = [];
  for (const [i, file] of files.entries()) {
    samples.push(...(await readSample(file, inputs, options)).map(({ sample }) => sample));
    options.onProgress?.(i + 1, files.length, basename(file));
  }
  return samples;
}

/** All examples of a data set, called `name` in messages. Throws ARGUMENT, SHAPE. */
export function samplesOf(set: Dataset, name: string, inputs: readonly Value[], options: SampleOptions): Labelled[] {
  const pictures = isPictures(set);
  if (!pictures && set.data instanceof Uint8Array)
    throw new WaferError('ARGUMENT', `${name}: examples ${shapeText(set.shape)} of bytes are no pictures`, {
      hint: 'save what the input takes as .npy',
    });
  const size = elements(set.shape);
  const tensor = (i: number): Sample => {
    const [input] = inputs as [Value];
    const sample = {
      [input.name]: { data: set.data.slice(i * size, (i + 1) * size), shape: [1, ...set.shape] },
    };
    checkSample(sample, inputs);
    return sample;
  };
  try {
    return Array.from(set.labels, (label, i) => ({
      sample: pictures ? imageSample(pixelsOf(set, i), inputs, options) : tensor(i),
      label,
    }));
  } catch (error) {
    throw error instanceof WaferError ? inFile(error, name) : error;
  }
}

function inFile(error: WaferError, file: string): WaferError {
  const { code, message, ...details } = error.toJSON();
  const node = error.node === undefined || error.node === file ? file : `${file}, ${error.node}`;
  return new WaferError(code, message, { ...details, node });
}

/** The file at `path`, or those in that folder and its folders, in order of name. Throws NOT_FOUND, ARGUMENT. */
export async function sampleFiles(path: string): Promise<string[]> {
  const found = await stat(path).catch(() => undefined);
  if (!found) throw new WaferError('NOT_FOUND', `no file or folder "${path}"`);
  if (!found.isDirectory()) return [path];
  const isSample = (name: string) => /\.np[yz]$/i.test(name) || IMAGE_NAMES.test(name);
  const names = (await readdir(path, { recursive: true })).filter(isSample).sort();
  if (names.length === 0)
    throw new WaferError('ARGUMENT', `no images, .npy or .npz files in "${path}"`, { hint: 'put samples of real inputs there' });
  return names.map((name) => join(path, name));
}

/** `limit` of the items, evenly spread; all where there are no more. */
export function spread<T>(items: T[], limit = items.length): T[] {
  if (items.length <= limit) return items;
  return Array.from({ length: limit }, (_, i) => items[Math.floor((i * items.length) / limit)]!);
}

/** The samples in a file. Throws as `readSamples`. */
export async function readSample(file: string, inputs: readonly Value[], options: SampleOptions): Promise<Labelled[]> {
  try {
    return await samplesIn(file, inputs, options);
  } catch (error) {
    throw error instanceof WaferError ? inFile(error, basename(file)) : error;
  }
}

/** The array of an .npz file that holds classes, unless an input is called so. */
const LABELS = 'labels';

async function samplesIn(file: string, inputs: readonly Value[], options: SampleOptions): Promise<Labelled[]> {
  const bytes = new Uint8Array(await readFile(file));
  const extension = extname(file).toLowerCase();
  if (extension === '.npz') {
    const arrays = readNpz(bytes);
    const labels = inputs.some((x) => x.name === LABELS) ? undefined : arrays.get(LABELS)?.data;
    if (labels) arrays.delete(LABELS);
    const samples = splitSamples(arrays, inputs);
    if (labels && labels.length !== samples.length)
      throw new WaferError('SHAPE', `array "${LABELS}" has ${labels.length} elements, there are ${samples.length} samples`);
    return samples.map((sample, i) => ({ sample, ...(labels && { label: labels[i]! }) }));
  }
  if (extension === '.npy') {
    if (inputs.length !== 1)
      throw new WaferError('ARGUMENT', `the model has ${inputs.length} inputs, a .npy file holds one`, {
        hint: `save .npz files with arrays named ${inputs.map((x) => `"${x.name}"`).join(', ')}`,
      });
    return splitSamples(new Map([[inputs[0]!.name, readNpy(bytes)]]), inputs).map((sample) => ({ sample }));
  }
  if (!IMAGE_NAMES.test(file))
    throw new WaferError('ARGUMENT', 'samples are images, .npy or .npz files, or a data set', {
      hint: 'pass one of these, or a folder of them; a data set is fashion-mnist, mnist, or in IDX, CSV or the format of CIFAR',
    });
  return [{ sample: await readImageSample(bytes, basename(file), inputs, options) }];
}

/** An image file as the sample of a model that takes nothing else. Throws ARGUMENT, BAD_FILE, SHAPE. */
export async function readImageSample(
  bytes: Uint8Array,
  name: string,
  inputs: readonly Value[],
  options: SampleOptions,
): Promise<Sample> {
  if (!options.images) unknownImages();
  return imageSample(await decodeImage(bytes, name), inputs, options);
}

function unknownImages(): never {
  throw new WaferError('ARGUMENT', 'how an image becomes a tensor is not known', {
    hint: 'give --image-mean and --image-scale (see wafer pack --help), or pass .npy files',
  });
}

/** Pixels as the sample of a model that takes nothing else. Throws ARGUMENT, SHAPE. */
export function imageSample(pixels: Pixels, inputs: readonly Value[], { images, imageSize }: SampleOptions): Sample {
  if (!images) unknownImages();
  const input = inputs.find((x) => x.name === images.input);
  if (!input || inputs.length !== 1)
    throw new WaferError('ARGUMENT', `an image gives input "${images.input}" alone, the model takes ${namesText(inputs)}`);
  const free = { height: imageSize?.[1] ?? pixels.height, width: imageSize?.[0] ?? pixels.width };
  const size = inputSize(input.type.shape, images, free);
  const sample = { [input.name]: imageTensor({ image: pixels, ...size, processing: images }) };
  checkSample(sample, inputs);
  return sample;
}

/** Arrays with an axis more than an input, or a longer batch, hold several samples. */
function splitSamples(arrays: ReadonlyMap<string, NpyArray>, inputs: readonly Value[]): Sample[] {
  const split = new Map(
    [...arrays].map(([name, array]) => [
      name,
      splitBatch(
        array,
        inputs.find((x) => x.name === name),
      ),
    ]),
  );
  const count = Math.max(0, ...[...split.values()].map((parts) => parts.length));
  if (count === 0)
    throw new WaferError('ARGUMENT', 'there are no samples in it', { hint: `arrays of samples are named ${namesText(inputs)}` });
  for (const [name, parts] of split)
    if (parts.length !== count)
      throw new WaferError('SHAPE', `array "${name}" holds ${parts.length} samples, others hold ${count}`);
  return Array.from({ length: count }, (_, i) => {
    const sample = Object.fromEntries([...split].map(([name, parts]) => [name, parts[i]!]));
    checkSample(sample, inputs);
    return sample;
  });
}

function splitBatch({ data, shape }: NpyArray, input: Value | undefined): TensorInput[] {
  const declared = input?.type.shape;
  if (!declared || shape.length === 0) return [{ data, shape }];
  const stacked = shape.length === declared.length + 1;
  const batch = declared[0];
  const size = stacked ? 1 : batch !== undefined && isStatic(batch) ? batch : 1;
  const part = stacked ? shape.slice(1) : [size, ...shape.slice(1)];
  const count = shape[0]! / size;
  if ((!stacked && shape.length !== declared.length) || !Number.isInteger(count)) return [{ data, shape }];
  const length = elements(part);
  return Array.from({ length: count }, (_, i) => ({ data: data.subarray(i * length, (i + 1) * length), shape: part }));
}

const namesText = (inputs: readonly Value[]): string => inputs.map((x) => `"${x.name}"`).join(', ');

/** Throws ARGUMENT, DTYPE, SHAPE or VALUE when the model cannot be run on `sample`. */
export function checkSample(sample: Sample, inputs: readonly Value[]): void {
  const names = inputs.map((x) => x.name);
  for (const name of Object.keys(sample))
    if (!names.includes(name)) {
      const near = nearest(name, names);
      throw new WaferError('ARGUMENT', `the model has no input "${name}"`, {
        hint: near ? `did you mean "${near}"?` : `inputs are ${namesText(inputs)}`,
      });
    }
  for (const { name, type } of inputs)
    located({ node: `input "${name}"` }, () => {
      const given = sample[name];
      if (!given) throw new WaferError('ARGUMENT', `${typeText(type)} is missing`);
      const dtype = dtypeOf(given.data);
      if (dtype !== type.dtype && !(type.dtype === 'bool' && dtype === 'u8'))
        throw new WaferError('DTYPE', `expected ${type.dtype}, got ${dtype}`, { hint: 'convert with numpy: x.astype(…)' });
      const { shape } = type;
      if (given.shape.length !== shape.length || shape.some((d, i) => isStatic(d) && d !== given.shape[i]))
        throw new WaferError('SHAPE', `expected ${shapeText(shape)}, got ${shapeText(given.shape)}`);
      const at = given.data.findIndex((v) => !Number.isFinite(v));
      if (at >= 0) throw new WaferError('VALUE', `element ${at} is ${given.data[at]}`);
    });
}
