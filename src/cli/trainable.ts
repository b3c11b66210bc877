/** Models that can be trained, from files and scripts. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Plugin } from 'esbuild';
import { WaferError } from '../core/errors';
import { readWafer } from '../format/reader';
import type { Graph } from '../graph/ir';
import type { Normalisation } from '../packer/data/batches';
import type { Dataset } from '../packer/data/dataset';
import { importOnnx } from '../packer/import/onnx/import';
import { optionalPackage } from '../packer/optional';
import { declutter } from '../packer/passes/index';
import { normalisationOfImages, type Uses } from '../packer/train/file';
import { buildModel, type ModelFunction } from '../packer/train/layers';
import { type ImageFlags, imageProcessing } from './images';

/** A model that can be trained. */
export interface Trainable {
  graph: Graph;
  /** Whether its weights are drawn, not learnt. */
  isNew?: boolean;
  normalisation?: Normalisation | undefined;
  /** What its file says of how it is used. */
  uses?: Uses;
}

export interface TrainableFlags extends ImageFlags {
  /** Draws weights. */
  seed: number;
  /** Shapes of inputs of ONNX models. */
  input: Readonly<Record<string, string>>;
}

/** A .wafer file, an ONNX model or a script, which builds a model for `set`. Throws ARGUMENT, BAD_FILE, BAD_MODEL, UNSUPPORTED. */
export async function readTrainable(
  path: string,
  bytes: Uint8Array,
  { seed, input, ...flags }: TrainableFlags,
  set?: Dataset,
): Promise<Trainable> {
  if (path.endsWith('.wafer')) {
    const { graph, labels, images, postprocessing } = readWafer(bytes);
    const uses: Uses = { ...(labels && { labels }), ...(images && { images }), ...(postprocessing && { postprocessing }) };
    return { graph, uses, normalisation: uses.images?.[0] && normalisationOfImages(uses.images[0]) };
  }
  if (path.endsWith('.onnx')) {
    const inputs = Object.entries(input).map(([name, text]) => {
      const shape = text.split(',').map((part) => (/^\d+$/.test(part) ? Number(part) : part));
      return [name, { shape }] as const;
    });
    const graph = declutter(importOnnx(bytes, { inputs: Object.fromEntries(inputs) }).graph);
    const images = imageProcessing(flags, graph.inputs);
    return { graph, normalisation: images && normalisationOfImages(images) };
  }
  if (!/\.[cm]?[jt]s$/.test(path))
    throw new WaferError('ARGUMENT', `"${path}" is neither a model nor a script`, {
      hint: 'it ends in .wafer, .onnx, .ts or .mjs',
    });
  const model = await runScript(path);
  if (typeof model !== 'function')
    throw new WaferError('BAD_MODEL', `"${path}" has no function as its default export`, { hint: 'wafer help train shows one' });
  return { graph: buildModel(model as ModelFunction, seed, set), isNew: true };
}

/** What a script exports as its default. Throws BAD_MODEL where it does not run, NOT_FOUND. */
export async function runScript(path: string): Promise<unknown> {
  try {
    return ((await import(await scriptAddress(path))) as { default?: unknown }).default;
  } catch (error) {
    if (error instanceof WaferError) throw error;
    throw new WaferError('BAD_MODEL', `"${path}" does not run: ${(error as Error).message}`, { hint: 'mend the script' });
  }
}

/** What scripts import to have their recipe's type checked; it is nothing at run time. */
const RECIPE_MODULE = 'waferjs/recipe';
const recipeModule: Plugin = {
  name: RECIPE_MODULE,
  setup({ onResolve, onLoad }) {
    onResolve({ filter: new RegExp(`^${RECIPE_MODULE}$`) }, ({ path }) => ({ path, namespace: RECIPE_MODULE }));
    onLoad({ filter: /./, namespace: RECIPE_MODULE }, () => ({ contents: 'export const recipe = (x) => x;' }));
  },
};

/** TypeScript is turned into a module first. */
async function scriptAddress(path: string): Promise<string> {
  if (!/\.[cm]?ts$/.test(path)) return pathToFileURL(resolve(path)).href;
  const esbuild = await optionalPackage<typeof import('esbuild')>('esbuild', `read ${path}`);
  const { outputFiles } = await esbuild.build({
    ...{ entryPoints: [path], bundle: true, platform: 'node', format: 'esm', write: false, logLevel: 'silent' },
    plugins: [recipeModule],
  });
  return `data:text/javascript;base64,${Buffer.from(outputFiles[0]!.contents).toString('base64')}`;
}
