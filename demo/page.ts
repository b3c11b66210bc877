/**
 * The demo page: holds the picture, the three models in either precision, and shows what they read and what it took.
 * All that is computed lies in ocr/; here is only what touches the document. `wafer` is the global of wafer.min.js.
 */
import type * as Wafer from '../src/index';
import { type Line, readText, type Stage, stages } from './ocr/read';
import { BitmapPicture, waferNetworks } from './ocr/wafer';

declare const wafer: typeof Wafer;

export const precisions = ['fp32', 'int8'] as const;
export type Precision = (typeof precisions)[number];
export const backends = ['auto', 'wasm', 'webgpu'] as const;
export type Backend = (typeof backends)[number];

/** What the page is to read with. */
interface Choice {
  precision: Precision;
  backend: Backend;
}

/** What one reading took, for the page's table and for whoever drives the page. Times in milliseconds. */
export interface Report extends Choice {
  lines: readonly { text: string; score: number }[];
  models: Readonly<Record<Stage, { bytes: number; load: number; runs: number; run: number }>>;
  /** From picture to text, the work between the networks too. */
  total: number;
  /** What computed, its build and thread. */
  device: string;
  /** Why that. */
  why: string;
}

declare global {
  interface Window {
    /** The latest reading; there once the body's `data-state` is `done`. */
    report?: Report;
  }
}

/** The three models of one choice. */
interface Loaded {
  models: Record<Stage, Wafer.Model>;
  load: Record<Stage, number>;
}

const names: Readonly<Record<Stage, string>> = { detect: 'Detector', classify: 'Direction classifier', recognize: 'Recogniser' };

/** Longer sides are shrunk to this many pixels, to bound memory. */
const longestSide = 4096;

const element = <T extends Element>(id: string): T => document.getElementById(id) as unknown as T;
const canvas = element<HTMLCanvasElement>('canvas');
const boxes = element<SVGSVGElement>('boxes');
const list = element<HTMLOListElement>('lines');

/** By `keyOf` a choice, as the reports are. */
const loaded = new Map<string, Promise<Loaded>>();
const reports = new Map<string, Report>();
let picture: BitmapPicture | undefined;
const asked = new URLSearchParams(location.search);
const choice: Choice = {
  precision: precisions.find((one) => one === asked.get('precision')) ?? 'int8',
  backend: backends.find((one) => one === asked.get('backend')) ?? 'auto',
};
/** Ends the reading in progress when a new one begins. */
let reading = new AbortController();

function show(state: 'loading' | 'reading' | 'done' | 'failed', status: string): void {
  document.body.dataset.state = state;
  element<HTMLElement>('status').textContent = status;
}

const keyOf = ({ precision, backend }: Choice): string => `${precision}/${backend}`;

/** The models of a choice, loaded once. */
function load(wanted: Choice): Promise<Loaded> {
  const key = keyOf(wanted);
  const known = loaded.get(key);
  if (known) return known;
  const loading = download(wanted);
  loaded.set(key, loading);
  loading.catch(() => loaded.delete(key));
  return loading;
}

async function download({ precision, backend }: Choice): Promise<Loaded> {
  const progress = new Map<Stage, { loaded: number; total: number }>();
  const start = performance.now();
  const opened = await Promise.all(
    stages.map(async (stage) => {
      const model = await wafer.load(`models/${precision}/${stage}.wafer`, {
        backend,
        // The page's own thread gives a GPU the picture without a copy.
        worker: backend !== 'webgpu',
        onProgress(step) {
          progress.set(stage, step);
          showProgress([...progress.values()]);
        },
      });
      return { stage, model, ms: performance.now() - start };
    }),
  );
  return {
    models: Object.fromEntries(opened.map(({ stage, model }) => [stage, model])) as Loaded['models'],
    load: Object.fromEntries(opened.map(({ stage, ms }) => [stage, ms])) as Loaded['load'],
  };
}

function showProgress(steps: readonly { loaded: number; total: number }[]): void {
  const [done, total] = [steps.reduce((sum, s) => sum + s.loaded, 0), steps.reduce((sum, s) => sum + s.total, 0)];
  element<HTMLProgressElement>('progress').value = steps.length === stages.length && total ? done / total : 0;
}

