import { describe, expect, it } from 'vitest';
import { elements } from '../../src/core/shape';
import { Builder, type Value } from '../../src/graph/ir';
import { printGraph } from '../../src/graph/print';
import type { Step } from '../../src/ops/define';
import { step } from '../../src/ops/steps';
import { compare } from '../../src/packer/evaluate/compare';
import { wasmEngine } from '../../src/packer/evaluate/engine';
import { Covariance } from '../../src/packer/quantize/covariance';
import { equalize } from '../../src/packer/quantize/equalize';
import { gridOf, type LevelFormat } from '../../src/packer/quantize/formats';
import { Histogram } from '../../src/packer/quantize/histogram';
import { quantize } from '../../src/packer/quantize/index';
import { splitActivations } from '../../src/packer/quantize/lower';
import { chooseRange, levelOf, quantOf, realOf } from '../../src/packer/quantize/range';
import { quantizeForFloats, quantizeForIntegers } from '../../src/packer/quantize/weights';
import { binaries } from '../../src/runtime/wasm/binaries';
import { random } from '../support/random';

describe('quantize/histogram', () => {
  it('keeps range and count while it widens', () => {
    const seen = new Histogram();
    seen.add(Float32Array.of(0.001, -0.002));
    seen.add(Float32Array.of(100, -3));
    expect([seen.min, seen.max, seen.count]).toEqual([-3, 100, 4]);
    expect([...seen.entries()].reduce((n, [, k]) => n + k, 0)).toBe(4);
    const [last] = [...seen.entries()].reverse();
    expect(last![0]).toBeCloseTo(100, 0);
  });
  it('merges histograms of different widths', () => {
    const [a, b] = [new Histogram(), new Histogram()];
    a.add(Float32Array.of(1, 2, 3));
    b.add(Float32Array.of(1000));
    a.merge(b);
    expect([a.min, a.max, a.count]).toEqual([1, 1000, 4]);
    expect([...a.entries()].reduce((n, [, k]) => n + k, 0)).toBe(4);
  });
  it('refuses NaN and infinity', () => {
    for (const x of [Number.NaN, Number.POSITIVE_INFINITY])
      expect(() => new Histogram().add(Float32Array.of(1, x))).toThrow(expect.objectContaining({ code: 'VALUE' }));
  });
});

describe('quantize/range', () => {
  const spiky = () => {
    const draw = random(1);
    const seen = new Histogram();
    seen.add(Float32Array.from({ length: 100_000 }, () => 2 * draw() - 1));
    seen.add(Float32Array.of(40));
    return seen;
  };
  it('minmax keeps the outlier, percentile and mse cut it', () => {
    expect(chooseRange(spiky(), 'minmax')[1]).toBe(40);
    expect(chooseRange(spiky(), 'percentile')[1]).toBeLessThan(1.1);
    expect(chooseRange(spiky(), 'mse')[1]).toBeLessThan(40);
  });
  it('represents zero exactly and covers the range', () => {
    for (const [low, high] of [
      [-1, 1],
      [0, 6],
      [-3, 0],
      [0.5, 2],
      [-2, -1],
      [0, 0],
      [-1e-30, 1e30],
    ] as const) {
      const q = quantOf(low, high);
      expect(realOf(q.zero, q)).toBe(0);
      expect(Math.fround(q.scale)).toBe(q.scale);
      expect(Math.abs(realOf(levelOf(high, q), q) - high)).toBeLessThanOrEqual(q.scale);
      expect(Math.abs(realOf(levelOf(low, q), q) - low)).toBeLessThanOrEqual(q.scale);
    }
  });
});

