/** The networks over models that Wafer has loaded on a page. */
import type { Model } from '../../src/index';
import type { Tensor } from './picture';
import type { Models, Network, Stage } from './read';

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
