/**
 * `npm run verify:results -- [--json] [NAME...]`: measures the files of models/ again, on the runtime's own kernels, and exits with 1
 * where a figure is not what its recipe records. What needs data that is not here is skipped by name.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Command } from 'commander';
import { filledIn, RECIPES, type Recipe, recordOf } from '../models/recipes';
import { readModel } from '../src/cli/files';
import { Progress, print, printJson, printTable } from '../src/cli/terminal';
import { WaferError } from '../src/core/errors';
import { FASHION_FOLDER } from '../src/packer/data/load';
import { evaluate, waferSubject } from '../src/packer/evaluate/evaluate';
import { type Example, readExamples } from '../src/packer/evaluate/examples';
import { encodedSizes } from '../src/packer/evaluate/sizes';
import { binaries } from '../src/runtime/wasm/binaries';
import { runCommand } from './command';
import { installFromDebian } from './debian';

const FOLDER = 'models';

export interface Row {
  name: string;
  data: string;
  bytes: number;
  /** In percent. Missing where the row is skipped, as the following are. */
  top1?: number;
  examples?: number;
  /** Points below the file that it is compared with, and how many it may be. */
  loses?: { against: string; points: number; allowed: number };
  claimed: { bytes: number; top1: number };
  sha256: string;
  /** Bytes by type and encoding of tensors. */
  encodings: Record<string, number>;
  /** Why nothing was measured. */
  skipped?: string;
  /** What is not as it should be. */
  wrong: string[];
}

/** What is measured is rounded as what is recorded. */
const rounded = (percent: number): number => Number(percent.toFixed(2));

/** Measures the file of a recipe. Throws NOT_FOUND and BAD_FILE for the file, and what evaluating throws. */
export async function measure(recipe: Recipe, folder: string, onProgress?: (done: number, total: number) => void): Promise<Row> {
  const { name, data, without } = recipe;
  const { model, bytes } = await readModel(join(folder, `${name}.wafer`));
  const row: Row = {
    name,
    data: basename(data),
    bytes: bytes.length,
    claimed: { bytes: recipe.bytes, top1: recordOf(recipe).top1 },
    sha256: createHash('sha256').update(bytes).digest('hex'),
    encodings: Object.fromEntries(encodedSizes(bytes).map(({ dtype, encoding, bytes }) => [`${dtype} ${encoding}`, bytes])),
    wrong: [],
  };
  if (row.bytes !== row.claimed.bytes) row.wrong.push(`has ${row.bytes} bytes, recorded are ${row.claimed.bytes}`);
  let examples: Example[];
  try {
    examples = await readExamples(filledIn(data), model.graph.inputs, {
      images: model.images?.[0],
      labels: model.labels,
      without,
    });
  } catch (error) {
    if (!(error instanceof WaferError && error.code === 'NOT_FOUND')) throw error;
    return { ...row, skipped: error.message.replace(/\s*\n\s*(?:hint: )?/g, '; ') };
  }
  const subject = await waferSubject(name, bytes, binaries());
  const [figures] = await evaluate([subject], examples, { task: 'classify', ...(onProgress && { onProgress }) });
  subject.dispose();
  const top1 = rounded(figures!.top1!);
  if (top1 !== row.claimed.top1) row.wrong.push(`top-1 is ${top1} %, recorded are ${row.claimed.top1} %`);
  return { ...row, top1, examples: examples.length };
}

/** Says of rows how far they are below others. */
export function compareRows(rows: readonly Row[], recipes: readonly Recipe[]): void {
  for (const row of rows) {
    const { loses } = recipes.find(({ name }) => name === row.name)!;
    const other = rows.find(({ name }) => name === loses?.against);
    if (!loses || row.top1 === undefined || other?.top1 === undefined) continue;
    const points = rounded(other.top1 - row.top1);
    row.loses = { against: loses.against, points, allowed: loses.points };
    if (points > loses.points) row.wrong.push(`is ${points} points below ${loses.against}, allowed are ${loses.points}`);
  }
}

async function verify(names: readonly string[], { json }: { json?: boolean }): Promise<void> {
  for (const name of names)
    if (!RECIPES.some((recipe) => recipe.name === name))
      throw new WaferError('ARGUMENT', `there is no recipe "${name}"`, {
        hint: `there are ${RECIPES.map((recipe) => recipe.name).join(', ')}`,
      });
  const wanted = new Set(names.length ? names : RECIPES.map(({ name }) => name));
  for (const { name, loses } of RECIPES) if (wanted.has(name) && loses) wanted.add(loses.against);
  const recipes = RECIPES.filter(({ name }) => wanted.has(name));
  if (recipes.some(({ data }) => data.startsWith('fashion-mnist')) && !existsSync(FASHION_FOLDER))
    await installFromDebian('dataset-fashion-mnist');
  const progress = new Progress();
  const rows: Row[] = [];
  for (const recipe of recipes)
    rows.push(await measure(recipe, FOLDER, (done, total) => progress.update(done, total, recipe.name)));
  progress.end();
  compareRows(rows, recipes);
  if (json) printJson(rows);
  else printRows(rows);
  process.exitCode = rows.some(({ wrong }) => wrong.length) ? 1 : 0;
}

function printRows(rows: readonly Row[]): void {
  printTable([
    ['file', 'data', 'examples', 'bytes', 'top-1 %', 'points lost', 'allowed'],
    ...rows.map(({ name, data, examples, bytes, top1, loses }) => [
      ...[name, data, examples ?? '', bytes, top1?.toFixed(2) ?? 'skipped'],
      ...[loses?.points.toFixed(2) ?? '', loses?.allowed ?? ''],
    ]),
  ]);
  for (const { name, skipped, wrong } of rows) {
    if (skipped !== undefined) print(`${name}: skipped, ${skipped}`);
    for (const what of wrong) print(`${name}: ${what}`);
  }
}

const command = (): Command =>
  new Command('verify:results')
    .description('measures the files of models/ again; exits with 1 where a figure is not the recorded one')
    .argument('[name...]', 'of recipes (default: all)')
    .option('--json', 'print the rows as JSON')
    .action(verify);

if (process.argv[1]?.endsWith('verify-results.ts')) await runCommand(command());
