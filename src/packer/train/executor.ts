/** Who computes training graphs: onnxruntime-node, or onnxruntime-web's pure WASM where there is no native one. One thread each. */
import type { InferenceSession, Tensor, TypedTensor } from 'onnxruntime-node';
import { WaferError } from '../../core/errors';
import type { StaticShape } from '../../core/shape';
import { optionalPackage } from '../optional';

/** What Wafer uses of either package. */
interface Ort {
  InferenceSession: { create(model: Uint8Array, options: InferenceSession.SessionOptions): Promise<InferenceSession> };
  Tensor: { new (type: 'float32', data: Float32Array, dims: readonly number[]): TypedTensor<'float32'> };
  env: { wasm: { numThreads?: number } };
}

export type Feeds = Readonly<Record<string, { data: Float32Array; shape: StaticShape }>>;

/** A model that is loaded. */
export interface Execution {
  /** Outputs `y0`, `y1` … in order. */
  run(feeds: Feeds): Promise<Float32Array[]>;
  dispose(): Promise<void>;
}

export type ExecutorName = 'onnxruntime-node' | 'onnxruntime-web';

export class Executor {
  private constructor(
    readonly name: ExecutorName,
    private readonly ort: Ort,
  ) {}

  /** The package that is asked for, or the first that can be loaded. Throws NOT_FOUND. */
  static async load(wanted?: ExecutorName): Promise<Executor> {
    const names: readonly ExecutorName[] = wanted ? [wanted] : ['onnxruntime-node', 'onnxruntime-web'];
    let first: unknown;
    for (const name of names)
      try {
        const found = await optionalPackage<Ort & { default?: Ort }>(name, 'train');
        const ort = found.InferenceSession ? found : found.default!;
        if (name === 'onnxruntime-web') ort.env.wasm.numThreads = 1;
        return new Executor(name, ort);
      } catch (error) {
        first ??= error;
      }
    if (first instanceof WaferError) throw first;
    throw new WaferError('NOT_FOUND', `onnxruntime-node does not load: ${(first as Error).message}`, {
      hint: 'npm install onnxruntime-node, or onnxruntime-web',
    });
  }

  async open(model: Uint8Array, outputs: number): Promise<Execution> {
    const threads = { intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: 'sequential' as const };
    const session = await this.ort.InferenceSession.create(model, {
      ...threads,
      graphOptimizationLevel: 'all',
      logSeverityLevel: 3,
      ...(this.name === 'onnxruntime-web' && { executionProviders: ['wasm'] }),
    });
    const names = Array.from({ length: outputs }, (_, i) => `y${i}`);
    return {
      run: async (feeds) => {
        const tensors: Record<string, Tensor> = {};
        for (const [name, { data, shape }] of Object.entries(feeds))
          tensors[name] = new this.ort.Tensor('float32', data, shape) as Tensor;
        const results = await session.run(tensors);
        return names.map((name) => results[name]!.data as Float32Array);
      },
      dispose: () => session.release(),
    };
  }
}
