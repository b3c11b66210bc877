/**
 * Recipes: their texts as a source, so that they are in the bundle; `waferjs/recipe`, by which scripts have theirs checked; and
 * `npx tsx scripts/recipes.ts`, which writes the tables of docs/recipes.md by the schema.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

export function buildRecipes(): void {
  const texts = readdirSync('recipes')
    .filter((name) => name.endsWith('.yaml'))
    .sort()
    .map((name) => `  ${basename(name, '.yaml')}: ${JSON.stringify(readFileSync(join('recipes', name), 'utf8'))},`);
  const source = `/** Written by scripts/recipes.ts. */\nexport const READY: Readonly<Record<string, string>> = {\n${texts.join('\n')}\n};\n`;
  writeFileSync('src/packer/recipe/ready.gen.ts', source);
}

/** dist/recipe.mjs and its declarations. */
export async function buildRecipeModule(): Promise<void> {
  const { declarations } = await import('../src/packer/recipe/describe');
  writeFileSync('dist/recipe.mjs', 'export const recipe = (recipe) => recipe;\n');
  writeFileSync('dist/recipe.d.ts', declarations());
}

export const DOCS = 'docs/recipes.md';

/** Between these lines docs/recipes.md is the schema's. */
const [BEGIN, END] = ['<!-- From here on the schema says it: npx tsx scripts/recipes.ts -->\n', '\n<!-- To here. -->'];

/** The page with the tables that the schema says now. */
export async function withReference(page: string): Promise<string> {
  const { reference } = await import('../src/packer/recipe/describe');
  const [before, rest] = page.split(BEGIN) as [string, string];
  return `${before}${BEGIN}\n${reference()}\n${END}${rest.split(END)[1]}`;
}

if (process.argv[1]?.endsWith('recipes.ts')) writeFileSync(DOCS, await withReference(readFileSync(DOCS, 'utf8')));