describe('quantize/weights', () => {
  const weights = Float32Array.of(0.5, -1, 0.25, 0.001, 0.002, -0.00317, 0, 0, 0);
  const bias = Float32Array.of(1, -0.5, 3);
  const as = (format: LevelFormat) => ({
    grid: gridOf(format, { weights, channels: 3, importance: () => [1, 1, 1] }),
    rounding: 'gptq' as const,
  });
  const float = { weights, bias, channels: 3, rows: () => new Covariance(1, 3), ...as('int8') };
  it('multiplier, scale and levels describe the same channel', () => {
    const [inputScale, outputScale, shift] = [0.02, 0.05, 22];
    const q = quantizeForIntegers(float, inputScale, outputScale, shift, 2 ** 30);
    for (let c = 0; c < 3; c++) {
      const unit = (q.multiplier[c]! * outputScale) / 2 ** shift;
      expect(q.multiplier[c]).toBeGreaterThanOrEqual(1);
      expect(unit).toBeCloseTo(inputScale * q.scales[c]!, 12);
      expect(q.bias[c]! * unit).toBeCloseTo(bias[c]!, 3);
      for (let k = 0; k < 3; k++)
        expect(Math.abs(q.levels[3 * c + k]! * q.scales[c]! - weights[3 * c + k]!)).toBeLessThanOrEqual(q.scales[c]! * 0.51);
    }
    expect(Math.max(...q.levels.map(Math.abs))).toBe(127);
  });
  it.each(['ternary', 'int4', 'codebook3'] as const)(
    'multipliers and biases of %s have no more bits than they need',
    (format) => {
      const [inputScale, outputScale, shift] = [0.02, 0.05, 22];
      const coarse = { ...float, ...as(format) };
      const q = quantizeForIntegers(coarse, inputScale, outputScale, shift, 2 ** 30);
      const exact = quantizeForFloats(coarse, inputScale);
      const fine = quantizeForIntegers(float, inputScale, outputScale, shift, 2 ** 30);
      const spare = (all: Int32Array) => 31 - Math.clz32(all.reduce((a, b) => a | b, 0) & -all.reduce((a, b) => a | b, 0));
      // The least of two channels with weights a hundred apart has 7 bits; the third, without weights, has one.
      expect(Math.min(...q.multiplier.slice(0, 2)) >> spare(q.multiplier.slice(0, 2))).toBeLessThan(256);
      expect(spare(fine.multiplier.slice(0, 2))).toBeLessThan(4);
      for (let c = 0; c < 2; c++) {
        expect(q.scales[c]! / exact.scales[c]!).toBeCloseTo(1, 1.8);
        const unit = (q.multiplier[c]! * outputScale) / 2 ** shift;
        // A sixteenth of an output level at the most, and half of an accumulator's unit.
        expect(Math.abs(q.bias[c]! * unit - bias[c]!)).toBeLessThan(outputScale / 16 + unit);
      }
    },
  );
  /** Rows of n numbers that are a common one and a hundredth of their own. */
  const alike = (n: number, mean: number) => {
    const [rows, draw] = [new Covariance(n, 1), random(3)];
    for (let i = 0; i < 500; i++) {
      const common = mean + 2 * draw() - 1;
      for (let k = 0; k < n; k++) rows.next[k] = common + (2 * draw() - 1) / 100;
      rows.push();
    }
    return rows;
  };
  it('errors of weights whose inputs are alike cancel', () => {
    const row = Float32Array.of(1, 0.1045, 0.2045, 0.3045, 0.4045, 0.5045, 0.6045, 0.7045, 0.8045);
    const error = (rows: Covariance) => {
      const q = quantizeForFloats({ ...float, weights: row, bias: undefined, channels: 1, rows: () => rows }, 1);
      return Math.abs(q.levels.reduce((sum, level, k) => sum + level * q.scales[0]! - row[k]!, 0)) / q.scales[0]!;
    };
    expect(error(new Covariance(9, 1))).toBeGreaterThan(0.7);
    expect(error(alike(9, 0))).toBeLessThan(0.3);
  });
  it('pruned weights stay 0 where errors are made good', () => {
    const weights = Float32Array.of(127, 10.42, 20.4, 30.33, 0, 0, 0, 0, 0);
    const q = quantizeForFloats({ ...float, weights, bias: undefined, channels: 1, rows: () => alike(9, 0) }, 1);
    expect([...q.levels]).toEqual([127, 10, 20, 30, 0, 0, 0, 0, 0]);
  });
  it('rounding with the covariance errs less on the rows it comes from, blocks or not', () => {
    const [depth, draw] = [600, random(4)];
    const [rows, seen] = [new Covariance(1, depth), [] as Float32Array[]];
    const mix = Float32Array.from({ length: 8 * depth }, () => 2 * draw() - 1);
    for (let i = 0; i < 700; i++) {
      const factors = Array.from({ length: 8 }, () => 2 * draw() - 1);
      const row = Float32Array.from({ length: depth }, (_, k) => factors.reduce((sum, f, m) => sum + f * mix[m * depth + k]!, 0));
      rows.next.set(row);
      rows.push();
      seen.push(row);
    }
    const weights = Float32Array.from({ length: depth }, () => 2 * draw() - 1);
    const error = (from: Covariance) => {
      const q = quantizeForFloats({ ...float, weights, bias: undefined, channels: 1, rows: () => from }, 1);
      const off = weights.map((w, k) => q.levels[k]! * q.scales[0]! - w);
      return seen.reduce((sum, row) => sum + row.reduce((a, x, k) => a + x * off[k]!, 0) ** 2, 0);
    };
    expect(error(rows)).toBeLessThan(error(new Covariance(1, depth)) / 20);
  });
  it('the bias takes up what rounding does to the mean input', () => {
    const row = Float32Array.of(1, 0.1045, 0.2045);
    const rows = alike(3, 5);
    const q = quantizeForFloats({ ...float, weights: row, bias: Float32Array.of(0.5), channels: 1, rows: () => rows }, 0.001);
    const real = row.reduce((sum, w, k) => sum + w * rows.mean()[k]!, 0.5);
    const got = q.levels.reduce(
      (sum, level, k) => sum + level * q.scales[0]! * rows.mean()[k]!,
      q.bias[0]! * 0.001 * q.scales[0]!,
    );
    expect(got).toBeCloseTo(real, 4);
  });
  it('refuses a multiplier that does not fit', () => {
    expect(() => quantizeForIntegers({ ...float, weights: Float32Array.of(1e6), channels: 1 }, 1, 1e-6, 22, 2 ** 30)).toThrow(
      expect.objectContaining({ code: 'VALUE' }),
    );
  });
  it('refuses weights that are no numbers', () => {
    expect(() => quantizeForFloats({ ...float, weights: Float32Array.of(Number.NaN), channels: 1 }, 1)).toThrow(
      expect.objectContaining({ code: 'VALUE' }),
    );
  });
});

