/** Checks a file as thoroughly as can be done without running it: what `wafer verify` does first. */
import type { WaferModel } from './model';
import { readWhole } from './reader';
import type { Section } from './sections';
import { writeWafer } from './writer';

export interface Verified {
  model: WaferModel;
  sections: readonly Section[];
  /** The file is, byte for byte, what this version writes for its model. Not so when a newer one added sections. */
  canonical: boolean;
}

/** Checksums, structure, types of all values, and that golden runs fit the graph. Throws BAD_FILE. */
export function verify(file: Uint8Array): Verified {
  const { model, sections } = readWhole(file);
  const again = writeWafer(model!);
  return {
    model: model!,
    sections,
    canonical: again.length === file.length && again.every((byte, i) => byte === file[i]),
  };
}
