/** The part of models.test.ts that runs in the page: a file through the public API, in the worker that it starts by itself or on a GPU. */
import type * as Wafer from '../../src/index';
import { fromBase64, receiveAll, type Sent, sendAll } from '../support/sent';

declare const wafer: typeof Wafer;

export interface PageRun {
  /** `worker` or `main`. */
  thread: string;
  /** `wasm`, or the GPU. */
  device: string;
  /** What floats were stored as. */
  precision: string;
  /** Bytes of constants and of activations. */
  resident: number;
  arena: number;
  /** Of each sample, by name. */
  outputs: Record<string, Sent>[];
}

/** Loads a file, given in base64, and runs it on each sample: on a GPU of `level` where one is named. */
async function runFile(
  file: string,
  samples: Record<string, Sent>[],
  level?: 'core' | 'compatibility',
  precision: 'f32' | 'f16' = 'f32',
): Promise<PageRun> {
  if (level) offerOnly(level);
  const model = await wafer.load(fromBase64(file), level ? { backend: 'webgpu', worker: false, precision } : {});
  const outputs: PageRun['outputs'] = [];
  for (const sample of samples) outputs.push(sendAll(await model.run(receiveAll(sample))));
  const { thread, device, build, precision: used } = await model.explain();
  const { resident, arena } = await model.memory();
  await model.dispose();
  const where = { thread: thread.kind, device: device === 'webgpu' ? build : device, precision: used };
  return { ...where, resident, arena, outputs };
}

const { requestAdapter } = globalThis.GPU?.prototype ?? {};

/** From now on the page finds adapters of this level alone. */
function offerOnly(level: 'core' | 'compatibility'): void {
  GPU.prototype.requestAdapter = async function (options) {
    return (options as { featureLevel?: string }).featureLevel === level ? requestAdapter!.call(this, options) : null;
  };
}

const calls = { runFile };
export type ModelCalls = typeof calls;
Object.assign(globalThis, calls);
