/**
 * NumPy's .npy (format versions 1 to 3) and .npz files. Eight-byte elements become the four-byte dtypes that Wafer
 * computes in: f8 is rounded to f32, i8 must fit i32. Nothing that a header says is believed before it is checked.
 */
import { unzipSync, zipSync } from 'fflate';
import { DTYPES, type DType, type TypedArray } from '../core/dtype';
import { WaferError } from '../core/errors';
import { elements, type StaticShape, stridesOf } from '../core/shape';

/** A dense row-major array with its dtype. */
export interface NpyArray {
  dtype: DType;
  shape: readonly number[];
  data: TypedArray;
}

interface ElementType {
  dtype: DType;
  bytes: 1 | 2 | 4 | 8;
  /** Element at a byte offset. */
  read(view: DataView, at: number, littleEndian: boolean): number;
}

/** By NumPy's type code without its byte order. */
const ELEMENT_TYPES: Readonly<Record<string, ElementType>> = {
  f4: { dtype: 'f32', bytes: 4, read: (v, at, le) => v.getFloat32(at, le) },
  f8: { dtype: 'f32', bytes: 8, read: (v, at, le) => v.getFloat64(at, le) },
  i4: { dtype: 'i32', bytes: 4, read: (v, at, le) => v.getInt32(at, le) },
  i8: { dtype: 'i32', bytes: 8, read: (v, at, le) => narrow(v.getBigInt64(at, le), at) },
  i1: { dtype: 'i8', bytes: 1, read: (v, at) => v.getInt8(at) },
  u1: { dtype: 'u8', bytes: 1, read: (v, at) => v.getUint8(at) },
  b1: { dtype: 'bool', bytes: 1, read: (v, at) => Number(v.getUint8(at) !== 0) },
};

const CODES: Readonly<Record<DType, string>> = { f32: '<f4', i32: '<i4', i8: '|i1', u8: '|u1', bool: '|b1' };

const MAGIC = '\x93NUMPY';
const MAX_ARRAY_BYTES = 2 ** 31;

const bad = (what: string, offset?: number): WaferError =>
  new WaferError('BAD_FILE', `not a usable .npy file: ${what}`, { offset, hint: 'write it with numpy.save' });

function narrow(value: bigint, at: number): number {
  if (value !== BigInt.asIntN(32, value)) throw bad(`the integer ${value} does not fit 32 bits`, at);
  return Number(value);
}

/** Throws BAD_FILE for what is no .npy file, DTYPE for element types that Wafer has no use for. */
export function readNpy(bytes: Uint8Array): NpyArray {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 10 || String.fromCharCode(...bytes.subarray(0, 6)) !== MAGIC) throw bad('the magic bytes are missing', 0);
  const version = bytes[6]!;
  if (version < 1 || version > 3) throw bad(`format version ${version} is unknown`, 6);
  const start = version === 1 ? 10 : 12;
  if (bytes.length < start) throw bad('the header is cut off', bytes.length);
  const end = start + (version === 1 ? view.getUint16(8, true) : view.getUint32(8, true));
  if (end > bytes.length) throw bad('the header is cut off', bytes.length);
  const { code, littleEndian, fortran, shape } = parseHeader(new TextDecoder().decode(bytes.subarray(start, end)));
  const element = ELEMENT_TYPES[code];
  if (!element)
    throw new WaferError('DTYPE', `the .npy file holds elements of type "${code}"`, {
      hint: `convert with numpy's astype to one of ${Object.keys(ELEMENT_TYPES).join(', ')}`,
    });
  const count = elements(shape);
  if (!(count * element.bytes <= MAX_ARRAY_BYTES)) throw bad(`shape [${shape}] is too large`, start);
  if (bytes.length - end !== count * element.bytes)
    throw bad(`shape [${shape}] of ${code} takes ${count * element.bytes} bytes, ${bytes.length - end} are there`, end);
  const data = new DTYPES[element.dtype].array(count);
  for (let i = 0; i < count; i++) data[i] = element.read(view, end + i * element.bytes, littleEndian);
  return { dtype: element.dtype, shape, data: fortran ? fromColumnMajor(data, shape) : data };
}

function parseHeader(text: string): { code: string; littleEndian: boolean; fortran: boolean; shape: number[] } {
  const descr = /'descr':\s*'([<>|=]?)([a-zA-Z]\d*)'/.exec(text);
  const order = /'fortran_order':\s*(True|False)/.exec(text);
  const tuple = /'shape':\s*\(([\d\s,]*)\)/.exec(text);
  if (!descr || !order || !tuple) throw bad(`the header says ${JSON.stringify(text.trim().slice(0, 80))}`, 10);
  const shape = tuple[1]!.split(',').flatMap((d) => (d.trim() ? [Number(d)] : []));
  return { code: descr[2]!, littleEndian: descr[1] !== '>', fortran: order[1] === 'True', shape };
}

function fromColumnMajor(data: TypedArray, shape: StaticShape): TypedArray {
  const rowMajor = data.slice();
  const strides = stridesOf([...shape].reverse()).reverse();
  const index = new Array<number>(shape.length).fill(0);
  for (let i = 0; i < data.length; i++) {
    rowMajor[i] = data[index.reduce((at, k, axis) => at + k * strides[axis]!, 0)]!;
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis]! === shape[axis]!; axis--) index[axis] = 0;
  }
  return rowMajor;
}

/** Format version 1, little-endian, row-major. */
export function writeNpy({ dtype, shape, data }: NpyArray): Uint8Array {
  const tuple = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const dict = `{'descr': '${CODES[dtype]}', 'fortran_order': False, 'shape': (${tuple}), }`;
  const header = `${dict.padEnd(Math.ceil((10 + dict.length + 1) / 64) * 64 - 11)}\n`;
  const bytes = new Uint8Array(10 + header.length + data.byteLength);
  for (let i = 0; i < 6; i++) bytes[i] = MAGIC.charCodeAt(i);
  bytes[6] = 1;
  new DataView(bytes.buffer).setUint16(8, header.length, true);
  bytes.set(new TextEncoder().encode(header), 10);
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 10 + header.length);
  return bytes;
}

/** The arrays of an .npz file by name. Throws BAD_FILE, DTYPE. */
export function readNpz(bytes: Uint8Array): Map<string, NpyArray> {
  const arrays = new Map<string, NpyArray>();
  let total = 0;
  try {
    const files = unzipSync(bytes, {
      filter: ({ name, originalSize }) => {
        if (!name.endsWith('.npy')) return false;
        total += originalSize;
        if (total > MAX_ARRAY_BYTES) throw bad('the arrays of the .npz are too large');
        return true;
      },
    });
    for (const [name, file] of Object.entries(files)) arrays.set(name.slice(0, -'.npy'.length), readNpy(file));
  } catch (error) {
    if (error instanceof WaferError) throw error;
    throw new WaferError('BAD_FILE', `not a usable .npz file: ${(error as Error).message}`, {
      hint: 'write it with numpy.savez',
    });
  }
  return arrays;
}

/** An uncompressed .npz, as numpy.savez writes it; the same arrays give the same bytes. */
export const writeNpz = (arrays: ReadonlyMap<string, NpyArray>): Uint8Array =>
  zipSync(Object.fromEntries([...arrays].map(([name, array]) => [`${name}.npy`, writeNpy(array)])), {
    level: 0,
    mtime: new Date(1980, 0, 1),
  });
