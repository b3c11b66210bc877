/** Wafer by its public API. The page has loaded dist/wafer.min.js. */
import type * as Wafer from '../../src/index';
import { expose } from './page';

declare const wafer: typeof Wafer;

const LEAST_RUNS = 2;
const JOIN_MS = 2000;

expose(async (file, inputs, { threads, worker, base }) => {
  // What the runtime asks when it looks for the relaxed dot; a worker cannot be told.
  if (base) WebAssembly.validate = () => false;
  const model = await wafer.load(file, { worker, threads });
  const given = Object.fromEntries(inputs.map(({ name, data, shape }) => [name, { data, shape }]));
  const run = async () => Object.entries(await model.run(given)).map(([name, y]) => ({ name, shape: y.shape, data: y.data }));
  // Threads are started by a run that is long enough, and join in a later one.
  const start = performance.now();
  let known = await model.explain();
  for (let runs = 0; runs < LEAST_RUNS || (known.threads.count < threads && performance.now() < start + JOIN_MS); runs++) {
    await run();
    known = await model.explain();
  }
  return { build: `${known.build} (${known.dot})`, threads: known.threads.count, run };
});
