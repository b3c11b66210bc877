/**
 * `npm run build`: everything in dist/. The two runtime bundles carry the kernels, the shaders and the worker's script, so that one
 * file is all a page needs; `wafer.worker.js` is for pages whose policy wants the worker as a file.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import { buildAssembly } from './assembly';
import { buildRecipeModule, buildRecipes } from './recipes';
import { buildShaders } from './shaders';

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

/**
 * An operator's `offline` half is dropped from bundles that do not name it. esbuild sees by itself that it is unused, but
 * not that making it has no effects.
 */
const dropOffline: Plugin = {
  name: 'drop-offline',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]src[\\/]ops[\\/]\w+\.ts$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8');
      const contents = text.replace(
        /(?<=^export const offline = )(defineOffline\([\s\S]*?^\}\));/m,
        '/* @__PURE__ */ (() => $1)();',
      );
      return { contents, loader: 'ts' };
    });
  },
};

const browser: BuildOptions = {
  bundle: true,
  plugins: [dropOffline],
  minify: true,
  // What every browser with WASM SIMD knows.
  target: ['chrome91', 'firefox89', 'safari16.4'],
  charset: 'utf8',
  legalComments: 'none',
};

/** Modules of data that a page sends to the worker that it starts, which is why the runtime's text must not hold them. */
const DATA = /[\\/](?:binaries|texts)\.gen\.ts$/;
const DATA_NAMES = ['BASE', 'RELAXED', 'TEXTS'] as const;

/** Has these modules take what they hold from WAFER_DATA, which the bundle defines around the runtime. */
const dataApart: Plugin = {
  name: 'data-apart',
  setup({ onLoad }) {
    onLoad({ filter: DATA }, () => ({ contents: `export const {${DATA_NAMES}} = WAFER_DATA;`, loader: 'ts' }));
  },
};

/** The whole runtime, page and worker, as the text of a script that declares `wafer`. */
async function runtimeText(): Promise<{ text: string; map: { mappings: string } }> {
  const contents = "export * from './src/index'; export { serve } from './src/runtime/worker/serve';";
  const { outputFiles } = await build({
    ...browser,
    ...{ stdin: { contents, resolveDir: '.', loader: 'ts' as const }, outfile: 'dist/wafer.js', write: false },
    ...{ format: 'iife' as const, globalName: 'wafer', sourcemap: 'external' as const },
    plugins: [dropOffline, dataApart],
  });
  const [map, script] = ['.map', '.js'].map((end) => outputFiles!.find(({ path }) => path.endsWith(end))!.text);
  return { text: script!.trim(), map: JSON.parse(map!) as { mappings: string } };
}

/** What the modules of data hold, as an expression. */
async function dataText(): Promise<string> {
  const contents = "export * from './src/runtime/wasm/binaries.gen'; export * from './src/runtime/webgpu/texts.gen';";
  const { outputFiles } = await build({
    ...browser,
    ...{ stdin: { contents, resolveDir: '.', loader: 'ts' as const }, write: false, format: 'iife' as const, globalName: 'data' },
  });
  return `(()=>{${outputFiles![0]!.text.trim()}return data})()`;
}

/**
 * A bundle holds the runtime's text twice, as code for the page and as a string for the worker that it starts, letter by letter the
 * same, so that compression finds the second for next to nothing. A worker computes with the data that the page sends.
 */
