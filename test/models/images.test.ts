/** What int8 costs a classifier on labelled images: scripts/eval-images.ts, whole where its model and data are here. */
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { evaluateImages } from '../../scripts/eval-images';
import { loadDataset } from '../../src/packer/data/load';
import { drawExamples, drawItems } from '../../src/packer/evaluate/draw';
import { files } from './models';

test('images/what is calibrated on is drawn from everywhere and not evaluated on', () => {
  const items = Array.from({ length: 1000 }, (_, i) => i);
  const [drawn, others] = drawItems(items, 200);
  expect([drawn.length, others.length]).toEqual([200, 800]);
  expect([...drawn, ...others].sort((a, b) => a - b)).toEqual(items);
  // In order of class, or class by class in turns, all classes are drawn.
  expect(new Set(drawn.map((i) => Math.floor(i / 100)))).toHaveLength(10);
  expect(new Set(drawn.map((i) => i % 10))).toHaveLength(10);
  expect(() => drawItems(items, 1000)).toThrow(expect.objectContaining({ code: 'ARGUMENT' }));
});

const MODEL = 'resnet8_cifar10_fp32.onnx';
const model = files.find((file) => basename(file) === MODEL);
const folder = join(process.env.WAFER_DATA ?? 'data', 'images/cifar10');

if (!model) test.skip(`images/${MODEL}: is not here; WAFER_MODELS names its folder`, () => {});
else if (!existsSync(folder))
  test.skip(`images/${MODEL}: images/cifar10/*.bin is not here; WAFER_DATA names its folder`, () => {});
else
  test(`images/${MODEL}: int8 loses at most half a point`, async () => {
    const images = await loadDataset(folder);
    const [calibrate, evaluate] = drawExamples(images, 100);
    const figures = await evaluateImages(new Uint8Array(readFileSync(model)), MODEL, {
      calibrate,
      evaluate,
      processing: ([x]) => ({ input: x!.name, layout: 'nchw', channels: 'rgb', mean: [0, 0, 0], scale: [1, 1, 1] }),
    });
    expect(figures.agreement.fp32WithOnnx).toBe(100);
    expect(figures.beyond).toBe(0);
    expect(figures.top1.onnx).toBeGreaterThan(70);
    expect(figures.agreement.int8WithFp32).toBeGreaterThan(96);
    expect(figures.lost).toBeLessThanOrEqual(0.5);
  });
