/**
 * `npm run eval:ocr`: what int8 costs the OCR networks, on pictures that were not used to calibrate. The detector's maps
 * are compared where they say text (IoU at the 0.3 threshold), the recogniser's readings character by character. The fp32
 * files are held against onnxruntime-node on the same inputs. Draws 600 lines and 16 pages with installed fonts.
 * Exits with 1 where fewer than 99.5 % of the lines are read alike, or the maps' IoU is below 0.99.
 */
import { readFileSync } from 'node:fs';
import { type EvaluateOptions, evaluate, type Figures, onnxSubject, waferSubject } from '../src/packer/evaluate/evaluate';
import type { Example } from '../src/packer/evaluate/examples';
import { binaries } from '../src/runtime/wasm/binaries';
import { readLabels, sources } from './ocr';
import { drawnExamples } from './ocr-samples';
import { type PackedFile, packOcr } from './pack-ocr';

async function main(): Promise<void> {
  const isJson = process.argv.includes('--json');
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const files = await packOcr('build/demo/models', say);
  const drawn = await drawnExamples();
  say(`${drawn.recognize.length} lines and ${drawn.detect.length} pages drawn`);
  const onDifference = (_: string, got: string, want: string) => say(`  ${JSON.stringify(got)} for ${JSON.stringify(want)}`);
  const [detectOnnx, , detect] = await figures(files, 'detect', drawn.detect, { task: 'maps' });
  const [onnx, fp32, int8] = await figures(files, 'recognize', drawn.recognize, {
    task: 'ctc',
    labels: readLabels(),
    onDifference,
  });
  const results = {
    detector_iou: detect.against!.iou!,
    recognizer_characters: int8.against!.characters! / 100,
    recognizer_lines: int8.against!.texts! / 100,
    int8_as_drawn: int8.characters! / 100,
    fp32_as_drawn: fp32.characters! / 100,
    fp32_as_onnx: onnx.against!.characters! / 100,
    fp32_elements_beyond_tolerance: detectOnnx.against!.beyond + onnx.against!.beyond,
  };
  if (isJson) process.stdout.write(`${JSON.stringify(results)}\n`);
  else for (const [name, value] of Object.entries(results)) process.stdout.write(`${name.padEnd(32)} ${value.toFixed(5)}\n`);
  const isGood = results.detector_iou >= 0.99 && results.recognizer_lines >= 0.995;
  process.exitCode = isGood && results.fp32_elements_beyond_tolerance === 0 ? 0 : 1;
}

/** Of the ONNX file, the fp32 and the int8 one, all against fp32. */
async function figures(
  files: readonly PackedFile[],
  stage: 'detect' | 'recognize',
  examples: readonly Example[],
  options: EvaluateOptions,
): Promise<[Figures, Figures, Figures]> {
  const packed = (precision: PackedFile['precision']) => {
    const { path } = files.find((f) => f.stage === stage && f.precision === precision)!;
    return waferSubject(precision, new Uint8Array(readFileSync(path)), binaries());
  };
  const onnx = await onnxSubject('onnx', new Uint8Array(readFileSync(sources[stage])));
  const subjects = [onnx, await packed('fp32'), await packed('int8')] as const;
  const found = await evaluate(subjects, examples, { ...options, against: subjects[1] });
  for (const subject of subjects) subject.dispose();
  return found as [Figures, Figures, Figures];
}

main().catch((error) => {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exit(2);
});