/** Reads the picture as chosen and shows each line as it comes. */
async function read(): Promise<void> {
  reading.abort();
  reading = new AbortController();
  const { signal } = reading;
  const [source, wanted] = [picture, { ...choice }];
  if (!source) return;
  clearLines();
  try {
    if (!loaded.has(keyOf(wanted))) show('loading', `Loading the ${wanted.precision} models …`);
    const { models, load: loadTimes } = await load(wanted);
    if (signal.aborted) return;
    show('reading', 'Looking for text …');
    const start = performance.now();
    const networks = waferNetworks(models, wanted.backend === 'webgpu' ? source.bitmap : undefined);
    const { lines, times } = await readText(source, networks, { onLine: (line) => signal.aborted || addLine(line), signal });
    const total = performance.now() - start;
    const report: Report = {
      ...wanted,
      lines: lines.map(({ reading: { text, score } }) => ({ text, score })),
      models: Object.fromEntries(
        stages.map((stage) => {
          const { runs, ms: run } = times[stage];
          return [stage, { bytes: models[stage].info.bytes, load: loadTimes[stage], runs, run }];
        }),
      ) as Report['models'],
      total,
      ...(await devicesOf(models)),
    };
    if (signal.aborted) return;
    reports.set(keyOf(wanted), report);
    window.report = report;
    showFigures();
    await showFacts(models, report);
    const count = `${lines.length} ${lines.length === 1 ? 'line' : 'lines'}`;
    show('done', lines.length ? `${count} in ${milliseconds(total)}.` : 'No text found in this picture.');
  } catch (error) {
    if (!signal.aborted) fail(error);
  }
}

const fail = (error: unknown): void => show('failed', error instanceof Error ? error.message : String(error));

function clearLines(): void {
  list.replaceChildren();
  boxes.replaceChildren();
  element<HTMLButtonElement>('copy').disabled = true;
}

/** Adds a line to the list and its box to the picture; pointing at one lights both. */
function addLine({ quad, reading: { text, score }, turned }: Line): void {
  const polygon = document.createElementNS('http://www.w3.org/2000/svg', 'polygon');
  polygon.setAttribute('points', quad.map((corner) => corner.join(',')).join(' '));
  const item = document.createElement('li');
  item.append(span('text', text), span('score', `${turned ? 'turned · ' : ''}${(score * 100).toFixed(1)} %`));
  for (const one of [item, polygon]) {
    one.addEventListener('pointerenter', () => light(true));
    one.addEventListener('pointerleave', () => light(false));
  }
  function light(on: boolean): void {
    item.classList.toggle('lit', on);
    polygon.classList.toggle('lit', on);
  }
  boxes.append(polygon);
  list.append(item);
  element<HTMLButtonElement>('copy').disabled = false;
}

function span(name: string, text: string): HTMLSpanElement {
  return Object.assign(document.createElement('span'), { className: name, textContent: text });
}

const milliseconds = (ms: number): string =>
  ms < 10 ? `${ms.toFixed(1)} ms` : ms < 9999 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;

/** One row a network and one for all; four columns a precision, dashes where the chosen backend has not read this picture with it. */
function showFigures(): void {
  const reportOf = (precision: Precision) => reports.get(keyOf({ ...choice, precision }));
  const cells = (report: Report | undefined, chosen: readonly Stage[]): string[] => {
    if (!report) return ['–', '–', '–', '–'];
    const rows = chosen.map((stage) => report.models[stage]);
    const sum = (key: 'bytes' | 'runs' | 'run') => rows.reduce((all, row) => all + row[key], 0);
    const run = chosen.length === 1 ? sum('run') : report.total;
    return [
      megabytes(sum('bytes')),
      milliseconds(Math.max(...rows.map((row) => row.load))),
      String(sum('runs')),
      milliseconds(run),
    ];
  };
  const row = (title: string, chosen: readonly Stage[]): HTMLTableRowElement => {
    const tr = document.createElement('tr');
    tr.append(Object.assign(document.createElement('th'), { scope: 'row', textContent: title }));
    for (const text of precisions.flatMap((precision) => cells(reportOf(precision), chosen)))
      tr.append(Object.assign(document.createElement('td'), { textContent: text }));
    return tr;
  };
  element<HTMLElement>('figures').replaceChildren(
    ...stages.map((stage) => row(names[stage], [stage])),
    row('Picture to text', stages),
  );
  const [fp32, int8] = precisions.map((precision) => reportOf(precision)?.lines);
  const same = fp32 && int8 && fp32.filter(({ text }, index) => int8[index]?.text === text).length;
  element<HTMLElement>('agreement').textContent =
    same === undefined ? '' : `int8 reads ${same} of ${fp32!.length} lines exactly as fp32 does.`;
}

