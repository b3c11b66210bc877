/** The compiled kernels as bytes. Whatever imports this carries both binaries: a good part of a bundle. */
import { BASE, RELAXED } from './binaries.gen';
import type { Binaries } from './device';
import { decodeText } from './text';

let base: Binaries['base'] | undefined;
let relaxed: Binaries['relaxed'] | undefined;

/** Decoded when they are asked for. */
const decoded: Binaries = {
  get base() {
    return (base ??= decodeText(BASE));
  },
  get relaxed() {
    return (relaxed ??= decodeText(RELAXED));
  },
};

/** Always the same arrays, so that each is compiled once. */
export const binaries = (): Binaries => decoded;
