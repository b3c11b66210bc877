/**
 * `npm run bench -- [MODEL...]`: Wafer beside its peers on the same models and inputs, in turn in one headless browser.
 * Exits with 1 where a runtime fails or a float model computes something else than Wafer's, with 2 on bad usage.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import { launchBrowser, launchWithGpu } from '../scripts/browser';
import { runCommand } from '../scripts/command';
import { serve } from '../scripts/serve';
import { positiveInt, size, writeBytes } from '../src/cli/files';
import { print, printJson, printTable } from '../src/cli/terminal';
import { nearest, WaferError } from '../src/core/errors';
import { describeMachine, section, withSection } from './markdown';
import { findModel, modelFolders, type NamedModel, type Sizes, USUAL } from './models';
import { assembleSite, type Outcome, RUNTIME_NAMES, type RuntimeName, SITE, timeCold, timeModel } from './pages';
import { type ColdRow, coldRowsOf, coldTableOf, isAstray, type Row, rowsOf, type Table, TOLERANCE, tableOf } from './rows';
import { prepareSubject, type Subject } from './subject';

interface Flags {
  threads: number;
  rounds: number;
  base?: boolean;
  cold?: boolean;
  /** Megabits a second. */
  rate?: number;
  burn?: boolean;
  gpu?: boolean;
  peers?: RuntimeName[];
  size: Sizes;
  flags: string[];
  browserFlags: string[];
  json?: boolean;
  markdown?: string;
}

/** Timers and pages behind others are not to be slowed. */
const STEADY = [
  '--disable-background-timer-throttling',
  '--disable-renderer-backgrounding',
  '--disable-backgrounding-occluded-windows',
];

/** The address bar has pages of its own, which work when a page opens. */
const QUIET = ['--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup'];

const words = (text: string): string[] => text.split(/[\s,]+/).filter(Boolean);

function peerNames(text: string): RuntimeName[] {
  const peers = RUNTIME_NAMES.filter((name) => name !== 'wafer');
  return words(text).map((word) => {
    const found = peers.find((name) => name === word);
    if (found) return found;
    const near = nearest(word, peers);
    throw new InvalidArgumentError(near ? `Did you mean ${near}?` : `Peers are ${peers.join(', ')}.`);
  });
}

const command = (): Command =>
  new Command('bench')
    .description('time Wafer and its peers on the same models, in turn in one headless browser')
    .argument('[models...]', 'names, or paths of ONNX files (default: all that are here)')
    .option('--threads <n>', 'how many threads compute, where a runtime has them', positiveInt, 1)
    .option('--rounds <n>', 'how often each runtime has its turn', positiveInt, 9)
    .option('--base', 'all in their builds without relaxed SIMD')
    .option('--cold', 'time the first result of a page in a fresh browser, from navigation on, and its memory')
    .option('--rate <n>', 'megabits a second that the server sends', positiveInt)
    .option('--burn', 'while another process keeps a processor busy')
    .option('--gpu', 'on WebGPU, which is a software one where the machine has no GPU')
    .option('--peers <names>', 'which peers, with commas between them', peerNames)
    .option('--size <name=n>', 'size of a free dimension (repeat for each)', size, {})
    .option('--flags <flags>', 'flags of V8, as in --flags=--no-enable-avx-vnni', words, [])
    .option('--browser-flags <flags>', 'flags of the browser', words, [])
    .option('--json', 'print the rows as JSON')
    .option('--markdown <file>', 'put the table into a Markdown file, in the place of what the same command gave before')
    .addHelpText(
      'after',
      `
WAFER_MODELS names the folders of NAME.onnx and NAME.tflite. NAME_int8 is Wafer's int8 of NAME.onnx beside the peers'
NAME_int8.onnx and NAME_int8.tflite.

With several threads, pages are cross-origin isolated and Wafer computes in a worker, by turns with all threads and with one.

Examples:
  npm run bench -- mobilenet_v2_int8 --json
  npm run bench -- mobilenet_v2_int8 --cold --rounds 5
  npm run bench -- mobilenet_v2 --gpu --peers litert
  npm run bench -- mobilenet_v2_int8 resnet18_int8 --threads 2 --peers litert --burn
  npm run bench -- path/to/model.onnx --size H=320 --size W=320`,
    )
    .action(bench);

async function bench(names: readonly string[], flags: Flags): Promise<void> {
  const subjects: Subject[] = [];
  for (const model of await findModels(names)) subjects.push(await prepareSubject(model, flags.size, say));
  const machine = describeMachine();
  const { rows, table, browser, failures } = await timeAll(subjects, flags);
  if (flags.json) printJson(rows);
  else printRows(table, flags);
  for (const { model, runtime, error } of rows.filter(isAstray))
    say(`${model}: ${runtime} is ${error} from Wafer's fp32, more than ${TOLERANCE}`);
  if (flags.markdown) {
    const date = new Date().toISOString().slice(0, 10);
    const before = existsSync(flags.markdown) ? readFileSync(flags.markdown, 'utf8') : '';
    const after = withSection(before, section(table, { command: typedCommand(), browser, date, machine }));
    await writeBytes(flags.markdown, new TextEncoder().encode(after));
  }
  process.exitCode = failures || rows.some(isAstray) ? 1 : 0;
}

