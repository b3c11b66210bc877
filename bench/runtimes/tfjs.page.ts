/**
 * TensorFlow.js with its TFLite interpreter: the same files as LiteRT.js. It has no relaxed SIMD. `predict` describes all
 * tensors anew in each run and never frees that, so that a small model soon fills the memory: they are described once here.
 */
import { loadTFLiteModel, setWasmPath } from '@tensorflow/tfjs-tflite';
import type {
  TFLiteWebModelRunner,
  TFLiteWebModelRunnerTensorInfo,
} from '@tensorflow/tfjs-tflite/dist/types/tflite_web_model_runner';
import type { TypedArray } from '../../src/core/dtype';
import { expose } from './page';
import { relayout } from './relayout';

const shapeOf = ({ shape }: TFLiteWebModelRunnerTensorInfo): number[] => shape.split(',').map(Number);

expose(async (download, draw, { threads }) => {
  setWasmPath(`${location.origin}/tfjs-tflite/`);
  const file = download();
  const inputs = draw();
  const model = await loadTFLiteModel((await file).buffer, { numThreads: threads });
  const { modelRunner } = model as unknown as { modelRunner: TFLiteWebModelRunner };
  const given = modelRunner.getInputs().map((tensor, i) => {
    const data = inputs[i] && relayout(inputs[i].data, inputs[i].shape, shapeOf(tensor));
    if (!data) throw new Error(`input ${tensor.name} has shape ${shapeOf(tensor)}, the sample ${inputs[i]?.shape}`);
    return { tensor, data };
  });
  const results = modelRunner.getOutputs().map((tensor) => ({ tensor, name: tensor.name, shape: shapeOf(tensor) }));
  const run = async () => {
    for (const { tensor, data } of given) tensor.data().set(data);
    if (!modelRunner.infer()) throw new Error('the interpreter failed');
    return results.map(({ tensor, name, shape }) => ({ name, shape, data: tensor.data().slice() as TypedArray }));
  };
  return { build: 'simd', threads, run };
});
