/** The page's part of kernels.ts that decodes tensors as files hold them, with WASM and without. */
import { allocate, type DType, type TypedArray } from '../src/core/dtype';
import { fromHalves, toHalves } from '../src/core/half';
import { describeBlob } from '../src/format/describe';
import { encode } from '../src/format/encode';
import { scalarCodec } from '../src/format/rans';
import { type Blob, decode } from '../src/format/tensors';
import { random } from '../test/support/random';

export interface Decoded {
  name: string;
  /** How the file holds it. */
  encoding: string;
  /** Bits for each element, and of the elements' order-0 entropy where they have few values. */
  bits: number;
  entropy: number | undefined;
  /** Functions that decode the tensor. */
  wasm: () => void;
  scalar: () => void;
  /** Bytes of the tensor once decoded. */
  bytes: number;
}

const next = random(1);
const normal = () => next() + next() + next() + next() + next() + next() - 3;
const pick = (values: readonly number[]) => values[Math.floor(next() * values.length)]!;
const ELEMENTS = 1 << 20;

const filled = <T extends TypedArray>(array: T, draw: (i: number) => number): T => {
  for (let i = 0; i < array.length; i++) array[i] = draw(i);
  return array;
};
const bytes = (draw: (i: number) => number, length = ELEMENTS) => filled(new Int8Array(length), draw);
const floats = (draw: (i: number) => number) => filled(new Float32Array(ELEMENTS), draw);

/** Tensors as models have them. */
const tensors = (): Record<string, { dtype: DType; data: TypedArray }> => {
  const codes = Array.from({ length: 16 }, normal);
  let isKept = true;
  const blocks = (i: number) => {
    if (i % 4 === 0) isKept = next() < 0.4;
    return isKept ? 43 * normal() || 1 : 0;
  };
  return {
    int8: { dtype: 'i8', data: bytes(() => 43 * normal()) },
    'int8, 8192 elements': { dtype: 'i8', data: bytes(() => 43 * normal(), 8192) },
    int4: { dtype: 'i8', data: bytes(() => Math.max(-7, Math.min(7, 4 * normal()))) },
    'ternary, half of it 0': { dtype: 'i8', data: bytes(() => pick([-1, 0, 0, 1])) },
    binary: { dtype: 'i8', data: bytes(() => pick([-1, 1])) },
    'int8, 60 % of blocks 0': { dtype: 'i8', data: bytes(blocks) },
    'codebook of 16 floats': { dtype: 'f32', data: floats(() => pick(codes)) },
    f16: { dtype: 'f32', data: fromHalves(toHalves(floats(normal))) },
    f32: { dtype: 'f32', data: floats(normal) },
    'f32, 80 % 0': { dtype: 'f32', data: floats(() => (next() < 0.8 ? 0 : normal())) },
  };
};

export function prepareDecodes(device: typeof scalarCodec): Decoded[] {
  return Object.entries(tensors()).map(([name, { dtype, data }]) => {
    const { encoding, bytes } = encode(dtype, data).reduce((a, b) => (b.bytes.length < a.bytes.length ? b : a));
    const elements = data.length;
    const place = { dtype, encoding, elements, bytes: bytes.length, at: 0, end: bytes.length };
    const blob: Blob = { ...place, data: allocate(dtype, elements) };
    const file = bytes.slice();
    return {
      name,
      encoding: describeBlob(blob, file),
      bits: (8 * bytes.length) / elements,
      entropy: entropyOf(data),
      wasm: () => decode(blob, file, device),
      scalar: () => decode(blob, file, scalarCodec),
      bytes: data.byteLength,
    };
  });
}

const MOST_VALUES = 256;

function entropyOf(data: TypedArray): number | undefined {
  const counts = new Map<number, number>();
  for (const value of data) {
    counts.set(value, (counts.get(value) ?? 0) + 1);
    if (counts.size > MOST_VALUES) return undefined;
  }
  let bits = 0;
  for (const count of counts.values()) bits -= (count / data.length) * Math.log2(count / data.length);
  return bits;
}
