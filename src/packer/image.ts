/**
 * Pictures from files. PNG and JPEG are decoded here in plain JavaScript; other formats need the optional package sharp.
 * How pixels become a tensor is the runtime's business (runtime/image.ts), so that calibration sees what pages see.
 */
import jpeg from 'jpeg-js';
import { PNG } from 'pngjs';
import { WaferError } from '../core/errors';
import type { Pixels } from '../runtime/image';
import { optionalPackage } from './optional';

export const IMAGE_NAMES = /\.(?:png|jpe?g|webp|avif|gif|tiff?|bmp)$/i;

const MAX_PIXELS = 1 << 27;

/** `name` is for error messages. Throws BAD_FILE, and NOT_FOUND when the format needs sharp. */
export async function decodeImage(bytes: Uint8Array, name: string): Promise<Pixels> {
  const isPng = bytes[0] === 0x89 && bytes[1] === 0x50;
  const isJpeg = bytes[0] === 0xff && bytes[1] === 0xd8;
  try {
    if (isPng) return decodePng(bytes, name);
    if (isJpeg) return jpeg.decode(bytes, { useTArray: true, formatAsRGBA: true, maxResolutionInMP: MAX_PIXELS / 1e6 });
    const { default: sharp } = await optionalPackage<{ default: Sharp }>('sharp', `read ${name}`);
    const { data, info } = await sharp(bytes).ensureAlpha().raw().toBuffer({ resolveWithObject: true });
    return { width: info.width, height: info.height, data: new Uint8Array(data) };
  } catch (error) {
    if (error instanceof WaferError) throw error;
    throw new WaferError('BAD_FILE', `${name} is not a usable image: ${(error as Error).message}`);
  }
}

/** What Wafer uses of sharp's interface. */
type Sharp = (bytes: Uint8Array) => {
  ensureAlpha(): {
    raw(): {
      toBuffer(options: { resolveWithObject: true }): Promise<{ data: Uint8Array; info: { width: number; height: number } }>;
    };
  };
};

function decodePng(bytes: Uint8Array, name: string): Pixels {
  const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 24 || !(header.getUint32(16) * header.getUint32(20) <= MAX_PIXELS))
    throw new WaferError('BAD_FILE', `${name} is not a usable image: its size is missing or too large`);
  const { width, height, data } = PNG.sync.read(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  return { width, height, data };
}
