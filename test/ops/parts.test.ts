/** How long sums are cut for GPUs. */
import { expect, test } from 'vitest';
import { partsOf } from '../../src/ops/parts';

test('parts make up the whole, and none is empty', () => {
  for (const results of [0, 1, 40, 3000])
    for (const n of [0, 1, 63, 64, 65, 127, 128, 1000, 1024, 1025, 6625, 100_003]) {
      const { parts, length } = partsOf(results, n);
      expect(parts * length, `${results} of ${n}`).toBeGreaterThanOrEqual(n);
      expect((parts - 1) * length, `${results} of ${n}`).toBeLessThan(Math.max(n, 1));
      expect(length, `${results} of ${n}`).toBeLessThanOrEqual(1024);
    }
});

test('few long sums are cut, short and many ones are not', () => {
  expect(partsOf(1280, 49)).toEqual({ parts: 1, length: 49 });
  expect(partsOf(3000, 1000)).toEqual({ parts: 1, length: 1000 });
  expect(partsOf(1, 6625).parts).toBe(81);
  expect(partsOf(40, 6625).parts).toBe(52);
  expect(partsOf(3000, 3000).parts).toBe(3);
});
