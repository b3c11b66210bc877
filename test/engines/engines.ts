/**
 * `npm run test:engines`: every engine that is installed runs the same models on the same inputs, and the bytes of all
 * outputs must be those that the base build gives in Node. Exits with 1 where they are not or an engine fails; `--json`
 * prints the table for machines.
 */
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';
import { serve } from '../../scripts/serve';
import { print, printError, printJson, printTable } from '../../src/cli/terminal';
import { wasmEngine } from '../../src/packer/evaluate/engine';
import { binaries } from '../../src/runtime/wasm/binaries';
import { chromium, type Driver, firefox, webkit } from './drivers';
import type { Listed, PageResult } from './engines.page';
import { drawnInputs, sumOf } from './runs';
import { packSubjects, type Subject } from './subjects';

const SITE = 'build/engines';
const SEED = 7;
const LIMIT_S = 150;
const STOP_LIMIT_S = 10;

const ENGINES: readonly { driver: Driver; query?: string }[] = [
  { driver: chromium('chromium') },
  { driver: chromium('chromium-base'), query: '?base' },
  { driver: chromium('chromium-novnni', ['--js-flags=--no-enable-avx-vnni']) },
  { driver: firefox },
  { driver: webkit },
];

/** What became of an engine. */
interface Row {
  engine: string;
  status: 'reference' | 'ran' | 'skipped' | 'failed';
  build: string;
  dot: string;
  /** Why this build and dot, or why the engine was skipped or failed. */
  why: string;
  thread: string;
  /** The most that computed. */
  threads: number;
  seconds: number;
  /** By the model's id: `same`, `DIFFERS`, or `FAILED`; a sum a run for the reference. */
  models: Record<string, string>;
  /** What differs or failed, a line each. */
  wrong: string[];
}

const say = (line: string): void => void process.stderr.write(`${line}\n`);

type Sums = ReadonlyMap<string, readonly string[]>;

async function runInNode(subjects: readonly Subject[]): Promise<{ row: Row; sums: Sums }> {
  const start = performance.now();
  const sums = new Map<string, string[]>();
  const row = emptyRow('node', 'reference');
  for (const { id, model, sizes, gain } of subjects) {
    const session = await wasmEngine(binaries()).session(model.graph);
    const given = sizes.map((set) => sumOf(session.run(drawnInputs(model.graph, set, SEED, gain))));
    sums.set(id, given);
    const { build, dot, why } = session.explain();
    Object.assign(row, { build, dot, why });
    row.models[id] = 'reference';
    session.dispose();
  }
  return { row: { ...row, thread: 'main', seconds: secondsSince(start) }, sums };
}

/** Everything that the page asks for, in one folder. */
async function assembleSite(subjects: readonly Subject[]): Promise<void> {
  rmSync(SITE, { recursive: true, force: true });
  mkdirSync(SITE, { recursive: true });
  copyFileSync('dist/wafer.min.js', join(SITE, 'wafer.min.js'));
  await build({
    ...{ entryPoints: ['test/engines/engines.page.ts'], outfile: join(SITE, 'page.js') },
    ...{ bundle: true, format: 'iife', target: 'es2022' },
  });
  const failing = 'onerror = (message) => { window.result = { failure: String(message) }; };';
  const scripts = `<script>${failing}</script><script src="wafer.min.js"></script><script src="page.js"></script>`;
  writeFileSync(join(SITE, 'index.html'), `<!doctype html><title>engines</title>${scripts}`);
  const listed = subjects.map(({ id, bytes, model, sizes, gain }): Listed => {
    const file = `models/${id}.wafer`;
    mkdirSync(dirname(join(SITE, file)), { recursive: true });
    writeFileSync(join(SITE, file), bytes);
    const inputs = model.graph.inputs.map(({ name, type }) => ({ name, type }));
    return { id, file, inputs, sizes, seed: SEED, gain };
  });
  writeFileSync(join(SITE, 'models.json'), JSON.stringify(listed));
}

