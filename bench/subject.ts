/** What a model's turn needs: Wafer's packed file, the inputs of a run, and what the float model makes of them. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { drawInputs } from '../src/cli/tensors';
import { isStatic } from '../src/core/dim';
import type { StaticShape, StaticType } from '../src/core/shape';
import { readWafer } from '../src/format/reader';
import type { Graph } from '../src/graph/ir';
import { bindingsOf, type Sample, wasmEngine } from '../src/packer/evaluate/engine';
import { pack } from '../src/packer/pack';
import { goldenSample } from '../src/runtime/golden';
import { binaries } from '../src/runtime/wasm/binaries';
import { cached } from './cache';
import type { NamedModel, Sizes } from './models';
import { SEED } from './runtimes/page';

export interface Subject extends NamedModel {
  /** Wafer's file. */
  packed: string;
  inputs: readonly { name: string; type: StaticType }[];
  /** The first, as Wafer's fp32 computes it; its bits are the same in every engine. */
  output: { name: string; shape: StaticShape; data: ArrayLike<number> };
}

/** What int8 is calibrated on: noise, for it is only timed. */
const CALIBRATION_SEEDS = [11, 12, 13, 14];

/** Height and width of images, where a model leaves them free. */
const IMAGE_SIZE = 224;

/** `sizes` are those of free dimensions. Throws what `pack` does, and ARGUMENT for sizes that the model does not have. */
export async function prepareSubject(model: NamedModel, sizes: Sizes, report: (line: string) => void): Promise<Subject> {
  const onnx = new Uint8Array(readFileSync(model.source));
  const name = basename(model.source);
  const packer = readFileSync('dist/cli.mjs');
  const fp32 = await cached(`${basename(model.source, '.onnx')}-fp32.wafer`, [packer, onnx], async () => {
    report(`packing ${name} ...`);
    return (await pack(onnx, { name })).bytes;
  });
  const float = readWafer(new Uint8Array(readFileSync(fp32)));
  const { graph } = float;
  const bindings = bindingsOf(graph, drawInputs(float, { ...imageSizes(graph), ...model.sizes, ...sizes }));
  const sample = goldenSample(graph, { seed: SEED, bindings });
  const int8 = async () =>
    cached(`${model.name}.wafer`, [packer, onnx, JSON.stringify([...bindings])], async () => {
      report(`packing ${name} to int8, calibrated on ${CALIBRATION_SEEDS.length} draws ...`);
      const samples = CALIBRATION_SEEDS.map((seed) => goldenSample(graph, { seed, bindings }));
      return (await pack(onnx, { name, quantize: { samples: async () => samples } })).bytes;
    });
  return {
    ...model,
    packed: model.precision === 'int8' ? await int8() : fp32,
    inputs: graph.inputs.map((x) => ({ name: x.name, type: { ...x.type, shape: sample[x.name]!.shape } })),
    output: await firstOutput(graph, sample),
  };
}

async function firstOutput(graph: Graph, sample: Sample): Promise<Subject['output']> {
  const session = await wasmEngine(binaries()).session(graph);
  try {
    const [name, { data, shape }] = Object.entries(session.run(sample))[0]!;
    return { name, shape, data };
  } finally {
    session.dispose();
  }
}

/** Free dimensions of a batch of images, but for the batch. */
function imageSizes({ inputs }: Graph): Sizes {
  const free = inputs.filter((x) => x.type.shape.length === 4).flatMap((x) => x.type.shape.slice(1));
  const symbols = free.flatMap((d) => (isStatic(d) ? [] : d.terms.flatMap((t) => t.atoms)));
  return Object.fromEntries(symbols.flatMap((atom) => ('symbol' in atom ? [[atom.symbol, IMAGE_SIZE]] : [])));
}
