/** Reads recipes/ and writes their texts as a source, so that they are in the bundle: src/packer/recipe/ready.gen.ts. */
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
