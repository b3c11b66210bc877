/** 16-bit floats against their definition. */
import { expect, test } from 'vitest';
import { fitHalves, fromHalves, toHalves } from '../../src/core/half';
import { random } from '../support/random';

const ALL = Uint16Array.from({ length: 2 ** 16 }, (_, i) => i);

/** By the definition: sign, 5 bits of exponent, 10 of fraction. */
function numberOf(half: number): number {
  const [sign, exponent, fraction] = [half >> 15 ? -1 : 1, (half >> 10) & 31, half & 1023];
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}

const halfOf = (value: number): number => toHalves(Float32Array.of(value))[0]!;

test('half/every half is what its bits say, and comes back', () => {
  const values = fromHalves(ALL);
  const back = toHalves(values);
  for (const half of ALL) {
    const want = numberOf(half);
    if (!Object.is(values[half], want)) expect(values[half], `half ${half}`).toBe(want);
    const same = Number.isNaN(want) ? 0x7e00 | (half & 0x8000) : half;
    if (back[half]! !== same && !Number.isNaN(want)) expect(back[half], `half ${half}`).toBe(same);
  }
  expect([...back].filter((half) => Number.isNaN(numberOf(half)))).toHaveLength(2 * 1023);
});

test('half/halfway between two halves is the even one, and the floats beside it go to the nearer', () => {
  const word = new Uint32Array(1);
  const float = new Float32Array(word.buffer);
  const beside = (value: number, by: number) => {
    float[0] = value;
    word[0]! += by;
    return float[0];
  };
  // Up to the step from the largest half to infinity, which counts as 65536.
  for (let half = 0; half < 0x7c00; half++) {
    const next = half + 1 === 0x7c00 ? 65536 : numberOf(half + 1);
    const middle = (numberOf(half) + next) / 2;
    const got = [beside(middle, -1), middle, beside(middle, 1), -middle].map(halfOf);
    const even = half % 2 ? half + 1 : half;
    const want = [half, even, half + 1, even | 0x8000];
    if (got.join() !== want.join()) expect(got, `above half ${half}`).toEqual(want);
  }
});

test('half/floats of any size are rounded to the nearest', () => {
  const next = random(1);
  for (let i = 0; i < 20000; i++) {
    const value = Math.fround((next() - 0.5) * 2 ** (40 * next() - 24));
    const half = halfOf(value);
    const off = Math.abs(numberOf(half) - value);
    const around = [half - 1, half + 1].filter((h) => (h & 0x7fff) < 0x7c00 && h >= 0).map((h) => Math.abs(numberOf(h) - value));
    if (Math.abs(value) < 65504 && !around.every((other) => off <= other)) expect(numberOf(half)).toBe(value);
  }
});

test('half/what is too large is infinite, what is too small 0, with their signs', () => {
  expect([65504, 65519.99, 65520, 3e38, Number.POSITIVE_INFINITY].map(halfOf)).toEqual([0x7bff, 0x7bff, 0x7c00, 0x7c00, 0x7c00]);
  expect([-65520, Number.NEGATIVE_INFINITY].map(halfOf)).toEqual([0xfc00, 0xfc00]);
  expect([2 ** -25, 1e-40, -0, -1e-40].map(halfOf)).toEqual([0, 0, 0x8000, 0x8000]);
});

test('half/numbers that do not fit are found', () => {
  expect(fitHalves(Float32Array.of(65519, -65504, Number.NEGATIVE_INFINITY, Number.NaN, 1e-30))).toBe(true);
  expect(fitHalves(Float32Array.of(1, 65520))).toBe(false);
  expect(fitHalves(Float32Array.of(-3e38))).toBe(false);
});
