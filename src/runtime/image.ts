/** From pictures to input tensors, as the file's image processing says. */
import { type Dim, isStatic } from '../core/dim';
import { allocate } from '../core/dtype';
import { WaferError } from '../core/errors';
import type { Shape, StaticShape } from '../core/shape';
import type { ImageProcessing } from '../format/model';

/** Pixels as an ImageData has them: RGBA, 8 bits each, rows from the top. */
export interface Pixels {
  readonly data: Uint8ClampedArray | Uint8Array;
  readonly width: number;
  readonly height: number;
}

export function isPixels(x: object): x is Pixels {
  return 'data' in x && 'width' in x && 'height' in x && ArrayBuffer.isView(x.data) && !('shape' in x);
}

/** A point of a picture, in pixels from its top left corner: [0, 0] to [width, height]. */
export type Point = readonly [x: number, y: number];

/** What of a picture an input shows, and how large. */
export interface Framing {
  /** Corners of the part that is seen, which is straightened: top left, top right, bottom right, bottom left. Default: all of it. */
  quad?: readonly [Point, Point, Point, Point];
  /** Columns of the input that it fills; those to the right of it are 0. Default: all. */
  columns?: number;
}

/** A picture that becomes an input of `height` x `width`. */
export interface ImageRequest<Image = Pixels> extends Framing {
  readonly image: Image;
  readonly height: number;
  readonly width: number;
  readonly processing: ImageProcessing;
}

/** Height and width of the input of this shape: `free` where the model leaves them free. */
export function inputSize(shape: Shape, { layout }: ImageProcessing, free: Size): Size {
  const [height, width] = layout === 'nhwc' ? [shape[1], shape[2]] : [shape[2], shape[3]];
  const size = (dim: Dim | undefined, otherwise: number) => (dim !== undefined && isStatic(dim) ? dim : otherwise);
  return { height: size(height, free.height), width: size(width, free.width) };
}

interface Size {
  height: number;
  width: number;
}

/** The input's shape. */
export function imageShape({ height, width, processing }: ImageRequest<unknown>): StaticShape {
  const planes = planesOf(processing);
  return processing.layout === 'nhwc' ? [1, height, width, planes] : [1, planes, height, width];
}

export const planesOf = ({ channels }: ImageProcessing): number => (channels === 'gray' ? 1 : 3);

/** From where in a 3 x 3 matrix's plane: [x, y, 1] of the unit square to [x·w, y·w, w] of the picture, row by row. */
export type Homography = readonly [number, number, number, number, number, number, number, number, number];

/**
 * The unit square onto the part of the picture that is seen, as a perspective (Heckbert, "Fundamentals of Texture Mapping and Image
 * Warping", 1989). Throws ARGUMENT for corners that lie on a line.
 */
export function homographyOf({ width, height }: Size, { quad }: Framing): Homography {
  const all = [[0, 0], [width, 0], [width, height], [0, height]] as const; // biome-ignore format: one row
  const [[x0, y0], [x1, y1], [x2, y2], [x3, y3]] = checkedQuad(quad ?? all);
  const [sx, sy] = [x0 - x1 + x2 - x3, y0 - y1 + y2 - y3];
  const [ax, ay, bx, by] = [x1 - x2, y1 - y2, x3 - x2, y3 - y2];
  const area = ax * by - bx * ay;
  if (!area) throw new WaferError('ARGUMENT', 'the corners of a quad lie on a line', { hint: 'give four corners, clockwise' });
  const [g, h] = [(sx * by - bx * sy) / area, (ax * sy - sx * ay) / area];
  return [x1 - x0 + g * x1, x3 - x0 + h * x3, x0, y1 - y0 + g * y1, y3 - y0 + h * y3, y0, g, h, 1];
}

function checkedQuad(quad: NonNullable<Framing['quad']>): NonNullable<Framing['quad']> {
  const isPoint = (p: unknown) => Array.isArray(p) && p.length === 2 && p.every((v) => Number.isFinite(v));
  if (Array.isArray(quad) && quad.length === 4 && quad.every(isPoint)) return quad;
  throw new WaferError('ARGUMENT', `a quad is four corners [x, y], got ${JSON.stringify(quad)}`, {
    hint: 'top left, top right, bottom right, bottom left, in pixels of the picture',
  });
}

/**
 * The picture as one f32 tensor: resampled bilinearly (half-pixel centres, edges clamped), then y = (pixel - mean[c]) * scale[c] with
 * pixels in 0..255. Alpha is ignored. `gray` is the luma of Rec. 601. Throws ARGUMENT, MEMORY.
 */
export function imageTensor(request: ImageRequest): { data: Float32Array; shape: StaticShape } {
  const { image, height, width, processing, columns = width } = request;
  const { layout, channels, mean, scale } = processing;
  const planes = planesOf(processing);
  const data = allocate('f32', planes * height * width) as Float32Array;
  const [pixelStride, planeStride] = layout === 'nhwc' ? [planes, 1] : [1, height * width];
  const [a, b, c, d, e, f, g, h, i] = homographyOf(image, request);
  const { data: rgba, width: stride } = image;
  const order = channels === 'bgr' ? [2, 1, 0] : [0, 1, 2];
  const pixel = [0, 0, 0];
  for (let y = 0; y < height; y++) {
    const v = (y + 0.5) / height;
    for (let x = 0; x < columns; x++) {
      const u = (x + 0.5) / columns;
      const depth = g * u + h * v + i;
      const [x0, x1, fx] = tap((a * u + b * v + c) / depth - 0.5, image.width);
      const [y0, y1, fy] = tap((d * u + e * v + f) / depth - 0.5, image.height);
      const at = [(y0 * stride + x0) * 4, (y0 * stride + x1) * 4, (y1 * stride + x0) * 4, (y1 * stride + x1) * 4] as const;
      for (let k = 0; k < 3; k++) {
        const top = rgba[at[0] + k]! * (1 - fx) + rgba[at[1] + k]! * fx;
        const bottom = rgba[at[2] + k]! * (1 - fx) + rgba[at[3] + k]! * fx;
        pixel[k] = top * (1 - fy) + bottom * fy;
      }
      if (planes === 1) pixel[0] = 0.299 * pixel[0]! + 0.587 * pixel[1]! + 0.114 * pixel[2]!;
      const to = (y * width + x) * pixelStride;
      for (let k = 0; k < planes; k++) {
        const value = pixel[planes === 1 ? 0 : order[k]!]!;
        data[to + k * planeStride] = (value - (mean[k] ?? 0)) * (scale[k] ?? 1);
      }
    }
  }
  return { data, shape: imageShape(request) };
}

/** The two of `size` pixels that a place lies between, and how far it is towards the second. */
function tap(place: number, size: number): [low: number, high: number, fraction: number] {
  const at = Math.min(Math.max(place, 0), size - 1);
  const low = Math.floor(at);
  return [low, Math.min(low + 1, size - 1), at - low];
}
