/**
 * Packs the three networks of the OCR demo to fp32 and int8. The int8 files are calibrated on what the fp32 networks are
 * given when they read the pictures of demo/ocr/calibration/, of which some are single lines for the recogniser. Files are kept
 * while nothing that they depend on changes.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { detectorNormalization } from '../demo/ocr/detect';
import type { Normalization, Tensor } from '../demo/ocr/picture';
import { type Models, type Network, readText, type Stage, stages } from '../demo/ocr/read';
import { lineNormalization, recognizerView } from '../demo/ocr/recognize';
import { whole } from '../demo/ocr/view';
import type { ImageProcessing, Postprocessing } from '../src/format/model';
import { readWafer } from '../src/format/reader';
import type { Graph } from '../src/graph/ir';
import { type Sample, wasmEngine } from '../src/packer/evaluate/engine';
import { type PackOptions, pack } from '../src/packer/pack';
import type { QuantizeOptions } from '../src/packer/quantize/index';
import { binaries } from '../src/runtime/wasm/binaries';
import { readLabels, readPicture, sources } from './ocr';

export const precisions = ['fp32', 'int8'] as const;
export type Precision = (typeof precisions)[number];

export interface PackedFile {
  stage: Stage;
  precision: Precision;
  path: string;
  /** Bytes of the ONNX file and of this one. */
  sourceBytes: number;
  bytes: number;
}

const CALIBRATION = 'demo/ocr/calibration';
const POSTPROCESSING: Readonly<Record<Stage, Postprocessing>> = {
  detect: { kind: 'db' },
  classify: { kind: 'classify' },
  recognize: { kind: 'ctc' },
};
const NORMALIZATIONS: Readonly<Record<Stage, Normalization>> = {
  detect: detectorNormalization,
  classify: lineNormalization,
  recognize: lineNormalization,
};

/**
 * The recogniser's second gate, and what its result is given to: 8 bits are few for the outliers there. It is more work than
 * the packer leaves in floats of itself, and half of what int8 would cost the texts.
 */
const FLOAT_LAYERS: NonNullable<QuantizeOptions['layers']> = {
  'relu_1.*': 'float',
  'hardsigmoid_3.*': 'float',
  'p2o.Add.199@0231': 'float',
};

/** Lines of the calibration pictures that int8 recogniser and classifier are calibrated on. */
const MOST_SAMPLES = 128;

/** Writes `folder`/{fp32,int8}/{detect,classify,recognize}.wafer; `report` hears of each step. */
export async function packOcr(folder: string, report: (line: string) => void): Promise<PackedFile[]> {
  const files = precisions.flatMap((precision) =>
    stages.map((stage): PackedFile => {
      const path = join(folder, precision, `${stage}.wafer`);
      return { stage, precision, path, sourceBytes: statSync(sources[stage]).size, bytes: 0 };
    }),
  );
  const stamp = join(folder, 'stamp');
  const wanted = fingerprint();
  const isFresh = existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted && files.every(({ path }) => existsSync(path));
  if (!isFresh) {
    for (const precision of precisions) mkdirSync(join(folder, precision), { recursive: true });
    for (const { stage, path } of files.filter((f) => f.precision === 'fp32')) {
      report(`packing ${stage} fp32 ...`);
      writeFileSync(path, await packed(stage));
    }
    report('reading the calibration pictures ...');
    const samples = await calibrationSamples(files.filter((f) => f.precision === 'fp32'));
    for (const { stage, path } of files.filter((f) => f.precision === 'int8')) {
      report(`packing ${stage} int8, calibrated on ${samples[stage].length} inputs ...`);
      writeFileSync(path, await packed(stage, samples[stage]));
    }
    writeFileSync(stamp, wanted);
  }
  return files.map((file) => ({ ...file, bytes: statSync(file.path).size }));
}

/** Of all that the files depend on: the packer as it is built, the networks, the calibration pictures. */
function fingerprint(): string {
  const hash = createHash('sha256');
  const pictures = readdirSync(CALIBRATION).map((name) => join(CALIBRATION, name));
  for (const path of ['dist/cli.mjs', 'scripts/pack-ocr.ts', ...Object.values(sources), ...pictures])
    hash.update(readFileSync(path));
  return hash.digest('hex');
}

/** The file of a network; int8 where there are samples. */
export async function packed(stage: Stage, samples?: readonly Sample[]): Promise<Uint8Array> {
  const options: PackOptions = {
    name: basename(sources[stage]),
    images: () => imageProcessing(NORMALIZATIONS[stage]),
    postprocessing: POSTPROCESSING[stage],
    ...(stage === 'recognize' && { labels: readLabels() }),
    ...(samples && {
      float16: true,
      quantize: { samples: async () => samples, ...(stage === 'recognize' && { layers: FLOAT_LAYERS }) },
    }),
  };
  return (await pack(new Uint8Array(readFileSync(sources[stage])), options)).bytes;
}

/** What `planes` of the demo does, as the file says it. */
const imageProcessing = ({ mean, deviation }: Normalization): ImageProcessing => ({
  ...{ input: 'x', layout: 'nchw', channels: 'bgr' },
  mean: mean.map((m) => 255 * m),
  scale: deviation.map((d) => 1 / (255 * d)),
});

/** The networks over Wafer's engine in Node; `onInput` sees what each is given. */
export async function waferModels(
  graphs: Readonly<Record<Stage, Graph>>,
  labels: readonly string[],
  onInput?: (stage: Stage, input: Tensor) => void,
): Promise<Models> {
  const engine = wasmEngine(binaries());
  const network = async (stage: Stage): Promise<Network> => {
    const session = await engine.session(graphs[stage]);
    return async (view) => {
      const input = view.tensor();
      onInput?.(stage, input);
      const [output] = Object.values(session.run({ x: { data: input.data, shape: [...input.shape] } }));
      return output as { data: Float32Array; shape: readonly number[] };
    };
  };
  return { detect: await network('detect'), classify: await network('classify'), recognize: await network('recognize'), labels };
}

/** What each network is given when the fp32 ones read the calibration pictures. */
export async function calibrationSamples(files: readonly PackedFile[]): Promise<Record<Stage, Sample[]>> {
  const graphs = Object.fromEntries(files.map(({ stage, path }) => [stage, readWafer(new Uint8Array(readFileSync(path))).graph]));
  const samples: Record<Stage, Sample[]> = { detect: [], classify: [], recognize: [] };
  const models = await waferModels(graphs as Record<Stage, Graph>, readLabels(), (stage, { data, shape }) =>
    samples[stage].push({ x: { data: data.slice(), shape: [...shape] } }),
  );
  for (const name of readdirSync(CALIBRATION).sort()) {
    const picture = await readPicture(join(CALIBRATION, name));
    if (name.startsWith('line')) await models.recognize(recognizerView(whole(picture)));
    else await readText(picture, models);
  }
  const spread = (list: Sample[]) =>
    list.filter((_, i) => Math.floor((i * MOST_SAMPLES) / list.length) !== Math.floor(((i - 1) * MOST_SAMPLES) / list.length));
  return { detect: samples.detect, classify: spread(samples.classify), recognize: spread(samples.recognize) };
}
