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
  const top1 = test && isLabelled(test) ? await kernelAccuracy(graph, trained, test) : undefined;
  const uses: Uses = { ...before, ...usesOf(trained, set) };
  const metrics = top1 === undefined ? {} : { top1 };
  return { bytes: await writtenFile(graph, source, { postprocessing: { kind: 'none' }, ...uses, recipe, metrics }), top1 };
}

/** What examples say of how a model is used that has learnt them. */
export function usesOf(trained: Ready, set: Dataset): Uses {
  const images = processingOf(trained, set);
  return {
    ...(set.names && { labels: set.names }),
    ...(images && { images: [images] }),
    ...(isLabelled(set) && { postprocessing: { kind: 'classify' } }),
  };
}

/** What a file says besides its graph. */
export interface Said extends Uses {
  recipe: readonly string[];
  metrics: Readonly<Record<string, number>>;
}

/** A graph as a file, with a golden run. The same arguments give the same bytes. */
export async function writtenFile(
  graph: Graph,
  { name, bytes }: Source,
  { recipe, metrics, ...uses }: Said,
): Promise<Uint8Array> {
  const draft: WaferModel = {
    graph,
    provenance: {
      packer: `wafer ${version}`,
      source: { name, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') },
      recipe: [...recipe],
      metrics,
    },
    ...uses,
    goldens: [],
  };
  const golden = await goldenRun(readWafer(writeWafer(draft)).graph, wasmEngine(binaries()), undefined);
  return writeWafer({ ...draft, goldens: golden ? [golden] : [] });
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
