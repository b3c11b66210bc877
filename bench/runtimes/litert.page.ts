/** LiteRT.js on the CPU or on WebGPU. Its default build uses relaxed SIMD; only that one has threads. */
import { loadAndCompile, loadLiteRt, Tensor } from '@litertjs/core';
import { expose } from './page';
import { relayout } from './relayout';

const FOLDER = `${location.origin}/litert/`;

expose(async (download, draw, { threads, base, backend }) => {
  const file = download();
  const used = base ? 1 : threads;
  const accelerator = backend === 'wasm' ? 'wasm' : 'webgpu';
  const loading = base ? loadLiteRt(`${FOLDER}litert_wasm_compat_internal.js`) : loadLiteRt(FOLDER, { threads: used > 1 });
  const inputs = draw();
  await loading;
  const model = await loadAndCompile(await file, { accelerator, cpuOptions: { numThreads: used } });
  const details = model.getOutputDetails();
  const given = model.getInputDetails().map(({ name, shape }, i) => {
    const data = inputs[i] && relayout(inputs[i].data, inputs[i].shape, [...shape]);
    if (!data) throw new Error(`input ${name} has shape ${[...shape]}, the sample ${inputs[i]?.shape}`);
    return { data: data as Float32Array<ArrayBuffer>, shape: [...shape] };
  });
  const run = async () => {
    const arrays = given.map(({ data, shape }) => new Tensor(data, shape));
    const tensors = accelerator === 'wasm' ? arrays : await Promise.all(arrays.map((x) => x.moveTo('webgpu')));
    const results = await model.run(tensors);
    const outputs = [];
    for (const [i, y] of results.entries())
      outputs.push({ name: details[i]!.name, shape: [...details[i]!.shape], data: await y.data() });
    for (const x of [...tensors, ...results]) x.delete();
    return outputs;
  };
  return { build: accelerator === 'webgpu' ? 'webgpu' : base ? 'compat' : 'relaxed', threads: used, run };
});
