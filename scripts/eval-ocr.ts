/**
 * `npm run eval:ocr`: what int8 costs the OCR networks, on pictures that were not used to calibrate. The detector's maps
 * are compared where they say text (IoU at the 0.3 threshold), the recogniser's readings character by character. The fp32
 * files are held against onnxruntime-node on the same inputs. Draws 200 lines and 8 pages with installed fonts.
 */
import { readFileSync } from 'node:fs';
import { detectorView } from '../demo/ocr/detect';
import type { Picture, Tensor } from '../demo/ocr/picture';
import { type Models, type Stage, stages } from '../demo/ocr/read';
import { decode, recognizerView } from '../demo/ocr/recognize';
import { whole } from '../demo/ocr/view';
import { WaferError } from '../src/core/errors';
import { readWafer } from '../src/format/reader';
import type { Graph } from '../src/graph/ir';
import { compare } from '../src/packer/evaluate/compare';
import { decodeImage } from '../src/packer/image';
import { onnxModels } from '../test/demo/onnx';
import { launchBrowser } from './browser';
import { readLabels } from './ocr';
import { type PackedFile, type Precision, packOcr, waferModels } from './pack-ocr';
import { drawLines, installFonts, renderLines, renderPages, seeds } from './render-lines';

const LINES = 200;
const PAGES = 8;
/** The demo's: pixels of the detector's map above this are text. */
const TEXT = 0.3;

async function main(): Promise<void> {
  const isJson = process.argv.includes('--json');
  const say = (line: string) => process.stderr.write(`${line}\n`);
  if (!(await installFonts()))
    throw new WaferError('NOT_FOUND', 'no Chinese font is installed', { hint: 'install fonts-noto-cjk' });
  const files = await packOcr('build/demo/models', say);
  const [fp32, int8] = [await models(files, 'fp32'), await models(files, 'int8')];
  const onnx = await onnxModels();

  const drawn = drawLines(seeds.evaluation, LINES);
  const browser = await launchBrowser();
  const [lines, pages] = await Promise.all([renderLines(browser, drawn), renderPages(browser, seeds.evaluation, PAGES)]).finally(
    () => browser.close(),
  );
  say(`${LINES} lines and ${PAGES} pages drawn`);

  let [overlap, union, beyond] = [0, 0, 0];
  for (const png of pages) {
    const view = detectorView(await picture(png));
    const [a, b, want] = [await fp32.detect(view), await int8.detect(view), await onnx.detect(view)];
    beyond += differing(a, want);
    a.data.forEach((p, i) => {
      const [x, y] = [p > TEXT, b.data[i]! > TEXT];
      if (x && y) overlap++;
      if (x || y) union++;
    });
  }
  const characters = { all: 0, int8AsFp32: 0, int8AsDrawn: 0, fp32AsDrawn: 0, fp32AsOnnx: 0 };
  let equalLines = 0;
  for (const [i, png] of lines.entries()) {
    const view = recognizerView(whole(await picture(png)));
    const [a, b, want] = [await fp32.recognize(view), await int8.recognize(view), await onnx.recognize(view)];
    beyond += differing(a, want);
    const [float, integer, source] = [a, b, want].map((y) => decode(y, fp32.labels).text) as [string, string, string];
    const { text } = drawn[i]!;
    characters.all += [...float].length;
    characters.int8AsFp32 += [...float].length - distance(integer, float);
    characters.int8AsDrawn += [...text].length - distance(integer, text);
    characters.fp32AsDrawn += [...text].length - distance(float, text);
    characters.fp32AsOnnx += [...float].length - distance(source, float);
    if (integer === float) equalLines++;
    else say(`  ${JSON.stringify(integer)} for ${JSON.stringify(float)}`);
  }
  const drawnCharacters = drawn.reduce((n, { text }) => n + [...text].length, 0);
  const results = {
    detector_iou: overlap / union,
    recognizer_characters: characters.int8AsFp32 / characters.all,
    recognizer_lines: equalLines / LINES,
    int8_as_drawn: characters.int8AsDrawn / drawnCharacters,
    fp32_as_drawn: characters.fp32AsDrawn / drawnCharacters,
    fp32_as_onnx: characters.fp32AsOnnx / characters.all,
    fp32_elements_beyond_tolerance: beyond,
  };
  if (isJson) process.stdout.write(`${JSON.stringify(results)}\n`);
  else for (const [name, value] of Object.entries(results)) process.stdout.write(`${name.padEnd(32)} ${value.toFixed(5)}\n`);
  process.exitCode = results.detector_iou >= 0.98 && results.recognizer_characters >= 0.99 && beyond === 0 ? 0 : 1;
}

function models(files: readonly PackedFile[], precision: Precision): Promise<Models> {
  const graph = (stage: Stage): Graph => {
    const { path } = files.find((f) => f.stage === stage && f.precision === precision)!;
    return readWafer(new Uint8Array(readFileSync(path))).graph;
  };
  return waferModels(Object.fromEntries(stages.map((stage) => [stage, graph(stage)])) as Record<Stage, Graph>, readLabels());
}

const picture = (png: Uint8Array): Promise<Picture> => decodeImage(Buffer.from(png), 'drawn.png');

/** Elements that are not within 1e-4 + 1e-3 of what onnxruntime gives. */
const differing = (got: Tensor, want: Tensor): number => compare(got.data, want.data, { abs: 1e-4, rel: 1e-3 }).beyond;

/** Levenshtein distance in characters. */
function distance(a: string, b: string): number {
  const [from, to] = [[...a], [...b]];
  let row = to.map((_, j) => j + 1);
  row.unshift(0);
  from.forEach((c, i) => {
    const next = [i + 1];
    to.forEach((d, j) => next.push(Math.min(row[j + 1]! + 1, next[j]! + 1, row[j]! + (c === d ? 0 : 1))));
    row = next;
  });
  return row.at(-1)!;
}

main().catch((error) => {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exit(2);
});
