/** `wafer compress`: a model, examples and a recipe to a .wafer, with what each step did. */
import { createHash } from 'node:crypto';
import { basename, dirname, extname, join, relative } from 'node:path';
import { Command } from 'commander';
import { WaferError } from '../core/errors';
import { type DataPlaces, loadData, type RecipeData } from '../packer/recipe/data';
import { givenModel, picturesOf } from '../packer/recipe/given';
import { compressedPage } from '../packer/recipe/page';
import { readRecipe, recipeFrom } from '../packer/recipe/read';
import { readyRecipe, readyRecipes } from '../packer/recipe/ready';
import { type Compressed, measureText, type NamedTeacher, runRecipe, type StepRecord } from '../packer/recipe/run';
import type { Recipe } from '../packer/recipe/schema';
import { checkOutput, named, positiveInt, readBytes, writeBytes } from './files';
import { type ImageFlags, imageOptions } from './images';
import { bytesText, Progress, print, printJson, printTable, trainingText } from './terminal';
import { readTrainable, runScript } from './trainable';

interface Flags extends ImageFlags, DataPlaces {
  recipe?: string;
  data?: string;
  output?: string;
  input: Record<string, string>;
  teacher?: string;
  seed?: number;
  work?: string;
  report?: string | false;
  list?: boolean;
  json?: boolean;
}

export const compressCommand = (): Command =>
  imageOptions(new Command('compress'))
    .description('make a model small by a recipe: prune, factorize, retrain, quantize')
    .argument('[model]', 'a .wafer of floats, an ONNX model, or a script that builds one (default: that of the recipe)')
    .option('--recipe <file|name>', 'a recipe in .yaml, .json or .ts, or the name of a ready one')
    .option('--list', 'print the ready recipes')
    .option('-o, --output <file>', 'the .wafer file to write; at any moment it is the best so far')
    .option(
      '--data <data>',
      'examples to learn from, as in wafer train; a folder of images without classes will do for many steps',
    )
    .option('--test <data>', 'examples to judge and report on (default: the test part of --data, else a tenth of it)')
    .option('--calibrate <data>', 'examples to calibrate on (default: --data)')
    .option('--teacher <file>', 'a .wafer or ONNX model to learn from (default: the model itself)')
    .option('--seed <n>', 'decides all that is drawn', positiveInt)
    .option('--input <name=shape>', 'shape of an ONNX input: x=N,1,28,28', named, {})
    .option('--work <folder>', 'of what was found, from which a run goes on (default: .wafer-work beside the output)')
    .option('--report <file>', 'an HTML file on all steps (default: beside the output)')
    .option('--no-report', 'write none')
    .addHelpText(
      'after',
      `
Options go before what the recipe says. A run that was interrupted goes on when the same command is given again, and comes to the same
bytes. Other files that are worth having, smaller or more accurate ones, are in the folder "pareto" of the work folder.

Examples:
  wafer compress --list
  wafer compress net.onnx --recipe small --data pictures/ -o net.wafer
  wafer compress net.ts --recipe my.yaml --data fashion-mnist:train[:55000] --test fashion-mnist:train[55000:] -o net.wafer

A recipe (docs/recipes.md lists all steps):
  version: 1
  steps:
    - prune: { ratio: 30%, by: l2 }
    - retrain: { epochs: 3, distil: { share: 0.7 }, gate: { drop: 1 } }
    - quantize: { weights: int8 }
    - quantize: { when: drop > 0.3, weights: int8, tune: { epochs: 2 } }
    - verify`,
    )
    .action(compress);

async function compress(path: string | undefined, flags: Flags): Promise<void> {
  if (flags.list) return printReady(flags);
  if (!flags.recipe) refuse('no recipe is named', 'add --recipe with a file or a name: wafer compress --list prints names');
  if (!flags.output) refuse('no file to write is named', 'add -o with the .wafer file to write');
  const recipe = withFlags(await recipeOf(flags.recipe!), flags);
  const model = path ?? recipe.model;
  if (model === undefined) refuse('no model is named', 'pass one, or add "model" to the recipe');
  const bytes = await readBytes(model!);
  await checkOutput(flags.output!, model!);
  const progress = new Progress();
  const controller = new AbortController();
  const interrupt = () => {
    progress.end();
    process.stderr.write('stopping; once more ends at once\n');
    controller.abort();
  };
  const work = flags.work ?? join(dirname(flags.output!), '.wafer-work', basename(flags.output!, '.wafer'));
  try {
    progress.stage('read model and data');
    const read = await readTrainable(model!, bytes, { ...flags, seed: recipe.seed });
    const data = await loadData(placesOf(recipe), { labels: read.uses?.labels, pictures: picturesOf(read.graph) });
    const given = givenModel(read, data, { name: basename(model!), bytes });
    process.once('SIGINT', interrupt);
    const made = await runRecipe({
      ...{ model: given, recipe, data, work, output: flags.output!, signal: controller.signal },
      loadTeacher: teacherLoader({ ...flags, seed: recipe.seed }),
      onStage: (what) => progress.stage(what),
      onProgress: (done, total, what) => progress.update(done, total, what),
      onTraining: (training, epochs) => progress.update(training.step, training.steps, trainingText(training, epochs)),
      onStep(record) {
        progress.end();
        if (!flags.json) print(lineOf(record));
      },
    });
    progress.end();
    await writeBytes(flags.output!, made.bytes);
    const page = flags.report === false ? undefined : (flags.report ?? flags.output!.replace(/(\.wafer)?$/, '.html'));
    if (page !== undefined) {
      progress.stage('report');
      const command = `wafer compress ${basename(model!)} --recipe ${basename(flags.recipe!)} --seed ${recipe.seed}`;
      await writeBytes(
        page,
        new TextEncoder().encode(await compressedPage(made, given, data, { output: basename(flags.output!), command })),
      );
      progress.end();
    }
    printCompressed(made, flags.output!, work, data, flags);
  } catch (error) {
    progress.end();
    if (!(error instanceof WaferError) || error.code !== 'DISPOSED') throw error;
    const { message } = error.toJSON();
    throw new WaferError('DISPOSED', message, {
      hint: `the same command goes on from there; "${flags.output}" is the best so far, others are in "${join(work, 'pareto')}"`,
    });
  } finally {
    process.off('SIGINT', interrupt);
  }
}

