/**
 * The part of engines.ts that runs in the page: loads each model by the public API of wafer.min.js and leaves checksums of
 * what it computes in `window.result`. With `?base` the page's thread computes, and is told that there is no byte dot.
 */
import type { Inputs } from '../../src/format/golden';
import type * as Wafer from '../../src/index';
import { drawnInputs, type Sizes, sumOf } from './runs';

declare const wafer: typeof Wafer;

/** What `models.json` lists. */
export interface Listed extends Inputs {
  id: string;
  file: string;
  /** One set a run. */
  sizes: readonly Sizes[];
  seed: number;
  gain: number;
}

export interface PageResult {
  build: string;
  dot: string;
  why: string;
  thread: string;
  /** The most that computed. */
  threads: number;
  /** By the model's id: a sum a run, or what went wrong. */
  models: Record<string, { sums: string[] } | { failure: string }>;
}

declare global {
  interface Window {
    result?: PageResult | { failure: string };
  }
}

/** Runs come several times: an engine may compute something else once it has optimised a kernel, or has threads. */
const ROUNDS = 3;

/** Threads are started by the first long run, and may take so long. */
const JOIN_MS = 2000;

const isBase = location.search === '?base';
if (isBase) WebAssembly.validate = () => false;

async function runAll(): Promise<PageResult> {
  const result: PageResult = { build: '', dot: '', why: '', thread: '', threads: 1, models: {} };
  for (const listed of (await (await fetch('models.json')).json()) as Listed[])
    try {
      const model = await wafer.load(listed.file, { worker: !isBase });
      result.models[listed.id] = await run(model, listed);
      const { build, dot, why, thread, threads } = await model.explain();
      Object.assign(result, { build, dot, why: isBase ? 'base is forced' : why, thread: thread.kind });
      result.threads = Math.max(result.threads, threads.count);
      await model.dispose();
    } catch (error) {
      result.models[listed.id] = { failure: String(error) };
    }
  return result;
}

async function run(model: Wafer.Model, { inputs, sizes, seed, gain }: Listed): Promise<{ sums: string[] } | { failure: string }> {
  const rounds: string[][] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const sums: string[] = [];
    for (const set of sizes) sums.push(sumOf(await model.run(drawnInputs({ inputs }, set, seed, gain))));
    rounds.push(sums);
    for (const end = performance.now() + JOIN_MS; (await isJoining(model)) && performance.now() < end; )
      await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const [first] = rounds;
  const other = rounds.findIndex((sums) => sums.join() !== first!.join());
  return other < 0 ? { sums: first! } : { failure: `round ${other + 1} gives ${rounds[other]}, the first ${first}` };
}

const isJoining = async (model: Wafer.Model): Promise<boolean> => (await model.explain()).threads.why.includes('being started');

runAll().then(
  (result) => (window.result = result),
  (error) => (window.result = { failure: String(error) }),
);
