/** What weights are stored as: the formats, rounding to them, and choosing among them under a budget. */
import { describe, expect, test } from 'vitest';
import { elements } from '../../src/core/shape';
import { Builder, type Graph } from '../../src/graph/ir';
import { step } from '../../src/ops/steps';
import { wasmEngine } from '../../src/packer/evaluate/engine';
import { pack } from '../../src/packer/pack';
import { toFloat16 } from '../../src/packer/passes/float16';
import { allocate, budgetNamed, choicesNamed, entropyOf } from '../../src/packer/quantize/budget';
import { Covariance } from '../../src/packer/quantize/covariance';
import { fidelity } from '../../src/packer/quantize/fidelity';
import {
  bitsOf,
  formatNamed,
  gridOf,
  LEVEL_FORMATS,
  type LevelFormat,
  type WeightFormat,
} from '../../src/packer/quantize/formats';
import { type QuantizeOptions, quantize } from '../../src/packer/quantize/index';
import { quantizeForFloats, type Rounding } from '../../src/packer/quantize/weights';
import { binaries } from '../../src/runtime/wasm/binaries';
import { random } from '../support/random';
import { floats, node, onnxModel } from './onnx';

const bell = (draw: () => number) => draw() + draw() + draw() - draw() - draw() - draw();
const refused = (code: string, message?: RegExp) =>
  expect.objectContaining({ code, ...(message && { message: expect.stringMatching(message) }) });