interface Timings {
  rows: readonly (Row | ColdRow)[];
  table: Table;
  /** Its version. */
  browser: string;
  /** How many runtimes failed. */
  failures: number;
}

async function timeAll(
  subjects: readonly Subject[],
  { threads, rounds, base = false, burn = false, gpu = false, cold, rate, peers, ...flags }: Flags,
): Promise<Timings> {
  if (cold && base)
    throw new WaferError('ARGUMENT', '--base and --cold do not go together', {
      hint: 'a page chooses builds for its own thread only, and Wafer computes in a worker by default',
    });
  if (gpu && (base || threads > 1))
    throw new WaferError('ARGUMENT', '--gpu goes with neither --base nor --threads', { hint: 'leave them out' });
  await assembleSite();
  const runtimes: RuntimeName[] = peers ? ['wafer', ...peers] : RUNTIME_NAMES;
  const v8 = flags.flags.map((flag) => flag.replace(/^--js-flags=/, ''));
  const args = [...STEADY, ...(cold ? QUIET : []), ...flags.browserFlags, ...(v8.length ? [`--js-flags=${v8.join(' ')}`] : [])];
  const open = () => (gpu ? launchWithGpu({ args }) : launchBrowser({ args }));
  const browser = await open();
  const version = await browser.version();
  // Memory that is shared between threads needs an isolated page; without threads, pages are as most are.
  const site = await serve(SITE, { isIsolated: threads > 1, ...(rate && { rate: (rate * 1e6) / 8 }) });
  const burning = burn ? spawn(process.execPath, ['-e', 'for (;;);']) : undefined;
  const rows: Row[] = [];
  const coldRows: ColdRow[] = [];
  let failures = 0;
  try {
    for (const subject of subjects) {
      const { name, output } = subject;
      say(`${name} ...`);
      const options = { runtimes, threads, rounds, base, gpu };
      const report = ({ left, failed }: Pick<Outcome, 'left' | 'failed'>) => {
        for (const runtime of left) say(`${name}: there is no file for ${runtime}`);
        for (const { runtime, why } of failed) say(`${name}: ${runtime} failed: ${why}`);
        failures += failed.length;
      };
      if (cold) {
        await browser.close();
        const outcome = await timeCold(open, site.url, subject, options);
        report(outcome);
        coldRows.push(...coldRowsOf(name, outcome, output.data));
      } else {
        const outcome = await timeModel(browser, site.url, subject, options);
        report(outcome);
        rows.push(...rowsOf(name, outcome, output.data));
      }
    }
    const found = cold ? { rows: coldRows, table: coldTableOf(coldRows) } : { rows, table: tableOf(rows) };
    return { ...found, browser: version, failures };
  } finally {
    burning?.kill();
    await browser.close();
    await site.close();
  }
}

async function findModels(names: readonly string[]): Promise<NamedModel[]> {
  const folders = modelFolders(process.env.WAFER_MODELS);
  if (names.length) return Promise.all(names.map((name) => findModel(name, folders)));
  const models: NamedModel[] = [];
  for (const name of USUAL)
    try {
      models.push(await findModel(name, folders));
    } catch (error) {
      if (!(error instanceof WaferError)) throw error;
      say(`${name} is left out: it is not in WAFER_MODELS`);
    }
  return models;
}

function printRows({ heading, rows }: Table, { cold }: Flags): void {
  printTable([heading, ...rows]);
  print();
  if (cold) {
    print(
      'script, loaded, first: milliseconds from the start of navigation in a fresh browser until the page has its scripts, the',
    );
    print(
      "model is ready, and its first result is there. peak: the most that the page's process held, added: over an empty page.",
    );
  }
  print("ratio: the runtime's median over Wafer's. error: the greatest difference of the first output from Wafer's fp32, over");
  print('the greatest value in it.');
}

/** Without what does not change the figures. */
function typedCommand(): string {
  const typed = process.argv.slice(2);
  const kept = typed.filter((word, i) => !/^--(?:json$|markdown)/.test(word) && typed[i - 1] !== '--markdown');
  return ['npm run bench', ...(kept.length ? ['--'] : []), ...kept.map((w) => (/\s/.test(w) ? `"${w}"` : w))].join(' ');
}

const say = (line: string): void => void process.stderr.write(`${line}\n`);

await runCommand(command());