function refuse(message: string, hint: string): never {
  throw new WaferError('ARGUMENT', message, { hint });
}

function printReady({ json }: Flags): void {
  const ready = readyRecipes();
  if (json) printJson(ready);
  else printTable([['recipe', 'what it does'], ...ready.map(({ name, about }) => [name, about])]);
}

/** A file, or a ready one by its name. Throws ARGUMENT, NOT_FOUND, BAD_MODEL. */
async function recipeOf(name: string): Promise<Recipe> {
  const kind = extname(name).toLowerCase();
  if (/^\.[cm]?[jt]s$/.test(kind)) return recipeFrom(await runScript(name), basename(name));
  if (/^\.(ya?ml|json)$/.test(kind)) return readRecipe(new TextDecoder().decode(await readBytes(name)), basename(name));
  return readyRecipe(name);
}

function withFlags(recipe: Recipe, { data, test, calibrate, teacher, seed }: Flags): Recipe {
  return {
    ...recipe,
    data: {
      ...recipe.data,
      ...(data !== undefined && { train: data }),
      ...(test !== undefined && { test }),
      ...(calibrate !== undefined && { calibrate }),
    },
    ...(teacher !== undefined && { teacher }),
    ...(seed !== undefined && { seed }),
  };
}

const placesOf = ({ data }: Recipe): DataPlaces => data ?? {};

/** Reads a teacher once. */
function teacherLoader(flags: Flags & { seed: number }): (file: string) => Promise<NamedTeacher> {
  const found = new Map<string, Promise<NamedTeacher>>();
  const load = async (file: string): Promise<NamedTeacher> => {
    if (!/\.(wafer|onnx)$/.test(file)) refuse(`the teacher "${file}" is no model`, 'it ends in .wafer or .onnx');
    const bytes = await readBytes(file);
    const { graph, normalisation } = await readTrainable(file, bytes, flags);
    return { graph, normalisation, hash: createHash('sha256').update(bytes).digest('hex') };
  };
  return (file) => {
    if (!found.has(file)) found.set(file, load(file));
    return found.get(file)!;
  };
}

const SIGNS: Readonly<Record<StepRecord['outcome'], string>> = {
  kept: '',
  'rolled back': 'rolled back: ',
  skipped: 'skipped: ',
  stopped: 'the run ends here: ',
};

/** A step in a line. */
function lineOf({ place, step, outcome, why, what, after, isFound }: StepRecord): string {
  const did = outcome === 'skipped' ? '' : `${what}${isFound ? ' (found)' : ''}; `;
  const figures = after && outcome !== 'skipped' ? `${after.accuracy.toFixed(2)} %, ${bytesText(after.bytes)}` : '';
  const because = why === undefined ? '' : `${did && figures ? '; ' : ''}${SIGNS[outcome]}${why}`;
  return `${place} ${step}: ${did}${figures}${because}`;
}

function printCompressed(made: Compressed, output: string, work: string, data: RecipeData, flags: Flags): void {
  const { start, best, test, counts, pareto, unmet, bytes } = made;
  if (flags.json) {
    const { bytes: _, startBytes: __, ...rest } = made;
    printJson({ output, bytes: bytes.length, ...rest, notes: data.notes });
  } else {
    for (const note of data.notes) print(`note: ${note}`);
    const ratio = (a: number, b: number, digits = 1) => `${(a / b).toFixed(digits)} x`;
    print();
    printTable([
      ['', 'before', 'after', ''],
      ['bytes', start.bytes, best.bytes, `${ratio(start.bytes, best.bytes)} smaller`],
      [`${counts} %`, start.accuracy.toFixed(2), best.accuracy.toFixed(2), `${measureText('drop', best.drop)} lost`],
      ...(data.test === data.val
        ? []
        : [
            [
              `on ${test.examples} test examples`,
              test.start.toFixed(2),
              test.best.toFixed(2),
              `${measureText('drop', test.start - test.best)} lost`,
            ],
          ]),
      ['MACs', start.macs, best.macs, `${ratio(start.macs, best.macs)} fewer`],
      ['weights', start.weights, best.weights, `${ratio(start.weights, best.weights)} fewer`],
      ['ms here', (start.ms ?? 0).toFixed(2), (best.ms ?? 0).toFixed(2), `${ratio(start.ms ?? 1, best.ms ?? 1, 2)} faster`],
    ]);
    print(
      `${output}: ${bytesText(bytes.length)}${pareto.length > 1 ? `; ${pareto.length} files in ${relative('.', join(work, 'pareto'))}` : ''}`,
    );
    for (const what of unmet) print(`the budget is not met: ${what}`);
  }
  if (unmet.length > 0) process.exitCode = 1;
}
