/**
 * Pictures as plain RGBA pixels, and what the networks need done to them: resize, rectify, turn, normalise. No DOM, so
 * that a page and Node read a picture alike. Sampling follows OpenCV's conventions (pixel centres at half coordinates
 * in a resize, at whole ones in a warp), because the networks were trained behind it.
 */
import { type Matrix3, perspective, project, type Quad } from './geometry';

/** Rows from top to bottom, pixels from left to right, four bytes a pixel; alpha is ignored. `ImageData` is one. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint8ClampedArray;
}

/** An input or output of a network: dense, row-major. */
export interface Tensor {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

/** Bilinear resize, rounded to bytes. No smoothing first: shrinking far drops pixels, as OpenCV's INTER_LINEAR does. */
export function resize(picture: Picture, width: number, height: number): Picture {
  if (width === picture.width && height === picture.height) return picture;
  const { data: from } = picture;
  const columns = taps(picture.width, width);
  const rows = taps(picture.height, height);
  const data = new Uint8ClampedArray(width * height * 4);
  for (let y = 0, to = 0; y < height; y++) {
    const top = rows.low[y]! * picture.width;
    const bottom = rows.high[y]! * picture.width;
    const fy = rows.fraction[y]!;
    for (let x = 0; x < width; x++, to += 4) {
      const left = columns.low[x]!;
      const right = columns.high[x]!;
      const fx = columns.fraction[x]!;
      const a = (top + left) * 4;
      const b = (top + right) * 4;
      const c = (bottom + left) * 4;
      const d = (bottom + right) * 4;
      for (let k = 0; k < 4; k++) {
        const upper = from[a + k]! + (from[b + k]! - from[a + k]!) * fx;
        const lower = from[c + k]! + (from[d + k]! - from[c + k]!) * fx;
        data[to + k] = upper + (lower - upper) * fy;
      }
    }
  }
  return { width, height, data };
}

/** For each of `size` outputs the two source positions it lies between, and how far it is towards the second. */
function taps(source: number, size: number): { low: Int32Array; high: Int32Array; fraction: Float64Array } {
  const low = new Int32Array(size);
  const high = new Int32Array(size);
  const fraction = new Float64Array(size);
  for (let i = 0; i < size; i++) {
    const at = Math.min(source - 1, Math.max(0, ((i + 0.5) * source) / size - 0.5));
    low[i] = Math.floor(at);
    high[i] = Math.min(source - 1, low[i]! + 1);
    fraction[i] = at - low[i]!;
  }
  return { low, high, fraction };
}

/** The picture inside a quadrilateral, straightened to a rectangle. Bicubic; beyond the border the outermost pixels repeat. */
export function rectify(picture: Picture, quad: Quad, width: number, height: number): Picture {
  return warp(picture, perspective([[0, 0], [width, 0], [width, height], [0, height]], quad), width, height); // biome-ignore format: one row
}

function warp(picture: Picture, toSource: Matrix3, width: number, height: number): Picture {
  const { data: from } = picture;
  const data = new Uint8ClampedArray(width * height * 4);
  const wx = new Float64Array(4);
  const wy = new Float64Array(4);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to += 4) {
      const [sx, sy] = project(toSource, x, y);
      const x0 = Math.floor(sx);
      const y0 = Math.floor(sy);
      cubic(sx - x0, wx);
      cubic(sy - y0, wy);
      for (let k = 0; k < 4; k++) {
        let sum = 0;
        for (let j = 0; j < 4; j++) {
          const row = clamp(y0 - 1 + j, picture.height) * picture.width;
          let line = 0;
          for (let i = 0; i < 4; i++) line += wx[i]! * from[(row + clamp(x0 - 1 + i, picture.width)) * 4 + k]!;
          sum += wy[j]! * line;
        }
        data[to + k] = sum;
      }
    }
  }
  return { width, height, data };
}

const clamp = (index: number, size: number): number => (index < 0 ? 0 : index >= size ? size - 1 : index);

/** Keys' cubic convolution with a = -0.75, OpenCV's choice; weights of the pixels at -1, 0, 1, 2. */
function cubic(t: number, weights: Float64Array): void {
  const a = -0.75;
  const near = (d: number) => ((a + 2) * d - (a + 3)) * d * d + 1;
  const far = (d: number) => ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  weights[0] = far(t + 1);
  weights[1] = near(t);
  weights[2] = near(1 - t);
  weights[3] = 1 - weights[0] - weights[1] - weights[2];
}

/** The picture turned by a quarter to the left. */
export function quarterTurnLeft({ width, height, data: from }: Picture): Picture {
  const source = pixels(from);
  const turned = new Uint32Array(width * height);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) turned[(width - 1 - x) * height + y] = source[y * width + x]!;
  return { width: height, height: width, data: new Uint8ClampedArray(turned.buffer) };
}

/** The picture upside down. */
export function halfTurn({ width, height, data }: Picture): Picture {
  return { width, height, data: new Uint8ClampedArray(pixels(data).slice().reverse().buffer) };
}

/** Whole pixels; copies only where the bytes do not start at a multiple of four. */
function pixels(data: Picture['data']): Uint32Array {
  const aligned = data.byteOffset % 4 === 0 ? data : data.slice();
  return new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4);
}

/** Mean and standard deviation of pixel values in 0..1, for the channels in the network's order. */
export interface Normalization {
  mean: readonly [number, number, number];
  deviation: readonly [number, number, number];
}

/**
 * A tensor [1, 3, height, width] with the planes in the order blue, green, red: (pixel / 255 - mean) / deviation. To the
 * right of a picture narrower than `width` it is zero.
 */
export function planes(picture: Picture, { mean, deviation }: Normalization, width = picture.width): Tensor {
  const { height, data: from } = picture;
  const data = new Float32Array(3 * height * width);
  for (let plane = 0; plane < 3; plane++) {
    const scale = 1 / (255 * deviation[plane]!);
    const offset = mean[plane]! / deviation[plane]!;
    for (let y = 0; y < height; y++) {
      let to = (plane * height + y) * width;
      let at = y * picture.width * 4 + 2 - plane;
      for (let x = 0; x < picture.width; x++, at += 4) data[to++] = from[at]! * scale - offset;
    }
  }
  return { data, shape: [1, 3, height, width] };
}
