/**
 * The part of each runtime's page that is alike: the inputs are drawn from one seed, the model is loaded and warmed up,
 * and bursts of runs are timed. A run uploads all inputs and reads all outputs back. Node calls `prepare`, then `burst`.
 * A page whose address ends in a request loads and runs its model once, at once, and puts when it did on `firstResult`.
 */
import type { TypedArray } from '../../src/core/dtype';
import type { StaticShape } from '../../src/core/shape';
import type { Inputs } from '../../src/format/golden';
import { goldenSample } from '../../src/runtime/golden';
import { relayout } from './relayout';

export interface Request {
  /** The page's own name. */
  page: string;
  /** Where the model's file is served. */
  file: string;
  /** As Wafer's file declares them, their shapes all numbers. */
  inputs: Inputs['inputs'];
  /** The first output that Wafer gives. */
  output: { name: string; shape: StaticShape };
  threads: number;
  /** Wafer computes in a worker, as it must where it has threads; else all compute in the page's own thread. */
  worker: boolean;
  /** Leave relaxed SIMD alone. */
  base: boolean;
  /** What is asked of the runtime. Wafer alone has `auto`. */
  backend: 'wasm' | 'webgpu' | 'auto';
  /** The page is there for one result. */
  isCold: boolean;
}

export interface Tensor {
  name: string;
  shape: readonly number[];
  /** Row-major. */
  data: TypedArray;
}

export interface Loaded {
  /** Which of its builds the runtime has chosen. */
  build: string;
  /** How many compute. */
  threads: number;
  run(): Promise<Tensor[]>;
}

/**
 * Makes a model ready to run on the drawn inputs, which are in the ONNX file's order and layout. `download` gives the file;
 * runtimes that do not fetch it themselves call it first, so that it comes beside the runtime. `draw` is called while that comes.
 */
export type Load = (
  download: () => Promise<Uint8Array<ArrayBuffer>>,
  draw: () => readonly Tensor[],
  request: Request,
) => Promise<Loaded>;

/** What a page has the GPU do. */
export interface GpuUse {
  /** Compiled so far. */
  pipelines: number;
  /** Of one run. */
  dispatches: number;
  submits: number;
}

export interface Prepared {
  build: string;
  threads: number;
  /** Undefined where the GPU has nothing to do. */
  gpu?: GpuUse | undefined;
  /** The first elements of the output that was asked for, in its layout; undefined where no output has its shape. */
  output: number[] | undefined;
}

/** Times are in milliseconds from the start of navigation. */
export interface FirstResult extends Prepared {
  /** The page's own script begins: its runtime's scripts are there. */
  script: number;
  /** The model is ready to run. */
  loaded: number;
  /** The outputs of one run are there. */
  first: number;
}

export const SEED = 7;

/** Elements of an output that are compared. */
export const COMPARED = 65_536;

const WARM_MS = 1000;
const LEAST_WARM_RUNS = 10;

/** A page that is not isolated has a clock of 0.1 ms, so that quick runs are timed together. */
const BATCH_MS = 10;
const LEAST_BATCHES = 2;

/** Puts `prepare` and `burst` on the page. */
export function expose(load: Load): void {
  let model: Loaded | undefined;
  let batch = 1;

  async function timed(runs: number): Promise<number> {
    const start = performance.now();
    for (let i = 0; i < runs; i++) await model!.run();
    return (performance.now() - start) / runs;
  }

  function loadRequested(request: Request): Promise<Loaded> {
    const download = async () => new Uint8Array(await (await fetch(request.file)).arrayBuffer());
    const draw = () => {
      const sample = goldenSample({ inputs: request.inputs }, { seed: SEED, bindings: new Map() });
      return Object.entries(sample).map(([name, x]) => ({ name, ...x }));
    };
    return load(download, draw, request);
  }

  async function firstResult(request: Request): Promise<FirstResult> {
    const script = performance.now();
    const { build, threads, run } = await loadRequested(request);
    const loaded = performance.now();
    const outputs = await run();
    const first = performance.now();
    return { script, loaded, first, build, threads, output: keptOf(outputs, request) };
  }

  async function prepare(request: Request): Promise<Prepared> {
    const use = request.backend === 'wasm' ? undefined : countGpuUse();
    model = await loadRequested(request);
    const output = keptOf(await model.run(), request);
    const before = { ...use };
    await model.run();
    const since = (key: keyof GpuUse) => (use?.[key] ?? 0) - (before[key] ?? 0);
    const gpu = use && { pipelines: use.pipelines, dispatches: since('dispatches'), submits: since('submits') };
    let quickest = Number.POSITIVE_INFINITY;
    const start = performance.now();
    for (let i = 0; i < LEAST_WARM_RUNS || performance.now() < start + WARM_MS; i++)
      quickest = Math.min(quickest, await timed(batch));
    batch = Math.ceil(BATCH_MS / Math.max(quickest, 0.01));
    return { build: model.build, threads: model.threads, output, gpu };
  }

  /** Milliseconds a run, of batches that take `ms` together. The first is not counted: others have had the caches. */
  async function burst(ms: number): Promise<number[]> {
    await timed(1);
    const times: number[] = [];
    const start = performance.now();
    while (times.length < LEAST_BATCHES || performance.now() < start + ms) times.push(await timed(batch));
    return times;
  }

  Object.assign(globalThis, { prepare, burst });
  if (location.hash) Object.assign(globalThis, { firstResult: firstResult(requestIn(location.hash)) });
}

/** The end of an address that has a page load and run at once. */
export const hashOf = (request: Request): string => `#${encodeURIComponent(JSON.stringify(request))}`;
const requestIn = (hash: string): Request => JSON.parse(decodeURIComponent(hash.slice(1)));

/** What of the outputs is compared. */
function keptOf(outputs: readonly Tensor[], { output: { name, shape } }: Request): number[] | undefined {
  const ordered = [...outputs.filter((y) => y.name === name), ...outputs];
  const output = ordered.map((y) => relayout(y.data, y.shape, shape)).find((data) => data !== undefined);
  return output && Array.from(output.subarray(0, COMPARED), Number);
}

/** Counts from now on, in this thread. */
function countGpuUse(): GpuUse {
  const use: GpuUse = { pipelines: 0, dispatches: 0, submits: 0 };
  const count = (type: object, method: string, key: keyof GpuUse) => {
    const methods = type as Record<string, (...args: unknown[]) => unknown>;
    const original = methods[method]!;
    methods[method] = function (this: unknown, ...args: unknown[]) {
      use[key]++;
      return original.apply(this, args);
    };
  };
  count(GPUDevice.prototype, 'createComputePipeline', 'pipelines');
  count(GPUDevice.prototype, 'createComputePipelineAsync', 'pipelines');
  count(GPUComputePassEncoder.prototype, 'dispatchWorkgroups', 'dispatches');
  count(GPUQueue.prototype, 'submit', 'submits');
  return use;
}
