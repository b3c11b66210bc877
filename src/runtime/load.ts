/** `load`: fetches a model, finds a thread to run it in and opens it there. */
import { nearest, WaferError } from '../core/errors';
import { type Code, code } from './code';
import { download, type Source } from './download';
import { type Description, Engine, type EngineOptions } from './engine';
import { Model, type Thread } from './model';
import { Queue } from './queue';
import { binaries } from './wasm/binaries';
import { compileChosen } from './wasm/device';
import { TEXTS } from './webgpu/texts.gen';
import { RemoteEngine } from './worker/remote';

export interface Progress {
  phase: 'download' | 'open';
  /** Bytes of the file. */
  loaded: number;
  /** 0 where the server does not say. */
  total: number;
}

export interface LoadOptions {
  /**
   * Whether models run in a worker. Default true: one is started from the bundle itself, and where that is not to be
   * had the page's own thread is used, which `explain()` reports. A URL starts `wafer.worker.js` from there, which a
   * strict content security policy needs, and fails where that cannot be done. False uses the page's own thread.
   */
  worker?: boolean | string | URL;
  /**
   * What computes. Default `auto`: WASM from the first run on, and the GPU once it was measured to be faster; `explain()` says why.
   * `webgpu` rejects with NO_DEVICE where there is none, and goes over to WASM only when the GPU is lost for good.
   */
  backend?: EngineOptions['backend'];
  /**
   * What the GPU stores floats as. Default `f32`. `f16` takes half the memory and its bandwidth, and leaves 3 digits; sums are of f32
   * still. Models of levels gain nothing. f32 is computed, and `explain()` says why, where the GPU has no 16-bit floats, a constant
   * is too large for them, a golden run of the file comes out otherwise, or WASM computes. Inputs and outputs are f32 arrays in any
   * case; in 16 bits they cannot be buffers.
   */
  precision?: EngineOptions['precision'];
  /** A WebGPU device of the page's own, with which inputs and outputs can be its buffers. The model then runs in the page's thread. */
  device?: GPUDevice;
  /**
   * How many threads compute. Default `auto`: as many as there are processors, at most 4, and 1 where threads are not to
   * be had: they need a cross-origin isolated page and a worker. `explain()` says how many there are, and why.
   */
  threads?: number | 'auto';
  /**
   * Whether the file's golden runs are repeated on this device first; MISMATCH when the results differ. Default: on a GPU, before its
   * first answer, and not on WASM.
   */
  verify?: EngineOptions['verify'];
  onProgress?: (progress: Progress) => void;
  /** Ends loading; `load` then rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** The script of the worker that needs no file of its own; only bundles have it. */
declare const WAFER_WORKER_SCRIPT: string | undefined;

/**
 * Loads a model. Rejects with a WaferError: NOT_FOUND, BAD_FILE, NO_DEVICE, CSP, MEMORY, MISMATCH, ARGUMENT; or with the
 * signal's reason.
 */
export async function load(source: Source, options: LoadOptions = {}): Promise<Model> {
  checkOptions(options);
  const { signal, onProgress, verify, threads = 'auto', backend = 'auto', precision = 'f32', device } = options;
  const { worker = !device } = options;
  if (signal?.aborted) throw signal.reason;
  const stop = new AbortController();
  let remote: RemoteEngine | undefined;
  const abort = () => {
    stop.abort();
    remote?.dispose();
  };
  signal?.addEventListener('abort', abort);
  const chunks = new Queue<Uint8Array<ArrayBuffer>>();
  let loaded = 0;
  const onChunk = (chunk: Uint8Array<ArrayBuffer>, total: number) => {
    loaded += chunk.byteLength;
    chunks.push(chunk);
    onProgress?.({ phase: 'download', loaded, total });
  };
  download(source, onChunk, stop.signal)
    .then(() => onProgress?.({ phase: 'open', loaded, total: loaded }))
    .then(
      () => chunks.close(),
      (error) => chunks.close({ error }),
    );
  try {
    const engineOptions: EngineOptions = { ...(verify && { verify }), threads, backend, precision };
    const started = await start(worker, engineOptions);
    remote = started.remote;
    if (remote) return new Model(remote, await opened(remote, chunks), started.thread);
    const engine = await Engine.open(chunks, code(), { ...engineOptions, device });
    return new Model(engine, engine.description, started.thread);
  } catch (error) {
    abort();
    if (signal?.aborted) throw signal.reason;
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/** Sends a worker what arrives until it has opened it, or refused to. */
async function opened(remote: RemoteEngine, chunks: AsyncIterable<Uint8Array<ArrayBuffer>>): Promise<Description> {
  const sending = async () => {
    for await (const chunk of chunks) remote.send(chunk);
    remote.send(null);
  };
  const [description] = await Promise.all([remote.opened, sending()]);
  return description;
}

const OPTIONS: readonly string[] = [
  'worker',
  'backend',
  'precision',
  'device',
  'threads',
  'verify',
  'onProgress',
  'signal',
] satisfies (keyof LoadOptions)[];

function checkOptions(options: LoadOptions): void {
  if (typeof options !== 'object' || options === null)
    throw new WaferError('ARGUMENT', `options are an object, got ${JSON.stringify(options)}`, {
      hint: `it has ${OPTIONS.join(', ')}`,
    });
  const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name));
  if (unknown !== undefined) {
    const near = nearest(unknown, OPTIONS);
    const hint = near ? `did you mean "${near}"?` : `options are ${OPTIONS.join(', ')}`;
    throw new WaferError('ARGUMENT', `there is no option "${unknown}"`, { hint });
  }
  const { backend = 'auto', precision = 'f32', device, threads = 'auto', verify = 'off', worker = false } = options;
  if (backend !== 'auto' && backend !== 'wasm' && backend !== 'webgpu')
    throw new WaferError('ARGUMENT', `no backend ${JSON.stringify(backend)}: auto, wasm or webgpu`);
  if (precision !== 'f32' && precision !== 'f16')
    throw new WaferError('ARGUMENT', `no precision ${JSON.stringify(precision)}: f32 or f16`);
  if (device !== undefined && (typeof device !== 'object' || typeof device.createBuffer !== 'function'))
    throw new WaferError('ARGUMENT', `device is a GPUDevice, got ${JSON.stringify(device)}`, {
      hint: "what computes is chosen by backend: 'auto', 'wasm' or 'webgpu'",
    });
  if (device && worker !== false)
    throw new WaferError('ARGUMENT', 'a device of the page cannot be used in a worker', {
      hint: 'pass { device, worker: false }',
    });
  if (verify !== 'off' && verify !== 'first-run') throw new WaferError('ARGUMENT', `verify is off or first-run, got "${verify}"`);
  if (threads !== 'auto' && !(Number.isInteger(threads) && threads >= 1))
    throw new WaferError('ARGUMENT', `threads must be "auto" or a positive integer, got ${JSON.stringify(threads)}`);
}

/** Of the script of all workers that need no file. It is kept, as a worker starts threads from it when it has need of them. */
let scriptUrl: string | undefined;

/** A worker that is to open the file, or none and why. */
async function start(worker: boolean | string | URL, options: EngineOptions): Promise<{ remote?: RemoteEngine; thread: Thread }> {
  if (worker === false) return { thread: { kind: 'main', why: 'worker: false was asked for' } };
  if (worker !== true)
    return { remote: await RemoteEngine.start(worker, options), thread: { kind: 'worker', why: `started from ${worker}` } };
  if (typeof WAFER_WORKER_SCRIPT !== 'string' || typeof Worker !== 'function')
    return { thread: { kind: 'main', why: 'no worker can be started here' } };
  scriptUrl ??= URL.createObjectURL(new Blob([WAFER_WORKER_SCRIPT], { type: 'text/javascript' }));
  try {
    return {
      remote: await RemoteEngine.start(scriptUrl, options, () => chosenCode(options)),
      thread: { kind: 'worker', why: 'started from the bundle' },
    };
  } catch (error) {
    return { thread: { kind: 'main', why: error instanceof Error ? error.message : String(error) } };
  }
}

/** What a worker is sent. Rejects with CSP and NO_DEVICE where WASM cannot be compiled but is needed. */
async function chosenCode({ backend }: EngineOptions): Promise<Code> {
  const compiling = compileChosen(binaries());
  return { kernels: await (backend === 'webgpu' ? compiling.catch(() => undefined) : compiling), shaders: TEXTS };
}
