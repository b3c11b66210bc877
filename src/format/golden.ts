/**
 * Golden runs: inputs that anyone can draw again from a seed, and what the model must make of them. The generator works in
 * integers and scales exactly, so every engine draws the same bits.
 */
import { crc32 } from '../core/crc';
import type { Bindings } from '../core/dim';
import { allocate, bytesOf, type DType, type TypedArray } from '../core/dtype';
import { WaferError } from '../core/errors';
import { randomBits } from '../core/random';
import { elements, evaluateShape, type StaticShape, sameShape, shapeText } from '../core/shape';
import type { Value } from '../graph/ir';
import type { Golden, GoldenOutput } from './model';

/** A tensor by its name. */
export interface NamedTensor {
  name: string;
  dtype: DType;
  shape: StaticShape;
  /** Row-major. */
  data: TypedArray;
}

/** What is read of a graph. */
export interface Inputs {
  readonly inputs: readonly Pick<Value, 'name' | 'type'>[];
}

/** What 32 random bits become: f32 in [-1, 1) in steps of 2^-23, bytes all of their range, i32 0..7 (they may be indices). */
const DRAW: Readonly<Record<DType, (bits: number) => number>> = {
  f32: (bits) => (bits >> 8) * 2 ** -23,
  i32: (bits) => bits & 7,
  i8: (bits) => bits >> 24,
  u8: (bits) => bits >>> 24,
  bool: (bits) => bits >>> 31,
};

/** The inputs of a golden run by name, row-major, drawn one after another in the order of the graph's inputs. Throws MEMORY. */
export function goldenInputs({ inputs }: Inputs, golden: Pick<Golden, 'seed' | 'bindings'>): Record<string, TypedArray> {
  const next = randomBits(golden.seed);
  return Object.fromEntries(
    inputs.map(({ name, type }) => {
      const data = allocate(type.dtype, elements(evaluateShape(type.shape, golden.bindings)));
      const draw = DRAW[type.dtype];
      for (let i = 0; i < data.length; i++) data[i] = draw(next());
      return [name, data];
    }),
  );
}

/** How many elements of an output are stored. */
const SAMPLES = 256;

/** A golden run from what the model made of `goldenInputs`. */
export function makeGolden(seed: number, bindings: Bindings, outputs: readonly NamedTensor[]): Golden {
  return {
    seed,
    bindings,
    outputs: outputs.map(({ name, dtype, shape, data }): GoldenOutput => {
      // Odd, so that samples do not keep to the same few channels.
      const stride = Math.ceil(data.length / SAMPLES) | 1;
      return { name, dtype, shape, stride, samples: sampled(data, stride), crc: crc32(bytesOf(data)) };
    }),
  };
}

const sampled = (data: TypedArray, stride: number): TypedArray => data.filter((_, i) => i % stride === 0);

export interface Tolerance {
  /** |got - want| <= abs + rel * |want|. */
  abs: number;
  rel: number;
  /**
   * What samples may be off by together where single ones are not within the above: the root of the mean square, over that of the
   * expected samples. Default 0.
   */
  rms?: number;
}

/** For f32 outputs of files that another version packed: its kernels may have summed in another order. */
export const F32_TOLERANCE: Tolerance = { abs: 1e-4, rel: 1e-3 };

/**
 * Compares a golden run's outputs with what this device made. Without a tolerance all bits must be equal; with one, f32
 * outputs whose bits differ are compared at the stored samples. Throws MISMATCH.
 */
export function checkGolden(golden: Golden, outputs: readonly NamedTensor[], tolerance?: Tolerance): void {
  for (const want of golden.outputs) {
    const got = outputs.find((o) => o.name === want.name);
    if (!got || got.dtype !== want.dtype || !sameShape(got.shape, want.shape))
      throw mismatch(
        want.name,
        `is ${got ? got.dtype + shapeText(got.shape) : 'missing'}, expected ${want.dtype}${shapeText(want.shape)}`,
      );
    if (crc32(bytesOf(got.data)) === want.crc) continue;
    const allowed = want.dtype === 'f32' || tolerance?.rms ? tolerance : undefined;
    const samples = sampled(got.data, want.stride);
    const at = firstOff(samples, want.samples, allowed);
    if (at !== undefined)
      throw mismatch(want.name, `is ${samples[at]} at element ${at * want.stride}, expected ${want.samples[at]}`);
    if (!allowed) throw mismatch(want.name, `differs in bits, though in none of the ${samples.length} stored samples`);
  }
}

/** Index of the first element of `got` that is further from `want` than is allowed; undefined where none is. Both have as many. */
export function firstOff(
  got: TypedArray,
  want: TypedArray,
  { abs, rel, rms = 0 }: Tolerance = { abs: 0, rel: 0 },
): number | undefined {
  const isOff = (w: number, i: number) => !(Math.abs(got[i]! - w) <= abs + rel * Math.abs(w)) && !Object.is(got[i], w);
  const at = (want as Float32Array).findIndex(isOff);
  return at < 0 || (rms && offBy(got, want) <= rms) ? undefined : at;
}

/** The root of the mean square of differences, over that of what is wanted. NaN where a difference is. */
function offBy(got: TypedArray, want: TypedArray): number {
  let [off, all] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    off += (got[i]! - want[i]!) ** 2;
    all += want[i]! ** 2;
  }
  return off === 0 ? 0 : Math.sqrt(off / all);
}

const mismatch = (name: string, what: string): WaferError =>
  new WaferError('MISMATCH', `golden output "${name}" ${what}`, {
    hint: 'this device computes something else than the packer did: try another device, and report it',
  });
