/** What Node and the pages do alike: draw a run's inputs, and put all that it gives into one text. */
import { crc32 } from '../../src/core/crc';
import { bytesOf } from '../../src/core/dtype';
import type { Inputs } from '../../src/format/golden';
import { goldenSample } from '../../src/runtime/golden';
import type { TensorData, TensorInput } from '../../src/runtime/session';

/** Values of a network's free dimensions by name. */
export type Sizes = Readonly<Record<string, number>>;

/** The inputs drawn for a seed, times `gain`: a power of 2, so that every engine draws the same bits. */
export function drawnInputs(graph: Inputs, sizes: Sizes, seed: number, gain: number): Record<string, TensorInput> {
  const sample = goldenSample(graph, { seed, bindings: new Map(Object.entries(sizes)) });
  for (const { data } of Object.values(sample)) if (data instanceof Float32Array) data.forEach((v, i) => (data[i] = v * gain));
  return sample;
}

/** Name, type, shape and checksum of every output: equal for equal bytes. */
export const sumOf = (outputs: Readonly<Record<string, TensorData>>): string =>
  Object.entries(outputs)
    .map(([name, { data, dtype, shape }]) => `${name} ${dtype}[${shape}] ${crc32(bytesOf(data)).toString(16).padStart(8, '0')}`)
    .join(', ');
