/**
 * Pictures from files, and as input tensors. PNG and JPEG are decoded here in plain JavaScript; other formats need the
 * optional package sharp.
 */
import jpeg from 'jpeg-js';
import { PNG } from 'pngjs';
import { WaferError } from '../core/errors';
import type { ImageProcessing } from '../format/model';
import type { TensorInput } from '../runtime/session';
import { optionalPackage } from './optional';

/** Rows of RGBA, 8 bits a channel, not premultiplied. */
export interface Pixels {
  width: number;
  height: number;
  data: Uint8Array;
}

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

/**
 * The image at another size. Each output pixel is a weighted mean under a triangle as wide as the step between output
 * pixels, at least one source pixel on each side: bilinear when enlarging, and free of aliasing when shrinking.
 */
export function resizeImage(image: Pixels, width: number, height: number): Pixels {
  if (image.width === width && image.height === height) return image;
  const across = resampleRows(image.data, image.height, image.width, width, 4);
  const data = new Float32Array(width * height * 4);
  const down = triangleWeights(image.height, height);
  down.forEach(({ first, weights }, y) => {
    weights.forEach((weight, k) => {
      const from = (first + k) * width * 4;
      for (let i = 0; i < width * 4; i++) data[y * width * 4 + i]! += weight * across[from + i]!;
    });
  });
  return { width, height, data: Uint8Array.from(data, (v) => Math.min(255, Math.max(0, Math.round(v)))) };
}

function resampleRows(data: Uint8Array, rows: number, from: number, to: number, channels: number): Float32Array {
  const out = new Float32Array(rows * to * channels);
  const columns = triangleWeights(from, to);
  for (let y = 0; y < rows; y++)
    columns.forEach(({ first, weights }, x) => {
      const at = (y * to + x) * channels;
      weights.forEach((weight, k) => {
        const source = (y * from + first + k) * channels;
        for (let c = 0; c < channels; c++) out[at + c]! += weight * data[source + c]!;
      });
    });
  return out;
}

/** For each of `to` positions: the first of the `from` positions that it reads, and their weights, which add up to 1. */
function triangleWeights(from: number, to: number): { first: number; weights: number[] }[] {
  const step = from / to;
  const reach = Math.max(1, step);
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * step - 0.5;
    const first = Math.max(0, Math.ceil(centre - reach));
    const last = Math.min(from - 1, Math.floor(centre + reach));
    const weights: number[] = [];
    for (let k = first; k <= last; k++) weights.push(1 - Math.abs(k - centre) / reach);
    const sum = weights.reduce((a, b) => a + b, 0);
    return sum > 0 ? { first, weights: weights.map((w) => w / sum) } : { first: Math.round(centre), weights: [1] };
  });
}

/** The image as a tensor of shape [1,C,H,W] or [1,H,W,C]: (pixel - mean[c]) * scale[c]; alpha is ignored. */
export function imageTensor({ width, height, data }: Pixels, how: ImageProcessing): TensorInput {
  const channels = how.channels === 'gray' ? 1 : 3;
  const order = how.channels === 'bgr' ? [2, 1, 0] : [0, 1, 2];
  const area = width * height;
  const out = new Float32Array(area * channels);
  for (let c = 0; c < channels; c++) {
    const mean = how.mean[c % how.mean.length] ?? 0;
    const scale = how.scale[c % how.scale.length] ?? 1;
    for (let i = 0; i < area; i++) {
      const value = channels === 1 ? luma(data, i * 4) : data[i * 4 + order[c]!]!;
      out[how.layout === 'nchw' ? c * area + i : i * channels + c] = (value - mean) * scale;
    }
  }
  return { data: out, shape: how.layout === 'nchw' ? [1, channels, height, width] : [1, height, width, channels] };
}

/** Rec. 601, as PIL's convert("L"). */
const luma = (data: Uint8Array, at: number): number => 0.299 * data[at]! + 0.587 * data[at + 1]! + 0.114 * data[at + 2]!;
