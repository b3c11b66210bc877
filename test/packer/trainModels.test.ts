/**
 * Models of others in training: every weight is reached by a gradient, in onnxruntime, and one small step lowers the loss. Those that
 * were exported for one example are given a batch, in which examples stay apart.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { expect, test } from 'vitest';
import { random } from '../../src/core/random';
import { elements } from '../../src/core/shape';
import type { Graph } from '../../src/graph/ir';
import { compare } from '../../src/packer/evaluate/compare';
import { wasmEngine } from '../../src/packer/evaluate/engine';
import { importOnnx } from '../../src/packer/import/onnx/import';
import { declutter } from '../../src/packer/passes/index';
import { batched } from '../../src/packer/train/batched';
import { Executor } from '../../src/packer/train/executor';
import { compile, parametersOf, weightsOf } from '../../src/packer/train/program';
import { binaries } from '../../src/runtime/wasm/binaries';
import { files } from '../models/models';

/** A shape where the input's is too free; parameters that lead to other outputs than the first. */
const MODELS: Readonly<Record<string, { shape?: readonly (number | string)[]; elsewhere?: number }>> = {
  'ch_PP-OCRv4_det_infer': { shape: ['N', 3, 32, 32] },
  'ch_PP-OCRv4_rec_infer': { shape: ['N', 3, 48, 32] },
  'ch_ppocr_mobile_v2.0_cls_infer': { shape: ['N', 3, 48, 64] },
  embedding_model: {},
  melspectrogram: { shape: ['N', 1760] },
  'alexa_v0.1': {},
  'hey_jarvis_v0.1': {},
  'timer_v0.1': {},
  face_detection_front_128x128_barracuda: { elsewhere: 21 },
  resnet8_cifar10_fp32: {},
  'mobilenet_v1_0.25_128': {},
  'mobilenet_v2_1.0_224': {},
};

const fileOf = (name: string) => files.find((file) => basename(file) === `${name}.onnx`);

function read(file: string, shape?: readonly (number | string)[]): Graph {
  const onnx = new Uint8Array(readFileSync(file));
  const [x] = importOnnx(onnx).graph.inputs;
  return declutter(importOnnx(onnx, shape && { inputs: { [x!.name]: { shape } } }).graph);
}

test('what cannot be imported says what is lacking', () => {
  expect(() => read(fileOf('silero_vad')!)).toThrow(/operators that Wafer does not have: LSTM ×8/);
});

for (const [name, { shape, elsewhere = 0 }] of Object.entries(MODELS)) {
  const file = fileOf(name);
  if (!file) {
    test.skip(`${name}: is not here; WAFER_MODELS names its folder`, () => {});
    continue;
  }
  test(`${name} is trained`, async () => {
    const given = read(file, shape);
    const graph = batched(given);
    if (graph !== given) await expectApart(given, graph);
    const program = compile(graph, { batch: 2, loss: ({ mse, logits, target }) => mse(logits, target) });
    expect(program.frozen).toEqual([]);
    expect(program.parameters).toHaveLength(parametersOf(graph).length - elsewhere);
    // With its own weights the detector is so sure that there is no text in noise that its sigmoid is flat.
    const weights = weightsOf(graph, program).parameters.map((w) => w / 2);
    const execution = await (await Executor.load()).open(program.onnx, 1 + program.parameters.length);
    const next = random(1);
    const draw = ({ shape }: { shape: readonly number[] }) => Float32Array.from({ length: elements(shape) }, next);
    const { input, target } = program;
    const fixed = {
      [input.name]: { data: draw(input), shape: input.shape },
      target: { data: draw(target!), shape: target!.shape },
    };
    const run = (flat: Float32Array) => {
      const own = program.parameters.map((p) => {
        const data = flat.subarray(p.offset, p.offset + elements(p.shape));
        return [p.name, { data, shape: p.shape }] as const;
      });
      return execution.run({ ...fixed, ...Object.fromEntries(own) });
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
}

/** Two examples in a batch come to what each comes to alone. */
async function expectApart(one: Graph, many: Graph): Promise<void> {
  const engine = wasmEngine(binaries());
  const [x] = one.inputs;
  const shape = x!.type.shape as readonly number[];
  const next = random(2);
  const both = Float32Array.from({ length: 2 * elements(shape) }, next);
  const [single, batch] = [await engine.session(one), await engine.session(many)];
  const got = batch.run({ [x!.name]: { data: both, shape: [2, ...shape.slice(1)] } });
  for (const k of [0, 1]) {
    const data = both.subarray(k * elements(shape), (k + 1) * elements(shape));
    const want = single.run({ [x!.name]: { data, shape: [...shape] } });
    for (const { name } of one.outputs) {
      const size = want[name]!.data.length;
      const part = got[name]!.data.slice(k * size, (k + 1) * size);
      expect(compare(part, want[name]!.data, { abs: 1e-5, rel: 1e-4 }).beyond, `${name} of example ${k}`).toBe(0);
    }
  }
  single.dispose();
  batch.dispose();
}
