/** Pictures whose headers promise what the bytes do not hold. */
import { deflateSync } from 'node:zlib';
import jpeg from 'jpeg-js';
import { PNG } from 'pngjs';
import { expect, test } from 'vitest';
import { crc32 } from '../../src/core/crc';
import { decodeImage } from '../../src/packer/image';

function chunk(type: string, data: Uint8Array): Buffer {
  const bytes = Buffer.alloc(12 + data.length);
  bytes.writeUInt32BE(data.length);
  bytes.write(type, 4, 'latin1');
  bytes.set(data, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + data.length)), 8 + data.length);
  return bytes;
}

/** An RGB picture of 8 bits with these inflated rows. */
function png(width: number, height: number, rows: Uint8Array): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]);
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', deflateSync(rows)), chunk('IEND', new Uint8Array())]);
}

/** A flat JPEG of 8 x 8 that says it is larger. */
function grown(side: number): Uint8Array {
  const bytes = Buffer.from(jpeg.encode({ width: 8, height: 8, data: Buffer.alloc(256, 99) }, 80).data);
  const frame = bytes.indexOf(Buffer.from([0xff, 0xc0]));
  bytes.writeUInt16BE(side, frame + 5);
  bytes.writeUInt16BE(side, frame + 7);
  return bytes;
}

test.each<[string, Uint8Array]>([
  ['a PNG without rows', png(11_000, 11_000, new Uint8Array(10))],
  ['a PNG without its last row', png(4, 4, new Uint8Array(3 * 13))],
  ['a PNG of far more rows', png(4, 4, new Uint8Array(1e8))],
  ['a PNG of no size', png(0, 0, new Uint8Array(10))],
  ['a PNG beyond all measure', png(100_000, 100_000, new Uint8Array(10))],
  ['a PNG that ends in its header', png(4, 4, new Uint8Array(52)).subarray(0, 20)],
  ['a JPEG of more pixels than its bytes can say', grown(11_000)],
  ['a JPEG beyond all measure', grown(65_535)],
  ['text', new TextEncoder().encode('not a picture')],
  ['nothing', new Uint8Array()],
])('image/%s', async (_, bytes) => {
  const before = process.memoryUsage().rss;
  await expect(decodeImage(bytes, 'a.png')).rejects.toMatchObject({
    code: 'BAD_FILE',
    node: 'a.png',
    hint: expect.any(String),
  });
  expect(process.memoryUsage().rss - before).toBeLessThan(200 << 20);
});

test.each([false, true])('image/whole PNGs are read, interlaced: %s', async (interlaced) => {
  const bytes = interlaced ? INTERLACED : PNG.sync.write(Object.assign(new PNG({ width: 5, height: 3 }), {}));
  expect(await decodeImage(bytes, 'a.png')).toMatchObject(interlaced ? { width: 2, height: 2 } : { width: 5, height: 3 });
});

/** 2 x 2, gray, 8 bits, Adam7: passes of 1 x 1, 1 x 1 and 2 x 1. */
const INTERLACED = (() => {
  const bytes = png(2, 2, Uint8Array.of(0, 10, 0, 20, 0, 30, 40));
  bytes.set([8, 0, 0, 0, 1], 24);
  bytes.writeUInt32BE(crc32(bytes.subarray(12, 29)), 29);
  return bytes;
})();
