/**
 * What real models become: operators and how often. A pass that stops matching shows here as a transpose, a `binary` or
 * a `unary` too many.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { expect, test } from 'vitest';
import { importOnnx } from '../../src/packer/import/onnx/import';
import { declutter } from '../../src/packer/passes/index';
import { files } from '../models/models';

const HISTOGRAMS: readonly (readonly [string, string])[] = [
  ['ch_PP-OCRv4_det_infer', 'add 3, concat 1, conv 64, mul 10, reduce 10, reshape 4, resize 6, transpose 3'],
  [
    'ch_PP-OCRv4_rec_infer',
    'concat 1, conv 38, gemm 9, layerNorm 5, matmul 4, mul 2, pool 1, reduce 2, reshape 13, slice 6, softmax 3, transpose 9, unary 2',
  ],
  ['ch_ppocr_mobile_v2.0_cls_infer', 'conv 53, gemm 1, mul 9, pool 1, reduce 10, reshape 1, softmax 1, transpose 1'],
  ['face_detection_back_256x256_barracuda', 'conv 69, pad 2, pool 3, reshape 4'],
  ['face_detection_front_128x128_barracuda', 'conv 37, pad 11, pool 3, reshape 4'],
  ['embedding_model', 'conv 20, pool 5'],
  ['hey_jarvis_v0.1', 'gemm 6, greaterOrEqual 1, layerNorm 4, reshape 1, select 1, unary 4'],
  ['melspectrogram', 'add 1, conv 2, gemm 1, max 1, min 1, reduce 1, reshape 1, unary 1'],
  ['timer_v0.1', 'gemm 3, reshape 1, softmax 1'],
  ['mobilenet_v1_0.25_128', 'conv 28, reduce 1, reshape 1, softmax 1, transpose 1'],
  ['mobilenet_v2_1.0_224', 'conv 53, reduce 1, reshape 1, softmax 1, transpose 1'],
  ['resnet8_cifar10_fp32', 'conv 9, gemm 1, reduce 1, reshape 1, softmax 1, transpose 1'],
];

for (const [name, want] of HISTOGRAMS) {
  const file = files.find((path) => basename(path) === `${name}.onnx`);
  test.skipIf(!file)(`histogram/${name}`, () => {
    const { nodes } = declutter(importOnnx(new Uint8Array(readFileSync(file!))).graph);
    const names = nodes.map(({ op, attrs }) => (op.name === 'binary' ? attrs.fn : op.name) as string);
    const counts = [...new Set(names)].sort().map((op) => `${op} ${names.filter((n) => n === op).length}`);
    expect(counts.join(', ')).toBe(want);
  });
}
