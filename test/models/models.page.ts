/** The part of models.test.ts that runs in the page: a file through the public API, in the worker that it starts by itself. */
import type * as Wafer from '../../src/index';
import { fromBase64, receiveAll, type Sent, sendAll } from '../support/sent';

declare const wafer: typeof Wafer;

export interface PageRun {
  /** `worker` or `main`. */
  thread: string;
  /** Of each sample, by name. */
  outputs: Record<string, Sent>[];
}

/** Loads a file, given in base64, and runs it on each sample. */
async function runFile(file: string, samples: Record<string, Sent>[]): Promise<PageRun> {
  const model = await wafer.load(fromBase64(file));
  const outputs: PageRun['outputs'] = [];
  for (const sample of samples) outputs.push(sendAll(await model.run(receiveAll(sample))));
  const { thread } = await model.explain();
  await model.dispose();
  return { thread: thread.kind, outputs };
}

const calls = { runFile };
export type ModelCalls = typeof calls;
Object.assign(globalThis, calls);
