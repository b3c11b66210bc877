/**
 * Every gradient rule at every case of its operator, against finite differences: along a drawn direction v of all float inputs, and
 * for drawn weights u of the outputs, sum(u * (f(x + hv) - f(x - hv))) / 2h is the gradient's product with v. In doubles throughout.
 */
import { describe, expect, test } from 'vitest';
import { elements } from '../../src/core/shape';
import { Builder, type Value } from '../../src/graph/ir';
import { OPS } from '../../src/ops/index';
import { runReference, toReference } from '../../src/packer/evaluate/reference';
import { emitter } from '../../src/packer/train/differentiate';
import { kindNamed, meaningOf } from '../../src/packer/train/kinds';
import { losses } from '../../src/packer/train/losses';
import { directional, expectSameInOnnxruntime, type GradientCase, gradientCases } from '../support/gradients';
import { random, seedOf } from '../support/random';

describe('gradients', () => {
  for (const each of gradientCases())
    test(each.address, () => {
      const { predicted, measured, size } = directional(each);
      expect(Math.abs(predicted - measured), `${predicted} for ${measured}`).toBeLessThan(1e-6 * (1 + size));
    });
});

test('gradients/only operators on integers and signs have none', () => {
  const without = Object.values(OPS).filter((op) => !meaningOf(op).gradient);
  expect(without.map(({ name }) => name)).toEqual(['quantize', 'dequantize', 'table', 'argmax', 'binaryConv']);
});

/** A graph's outputs and the inputs that it is differentiated by, drawn from a seed. */
function drawn(name: string, shapes: readonly (readonly number[])[], node: (build: Builder, xs: Value[]) => Value): GradientCase {
  const build = new Builder();
  const xs = shapes.map((shape, i) => build.input(`x${i}`, { dtype: 'f32', shape }));
  const graph = build.finish([{ name: 'y', value: node(build, xs) }]);
  const inputs = new Map(
    xs.map((x, i) => {
      const next = random(seedOf(`${name}#${i}`));
      const shape = shapes[i]!;
      return [
        x,
        toReference(
          { dtype: 'f32', shape },
          Float64Array.from({ length: elements(shape) }, () => 4 * next() - 2),
        ),
      ];
    }),
  );
  return { address: name, graph, inputs };
}

const of = (build: Builder) => losses(emitter(build, () => 'loss'));

describe('gradients of what training alone has', () => {
  const vectors = [[5], [5], [5], [5]];
  const norm = (build: Builder, xs: Value[]) => build.node(kindNamed('batchNorm'), 'norm', xs, { epsilon: 1e-3 });
  const matrix = [4, 6];
  const cases: GradientCase[] = [
    drawn('batch norm of images', [[3, 4, 2, 5], ...vectors], norm),
    drawn('batch norm of vectors', [[7, 5], ...vectors], norm),
    drawn('batch norm of sequences', [[2, 3, 5], ...vectors], norm),
    drawn('cross-entropy', [matrix, matrix], (build, [a, b]) => of(build).crossEntropy(a!, b!) as Value),
    drawn('KL at a temperature of 3', [matrix, matrix], (build, [a, b]) => {
      const { kl, soft } = of(build);
      return kl(a!, soft(b!, 3), 3) as Value;
    }),
    drawn(
      'MSE',
      [
        [2, 3, 4],
        [2, 3, 4],
      ],
      (build, [a, b]) => of(build).mse(a!, b!) as Value,
    ),
    drawn(
      'cosine',
      [
        [2, 3, 4],
        [2, 3, 4],
      ],
      (build, [a, b]) => of(build).cosine(a!, b!) as Value,
    ),
    drawn('L1', [[3, 2]], (build, [a]) => of(build).l1(a!) as Value),
  ];
  for (const each of cases)
    test(each.address, async () => {
      const { predicted, measured, size } = directional(each);
      expect(size).toBeGreaterThan(1e-3);
      expect(Math.abs(predicted - measured), `${predicted} for ${measured}`).toBeLessThan(1e-6 * (1 + size));
      await expectSameInOnnxruntime(each);
    });

  test('losses are the numbers that they are known as', () => {
    const build = new Builder();
    const rows = (...data: number[]) => build.numbers('c', 'f32', [2, data.length / 2], data);
    const { crossEntropy, kl, soft, mse, cosine, l1 } = of(build);
    const [a, b] = [rows(1, 2, 3, 4), rows(1, 0, 0, 1)];
    const values = [crossEntropy(a, b), kl(a, soft(b, 1), 1), mse(a, b), cosine(a, b), l1(a)] as Value[];
    const graph = build.finish(values.map((value, i) => ({ name: `${i}`, value })));
    const got = runReference(graph, new Map());
    const log = (p: number, q: number) => p - Math.log(Math.exp(p) + Math.exp(q));
    const divergence = (p: [number, number], q: [number, number]) =>
      p.reduce((sum, _, i) => sum + Math.exp(log(p[i]!, p[1 - i]!)) * (log(p[i]!, p[1 - i]!) - log(q[i]!, q[1 - i]!)), 0);
    const want = [
      -(log(1, 2) + log(4, 3)) / 2,
      (divergence([1, 0], [1, 2]) + divergence([0, 1], [3, 4])) / 2,
      (0 + 4 + 9 + 9) / 4,
      1 - (1 / Math.sqrt(5) + 4 / 5) / 2,
      10,
    ];
    values.forEach((value, i) => expect(got.get(value)!.data[0]).toBeCloseTo(want[i]!, 9));
  });
});
