/**
 * `npm run build`: everything in dist/. The two runtime bundles carry the kernels and the worker's script, so that one
 * file is all a page needs; `wafer.worker.js` is for pages whose policy wants the worker as a file.
 */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import { buildAssembly } from './assembly';
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

/** The script of the worker that a bundle starts from a Blob. */
async function workerScript(): Promise<string> {
  const { outputFiles } = await build({
    ...browser,
    entryPoints: ['src/runtime/worker/inline.ts'],
    format: 'iife',
    write: false,
  });
  return outputFiles![0]!.text.trim();
}

async function buildBundles(): Promise<void> {
  const banner = { js: `/*! wafer ${version}, MIT licence */` };
  const published: BuildOptions = { ...browser, sourcemap: true, banner };
  const define = { WAFER_WORKER_SCRIPT: JSON.stringify(await workerScript()) };
  const index = { ...published, entryPoints: ['src/index.ts'], define };
  await Promise.all([
    build({ ...index, format: 'iife', globalName: 'wafer', outfile: 'dist/wafer.min.js' }),
    build({ ...index, format: 'esm', outfile: 'dist/wafer.mjs' }),
    build({ ...published, entryPoints: ['src/runtime/worker/hosted.ts'], format: 'iife', outfile: 'dist/wafer.worker.js' }),
  ]);
}

/** The packer's face; its large libraries stay optional and are asked for by the verbs that need them. */
async function buildCli(): Promise<void> {
  const entry = 'src/cli/index.ts';
  if (!existsSync(entry)) return;
  await build({
    entryPoints: [entry],
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    outfile: 'dist/cli.mjs',
    sourcemap: true,
    legalComments: 'none',
    external: ['onnxruntime-node', 'puppeteer-core', '@puppeteer/browsers', 'sharp'],
    // CommonJS libraries inside an ES module ask for `require`.
    banner: {
      js: "#!/usr/bin/env node\nimport { createRequire as makeRequire } from 'node:module';\nconst require = makeRequire(import.meta.url);",
    },
  });
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
  buildShaders();
  await buildAssembly();
  await Promise.all([buildBundles(), buildCli(), buildTypes()]);
}

if (process.argv[1]?.endsWith('build.ts')) await buildAll();