async function buildBundles(): Promise<void> {
  const [{ text, map }, data] = await Promise.all([runtimeText(), dataText()]);
  const worker = `var WAFER_DATA={},WAFER_WORKER_SCRIPT;${text}wafer.serve(self)`;
  const before = `/*! wafer ${version}, MIT licence */\nvar WAFER_DATA=${data},WAFER_WORKER_SCRIPT=${quoted(worker)};\n`;
  const api = '{serve,...api}=wafer';
  const bundles = {
    'wafer.min.js': `${before.replace('\n', '\nvar wafer=(()=>{')}${text}\nvar ${api};return api})();`,
    'wafer.mjs': `${before}${text}\nexport const {${(await publicNames()).join()}}=wafer;`,
  };
  const shift = ';'.repeat(before.split('\n').length - 1);
  for (const [name, script] of Object.entries(bundles)) {
    writeFileSync(`dist/${name}`, `${script}\n//# sourceMappingURL=${name}.map\n`);
    writeFileSync(`dist/${name}.map`, JSON.stringify({ ...map, file: name, mappings: shift + map.mappings }));
  }
  const banner = { js: `/*! wafer ${version}, MIT licence */` };
  const hosted = { entryPoints: ['src/runtime/worker/hosted.ts'], outfile: 'dist/wafer.worker.js' };
  await build({ ...browser, ...hosted, banner, sourcemap: true, format: 'iife' });
}

/** As a string literal with few escapes: minified code has hardly an apostrophe. */
const quoted = (text: string): string =>
  `'${text
    .replace(/[\\']/g, '\\$&')
    .replace(/\n/g, '\\n')
    .replace(/\r/g, '\\r')
    .replace(/\u2028/g, '\\u2028')
    .replace(/\u2029/g, '\\u2029')}'`;

/** Values that src/index.ts exports. */
async function publicNames(): Promise<string[]> {
  const { metafile } = await build({
    ...browser,
    ...{ entryPoints: ['src/index.ts'], write: false, format: 'esm' as const, metafile: true, outfile: 'index.js' },
  });
  return Object.values(metafile!.outputs)[0]!.exports;
}

const EXTERNAL = ['onnxruntime-node', 'onnxruntime-web', 'esbuild', 'puppeteer-core', '@puppeteer/browsers', 'sharp'];

/** The packer's face; its large libraries stay optional and are asked for by the verbs that need them. */
async function buildCli(): Promise<void> {
  const entry = 'src/cli/index.ts';
  if (!existsSync(entry)) return;
  const node: BuildOptions = {
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    sourcemap: true,
    legalComments: 'none',
    external: EXTERNAL,
  };
  // CommonJS libraries inside an ES module ask for `require`.
  const require = "import { createRequire as makeRequire } from 'node:module';\nconst require = makeRequire(import.meta.url);";
  await build({ ...node, entryPoints: [entry], outfile: 'dist/cli.mjs', banner: { js: `#!/usr/bin/env node\n${require}` } });
  await build({ ...node, entryPoints: ['src/packer/train/worker.ts'], outfile: 'dist/train.worker.mjs' });
}

/** Declarations of the public API: what src/index.ts reaches and no more, with the extensions that Node's resolution wants. */
async function buildTypes(): Promise<void> {
  const tsc = join('node_modules', '.bin', process.platform === 'win32' ? 'tsc.cmd' : 'tsc');
  await promisify(execFile)(tsc, ['-p', 'tsconfig.types.json'], { shell: process.platform === 'win32' });
  const root = 'dist/types';
  const reached = new Set<string>();
  const queue = [join(root, 'index.d.ts')];
  for (let file = queue.pop(); file; file = queue.pop()) {
    if (reached.has(file)) continue;
    reached.add(file);
    const text = readFileSync(file, 'utf8');
    for (const [, path] of text.matchAll(LOCAL_IMPORT)) queue.push(`${join(dirname(file), path!)}.d.ts`);
    writeFileSync(
      file,
      text.replace(LOCAL_IMPORT, (found, path: string) => found.replace(path, `${path}.js`)),
    );
  }
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    if (entry.isFile() && !reached.has(file)) rmSync(file);
  }
}

const LOCAL_IMPORT = /(?<=from |import\()['"](\.{1,2}\/[^'"]+)['"]/g;

async function buildAll(): Promise<void> {
  rmSync('dist', { recursive: true, force: true });
  mkdirSync('dist');
  buildShaders();
  buildRecipes();
  await buildAssembly();
  await Promise.all([buildBundles(), buildCli(), buildTypes(), buildRecipeModule()]);
}

if (process.argv[1]?.endsWith('build.ts')) await buildAll();
