/** The encoding of the binaries in bundles. */
import { expect, test } from 'vitest';
import { decodeText, encodeText } from '../../src/runtime/wasm/text';

test('text/every byte comes back from plain ASCII', () => {
  const bytes = Uint8Array.from({ length: 1024 }, (_, i) => (i * 7) & 0xff);
  const text = encodeText(bytes);
  expect(text).toMatch(/^[ -~]*$/);
  expect(text).not.toMatch(/["'`\\$<]/);
  expect(decodeText(text)).toEqual(bytes);
  expect(decodeText('')).toEqual(new Uint8Array(0));
});
