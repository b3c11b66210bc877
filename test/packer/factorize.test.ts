/** Layers as products of smaller ones: they compute the same at full rank and nearly so below, and are smaller. */
import { describe, expect, test } from 'vitest';
import { symbol } from '../../src/core/dim';
import type { WaferError } from '../../src/core/errors';
import { elements } from '../../src/core/shape';
import { Builder, type Graph, type Node } from '../../src/graph/ir';
import { printGraph } from '../../src/graph/print';
import type { RefTensor } from '../../src/ops/define';
import { step } from '../../src/ops/steps';
import { someBindings } from '../../src/packer/evaluate/bindings';
import { wasmEngine } from '../../src/packer/evaluate/engine';
import { runOutputs } from '../../src/packer/evaluate/reference';
import { type FactorizeOptions, factorize } from '../../src/packer/factorize/index';
import { type Layer, layerOf, weightsInput } from '../../src/packer/factorize/layer';
import { decompose, eigen, gram, multiply } from '../../src/packer/factorize/linear';
import { decomposed, METHODS, PLAIN } from '../../src/packer/factorize/methods';
import { replaceLayers } from '../../src/packer/factorize/replace';
import { buildModel } from '../../src/packer/train/layers';
import { binaries } from '../../src/runtime/wasm/binaries';
import { random } from '../support/random';

const drawer = (seed: number) => {
  const next = random(seed);
  return {
    next,
    pick: <T>(items: readonly T[]): T => items[Math.floor(next() * items.length)]!,
    numbers: (count: number) => Float64Array.from({ length: count }, () => 2 * next() - 1),
  };
};

const greatest = (values: ArrayLike<number>): number => Array.from(values).reduce((m, v) => Math.max(m, Math.abs(v)), 0);

describe('factorize/linear', () => {
  const identity = (n: number) => Float64Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));

  test('eigenvectors are orthonormal and belong to their values, also of equal ones and of none', () => {
    const draw = drawer(1);
    const drawn = [1, 2, 3, 4, 17, 64].map((n) => gram(draw.numbers(n * n), n, n));
    const lowRank = gram(draw.numbers(40 * 3), 40, 3);
    const graded = gram(
      Float64Array.from({ length: 900 }, (_, i) => 10 ** -Math.floor(i / 30) * draw.next()),
      30,
      30,
    );
    for (const a of [...drawn, lowRank, graded, identity(9), new Float64Array(25)]) {
      const n = Math.sqrt(a.length);
      const { values, vectors } = eigen(a.slice(), n);
      expect([...values]).toEqual([...values].sort((x, y) => y - x));
      const together = gram(vectors, n, n);
      expect(greatest(together.map((v, i) => v - (i % (n + 1) === 0 ? 1 : 0)))).toBeLessThan(1e-12);
      const product = multiply(vectors, a, n, n, n);
      const off = product.map((v, i) => v - values[Math.floor(i / n)]! * vectors[i]!);
      expect(greatest(off)).toBeLessThanOrEqual(1e-13 * n * (greatest(a) || 1));
    }
  });

  test('the factors of a matrix, wide or tall, leave out what the energies say', () => {
    const draw = drawer(2);
    for (const [m, n] of [
      [12, 30],
      [30, 12],
      [7, 7],
      [1, 5],
      [5, 1],
    ] as const) {
      const a = draw.numbers(m * n);
      const { energies, factors } = decompose(a, m, n);
      for (let rank = 1; rank <= Math.min(m, n); rank++) {
        const { left, right } = factors(rank);
        const off = multiply(left, right, m, rank, n).map((v, i) => v - a[i]!);
        const missing = energies.slice(rank).reduce((s, v) => s + v, 0);
        expect(off.reduce((s, v) => s + v * v, 0)).toBeCloseTo(missing, 10);
      }
    }
  });

  test('1000 by 1000 takes seconds', () => {
    const start = process.cpuUsage();
    const { energies } = decompose(drawer(3).numbers(1e6), 1000, 1000);
    expect(energies.reduce((s, v) => s + v, 0)).toBeCloseTo(1e6 / 3, -4);
    expect(process.cpuUsage(start).user / 1e6).toBeLessThan(20);
  });
});

