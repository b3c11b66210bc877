/** The pipeline over models that Wafer has loaded on a page. */
import type { Model } from '../../src/index';
import type { Picture, Tensor } from './picture';
import type { Models, Network, Stage } from './read';

/** A picture as a page has it: a bitmap, which a GPU takes as it is; its pixels are read when a network wants a tensor of them. */
export class BitmapPicture implements Picture {
  private pixels: ImageData | undefined;

  constructor(readonly bitmap: ImageBitmap) {}

  get width(): number {
    return this.bitmap.width;
  }

  get height(): number {
    return this.bitmap.height;
  }

  get data(): Uint8ClampedArray {
    this.pixels ??= pixelsOf(this.bitmap);
    return this.pixels.data;
  }
}

function pixelsOf(bitmap: ImageBitmap): ImageData {
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d', { willReadFrequently: true })!;
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

/** With `image`, the picture that is read, models look at it themselves, which a GPU does; without they are given tensors. */
export function waferNetworks(models: Readonly<Record<Stage, Model>>, image?: ImageBitmap): Models {
  const network =
    (model: Model): Network =>
    async (view) => {
      const { quad, height, width, columns } = view;
      const x = image ? { image, quad, height, width, columns } : view.tensor();
      const [output] = Object.values(await model.run({ x }));
      return output as Tensor;
    };
  const { detect, classify, recognize } = models;
  return {
    detect: network(detect),
    classify: network(classify),
    recognize: network(recognize),
    labels: recognize.labels ?? [],
  };
}
