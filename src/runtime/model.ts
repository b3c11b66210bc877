/** A loaded model as a page holds it, wherever it runs. */
import { WaferError } from '../core/errors';
import type { Description, Engine, EngineInput, EngineInputs, ModelInfo, ProfileOptions, TensorSpec } from './engine';
import { isPixels } from './image';
import { isDrawable } from './pixels';
import type { Explanation, MemoryUse, NodeProfile } from './session';
import type { Tensor } from './tensor';
import type { GpuTensorData } from './webgpu/runner';
import type { RemoteEngine } from './worker/remote';

/** Where a model runs, and why there. */
export interface Thread {
  kind: 'worker' | 'main';
  why: string;
}

/**
 * One input: a tensor (its `dtype` may be left out, the array has it), a typed array in the model's own shape, a picture where the
 * file says how pictures are read (`TensorSpec.image`), bare or as `{ image, quad, … }` to show a part of it, or on the page's own
 * GPU device `{ buffer, shape }`.
 */
export type Input = EngineInput;

export interface RunOptions {
  /** `buffers` leaves the outputs on the GPU, in buffers of the device that `load` was given. Default `arrays`. */
  outputs?: 'arrays' | 'buffers';
}

export class Model {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  /** Class names or a dictionary, in order of index. */
  readonly labels: readonly string[] | undefined;
  readonly info: ModelInfo;

  /** @internal Use `load`. */
  constructor(
    private readonly engine: Engine | RemoteEngine,
    { inputs, outputs, labels, info }: Description,
    private readonly thread: Thread,
  ) {
    this.inputs = inputs;
    this.outputs = outputs;
    this.labels = labels;
    this.info = info;
  }

  /**
   * Computes the outputs, by name. A model with one input takes it bare as well. Inputs are copied, never handed over.
   * Rejects with ARGUMENT, DTYPE, SHAPE, MEMORY, DISPOSED.
   */
  async run(inputs: Readonly<Record<string, Input>> | Input, options?: { outputs?: 'arrays' }): Promise<Record<string, Tensor>>;
  async run(
    inputs: Readonly<Record<string, Input>> | Input,
    options: { outputs: 'buffers' },
  ): Promise<Record<string, GpuTensorData>>;
  async run(
    inputs: Readonly<Record<string, Input>> | Input,
    options: RunOptions = {},
  ): Promise<Record<string, Tensor | GpuTensorData>> {
    const { outputs = 'arrays' } = options ?? {};
    if (outputs === 'arrays') return this.engine.run(this.named(inputs));
    if (outputs !== 'buffers') throw new WaferError('ARGUMENT', `outputs are arrays or buffers, got ${JSON.stringify(outputs)}`);
    return this.engine.runToBuffers(this.named(inputs));
  }

  /** Milliseconds of each node: the least of several runs. */
  async profile(inputs: Readonly<Record<string, Input>> | Input, options: ProfileOptions = {}): Promise<NodeProfile[]> {
    return this.engine.profile(this.named(inputs), options);
  }

  /** Which device, build and thread the model runs on and why, and the kernels of each node. */
  async explain(): Promise<Explanation & { thread: Thread }> {
    return { ...(await this.engine.explain()), thread: this.thread };
  }

  /** Bytes in use. */
  async memory(): Promise<MemoryUse> {
    return this.engine.memory();
  }

  /** Frees all; whatever is called afterwards rejects with DISPOSED. */
  async dispose(): Promise<void> {
    this.engine.dispose();
  }

  private named(given: Readonly<Record<string, Input>> | Input): EngineInputs {
    const single = engineInput(given);
    if (!single) {
      const named = (given ?? {}) as Readonly<Record<string, Input>>;
      if (Object.prototype.toString.call(named) !== '[object Object]')
        throw new WaferError('ARGUMENT', `what was passed is no tensor and no picture: ${String(given).slice(0, 40)}`, {
          hint: `pass { ${this.inputs.map(({ name, shape }) => `${JSON.stringify(name)}: { data, shape: [${shape}] }`).join(', ')} }`,
        });
      return Object.fromEntries(Object.entries(named).map(([name, x]) => [name, engineInput(x) ?? (x as EngineInput)]));
    }
    if (this.inputs.length !== 1)
      throw new WaferError('ARGUMENT', `the model has ${this.inputs.length} inputs`, {
        hint: `pass { ${this.inputs.map((x) => x.name).join(', ')} }`,
      });
    return { [this.inputs[0]!.name]: single };
  }
}

/** `x`, when it is one input by itself, without what the page may have put on it besides. */
function engineInput(x: unknown): EngineInput | undefined {
  if (typeof x !== 'object' || x === null) return undefined;
  if (ArrayBuffer.isView(x)) return x as EngineInput;
  if (isPixels(x)) return { data: x.data, width: x.width, height: x.height };
  if ('data' in x && 'shape' in x && ArrayBuffer.isView(x.data)) {
    const { data, shape } = x as Tensor;
    return { data, shape };
  }
  if ('buffer' in x && 'shape' in x) return x as EngineInput;
  if ('image' in x && typeof x.image === 'object' && x.image && (isPixels(x.image) || isDrawable(x.image)))
    return x as EngineInput;
  return isDrawable(x) ? x : undefined;
}
