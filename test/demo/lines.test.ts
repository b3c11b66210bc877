/** The ten sample lines in Chromium, by the demo's pipeline over the fp32 files, against the same over onnxruntime-node. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Tensor } from '../../demo/ocr/picture';
import { readText, type Stage, stages } from '../../demo/ocr/read';
import { readPicture } from '../../scripts/ocr';
import { packed } from '../../scripts/pack-ocr';
import { compare } from '../../src/packer/evaluate/compare';
import { type ApiPage, openApiPage } from '../support/page';
import { receive, toBase64 } from '../support/sent';
import type { LineCalls } from './lines.page';
import { type OnnxModels, onnxModels } from './onnx';

let page: ApiPage<LineCalls>;
let onnx: OnnxModels;

beforeAll(async () => {
  onnx = await onnxModels();
  page = await openApiPage('test/demo/lines.page.ts');
  const files = await Promise.all(stages.map(async (stage) => [stage, toBase64(await packed(stage))] as const));
  await page.call.loadModels(Object.fromEntries(files) as Record<Stage, string>);
});
afterAll(() => page?.close());

test.each(Array.from({ length: 10 }, (_, i) => `test/demo/lines/line-${i + 1}.png`))(
  'demo/chromium reads %s as onnxruntime does',
  async (file) => {
    const { texts, runs } = await page.call.readPage(readFileSync(file, 'base64'));
    const { lines, times } = await readText(await readPicture(file), onnx);
    expect(texts).toEqual(lines.map(({ reading }) => reading.text));
    for (const stage of stages) expect(runs.filter((run) => run.stage === stage)).toHaveLength(times[stage].runs);
    for (const { stage, input, output } of runs) {
      const { data, shape } = receive(output);
      const want = await onnx[stage]({ tensor: () => receive(input) as Tensor });
      expect(shape, stage).toEqual(want.shape);
      const { beyond, max, at } = compare(data, want.data, { abs: 1e-4, rel: 1e-3 });
      expect(beyond, `${stage}: ${max} apart at ${at}`).toBe(0);
    }
  },
);
