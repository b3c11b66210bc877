/** What models are evaluated on: samples, and what is known of them by the names of their folders, a list beside them or their file. */
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { nearest, WaferError } from '../../core/errors';
import type { Value } from '../../graph/ir';
import { readSample, type SampleOptions, sampleFiles, samplesOf, spread } from '../calibration';
import { pickExamples, placesOf } from '../data/dataset';
import { holdsRecords, loadDataset } from '../data/load';
import { drawItems } from './draw';
import type { Sample } from './engine';

/** A sample, and what is known of it: its class, or the text in it. */
export interface Example {
  name: string;
  sample: Sample;
  label?: number;
  text?: string;
}

export interface ExampleOptions extends Omit<SampleOptions, 'limit'> {
  /** Names of classes, by which folders may be called. */
  labels?: readonly string[] | undefined;
  /** Whether what is known of samples are texts, not classes. */
  texts?: boolean;
  /** Leaves out what `readSamples` with this limit takes. */
  without?: number | undefined;
  /** How many, at the most, of what is left. */
  limit?: number | undefined;
}

/** In a folder: a line for each file, its path there, a tab, and its class or text. */
const LIST = 'labels.txt';

/**
 * Samples from a file or folder, or the test part of a data set. A class is the folder that a file is in, as a number, a class name or
 * its place among the folders; or the data says it (an array `labels` in .npz), or `labels.txt` in the folder, which may also say the
 * text.
 * Throws as `readSamples`, and ARGUMENT when nothing is left or a class is unknown.
 */
export async function readExamples(path: string, inputs: readonly Value[], options: ExampleOptions = {}): Promise<Example[]> {
  const { without, limit } = options;
  if (holdsRecords(path)) return readRecords(path, inputs, options);
  const all = await sampleFiles(path);
  const taken = new Set(without === undefined || all.length === 1 ? [] : spread(all, without));
  const files = spread(
    all.filter((file) => !taken.has(file)),
    limit,
  );
  const knownOf = await knowledge(path, all, options);
  const examples: Example[] = [];
  for (const [i, file] of files.entries()) {
    const found = await readSample(file, inputs, options);
    examples.push(...found.map((one): Example => ({ name: basename(file), ...one, ...knownOf(file) })));
    options.onProgress?.(i + 1, files.length, basename(file));
  }
  if (examples.length === 0) throw new WaferError('ARGUMENT', `nothing in "${path}" is left to evaluate on`);
  return limit === undefined ? examples : spread(examples, limit);
}

async function readRecords(path: string, inputs: readonly Value[], options: ExampleOptions): Promise<Example[]> {
  const { without, limit } = options;
  const set = await loadDataset(path, 'test');
  const places = spread(without === undefined ? placesOf(set) : drawItems(placesOf(set), without)[1], limit);
  const name = basename(path);
  const found = samplesOf(pickExamples(set, places), name, inputs, options);
  return found.map((one, i) => ({ name: `${name} ${places[i]}`, ...one }));
}

type Known = Pick<Example, 'label' | 'text'>;

async function knowledge(path: string, files: readonly string[], options: ExampleOptions): Promise<(file: string) => Known> {
  if (!(await stat(path)).isDirectory()) return () => ({});
  const list = await readFile(join(path, LIST), 'utf8').catch(() => undefined);
  if (list !== undefined) {
    const lines = list.split(/\r?\n/).filter((line) => line.includes('\t'));
    const said = new Map(lines.map((line) => line.split('\t') as [string, string]));
    return (file) => {
      const text = said.get(relative(path, file).split(sep).join('/'));
      if (text === undefined) return {};
      return options.texts ? { text } : { label: classNamed(text, options.labels, []) };
    };
  }
  const folders = [...new Set(files.map((file) => relative(path, dirname(file))))].sort();
  if (options.texts || folders.includes('')) return () => ({});
  return (file) => ({ label: classNamed(relative(path, dirname(file)), options.labels, folders) });
}

/** Throws ARGUMENT. */
function classNamed(name: string, labels: readonly string[] | undefined, folders: readonly string[]): number {
  if (/^\d+$/.test(name)) return Number(name);
  const at = (labels ?? folders).indexOf(name);
  if (at >= 0) return at;
  const near = nearest(name, labels ?? []);
  throw new WaferError('ARGUMENT', `"${name}" is no class of the model`, {
    hint: near ? `did you mean "${near}"?` : 'classes are numbers, or names that the file holds (wafer pack --labels)',
  });
}
