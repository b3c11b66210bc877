/** Reading and writing the files that verbs are given, and the arguments that name them. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { WaferError } from '../core/errors';
import type { WaferModel } from '../format/model';
import { readWafer } from '../format/reader';

/** Throws NOT_FOUND. */
export async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'there is no file' : code === 'EISDIR' ? 'a folder, not a file, is' : `${code} for`;
    throw new WaferError('NOT_FOUND', `${why} "${path}"`);
  }
}

/** Makes the folders that are missing. Throws NOT_FOUND. */
export async function writeBytes(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes);
  } catch (error) {
    throw new WaferError('NOT_FOUND', `"${path}" cannot be written: ${(error as NodeJS.ErrnoException).code}`);
  }
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

export function positiveInt(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('Expected a positive integer.');
  return value;
}

/** `0.5,0.5,1` */
export function numberList(text: string): number[] {
  const values = text.split(',').map(Number);
  if (text.trim() === '' || values.some((v) => !Number.isFinite(v)))
    throw new InvalidArgumentError('Expected numbers, as in 0.5,0.5,1.');
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
  const [name, value] = text.split('=');
  if (!name || value === undefined) throw new InvalidArgumentError('Expected NAME=N.');
  return { ...before, [name]: positiveInt(value) };
}

export function nonNegative(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0)) throw new InvalidArgumentError('Expected a number that is not negative.');
  return value;
}
