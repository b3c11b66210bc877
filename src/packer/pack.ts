/**
 * From an ONNX model to a `.wafer` file: import, declutter, quantise when asked, run once to know what a device must
 * compute, write. The same arguments give the same bytes.
 */
import { createHash } from 'node:crypto';
import { version } from '../../package.json';
import type { Bindings } from '../core/dim';
import { WaferError } from '../core/errors';
import { makeGolden } from '../format/golden';
import type { Golden, ImageProcessing, Postprocessing, WaferModel } from '../format/model';
import { readWafer } from '../format/reader';
import { writeWafer } from '../format/writer';
import type { Graph, Value } from '../graph/ir';
import { runGolden } from '../runtime/golden';
import { binaries } from '../runtime/wasm/binaries';
import { candidateBindings } from './evaluate/bindings';
import { bindingsOf, type Engine, type Sample, wasmEngine } from './evaluate/engine';
import { traceOrigins } from './import/names';
import { type ImportOptions, importOnnx } from './import/onnx/import';
import { toFloat16 } from './passes/float16';
import { declutter } from './passes/index';
import type { Budget } from './quantize/budget';
import { type QuantizeOptions, type QuantizeReport, quantize } from './quantize/index';

export interface PackOptions extends ImportOptions {
  /** The source's file name, for the provenance. */
  name: string;
  /** Quantise, calibrating on these samples; they are asked for once the inputs are known. */
  quantize?: Omit<QuantizeOptions, 'fileBytes'> & { samples: (inputs: readonly Value[]) => Promise<readonly Sample[]> };
  /** Round weights that stay floats to 16 bits. */
  float16?: boolean;
  labels?: readonly string[] | undefined;
  /** How images become inputs; asked for once the inputs are known. */
  images?: (inputs: readonly Value[]) => ImageProcessing | undefined;
  postprocessing?: Postprocessing | undefined;
  /** Leave out the source's names of values. */
  strip?: boolean;
  /** Called as each stage begins. */
  onStage?: (stage: string) => void;
}

export interface PackReport {
  sourceBytes: number;
  bytes: number;
  /** What a user should know, one sentence each. */
  notes: readonly string[];
  quantize?: QuantizeReport;
}

export interface Packed {
  bytes: Uint8Array;
  model: WaferModel;
  report: PackReport;
}

/** Throws BAD_MODEL, UNSUPPORTED, ARGUMENT, and what `quantize.samples` throws. */
export async function pack(onnx: Uint8Array, options: PackOptions): Promise<Packed> {
  const { name, quantize: quantization, float16, labels, images, postprocessing, strip, onStage } = options;
  onStage?.('import');
  const imported = importOnnx(onnx, options);
  onStage?.('declutter');
  let graph = declutter(imported.graph);
  const imageProcessing = images?.(graph.inputs);
  const notes = [...imported.notes];
  const engine = wasmEngine(binaries());
  let samples: readonly Sample[] = [];
  let bindings: Bindings | undefined;
  const source = { name, bytes: onnx.length, sha256: createHash('sha256').update(onnx).digest('hex') };
  const complete = async (given: Graph, report?: QuantizeReport): Promise<WaferModel> => {
    const graph = float16 ? toFloat16(given) : given;
    const recipe = [
      ...[`import onnx opset ${imported.opset}`, 'declutter'],
      ...(report ? recipeOf(report, quantization!.budget) : []),
      ...(float16 ? ['weights in f16'] : []),
    ];
    const metrics: Record<string, number> = report ? { sqnr_db: report.outputSqnr } : {};
    const draft: WaferModel = {
      graph,
      provenance: { packer: `wafer ${version}`, source, recipe, metrics },
      ...(labels && { labels }),
      ...(imageProcessing && { images: [imageProcessing] }),
      ...(postprocessing && { postprocessing }),
      goldens: [],
      ...(!strip && { origins: traceOrigins(graph, imported.origins) }),
    };
    const golden = await goldenRun(readWafer(writeWafer(draft)).graph, engine, bindings);
    return { ...draft, goldens: golden ? [golden] : [] };
  };
  let quantized: QuantizeReport | undefined;
  if (quantization) {
    onStage?.('calibrate');
    samples = await quantization.samples(graph.inputs);
    if (samples[0]) bindings = bindingsOf(graph, samples[0]);
    const fileBytes = async (graph: Graph, report: QuantizeReport) => writeWafer(await complete(graph, report)).length;
    ({ graph, report: quantized } = await quantize(graph, samples, engine, { ...quantization, fileBytes }));
  }

  onStage?.('golden run');
  const model = await complete(graph, quantized);
  if (model.goldens.length === 0) notes.push('no input size was found at which the model runs: the file holds no golden run');
  onStage?.('write');
  const bytes = writeWafer(model);
  return {
    bytes,
    model,
    report: { sourceBytes: onnx.length, bytes: bytes.length, notes, ...(quantized && { quantize: quantized }) },
  };
}

/**
 * The model with another graph of the same inputs and outputs: what was done joins its provenance, figures that were measured of the
 * graph before are dropped, and its golden run is made again.
 */
export async function withGraph(model: WaferModel, graph: Graph, done: readonly string[]): Promise<WaferModel> {
  const { provenance, goldens, origins, ...rest } = model;
  const names = new Set([...graph.inputs, ...graph.nodes.flatMap(({ outputs }) => outputs)].map(({ name }) => name));
  const draft: WaferModel = {
    ...rest,
    graph,
    provenance: { ...provenance, packer: `wafer ${version}`, recipe: [...provenance.recipe, ...done], metrics: {} },
    goldens: [],
    ...(origins && { origins: new Map([...origins].filter(([name]) => names.has(name))) }),
  };
  const golden = await goldenRun(readWafer(writeWafer(draft)).graph, wasmEngine(binaries()), goldens[0]?.bindings);
  return { ...draft, goldens: golden ? [golden] : [] };
}

/** The formats that layers got, and why what is float is. */
export function recipeOf({ method, samples, layers, floatNodes }: QuantizeReport, budget?: Budget): string[] {
  const counts = new Map<string, number>();
  for (const { format } of layers) counts.set(format, (counts.get(format) ?? 0) + 1);
  const [only] = counts.size === 1 ? counts.keys() : [];
  const formats = only ?? [...counts].map(([format, count]) => `${format} x ${count}`).join(', ');
  return [
    `${formats || 'int8'} ${method}, ${samples} samples`,
    ...(budget ? [`budget ${'size' in budget ? `${budget.size} bytes` : `${budget.bits} bits a weight`}`] : []),
    ...floatNodes.map(({ node, why }) => `float ${node}: ${why}`),
  ];
}

const GOLDEN_SEED = 1;

/** Runs the graph on drawn inputs, at the given bindings or the first sizes that it takes. */
export async function goldenRun(graph: Graph, engine: Engine, given: Bindings | undefined): Promise<Golden | undefined> {
  const session = await engine.session(graph);
  try {
    for (const bindings of given ? [given] : candidateBindings(graph)) {
      try {
        return makeGolden(GOLDEN_SEED, bindings, runGolden(session, { seed: GOLDEN_SEED, bindings }));
      } catch (error) {
        const code = error instanceof WaferError ? error.code : undefined;
        if (code !== 'SHAPE' && !(code === 'MEMORY' && bindings.size)) throw error;
      }
    }
    return undefined;
  } finally {
    session.dispose();
  }
}
