/** A trained graph as a `.wafer` file: with its classes' names, how pictures become its input, and what was done. */
import { createHash } from 'node:crypto';
import { version } from '../../../package.json';
import { WaferError } from '../../core/errors';
import type { ImageProcessing, WaferModel } from '../../format/model';
import { readWafer } from '../../format/reader';
import { writeWafer } from '../../format/writer';
import type { Graph } from '../../graph/ir';
import { binaries } from '../../runtime/wasm/binaries';
import type { Normalisation } from '../data/batches';
import { type Dataset, isLabelled, isPictures } from '../data/dataset';
import { type ExampleForm, labelledSamples } from '../data/samples';
import { wasmEngine } from '../evaluate/engine';
import { evaluate, graphSubject } from '../evaluate/evaluate';
import { goldenRun } from '../pack';

export interface Source {
  name: string;
  bytes: Uint8Array;
}

/** A graph and how examples become its input. */
export interface Ready extends ExampleForm {
  readonly graph: Graph;
}

export interface TrainedFile {
  bytes: Uint8Array;
  /** Part of the test examples that the file is right about, on the runtime's own kernels. */
  top1?: number | undefined;
}

/** What a model's file says of how it is used. */
export type Uses = Pick<WaferModel, 'labels' | 'images' | 'postprocessing'>;

/** The same training gives the same bytes. `before` is what the file that was trained said, where it was one. */
export async function trainedFile(
  trained: Ready,
  { train: set, test }: { train: Dataset; test?: Dataset },
  source: Source,
  recipe: readonly string[],
  before: Uses = {},
): Promise<TrainedFile> {
  const { graph } = trained;
  const processing = processingOf(trained, set);
  const images = processing ? [processing] : before.images;
  const labels = set.names ?? before.labels;
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
      metrics: {},
    },
    ...(labels && { labels }),
    ...(images && { images }),
    postprocessing: isLabelled(set) ? { kind: 'classify' } : (before.postprocessing ?? { kind: 'none' }),
    goldens: [],
  };
  const bytes = writeWafer(draft);
  const golden = await goldenRun(readWafer(bytes).graph, wasmEngine(binaries()), undefined);
  const top1 = test && isLabelled(test) && (await kernelAccuracy(graph, trained, test));
  const provenance = { ...draft.provenance!, metrics: top1 ? { top1 } : {} };
  return { bytes: writeWafer({ ...draft, provenance, goldens: golden ? [golden] : [] }), top1: top1 || undefined };
}

/** Part of the examples whose class the graph finds, on the runtime's own kernels. */
export async function kernelAccuracy(graph: Graph, how: ExampleForm, set: Dataset): Promise<number> {
  const subject = await graphSubject('', graph, binaries());
  try {
    const [figures] = await evaluate([subject], labelledSamples(set, graph.inputs[0]!, how), { task: 'classify' });
    return figures!.top1! / 100;
  } finally {
    subject.dispose();
  }
}

/** The normalisation of examples that pictures get. Throws UNSUPPORTED for blue before red: examples are not turned. */
export function normalisationOfImages({ channels, mean, scale }: ImageProcessing): Normalisation {
  if (channels === 'bgr') throw new WaferError('UNSUPPORTED', 'training takes pictures as rgb, the model takes them as bgr');
  return { mean: mean.map((m) => m / 255), deviation: scale.map((s) => 1 / (255 * s)) };
}

/** How a picture becomes an input, where examples are pictures. */
function processingOf({ graph, normalisation, channelsFirst }: Ready, set: Dataset): ImageProcessing | undefined {
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
