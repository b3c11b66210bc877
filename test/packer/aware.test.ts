/** Training through rounding: what was simulated is what the file computes, batch norms and all, and what it refuses. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { random } from '../../src/core/random';
import { writeWafer } from '../../src/format/writer';
import { Builder, type Graph, type Value } from '../../src/graph/ir';
import type { Ref } from '../../src/ops/define';
import { labelledSamples } from '../../src/packer/data/samples';
import { wasmEngine } from '../../src/packer/evaluate/engine';
import { runReference, toReference } from '../../src/packer/evaluate/reference';
import { bitsOf, type LevelFormat, type WeightFormat } from '../../src/packer/quantize/formats';
import { quantize } from '../../src/packer/quantize/index';
import { type AwareOptions, quantizationAware, trainQuantized } from '../../src/packer/train/aware';
import { emitter } from '../../src/packer/train/differentiate';
import { meaningOf } from '../../src/packer/train/kinds';
import { buildModel } from '../../src/packer/train/layers';
import { type LearntScale, type Quantizers, quantizers } from '../../src/packer/train/quantizers';
import { type Trained, train } from '../../src/packer/train/train';
import { binaries } from '../../src/runtime/wasm/binaries';
import { data, net } from './corners';

const engine = wasmEngine(binaries());
const options: AwareOptions = { epochs: 1, batch: 32, workers: 1, seed: 3, schedule: { learningRate: 0.02 } };
const SAMPLES = 64;
const folder = mkdtempSync(join(tmpdir(), 'wafer-aware-'));
afterAll(() => rmSync(folder, { recursive: true }));

let float: Trained;
beforeAll(async () => {
  float = await train(buildModel(net, 1), data, { epochs: 2, batch: 32, workers: 1, seed: 3 });
});

/** Formats of the two layers behind the first, which stays int8. */
async function tuned(format: WeightFormat, own: Partial<AwareOptions> = {}) {
  const layers = { '*': 'int8', relu2: format, linear1: format === 'xnor' ? 'int8' : format } as const;
  let simulated: Trained | undefined;
  const samples = labelledSamples(data.train, float.graph.inputs[0]!, float, SAMPLES).map(({ sample }) => sample);
  const tune = quantizationAware(data, { ...options, ...own, normalisation: float.normalisation }, (t) => void (simulated = t));
  const { graph, report } = await quantize(float.graph, samples, engine, { layers, tune });
  return { graph, report, simulated: simulated! };
}

const tests = () => labelledSamples(data.test, float.graph.inputs[0]!, float);

/** Logits of all test examples. */
async function computed(graph: Graph): Promise<Float32Array[]> {
  const session = await engine.session(graph);
  try {
    return tests().map(({ sample }) => Float32Array.from(session.run(sample).logits!.data));
  } finally {
    session.dispose();
  }
}

const simulate = ({ graph }: Trained): Float64Array[] =>
  tests().map(({ sample: { x } }) => {
    const given = new Map([['x', toReference({ dtype: 'f32', shape: x!.shape }, x!.data)]]);
    return runReference(graph, given, (op) => meaningOf(op).reference).get(graph.outputs[0]!.value)!.data as Float64Array;
  });

const best = (row: ArrayLike<number>): number => Array.from(row).indexOf(Math.max(...Array.from(row)));

const softmax = (row: Float32Array): Float32Array => {
  const powers = row.map((v) => Math.exp(v - Math.max(...row)));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((p) => p / sum);
};

/** Different levels of a product's weights. */
const levelsOf = (graph: Graph, op: string): number[] =>
  graph.nodes.filter((node) => node.op.name === op).map(({ inputs: [, w] }) => new Set(w!.data as Int8Array).size);

