/** Models that a verb changes: .wafer files of floats, and ONNX models, which are packed first. */
import { basename } from 'node:path';
import { WaferError } from '../core/errors';
import type { WaferModel } from '../format/model';
import { readWafer } from '../format/reader';
import { pack } from '../packer/pack';
import { readBytes } from './files';
import { type ImageFlags, imageProcessing } from './images';
import { externalData, inputOption } from './pack';

export interface SourceFlags extends ImageFlags {
  input: Record<string, string>;
}

/** `bytes` is the size of the source. Throws NOT_FOUND, BAD_FILE, BAD_MODEL, and ARGUMENT for a model of integers. */
export async function readSource(path: string, flags: SourceFlags): Promise<{ model: WaferModel; bytes: number }> {
  const bytes = await readBytes(path);
  if (!path.endsWith('.wafer')) {
    const inputs = Object.fromEntries(Object.entries(flags.input).map(([name, text]) => [name, inputOption(name, text)]));
    const { model } = await pack(bytes, {
      ...{ name: basename(path), inputs, externalData: (file: string) => externalData(path, file) },
      images: (inputs) => imageProcessing(flags, inputs),
    });
    return { model, bytes: bytes.length };
  }
  const model = readWafer(bytes);
  if (model.graph.nodes.some(({ outputs }) => outputs.some(({ type }) => type.quant)))
    throw new WaferError('ARGUMENT', `"${path}" is quantised already`, { hint: 'start from the file of floats' });
  return { model, bytes: bytes.length };
}
