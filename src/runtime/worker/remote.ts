/** The page's side of a worker: starts it and calls the engine in it. A worker that dies fails every call, now and later. */
import { WaferError } from '../../core/errors';
import type { Code } from '../code';
import type { Description, EngineInput, EngineInputs, EngineOptions, ProfileOptions } from '../engine';
import { isPixels } from '../image';
import { type Drawable, isDrawable, type Picture, pixelsOf, sizeOfDrawable } from '../pixels';
import type { Explanation, MemoryUse, NodeProfile, TensorData } from '../session';
import { Loans } from './loans';
import type { Answer, Chunk, Failure, Held, Method, Methods } from './protocol';

interface Pending {
  resolve(result: never): void;
  reject(error: unknown): void;
}

export class RemoteEngine {
  private readonly pending = new Map<number, Pending>();
  private readonly loans = new Loans();
  private calls = 0;
  private dead: WaferError | undefined;
  /** As the engine had it when it last answered. */
  private readsPictures = false;

  /** Settles when the file is open; its bytes are what `send` was given. Rejects as `Engine.open` does. */
  readonly opened: Promise<Description>;

  private constructor(
    private readonly worker: Worker,
    options: EngineOptions,
    code: Promise<Code> | undefined,
  ) {
    this.opened = code ? code.then((given) => this.call('open', [options, given])) : this.call('open', [options]);
    // It may fail before anybody waits for it.
    this.opened.catch(() => {});
  }

  /**
   * Starts a worker that opens a file, and resolves once its script runs. `choose` is called while it starts
   * and gives what it computes with; it is left out where the script carries that. Rejects with NOT_FOUND where it cannot be started.
   */
  static start(url: string | URL, options: EngineOptions, choose?: () => Promise<Code>): Promise<RemoteEngine> {
    return new Promise((resolve, reject) => {
      const refused = (why: string) =>
        reject(
          new WaferError('NOT_FOUND', `the worker ${url} cannot be started: ${why}`, {
            hint: 'the file must be on the page’s own origin, and worker-src of its content security policy must allow it',
          }),
        );
      try {
        const worker = new Worker(url, { name: 'wafer' });
        worker.onerror = (event) =>
          refused(event.message || 'it was not found, or the page’s content security policy forbids it');
        const remote = new RemoteEngine(worker, options, choose?.());
        worker.onmessage = () => {
          remote.listen();
          resolve(remote);
        };
      } catch (error) {
        refused(String(error));
      }
    });
  }

  /** The next bytes of the file, null behind the last. They are handed over: their buffer is empty afterwards. */
  send(chunk: Uint8Array<ArrayBuffer> | null): void {
    if (!this.dead) this.worker.postMessage({ chunk } satisfies Chunk, chunk ? [chunk.buffer] : []);
  }

  run(inputs: EngineInputs): Promise<Record<string, TensorData>> {
    const lent: ArrayBuffer[] = [];
    return this.sent(this.loans.copied(inputs, lent), (sent, given) => this.call('run', [sent], lent, given));
  }

  runToBuffers(_: EngineInputs): Promise<never> {
    return Promise.reject(
      new WaferError('ARGUMENT', 'outputs cannot stay on the GPU where the model runs in a worker', {
        hint: "load it with { backend: 'webgpu', device, worker: false }",
      }),
    );
  }

  profile(inputs: EngineInputs, options: ProfileOptions = {}): Promise<NodeProfile[]> {
    return this.sent(inputs, (sent, given) => this.call('profile', [sent, options], [], given));
  }

  explain(): Promise<Explanation> {
    return this.call('explain', []);
  }

  memory(): Promise<MemoryUse> {
    return this.call('memory', []);
  }

  /** Ends the worker, which frees all it held; calls under way reject with DISPOSED. */
  dispose(): void {
    this.die('the model was used after dispose()');
  }

