/** onnxruntime-web, by whichever of its entries: its CPU backend has one build, without relaxed SIMD. */
import type * as Ort from 'onnxruntime-web/wasm';
import type { TypedArray } from '../../src/core/dtype';
import type { Load, Tensor } from './page';

/** `backend` is the name of an execution provider. */
export const loadWith =
  (ort: typeof Ort, backend: 'wasm' | 'webgpu'): Load =>
  async (download, draw, { threads }) => {
    // Its WASM comes when a session is made, which wants the file: a page cannot have both come at once.
    ort.env.wasm.numThreads = threads;
    ort.env.wasm.wasmPaths = `${location.origin}/onnxruntime-web/`;
    const file = download();
    const inputs = draw();
    const session = await ort.InferenceSession.create(await file, {
      ...{ executionProviders: [backend], graphOptimizationLevel: 'all', logSeverityLevel: 3 },
    });
    const feeds = Object.fromEntries(
      session.inputMetadata.map((declared, i) => {
        if (!declared.isTensor) throw new Error(`input ${declared.name} is no tensor`);
        const given = inputs.find((x) => x.name === declared.name) ?? inputs[i]!;
        return [declared.name, tensorOf(ort, declared.type, given)];
      }),
    );
    const run = async (): Promise<Tensor[]> =>
      Object.entries(await session.run(feeds)).map(([name, { dims, data }]) => ({ name, shape: dims, data: data as TypedArray }));
    return { build: backend === 'wasm' ? 'simd' : 'webgpu', threads, run };
  };

function tensorOf(ort: typeof Ort, type: Ort.Tensor.Type, { data, shape }: Tensor): Ort.Tensor {
  if (type === 'int64') return new ort.Tensor('int64', BigInt64Array.from(data, BigInt), shape);
  return new ort.Tensor(type, data as Float32Array, shape);
}
