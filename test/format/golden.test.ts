/** Golden runs: drawn inputs, what is stored of the outputs, and what counts as equal. */
import { describe, expect, it } from 'vitest';
import { symbol } from '../../src/core/dim';
import type { WaferError } from '../../src/core/errors';
import { checkGolden, goldenInputs, makeGolden, type NamedTensor, type Tolerance } from '../../src/format/golden';
import { Builder } from '../../src/graph/ir';

const tensor = (data: Float32Array | Int8Array, name = 'y'): NamedTensor => ({
  name,
  dtype: data instanceof Int8Array ? 'i8' : 'f32',
  shape: [data.length],
  data,
});

const ramp = (n: number): Float32Array => Float32Array.from({ length: n }, (_, i) => i / 8);

const failure = (body: () => void): WaferError | undefined => {
  try {
    body();
    return undefined;
  } catch (error) {
    return error as WaferError;
  }
};

describe('inputs', () => {
  const build = new Builder();
  const quant = { scale: 1, zero: 0 };
  for (const dtype of ['f32', 'i32', 'i8', 'u8', 'bool'] as const)
    build.input(dtype, { dtype, shape: [symbol('N'), 3], ...(dtype === 'i8' && { quant }) });
  const graph = build.finish([]);
  const draw = (seed: number, n: number) => goldenInputs(graph, { seed, bindings: new Map([['N', n]]) });

  it('are the same numbers everywhere', () =>
    expect(draw(1, 1)).toEqual({
      f32: Float32Array.of(-0.7458522319793701, 0.005471348762512207, -0.945106029510498),
      i32: Int32Array.of(5, 3, 0),
      i8: Int8Array.of(-100, -72, 109),
      u8: Uint8Array.of(254, 116, 125),
      bool: Uint8Array.of(0, 0, 0),
    }));
  it('differ by seed', () => expect(draw(1, 1)).not.toEqual(draw(2, 1)));
  it('fill their ranges evenly', () => {
    const { f32, i32, i8, u8, bool } = draw(3, 10_000);
    const mean = (data: ArrayLike<number>) => Array.from(data).reduce((a, b) => a + b, 0) / data.length;
    const range = (data: ArrayLike<number>) => [Math.min(...Array.from(data)), Math.max(...Array.from(data))];
    expect(Math.abs(mean(f32!))).toBeLessThan(0.02);
    expect(range(f32!)[0]).toBeGreaterThanOrEqual(-1);
    expect(range(f32!)[1]).toBeLessThan(1);
    expect([range(i32!), range(i8!), range(u8!), range(bool!)]).toEqual([
      [0, 7],
      [-128, 127],
      [0, 255],
      [0, 1],
    ]);
  });
});

describe('what is stored', () => {
  it.each([0, 1, 256, 257, 1000, 100_000])('of %d elements stays small', (n) => {
    const [output] = makeGolden(1, new Map(), [tensor(ramp(n))]).outputs;
    expect(output!.samples.length).toBe(Math.ceil(n / output!.stride));
    expect(output!.samples.length).toBeLessThanOrEqual(256);
    expect(output!.stride % 2).toBe(1);
  });
});

describe('check', () => {
  const golden = makeGolden(1, new Map(), [tensor(ramp(1000)), tensor(Int8Array.of(1, 2, 3), 'z')]);
  const run = (change: (y: Float32Array) => void, tolerance?: Tolerance): WaferError | undefined => {
    const y = ramp(1000);
    change(y);
    return failure(() => checkGolden(golden, [tensor(Int8Array.of(1, 2, 3), 'z'), tensor(y)], tolerance));
  };
  const tolerance = { abs: 1e-4, rel: 1e-3 };

  it('passes the same bits', () => expect(run(() => {})).toBeUndefined());
  it('finds one bit between the samples', () =>
    expect(run((y) => (y[1] = 0.1250001))).toMatchObject({ code: 'MISMATCH', hint: expect.any(String) }));
  it('names the element that differs', () => expect(run((y) => (y[5] = 7))?.message).toMatch('7 at element 5, expected 0.625'));
  it('passes what is within the tolerance', () => expect(run((y) => (y[5] = 0.6251), tolerance)).toBeUndefined());
  it('finds what is not', () => expect(run((y) => (y[5] = 0.63), tolerance)).toMatchObject({ code: 'MISMATCH' }));
  it('passes few or small differences where all of them together count', () => {
    const together = { ...tolerance, rms: 0.05 };
    expect(run((y) => (y[5] = 0.9), together)).toBeUndefined();
    expect(run((y) => y.forEach((v, i) => (y[i] = 1.1 * v)), together)).toMatchObject({ code: 'MISMATCH' });
    expect(run((y) => (y[5] = Number.NaN), together)).toMatchObject({ code: 'MISMATCH' });
  });
  it('finds NaN', () => expect(run((y) => y.fill(Number.NaN), tolerance)).toMatchObject({ code: 'MISMATCH' }));
  it('finds a missing output', () => expect(failure(() => checkGolden(golden, []))?.message).toMatch('missing'));
  it('finds another shape', () =>
    expect(failure(() => checkGolden(golden, [tensor(ramp(999))]))?.message).toMatch(/\[999\], expected f32\[1000\]/));
});
