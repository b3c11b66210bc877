/** CRC-32 as src/core/crc.ts has it, eight bytes a step: fast from the first call on, when files are read. */

/** Bytes at the start of a block: the CRC so far, padding, and eight tables of 256 that are made when they are not there. */
const TABLES: usize = 16;
const TABLE: usize = 1024;
const DATA: usize = TABLES + 8 * TABLE;

function fillTables(tables: usize): void {
  for (let i: u32 = 0; i < 256; i++) {
    let c = i;
    for (let bit = 0; bit < 8; bit++) c = (c >>> 1) ^ (c & 1 ? 0xedb88320 : 0);
    store<u32>(tables + (i << 2), c);
  }
  for (let at = tables + TABLE; at < tables + 8 * TABLE; at += 4) {
    const before = load<u32>(at - TABLE);
    store<u32>(at, (before >>> 8) ^ load<u32>(tables + ((before & 255) << 2)));
  }
}

/** Brings the CRC at `block`, which is 0 at first, up to its bytes from DATA on. Rows: bytes. */
export function u8_crc32(block: usize, from: i32, to: i32): void {
  const t = block + TABLES;
  if (!load<u32>(t, 4)) fillTables(t);
  let crc = ~load<u32>(block);
  let at = block + DATA + from;
  const end = block + DATA + to;
  while (at + 8 <= end) {
    const low = load<u32>(at) ^ crc, high = load<u32>(at, 4);
    crc =
      load<u32>(t + ((low & 255) << 2), 7 * TABLE) ^ load<u32>(t + (((low >>> 8) & 255) << 2), 6 * TABLE) ^
      load<u32>(t + (((low >>> 16) & 255) << 2), 5 * TABLE) ^ load<u32>(t + ((low >>> 24) << 2), 4 * TABLE) ^
      load<u32>(t + ((high & 255) << 2), 3 * TABLE) ^ load<u32>(t + (((high >>> 8) & 255) << 2), 2 * TABLE) ^
      load<u32>(t + (((high >>> 16) & 255) << 2), TABLE) ^ load<u32>(t + ((high >>> 24) << 2));
    at += 8;
  }
  while (at < end) {
    crc = (crc >>> 8) ^ load<u32>(t + (((crc ^ load<u8>(at)) & 255) << 2));
    at++;
  }
  store<u32>(block, ~crc);
}
