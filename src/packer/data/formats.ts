/** Files of labelled examples: IDX (as MNIST's), CIFAR's binary format, CSV and .npz. */
import { gunzipSync } from 'node:zlib';
import { WaferError } from '../../core/errors';
import { elements, type StaticShape } from '../../core/shape';
import { type NpyArray, readNpz } from '../npy';
import { type Dataset, makeDataset, makeExamples } from './dataset';

const bad = (name: string, what: string, hint: string, offset?: number): WaferError =>
  new WaferError('BAD_FILE', `${name}: ${what}`, { hint, offset });

export interface Idx {
  shape: number[];
  data: Uint8Array;
}

/** An IDX file of bytes, gzipped or not. Throws BAD_FILE. */
export function readIdx(bytes: Uint8Array, name: string): Idx {
  const hint = 'IDX files of bytes are what MNIST and its like come as';
  let plain = bytes;
  if (bytes[0] === 0x1f && bytes[1] === 0x8b)
    try {
      plain = gunzipSync(bytes);
    } catch (error) {
      throw bad(name, `it cannot be unzipped: ${(error as Error).message}`, 'fetch the file again');
    }
  if (plain.length < 8 || plain[0] !== 0 || plain[1] !== 0 || plain[2] !== 8)
    throw bad(name, 'this is no IDX file of bytes', hint, 0);
  const rank = plain[3]!;
  const view = new DataView(plain.buffer, plain.byteOffset, plain.byteLength);
  const start = 4 + 4 * rank;
  if (rank < 1 || rank > 4 || plain.length < start) throw bad(name, `it has ${rank} dimensions`, hint, 3);
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  if (plain.length - start !== elements(shape))
    throw bad(
      name,
      `[${shape}] needs ${elements(shape)} bytes, ${plain.length - start} are there`,
      'fetch the file again',
      start,
    );
  return { shape, data: plain.subarray(start) };
}

/** Images and labels of a pair of IDX files. Throws BAD_FILE, SHAPE, VALUE. */
export function fromIdx(images: Idx, labels: Idx, name: string, names?: readonly string[]): Dataset {
  const [count, ...shape] = images.shape;
  if (labels.shape.length !== 1 || labels.shape[0] !== count)
    throw new WaferError('SHAPE', `${name}: ${count} images and labels of shape [${labels.shape}] do not go together`);
  return makeDataset(name, shape.length === 2 ? [...shape, 1] : shape, images.data, labels.data, names);
}

const CIFAR_SIDE = 32;

/** CIFAR-10's binary format: a byte of label, then the planes of red, green and blue, 32 x 32 each. Throws BAD_FILE. */
export function fromCifar(bytes: Uint8Array, name: string): Dataset {
  const pixels = CIFAR_SIDE * CIFAR_SIDE;
  const record = 1 + 3 * pixels;
  if (bytes.length === 0 || bytes.length % record)
    throw bad(name, `${bytes.length} bytes are no whole number of records of ${record}`, "is this CIFAR-10's binary version?");
  const count = bytes.length / record;
  const data = new Uint8Array(count * 3 * pixels);
  const labels = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    labels[i] = bytes[i * record]!;
    for (let plane = 0; plane < 3; plane++)
      for (let p = 0; p < pixels; p++) data[(i * pixels + p) * 3 + plane] = bytes[i * record + 1 + plane * pixels + p]!;
  }
  return makeDataset(name, [CIFAR_SIDE, CIFAR_SIDE, 3], data, labels);
}

/** A table of numbers, a row an example, the label in the first column; a first row of names is skipped. Throws BAD_FILE, VALUE. */
export function fromCsv(text: string, name: string): Dataset {
  const lines = text.split(/\r?\n/).filter((line) => line.trim());
  const numeric = (line: string) => line.split(',').every((cell) => cell.trim() && Number.isFinite(Number(cell)));
  const rows = lines.length && !numeric(lines[0]!) ? lines.slice(1) : lines;
  if (rows.length === 0) throw bad(name, 'there are no rows of numbers', 'a row is label,number,number,…');
  const width = rows[0]!.split(',').length - 1;
  if (width < 1) throw bad(name, 'rows have one number only', 'a row is label,number,number,…');
  const data = new Float32Array(rows.length * width);
  const labels = new Int32Array(rows.length);
  rows.forEach((row, r) => {
    const cells = row.split(',').map(Number);
    const wrong = cells.findIndex((x) => !Number.isFinite(x));
    if (cells.length !== width + 1)
      throw bad(name, `row ${r + 1} has ${cells.length} columns, the first has ${width + 1}`, 'mend the table');
    if (wrong >= 0) throw bad(name, `row ${r + 1}, column ${wrong + 1} is no number`, 'mend the table');
    if (!Number.isInteger(cells[0])) throw new WaferError('VALUE', `${name}: row ${r + 1} has the label ${cells[0]}`);
    labels[r] = cells[0]!;
    data.set(cells.slice(1), r * width);
  });
  return makeDataset(name, [width], data, labels);
}

/**
 * Arrays `x` [N,…] and `y` [N] (or `images` and `labels`); unless there must be labels also one array [N,…] of any name. Throws
 * BAD_FILE, SHAPE, VALUE.
 */
export function fromNpz(bytes: Uint8Array, name: string, labelled = true): Dataset {
  const arrays = readNpz(bytes);
  const y = arrays.get('y') ?? arrays.get('labels');
  const x = arrays.get('x') ?? arrays.get('images') ?? (!labelled && arrays.size === 1 ? [...arrays.values()][0] : undefined);
  if (!x || (!y && labelled)) throw bad(name, `it has the arrays ${[...arrays.keys()].join(', ')}`, 'name them x and y');
  if (!y) return fromArray(x, name);
  const [count] = x.shape;
  if (y.shape[0] !== count || elements(y.shape) !== count)
    throw new WaferError('SHAPE', `${name}: x is [${x.shape}], y is [${y.shape}]`, { hint: 'a label for each example' });
  const { shape, data } = examplesIn(x);
  return makeDataset(name, shape, data, y.data);
}

/** An array [N,…] of examples of which no class is known. Throws SHAPE, VALUE. */
export function fromArray(x: NpyArray, name: string): Dataset {
  if (x.shape.length < 2)
    throw new WaferError('SHAPE', `${name}: [${x.shape}] are no examples`, { hint: 'an axis for them, and one for each' });
  const { shape, data } = examplesIn(x);
  return makeExamples(name, shape, data);
}

/** Bytes and floats as they are; grey images get an axis of channels. */
function examplesIn({ dtype, shape: [, ...shape], data }: NpyArray): { shape: StaticShape; data: Uint8Array | Float32Array } {
  return {
    shape: shape.length === 2 && dtype === 'u8' ? [...shape, 1] : shape,
    data: data instanceof Uint8Array || data instanceof Float32Array ? data : Float32Array.from(data),
  };
}