/** Never throws: what goes wrong is the row's `why`. */
async function runIn({ driver, query = '' }: (typeof ENGINES)[number], url: string, want: Sums): Promise<Row> {
  const start = performance.now();
  let started: Awaited<ReturnType<Driver['start']>>;
  const work = async (): Promise<Row> => {
    started = await driver.start();
    if (!started) return { ...emptyRow(driver.name, 'skipped'), why: 'is not installed' };
    return compared(driver.name, (await started.visit(url + query)) as PageResult | { failure: string }, want);
  };
  try {
    const row = await within(LIMIT_S, work(), `no result in ${LIMIT_S} s`);
    return { ...row, seconds: secondsSince(start) };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { ...emptyRow(driver.name, 'failed'), why, seconds: secondsSince(start) };
  } finally {
    if (started) await within(STOP_LIMIT_S, started.stop(), 'it does not stop').catch((e) => say(`${driver.name}: ${e.message}`));
  }
}

function compared(engine: string, result: PageResult | { failure: string }, want: Sums): Row {
  if ('failure' in result) return { ...emptyRow(engine, 'failed'), why: result.failure };
  const { build, dot, why, thread, threads, models } = result;
  const row: Row = { ...emptyRow(engine, 'ran'), build, dot, why, thread, threads };
  for (const [id, sums] of want) {
    const got = models[id] ?? { failure: 'was not run' };
    if ('failure' in got) {
      row.models[id] = 'FAILED';
      row.wrong.push(`${engine} ${id}: ${got.failure}`);
      continue;
    }
    const other = sums.findIndex((sum, i) => sum !== got.sums[i]);
    row.models[id] = other < 0 ? 'same' : 'DIFFERS';
    if (other >= 0) row.wrong.push(`${engine} ${id}: run ${other} gives ${got.sums[other]}, the reference ${sums[other]}`);
  }
  return row;
}

const emptyRow = (engine: string, status: Row['status']): Row => ({
  ...{ engine, status, build: '', dot: '', why: '', thread: '', threads: 1, seconds: 0 },
  ...{ models: {}, wrong: [] },
});

const secondsSince = (start: number): number => Math.round((performance.now() - start) / 100) / 10;

function within<T>(seconds: number, promise: Promise<T>, otherwise: string): Promise<T> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(new Error(otherwise)), seconds * 1000)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Engines are columns: there are fewer of them than models. */
function printRows(rows: readonly Row[], ids: readonly string[]): void {
  const shown = rows.filter((r) => r.status !== 'skipped');
  const line = (name: string, cell: (row: Row) => string) => [name, ...shown.map((row) => cell(row) || '-')];
  printTable([
    line('', (r) => r.engine),
    line('build', (r) => r.build),
    line('dot', (r) => r.dot),
    line('thread', (r) => r.thread),
    line('threads', (r) => String(r.threads)),
    line('seconds', (r) => r.seconds.toFixed(1)),
    ...ids.map((id) => line(id, (r) => r.models[id] ?? '')),
  ]);
  print();
  for (const { engine, status, why } of rows) print(`${engine}${status === 'ran' ? '' : ` (${status})`}: ${why}`);
  if (!rows.some((r) => r.build === 'relaxed')) print('No engine here has an exact byte dot: the relaxed build was not run.');
  for (const wrong of rows.flatMap((r) => r.wrong)) print(wrong);
}

async function main(): Promise<void> {
  const isJson = process.argv.includes('--json');
  const { subjects, left } = await packSubjects(say);
  for (const line of left) say(`left out: ${line}`);
  say('node ...');
  const { row, sums } = await runInNode(subjects);
  await assembleSite(subjects);
  const site = await serve(SITE);
  const rows = [row];
  for (const engine of ENGINES) {
    say(`${engine.driver.name} ...`);
    rows.push(await runIn(engine, site.url, sums));
  }
  await site.close();
  const isSame = rows.every((r) => r.status !== 'failed' && r.wrong.length === 0);
  if (isJson) printJson({ same: isSame, reference: Object.fromEntries(sums), left, engines: rows });
  else printRows(rows, [...sums.keys()]);
  process.exitCode = isSame ? 0 : 1;
}

main()
  .catch((error) => {
    printError(error);
    process.exitCode = 2;
  })
  // An engine that did not stop must not hold this process.
  .finally(() => process.exit());