/** One layer with whatever a layer may have; a residual is a second input. */
function drawnLayer(seed: number): Graph {
  const draw = drawer(seed);
  const build = new Builder();
  const kind = draw.pick(['conv', 'conv', 'gemm', 'matmul']);
  const [i, o] = [draw.pick([1, 2, 5, 8, 11]), draw.pick([1, 3, 4, 8, 13])];
  const constant = (name: string, shape: number[]) => build.numbers(name, 'f32', shape, draw.numbers(elements(shape)));
  const act = draw.pick([[], [step('relu')]]);
  let y: ReturnType<Builder['node']>;
  if (kind === 'conv') {
    const side = () => draw.pick([1, 1, 2, 3, 5]);
    const [h, w] = [side(), side()];
    const x = build.input('x', { dtype: 'f32', shape: [2, 9, 10, i] });
    const two = () => [draw.pick([1, 2]), draw.pick([1, 2])];
    const attrs = { strides: two(), pads: [0, 1, 2, 1].map((p) => Math.min(p, h, w)), dilations: two() };
    const plain = build.node('conv', 'plain', [x, constant('w', [o, h, w, i])], attrs);
    const bias = draw.pick([undefined, constant('b', [o])]);
    const residual = draw.pick([undefined, build.input('residual', plain.type)]);
    const w2 = plain.producer!.inputs[1];
    y = build.node('conv', 'layer', [x, w2, bias, undefined, residual], { ...attrs, act });
  } else {
    const x = build.input('x', { dtype: 'f32', shape: [3, 2, i] });
    const transB = draw.pick([true, false]);
    y =
      kind === 'gemm'
        ? build.node('gemm', 'layer', [x, constant('w', [o, i]), constant('b', [o])], { act })
        : build.node('matmul', 'layer', [x, constant('w', transB ? [o, i] : [i, o])], { transB, act });
  }
  return build.finish([{ name: 'y', value: y }]);
}

function drawnInputs(graph: Graph, seed: number): Map<string, RefTensor> {
  const draw = drawer(seed);
  const bindings = someBindings(graph);
  return new Map(
    graph.inputs.map(({ name, type }) => {
      const shape = type.shape.map((d) => (typeof d === 'number' ? d : [...bindings.values()][0]!));
      return [name, { type: { ...type, shape }, data: draw.numbers(elements(shape)) }];
    }),
  );
}

/** The greatest difference of outputs, over what is greatest in them. */
function apart(a: Graph, b: Graph, inputs = drawnInputs(a, 5)): number {
  const [want, got] = [runOutputs(a, inputs), runOutputs(b, inputs)];
  return Math.max(
    ...[...want].map(([name, { type, data }]) => {
      expect(got.get(name)!.type).toEqual(type);
      return greatest(got.get(name)!.data.map((v, i) => v - data[i]!)) / (greatest(data) || 1);
    }),
  );
}

describe('factorize: full rank', () => {
  const only = (graph: Graph): Node => graph.nodes.find((node) => weightsInput(node))!;
  test.each(METHODS.map((method) => [method.name, method] as const))('%s equals the layer, whatever it has', (_, method) => {
    let count = 0;
    for (let seed = 0; seed < 200; seed++) {
      const graph = drawnLayer(seed);
      const node = only(graph);
      const layer = layerOf(node, weightsInput(node)!, new Map()) as Layer;
      if (method.refusal(layer.stage)) continue;
      count++;
      const ranks = method.fullRanks(layer.stage);
      const { weights, energy } = decomposed(layer, method, PLAIN).factors(ranks);
      expect(energy, `seed ${seed}`).toBeCloseTo(1, 12);
      const made = replaceLayers(graph, new Map([[node, { stages: method.stages(layer.stage, ranks), weights }]]));
      expect(made.nodes.length).toBeGreaterThan(1);
      expect(apart(graph, made), `seed ${seed}`).toBeLessThan(1e-5);
    }
    expect(count).toBeGreaterThan(30);
  });
});

/** A kernel that is nearly of low rank every way, with a bias, a function and a batch norm after it. */
function model(channels: number, kernel: number, noise: number, seed = 1): Graph {
  const graph = buildModel(({ input, conv, batchNorm, relu, globalPool, linear }) => {
    const x = input([8, 8, channels]);
    return linear(globalPool(relu(batchNorm(conv(x, channels, { kernel })))), 10);
  }, seed);
  const draw = drawer(seed);
  const w = weightsInput(graph.nodes[0]!)!.data as Float32Array;
  const size = w.length / channels;
  const [out, down, across, into] = [channels, kernel, kernel, channels].map((n) => draw.numbers(3 * n));
  for (let at = 0; at < w.length; at++) {
    const [o, tap, i] = [Math.floor(at / size), Math.floor((at % size) / channels), at % channels];
    const [y, x] = [Math.floor(tap / kernel), tap % kernel];
    let sum = noise * (2 * draw.next() - 1);
    for (let r = 0; r < 3; r++) sum += out![3 * o + r]! * down![3 * y + r]! * across![3 * x + r]! * into![3 * i + r]!;
    w[at] = sum;
  }
  return graph;
}

