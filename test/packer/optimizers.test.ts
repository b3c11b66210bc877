/** Optimisers and schedules against what their papers say, by hand. */
import { expect, test } from 'vitest';
import { learningRate, momentsOf, OPTIMIZER, type OptimizerOptions, SCHEDULE, update } from '../../src/packer/train/optimizers';

/** Two steps with gradients 0.5 and -1 from the parameter 2, of which the first element is decayed. */
function twoSteps(given: Partial<OptimizerOptions>): number[] {
  const options = { ...OPTIMIZER, ...given };
  const parameters = Float32Array.of(2, 2, 7);
  const moments = Array.from({ length: momentsOf(options) }, () => new Float32Array(3));
  [0.5, -1].forEach((g, i) => {
    const gradient = new Float32Array(3).fill(g);
    update(options, { parameters, gradient, moments, decayed: 1, learningRate: 0.1, step: i + 1 }, 0, 2);
  });
  expect(parameters[2]).toBe(7);
  return [...parameters.subarray(0, 2)];
}

const near = (got: number[], want: number[]) => want.forEach((w, i) => expect(got[i]).toBeCloseTo(w, 5));

test('sgd with momentum, and weight decay of the first elements', () => {
  near(twoSteps({ momentum: 0.9 }), [2 - 0.05 - 0.1 * (0.45 - 1), 2 - 0.05 - 0.1 * (0.45 - 1)]);
  const first = 2 - 0.1 * (0.5 + 0.2);
  near(twoSteps({ momentum: 0, weightDecay: 0.1 }), [first - 0.1 * (-1 + 0.1 * first), 2 - 0.05 + 0.1]);
  near(twoSteps({ momentum: 0.9, nesterov: true }), [2 - 0.1 * (0.5 + 0.45) - 0.1 * (-1 + 0.9 * (0.45 - 1)), 2.0545]);
});

test('adam, and adamw, whose decay is apart from the gradient', () => {
  const after = (mean: number, square: number, step: number) =>
    mean / (1 - 0.9 ** step) / Math.sqrt(square / (1 - 0.999 ** step));
  const second = after(0.9 * 0.05 - 0.1, 0.999 * 0.00025 + 0.001, 2);
  near(twoSteps({ name: 'adam' }), [2 - 0.1 - 0.1 * second, 2 - 0.1 - 0.1 * second]);
  const decayed = 2 - 0.1 * (1 + 0.2);
  near(twoSteps({ name: 'adamw', weightDecay: 0.1 }), [decayed - 0.1 * (second + 0.1 * decayed), 2 - 0.1 - 0.1 * second]);
});

test('schedules', () => {
  const at = (given: Partial<typeof SCHEDULE>, steps: number[]) =>
    steps.map((s) => learningRate({ ...SCHEDULE, ...given }, s, 100));
  near(at({ name: 'constant' }, [0, 99]), [0.1, 0.1]);
  near(at({ name: 'cosine' }, [0, 50, 100]), [0.1, 0.05, 0]);
  near(at({ name: 'cosine', warmup: 10 }, [0, 4, 9, 10, 55]), [0.01, 0.05, 0.1, 0.1, 0.05]);
  near(at({ name: 'step' }, [0, 49, 50, 75]), [0.1, 0.1, 0.01, 0.001]);
});
