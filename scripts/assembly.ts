/**
 * Compiles assembly/ to build/wafer-{base,relaxed}.wasm and writes two sources: the type of the kernels' names in
 * src/ops/kernels.gen.ts, so that naming a kernel that is not there is a type error, and the binaries as text in
 * src/runtime/wasm/binaries.gen.ts, so that one import finds them in Node, in a test and in a bundle.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { encodeText } from '../src/runtime/wasm/text';

const asc = join(dirname(createRequire(import.meta.url).resolve('assemblyscript/package.json')), 'bin/asc.js');

export async function buildAssembly(): Promise<void> {
  mkdirSync('build', { recursive: true });
  const compile = (target: string) =>
    promisify(execFile)(process.execPath, [asc, '--config', 'asconfig.json', '--target', target]);
  await Promise.all(['base', 'relaxed'].map(compile));
  const [base, relaxed] = ['base', 'relaxed'].map((target) => readFileSync(`build/wafer-${target}.wasm`));
  const module = new WebAssembly.Module(base!);
  const kernels = WebAssembly.Module.exports(module)
    .filter((e) => e.kind === 'function')
    .map((e) => e.name)
    .sort();
  const union = kernels.length ? kernels.map((name) => `  | '${name}'`).join('\n') : '  never';
  const text = `/** Written by scripts/assembly.ts. */\nexport type KernelName =\n${union};\n`;
  writeFileSync('src/ops/kernels.gen.ts', text);
  const encoded = `export const BASE =\n  '${encodeText(base!)}';\nexport const RELAXED =\n  '${encodeText(relaxed!)}';\n`;
  writeFileSync(
    'src/runtime/wasm/binaries.gen.ts',
    `/** Written by scripts/assembly.ts: the WASM binaries, as text.ts encodes them. */\n${encoded}`,
  );
}

if (process.argv[1]?.endsWith('assembly.ts')) await buildAssembly();
