/**
 * Before and after PP-OCRv4's text detector (Differentiable Binarization: Liao et al., 2020), with PaddleOCR's settings.
 * The network marks a shrunken core of each line, so that lines do not touch; boxes are grown back by `unclip`.
 */
import { contains, corners, grow, leastRectangle, type Point, type Quad, type Rectangle } from './geometry';
import type { Normalization, Picture, Tensor } from './picture';
import { type View, viewOf, whole } from './view';

const settings = {
  /** A picture whose longer side is above this is shrunk to it; pixels. */
  longest: 960,
  /** Probability above which a pixel is text. */
  threshold: 0.3,
  /** Mean probability below which a box is dropped. */
  boxThreshold: 0.6,
  /** How far a box grows: area × unclip / perimeter. */
  unclip: 1.5,
  /** Shorter side below which a core is dropped; pixels of the map. */
  least: 3,
  /** Boxes examined at most. */
  candidates: 1000,
} as const;

export const detectorNormalization: Normalization = { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] };

/** A place where the detector sees a line of text. */
export interface TextBox {
  /** Corners in pixels of the picture, whole numbers. */
  quad: Quad;
  /** Mean probability of text inside, 0..1. */
  score: number;
}

/** What the detector sees: all of the picture, with sides that are multiples of 32, as five halvings need. */
export function detectorView(picture: Picture): View {
  const ratio = Math.min(1, settings.longest / Math.max(picture.width, picture.height));
  const side = (length: number) => Math.max(32, roundToEven(Math.trunc(length * ratio) / 32) * 32);
  return viewOf(whole(picture), detectorNormalization, { height: side(picture.height), width: side(picture.width) });
}

/** The boxes in a probability map [1, 1, H, W], in reading order, for a picture of the given size. */
export function textBoxes(map: Tensor, picture: { width: number; height: number }): TextBox[] {
  const [height, width] = map.shape.slice(2) as [number, number];
  const boxes: TextBox[] = [];
  for (const outline of components(map.data, width, height).slice(0, settings.candidates)) {
    const core = leastRectangle(outline);
    if (shorter(core) < settings.least) continue;
    const score = meanInside(map.data, width, height, corners(core));
    if (score < settings.boxThreshold) continue;
    const perimeter = 2 * (core.width + core.height);
    const whole = grow(core, (core.width * core.height * settings.unclip) / perimeter);
    if (shorter(whole) < settings.least + 2) continue;
    const scaled = (length: number, from: number, to: number) => Math.min(to, Math.max(0, roundToEven((length / from) * to)));
    const quad = corners(whole).map(([x, y]): Point => [scaled(x, width, picture.width), scaled(y, height, picture.height)]);
    boxes.push({ quad: quad as unknown as Quad, score });
  }
  return inReadingOrder(boxes.filter(({ quad: [tl, tr, , bl] }) => length(tl, tr) > 3 && length(tl, bl) > 3));
}

/** Rounds halves to the even neighbour, as Python does. */
function roundToEven(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

const shorter = (rectangle: Rectangle): number => Math.min(rectangle.width, rectangle.height);
const length = (a: Point, b: Point): number => Math.hypot(a[0] - b[0], a[1] - b[1]);

/**
 * The 8-connected components of the pixels above the threshold, each as the first and last pixel of every row of it:
 * all that a convex hull can need. Ordered by their topmost pixel.
 */
function components(map: Float32Array, width: number, height: number): Point[][] {
  const isText = (at: number) => map[at]! > settings.threshold;
  const seen = new Uint8Array(map.length);
  const outlines: Point[][] = [];
  const stack: number[] = [];
  for (let start = 0; start < map.length; start++) {
    if (seen[start] || !isText(start)) continue;
    const extents = new Map<number, [left: number, right: number]>();
    seen[start] = 1;
    stack.push(start);
    while (stack.length) {
      const at = stack.pop()!;
      const x = at % width;
      const y = (at - x) / width;
      const extent = extents.get(y);
      if (!extent) extents.set(y, [x, x]);
      else if (x < extent[0]) extent[0] = x;
      else if (x > extent[1]) extent[1] = x;
      for (let ny = Math.max(0, y - 1); ny <= Math.min(height - 1, y + 1); ny++) {
        for (let nx = Math.max(0, x - 1); nx <= Math.min(width - 1, x + 1); nx++) {
          const next = ny * width + nx;
          if (seen[next] || !isText(next)) continue;
          seen[next] = 1;
          stack.push(next);
        }
      }
    }
    outlines.push([...extents].flatMap(([y, [left, right]]): Point[] => [[left, y], [right, y]])); // biome-ignore format: one row
  }
  return outlines;
}

/** The mean of the map over the pixels in the quadrilateral, whose corners are cut to whole pixels first. */
function meanInside(map: Float32Array, width: number, height: number, quad: Quad): number {
  const whole = quad.map(([x, y]): Point => [Math.trunc(x), Math.trunc(y)]) as unknown as Quad;
  const xs = whole.map(([x]) => x);
  const ys = whole.map(([, y]) => y);
  let sum = 0;
  let count = 0;
  for (let y = Math.max(0, Math.min(...ys)); y <= Math.min(height - 1, Math.max(...ys)); y++) {
    for (let x = Math.max(0, Math.min(...xs)); x <= Math.min(width - 1, Math.max(...xs)); x++) {
      if (!contains(whole, [x, y])) continue;
      sum += map[y * width + x]!;
      count++;
    }
  }
  return count ? sum / count : 0;
}

/** Top to bottom, and left to right where two boxes start within ten pixels of the same height. */
function inReadingOrder(boxes: readonly TextBox[]): TextBox[] {
  const [x, y] = [(box: TextBox) => box.quad[0][0], (box: TextBox) => box.quad[0][1]];
  const ordered = [...boxes].sort((a, b) => y(a) - y(b) || x(a) - x(b));
  for (let i = 1; i < ordered.length; i++) {
    for (let j = i; j > 0; j--) {
      const [before, box] = [ordered[j - 1]!, ordered[j]!];
      if (Math.abs(y(box) - y(before)) >= 10 || x(box) >= x(before)) break;
      ordered[j - 1] = box;
      ordered[j] = before;
    }
  }
  return ordered;
}
