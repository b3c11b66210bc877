/** CIFAR-10's binary format: records of a label byte and the planes of red, green and blue of 32 x 32 pixels. */
import { WaferError } from '../core/errors';
import type { Pixels } from '../runtime/image';

export interface LabelledImage {
  label: number;
  pixels: Pixels;
}

const SIDE = 32;
const PLANE = SIDE * SIDE;
const RECORD = 1 + 3 * PLANE;

export const CIFAR_NAMES = /\.bin$/i;

/** Throws BAD_FILE. */
export function readCifar(bytes: Uint8Array, name: string): LabelledImage[] {
  if (bytes.length === 0 || bytes.length % RECORD !== 0)
    throw new WaferError('BAD_FILE', `${name} has ${bytes.length} bytes, which are no records of ${RECORD}`, {
      hint: "data is to be in CIFAR-10's binary format",
    });
  return Array.from({ length: bytes.length / RECORD }, (_, i) => {
    const [label, ...planes] = bytes.subarray(i * RECORD, (i + 1) * RECORD);
    const data = new Uint8Array(4 * PLANE).fill(255);
    planes.forEach((v, k) => (data[(k % PLANE) * 4 + Math.floor(k / PLANE)] = v));
    return { label: label!, pixels: { data, width: SIDE, height: SIDE } };
  });
}
