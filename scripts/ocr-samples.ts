/**
 * `npm run ocr:samples -- FOLDER`: what the OCR networks are given, as files for `wafer pack` and `wafer eval`: of detector and
 * recogniser the inputs that they are calibrated on, those of drawn pages and lines that they are evaluated on, with the texts,
 * lines for the recogniser to learn from, and its classes. Nothing that is evaluated on was calibrated on or learnt from.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { detectorView } from '../demo/ocr/detect';
import { recognizerView } from '../demo/ocr/recognize';
import { type View, whole } from '../demo/ocr/view';
import { WaferError } from '../src/core/errors';
import { elements } from '../src/core/shape';
import type { Example } from '../src/packer/evaluate/examples';
import { decodeImage } from '../src/packer/image';
import { type NpyArray, writeNpy } from '../src/packer/npy';
import { launchBrowser } from './browser';
import { readLabels } from './ocr';
import { calibrationSamples, packOcr } from './pack-ocr';
import { drawLines, installFonts, renderLines, renderPages, seeds } from './render-lines';

const LINES = 600;
const PAGES = 16;
/** Lines to learn from, and the width of each. */
const TRAINING = { lines: 2048, width: 320 };

const inputOf = (view: View): Example['sample'] => {
  const { data, shape } = view.tensor();
  return { x: { data, shape: [...shape] } };
};

async function needFonts(): Promise<void> {
  if (!(await installFonts()))
    throw new WaferError('NOT_FOUND', 'no Chinese font is installed', { hint: 'install fonts-noto-cjk' });
}

/** Drawn with installed fonts: pages for the detector, lines with their texts for the recogniser. Throws NOT_FOUND. */
export async function drawnExamples(): Promise<Record<'detect' | 'recognize', Example[]>> {
  await needFonts();
  const drawn = drawLines(seeds.evaluation, LINES);
  const browser = await launchBrowser();
  const [lines, pages] = await Promise.all([renderLines(browser, drawn), renderPages(browser, seeds.evaluation, PAGES)]).finally(
    () => browser.close(),
  );
  const picture = (png: Uint8Array) => decodeImage(Buffer.from(png), 'drawn.png');
  const examples: Record<'detect' | 'recognize', Example[]> = { detect: [], recognize: [] };
  for (const [i, png] of pages.entries())
    examples.detect.push({ name: `page-${i}`, sample: inputOf(detectorView(await picture(png))) });
  for (const [i, png] of lines.entries())
    examples.recognize.push({
      name: `line-${String(i).padStart(3, '0')}`,
      sample: inputOf(recognizerView(whole(await picture(png)))),
      text: drawn[i]!.text,
    });
  return examples;
}

/** The beginnings of lines, [N,3,48,W]: examples of one size, for the recogniser to be taught by itself. Throws NOT_FOUND. */
export async function trainingLines({ lines, width } = TRAINING): Promise<NpyArray> {
  await needFonts();
  const browser = await launchBrowser();
  const pictures = await renderLines(browser, drawLines(seeds.training, lines)).finally(() => browser.close());
  const shape = [lines, 3, 48, width];
  const all = new Float32Array(elements(shape));
  let at = 0;
  for (const png of pictures) {
    const { data, shape } = recognizerView(whole(await decodeImage(Buffer.from(png), 'drawn.png'))).tensor();
    for (let from = 0; from < data.length; from += shape[3]!, at += width) all.set(data.subarray(from, from + width), at);
  }
  return { dtype: 'f32', shape, data: all };
}

async function main(folder: string): Promise<void> {
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const files = await packOcr('build/demo/models', say);
  const calibrated = await calibrationSamples(files.filter(({ precision }) => precision === 'fp32'));
  const drawn = await drawnExamples();
  for (const stage of ['detect', 'recognize'] as const) {
    const write = (to: string, name: string, { x }: Example['sample']) =>
      writeFileSync(join(folder, stage, to, `${name}.npy`), writeNpy({ dtype: 'f32', ...x! }));
    for (const to of ['calibrate', 'evaluate']) mkdirSync(join(folder, stage, to), { recursive: true });
    calibrated[stage].forEach((sample, i) => write('calibrate', String(i).padStart(3, '0'), sample));
    for (const { name, sample } of drawn[stage]) write('evaluate', name, sample);
  }
  writeFileSync(join(folder, 'recognize/train.npy'), writeNpy(await trainingLines()));
  const texts = drawn.recognize.map(({ name, text }) => `${name}.npy\t${text}\n`);
  writeFileSync(join(folder, 'recognize/evaluate/labels.txt'), texts.join(''));
  writeFileSync(join(folder, 'recognize/classes.txt'), `${readLabels().join('\n')}\n`);
  say(`${folder}: inputs of the detector and of the recogniser`);
}

if (process.argv[1]?.endsWith('ocr-samples.ts')) await main(process.argv[2] ?? 'build/ocr');
