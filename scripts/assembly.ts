/**
 * Compiles assembly/ to build/wafer-{base,relaxed}.wasm and writes the type of the kernels' names to
 * src/ops/kernels.gen.ts, so that naming a kernel that is not there is a type error.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const asc = join(dirname(createRequire(import.meta.url).resolve('assemblyscript/package.json')), 'bin/asc.js');

export async function buildAssembly(): Promise<void> {
  mkdirSync('build', { recursive: true });
  const compile = (target: string) =>
    promisify(execFile)(process.execPath, [asc, '--config', 'asconfig.json', '--target', target]);
  await Promise.all(['base', 'relaxed'].map(compile));
  const module = new WebAssembly.Module(readFileSync('build/wafer-base.wasm'));
  const kernels = WebAssembly.Module.exports(module)
    .filter((e) => e.kind === 'function')
    .map((e) => e.name)
    .sort();
  const union = kernels.length ? kernels.map((name) => `  | '${name}'`).join('\n') : '  never';
  const text = `/** Written by scripts/assembly.ts. */\nexport type KernelName =\n${union};\n`;
  writeFileSync('src/ops/kernels.gen.ts', text);
}

if (process.argv[1]?.endsWith('assembly.ts')) await buildAssembly();
