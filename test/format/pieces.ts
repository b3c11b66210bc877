/** Files that arrive in pieces. */
import type { WaferModel } from '../../src/format/model';
import type { Codec } from '../../src/format/rans';
import { WaferReader } from '../../src/format/reader';

/** `file` in pieces of drawn lengths, some of them empty. `next` gives numbers in [0, 1). */
export function piecesOf(file: Uint8Array, next: () => number): Uint8Array<ArrayBuffer>[] {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  const most = 2 + file.length * next() ** 3;
  for (let at = 0; at < file.length; ) {
    const length = Math.floor(most * next());
    pieces.push(file.slice(at, at + length));
    at += length;
  }
  return pieces;
}

/** As `readWafer`, of a file that arrives so. */
export function readPieces(file: Uint8Array, next: () => number, codec?: Codec): WaferModel {
  const reader = new WaferReader(codec);
  for (const piece of piecesOf(file, next)) reader.push(piece);
  return reader.end();
}
