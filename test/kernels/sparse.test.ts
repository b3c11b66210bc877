/** Which kernel products of int8 take. That its results are right is shown by the cases named `sparse`, in test/ops. */
import { expect, test } from 'vitest';
import { Builder, type Graph } from '../../src/graph/ir';
import { Planner } from '../../src/runtime/plan';
import { allCases, buildCase } from '../support/cases';
import { random, seedOf } from '../support/random';

/** Keys of the blocks that the graph's plan makes resident. */
function residentsOf(graph: Graph): string[] {
  const planner = new Planner(graph, new Map(), { dot: 'u8', residents: new Map(), residentBytes: 0 });
  return graph.nodes.flatMap((node) => planner.add(node).fills.map(({ key }) => key));
}

/** Whether a product of m rows, k inputs and n channels skips zeros, when `unit` consecutive weights are that `isZero` says. */
function skips(m: number, k: number, n: number, isZero: (unit: number) => boolean, unit: number): boolean {
  const weights = Array.from({ length: n * k }, (_, i) => 1 + ((i * 37) % 101));
  for (let i = 0; i < n * k; i += unit) if (isZero(i / unit)) weights.fill(0, i, i + unit);
  const build = new Builder();
  const quant = { scale: 0.1, zero: 0 };
  const x = build.input('x', { dtype: 'i8', shape: [m, k], quant });
  const multiplier = build.numbers('multiplier', 'i32', [n], new Array<number>(n).fill(1000));
  const y = build.node('gemm', 'y', [x, build.numbers('w', 'i8', [n, k], weights), undefined, multiplier], { quant });
  const keys = residentsOf(build.finish([{ name: 'y', value: y }]));
  expect(keys.includes('y/lists')).toBe(!keys.includes('y/w'));
  return keys.includes('y/lists');
}

/** Says so of about `share` of all. */
function drawn(share: number): () => boolean {
  const next = random(seedOf('weights'));
  return () => next() < share;
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
  expect(skips(m, k, n, drawn(share), 4)).toBe(want),
);

test('sparse/zeros that do not fill units are not skipped', () => {
  expect(skips(196, 384, 64, drawn(0.7), 1)).toBe(false);
  expect(skips(196, 384, 64, drawn(0.7), 4)).toBe(true);
});

test.each([
  ['in every other place', (unit: number) => unit % 2 === 1],
  ['in the last channels', (unit: number) => unit >= 32 * 96],
  ['at the ends of channels', (unit: number) => unit % 96 >= 48],
])('sparse/zeros are found %s', (_, isZero) => expect(skips(196, 384, 64, isZero, 4)).toBe(true));

const cases = allCases().filter((c) => c.case.name === 'sparse');

test('sparse/operators have cases', () => expect(new Set(cases.map((c) => c.op.name))).toEqual(new Set(['gemm', 'conv'])));
test.each(cases)('sparse/$address skips', (c) => {
  expect(residentsOf(buildCase(c).graph).some((key) => key.endsWith('/lists'))).toBe(true);
});
