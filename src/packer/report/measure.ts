/** What a report says of a file, measured: figures, what takes its bytes, and how its numbers are spread. */
import { readWafer } from '../../format/reader';
import type { Graph } from '../../graph/ir';
import { makePlan } from '../../runtime/plan';
import { countMacs } from '../evaluate/cost';
import { bindingsOf, type Engine, type Sample } from '../evaluate/engine';
import type { Figures } from '../evaluate/evaluate';
import { layerSizes } from '../evaluate/sizes';
import { Histogram } from '../quantize/histogram';
import { folded } from '../train/program';
import type { Distribution, FileFigures, FileHistograms, FileStorage } from './types';

const sum = (values: Iterable<number>): number => [...values].reduce((a, b) => a + b, 0);

/** Bins of what is drawn. */
const BINS = 64;

const WEIGHTED = new Set(['conv', 'gemm', 'matmul', 'binaryConv']);

/** Of a .wafer file, with what `evaluate` found of it; work and memory are those of `sample`. Throws BAD_FILE. */
export function figuresOf(file: Uint8Array, figures: Figures, sample: Sample, browserMs?: number): FileFigures {
  const { graph } = readWafer(file);
  const { name, top1, top5, characters, texts, against, ms } = figures;
  const bindings = bindingsOf(graph, sample);
  const plan = makePlan(graph, bindings, { dot: 'i16', residents: new Map(), residentBytes: 0, guard: false });
  // Weights and biases, each once.
  const held = new Set(graph.nodes.flatMap(({ op, inputs }) => (WEIGHTED.has(op.name) ? inputs.slice(1, 3) : [])));
  const parameters = sum([...held].map((x) => x?.data?.length ?? 0));
  const stored = sum(layerSizes(file).flatMap(({ parts }) => parts.map(({ bytes }) => bytes)));
  const found = {
    ...{ name, bytes: file.length, top1, top5, characters, texts, ms: ms.median, browserMs, parameters },
    bitsPerWeight: parameters > 0 ? (8 * stored) / parameters : undefined,
    agreement: against?.agreement,
    sameCharacters: against?.characters,
    sameTexts: against?.texts,
    iou: against?.iou,
    sqnr: against?.sqnr ?? undefined,
    macs: sum(countMacs(graph, bindings).values()),
    memory: plan.arenaBytes + plan.residentBytes,
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)) as unknown as FileFigures;
}

/** The layers of a .wafer file, and all else as one more. Throws BAD_FILE. */
export function storageOf(name: string, file: Uint8Array): FileStorage {
  const layers = layerSizes(file);
  const rest = file.length - sum(layers.flatMap(({ parts }) => parts.map(({ bytes }) => bytes)));
  return {
    file: name,
    layers: [...layers, { layer: 'graph and names', elements: 0, parts: [{ encoding: 'head', bytes: rest }] }],
  };
}

/**
 * Weights and outputs of the products of `graph`, outputs over all samples; levels of activations as the numbers they stand for, of
 * weights as they are. Batch norms of training go by their running statistics. Throws VALUE for what is not finite.
 */
export async function histogramsOf(
  name: string,
  graph: Graph,
  samples: readonly Sample[],
  engine: Engine,
): Promise<FileHistograms> {
  const plain = folded(graph);
  const products = plain.nodes.filter(({ op }) => WEIGHTED.has(op.name));
  const weights = products.flatMap(({ name, inputs }) => {
    const w = inputs[1]?.data;
    if (!w) return [];
    const seen = new Spread();
    seen.add(Float32Array.from(w));
    return seen.distribution(name);
  });
  const seen = new Map(products.map((node) => [node, new Spread()]));
  const session = await engine.session(plain);
  try {
    for (const sample of samples)
      session.run(sample, {
        observe(node, [y]) {
          const { quant } = y!.type;
          const numbers = quant ? Float32Array.from(y!.data, (level) => (level - quant.zero) * quant.scale) : y!.data;
          seen.get(node)?.add(Float32Array.from(numbers));
        },
      });
  } finally {
    session.dispose();
  }
  return { file: name, weights, activations: [...seen].flatMap(([{ name }, spread]) => spread.distribution(name)) };
}

/** A histogram, and how many zeros it was not given. */
class Spread {
  private readonly seen = new Histogram();
  private zeros = 0;

  add(data: Float32Array): void {
    const others = data.filter((v) => v !== 0);
    this.zeros += data.length - others.length;
    this.seen.add(others);
  }

  /** None of what was never seen. */
  distribution(name: string): Distribution[] {
    const { seen, zeros } = this;
    if (seen.count + zeros === 0) return [];
    const ends = zeros > 0 || seen.count === 0 ? [0] : [];
    const [low, high] = [Math.min(seen.min, ...ends), Math.max(seen.max, ...ends)];
    const counts = Array.from({ length: BINS }, () => 0);
    for (const [centre, n] of seen.entries()) {
      const place = high > low ? Math.floor((BINS * (centre - low)) / (high - low)) : 0;
      counts[Math.max(0, Math.min(BINS - 1, place))]! += n;
    }
    return [{ name, low, high, counts, zeros: zeros / (seen.count + zeros) }];
  }
}
