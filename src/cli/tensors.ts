/** The tensors that a verb runs a model on: from .npy files, a picture, or drawn from a seed. */
import { basename } from 'node:path';
import type { Bindings } from '../core/dim';
import { isStatic } from '../core/dim';
import { nearest, WaferError } from '../core/errors';
import type { WaferModel } from '../format/model';
import { checkSample, readImageSample } from '../packer/calibration';
import type { Sample } from '../packer/evaluate/engine';
import { readNpy } from '../packer/npy';
import { bindShapes } from '../runtime/bind';
import { goldenSample } from '../runtime/golden';
import { readBytes } from './files';
import { type ImageFlags, imageProcessing } from './images';

export interface InputFlags extends ImageFlags {
  /** By input name: a .npy file. */
  input: Record<string, string>;
  image?: string;
}

/** Throws NOT_FOUND, BAD_FILE, and what does not fit the model: ARGUMENT, SHAPE, DTYPE, VALUE. */
export async function readInputs(model: WaferModel, flags: InputFlags): Promise<Sample> {
  const { inputs } = model.graph;
  if (flags.image) {
    const images = imageProcessing(flags, inputs) ?? model.images?.[0];
    return readImageSample(await readBytes(flags.image), basename(flags.image), inputs, { images, imageSize: flags.imageSize });
  }
  const sample: Record<string, Sample[string]> = {};
  for (const [name, path] of Object.entries(flags.input)) sample[name] = readNpy(await readBytes(path));
  checkSample(sample, inputs);
  return sample;
}

/**
 * Inputs drawn from a seed. Free dimensions take `sizes`, by name, else those of the file's golden run.
 * Throws ARGUMENT for a dimension that is still without a size.
 */
export function drawInputs(model: WaferModel, sizes: Readonly<Record<string, number>> = {}): Sample {
  const { graph, goldens } = model;
  const bindings = new Map([...(goldens[0]?.bindings ?? []), ...Object.entries(sizes)]);
  const free = freeDimensions(model);
  for (const name of Object.keys(sizes))
    if (!free.includes(name)) {
      const near = nearest(name, free);
      const hint = near ? `did you mean "${near}"?` : free.length ? `free are ${free.join(', ')}` : 'all its sizes are fixed';
      throw new WaferError('ARGUMENT', `the model has no free dimension "${name}"`, { hint });
    }
  const missing = free.find((name) => !bindings.has(name));
  if (missing) throw new WaferError('ARGUMENT', `dimension "${missing}" needs a size`, { hint: `--size ${missing}=64` });
  return goldenSample(graph, { seed: 1, bindings });
}

export const bindingsOf = ({ graph }: WaferModel, sample: Sample): Bindings =>
  bindShapes(graph.inputs.map(({ name, type }) => ({ name, declared: type.shape, given: [...sample[name]!.shape] })));

function freeDimensions({ graph }: WaferModel): string[] {
  const names = graph.inputs.flatMap(({ type }) =>
    type.shape.flatMap((d) =>
      isStatic(d) ? [] : d.terms.flatMap((t) => t.atoms.flatMap((a) => ('symbol' in a ? [a.symbol] : []))),
    ),
  );
  return [...new Set(names)];
}