describe('aware', () => {
  const formats: readonly WeightFormat[] = ['int8', 'int4', 'ternary', 'ttq', 'binary', 'apot4', 'codebook3', 'xnor'];
  test.each(formats)('%s: what was simulated is what the file computes', async (format) => {
    const { graph, report, simulated } = await tuned(format);
    expect(report.layers.map((layer) => layer.format)).toContain(format);
    const [got, want] = [await computed(graph), simulate(simulated)];
    const reach = Math.max(...want.flatMap((row) => [...row].map(Math.abs)));
    // Sums that lie between two levels may be rounded otherwise: multipliers and biases are integers.
    const off = got.map((row, i) => Math.max(...row.map((v, k) => Math.abs(v - want[i]![k]!))) / reach).sort((a, b) => a - b);
    expect(off[off.length >> 1]).toBeLessThan(0.006);
    expect(off.at(-1)).toBeLessThan(0.03);
    const right = got.filter((row, i) => best(row) === data.test.labels[i]).length / got.length;
    expect(Math.abs(right - simulated.history.at(-1)!.top1!)).toBeLessThan(0.02);
    expect(right).toBeGreaterThan(0.9);
    if (format === 'xnor') {
      expect(levelsOf(graph, 'binaryConv')).toEqual([2]);
      return;
    }
    const most = 2 ** bitsOf(format as LevelFormat);
    for (const levels of [levelsOf(graph, 'conv')[1]!, levelsOf(graph, 'gemm')[0]!]) expect(levels).toBeLessThanOrEqual(most);
  });

  test('training wins back what few bits cost', async () => {
    const samples = labelledSamples(data.train, float.graph.inputs[0]!, float, SAMPLES).map(({ sample }) => sample);
    /** How far probabilities are from what they were, on average. */
    const distance = async (graph: Graph) => {
      const [got, want] = [(await computed(graph)).map(softmax), (await computed(float.graph)).map(softmax)];
      return got.reduce((sum, row, i) => sum + row.reduce((s, p, k) => s + Math.abs(p - want[i]![k]!), 0), 0) / got.length;
    };
    const plain = await quantize(float.graph, samples, engine, { weights: 'binary' });
    const own = { ...options, epochs: 2, distil: { share: 1 }, normalisation: float.normalisation };
    const { graph, report, trained } = await trainQuantized(float.graph, data, own, { weights: 'binary', samples: SAMPLES });
    expect([report.samples, trained!.complete]).toEqual([SAMPLES, true]);
    expect(await distance(graph)).toBeLessThan((await distance(plain.graph)) / 2);
  });

  test('what costs no more than the gate is not trained', async () => {
    const own = { ...options, normalisation: float.normalisation };
    const how = { samples: SAMPLES, gate: 0.5 };
    const good = await trainQuantized(float.graph, data, own, { ...how, weights: 'int8' });
    const bad = await trainQuantized(float.graph, data, own, { ...how, weights: 'binary', rounding: 'nearest' });
    expect([good.trained, bad.trained?.complete]).toEqual([undefined, true]);
    await expect(trainQuantized(float.graph, { train: data.train }, own, how)).rejects.toMatchObject({ code: 'ARGUMENT' });
  });

  test('one that was stopped goes on to the same bytes', async () => {
    const path = join(folder, 'stand.npz');
    const provenance = { packer: '', source: { name: '', bytes: 0, sha256: '' }, recipe: [], metrics: {} };
    const bytes = (graph: Graph) => Buffer.from(writeWafer({ graph, provenance, goldens: [] })).toString('hex');
    const whole = await tuned('ternary');
    const stop = new AbortController();
    const onProgress = ({ step }: { step: number }) => step === 5 && stop.abort();
    const cut = await tuned('ternary', { checkpoint: { path }, signal: stop.signal, onProgress });
    expect(cut.simulated.complete).toBe(false);
    const resumed = await tuned('ternary', { checkpoint: { path, resume: true } });
    expect(resumed.simulated.complete).toBe(true);
    expect(bytes(resumed.graph)).toBe(bytes(whole.graph));
    expect(bytes(resumed.graph)).not.toBe(bytes(cut.graph));
  });

  test('layers in signs have to be trained, and cannot have groups', async () => {
    const samples = labelledSamples(data.train, float.graph.inputs[0]!, float, 8).map(({ sample }) => sample);
    await expect(quantize(float.graph, samples, engine, { weights: 'xnor' })).rejects.toMatchObject({ code: 'ARGUMENT' });
    await expect(tuned('int8', { distil: { share: 2 } })).rejects.toMatchObject({ code: 'ARGUMENT' });
  });
});

describe('folding', () => {
  const next = random(7);
  const [channels, size] = [6, 18];
  const weights = Float32Array.from({ length: channels * size }, () => next() + next() - 1);
  // What a batch norm multiplies channels with; some are negative.
  const factors = Float32Array.from({ length: channels }, (_, o) => (o % 3 === 1 ? -1 : 1) * (0.25 + 2 * next()));
  const scales = Float32Array.from({ length: channels }, () => 0.05 + 0.1 * next());
  const folded = weights.map((w, i) => w * factors[Math.floor(i / size)]!);

  type Make = (q: Quantizers, w: Ref, scale: LearntScale) => Ref;
  const made = (data: Float32Array, scale: Float32Array, make: Make) => {
    const build = new Builder();
    const w = build.constant('w', { dtype: 'f32', shape: [channels, size] }, data);
    const start = build.constant('start', { dtype: 'f32', shape: [channels, 1] }, scale);
    const ratio = build.constant('ratio', { dtype: 'f32', shape: [channels, 1] }, new Float32Array(channels));
    const value = make(quantizers(emitter(build, () => 'q')), w, { ratio, start }) as Value;
    const graph = build.finish([{ name: 'y', value }]);
    return runReference(graph, new Map(), (op) => meaningOf(op).reference).get(value)!.data;
  };
  test.each<[string, Make]>([
    ['TWN', (q, w) => q.ternary(w)],
    ['BWN', (q, w) => q.binary(w)],
    ['LSQ', (q, w, s) => q.lsq(w, s, -7, 7)],
    ['levels', (q, w, s) => q.levels(w, s, [-8, -3, -1, 0, 1, 3, 8])],
  ])('%s: folding a norm before quantising and after give the same', (_, make) => {
    const before = made(
      folded,
      scales.map((s, o) => s * Math.abs(factors[o]!)),
      make,
    );
    const after = made(weights, scales, make).map((w, i) => w * factors[Math.floor(i / size)]!);
    before.forEach((w, i) => expect(w).toBeCloseTo(after[i]!, 5));
    expect(new Set(before).size).toBeGreaterThan(channels);
  });
});
