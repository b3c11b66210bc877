/**
 * `npm run models -- [NAME...]`: makes the files of models/ again, in build/models, by the commands of their recipes, and says whether
 * the bytes are the same. Packing gives the same bytes everywhere, training on processors of one kind.
 */
import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Command } from 'commander';
import { filledIn, RECIPES, type Recipe, recordOf } from '../models/recipes';
import { positiveInt } from '../src/cli/files';
import { print } from '../src/cli/terminal';
import { WaferError } from '../src/core/errors';
import { runCommand } from './command';

const OUT = 'build/models';

/** Throws NOT_FOUND for folders that no variable names, ARGUMENT where a command fails. */
async function make({ name, commands }: Recipe, seed: number): Promise<Buffer> {
  const file = join(OUT, `${name}.wafer`);
  mkdirSync(dirname(file), { recursive: true });
  for (const command of commands) {
    print(`wafer ${command.join(' ')}`);
    const args = command.map((text) => filledIn(text, { ...process.env, OUT, SEED: String(seed) }));
    const code = await new Promise((resolve) =>
      spawn(process.execPath, ['dist/cli.mjs', ...args], { stdio: 'inherit' }).on('close', resolve),
    );
    if (code !== 0) throw new WaferError('ARGUMENT', `${name}: wafer ${command[0]} ended with ${code}`);
  }
  return readFileSync(file);
}

async function makeAll(names: readonly string[], { keep, ...flags }: { keep?: boolean; seed?: number }): Promise<void> {
  const recipes = names.length ? RECIPES.filter(({ name }) => names.includes(name)) : RECIPES;
  for (const recipe of recipes) {
    const seed = flags.seed ?? recordOf(recipe).seed;
    const path = join('models', `${recipe.name}.wafer`);
    const kept = existsSync(path) ? readFileSync(path) : undefined;
    const made = await make(recipe, seed);
    print(`${recipe.name}: ${kept?.equals(made) ? 'the same bytes as' : 'other bytes than'} ${path}`);
    if (keep) copyFileSync(join(OUT, `${recipe.name}.wafer`), path);
  }
}

await runCommand(
  new Command('models')
    .description('makes the files of models/ again')
    .argument('[name...]', 'of recipes (default: all)')
    .option('--seed <n>', 'instead of that of the file', positiveInt)
    .option('--keep', 'puts them into models/')
    .action(makeAll),
);
