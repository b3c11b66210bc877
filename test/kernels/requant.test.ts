/** Requantisation at its edges: kernels against the definition in unbounded integers, for the extremes of every number. */
import { expect, test } from 'vitest';
import { WaferError } from '../../src/core/errors';
import { Builder } from '../../src/graph/ir';
import { checkFactors, entryOf, FINE, FINE_BITS, levelOfEntry } from '../../src/ops/fine';
import { checkRequant, checkSums, type Requant, requantize, saturation } from '../../src/ops/requant';
import { Session } from '../../src/runtime/session';
import { baseDevice } from '../support/wasm';

const device = await baseDevice();
const LIMIT = 2 ** 31 - 1;

/** Sums around everything that could go wrong: zero, where the result saturates, where floats would round, the ends. */
function sums(multiplier: number, requant: Requant, reach: number): number[] {
  const [low, high] = saturation(multiplier, requant, reach);
  const around = [0, low, high, 2 ** 24, -(2 ** 24), 2 ** 30, LIMIT - 1, 1 - LIMIT].flatMap((v) => [v - 1, v, v + 1]);
  return [...new Set(around.map((v) => Math.min(LIMIT, Math.max(-LIMIT, v))))];
}

/** The levels that the kernel makes of sums, which it gets as biases of products with 0. */
function levels(sums: readonly number[], multiplier: number, { shift, zero, range }: Requant, residual?: Residual): number[] {
  const n = sums.length;
  const build = new Builder();
  const x = build.input('x', { dtype: 'i8', shape: [1, 1], quant: { scale: 1, zero: 5 } });
  const add = residual && build.input('r', { dtype: 'i8', shape: [1, n], quant: { scale: 1, zero: residual.zero } });
  const y = build.node(
    'gemm',
    'y',
    [
      x,
      build.numbers('w', 'i8', [n, 1], new Array(n).fill(0)),
      build.numbers('bias', 'i32', [n], sums),
      build.numbers('multiplier', 'i32', [n], new Array(n).fill(multiplier)),
      add,
    ],
    { quant: { scale: 1, zero }, shift, range, residualMultiplier: residual?.multiplier ?? 0 },
  );
  const session = new Session(build.finish([{ name: 'y', value: y }]), device);
  const given = { x: { data: new Int8Array([9]), shape: [1, 1] } };
  const levels = residual && { r: { data: new Int8Array(n).fill(residual.level), shape: [1, n] } };
  return Array.from(session.run({ ...given, ...levels }).y!.data);
}

interface Residual {
  multiplier: number;
  zero: number;
  level: number;
}

const RANGES: readonly (readonly [zero: number, low: number, high: number])[] = [
  [-128, -128, 127],
  [-128, -128, -127],
  [-1, -128, 127],
  [0, -128, 127],
  [0, 0, 1],
  [3, -20, 40],
  [127, -128, 127],
  [127, 126, 127],
];

for (const shift of [1, 8, 17, 20, 21, 22])
  test(`requant/shift=${shift}`, () => {
    for (const [zero, low, high] of RANGES)
      for (const multiplier of [1, 2, 77, 2 ** shift - 1, 2 ** shift, 2 ** shift + 1, 12345678, 2 ** 30]) {
        const requant = { shift, zero, range: [low, high] };
        const given = sums(multiplier, requant, 0);
        const want = given.map((acc) => requantize(acc, multiplier, requant));
        expect(levels(given, multiplier, requant), `m=${multiplier} z=${zero} ${low}..${high}`).toEqual(want);
      }
  });

for (const shift of [1, 9, 20])
  test(`requant/residual shift=${shift}`, () => {
    for (const [zero, low, high] of RANGES)
      for (const multiplier of [1, 2 ** 18 + 1, 2 ** 20, 2 ** 29])
        for (const residual of [
          { multiplier: 1, zero: -128, level: 127 },
          { multiplier: 2 ** 21, zero: -128, level: 127 },
          { multiplier: 2 ** 21, zero: 127, level: -128 },
          { multiplier: 2 ** 20 - 3, zero: 4, level: 5 },
        ]) {
          const requant = { shift, zero, range: [low, high] };
          const given = sums(multiplier, requant, 255 * residual.multiplier);
          const addend = (residual.level - residual.zero) * residual.multiplier;
          const want = given.map((acc) => requantize(acc, multiplier, { ...requant, addend }));
          expect(levels(given, multiplier, requant, residual), JSON.stringify({ multiplier, requant, residual })).toEqual(want);
        }
  });

