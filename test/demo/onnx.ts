/** The OCR networks under onnxruntime-node: what Wafer's readings are held against. */
import { readFileSync } from 'node:fs';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { type Models, type Network, type Stage, stages } from '../../demo/ocr/read';
import type { View } from '../../demo/ocr/view';
import { readLabels, sources } from '../../scripts/ocr';

/** A network that asks of a view no more than its tensor. */
type TensorNetwork = (view: Pick<View, 'tensor'>) => ReturnType<Network>;

export type OnnxModels = Readonly<Record<Stage, TensorNetwork>> & Pick<Models, 'labels'>;

/** The three ONNX files, each on one thread. */
export async function onnxModels(): Promise<OnnxModels> {
  const networks = await Promise.all(stages.map(async (stage) => [stage, await network(sources[stage])] as const));
  return { ...(Object.fromEntries(networks) as Omit<OnnxModels, 'labels'>), labels: readLabels() };
}

async function network(path: string): Promise<TensorNetwork> {
  const session = await InferenceSession.create(readFileSync(path), { intraOpNumThreads: 1 });
  return async (view) => {
    const { data, shape } = view.tensor();
    const outputs = await session.run({ [session.inputNames[0]!]: new Tensor('float32', data, shape) });
    const output = outputs[session.outputNames[0]!]!;
    return { data: output.data as Float32Array, shape: output.dims };
  };
}
