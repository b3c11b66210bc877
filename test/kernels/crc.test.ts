/** The device's CRC-32 is the one that files are written with. */
import { expect, test } from 'vitest';
import { crc32 } from '../../src/core/crc';
import { random } from '../support/random';
import { baseDevice } from '../support/wasm';

test('crc32/known, of any length, and in pieces', async () => {
  const device = await baseDevice();
  expect(device.crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf43926);
  const next = random(1);
  const bytes = Uint8Array.from({ length: 100_003 }, () => 256 * next());
  for (const length of [0, 1, 7, 8, 9, 63, 16_383, 16_384, 16_385, bytes.length]) {
    const [whole, cut] = [bytes.subarray(0, length), Math.floor(length * next())];
    expect(device.crc32(whole), `${length} bytes`).toBe(crc32(whole));
    expect(device.crc32(whole.subarray(cut), device.crc32(whole.subarray(0, cut)))).toBe(crc32(whole));
  }
});

test('crc32/takes no memory of plans', async () => {
  const device = await baseDevice();
  device.reserve(device.heapBase + 1000);
  new Uint8Array(device.buffer, device.heapBase, 1000).fill(7);
  device.crc32(new Uint8Array(50_000).fill(255));
  expect(new Uint8Array(device.buffer, device.heapBase, 1000).every((byte) => byte === 7)).toBe(true);
});
