/**
 * `npm run test:recipes -- [MODEL...]`: every ready recipe on the models of the suite that take pictures, with few steps and drawn pictures of no
 * class, and a table of what came of it. It says whether recipes fit and what they skip, not what they are worth. Exits with 1 where one fails.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { Command } from 'commander';
import { PNG } from 'pngjs';
import { bytesText, print, printTable } from '../src/cli/terminal';
import { readTrainable } from '../src/cli/trainable';
import { WaferError } from '../src/core/errors';
import { random } from '../src/core/random';
import { loadData } from '../src/packer/recipe/data';
import { givenModel, picturesOf } from '../src/packer/recipe/given';
import { readyRecipe, readyRecipes } from '../src/packer/recipe/ready';
import type { Given } from '../src/packer/recipe/run';
import { runRecipe } from '../src/packer/recipe/run';
import type { Recipe } from '../src/packer/recipe/schema';
import { files, SKIPS } from '../test/models/models';
import { runCommand } from './command';

/** Height and width where the model leaves them free. */
const SIZES: Readonly<Record<string, readonly [number, number]>> = {
  'ch_PP-OCRv4_det_infer.onnx': [64, 64],
  'ch_PP-OCRv4_rec_infer.onnx': [48, 64],
  'ch_ppocr_mobile_v2.0_cls_infer.onnx': [48, 192],
};

const PICTURES = 24;

/** Waves of colours, with some noise. */
function drawPictures(folder: string, [height, width]: readonly [number, number]): void {
  const next = random(1);
  mkdirSync(folder);
  for (let i = 0; i < PICTURES; i++) {
    const png = new PNG({ width, height });
    const waves = Array.from({ length: 9 }, () => next());
    for (let p = 0; p < width * height; p++) {
      const [x, y] = [(p % width) / width, Math.floor(p / width) / height];
      const colours = [0, 1, 2].map((c) => {
        const wave = Math.sin(12 * (waves[3 * c]! * x + waves[3 * c + 1]! * y + waves[3 * c + 2]!));
        return 128 + 100 * wave + 20 * (next() - 0.5);
      });
      png.data.set([...colours, 255], 4 * p);
    }
    writeFileSync(join(folder, `${String(i).padStart(2, '0')}.png`), PNG.sync.write(png));
  }
}

/** The same steps, with as little work as they can be made with. */
function hurried(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(hurried);
  if (typeof value !== 'object' || value === null) return value;
  const made = Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      const quick = hurried(inner);
      return [key, key === 'quantize' ? { ...(quick as object), method: 'minmax' } : quick];
    }),
  );
  return {
    ...made,
    ...('epochs' in made && { epochs: 1, leastSteps: 1, batch: 2, workers: 1 }),
    ...('samples' in made && { samples: 4 }),
  };
}

interface Row {
  model: string;
  recipe: string;
  cells: readonly (string | number)[];
  why: readonly string[];
  failed: boolean;
}

async function runOn(given: Given, data: Awaited<ReturnType<typeof loadData>>, name: string, folder: string): Promise<Row> {
  const about = { model: given.source.name, recipe: name };
  const start = performance.now();
  try {
    const made = await runRecipe({
      ...{
        model: given,
        recipe: hurried(readyRecipe(name)) as Recipe,
        data,
        work: join(folder, name),
        output: join(folder, `${name}.wafer`),
      },
      loadTeacher: () => Promise.reject(new Error('ready recipes name no teacher')),
    });
    const count = (outcome: string) => made.steps.filter((step) => step.outcome === outcome).length;
    const cells = [
      bytesText(made.start.bytes),
      bytesText(made.best.bytes),
      `${(made.start.macs / made.best.macs).toFixed(2)} x`,
      `${((made.start.ms ?? 0) / (made.best.ms ?? 1)).toFixed(2)} x`,
      made.best.accuracy.toFixed(1),
      `${count('kept')}/${count('rolled back')}/${count('skipped')}`,
      Math.round((performance.now() - start) / 1000),
    ];
    const why = made.steps.flatMap(({ place, step, outcome, why }) =>
      outcome !== 'kept' && why && !/^"/.test(why) ? [`${place} ${step}: ${outcome}: ${why}`] : [],
    );
    return { ...about, cells, why, failed: false };
  } catch (error) {
    if (!(error instanceof WaferError)) throw error;
    return { ...about, cells: ['failed'], why: [error.message], failed: true };
  } finally {
    rmSync(join(folder, name), { recursive: true, force: true });
  }
}

async function testAll(names: readonly string[], { recipe }: { recipe?: string }): Promise<void> {
  const wanted = files.filter((file) => names.length === 0 || names.some((name) => basename(file).includes(name)));
  const recipes = readyRecipes().flatMap(({ name }) => (recipe === undefined || recipe === name ? [name] : []));
  const rows: Row[] = [];
  for (const file of wanted) {
    const model = basename(file);
    if (SKIPS[model]) {
      print(`${model}: skipped: it ${SKIPS[model]}`);
      continue;
    }
    const folder = mkdtempSync(join(tmpdir(), 'wafer-recipes-'));
    try {
      const bytes = new Uint8Array(readFileSync(file));
      const read = await readTrainable(file, bytes, { seed: 1, input: {} });
      const pictures = picturesOf(read.graph);
      if (!pictures && !SIZES[model]) {
        print(`${model}: skipped: it takes no pictures`);
        continue;
      }
      drawPictures(join(folder, 'pictures'), SIZES[model] ?? [pictures![0], pictures![1]]);
      const data = await loadData({ train: join(folder, 'pictures') }, { pictures });
      const given = givenModel(read, data, { name: model, bytes });
      for (const name of recipes) {
        const row = await runOn(given, data, name, folder);
        rows.push(row);
        print(`${model} ${name}: ${row.cells.join(', ')}`);
        for (const why of row.why) print(`  ${why}`);
      }
    } catch (error) {
      if (!(error instanceof WaferError)) throw error;
      print(`${model}: skipped: ${error.message.split('\n')[0]}`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  print();
  const head = ['model', 'recipe', 'before', 'after', 'work', 'speed', 'same %', 'kept/back/skipped', 's'];
  printTable([head, ...rows.map(({ model, recipe, cells }) => [model, recipe, ...cells])]);
  if (rows.some(({ failed }) => failed)) process.exitCode = 1;
}

await runCommand(
  new Command('test:recipes')
    .description('runs every ready recipe on the models of the suite')
    .argument('[model...]', 'parts of names (default: all)')
    .option('--recipe <name>', 'this one alone')
    .action(testAll),
);
