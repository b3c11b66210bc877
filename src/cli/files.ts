/** Reading and writing the files that verbs are given, and the arguments that name them. */
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { WaferError } from '../core/errors';
import type { WaferModel } from '../format/model';
import { readWafer } from '../format/reader';
import { formatNamed } from '../packer/quantize/formats';

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'it is not there',
  EISDIR: 'it is a folder',
  ENOTDIR: 'its folder is a file',
  EACCES: 'access is denied',
  EPERM: 'access is denied',
  EROFS: 'the disk is read-only',
  ENOSPC: 'the disk is full',
  ERR_FS_FILE_TOO_LARGE: 'it is larger than 2 GiB',
};

const reason = (error: unknown): string => {
  const { code = '', message } = error as NodeJS.ErrnoException;
  return REASONS[code] ?? message;
};

/** Throws NOT_FOUND. */
export async function readBytes(path: string): Promise<Uint8Array> {
  try {
    // Devices may have no end.
    const device = (await stat(path)).isCharacterDevice();
    if (!device) return new Uint8Array(await readFile(path));
  } catch (error) {
    throw new WaferError('NOT_FOUND', `"${path}" cannot be read: ${reason(error)}`);
  }
  throw new WaferError('NOT_FOUND', `"${path}" cannot be read: it is a device`, { hint: 'pass a file' });
}

/** Makes the folders that are missing. Throws NOT_FOUND. */
export async function writeBytes(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await makeFolder(dirname(path));
    await writeFile(path, bytes);
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'its folder cannot be made' : reason(error);
    throw new WaferError('NOT_FOUND', `"${path}" cannot be written: ${why}`, { hint: 'choose another place' });
  }
}

/** As `mkdir` with `recursive`, which never ends under /proc (Node 20). */
async function makeFolder(path: string, last = false): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || last || dirname(path) === path) throw error;
    await makeFolder(dirname(path));
    await makeFolder(path, true);
  }
}

/** Says before the work what would fail after it. Throws ARGUMENT. */
export async function checkOutput(output: string, source: string, flag = '--output'): Promise<void> {
  const [there, from] = await Promise.all([output, source].map((path) => stat(path).catch(() => undefined)));
  if (output === '' || there?.isDirectory())
    throw new WaferError('ARGUMENT', `${flag} "${output}" is ${output ? 'a folder' : 'empty'}`, {
      hint: 'name the file to write',
    });
  if (there && there.ino === from?.ino && there.dev === from.dev)
    throw new WaferError('ARGUMENT', `${flag} "${output}" is the model itself`, { hint: 'write to another file' });
}

/** Throws NOT_FOUND, BAD_FILE. */
export async function readModel(path: string): Promise<{ model: WaferModel; bytes: Uint8Array }> {
  const bytes = await readBytes(path);
  return { model: readWafer(bytes), bytes };
}

/** For repeatable options `NAME=TEXT`: collects them in a record. */
export function named(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('Expected NAME=….');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** NaN for what is no finite number. */
const number = (text: string): number => (text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : Number.NaN);

export function positiveInt(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('Expected a positive integer.');
  return value;
}

/** `0.5,0.5,1` */
export function numberList(text: string): number[] {
  const values = text.split(',').map(number);
  if (values.some(Number.isNaN)) throw new InvalidArgumentError('Expected numbers, as in 0.5,0.5,1.');
  return values;
}

/** `640x480`: width and height. */
export function imageSize(text: string): [number, number] {
  const match = /^([1-9]\d{0,4})x([1-9]\d{0,4})$/.exec(text);
  if (!match) throw new InvalidArgumentError('Expected WIDTHxHEIGHT, as in 640x480.');
  return [Number(match[1]), Number(match[2])];
}

/** For repeatable options `NAME=N`. */
export function size(text: string, before: Readonly<Record<string, number>> = {}): Record<string, number> {
  const [[name, value] = []] = Object.entries(named(text));
  return { ...before, [name!]: positiveInt(value!) };
}

export function nonNegative(text: string): number {
  const value = number(text);
  if (!(value >= 0)) throw new InvalidArgumentError('Expected a number that is not negative.');
  return value;
}

export function anyNumber(text: string): number {
  const value = number(text);
  if (Number.isNaN(value)) throw new InvalidArgumentError('Expected a number.');
  return value;
}

/** For repeatable options `PATTERN=…`: collects in a record what `read` makes of the text. */
const byLayer =
  <T>(what: string, read: (text: string) => T) =>
  (text: string, before: Readonly<Record<string, T>> = {}): Record<string, T> => {
    const at = text.lastIndexOf('=');
    if (at < 1) throw new InvalidArgumentError(`Expected PATTERN=${what}.`);
    return { ...before, [text.slice(0, at)]: read(text.slice(at + 1)) };
  };

export const layerFormat = byLayer('FORMAT', formatNamed);

/** A part that may be none, but not all. */
export function smallPart(text: string): number {
  const value = number(text);
  if (!(value >= 0 && value < 1)) throw new InvalidArgumentError('Expected a number of at least 0, and less than 1.');
  return value;
}

export const layerPart = byLayer('PART', smallPart);

/** A part: over 0, and 1 at the most. */
export function part(text: string): number {
  const value = number(text);
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError('Expected a number over 0, of 1 at the most.');
  return value;
}

/** For repeatable options. */
export const listed = (text: string, before: readonly string[] = []): string[] => [...before, text];