/** The weights that a graph's first layers have together: what they answer to one pixel at a time. Its norms must be none. */
function impulses(graph: Graph, channels: number, kernel: number, output: string): Float64Array {
  const build = new Builder();
  const x = build.input('x', { dtype: 'f32', shape: [channels, 2 * kernel, 2 * kernel, channels] });
  let value = x;
  for (const node of graph.nodes) {
    if (node.op.name !== 'conv') break;
    value = build.node('conv', node.name, [value, node.inputs[1], ...node.inputs.slice(2)], node.attrs);
    if (node.name === output) break;
  }
  const data = new Float64Array(channels * channels * 4 * kernel * kernel);
  for (let c = 0; c < channels; c++) data[((c * 2 * kernel + kernel) * 2 * kernel + kernel) * channels + c] = 1;
  const type = { dtype: 'f32', shape: x.type.shape as number[] } as const;
  return runOutputs(build.finish([{ name: 'y', value }]), new Map([['x', { type, data }]])).get('y')!.data;
}

const refused = (graph: Graph, options: FactorizeOptions): Promise<WaferError> =>
  factorize(graph, options).then(
    () => expect.unreachable(),
    (error) => error,
  );

describe('factorize', () => {
  test('the last factor keeps name, bias, residual and function; the norm follows it', async () => {
    const { graph, report } = await factorize(model(64, 3, 0.01), { method: 'tucker', energy: 0.9 });
    expect(printGraph(graph).split('\n').slice(1, 5).join('\n')).toMatchInlineSnapshot(`
      "%conv1.in = conv(%x, $conv1.weight.in:f32[8,1,1,64]) : f32[N,8,8,8]
      %conv1.core = conv(%conv1.in, $conv1.weight.core:f32[8,3,3,8]) {pads=[1,1,1,1]} : f32[N,8,8,8]
      %conv1 = conv(%conv1.core, $conv1.weight.out:f32[64,1,1,8], $conv1.bias:f32[64]) : f32[N,8,8,64]
      %norm1, %norm1.2, %norm1.3 = batchNorm(%conv1, $norm1.gamma:f32[64], $norm1.beta:f32[64], $norm1.mean:f32[64], $norm1.variance:f32[64]) : f32[N,8,8,64], f32[64], f32[64]"
    `);
    expect(report.layers).toMatchObject([{ layer: 'conv1', method: 'tucker', ranks: [8, 8] }]);
    expect(report.left).toEqual([{ layer: 'linear1', why: 'its kernel is a single pixel' }]);
  });

  test.each(['svd', 'spatial', 'tucker'] as const)(
    '%s: at an energy the weights lose no more, and what is said',
    async (method) => {
      for (const energy of [0.5, 0.9, 0.99]) {
        const before = model(48, 3, 0.05);
        const { graph, report } = await factorize(before, { method, energy, layers: ['conv*'] });
        const [layer] = report.layers;
        const [want, got] = [before, graph].map((g) => impulses(g, 48, 3, 'conv1'));
        const square = (values: Float64Array) => values.reduce((s, v) => s + v * v, 0);
        const kept = 1 - square(got!.map((v, i) => v - want![i]!)) / square(want!);
        expect(kept).toBeCloseTo(layer!.energy, 6);
        expect(kept).toBeGreaterThanOrEqual(energy);
        for (const rank of layer!.ranks) expect(rank % 8).toBe(0);
        const weights = graph.nodes
          .filter(({ name }) => name.startsWith('conv1'))
          .map((node) => weightsInput(node)!.data!.length);
        expect(weights.reduce((a, b) => a + b)).toBe(layer!.parameters.after);
        expect(layer!.parameters.after).toBeLessThan(layer!.parameters.before);
        expect(layer!.macs.after).toBeLessThan(layer!.macs.before);
      }
    },
  );

  test('auto takes the cheapest method at that energy', async () => {
    const graph = model(64, 3, 0.1);
    const costing = async (method: NonNullable<FactorizeOptions['method']>, by: 'parameters' | 'macs') =>
      (await factorize(graph, { method, by, energy: 0.95, layers: ['conv1'] })).report[by].after;
    for (const by of ['parameters', 'macs'] as const) {
      const each = await Promise.all((['svd', 'spatial', 'tucker'] as const).map((method) => costing(method, by)));
      expect(await costing('auto', by)).toBe(Math.min(...each));
    }
  });

  test('a fixed rank is taken as it is, where it saves something', async () => {
    const graph = model(32, 3, 0.1);
    const { report } = await factorize(graph, { method: 'spatial', rank: 11 });
    expect(report.layers).toMatchObject([{ layer: 'conv1', ranks: [11] }]);
    const most = await factorize(graph, { method: 'spatial', rank: 90 });
    expect(most.report.layers).toEqual([]);
    expect(most.graph.nodes.length).toBe(graph.nodes.length);
  });

  test('a budget is kept, and goes where the energy is', async () => {
    const graph = buildModel(({ input, conv, relu, globalPool, linear }) => {
      let x = input([16, 16, 16]);
      for (const channels of [32, 64, 64]) x = relu(conv(x, channels));
      return linear(globalPool(x), 100);
    }, 3);
    const w = weightsInput(graph.nodes.find(({ name }) => name === 'conv3')!)!.data as Float32Array;
    // Of rank 1: its first output, over and over.
    for (let at = 576; at < w.length; at++) w[at] = w[at % 576]! * (1 + Math.floor(at / 576));
    for (const by of ['parameters', 'macs'] as const)
      for (const ratio of [0.15, 0.25, 0.4]) {
        const { report } = await factorize(graph, { ratio, by });
        expect(report[by].after).toBeLessThanOrEqual(ratio * report[by].before);
        expect(report[by].after).toBeGreaterThan(0.8 * ratio * report[by].before);
        const least = report.layers.find(({ layer }) => layer === 'conv3')!;
        expect(least.energy).toBe(Math.max(...report.layers.map(({ energy }) => energy)));
        expect(least.ranks[0]).toBe(8);
        for (const { parameters, macs } of report.layers) {
          expect(parameters.after).toBeLessThanOrEqual(parameters.before);
          expect(macs.after).toBeLessThanOrEqual(macs.before);
        }
      }
    expect(await refused(graph, { ratio: 0.001 })).toMatchObject({ code: 'ARGUMENT', message: /no more than [\d.]+ % of the/ });
  });

  test('layers that cannot be factorised are left alone, with the reason', async () => {
    const graph = buildModel(({ input, conv, depthwise, linear, flatten, add }) => {
      const x = conv(input([6, 6, 8]), 8, { kernel: 1 });
      const y = depthwise(x);
      return linear(flatten(add(y, conv(y, 8, { groups: 2 }))), 2);
    }, 4);
    const { report } = await factorize(graph, { energy: 0.9999 });
    expect(report.left).toEqual([
      { layer: 'conv1', why: expect.stringMatching(/save/) },
      { layer: 'depthwise1', why: 'it is computed in groups' },
      { layer: 'conv2', why: 'it is computed in groups' },
      { layer: 'linear1', why: expect.stringMatching(/save/) },
    ]);
    expect(report.parameters.after).toBe(report.parameters.before);
  });

  test('weights that two layers share, and that are not finite, are left alone', async () => {
    const build = new Builder();
    const x = build.input('x', { dtype: 'f32', shape: [1, 32] });
    const w = build.numbers('w', 'f32', [32, 32], drawer(1).numbers(1024));
    const odd = build.numbers('odd', 'f32', [32, 32], new Float32Array(1024).fill(Number.NaN));
    const y = build.node('gemm', 'b', [build.node('gemm', 'a', [x, w]), w]);
    const graph = build.finish([{ name: 'y', value: build.node('gemm', 'c', [y, odd]) }]);
    const { report } = await factorize(graph, { energy: 0.1 });
    expect(report.left.map(({ why }) => why)).toEqual([
      "its weights are another layer's too",
      "its weights are another layer's too",
      'its weights are not all finite',
    ]);
  });

  test('samples say which errors count', async () => {
    const draw = drawer(7);
    const build = new Builder();
    const x = build.input('x', { dtype: 'f32', shape: [1, 6, 6, 24] });
    const w = build.numbers('w', 'f32', [40, 3, 3, 24], draw.numbers(40 * 9 * 24));
    const graph = build.finish([{ name: 'y', value: build.node('conv', 'layer', [x, w], { pads: [1, 1, 1, 1] }) }]);
    // Of the 24 channels 4 are drawn, and the others are sums of them.
    const mix = draw.numbers(4 * 24);
    const sample = () => multiply(draw.numbers(36 * 4), mix, 36, 4, 24);
    const samples = Array.from({ length: 16 }, () => ({ x: { data: Float32Array.from(sample()), shape: [1, 6, 6, 24] } }));
    const other = new Map([['x', { type: { dtype: 'f32' as const, shape: [1, 6, 6, 24] }, data: sample() }]]);
    const engine = wasmEngine(binaries());
    const options = { method: 'tucker', rank: 16 } as const;
    for (const method of ['svd', 'spatial', 'tucker'] as const) {
      const plain = await factorize(graph, { ...options, method });
      const seen = await factorize(graph, { ...options, method }, { samples, engine });
      expect(seen.report.layers[0]!.energy).toBeGreaterThan(plain.report.layers[0]!.energy);
      expect(apart(graph, seen.graph, other)).toBeLessThan(0.7 * apart(graph, plain.graph, other));
    }
    const narrow = await factorize(graph, { method: 'tucker', energy: 0.98 }, { samples, engine });
    expect(narrow.report.layers[0]!.ranks[1]).toBe(8);
  });

  test('what factors get wrong of the mean input the bias makes good, there or not', async () => {
    const draw = drawer(9);
    const samples = [{ x: { data: Float32Array.from(draw.numbers(640), (v) => 5 + v), shape: [40, 16] } }];
    const mean = Float64Array.from({ length: 16 }, (_, c) =>
      samples[0]!.x.data.reduce((s, v, i) => s + (i % 16 === c ? v / 40 : 0), 0),
    );
    const at = new Map([['x', { type: { dtype: 'f32' as const, shape: [1, 16] }, data: mean }]]);
    for (const bias of [[], [1]]) {
      const build = new Builder();
      const x = build.input('x', { dtype: 'f32', shape: [symbol('N'), 16] });
      const rest = bias.map(() => build.numbers('b', 'f32', [24], draw.numbers(24)));
      const layer = build.node('gemm', 'layer', [x, build.numbers('w', 'f32', [24, 16], draw.numbers(384)), ...rest]);
      const graph = build.finish([{ name: 'y', value: layer }]);
      const options = { method: 'svd', rank: 4 } as const;
      const { graph: made } = await factorize(graph, options, { samples, engine: wasmEngine(binaries()) });
      expect(apart(graph, made, at)).toBeLessThan(1e-5);
      expect(apart(graph, (await factorize(graph, options)).graph, at)).toBeGreaterThan(0.05);
    }
  });

  test('samples go through batch norms of training', async () => {
    const graph = model(32, 3, 0.1);
    const samples = [{ x: { data: Float32Array.from(drawer(1).numbers(2048)), shape: [1, 8, 8, 32] } }];
    const options = { method: 'svd', rank: 4 } as const;
    const { graph: made, report } = await factorize(graph, options, { samples, engine: wasmEngine(binaries()) });
    expect(report.layers.map(({ layer }) => layer)).toEqual(['conv1', 'linear1']);
    expect(made.nodes.filter(({ op }) => op.name === 'batchNorm')).toHaveLength(1);
  });

  test.each<[string, FactorizeOptions, RegExp]>([
    ['two ways to choose ranks', { energy: 0.9, ratio: 0.5 }, /energy and ratio both choose ranks/],
    ['an energy over 1', { energy: 1.5 }, /an energy of 1.5/],
    ['a rank for any method', { rank: 8 }, /depends on the method/],
    ['a rank that is none', { rank: 1.5, method: 'svd' }, /1.5 is no rank/],
    ['a ratio of 1', { ratio: 1 }, /a ratio of 1 saves nothing/],
    ['a layer that is not there', { layers: ['conv9'] }, /no layer is called "conv9"[\s\S]*did you mean "conv1"/],
  ])('%s is refused', async (_, options, message) => {
    expect(await refused(model(8, 3, 0.1), options)).toMatchObject({ code: 'ARGUMENT', message: expect.stringMatching(message) });
  });
});
