/**
 * Reads shaders/ and writes two sources: the types of the shaders' names and flags in src/ops/shaders.gen.ts, so that naming
 * a shader or a flag that is not there is a type error, and their text without comments in src/runtime/webgpu/texts.gen.ts.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { FLAG, type Flag, parseFlag } from '../src/runtime/webgpu/specialise';

/** Without comments, indentation, and spaces that separate nothing. Directives keep theirs. */
function minified(text: string): string {
  return text
    .split('\n')
    .map((line) => line.replace(/\/\/.*/, '').trim())
    .filter((line) => line)
    .map((line) => (line.startsWith('#') ? line : line.replace(/\s*([-+*/%=<>!&|^(){}[\],:;?]|->)\s*/g, '$1')))
    .join('\n');
}

const typeOf = (flag: Flag): string => (Array.isArray(flag) ? 'readonly string[]' : typeof flag);

export function buildShaders(): void {
  const read = (folder: string) =>
    readdirSync(folder)
      .filter((name) => name.endsWith('.wgsl'))
      .sort()
      .map((name) => ({ name: basename(name, '.wgsl'), text: minified(readFileSync(join(folder, name), 'utf8')) }));
  const shaders = read('shaders');
  const library = read('shaders/lib');
  const flags = shaders.map(({ name, text }) => {
    const declared = [...text.matchAll(FLAG)].map((match) => {
      const [flag, value] = parseFlag(match);
      return ` ${flag}: ${typeOf(value)};`;
    });
    return `  ${name}: {${declared.join('')}${declared.length ? ' ' : ''}};`;
  });
  const types = `/** Written by scripts/shaders.ts. */\nexport interface ShaderFlags {\n${flags.join('\n')}\n}\n\nexport type ShaderName = keyof ShaderFlags;\n`;
  const texts = (files: { name: string; text: string }[]) =>
    `{\n${files.map((f) => `    ${f.name}: ${JSON.stringify(f.text)},`).join('\n')}\n  }`;
  writeFileSync('src/ops/shaders.gen.ts', types);
  writeFileSync(
    'src/runtime/webgpu/texts.gen.ts',
    `/** Written by scripts/shaders.ts: the shaders and what they include, as specialise.ts reads them. */\nexport const TEXTS = {\n  shaders: ${texts(shaders)},\n  library: ${texts(library)},\n};\n`,
  );
}

if (process.argv[1]?.endsWith('shaders.ts')) buildShaders();
