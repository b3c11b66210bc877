/**
 * `npm run ocr:samples -- FOLDER`: what the OCR networks are given, as files for `wafer pack` and `wafer eval`: of detector and
 * recogniser the inputs that they are calibrated on, those of drawn pages and lines that they are evaluated on, with the texts,
 * and the recogniser's classes. Nothing that is evaluated on was calibrated on.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { detectorView } from '../demo/ocr/detect';
import { recognizerView } from '../demo/ocr/recognize';
import { type View, whole } from '../demo/ocr/view';
import { WaferError } from '../src/core/errors';
import type { Example } from '../src/packer/evaluate/examples';
import { decodeImage } from '../src/packer/image';
import { writeNpy } from '../src/packer/npy';
import { launchBrowser } from './browser';
import { readLabels } from './ocr';
import { calibrationSamples, packOcr } from './pack-ocr';
import { drawLines, installFonts, renderLines, renderPages, seeds } from './render-lines';

const LINES = 600;
const PAGES = 16;

const inputOf = (view: View): Example['sample'] => {
  const { data, shape } = view.tensor();
  return { x: { data, shape: [...shape] } };
};

/** Drawn with installed fonts: pages for the detector, lines with their texts for the recogniser. Throws NOT_FOUND. */
export async function drawnExamples(): Promise<Record<'detect' | 'recognize', Example[]>> {
  if (!(await installFonts()))
    throw new WaferError('NOT_FOUND', 'no Chinese font is installed', { hint: 'install fonts-noto-cjk' });
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
  const texts = drawn.recognize.map(({ name, text }) => `${name}.npy\t${text}\n`);
  writeFileSync(join(folder, 'recognize/evaluate/labels.txt'), texts.join(''));
  writeFileSync(join(folder, 'recognize/classes.txt'), `${readLabels().join('\n')}\n`);
  say(`${folder}: inputs of the detector and of the recogniser`);
}

if (process.argv[1]?.endsWith('ocr-samples.ts')) await main(process.argv[2] ?? 'build/ocr');
