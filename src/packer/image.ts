/**
 * Pictures from files. PNG and JPEG are decoded here in plain JavaScript; other formats need the optional package sharp.
 * How pixels become a tensor is the runtime's business (runtime/image.ts), so that calibration sees what pages see.
 */
import { inflateSync } from 'node:zlib';
import jpeg from 'jpeg-js';
import { PNG } from 'pngjs';
import { WaferError } from '../core/errors';
import type { Pixels } from '../runtime/image';
import { optionalPackage } from './optional';

export const IMAGE_NAMES = /\.(?:png|jpe?g|webp|avif|gif|tiff?|bmp)$/i;

const MAX_PIXELS = 1 << 27;
/** More pixels than a byte of any real JPEG makes: each block of 8 x 8 takes a bit or more. */
const JPEG_PIXELS_A_BYTE = 1024;

/** First bytes (as Latin-1) of what sharp reads. */
const OTHER_FORMATS = /^(?:GIF8|BM|II\*|MM\0\*|RIFF[\s\S]{4}WEBP|[\s\S]{4}ftyp)/;

/** `name` is for error messages. Throws BAD_FILE, and NOT_FOUND when the format needs sharp. */
export async function decodeImage(bytes: Uint8Array, name: string): Promise<Pixels> {
  const isPng = bytes[0] === 0x89 && bytes[1] === 0x50;
  const isJpeg = bytes[0] === 0xff && bytes[1] === 0xd8;
  try {
    if (isPng) return decodePng(bytes);
    if (isJpeg) return decodeJpeg(bytes);
    if (!OTHER_FORMATS.test(String.fromCharCode(...bytes.subarray(0, 16)))) throw new Error('it is in no format that is known');
    const { default: sharp } = await optionalPackage<{ default: Sharp }>('sharp', `read ${name}`);
    const { data, info } = await sharp(bytes).ensureAlpha().raw().toBuffer({ resolveWithObject: true });
    return { width: info.width, height: info.height, data: new Uint8Array(data) };
  } catch (error) {
    if (error instanceof WaferError) throw error;
    throw new WaferError('BAD_FILE', `not a usable image: ${(error as Error).message}`, {
      node: name,
      hint: 'is it whole? An image program can save it again, as PNG or JPEG',
    });
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

function decodeJpeg(bytes: Uint8Array): Pixels {
  const most = Math.min(MAX_PIXELS, JPEG_PIXELS_A_BYTE * bytes.length);
  return jpeg.decode(bytes, {
    useTArray: true,
    formatAsRGBA: true,
    tolerantDecoding: false,
    maxResolutionInMP: most / 1e6,
  });
}

function decodePng(bytes: Uint8Array): Pixels {
  const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 29 || !(header.getUint32(16) * header.getUint32(20) <= MAX_PIXELS))
    throw new Error('its size is missing or too large');
  checkRows(header);
  const { width, height, data } = PNG.sync.read(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  return { width, height, data };
}

/** Samples a pixel by a PNG's colour type. */
const SAMPLES: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** The decoder takes missing rows as black. Throws when the file does not hold them all. */
function checkRows(png: DataView): void {
  const [width, height, depth, colour] = [png.getUint32(16), png.getUint32(20), png.getUint8(24), png.getUint8(25)];
  const parts: Uint8Array[] = [];
  for (let at = 8; at + 12 <= png.byteLength; at += 12 + png.getUint32(at))
    if (png.getUint32(at + 4) === IDAT)
      parts.push(new Uint8Array(png.buffer, png.byteOffset + at + 8, Math.min(png.getUint32(at), png.byteLength - at - 8)));
  const rows = height * Math.ceil((width * depth * (SAMPLES[colour] ?? 0)) / 8);
  // Interlaced pictures have more rows, not fewer bytes; each row has a byte more.
  const inflated = inflateSync(Buffer.concat(parts), { maxOutputLength: 2 * rows + 8 * height + 64 });
  if (inflated.length < rows + height) throw new Error('rows are missing');
}

/** `IDAT`, as a big-endian number. */
const IDAT = 0x49444154;