describe('formats/levels', () => {
  const [draw, K] = [random(1), 96];
  const rows = new Covariance(1, K);
  for (let i = 0; i < 300; i++) {
    const common = 2 * draw() - 1;
    for (let k = 0; k < K; k++) rows.next[k] = common + 2 * draw() - 1;
    rows.push();
  }
  const importance = () => new Float64Array(K).fill(1);
  const float = (weights: Float32Array, format: LevelFormat, rounding: Rounding) => {
    const channels = weights.length / K;
    const grid = gridOf(format, { weights, channels, importance });
    return { weights, channels, bias: undefined, rows: () => rows, grid, rounding };
  };
  const { covariance } = rows.blocks[0]!.solved();
  /** What rounding changes of the products, over their variance. */
  const change = (weights: Float32Array, format: LevelFormat, rounding: Rounding) => {
    const q = quantizeForFloats(float(weights, format, rounding), 1);
    const product = (row: Float64Array) => {
      let sum = 0;
      for (let i = 0; i < K; i++) for (let j = 0; j < K; j++) sum += row[i]! * row[j]! * covariance[i * K + j]!;
      return sum;
    };
    let [error, all] = [0, 0];
    for (let c = 0; c < weights.length / K; c++) {
      error += product(Float64Array.from({ length: K }, (_, k) => weights[c * K + k]! - q.levels[c * K + k]! * q.scales[c]!));
      all += product(Float64Array.from(weights.subarray(c * K, (c + 1) * K)));
    }
    return error / all;
  };
  const weights = Float32Array.from({ length: 4 * K }, () => bell(draw));

  test.each(LEVEL_FORMATS)('formats/%s: few enough levels, and none beyond int8', (format) => {
    const { levels } = gridOf(format, { weights, channels: 4, importance });
    expect(levels.length).toBeLessThanOrEqual(2 ** bitsOf(format));
    expect(levels.length).toBeGreaterThan(2 ** (bitsOf(format) - 1) - 1);
    expect([...levels]).toEqual([...new Set(levels)].sort((a, b) => a - b));
    for (const level of levels) expect(Number.isInteger(level) && Math.abs(level) <= 127).toBe(true);
    const q = quantizeForFloats(float(weights, format, 'gptq'), 1);
    for (const level of q.levels) expect(levels).toContain(level);
  });

  test.each(LEVEL_FORMATS)('formats/%s: rounds to the nearest level', (format) => {
    const { levels, round } = gridOf(format, { weights, channels: 4, importance });
    for (let i = 0; i < 200; i++) {
      const x = 300 * draw() - 150;
      const least = Math.min(...levels.map((level) => Math.abs(level - x)));
      expect(Math.abs(round(x) - x)).toBeCloseTo(least, 12);
    }
  });

  test.each(LEVEL_FORMATS.filter((format) => !format.startsWith('codebook') && format !== 'ttq'))(
    'formats/%s: weights that are levels already stay what they are',
    (format) => {
      const { levels } = gridOf(format, { weights, channels: 4, importance });
      const scales = [0.5, 0.25, 2, 0.125];
      const drawn = Float32Array.from(weights, (_, i) => {
        // Not all networks that were trained on levels use the outermost.
        const used = i < 2 * K ? levels : levels.filter((level) => Math.abs(level) < Math.max(2, levels.at(-1)! / 2));
        return used[Math.floor(draw() * used.length)]! * scales[Math.floor(i / K)]! * 1.1;
      });
      const q = quantizeForFloats(float(drawn, format, 'adaround'), 1);
      drawn.forEach((w, i) => expect(q.levels[i]! * q.scales[Math.floor(i / K)]!).toBeCloseTo(w, 4));
    },
  );

  test.each(LEVEL_FORMATS)('formats/%s: errors that are made good cost less, and improved ones less again', (format) => {
    const [nearest, gptq, adaround] = (['nearest', 'gptq', 'adaround'] as const).map((how) => change(weights, format, how));
    expect(gptq).toBeLessThan(nearest!);
    expect(adaround).toBeLessThanOrEqual(gptq! * 1.000001);
  });

  test('formats/more bits cost less', () => {
    for (const family of [
      ['int8', 'int6', 'int5', 'int4', 'int3', 'ternary', 'binary'],
      ['codebook8', 'codebook7', 'codebook6', 'codebook5', 'codebook4', 'codebook3', 'codebook2'],
    ] as const) {
      const costs = family.map((format) => change(weights, format, 'adaround'));
      expect(costs).toEqual([...costs].sort((a, b) => a - b));
    }
    expect(change(weights, 'int8', 'gptq')).toBeLessThan(1e-4);
    expect(change(weights, 'int4', 'adaround')).toBeLessThan(0.01);
  });

  test('formats/k-means finds the clusters that weights are in', () => {
    const clusters = [-127, -31, 12, 90];
    const drawn = Float32Array.from({ length: 4 * K }, (_, i) => clusters[i % 4]! + (i % K < 4 ? 0 : (draw() - 0.5) / 4));
    expect(gridOf('codebook2', { weights: drawn, channels: 4, importance }).levels).toEqual(clusters);
  });

  test('formats/weights of 0 stay 0 where there is a level for it', () => {
    const pruned = weights.map((w, i) => (i % 3 ? w : 0));
    for (const format of LEVEL_FORMATS.filter((f) => f !== 'binary')) {
      const { levels } = quantizeForFloats(float(pruned, format, 'adaround'), 1);
      expect(levels.every((level, i) => i % 3 || level === 0)).toBe(true);
    }
  });

  test('formats/names', () => {
    expect([formatNamed('4'), formatNamed('int4'), formatNamed('codebook6')]).toEqual(['int4', 'int4', 'codebook6']);
    expect(() => formatNamed('tenary')).toThrow(refused('ARGUMENT', /did you mean "ternary"/));
    expect(() => formatNamed('7')).toThrow(refused('ARGUMENT'));
    expect(choicesNamed('8, ternary')).toEqual(['int8', 'ternary']);
    for (const text of ['8,float', 'xnor']) expect(() => choicesNamed(text)).toThrow(refused('ARGUMENT'));
    expect(budgetNamed('size=1.6MB')).toEqual({ size: 1_600_000 });
    expect(budgetNamed('size=800kB')).toEqual({ size: 800_000 });
    expect(budgetNamed('bits=3.5')).toEqual({ bits: 3.5 });
    for (const text of ['size', 'size=0', 'bits=4MB', 'time=3', 'size=-4'])
      expect(() => budgetNamed(text)).toThrow(refused('ARGUMENT'));
  });
});

describe('formats/budget', () => {
  test('the choice is the best there is', () => {
    const draw = random(2);
    for (let trial = 0; trial < 20; trial++) {
      const layers = Array.from({ length: 5 }, () => ({
        choices: Array.from({ length: 3 }, () => ({ cost: Math.ceil(64 * draw()) / 64, error: draw() })),
      }));
      let least = Number.POSITIVE_INFINITY;
      const sums = (picked: readonly number[]) =>
        picked.reduce(
          ([c, e], choice, i) => [c! + layers[i]!.choices[choice]!.cost, e! + layers[i]!.choices[choice]!.error],
          [0, 0],
        );
      for (let code = 0; code < 3 ** 5; code++) {
        const [cost, error] = sums(layers.map((_, i) => Math.floor(code / 3 ** i) % 3));
        if (cost! <= 2) least = Math.min(least, error!);
      }
      const picked = allocate(layers, 2);
      if (Number.isFinite(least)) {
        const [cost, error] = sums(picked!);
        expect(cost).toBeLessThanOrEqual(2);
        expect(error).toBeCloseTo(least, 9);
      } else expect(picked).toBeUndefined();
    }
    expect(allocate([], 1)).toEqual([]);
  });

  test('entropy is that of the levels', () => {
    expect(entropyOf(Int8Array.of(1, -1, 1, -1))).toBeCloseTo(4, 12);
    expect(entropyOf(Int8Array.of(5, 5, 5))).toBeCloseTo(0, 12);
    expect(entropyOf(Int8Array.from({ length: 1024 }, (_, i) => (i % 256) - 128))).toBeCloseTo(8192, 6);
  });
});

