/** The compiled kernels as bytes. Whatever imports this carries both binaries: about half of a bundle. */
import { BASE, RELAXED } from './binaries.gen';
import type { Binaries } from './device';

function decode(base64: string): Uint8Array<ArrayBuffer> {
  const text = atob(base64);
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

let decoded: Binaries | undefined;

/** Always the same arrays, so that each is compiled once. */
export const binaries = (): Binaries => (decoded ??= { base: decode(BASE), relaxed: decode(RELAXED) });
