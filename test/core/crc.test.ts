/** CRC-32 against the value that everyone's has for "123456789", and against the definition. */
import { describe, expect, it } from 'vitest';
import { crc32 } from '../../src/core/crc';

/** Bit by bit. */
function slow(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

describe('crc32', () => {
  it('is the standard one', () => expect(crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf43926));
  it('of nothing is 0', () => expect(crc32(new Uint8Array())).toBe(0));
  it.each(Array.from({ length: 40 }, (_, n) => n))('of %d bytes', (n) => {
    const bytes = Uint8Array.from({ length: n }, (_, i) => i * 151 + n);
    expect(crc32(bytes)).toBe(slow(bytes));
  });
});
