/**
 * Wafer by its public API. The page has loaded dist/wafer.min.js. Where many runs are timed it computes in the page's own thread,
 * as its peers do; where the first result is, as it does by default.
 */
import type * as Wafer from '../../src/index';
import { expose } from './page';

declare const wafer: typeof Wafer;

expose(async (download, draw, { file, threads, base, isCold }) => {
  // What the runtime asks when it looks for the relaxed dot.
  if (base) WebAssembly.validate = () => false;
  const open = isCold
    ? (options: Wafer.LoadOptions) => wafer.load(file, options)
    : async (options: Wafer.LoadOptions) => wafer.load(await download(), { worker: false, ...options });
  let used = threads;
  const loading = open(threads > 1 ? { threads } : {}).catch((error) => {
    if (error.code !== 'NO_DEVICE' || threads === 1) throw error;
    used = 1;
    return open({});
  });
  const inputs = draw();
  const model = await loading;
  const given = Object.fromEntries(inputs.map(({ name, data, shape }) => [name, { data, shape }]));
  const run = async () => Object.entries(await model.run(given)).map(([name, y]) => ({ name, shape: y.shape, data: y.data }));
  const { build, dot } = await model.explain();
  return { build: `${build} (${dot})`, threads: used, run };
});