describe('quantize/residual', () => {
  /** y = clip(Wx + r, 0, 1) and z = Wy, where r is from [-reach, reach] and x from [-1, 1]. */
  async function integers(reach: number) {
    const [build, draw, engine] = [new Builder(), random(1), wasmEngine(binaries())];
    const type = { dtype: 'f32', shape: [4, 16] } as const;
    const [x, r] = [build.input('x', type), build.input('r', type)];
    const uniform = (length: number, limit: number) => Float32Array.from({ length }, () => (2 * draw() - 1) * limit);
    const w = build.constant('w', { dtype: 'f32', shape: [16, 16] }, uniform(256, 0.3));
    const clip = [{ fn: 'clip', a: 0, b: 1 }];
    const y = build.node('gemm', 'y', [x, w, undefined, undefined, r], { act: clip });
    const graph = build.finish([{ name: 'z', value: build.node('gemm', 'z', [y, w]) }]);
    const sample = () => ({ x: { data: uniform(64, 1), shape: [4, 16] }, r: { data: uniform(64, reach), shape: [4, 16] } });
    const samples = Array.from({ length: 8 }, sample);
    const quantized = (await quantize(graph, samples, engine, { method: 'minmax' })).graph;
    const [float, integer] = [await engine.session(graph), await engine.session(quantized)];
    const { shift, residualMultiplier } = quantized.nodes.find(({ inputs }) => inputs[4])!.attrs;
    const { max, peak } = compare(integer.run(samples[0]!).z!.data, float.run(samples[0]!).z!.data, { abs: 0, rel: 0 });
    return { shift, residualMultiplier: residualMultiplier as number, error: max / peak };
  }
  it('one that reaches far beyond its sum leaves fewer binary places', async () => {
    const [near, far] = [await integers(1), await integers(20)];
    expect([near.shift, far.shift]).toEqual([20, 15]);
    expect(far.residualMultiplier).toBeGreaterThan(2 ** 20);
    expect(far.residualMultiplier).toBeLessThanOrEqual(2 ** 21);
    expect(near.error).toBeLessThan(0.03);
    expect(far.error).toBeLessThan(0.1);
  });
  it('is refused where no places are left', async () => {
    await expect(integers(1e7)).rejects.toThrow(expect.objectContaining({ code: 'VALUE' }));
  });
});

