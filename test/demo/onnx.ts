/** The OCR networks under onnxruntime-node: what Wafer's readings are held against. */
import { readFileSync } from 'node:fs';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { type Models, type Network, stages } from '../../demo/ocr/read';
import { readLabels, sources } from '../../scripts/ocr';

/** The three ONNX files, each on one thread. */
export async function onnxModels(): Promise<Models> {
  const networks = await Promise.all(stages.map(async (stage) => [stage, await network(sources[stage])] as const));
  return { ...(Object.fromEntries(networks) as Omit<Models, 'labels'>), labels: readLabels() };
}

async function network(path: string): Promise<Network> {
  const session = await InferenceSession.create(readFileSync(path), { intraOpNumThreads: 1 });
  return async ({ data, shape }) => {
    const outputs = await session.run({ [session.inputNames[0]!]: new Tensor('float32', data, shape) });
    const output = outputs[session.outputNames[0]!]!;
    return { data: output.data as Float32Array, shape: output.dims };
  };
}