  /**
   * Calls `send` with inputs that can be posted: what only the page can read becomes a bitmap, which a GPU reads without a copy by the
   * processor, or pixels where WASM computes. At once where that takes no waiting, so that the page may change its arrays then.
   */
  private sent<T>(inputs: EngineInputs, send: (sent: EngineInputs, given: Transferable[]) => Promise<T>): Promise<T> {
    const sent: Record<string, EngineInput> = {};
    const given: Transferable[] = [];
    const waiting: Promise<void>[] = [];
    const put = (x: Picture, place: (portable: Picture) => void): void => {
      if (!isPixels(x) && this.readsPictures) {
        const made = bitmapOf(x).then((copy) => {
          given.push(copy);
          place(copy);
        });
        waiting.push(made);
      } else {
        const pixels = pixelsOf(x);
        if (!isPixels(x)) given.push(pixels.data.buffer as ArrayBuffer);
        place(pixels);
      }
    };
    try {
      for (const [name, x] of Object.entries(inputs)) {
        sent[name] = x;
        if (typeof x !== 'object' || x === null) continue;
        if ('image' in x) put(x.image, (image) => void (sent[name] = { ...x, image }));
        else if (isDrawable(x)) put(x, (portable) => void (sent[name] = portable));
      }
    } catch (error) {
      return Promise.reject(error);
    }
    return waiting.length ? Promise.all(waiting).then(() => send(sent, given)) : send(sent, given);
  }

  private call<M extends Method>(
    method: M,
    args: Methods[M]['args'],
    lent: ArrayBuffer[] = [],
    given: Transferable[] = [],
  ): Promise<Methods[M]['result']> {
    return new Promise((resolve, reject) => {
      if (this.dead) return reject(this.dead);
      const id = this.calls++;
      this.pending.set(id, { resolve, reject });
      try {
        this.worker.postMessage({ id, method, args, lent }, [...lent, ...given]);
      } catch (error) {
        this.pending.delete(id);
        reject(new WaferError('ARGUMENT', `the inputs cannot be sent to the worker: ${error}`));
      }
    });
  }

  private listen(): void {
    const { worker } = this;
    worker.onmessage = ({ data }) => ('lock' in data ? this.watch(data as Held) : this.settle(data as Answer));
    worker.onerror = (event) => this.die(`the worker failed: ${event.message ?? 'no reason given'}`);
    worker.onmessageerror = () => this.die('the worker sent what cannot be read');
  }

  private watch({ lock }: Held): void {
    const died = () => this.die('the worker ended');
    navigator.locks.request(lock, died).catch(() => {});
  }

  private settle(answer: Answer): void {
    const pending = this.pending.get(answer.id);
    this.pending.delete(answer.id);
    this.loans.takeBack(answer.lent);
    this.readsPictures = answer.readsPictures;
    if ('result' in answer) pending?.resolve(answer.result as never);
    else pending?.reject(errorOf(answer.failure));
  }

  private die(why: string): void {
    this.dead ??= new WaferError('DISPOSED', why, { hint: 'load the model again' });
    this.worker.terminate();
    for (const { reject } of this.pending.values()) reject(this.dead);
    this.pending.clear();
  }
}

/** A copy that can be handed over. Rejects with ARGUMENT for a picture that is empty or may not be read. */
async function bitmapOf(x: Drawable): Promise<ImageBitmap | VideoFrame> {
  sizeOfDrawable(x);
  try {
    if (typeof VideoFrame === 'function' && x instanceof VideoFrame) return x.clone();
    return await createImageBitmap(x, { premultiplyAlpha: 'none', colorSpaceConversion: 'none' });
  } catch (error) {
    throw new WaferError('ARGUMENT', `the picture cannot be read (${error})`, {
      hint: 'pictures from another origin need crossorigin="anonymous" and the server’s consent',
    });
  }
}

const errorOf = (failure: Failure): Error => ('wafer' in failure ? WaferError.fromJSON(failure.wafer) : new Error(failure.bug));