describe('quantize/equalize', () => {
  const channels = 6;
  /** x -> 1x1 convolution whose channels grow -> `act` -> depthwise 3x3. */
  function graphOf(act: Step[], more?: (build: Builder, middle: Value) => Value) {
    const [build, draw] = [new Builder(), random(5)];
    const drawn = (shape: number[], f: (v: number, i: number) => number) =>
      build.constant(
        'w',
        { dtype: 'f32', shape },
        Float32Array.from({ length: elements(shape) }, (_, i) => f(2 * draw() - 1, i)),
      );
    const x = build.input('x', { dtype: 'f32', shape: [1, 8, 8, 4] });
    const wide = drawn([channels, 1, 1, 4], (v, i) => v * 2 ** Math.floor(i / 4 - 2));
    const middle = build.node('conv', 'middle', [x, wide, drawn([channels], (v) => v / 10)], { act });
    const depthwise = drawn([channels, 3, 3, 1], (v) => v);
    const y = build.node('conv', 'y', [middle, depthwise], { pads: [1, 1, 1, 1], group: channels });
    const z = build.node('gemm', 'z', [y, drawn([3, channels], (v) => v)]);
    const outputs = [{ name: 'z', value: z }];
    if (more) outputs.push({ name: 'more', value: more(build, middle) });
    const sample = () => ({ x: { data: Float32Array.from({ length: 256 }, () => 2 * draw() - 1), shape: [1, 8, 8, 4] } });
    return { graph: build.finish(outputs), samples: Array.from({ length: 4 }, sample) };
  }
  async function equalized(act: Step[], more?: (build: Builder, middle: Value) => Value) {
    const { graph, samples } = graphOf(act, more);
    const engine = wasmEngine(binaries());
    const before = splitActivations(graph);
    const after = await equalize(
      before,
      samples,
      engine,
      () => true,
      () => {},
    );
    const [a, b] = [await engine.session(before), await engine.session(after)];
    for (const sample of samples)
      expect(compare(b.run(sample).z!.data, a.run(sample).z!.data, { abs: 1e-4, rel: 1e-5 }).beyond).toBe(0);
    return { before: printGraph(before), after: printGraph(after), graph: after, samples, engine };
  }
  const ranges = async ({ graph, samples, engine }: Awaited<ReturnType<typeof equalized>>, name: string) => {
    const highs = new Float32Array(channels);
    (await engine.session(graph)).run(samples[0]!, {
      observe(node, [y]) {
        if (node.name === name) y!.data.forEach((v, i) => (highs[i % channels] = Math.max(highs[i % channels]!, v)));
      },
    });
    return Math.max(...highs) / Math.min(...highs);
  };
  it('channels before a depthwise convolution get alike ranges, through a function as a node', async () => {
    const found = await equalized([step('hardSwish')]);
    expect(found.after.split('\n').length).toBe(found.before.split('\n').length + 1);
    expect(found.after).toContain('middle.2.even');
    expect(await ranges(found, 'middle.2.even')).toBeLessThan((await ranges(found, 'middle.2')) / 5);
  });
  it('a product with ReLU takes the factors into its weights', async () => {
    const found = await equalized([step('relu')]);
    expect(found.after.split('\n').length).toBe(found.before.split('\n').length);
    expect(await ranges(found, 'middle.even')).toBeLessThan(3);
  });
  it('is left out where a bound, another reader or an output sees the value', async () => {
    const clipped = await equalized([step('clip', 0, 6)]);
    expect(clipped.after).not.toContain('middle.even');
    const read = await equalized([step('relu')], (build, middle) =>
      build.node('unary', 'read', [middle], { steps: [step('abs')] }),
    );
    expect(read.after).not.toContain('middle.even');
    const output = await equalized([step('relu')], (_, middle) => middle);
    expect(output.after).not.toContain('middle.even');
  });
  /** Two branches of unlike ranges, one of them pooled, joined and read by a dense convolution. */
  async function joined(isFine: boolean) {
    const [build, draw, engine] = [new Builder(), random(7), wasmEngine(binaries())];
    const conv = (name: string, x: Value, shape: number[], size: number) => {
      const data = Float32Array.from({ length: elements(shape) }, () => size * (2 * draw() - 1));
      return build.node('conv', name, [x, build.constant('w', { dtype: 'f32', shape }, data)], { act: [step('relu')] });
    };
    const x = build.input('x', { dtype: 'f32', shape: [1, 8, 8, 4] });
    const pooled = build.node('pool', 'pooled', [conv('large', x, [3, 1, 1, 4], 20)], { fn: 'max', kernel: [2, 2] });
    const small = conv('small', x, [5, 2, 2, 4], 0.1);
    const both = build.node('concat', 'both', [pooled, small], { axis: 3 });
    const graph = build.finish([{ name: 'y', value: conv('y', both, [2, 1, 1, 8], 1) }]);
    const samples = [{ x: { data: Float32Array.from({ length: 256 }, () => 2 * draw() - 1), shape: [1, 8, 8, 4] } }];
    const after = await equalize(
      graph,
      samples,
      engine,
      () => isFine,
      () => {},
    );
    const [a, b] = [await engine.session(graph), await engine.session(after)];
    expect(compare(b.run(samples[0]!).y!.data, a.run(samples[0]!).y!.data, { abs: 1e-3, rel: 1e-5 }).beyond).toBe(0);
    return after.nodes.map(({ name }) => name);
  }
  it('factors reach a dense product through pools and concatenations, where its weights are fine', async () => {
    expect(await joined(true)).toEqual(expect.arrayContaining(['small.even', 'y']));
    expect(await joined(false)).not.toContain('small.even');
  });
  it('quantised, the scaling is part of the product', async () => {
    const { graph, samples } = graphOf([step('hardSwish')]);
    const engine = wasmEngine(binaries());
    const quantized = (await quantize(graph, samples, engine, { method: 'minmax' })).graph;
    expect(quantized.nodes.map(({ op }) => op.name)).toEqual(['quantize', 'conv', 'conv', 'gemm']);
    expect(quantized.nodes[1]!.inputs[6]?.type).toEqual({ dtype: 'i32', shape: [channels] });
    expect(quantized.nodes[1]!.attrs.swish).toHaveLength(3);
    const [float, integer] = [await engine.session(graph), await engine.session(quantized)];
    const { sqnr } = compare(integer.run(samples[0]!).z!.data, float.run(samples[0]!).z!.data, { abs: 0, rel: 0 });
    expect(sqnr).toBeGreaterThan(35);
  });
});

