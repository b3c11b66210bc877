/** The outside of a file: header, section table, checksums. Also what `wafer inspect` lists. */
import { crc32 } from '../core/crc';
import { badFile, CUT_SHORT, Cursor, UPDATE } from './cursor';
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

/** The section table, after every byte of the file has been checked against a checksum. Throws BAD_FILE. */
export function readSections(file: Uint8Array): Section[] {
  const header = new Cursor(file, 0, file.length);
  if (file.length >= 4 && header.u32() !== MAGIC)
    throw badFile(
      'this is no .wafer file',
      0,
      file[0] === LESS_THAN
        ? 'it looks like a web page, as servers send for what is not there: is the address right?'
        : 'make one from an ONNX model with "wafer pack"',
    );
  if (file.length < HEADER_BYTES) throw badFile(`a file of ${file.length} bytes`, file.length, CUT_SHORT);
  const version = header.u32();
  if (version !== VERSION)
    throw badFile(`version ${version & 0xffff} with flags ${version >>> 16}, expected version ${VERSION}`, 4, UPDATE);
  const total = header.u32();
  if (total !== file.length)
    throw badFile(`${file.length} bytes instead of ${total}`, 8, total > file.length ? CUT_SHORT : undefined);
  const count = header.u32();
  const tableEnd = HEADER_BYTES + count * ROW_BYTES;
  if (tableEnd + 4 > total) throw badFile(`${count} sections in ${total} bytes`, 12);
  const sections = Array.from({ length: count }, (): Section => {
    const tag = String.fromCharCode(header.u8(), header.u8(), header.u8(), header.u8());
    const [encoding, offset, bytes, crc] = [header.u32(), header.u32(), header.u32(), header.u32()];
    return { tag, name: NAMES.get(tag), encoding, offset, bytes, crc };
  });
  if (header.u32() !== crc32(file.subarray(0, tableEnd))) throw badFile('the checksum of the header is wrong', tableEnd);
  const end = sections.reduce(
    (from, section, i) => checkSection(file, section, from, HEADER_BYTES + i * ROW_BYTES),
    tableEnd + 4,
  );
  if (end !== total) throw badFile(`${total - end} bytes belong to no section`, end);
  if (new Set(sections.map((s) => s.tag)).size !== count) throw badFile('a section is there twice', HEADER_BYTES);
  return sections;
}

/** Checks one section, which must begin after `end`; returns where it ends. `row` is where the table describes it. */
function checkSection(file: Uint8Array, { tag, name, encoding, offset, bytes, crc }: Section, end: number, row: number): number {
  if (offset !== alignUp(end) || offset + bytes > file.length) throw badFile(`section ${tag} is not where it should be`, row);
  if (file.subarray(end, offset).some((b) => b !== 0)) throw badFile(`the bytes before section ${tag} are not zero`, end);
  if (name === undefined ? /^[A-Z]/.test(tag) : encoding !== 0)
    throw badFile(`section ${tag} in encoding ${encoding} is unknown`, row, UPDATE);
  if (name !== 'weights' && bytes > MAX_SECTION_BYTES) throw badFile(`section ${tag} of ${bytes} bytes`, row);
  if (crc32(file.subarray(offset, offset + bytes)) !== crc) throw badFile(`the checksum of section ${tag} is wrong`, offset);
  return offset + bytes;
}
