/** Wafer by its public API, in the page's own thread as its peers. The page has loaded dist/wafer.min.js. */
import type * as Wafer from '../../src/index';
import { expose } from './page';

declare const wafer: typeof Wafer;

expose(async (file, inputs, { threads, base }) => {
  // What the runtime asks when it looks for the relaxed dot.
  if (base) WebAssembly.validate = () => false;
  const open = (options: Wafer.LoadOptions) => wafer.load(file, { worker: false, ...options });
  let used = threads;
  const model = await open(threads > 1 ? { threads } : {}).catch((error) => {
    if (error.code !== 'NO_DEVICE' || threads === 1) throw error;
    used = 1;
    return open({});
  });
  const given = Object.fromEntries(inputs.map(({ name, data, shape }) => [name, { data, shape }]));
  const run = async () => Object.entries(await model.run(given)).map(([name, y]) => ({ name, shape: y.shape, data: y.data }));
  await run();
  const { build, dot } = await model.explain();
  return { build: `${build} (${dot})`, threads: used, run };
});
