/**
 * Every gradient rule at every case of its operator, against finite differences: along a drawn direction v of all float inputs, and
 * for drawn weights u of the outputs, sum(u * (f(x + hv) - f(x - hv))) / 2h is the gradient's product with v. In doubles throughout.
 */
import { describe, expect, test } from 'vitest';
import { directional, gradientCases } from '../support/gradients';

describe('gradients', () => {
  for (const each of gradientCases())
    test(each.address, () => {
      const { predicted, measured, size } = directional(each);
      expect(Math.abs(predicted - measured), `${predicted} for ${measured}`).toBeLessThan(1e-6 * (1 + size));
    });
});
