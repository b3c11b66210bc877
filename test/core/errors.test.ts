/** What a WaferError says. */
import { expect, test } from 'vitest';
import { WaferError } from '../../src/core/errors';

test('errors/every one has a hint, its own before the usual one', () => {
  const plain = new WaferError('SHAPE', 'wrong');
  expect(plain.hint).toContain('wafer inspect');
  expect(plain.message).toBe(`wrong\n  hint: ${plain.hint}`);
  expect(plain.at({ hint: 'nearer', node: 'conv' })).toMatchObject({ hint: 'nearer', node: 'conv' });
  const own = new WaferError('SHAPE', 'wrong', { hint: 'own' });
  expect(own.at({ hint: 'other' }).hint).toBe('own');
  expect(WaferError.fromJSON(plain.toJSON())).toMatchObject({ code: 'SHAPE', hint: plain.hint, message: plain.message });
});
