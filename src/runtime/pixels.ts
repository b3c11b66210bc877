/** From the page's picture elements to pixels. Only the page's thread can read most of them, so this runs there. */
import { WaferError } from '../core/errors';
import { isPixels, type Pixels } from './image';

/** Whatever a 2D canvas can draw. */
export type Drawable = Exclude<CanvasImageSource, SVGImageElement>;

/** That, or pixels as they are. */
export type Picture = Pixels | Drawable;

/** Whether it is something that a canvas can draw. */
export const isDrawable = (x: object): x is Drawable => drawnSize(x) !== undefined;

export const isBitmap = (x: object): x is ImageBitmap => is(x, 'ImageBitmap');

/** Throws ARGUMENT for one that is empty. */
export function sizeOfDrawable(x: Drawable): { width: number; height: number } {
  const [width, height] = drawnSize(x) ?? [0, 0];
  if (!width || !height) throw new WaferError('ARGUMENT', 'the picture is empty', { hint: 'wait until it has loaded' });
  return { width, height };
}

/** Throws ARGUMENT for a picture that is empty or may not be read. */
export function pixelsOf(x: Picture): Pixels {
  if (isPixels(x)) return { data: x.data, width: x.width, height: x.height };
  const { width, height } = sizeOfDrawable(x);
  const context = canvas(width, height).getContext('2d', { willReadFrequently: true }) as CanvasRenderingContext2D;
  try {
    context.drawImage(x, 0, 0, width, height);
    return context.getImageData(0, 0, width, height);
  } catch (error) {
    throw new WaferError('ARGUMENT', `the picture cannot be read (${error})`, {
      hint: 'pictures from another origin need crossorigin="anonymous" and the server’s consent',
    });
  }
}

const is = (x: object, type: string): boolean => {
  const known = (globalThis as Record<string, unknown>)[type];
  return typeof known === 'function' && x instanceof known;
};

/** Width and height of what can be drawn. */
function drawnSize(x: object): [number, number] | undefined {
  if (is(x, 'HTMLImageElement')) return [(x as HTMLImageElement).naturalWidth, (x as HTMLImageElement).naturalHeight];
  if (is(x, 'HTMLVideoElement')) return [(x as HTMLVideoElement).videoWidth, (x as HTMLVideoElement).videoHeight];
  if (is(x, 'VideoFrame')) return [(x as VideoFrame).displayWidth, (x as VideoFrame).displayHeight];
  if (is(x, 'HTMLCanvasElement') || is(x, 'OffscreenCanvas') || is(x, 'ImageBitmap'))
    return [(x as ImageBitmap).width, (x as ImageBitmap).height];
  return undefined;
}

function canvas(width: number, height: number): OffscreenCanvas | HTMLCanvasElement {
  if (typeof OffscreenCanvas === 'function') return new OffscreenCanvas(width, height);
  return Object.assign(document.createElement('canvas'), { width, height });
}
