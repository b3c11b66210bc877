/**
 * Data by name or path: `fashion-mnist`, `mnist`, a folder of IDX files or of images in a folder a class, an .npz, a .csv, or
 * CIFAR's .bin. A range may follow, as in `fashion-mnist:train[:55000]`.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { WaferError } from '../../core/errors';
import { decodeImage, IMAGE_NAMES } from '../image';
import { type Dataset, makeDataset, sizeOf, sliceDataset } from './dataset';
import { fromCifar, fromCsv, fromIdx, fromNpz, readIdx } from './formats';

export type Split = 'train' | 'test';

/** Where Debian's package dataset-fashion-mnist puts it. */
const FASHION_FOLDER = '/usr/share/datasets/fashion-mnist';
const FASHION_CLASSES = ['T-shirt', 'trouser', 'pullover', 'dress', 'coat', 'sandal', 'shirt', 'sneaker', 'bag', 'ankle boot'];

const NAMED: Readonly<Record<string, { folder?: string; names: readonly string[]; hint: string }>> = {
  'fashion-mnist': {
    folder: FASHION_FOLDER,
    names: FASHION_CLASSES,
    hint: "install Debian's dataset-fashion-mnist, or pass the folder of its IDX files",
  },
};

const stem: Readonly<Record<Split, string>> = { train: 'train', test: 't10k' };

/**
 * `where` is NAME or PATH, with `:train` or `:test` and `[from:to]` behind it as wanted; `split` goes where it says none. With `strict`
 * data that has no such part is not found; else all of it is taken. Throws NOT_FOUND, BAD_FILE, SHAPE, VALUE, ARGUMENT.
 */
export async function loadDataset(where: string, split: Split = 'train', { strict = false } = {}): Promise<Dataset> {
  const match = /^(.*?)(?::(train|test))?(?:\[(\d*):(\d*)\])?$/.exec(where)!;
  const set = await loadWhole(match[1]!, (match[2] as Split | undefined) ?? split, strict);
  if (match[3] === undefined && match[4] === undefined) return set;
  return sliceDataset(set, Number(match[3] || 0), match[4] ? Number(match[4]) : sizeOf(set));
}

async function loadWhole(path: string, split: Split, strict: boolean): Promise<Dataset> {
  const known = NAMED[path];
  if (known?.folder) return fromFolderOfIdx(known.folder, split, known.names, known.hint);
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
    if (names.some((name) => /-ubyte(\.gz)?$/.test(name))) return fromFolderOfIdx(path, split);
    const hasPart = names.includes(split);
    if (strict && !hasPart) throw new WaferError('NOT_FOUND', `"${path}" has no folder "${split}"`);
    return fromFolderOfImages(hasPart ? join(path, split) : path);
  }
  if (strict) throw new WaferError('NOT_FOUND', `"${path}" has no parts`);
  const bytes = new Uint8Array(readFileSync(path));
  const name = basename(path);
  if (name.endsWith('.npz')) return fromNpz(bytes, name);
  if (name.endsWith('.csv')) return fromCsv(new TextDecoder().decode(bytes), name);
  if (name.endsWith('.bin')) return fromCifar(bytes, name);
  throw new WaferError('ARGUMENT', `what kind of data "${name}" is cannot be told`, { hint: 'it ends in .npz, .csv or .bin' });
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

/** A folder a class, named after it; images of one size. Throws NOT_FOUND, BAD_FILE, SHAPE. */
async function fromFolderOfImages(folder: string): Promise<Dataset> {
  const classes = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
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
  let size: { width: number; height: number } | undefined;
  let data = new Uint8Array(0);
  for (const [i, { path }] of files.entries()) {
    const image = await decodeImage(new Uint8Array(readFileSync(path)), path);
    if (!size) {
      size = image;
      data = new Uint8Array(files.length * image.width * image.height * 3);
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
  const labels = files.map(({ label }) => label);
  return makeDataset(basename(folder), [size!.height, size!.width, 3], data, labels, classes);
}
