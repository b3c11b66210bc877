/** Which kernel products of int8 take. That its results are right is shown by the cases named `sparse`, in test/ops. */
import { expect, test } from 'vitest';
import { Builder } from '../../src/graph/ir';
import { makePlan } from '../../src/runtime/plan';
import { allCases, buildCase } from '../support/cases';
import { random, seedOf } from '../support/random';

const OPTIONS = { dot: 'u8', residents: new Map(), residentBytes: 0 } as const;

/** Whether a product of m rows, k inputs and n channels skips zeros, when about `share` of its `unit` consecutive weights are. */
function skips(m: number, k: number, n: number, share: number, unit: number): boolean {
  const next = random(seedOf('weights'));
  const weights = new Array<number>(n * k).fill(5);
  for (let i = 0; i < n * k; i += unit) if (next() < share) weights.fill(0, i, i + unit);
  const build = new Builder();
  const quant = { scale: 0.1, zero: 0 };
  const x = build.input('x', { dtype: 'i8', shape: [m, k], quant });
  const multiplier = build.numbers('multiplier', 'i32', [n], new Array<number>(n).fill(1000));
  const y = build.node('gemm', 'y', [x, build.numbers('w', 'i8', [n, k], weights), undefined, multiplier], { quant });
  const { added } = makePlan(build.finish([{ name: 'y', value: y }]), new Map(), OPTIONS);
  expect(added.has('y/lists')).toBe(!added.has('y/w'));
  return added.has('y/lists');
}

test.each([
  [196, 384, 64, 0.5, true],
  [196, 384, 64, 0.25, false],
  [196, 384, 64, 0, false],
  [4, 384, 64, 0.9, false],
  [784, 24, 144, 0.5, false],
  [784, 24, 144, 0.7, true],
  [784, 144, 4, 0.7, false],
] as const)('sparse/%ix%ix%i with a share %f of zeros skips: %s', (m, k, n, share, want) =>
  expect(skips(m, k, n, share, 4)).toBe(want),
);

test('sparse/zeros that do not fill units are not skipped', () => {
  expect(skips(196, 384, 64, 0.7, 1)).toBe(false);
  expect(skips(196, 384, 64, 0.7, 4)).toBe(true);
});

const cases = allCases().filter((c) => c.case.name === 'sparse');

test('sparse/operators have cases', () => expect(new Set(cases.map((c) => c.op.name))).toEqual(new Set(['gemm', 'conv'])));
test.each(cases)('sparse/$address skips', (c) => {
  const { added } = makePlan(buildCase(c).graph, new Map(), OPTIONS);
  expect([...added.keys()].some((key) => key.endsWith('/lists'))).toBe(true);
});
