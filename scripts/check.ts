/**
 * `npm run check`: types, format and lint, the direction of imports between the rooms of src/, circles of imports and
 * the house rules. One line a failure, `file:line: what`, and exit code 1 when there is one.
 */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { buildAssembly } from './assembly';
import { buildRecipes } from './recipes';
import { buildShaders } from './shaders';

/** Who may import whom; `index` is src/index.ts. A room may always import from itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  ops: ['core'],
  graph: ['core', 'ops'],
  format: ['core', 'ops', 'graph'],
  runtime: ['core', 'ops', 'graph', 'format'],
  index: ['core', 'ops', 'graph', 'format', 'runtime'],
  packer: ['core', 'ops', 'graph', 'format', 'runtime'],
  cli: ['core', 'ops', 'graph', 'format', 'runtime', 'packer'],
};

/** Rooms that run on Node and may import packages; all others end up in web pages. */
const ON_NODE = new Set(['packer', 'cli']);

/** Written with brackets where the plain text would match itself. */
const HOUSE_RULES: readonly { pattern: RegExp; rule: string }[] = [
  { pattern: /\b(?:TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b/, rule: 'a marker for later work; do it, or write an issue' },
  { pattern: /(?:^|[\s'"`(=])\/(?:wor[k]|roo[t]|hom[e])\//, rule: 'a path of one machine' },
  { pattern: /\.\.\/(?:shar[e]d|\.librar[y])\b/, rule: 'a path outside the project' },
];
const FORBIDDEN_NAME = /(?:^|[/._-])(?:utils?|helpers?|common|managers?|impl)(?=[/._-]|$)/;

interface Import {
  from: string;
  line: number;
  specifier: string;
  /** The file it names, when that is in this project. */
  target: string | undefined;
}

const failures: string[] = [];
function fail(where: string, what: string): void {
  failures.push(`${where}: ${what}`);
}

const roomOf = (file: string): string => (file === 'src/index.ts' ? 'index' : file.split('/')[1]!);

/** Static and dynamic imports and re-exports. */
function importsOf(file: string, text: string): Import[] {
  const found: Import[] = [];
  const pattern = /^\s*(?:import|export)\s(?:[^'"`;]*?\sfrom\s*)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm;
  for (const match of text.matchAll(pattern)) {
    const specifier = match[1] ?? match[2]!;
    const path = specifier.startsWith('.') ? normalize(join(dirname(file), specifier)) : undefined;
    const target = path && [path, `${path}.ts`, `${path}/index.ts`].find((p) => /\.ts$/.test(p) && existsSync(p));
    found.push({ from: file, line: text.slice(0, match.index).split('\n').length, specifier, target });
  }
  return found;
}

function checkDirection({ from, line, specifier, target }: Import): void {
  const room = roomOf(from);
  const allowed = MAY_IMPORT[room];
  if (!allowed) fail(from, `src/${room} is no room; the rooms are ${Object.keys(MAY_IMPORT).join(', ')}`);
  else if (target?.startsWith('src/')) {
    const to = roomOf(target);
    if (to !== room && !allowed.includes(to)) fail(`${from}:${line}`, `${room} may not import from ${to} ("${specifier}")`);
  } else if (target && !target.startsWith('scripts/')) fail(`${from}:${line}`, `src may not import "${specifier}"`);
  else if (!specifier.startsWith('.') && !ON_NODE.has(room)) fail(`${from}:${line}`, `${room} may not import "${specifier}"`);
}

/** Every circle is reported once, from the first of its files that is met. */
function checkCircles(imports: readonly Import[]): void {
  const targets = new Map<string, string[]>();
  for (const { from, target } of imports) if (target) targets.set(from, [...(targets.get(from) ?? []), target]);
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    const at = path.indexOf(file);
    if (at >= 0) fail(file, `imports form a circle: ${[...path.slice(at), file].join(' → ')}`);
    if (at >= 0 || done.has(file)) return;
    for (const target of targets.get(file) ?? []) visit(target, [...path, file]);
    done.add(file);
  };
  for (const file of targets.keys()) visit(file, []);
}

function checkHouse(file: string, text: string): void {
  if (FORBIDDEN_NAME.test(file)) fail(file, 'the name says nothing; name it after what it holds');
  text.split('\n').forEach((line, i) => {
    for (const { pattern, rule } of HOUSE_RULES) if (pattern.test(line)) fail(`${file}:${i + 1}`, rule);
  });
  if (/^(?:src|assembly|scripts)\/.*\.ts$/.test(file) && !text.startsWith('/**') && !text.startsWith('#!'))
    fail(`${file}:1`, 'open the file with what lives here');
}

/** Runs a tool from node_modules and rewrites each match of `failure` (groups: file, line, what) in its output. */
function tool(command: string, args: readonly string[], failure: RegExp): Promise<void> {
  return new Promise((resolve) =>
    execFile(join('node_modules/.bin', command), args, { maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      if (error) {
        const found = [...`${stdout}\n${stderr}`.matchAll(failure)];
        for (const { groups } of found)
          fail(`${relative('.', groups!.file!)}:${groups!.line}`, `${groups!.rule ?? 'types'}: ${groups!.what}`);
        if (found.length === 0) fail(command, `${stdout}${stderr}${error.message}`);
      }
      resolve();
    }),
  );
}

const writtenAt = (file: string): number => (existsSync(file) ? statSync(file).mtimeMs : 0);
const newest = (folder: string): number =>
  Math.max(...readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => writtenAt(join(folder, name))));
if (newest('assembly') > writtenAt('src/ops/kernels.gen.ts')) await buildAssembly();
if (newest('shaders') > writtenAt('src/ops/shaders.gen.ts')) buildShaders();
if (newest('recipes') > writtenAt('src/packer/recipe/ready.gen.ts')) buildRecipes();
const tools = Promise.all([
  tool('tsc', ['-p', '.', '--pretty', 'false'], /^(?<file>[^\s(]+)\((?<line>\d+),\d+\): error (?<what>.*)/gm),
  tool(
    'biome',
    ['ci', '--reporter=github', '--max-diagnostics=none', '.'],
    /^::error title=(?<rule>[^,]+),file=(?<file>[^,]+),line=(?<line>\d+)[^:]*::(?<what>.*)/gm,
  ),
]);

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { encoding: 'utf8' })
  .split('\n')
  .filter((file) => file && existsSync(file));
const imports: Import[] = [];
for (const file of files) {
  if (!/\.(?:ts|mts|js|mjs|json|md|html|css|wgsl)$|^\.ci\//.test(file) || file === 'package-lock.json') continue;
  const text = readFileSync(file, 'utf8');
  checkHouse(file, text);
  if (file.endsWith('.ts') && !file.startsWith('assembly/')) imports.push(...importsOf(file, text));
}
for (const found of imports) if (found.from.startsWith('src/')) checkDirection(found);
checkCircles(imports);
await tools;

for (const line of failures) console.error(line);
if (failures.length === 0) console.log(`check: ${files.length} files are in order`);
process.exitCode = failures.length ? 1 : 0;
