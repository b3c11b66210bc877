/** `wafer eval`: what files are worth, side by side, on the runtime's own kernels. */
import { basename } from 'node:path';
import { Command, Option } from 'commander';
import { version } from '../../package.json';
import { WaferError } from '../core/errors';
import type { WaferModel } from '../format/model';
import { readWafer } from '../format/reader';
import { spread } from '../packer/calibration';
import { wasmEngine } from '../packer/evaluate/engine';
import {
  evaluate,
  type Figures,
  onnxSubject,
  type Subject,
  TASKS,
  type Task,
  taskOf,
  waferSubject,
} from '../packer/evaluate/evaluate';
import { type Example, readExamples } from '../packer/evaluate/examples';
import { type EncodedSize, encodedSizes } from '../packer/evaluate/sizes';
import { type FileHistograms, figuresOf, histogramsOf, reportHtml, storageOf } from '../packer/report/index';
import { binaries } from '../runtime/wasm/binaries';
import { benchInBrowser } from './browser';
import { checkOutput, nonNegative, positiveInt, readBytes, readModel, writeBytes } from './files';
import { type ImageFlags, imageOptions, imageProcessing } from './images';
import { bytesText, Progress, print, printJson, printTable } from './terminal';

interface Flags extends ImageFlags {
  data: string;
  against?: string;
  task?: Task;
  threshold: number;
  without?: number;
  limit?: number;
  browser?: boolean;
  device: 'auto' | 'wasm' | 'webgpu';
  report?: string;
  json?: boolean;
}

/** Of one file. */
interface Row extends Figures {
  bytes: number;
  sizes: EncodedSize[];
  browser?: { device: string; median_ms: number; min_ms: number; peak_bytes: number };
}

export const evalCommand = (): Command =>
  imageOptions(
    new Command('eval')
      .description('how good .wafer files are: right answers, agreement, sizes, times; several side by side')
      .argument('<file.wafer...>')
      .requiredOption(
        '--data <path>',
        'a folder of images, .npy or .npz files, one such file, or a data set, of which the test part is taken',
      )
      .option('--against <file>', 'a .wafer or .onnx file whose answers others are compared with')
      .addOption(
        new Option('--task <name>', 'what answers are (default: as the first file says, else by its shape)').choices(TASKS),
      )
      .option('--threshold <p>', 'above which a map says yes', nonNegative, 0.3)
      .option('--without <n>', 'leave out what wafer pack --samples <n> calibrates on, of the same data', positiveInt)
      .option('--limit <n>', 'how many samples, at the most', positiveInt)
      .option('--browser', 'time each file in headless Chromium too (needs puppeteer-core)')
      .addOption(new Option('--device <name>', 'what computes there').choices(['auto', 'wasm', 'webgpu']).default('auto'))
      .option('--report <file.html>', 'write it all as one page, with what takes the bytes and how numbers are spread'),
  )
    .addHelpText(
      'after',
      `
Classes are the names of the folders that images are in, the array "labels" of an .npz file, or what labels.txt in the
folder says: a line for each file, its path, a tab, and its class or, for readers of text, its text. Data sets are
fashion-mnist, mnist, .csv, a folder of IDX files and CIFAR's .bin or a folder of them; a part may follow, as in mnist:train[:100].

Examples:
  wafer eval net.fp32.wafer net.int8.wafer --data pictures/ --against net.onnx
  wafer eval net.wafer --data fashion-mnist
  wafer eval net.fp32.wafer net.int8.wafer --data pictures/ --report report.html
  wafer eval reader.wafer --data lines/ --against reader.fp32.wafer --browser --json`,
    )
    .action(evalFiles);

async function evalFiles(paths: readonly string[], flags: Flags): Promise<void> {
  const { against, browser, limit, report, threshold, without } = flags;
  if (report !== undefined) for (const path of paths) await checkOutput(report, path, '--report');
  const files = await Promise.all(paths.map(readModel));
  const { model } = files[0]!;
  const { inputs } = model.graph;
  const task = flags.task ?? taskOfModel(model);
  const progress = new Progress();
  const onProgress = (done: number, total: number, what: string) => progress.update(done, total, what);
  try {
    progress.stage('read');
    const examples = await readExamples(flags.data, inputs, {
      images: imageProcessing(flags, inputs) ?? model.images?.[0],
      imageSize: flags.imageSize,
      labels: model.labels,
      texts: task === 'ctc',
      without,
      limit,
      onProgress,
    });
    if (task === 'ctc' && !model.labels)
      throw new WaferError('ARGUMENT', 'the file does not say what its classes are', { hint: 'pack it with --labels' });
    const subjects = await Promise.all(files.map(({ bytes }, i) => waferSubject(paths[i]!, bytes, binaries())));
    const other = against === undefined ? undefined : await subjectOf(against);
    progress.stage('evaluate');
    const figures = await evaluate(subjects, examples, { task, against: other, labels: model.labels, threshold, onProgress });
    for (const subject of [...subjects, ...(other ? [other] : [])]) subject.dispose();
    const rows: Row[] = [];
    for (const [i, { bytes }] of files.entries()) {
      const times = browser ? { browser: await timeInBrowser(bytes, examples[0]!, flags) } : {};
      rows.push({ ...figures[i]!, bytes: bytes.length, sizes: encodedSizes(bytes), ...times });
    }
    if (report !== undefined) {
      progress.stage('report');
      const measured = rows.map((row, i) => ({ row, file: files[i]!.bytes }));
      await writeBytes(report, new TextEncoder().encode(await reportOf(measured, examples, basename(flags.data))));
    }
    progress.end();
    if (flags.json) printJson({ data: basename(flags.data), task, files: rows });
    else printRows(rows);
  } finally {
    progress.end();
  }
}