/** Said once where it is the same for all models. */
async function devicesOf(models: Loaded['models']): Promise<Pick<Report, 'device' | 'why'>> {
  const said = await Promise.all(
    stages.map(async (stage) => {
      const { device, build, dot, why, thread } = await models[stage].explain();
      const place = thread.kind === 'worker' ? 'in a worker' : "in the page's thread";
      const what = device === 'webgpu' ? `GPU, ${build}` : `WASM, ${build} build`;
      return { stage, device: `${what}, int8 dot ${dot}, ${place}`, why };
    }),
  );
  const text = (key: 'device' | 'why') =>
    new Set(said.map((one) => one[key])).size === 1
      ? said[0]![key]
      : said.map((one) => `${names[one.stage]}: ${one[key]}`).join('\n');
  return { device: text('device'), why: text('why') };
}

async function showFacts(models: Loaded['models'], { precision, device, why }: Report): Promise<void> {
  const memories = await Promise.all(stages.map((stage) => models[stage].memory()));
  const [script] = performance
    .getEntriesByType('resource')
    .filter(({ name }) => name.endsWith('/wafer.min.js')) as PerformanceResourceTiming[];
  const facts: Record<string, string> = {
    Runtime: script ? `${(script.decodedBodySize / 1000).toFixed(0)} kB of script, WASM included` : 'inlined',
    Device: device,
    Why: why,
    Memory: `${megabytes(memories.reduce((sum, { total }) => sum + total, 0))} for the three ${precision} models`,
    Machine: `${navigator.hardwareConcurrency} logical cores, ${globalThis.crossOriginIsolated ? 'isolated' : 'not isolated'} page`,
    Browser: navigator.userAgent,
  };
  const entries = Object.entries(facts).flatMap(([term, text]) => [
    Object.assign(document.createElement('dt'), { textContent: term }),
    Object.assign(document.createElement('dd'), { textContent: text }),
  ]);
  element<HTMLElement>('facts').replaceChildren(...entries);
}

/** Puts a picture file on the canvas and reads it. */
async function open(file: Blob): Promise<void> {
  try {
    const bitmap = await createImageBitmap(file).catch(() => {
      throw new Error('This file is not a picture that the browser can show.');
    });
    const ratio = Math.min(1, longestSide / Math.max(bitmap.width, bitmap.height));
    canvas.width = Math.max(1, Math.round(bitmap.width * ratio));
    canvas.height = Math.max(1, Math.round(bitmap.height * ratio));
    boxes.setAttribute('viewBox', `0 0 ${canvas.width} ${canvas.height}`);
    const context = canvas.getContext('2d')!;
    // What is transparent is read as paper.
    context.fillStyle = '#fff';
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    const opened = new BitmapPicture(await createImageBitmap(canvas));
    reading.abort();
    picture?.bitmap.close();
    picture = opened;
    reports.clear();
    await read();
  } catch (error) {
    fail(error);
  }
}

async function openSample(): Promise<void> {
  await open(await (await fetch('sample.png')).blob());
}

/** The radio buttons of one part of the choice. */
function listenTo<K extends keyof Choice>(key: K, values: readonly Choice[K][]): void {
  for (const value of values) {
    const radio = document.querySelector<HTMLInputElement>(`input[name=${key}][value=${value}]`)!;
    radio.checked = value === choice[key];
    radio.addEventListener('change', () => {
      choice[key] = value;
      void read();
    });
  }
}

function listen(): void {
  const input = element<HTMLInputElement>('file');
  const openFirst = (files: FileList | null | undefined) => {
    const file = [...(files ?? [])].find(({ type }) => type.startsWith('image/'));
    if (file) void open(file);
  };
  input.addEventListener('change', () => openFirst(input.files));
  element('sample').addEventListener('click', () => void openSample());
  element('again').addEventListener('click', () => void read());
  element('copy').addEventListener('click', () => {
    const text = [...list.querySelectorAll('.text')].map((one) => one.textContent).join('\n');
    navigator.clipboard.writeText(text).catch(fail);
  });
  listenTo('precision', precisions);
  listenTo('backend', backends);
  const drop = element<HTMLElement>('drop');
  // The whole page takes a drop, so that a near miss does not replace it by the picture.
  addEventListener('dragover', (event) => {
    event.preventDefault();
    drop.classList.add('over');
  });
  addEventListener('dragleave', () => drop.classList.remove('over'));
  addEventListener('drop', (event) => {
    event.preventDefault();
    drop.classList.remove('over');
    openFirst(event.dataTransfer?.files);
  });
  addEventListener('paste', (event) => openFirst(event.clipboardData?.files));
}

listen();
openSample().catch(fail);
