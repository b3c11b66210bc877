/** A trained graph as a `.wafer` file: with its classes' names, how pictures become its input, and what was done. */
import { createHash } from 'node:crypto';
import { version } from '../../../package.json';
import type { ImageProcessing, WaferModel } from '../../format/model';
import { readWafer } from '../../format/reader';
import { writeWafer } from '../../format/writer';
import { binaries } from '../../runtime/wasm/binaries';
import { type Dataset, isPictures } from '../data/dataset';
import { wasmEngine } from '../evaluate/engine';
import { goldenRun } from '../pack';
import type { Trained } from './train';

export interface Source {
  name: string;
  bytes: Uint8Array;
}

/** The same training gives the same bytes. */
export async function trainedFile(
  trained: Trained,
  set: Dataset,
  source: Source,
  recipe: readonly string[],
): Promise<Uint8Array> {
  const { graph, history } = trained;
  const images = processingOf(trained, set);
  const top1 = history.at(-1)?.top1;
  const draft: WaferModel = {
    graph,
    provenance: {
      packer: `wafer ${version}`,
      source: {
        name: source.name,
        bytes: source.bytes.length,
        sha256: createHash('sha256').update(source.bytes).digest('hex'),
      },
      recipe: [...recipe],
      metrics: top1 === undefined ? {} : { top1 },
    },
    ...(set.names && { labels: set.names }),
    ...(images && { images: [images] }),
    postprocessing: { kind: 'classify' },
    goldens: [],
  };
  const golden = await goldenRun(readWafer(writeWafer(draft)).graph, wasmEngine(binaries()), undefined);
  return writeWafer({ ...draft, goldens: golden ? [golden] : [] });
}

/** How a picture becomes an input, where examples are pictures. */
function processingOf({ graph, normalisation, channelsFirst }: Trained, set: Dataset): ImageProcessing | undefined {
  const planes = set.shape[2]!;
  if (!isPictures(set)) return undefined;
  if (graph.inputs[0]!.type.shape.length !== 4) return undefined;
  const each = (list: readonly number[]) => Array.from({ length: planes }, (_, c) => list[c % list.length]!);
  return {
    input: graph.inputs[0]!.name,
    layout: channelsFirst ? 'nchw' : 'nhwc',
    channels: planes === 1 ? 'gray' : 'rgb',
    mean: each(normalisation.mean).map((m) => 255 * m),
    scale: each(normalisation.deviation).map((d) => 1 / (255 * d)),
  };
}
