/** docs/recipes.md and the declarations say what the schema says. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { DOCS, withReference } from '../../../scripts/recipes';
import { declarations } from '../../../src/packer/recipe/describe';
import { readRecipe } from '../../../src/packer/recipe/read';
import { readyRecipe, readyRecipes } from '../../../src/packer/recipe/ready';

const page = readFileSync(DOCS, 'utf8');

test('recipe: the page is the schema’s (npx tsx scripts/recipes.ts writes it)', async () => {
  expect(await withReference(page)).toBe(page);
});

test('recipe: the page names the ready recipes as they are', () => {
  for (const { name, about } of readyRecipes()) expect(page).toContain(`| \`${name}\` | ${about} |`);
});

test('recipe: examples on the page are recipes', () => {
  const examples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => text!);
  expect(examples.length).toBeGreaterThan(0);
  for (const text of examples) expect(readRecipe(text, 'example.yaml').steps.length).toBeGreaterThan(2);
});

test('recipe: a ready recipe that is not there is named', () => {
  expect(() => readyRecipe('prune5')).toThrow(/no recipe is called "prune5"[\s\S]*did you mean "prune50"/);
});

test('recipe: declarations take what the schema takes, and nothing else', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'wafer-types-'));
  const script = (steps: string) =>
    `import { recipe } from './recipe';\nexport default recipe({ version: 1, steps: [${steps}] });\n`;
  const right =
    "{ prune: { ratio: '30%', by: ['apoz', 'l2'] } }, { quantize: { weights: 4, gate: { bytes: '40kB' } } }, { verify: {} }";
  writeFileSync(join(folder, 'recipe.d.ts'), declarations());
  writeFileSync(join(folder, 'right.ts'), script(right));
  writeFileSync(join(folder, 'wrong.ts'), script("{ prun: {} }, { prune: { ratio: 'lots' } }"));
  const tsc = (file: string) =>
    promisify(execFile)('node_modules/.bin/tsc', ['--noEmit', '--ignoreConfig', '--strict', join(folder, file)]).then(
      () => '',
      ({ stdout }: { stdout: string }) => stdout,
    );
  const [good, bad] = await Promise.all([tsc('right.ts'), tsc('wrong.ts')]);
  rmSync(folder, { recursive: true });
  expect(good).toBe('');
  expect(bad).toMatch(/'prun' does not exist/);
});
