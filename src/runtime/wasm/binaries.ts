/** The compiled kernels as bytes. Whatever imports this carries both binaries: a good part of a bundle. */
import { BASE, RELAXED } from './binaries.gen';
import type { Binaries } from './device';
import { decodeText } from './text';

let decoded: Binaries | undefined;

/** Always the same arrays, so that each is compiled once. */
export const binaries = (): Binaries => (decoded ??= { base: decodeText(BASE), relaxed: decodeText(RELAXED) });
