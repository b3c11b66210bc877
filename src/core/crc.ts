/**
 * CRC-32 (polynomial 0xEDB88320, as in zip and PNG), eight bytes a step. It finds damage, not malice: whoever writes a
 * file can also write its checksums.
 */

/** Eight tables of 256, one after another: table k advances a byte over k further zero bytes. */
const TABLES = new Int32Array(8 * 256);

function fillTables(): void {
  for (let i = 0; i < 256; i++) {
    let c = i;
    for (let bit = 0; bit < 8; bit++) c = (c >>> 1) ^ (c & 1 ? 0xedb88320 : 0);
    TABLES[i] = c;
  }
  for (let i = 256; i < TABLES.length; i++) {
    const before = TABLES[i - 256]!;
    TABLES[i] = (before >>> 8) ^ TABLES[before & 255]!;
  }
}

/** CRC-32 of `bytes`, 0..2^32-1; `before` is that of what comes before them. */
export function crc32(bytes: Uint8Array, before = 0): number {
  if (TABLES[1] === 0) fillTables();
  const t = TABLES;
  let crc = ~before;
  let at = 0;
  for (const end = bytes.length - 7; at < end; at += 8) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    crc =
      t[1792 + (crc & 255)]! ^
      t[1536 + ((crc >>> 8) & 255)]! ^
      t[1280 + ((crc >>> 16) & 255)]! ^
      t[1024 + (crc >>> 24)]! ^
      t[768 + bytes[at + 4]!]! ^
      t[512 + bytes[at + 5]!]! ^
      t[256 + bytes[at + 6]!]! ^
      t[bytes[at + 7]!]!;
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ t[(crc ^ bytes[at]!) & 255]!;
  return ~crc >>> 0;
}
