/**
 * The worker's side: holds one engine and answers calls in order. Nothing is compiled before the first message, since
 * WebKitGTK never settles WebAssembly promises that a worker's top level waits for.
 */
import { invariant, WaferError } from '../../core/errors';
import type { Code } from '../code';
import { Engine } from '../engine';
import { Queue } from '../queue';
import type { Spawn } from '../wasm/pool';
import { serveThread, THREAD_NAME, type ThreadScope } from '../wasm/team';
import type { Answer, Call, Chunk, Failure, Held, Hello, Methods } from './protocol';

/** What is used of a DedicatedWorkerGlobalScope. */
export interface WorkerScope {
  readonly name: string;
  onmessage: Scope['onmessage'] | ThreadScope['onmessage'];
  postMessage: Scope['postMessage'];
}

interface Scope {
  onmessage: ((event: { data: Call | Chunk }) => void) | null;
  postMessage(message: Answer | Hello | Held, transfer: Transferable[]): void;
}

/**
 * Starts to answer; `own` gives the code where the script carries it. In a worker that another of these has started,
 * the same script is one more thread of that one's engine.
 */
export function serve(scope: WorkerScope, own?: () => Code): void {
  if (scope.name === THREAD_NAME) serveThread(scope as ThreadScope);
  else serveEngine(scope as Scope, own);
}

const spawn: Spawn = (failed) => {
  const thread = new Worker(location.href, { name: THREAD_NAME });
  thread.onerror = (event) => failed(event.message || 'its script cannot be started');
  return thread;
};

function serveEngine(scope: Scope, own?: () => Code): void {
  let engine: Engine | undefined;
  const chunks = new Queue<Uint8Array>();

  async function answer({ method, args }: Call): Promise<unknown> {
    if (method === 'open') {
      const [options, given] = args as Methods['open']['args'];
      const code = own?.() ?? given;
      invariant(code, () => 'the worker was given no code');
      engine = await Engine.open(chunks, code, options, spawn);
      // A page that knows a model can tell when its worker dies.
      await announced;
      return engine.description;
    }
    invariant(engine, () => `${method} before open`);
    return (engine[method] as (...given: unknown[]) => unknown)(...args);
  }

  const reply = ({ id, lent }: Call) => ({ id, lent, readsPictures: engine?.readsPictures ?? false });

  // Calls are chained, so that a run does not start while the model is still being opened.
  let last: Promise<void> = Promise.resolve();
  scope.onmessage = ({ data: call }) => {
    if ('chunk' in call) return call.chunk ? chunks.push(call.chunk) : chunks.close();
    last = last
      .then(() => answer(call))
      .finally(() => closePictures(call))
      .then(
        (result) => {
          const own = call.method === 'run' ? buffersOf(result as Methods['run']['result']) : [];
          scope.postMessage({ ...reply(call), result }, [...own, ...call.lent]);
        },
        (error) => scope.postMessage({ ...reply(call), failure: failureOf(error) }, call.lent),
      );
  };
  scope.postMessage({ hello: true }, []);
  const announced = holdLock().then((lock) => lock && scope.postMessage({ lock }, []));
}

/** Lets go of the pictures that a call was handed over. */
function closePictures({ method, args }: Call): void {
  if (method !== 'run' && method !== 'profile') return;
  const [inputs] = args as Methods['run']['args'];
  for (const x of Object.values(inputs)) {
    const picture: unknown = typeof x === 'object' && x && 'image' in x ? x.image : x;
    if (picture instanceof ImageBitmap || (typeof VideoFrame === 'function' && picture instanceof VideoFrame)) picture.close();
  }
}

const buffersOf = (outputs: Methods['run']['result']): Transferable[] => [
  ...new Set(Object.values(outputs).map((y) => y.data.buffer as ArrayBuffer)),
];

const failureOf = (error: unknown): Failure =>
  error instanceof WaferError
    ? { wafer: error.toJSON() }
    : { bug: error instanceof Error ? String(error.stack ?? error) : String(error) };

/**
 * Holds a Web Lock for as long as this worker lives; no event tells a page that a worker was killed, but the lock is
 * then free. Resolves to its name, or to undefined where locks are not to be had.
 */
function holdLock(): Promise<string | undefined> {
  return new Promise((resolve) => {
    const name = `wafer-worker-${Date.now()}-${Math.random()}`;
    const hold = () => {
      resolve(name);
      return new Promise<void>(() => {});
    };
    try {
      navigator.locks.request(name, hold).catch(() => resolve(undefined));
    } catch {
      resolve(undefined);
    }
  });
}
