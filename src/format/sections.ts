/** The outside of a file: header, sections, checksums; of both versions. */
import { crc32 } from '../core/crc';
import { badFile, Cursor, UPDATE } from './cursor';
import {
  alignUp,
  HEADER_BYTES,
  HEADER_BYTES_1,
  LETTERS,
  MAGIC,
  MAX_PACKED_BYTES,
  MAX_SECTION_BYTES,
  PACKED_HEAD,
  ROW_BYTES_1,
  type SectionName,
  TAGS,
  VERSION,
} from './layout';
import { unpack } from './lz';

/** What HTML begins with. */
const LESS_THAN = 0x3c;

export interface Section {
  /** Four characters; of one that this version does not know, one or four. */
  tag: string;
  /** Undefined for an optional section that this version does not know. */
  name: SectionName | undefined;
  /** From the start of the file, or of the head when that was packed. */
  offset: number;
  bytes: number;
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

/** The version in the first 8 bytes of a file. Throws BAD_FILE for one that is unknown. */
export function readVersion(file: Uint8Array): number {
  const word = new Cursor(file, 4, 8).u32();
  const version = word & 0xffff;
  const flags = word >>> 16;
  if (version < 1 || version > VERSION || flags > (version === 1 ? 0 : PACKED_HEAD))
    throw badFile(`version ${version} with flags ${flags}, expected version ${VERSION}`, 4, UPDATE);
  return version;
}

/** What the first HEADER_BYTES of a file say. */
export interface Header {
  /** Bytes in the file. */
  total: number;
  isPacked: boolean;
  /** Where the head ends and the weights begin. */
  headEnd: number;
  weightsCrc: number;
  headCrc: number;
}

/** Needs the first HEADER_BYTES of the file. Throws BAD_FILE. */
export function readHeader(file: Uint8Array): Header {
  const from = new Cursor(file, 6, HEADER_BYTES);
  const isPacked = from.u8() + from.u8() > 0;
  const [total, head, weightsCrc, headCrc] = [from.u32(), from.u32(), from.u32(), from.u32()];
  const headEnd = HEADER_BYTES + head;
  if (headEnd > total) throw badFile(`a head of ${head} bytes in ${total}`, 12);
  return { total, isPacked, headEnd, weightsCrc, headCrc };
}

/** The sections of the head, and the bytes in which they lie. Needs the file up to there. Throws BAD_FILE. */
export function readHead(file: Uint8Array, { isPacked, headEnd, headCrc }: Header): { bytes: Uint8Array; sections: Section[] } {
  const at = HEADER_BYTES;
  if (headCrc !== crc32(file.subarray(at, headEnd), crc32(file.subarray(0, at - 4))))
    throw badFile('the checksum of the head is wrong', at);
  if (!isPacked) return { bytes: file, sections: headSections(new Cursor(file, at, headEnd)) };
  const from = new Cursor(file, at, headEnd);
  const length = from.uint();
  if (length > MAX_PACKED_BYTES) from.fail(`a packed head of ${length} bytes`);
  const bytes = new Uint8Array(length);
  if (!unpack(file.subarray(from.at, headEnd), bytes)) from.fail('the packed head is damaged');
  return { bytes, sections: headSections(new Cursor(bytes, 0, length)) };
}

const BY_LETTER = new Map(Object.entries(LETTERS).map(([name, letter]) => [letter, name as keyof typeof LETTERS]));

function headSections(from: Cursor): Section[] {
  const sections: Section[] = [];
  while (from.left) {
    const letter = String.fromCharCode(from.u8());
    const name = BY_LETTER.get(letter);
    const tag = name ? TAGS[name] : letter;
    if (!name && /^[A-Z]/.test(tag)) from.fail(`section ${tag} is unknown`, UPDATE);
    if (sections.some((s) => s.tag === tag)) from.fail(`section ${tag} is there twice`);
    const bytes = from.uint();
    if (bytes > MAX_SECTION_BYTES) from.fail(`section ${tag} of ${bytes} bytes`);
    sections.push({ tag, name, offset: from.take(bytes), bytes });
  }
  return sections;
}

/** Throws BAD_FILE unless `crc` is that of what lies at `offset`. */
export function checkCrc(what: string, offset: number, crc: number, found: number): void {
  if (found !== crc) throw badFile(`the checksum of ${what} is wrong`, offset);
}

// ---- version 1 ----

/** A row of the section table. */
export interface Row extends Section {
  encoding: number;
  crc: number;
}

const NAMES = new Map<string, SectionName>(Object.entries(TAGS).map(([name, tag]) => [tag, name as SectionName]));

export interface Header1 {
  total: number;
  /** Sections. */
  count: number;
  /** Where the section table ends, its CRC behind it. */
  tableEnd: number;
}

/** Needs the first HEADER_BYTES_1 of the file. Throws BAD_FILE. */
export function readHeader1(file: Uint8Array): Header1 {
  const from = new Cursor(file, 8, HEADER_BYTES_1);
  const [total, count] = [from.u32(), from.u32()];
  const tableEnd = HEADER_BYTES_1 + count * ROW_BYTES_1;
  if (tableEnd + 4 > total) throw badFile(`${count} sections in ${total} bytes`, 12);
  return { total, count, tableEnd };
}

/** Sections in order, which fill the file. Needs the file up to 4 bytes after the table. Throws BAD_FILE. */
export function readTable1(file: Uint8Array, { total, count, tableEnd }: Header1): Row[] {
  const from = new Cursor(file, HEADER_BYTES_1, tableEnd + 4);
  const sections = Array.from({ length: count }, (): Row => {
    const tag = String.fromCharCode(from.u8(), from.u8(), from.u8(), from.u8());
    const [encoding, offset, bytes, crc] = [from.u32(), from.u32(), from.u32(), from.u32()];
    return { tag, name: NAMES.get(tag), encoding, offset, bytes, crc };
  });
  if (from.u32() !== crc32(file.subarray(0, tableEnd))) throw badFile('the checksum of the header is wrong', tableEnd);
  const end = sections.reduce((at, section, i) => checkPlace(section, at, total, HEADER_BYTES_1 + i * ROW_BYTES_1), tableEnd + 4);
  if (end !== total) throw badFile(`${total - end} bytes belong to no section`, end);
  if (new Set(sections.map((s) => s.tag)).size !== count) throw badFile('a section is there twice', HEADER_BYTES_1);
  if (!sections.some((s) => s.name === 'weights')) throw badFile(`section ${TAGS.weights} is missing`, 0);
  return sections;
}

/** Checks that a section can be what the table says at `row` and begins after `end`; returns where it ends. */
function checkPlace({ tag, name, encoding, offset, bytes }: Row, end: number, total: number, row: number): number {
  if (offset !== alignUp(end) || offset + bytes > total) throw badFile(`section ${tag} is not where it should be`, row);
  if (name === undefined ? /^[A-Z]/.test(tag) : encoding !== 0)
    throw badFile(`section ${tag} in encoding ${encoding} is unknown`, row, UPDATE);
  if (name !== 'weights' && bytes > MAX_SECTION_BYTES) throw badFile(`section ${tag} of ${bytes} bytes`, row);
  return offset + bytes;
}

/** Throws BAD_FILE unless the bytes between a section and the one before, which ends at `end`, are zero. */
export function checkGap1(file: Uint8Array, { tag, offset }: Section, end: number): void {
  if (file.subarray(end, offset).some((b) => b !== 0)) throw badFile(`the bytes before section ${tag} are not zero`, end);
}
