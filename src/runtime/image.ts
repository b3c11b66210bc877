/** From pixels to an input tensor, as the file's image processing says. */
import { allocate } from '../core/dtype';
import type { StaticShape } from '../core/shape';
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

/**
 * The image as one f32 tensor of `height` x `width`: resized bilinearly (half-pixel centres, edges clamped), then
 * y = (pixel - mean[c]) * scale[c] with pixels in 0..255. Alpha is ignored. `gray` is the luma of Rec. 601.
 * Throws MEMORY.
 */
export function imageTensor(
  image: Pixels,
  height: number,
  width: number,
  { layout, channels, mean, scale }: ImageProcessing,
): { data: Float32Array; shape: StaticShape } {
  const planes = channels === 'gray' ? 1 : 3;
  const data = allocate('f32', planes * height * width) as Float32Array;
  const [pixelStride, planeStride] = layout === 'nhwc' ? [planes, 1] : [1, height * width];
  const columns = taps(width, image.width);
  const rows = taps(height, image.height);
  const { data: rgba, width: stride } = image;
  const order = channels === 'bgr' ? [2, 1, 0] : [0, 1, 2];
  const pixel = [0, 0, 0];
  for (let y = 0; y < height; y++) {
    const { low: y0, high: y1, weight: v } = rows[y]!;
    for (let x = 0; x < width; x++) {
      const { low: x0, high: x1, weight: u } = columns[x]!;
      const at = [(y0 * stride + x0) * 4, (y0 * stride + x1) * 4, (y1 * stride + x0) * 4, (y1 * stride + x1) * 4] as const;
      for (let c = 0; c < 3; c++) {
        const top = rgba[at[0] + c]! * (1 - u) + rgba[at[1] + c]! * u;
        const bottom = rgba[at[2] + c]! * (1 - u) + rgba[at[3] + c]! * u;
        pixel[c] = top * (1 - v) + bottom * v;
      }
      if (channels === 'gray') pixel[0] = 0.299 * pixel[0]! + 0.587 * pixel[1]! + 0.114 * pixel[2]!;
      const to = (y * width + x) * pixelStride;
      for (let c = 0; c < planes; c++) {
        const value = pixel[planes === 1 ? 0 : order[c]!]!;
        data[to + c * planeStride] = (value - (mean[c] ?? 0)) * (scale[c] ?? 1);
      }
    }
  }
  return { data, shape: layout === 'nhwc' ? [1, height, width, planes] : [1, planes, height, width] };
}

interface Tap {
  low: number;
  high: number;
  /** Of `high`. */
  weight: number;
}

/** For each of `to` positions, the two of `from` positions it lies between. */
function taps(to: number, from: number): Tap[] {
  return Array.from({ length: to }, (_, i) => {
    const at = Math.min(Math.max(((i + 0.5) * from) / to - 0.5, 0), from - 1);
    const low = Math.floor(at);
    return { low, high: Math.min(low + 1, from - 1), weight: at - low };
  });
}