describe('formats/networks', () => {
  /** Three layers, of which the last makes probabilities of what the first passes on as it is. */
  function network(): { graph: Graph; samples: { x: { data: Float32Array; shape: number[] } }[] } {
    const [build, draw] = [new Builder(), random(3)];
    const constant = (shape: number[], scale: number) =>
      build.constant(
        'w',
        { dtype: 'f32', shape },
        Float32Array.from({ length: elements(shape) }, () => scale * bell(draw)),
      );
    const x = build.input('x', { dtype: 'f32', shape: [1, 8, 8, 4] });
    const stem = build.node('conv', 'stem', [x, constant([8, 3, 3, 4], 0.2)], { pads: [1, 1, 1, 1], act: [step('relu')] });
    const wide = build.node('conv', 'wide', [stem, constant([16, 3, 3, 8], 0.02)], { pads: [1, 1, 1, 1], act: [step('relu')] });
    const flat = build.node('reshape', 'flat', [wide], { shape: [1, 64 * 16] });
    const y = build.node('softmax', 'y', [build.node('gemm', 'head', [flat, constant([5, 64 * 16], 0.2)])]);
    const sample = () => ({ x: { data: Float32Array.from({ length: 256 }, () => 2 * draw() - 1), shape: [1, 8, 8, 4] } });
    return { graph: build.finish([{ name: 'y', value: y }]), samples: Array.from({ length: 12 }, sample) };
  }
  const { graph, samples } = network();
  const engine = wasmEngine(binaries());
  const quantized = (options: QuantizeOptions) => quantize(graph, samples, engine, { method: 'minmax', ...options });
  const weightsOf = (g: Graph) =>
    g.nodes.filter(({ op }) => op.name === 'conv' || op.name === 'gemm').map(({ inputs }) => inputs[1]!);

  test.each<WeightFormat>(['int4', 'ternary', 'binary', 'codebook3', 'power4', 'apot4', 'log3'])(
    'formats/%s: the whole network takes it',
    async (weights) => {
      const { graph, report } = await quantized({ weights });
      for (const { data } of weightsOf(graph))
        expect(new Set(data).size).toBeLessThanOrEqual(2 ** bitsOf(weights as LevelFormat));
      expect(report.layers.map(({ layer, format }) => [layer, format])).toEqual(
        ['stem', 'wide', 'head'].map((name) => [name, weights]),
      );
      expect(report.outputSqnr).toBeGreaterThan(4);
    },
  );

  test('formats/a layer of its own', async () => {
    const { graph, report } = await quantized({ weights: 'ternary', layers: { '*e*': 'int4', head: 'float' } });
    expect(report.layers.map(({ layer, format }) => [layer, format])).toEqual([
      ['stem', 'int4'],
      ['wide', 'int4'],
    ]);
    expect(report.floatNodes.find(({ node }) => node.includes('head'))?.why).toMatch(/on request/);
    expect(weightsOf(graph).map(({ type }) => type.dtype)).toEqual(['i8', 'i8', 'f32']);
    await expect(quantized({ layers: { haed: 'int4' } })).rejects.toThrow(
      refused('ARGUMENT', /no layer is called "haed"[\s\S]*"head"/),
    );
    await expect(quantized({ layers: { 'x.*': 'int4' } })).rejects.toThrow(refused('ARGUMENT'));
  });

  test('formats/a budget of bits beats the same bits everywhere', async () => {
    const choices = ['int8', 'int6', 'int4', 'int3', 'ternary'] as const;
    const { report } = await quantized({ budget: { bits: 3 }, choices });
    const { chosen, uniform, sensitivity } = report.budget!;
    expect(sensitivity.map(({ layer }) => layer)).toEqual(['stem', 'wide', 'head']);
    for (const { choices } of sensitivity) expect(choices[0]!.error).toBeLessThan(choices.at(-1)!.error);
    expect(chosen.bits).toBeLessThanOrEqual(3);
    const allowed = uniform.filter(({ bits }) => bits <= 3);
    expect(allowed.length).toBeGreaterThan(0);
    for (const { error } of allowed) expect(chosen.error).toBeLessThan(error);
    expect(new Set(report.layers.map(({ format }) => format)).size).toBeGreaterThan(1);
  });

  test('formats/classes that no sample is of count in what a budget costs', async () => {
    const [build, draw] = [new Builder(), random(5)];
    const floats = (length: number) => Float32Array.from({ length }, () => bell(draw));
    const x = build.input('x', { dtype: 'f32', shape: [1, 32] });
    const w = (name: string, rows: number) => build.constant(name, { dtype: 'f32', shape: [rows, 32] }, floats(32 * rows));
    const head = build.node('gemm', 'head', [build.node('gemm', 'inner', [x, w('a', 32)]), w('b', 40)]);
    const graph = build.finish([{ name: 'y', value: build.node('softmax', 'y', [head]) }]);
    // One example again and again: weights can be rounded to what suits it.
    const sample = { x: { data: floats(32), shape: [1, 32] } };
    const options = { method: 'minmax', budget: { bits: 3 }, choices: ['int4', 'ternary'] } as const;
    const { report } = await quantize(graph, [sample, sample, sample, sample], engine, options);
    const [inner, last] = report.budget!.sensitivity;
    expect(inner!.choices[1]!.error).toBeLessThan(0.01);
    expect(last!.choices[1]!.error).toBeGreaterThan(0.05);
    expect(last!.choices[1]!.error).toBeGreaterThan(5 * last!.choices[0]!.error);
  });

  test('formats/a budget leaves layers that are named to what they are named', async () => {
    const { report } = await quantized({ budget: { bits: 4 }, layers: { stem: 'int8' }, choices: ['int4', 'ternary'] });
    expect(report.budget!.sensitivity.map(({ layer }) => layer)).toEqual(['wide', 'head']);
    expect(report.layers[0]!.format).toBe('int8');
  });

  test('formats/a budget of bytes asks what the file takes', async () => {
    const fileBytes = async (g: Graph) => 1000 + weightsOf(g).reduce((sum, { data }) => sum + data!.length, 0);
    const all = await fileBytes((await quantized({})).graph);
    const { report } = await quantized({ budget: { size: all }, choices: ['int8', 'int4'], fileBytes });
    expect(report.budget!.chosen.bytes).toBe(all);
    await expect(quantized({ budget: { size: 900 }, choices: ['int8', 'int4'], fileBytes })).rejects.toThrow(
      refused('ARGUMENT', /cannot be met: the least that was reached is \d+ bytes/),
    );
  });

  test('formats/a file is as large as its budget of bytes allows, with all that it says of itself', async () => {
    const weights = Float32Array.from({ length: 4096 }, (_, i) => Math.sin(i * i));
    const initializers = [floats('a', [64, 64], weights), floats('b', [64, 64], weights.toReversed())];
    const nodes = [node('MatMul', 'x a', 'm'), node('Relu', 'm', 'r'), node('MatMul', 'r b', 'y')];
    const onnx = onnxModel({ inputs: { x: [1, 64] }, outputs: ['y'], nodes, initializers });
    const draw = random(4);
    const inputs = Array.from({ length: 4 }, () => ({ x: { data: Float32Array.from({ length: 64 }, draw), shape: [1, 64] } }));
    const packed = (options: QuantizeOptions) =>
      pack(onnx, { name: 'two', quantize: { ...options, samples: async () => inputs } });
    const size = (await packed({ weights: 'int8' })).bytes.length + 40;
    const { bytes, report } = await packed({ budget: { size }, choices: ['int8', 'int4'] });
    expect(bytes.length).toBe(report.quantize!.budget!.chosen.bytes);
    expect(bytes.length).toBeLessThanOrEqual(size);
  });

  test('formats/16 bits hold the weights that stay floats', async () => {
    const half = toFloat16(graph);
    for (const [i, { data }] of weightsOf(half).entries()) {
      const given = weightsOf(graph)[i]!.data!;
      data!.forEach((v, k) => expect(Math.abs(v - given[k]!)).toBeLessThanOrEqual(Math.abs(given[k]!) * 2 ** -11 + 2 ** -25));
      expect(data).not.toEqual(given);
    }
    const outputs = [];
    const session = await engine.session(graph);
    for (const sample of samples) outputs.push({ y: session.run(sample).y!.data.slice() as Float32Array });
    expect((await fidelity(half, samples, outputs, engine)).sqnr).toBeGreaterThan(60);
  });
});
