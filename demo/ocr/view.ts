/**
 * What networks are shown of a picture: a quadrilateral of it, at some size. A view makes its own tensor, as OpenCV would, for
 * networks that take numbers; one that has the picture itself, on a GPU, only needs to be told where to look.
 */
import type { Point, Quad } from './geometry';
import { halfTurn, type Normalization, type Picture, planes, quarterTurnLeft, rectify, resize, type Tensor } from './picture';

/** A part of a picture as a rectangle of `width` x `height` pixels, read from left to right. */
export interface Part {
  /** Where in the picture the rectangle's corners lie. */
  readonly quad: Quad;
  readonly width: number;
  readonly height: number;
  /** Made when first asked for. */
  pixels(): Picture;
}

/** One input of a network, `height` x `width`: the quadrilateral fills `columns` of it, and the rest to the right is zero. */
export interface View {
  readonly quad: Quad;
  readonly height: number;
  readonly width: number;
  readonly columns: number;
  /** The input [1, 3, height, width]. */
  tensor(): Tensor;
}

function part(quad: Quad, width: number, height: number, make: () => Picture): Part {
  let made: Picture | undefined;
  return { quad, width, height, pixels: () => (made ??= make()) };
}

export function whole(picture: Picture): Part {
  const { width, height } = picture;
  return part([[0, 0], [width, 0], [width, height], [0, height]], width, height, () => picture); // biome-ignore format: one row
}

/**
 * What lies in a quadrilateral, straightened to a rectangle as wide and high as its longer sides, and turned a quarter to the left
 * if it is tall (a vertical line).
 */
export function straightened(picture: Picture, quad: Quad): Part {
  const [tl, tr, br, bl] = quad;
  const width = Math.max(1, Math.trunc(Math.max(distance(tl, tr), distance(bl, br))));
  const height = Math.max(1, Math.trunc(Math.max(distance(tl, bl), distance(tr, br))));
  const upright = () => rectify(picture, quad, width, height);
  if (height < width * 1.5) return part(quad, width, height, upright);
  return part([tr, br, bl, tl], height, width, () => quarterTurnLeft(upright()));
}

const distance = (a: Point, b: Point): number => Math.hypot(a[0] - b[0], a[1] - b[1]);

/** The same part, turned by half a turn. */
export function upsideDown({ quad: [tl, tr, br, bl], width, height, pixels }: Part): Part {
  return part([br, bl, tl, tr], width, height, () => halfTurn(pixels()));
}

/** The part resized to `height` x `columns`, and normalised. */
export function viewOf(
  { quad, pixels }: Part,
  normalization: Normalization,
  { height, width, columns = width }: { height: number; width: number; columns?: number },
): View {
  return { quad, height, width, columns, tensor: () => planes(resize(pixels(), columns, height), normalization, width) };
}
