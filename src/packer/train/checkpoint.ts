/** Where a training stands, as an .npz: it goes on from there to the bytes that it would have come to. */
import { renameSync, writeFileSync } from 'node:fs';
import { WaferError } from '../../core/errors';
import { type NpyArray, readNpz, writeNpz } from '../npy';
import type { Memory } from './replica';

/** An epoch that is done. */
export interface EpochReport {
  /** From 1. */
  epoch: number;
  /** Mean over the epoch's batches. */
  loss: number;
  /** Part of the test examples whose class was found; absent where it was not tested. */
  top1?: number;
  /**
   * Where test examples have no classes, how far the teacher is agreed with: the part of the places at which the same class is the
   * likeliest, or of outputs that are no classes the part of their variance that is got.
   */
  agreement?: number;
  learningRate: number;
}

export interface Standing {
  /** The step that comes next. */
  step: number;
  /** Sum of losses in the epoch that is underway. */
  loss: number;
  history: EpochReport[];
  /** Of the model, the data and the options: what must be the same to go on. */
  signature: string;
}

/** All that training changes, by names. */
const vectorsOf = ({ parameters, states, moments, averages }: Memory): [string, Float32Array][] => [
  ['parameters', parameters],
  ['states', states],
  ...moments.map((moment, i): [string, Float32Array] => [`moment${i}`, moment]),
  ...Object.entries(averages ?? {}).map(([name, data]): [string, Float32Array] => [`averages.${name}`, data]),
];

export function writeCheckpoint(path: string, standing: Standing, memory: Memory): void {
  const floats = (data: Float32Array): NpyArray => ({ dtype: 'f32', shape: [data.length], data: Float32Array.from(data) });
  const text = new TextEncoder().encode(JSON.stringify(standing));
  const arrays = new Map<string, NpyArray>([
    ['standing', { dtype: 'u8', shape: [text.length], data: text }],
    ...vectorsOf(memory).map(([name, data]): [string, NpyArray] => [name, floats(data)]),
  ]);
  // What is there is whole at any moment.
  const draft = `${path}.new`;
  try {
    writeFileSync(draft, writeNpz(arrays));
    renameSync(draft, path);
  } catch (error) {
    throw new WaferError('NOT_FOUND', `"${path}" cannot be written: ${(error as Error).message}`, {
      hint: 'choose another place',
    });
  }
}

/** Puts what the checkpoint holds into `memory`. Throws BAD_FILE, and ARGUMENT where it is of another training. */
export function readCheckpoint(bytes: Uint8Array, signature: string, memory: Memory): Standing {
  const arrays = readNpz(bytes);
  const bad = (what: string) =>
    new WaferError('BAD_FILE', `not a usable checkpoint: ${what}`, { hint: 'start without --resume' });
  const text = arrays.get('standing');
  if (!text) throw bad('it does not say where the training stands');
  let standing: Standing;
  try {
    standing = JSON.parse(new TextDecoder().decode(text.data as Uint8Array)) as Standing;
  } catch {
    throw bad('what it says of the training cannot be read');
  }
  if (standing.signature !== signature)
    throw new WaferError('ARGUMENT', 'the checkpoint is of another training', {
      hint: 'the model, the data, the number of workers and all options must be those that it was made with',
    });
  for (const [name, target] of vectorsOf(memory)) {
    const array = arrays.get(name);
    if (array?.dtype !== 'f32' || array.data.length !== target.length) throw bad(`"${name}" is missing or of another size`);
    target.set(array.data);
  }
  return standing;
}