describe('quantize/costly values', () => {
  /** Four thin layers, of which the second looks at what the first makes smallest and bounds, then two of `width` channels. */
  async function report(width: number) {
    const [build, draw, engine] = [new Builder(), random(6), wasmEngine(binaries())];
    const conv = (name: string, x: Value, o: number, kernel: number, scale: (o: number, i: number) => number) => {
      const depth = x.type.shape[3] as number;
      const shape = [o, kernel, kernel, depth];
      const data = Float32Array.from({ length: elements(shape) }, (_, at) => {
        const channel = Math.floor(at / (kernel * kernel * depth));
        return (2 * draw() - 1) * scale(channel, at % depth);
      });
      const pads = [1, 1, 1, 1].map(() => (kernel - 1) / 2);
      return build.node('conv', name, [x, build.constant('w', { dtype: 'f32', shape }, data)], {
        pads,
        act: [step('clip', 0, 100)],
      });
    };
    const x = build.input('x', { dtype: 'f32', shape: [1, 12, 12, 3] });
    let y = conv('stem', x, 4, 1, (o) => 10 ** -o);
    y = conv('second', y, 4, 1, (_, i) => 10 ** i);
    y = conv('third', y, 4, 1, () => 1);
    y = conv('fourth', y, 4, 1, () => 1);
    y = conv('wide', y, width, 3, () => 0.2);
    const graph = build.finish([{ name: 'y', value: conv('last', y, width, 3, () => 0.1) }]);
    const sample = () => ({ x: { data: Float32Array.from({ length: 432 }, () => 2 * draw() - 1), shape: [1, 12, 12, 3] } });
    return (await quantize(graph, [sample(), sample(), sample()], engine)).report;
  }
  it('are seen in floats where that is cheap and brings much', async () => {
    const { sqnr, outputSqnr, floatNodes } = await report(48);
    const why = expect.stringContaining('cost the outputs too much');
    expect(floatNodes).toEqual(['second', 'third', 'fourth'].map((name) => ({ node: `conv "${name}"`, why })));
    expect(outputSqnr).toBeGreaterThanOrEqual(Math.max(...Object.values(sqnr)) + 3);
  });
  it('are levels where what reads them is much of the network', async () => {
    const { floatNodes } = await report(4);
    expect(floatNodes).toEqual([]);
  });
});
