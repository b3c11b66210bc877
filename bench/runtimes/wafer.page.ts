/**
 * Wafer by its public API. The page has loaded dist/wafer.min.js. Where many runs are timed on one thread it computes in the page's
 * own, as its peers do; else in a worker, as it does by default.
 */
import type * as Wafer from '../../src/index';
import { expose } from './page';

declare const wafer: typeof Wafer;

const LEAST_RUNS = 2;
const JOIN_MS = 2000;

expose(async (download, draw, { file, threads, worker, base, isCold, backend }) => {
  // What the runtime asks when it looks for the relaxed dot; a worker cannot be told.
  if (base) WebAssembly.validate = () => false;
  const loading = isCold
    ? wafer.load(file, { threads, backend })
    : download().then((bytes) => wafer.load(bytes, { worker, threads, backend }));
  const inputs = draw();
  const model = await loading;
  const given = Object.fromEntries(inputs.map(({ name, data, shape }) => [name, { data, shape }]));
  const run = async () => Object.entries(await model.run(given)).map(([name, y]) => ({ name, shape: y.shape, data: y.data }));
  // Threads are started by a run that is long enough, and join in a later one.
  const start = performance.now();
  let known = await model.explain();
  const isJoined = () => known.threads.count >= threads || performance.now() > start + JOIN_MS;
  for (let runs = 0; threads > 1 && (runs < LEAST_RUNS || !isJoined()); runs++) {
    await run();
    known = await model.explain();
  }
  return { build: `${known.build} (${known.dot})`, threads: known.threads.count, run };
});
