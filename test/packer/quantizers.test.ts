/** Quantisers in training: the values that they give, and the gradients that they let through. */
import { expect, test } from 'vitest';
import { elements } from '../../src/core/shape';
import { Builder, type Value } from '../../src/graph/ir';
import type { Ref } from '../../src/ops/define';
import { runReference, toReference } from '../../src/packer/evaluate/reference';
import { differentiate } from '../../src/packer/train/differentiate';
import { meaningOf } from '../../src/packer/train/kinds';
import { type Quantizers, quantizers } from '../../src/packer/train/quantizers';

interface Given {
  shape: readonly number[];
  data: readonly number[];
}

/** What a quantiser makes of its inputs, and the gradients of sum(weights * y) by them. */
function through(inputs: readonly Given[], weights: readonly number[], make: (q: Quantizers, xs: Value[]) => Ref) {
  const build = new Builder();
  const xs = inputs.map(({ shape }, i) => build.input(`x${i}`, { dtype: 'f32', shape }));
  const plain = build.finish([]);
  let y: Ref;
  const made = differentiate({ ...plain, inputs: xs }, xs, ({ emit, current }) => {
    y = make(quantizers(emit), xs.map(current));
    const shape = y.type.shape as number[];
    const u = emit.constant('f32', shape, weights);
    const axes = shape.map((_, i) => i);
    return emit('reduce', [emit('binary', [y, u], { fn: 'mul' })], { fn: 'sum', axes, keepdims: false }) as Value;
  });
  const outputs = [y! as Value, ...made.gradients.map((g) => g!)];
  const graph = made.build.finish(outputs.map((value, i) => ({ name: `${i}`, value })));
  const feeds = new Map(inputs.map(({ shape, data }, i) => [`x${i}`, toReference({ dtype: 'f32', shape }, data)]));
  const values = runReference(graph, feeds, (op) => meaningOf(op).reference);
  const [got, ...gradients] = outputs.map((value) => [...values.get(value)!.data]);
  expect(got).toHaveLength(elements(inputs[0]!.shape));
  return { y: got!, gradients };
}

const near = (got: readonly number[], want: readonly number[]) => {
  expect(got).toHaveLength(want.length);
  want.forEach((w, i) => expect(got[i]).toBeCloseTo(w, 6));
};

/** A scale that is learnt, as two inputs: what is trained, and where it starts. */
const learnt = (shape: readonly number[], start: readonly number[], ratio = start.map(() => 0)): Given[] => [
  { shape, data: ratio },
  { shape, data: start },
];

test("LSQ: levels times the scale; gradients inside the range, and the scale's by what rounding did", () => {
  const x = { shape: [4], data: [0.24, -0.9, 5, -5] };
  const { y, gradients } = through([x, ...learnt([], [0.5])], [1, 2, 3, 4], ({ lsq }, [a, ratio, start]) =>
    lsq(a!, { ratio: ratio!, start: start! }, -4, 3),
  );
  near(y, [0, -1, 1.5, -2]);
  near(gradients[0]!, [1, 2, 0, 0]);
  near(gradients[1]!, [((0 - 0.48) * 1 + (-2 + 1.8) * 2 + 3 * 3 - 4 * 4) / Math.sqrt(4 * 3) / 0.5]);
});

test('LSQ by channels', () => {
  const w = { shape: [2, 2], data: [0.24, -0.9, 0.6, 2] };
  const { y, gradients } = through([w, ...learnt([2, 1], [0.5, 1])], [1, 1, 1, 1], ({ lsq }, [a, ratio, start]) =>
    lsq(a!, { ratio: ratio!, start: start! }, -4, 3),
  );
  near(y, [0, -1, 1, 2]);
  near(gradients[1]!, [(-0.48 - 0.2) / Math.sqrt(2 * 3) / 0.5, 0.4 / Math.sqrt(2 * 3)]);
});

test('a learnt scale stays positive, and within 8 times of where it started', () => {
  const { y } = through(learnt([4], [0.5, 0.5, 2, 2], [0, Math.log(2), 100, -100]), [1, 1, 1, 1], ({ scale }, [ratio, start]) =>
    scale({ ratio: ratio!, start: start! }),
  );
  near(y, [0.5, 1, 16, 0.25]);
});

test('levels at any distances', () => {
  const x = { shape: [5], data: [-9, -0.9, 0.4, 0.6, 1.8] };
  const { y, gradients } = through([x, ...learnt([], [0.5])], [1, 2, 3, 4, 5], ({ levels }, [a, ratio, start]) =>
    levels(a!, { ratio: ratio!, start: start! }, [-4, -1, 0, 1, 4]),
  );
  near(y, [-2, -0.5, 0.5, 0.5, 2]);
  near(gradients[0]!, [0, 2, 3, 4, 5]);
});

test('two learnt magnitudes: each is moved by the weights that have it', () => {
  const w = { shape: [2, 3], data: [1, -2, 0.05, 0.3, -0.2, 0.11] };
  const { y, gradients } = through(
    [w, { shape: [], data: [0.5] }, { shape: [], data: [-0.25] }],
    [1, 2, 3, 4, 5, 6],
    ({ ttq }, [a, p, n]) => ttq(a!, p!, n!),
  );
  near(y, [0.5, -0.25, 0, 0.5, -0.25, 0.5]);
  near(gradients[0]!, [1, 2, 3, 4, 5, 6]);
  near(gradients[1]!, [1 + 4 + 6]);
  near(gradients[2]!, [2 + 5]);
});

test('ternary weights: the mean of what is over 0.7 of the mean, by channel', () => {
  const w = { shape: [2, 4], data: [1, -2, 0.1, 0.3, 0, 0, 0, 0] };
  const { y, gradients } = through([w], [1, 2, 3, 4, 5, 6, 7, 8], ({ ternary }, [a]) => ternary(a!));
  near(y, [1.5, -1.5, 0, 0, 0, 0, 0, 0]);
  near(gradients[0]!, [1, 2, 3, 4, 5, 6, 7, 8]);
});

test('binary weights: signs times the mean magnitude, by channel', () => {
  const w = { shape: [2, 3], data: [1, -2, 0, -0.5, 0.5, 0.5] };
  const { y, gradients } = through([w], [1, 2, 3, 4, 5, 6], ({ binary }, [a]) => binary(a!));
  near(y, [1, -1, 1, -0.5, 0.5, 0.5]);
  near(gradients[0]!, [1, 2, 3, 4, 5, 6]);
});

test('signs of activations: gradients pass within -1 to 1', () => {
  const { y, gradients } = through([{ shape: [4], data: [0.5, -0.5, 3, -3] }], [1, 2, 3, 4], ({ signs }, [a]) => signs(a!));
  near(y, [1, -1, 1, -1]);
  near(gradients[0]!, [1, 2, 0, 0]);
});
