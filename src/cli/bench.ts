/** `wafer bench`: how long loading, the first run and later runs take, here or in a real browser. */
import { Command, Option } from 'commander';
import { WaferError } from '../core/errors';
import { readWafer } from '../format/reader';
import { Session } from '../runtime/session';
import { binaries } from '../runtime/wasm/binaries';
import { WasmDevice } from '../runtime/wasm/device';
import { benchInBrowser, type Times } from './browser';
import { positiveInt, readModel, size } from './files';
import { drawInputs } from './tensors';
import { bytesText, print, printJson } from './terminal';

interface Flags {
  browser?: boolean;
  device: 'auto' | 'wasm' | 'webgpu';
  threads: number;
  runs: number;
  size: Record<string, number>;
  json?: boolean;
}

export const benchCommand = (): Command =>
  new Command('bench')
    .description('time a .wafer file, in Node or in a browser')
    .argument('<file.wafer>')
    .option('--browser', 'in headless Chromium (needs puppeteer-core)')
    .addOption(new Option('--device <name>', 'what computes').choices(['auto', 'wasm', 'webgpu']).default('auto'))
    .option('--threads <n>', 'how many threads compute, in a browser', positiveInt, 1)
    .option('--runs <n>', 'runs that are timed, after the first', positiveInt, 20)
    .option('--size <name=n>', 'size of a free dimension (repeat for each)', size, {})
    .addHelpText(
      'after',
      '\nExamples:\n  wafer bench model.wafer\n  wafer bench detector.wafer --browser --size H=640 --size W=640 --json',
    )
    .action(benchFile);

async function benchFile(path: string, flags: Flags): Promise<void> {
  const { model, bytes } = await readModel(path);
  const sample = drawInputs(model, flags.size);
  const { runs_ms, ...times } = flags.browser
    ? await benchInBrowser(bytes, sample, flags)
    : await benchHere(bytes, sample, flags);
  const sorted = [...runs_ms].sort((a, b) => a - b);
  const { device, ...others } = times;
  const timing = { device, median_ms: sorted[sorted.length >> 1]!, min_ms: sorted[0]!, ...others };
  if (flags.json) return printJson(timing);
  const ms = (value: number) => `${value.toFixed(2)} ms`;
  print(`${path} on ${timing.device}`);
  print(`  median ${ms(timing.median_ms)}, least ${ms(timing.min_ms)}, of ${flags.runs} runs`);
  print(`  load ${ms(timing.load_ms)}, first run ${ms(timing.first_ms)}, memory ${bytesText(timing.peak_bytes)}`);
}

async function benchHere(bytes: Uint8Array, sample: ReturnType<typeof drawInputs>, flags: Flags): Promise<Times> {
  if (flags.device === 'webgpu' || flags.threads > 1)
    throw new WaferError('NO_DEVICE', 'in Node, Wafer computes with WASM on one thread', { hint: 'add --browser' });
  const start = performance.now();
  const device = await WasmDevice.create(binaries(), 'base');
  const session = new Session(readWafer(bytes).graph, device);
  const loaded = performance.now();
  session.run(sample);
  const first = performance.now();
  const runs_ms = Array.from({ length: flags.runs }, () => {
    const before = performance.now();
    session.run(sample);
    return performance.now() - before;
  });
  const peak = session.memory().total;
  session.dispose();
  return {
    device: `wasm ${device.build} in Node ${process.versions.node}`,
    load_ms: loaded - start,
    first_ms: first - loaded,
    runs_ms,
    peak_bytes: peak,
  };
}
