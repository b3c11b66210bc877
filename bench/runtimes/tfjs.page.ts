/** TensorFlow.js with its TFLite backend: the same files as LiteRT.js, by an older interpreter. It has no relaxed SIMD. */
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { loadTFLiteModel, setWasmPath } from '@tensorflow/tfjs-tflite';
import type { TypedArray } from '../../src/core/dtype';
import { expose, type Tensor } from './page';
import { relayout } from './relayout';

expose(async (file, inputs, { threads }) => {
  setWasmPath(`${location.origin}/tfjs-tflite/`);
  const model = await loadTFLiteModel(file.buffer, { numThreads: threads });
  const given = model.inputs.map(({ name, shape, dtype }, i) => {
    const wanted = shape ?? [];
    const data = inputs[i] && relayout(inputs[i].data, inputs[i].shape, wanted);
    if (!data) throw new Error(`input ${name} has shape ${wanted}, the sample ${inputs[i]?.shape}`);
    return { data: data as Float32Array, shape: wanted, dtype: dtype as 'float32' | 'int32' };
  });
  const run = async (): Promise<Tensor[]> => {
    const tensors = given.map(({ data, shape, dtype }) => tf.tensor(data, shape, dtype));
    const result = model.predict(tensors);
    const named: [string, tf.Tensor][] =
      result instanceof tf.Tensor ? [[model.outputs[0]!.name, result]] : Object.entries(result as tf.NamedTensorMap);
    // What is read is the interpreter's own memory, which the next run writes to.
    const outputs = named.map(([name, y]) => ({ name, shape: y.shape, data: y.dataSync().slice() as TypedArray }));
    tf.dispose([tensors, result]);
    return outputs;
  };
  return { build: 'simd', threads, run };
});
