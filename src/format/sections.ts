/** The outside of a file: header, section table, checksums. */
import { crc32 } from '../core/crc';
import { badFile, Cursor, UPDATE } from './cursor';
import { alignUp, HEADER_BYTES, MAGIC, MAX_SECTION_BYTES, ROW_BYTES, type SectionName, TAGS, VERSION } from './layout';

/** What HTML begins with. */
const LESS_THAN = 0x3c;

/** A row of the section table. */
export interface Section {
  /** Four characters. */
  tag: string;
  /** Undefined for an optional section that this version does not know. */
  name: SectionName | undefined;
  encoding: number;
  /** From the start of the file, in bytes. */
  offset: number;
  bytes: number;
  crc: number;
}

const NAMES = new Map<string, SectionName>(Object.entries(TAGS).map(([name, tag]) => [tag, name as SectionName]));

/** What the first HEADER_BYTES of a file say. */
export interface Header {
  /** Bytes in the file. */
  total: number;
  /** Sections. */
  count: number;
  /** Where the section table ends, its CRC behind it. */
  tableEnd: number;
}

/** Throws BAD_FILE when the first 4 bytes are not a file's. */
export function checkMagic(file: Uint8Array): void {
  if (new Cursor(file, 0, 4).u32() !== MAGIC)
    throw badFile(
      'this is no .wafer file',
      0,
      file[0] === LESS_THAN
        ? 'it looks like a web page, as servers send for what is not there: is the address right?'
        : 'make one from an ONNX model with "wafer pack"',
    );
}

/** Needs the first HEADER_BYTES of the file. Throws BAD_FILE. */
export function readHeader(file: Uint8Array): Header {
  const from = new Cursor(file, 4, HEADER_BYTES);
  const version = from.u32();
  if (version !== VERSION)
    throw badFile(`version ${version & 0xffff} with flags ${version >>> 16}, expected version ${VERSION}`, 4, UPDATE);
  const [total, count] = [from.u32(), from.u32()];
  const tableEnd = HEADER_BYTES + count * ROW_BYTES;
  if (tableEnd + 4 > total) throw badFile(`${count} sections in ${total} bytes`, 12);
  return { total, count, tableEnd };
}

/** Sections in order, which fill the file. Needs the file up to 4 bytes after the table. Throws BAD_FILE. */
export function readTable(file: Uint8Array, { total, count, tableEnd }: Header): Section[] {
  const from = new Cursor(file, HEADER_BYTES, tableEnd + 4);
  const sections = Array.from({ length: count }, (): Section => {
    const tag = String.fromCharCode(from.u8(), from.u8(), from.u8(), from.u8());
    const [encoding, offset, bytes, crc] = [from.u32(), from.u32(), from.u32(), from.u32()];
    return { tag, name: NAMES.get(tag), encoding, offset, bytes, crc };
  });
  if (from.u32() !== crc32(file.subarray(0, tableEnd))) throw badFile('the checksum of the header is wrong', tableEnd);
  const end = sections.reduce((at, section, i) => checkPlace(section, at, total, HEADER_BYTES + i * ROW_BYTES), tableEnd + 4);
  if (end !== total) throw badFile(`${total - end} bytes belong to no section`, end);
  if (new Set(sections.map((s) => s.tag)).size !== count) throw badFile('a section is there twice', HEADER_BYTES);
  return sections;
}

/** Checks that a section can be what the table says at `row` and begins after `end`; returns where it ends. */
function checkPlace({ tag, name, encoding, offset, bytes }: Section, end: number, total: number, row: number): number {
  if (offset !== alignUp(end) || offset + bytes > total) throw badFile(`section ${tag} is not where it should be`, row);
  if (name === undefined ? /^[A-Z]/.test(tag) : encoding !== 0)
    throw badFile(`section ${tag} in encoding ${encoding} is unknown`, row, UPDATE);
  if (name !== 'weights' && bytes > MAX_SECTION_BYTES) throw badFile(`section ${tag} of ${bytes} bytes`, row);
  return offset + bytes;
}

/** Throws BAD_FILE unless the bytes between a section and the one before, which ends at `end`, are zero. */
export function checkGap(file: Uint8Array, { tag, offset }: Section, end: number): void {
  if (file.subarray(end, offset).some((b) => b !== 0)) throw badFile(`the bytes before section ${tag} are not zero`, end);
}

/** Throws BAD_FILE unless `crc` is the section's. */
export function checkCrc({ tag, offset, crc }: Section, found: number): void {
  if (found !== crc) throw badFile(`the checksum of section ${tag} is wrong`, offset);
}