/** Examples whose runs are looked into. */
const LOOKED_INTO = 16;

async function reportOf(
  files: readonly { row: Row; file: Uint8Array }[],
  examples: readonly Example[],
  data: string,
): Promise<string> {
  const samples = spread([...examples], LOOKED_INTO).map(({ sample }) => sample);
  const names = files.map(({ row }) => basename(row.name));
  const histograms: FileHistograms[] = [];
  for (const [i, { file }] of files.entries())
    histograms.push(await histogramsOf(names[i]!, readWafer(file).graph, samples, wasmEngine(binaries())));
  const { against } = files[0]!.row;
  return reportHtml({
    title: names.length > 3 ? `${names.length} files on ${data}` : names.join(', '),
    summary: `${examples.length} samples of ${data}, run by the kernels that pages run${against ? `, and compared with ${basename(against.name)}` : ''}.`,
    files: files.map(({ row, file }, i) =>
      figuresOf(file, { ...row, name: names[i]! }, examples[0]!.sample, row.browser?.median_ms),
    ),
    storage: files.map(({ file }, i) => storageOf(names[i]!, file)),
    histograms,
    facts: [['Made by', `wafer ${version}`]],
  });
}

function taskOfModel({ graph, postprocessing }: WaferModel): Task {
  const said = postprocessing && taskOf(postprocessing);
  const rank = graph.outputs[0]?.value.type.shape.length;
  return said ?? (rank === 2 ? 'classify' : rank === 4 ? 'maps' : 'values');
}

async function subjectOf(path: string): Promise<Subject> {
  const bytes = await readBytes(path);
  return path.endsWith('.onnx') ? onnxSubject(path, bytes) : waferSubject(path, bytes, binaries());
}

const BROWSER_RUNS = 20;

async function timeInBrowser(file: Uint8Array, { sample }: Example, { device }: Flags): Promise<NonNullable<Row['browser']>> {
  const { runs_ms, ...times } = await benchInBrowser(file, sample, { device, threads: 1, runs: BROWSER_RUNS });
  const sorted = [...runs_ms].sort((a, b) => a - b);
  return { device: times.device, median_ms: sorted[sorted.length >> 1]!, min_ms: sorted[0]!, peak_bytes: times.peak_bytes };
}

function printRows(rows: readonly Row[]): void {
  const percent = (value: number | undefined) => value?.toFixed(2) ?? '';
  const columns: [head: string, cell: (row: Row) => string][] = [
    ['file', (row) => row.name],
    ['bytes', (row) => String(row.bytes)],
    ['top-1 %', (row) => percent(row.top1)],
    ['top-5 %', (row) => percent(row.top5)],
    ['characters %', (row) => percent(row.characters)],
    ['texts %', (row) => percent(row.texts)],
    ['same class %', (row) => percent(row.against?.agreement)],
    ['same characters %', (row) => percent(row.against?.characters)],
    ['same texts %', (row) => percent(row.against?.texts)],
    ['IoU', (row) => row.against?.iou?.toFixed(4) ?? ''],
    ['dB', (row) => (row.against ? (row.against.sqnr?.toFixed(1) ?? 'equal') : '')],
    ['ms here', (row) => row.ms.median.toFixed(2)],
    ['ms in browser', (row) => row.browser?.median_ms.toFixed(2) ?? ''],
    ['MB in browser', (row) => (row.browser ? (row.browser.peak_bytes / 1e6).toFixed(1) : '')],
  ];
  const used = columns.filter(([, cell]) => rows.some((row) => cell(row) !== ''));
  printTable([used.map(([head]) => head), ...rows.map((row) => used.map(([, cell]) => cell(row)))]);
  const [{ examples, against }] = rows as [Row];
  print(`${examples} samples${against ? `, the same as and dB against ${against.name}` : ''}`);
  for (const { name, sizes } of rows) {
    const parts = sizes.slice(0, 4).map(({ dtype, encoding, bytes }) => `${bytesText(bytes)} ${dtype} ${encoding}`);
    print(`${name}: ${parts.join(', ')}`);
  }
}