test('requant/the definition rounds half up', () => {
  const requant = { shift: 2, zero: 10, range: [-128, 127] };
  expect([-6, -5, -2, -1, 0, 1, 2, 3, 6].map((acc) => requantize(acc, 1, requant))).toEqual([9, 9, 10, 10, 10, 10, 11, 11, 12]);
});

test('requant/what could leave 32 bits is refused', () => {
  const fine: Requant = { shift: 22, zero: 0, range: [-128, 127] };
  const refused = (body: () => void) => expect(body).toThrow(WaferError);
  checkRequant(fine, [1, 2 ** 30], 0);
  checkRequant({ ...fine, shift: 20 }, [2 ** 29], 2 ** 21);
  refused(() => checkRequant(fine, [0], 0));
  refused(() => checkRequant(fine, [2 ** 30 + 1], 0));
  refused(() => checkRequant({ ...fine, shift: 23 }, [1], 0));
  refused(() => checkRequant({ ...fine, shift: 0 }, [1], 0));
  refused(() => checkRequant({ ...fine, range: [1, 127] }, [1], 0));
  refused(() => checkRequant({ ...fine, range: [0, 0] }, [1], 0));
  refused(() => checkRequant({ ...fine, range: [-129, 127] }, [1], 0));
  refused(() => checkRequant(fine, [1], 5));
  refused(() => checkRequant({ ...fine, shift: 20 }, [2 ** 29 + 1], 5));
  refused(() => checkRequant({ ...fine, shift: 20 }, [1], 2 ** 21 + 1));
  checkSums(2 ** 30, 4_000_000);
  refused(() => checkSums(2 ** 30, 5_000_000));
});

test('requant/entries of a table meet factors at their extremes as fine.ts says', () => {
  const knots = Uint8Array.from({ length: 512 }, (_, i) => ([-32768, 32767, -1, 0, 129][(i >> 1) % 5]! >> (8 * (i & 1))) & 255);
  for (const [factor, places] of [
    [1, 1],
    [1, 7],
    [32767, 22],
    [32767, 15],
    [257, 9],
  ] as const)
    for (const zero of [-128, 0, 127]) {
      const count = 1 + FINE * 255;
      const build = new Builder();
      const x = build.input('x', { dtype: 'i8', shape: [1, 1], quant: { scale: 1, zero: 0 } });
      const column = (name: string, value: (i: number) => number) =>
        build.numbers(
          name,
          'i32',
          [count],
          Array.from({ length: count }, (_, i) => value(i)),
        );
      const y = build.node(
        'gemm',
        'y',
        [
          ...[x, build.numbers('w', 'i8', [count, 1], new Array(count).fill(0)), column('bias', (i) => i - 128 * FINE)],
          ...[column('multiplier', () => 2), undefined, build.constant('table', { dtype: 'u8', shape: [256, 2] }, knots)],
          column('factor', () => factor),
        ],
        { quant: { scale: 1, zero }, middle: { scale: 1, zero: 0 }, shift: 1 + FINE_BITS, factorPlaces: places },
      );
      const session = new Session(build.finish([{ name: 'y', value: y }]), device);
      const got = session.run({ x: { data: new Int8Array([0]), shape: [1, 1] } }).y!.data;
      const want = Array.from({ length: count }, (_, i) => levelOfEntry(entryOf(knots, i), factor, places, { scale: 1, zero }));
      expect(Array.from(got), JSON.stringify({ factor, places, zero })).toEqual(want);
    }
});

test('requant/factors that could leave 32 bits are refused', () => {
  checkFactors(undefined, 7);
  checkFactors([1, 32767], 22);
  for (const [factors, places] of [
    [[0], 7],
    [[32768], 7],
    [[1], 0],
    [[1], 23],
  ] as const)
    expect(() => checkFactors(factors, places)).toThrow(WaferError);
});
