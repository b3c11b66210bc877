/** Trainings, small ones: that they learn, that a seed decides their bytes, that they can be stopped and killed, and what they refuse. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { symbol } from '../../src/core/dim';
import { type StaticType, shapeText } from '../../src/core/shape';
import { Builder, type Graph, type Value } from '../../src/graph/ir';
import { type Dataset, makeDataset } from '../../src/packer/data/dataset';
import { runOutputs, toReference } from '../../src/packer/evaluate/reference';
import { batched } from '../../src/packer/train/batched';
import { normalisationOfImages } from '../../src/packer/train/file';
import { buildModel, type ModelFunction } from '../../src/packer/train/layers';
import { normalised } from '../../src/packer/train/normalised';
import { withNorms } from '../../src/packer/train/norms';
import { compile, folded } from '../../src/packer/train/program';
import { type TrainOptions, train } from '../../src/packer/train/train';
import { data, net, SIDE } from './corners';

const options: TrainOptions = { epochs: 2, batch: 32, workers: 1, seed: 3 };
const folder = mkdtempSync(join(tmpdir(), 'wafer-train-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** All constants of a graph as one string. */
const bytesOf = (graph: Graph): string =>
  graph.nodes
    .flatMap(({ inputs }) => inputs.flatMap((x) => (x?.data ? [Buffer.from(x.data.buffer).toString('hex')] : [])))
    .join();

describe('training', () => {
  test('a net from nothing learns, and what comes out is a graph for a file that does as well', async () => {
    const seen: number[] = [];
    const { graph, history, complete, parameters, normalisation } = await train(buildModel(net, 1), data, {
      ...options,
      onProgress: ({ step }) => seen.push(step),
    });
    expect(complete).toBe(true);
    expect(seen).toEqual(Array.from({ length: 32 }, (_, i) => i + 1));
    expect(history.map(({ epoch }) => epoch)).toEqual([1, 2]);
    expect(history[1]!.loss).toBeLessThan(history[0]!.loss);
    expect(history[1]!.top1).toBeGreaterThan(0.9);
    expect(parameters).toBe(8 * 9 + 16 + (8 * 9 * 8 + 8) + 16 + (32 * 4 + 4));
    expect(graph.nodes.map(({ op }) => op.name)).toEqual(['conv', 'pool', 'conv', 'reshape', 'gemm']);
    expect(graph.inputs[0]!.type.shape).toEqual([symbol('N'), SIDE, SIDE, 1]);
    // The test was computed by onnxruntime; the references find as many classes.
    const { test } = data;
    const type: StaticType = { dtype: 'f32', shape: [test.labels.length, SIDE, SIDE, 1] };
    const input = Float64Array.from(test.data, (v) => (v / 255 - normalisation.mean[0]!) / normalisation.deviation[0]!);
    const logits = runOutputs(graph, new Map([['x', toReference(type, input)]])).get('logits')!.data;
    const right = [...test.labels].filter((label, i) => {
      const row = [...logits.subarray(4 * i, 4 * i + 4)];
      return row.indexOf(Math.max(...row)) === label;
    });
    expect(right.length / test.labels.length).toBe(history[1]!.top1);
  });

  test('a seed decides the bytes, with one thread and with two', async () => {
    const runs = [];
    for (const workers of [1, 1, 2, 2])
      runs.push(bytesOf((await train(buildModel(net, 1), data, { ...options, epochs: 1, workers })).graph));
    expect(runs[1]).toBe(runs[0]);
    expect(runs[3]).toBe(runs[2]);
    const other = await train(buildModel(net, 1), data, { ...options, epochs: 1, seed: 4 });
    expect(bytesOf(other.graph)).not.toBe(runs[0]);
  });

  test('one that was stopped comes to the same bytes, with all that varies examples', async () => {
    const path = join(folder, 'stopped.npz');
    const varied: TrainOptions = {
      ...options,
      optimizer: { name: 'adamw', weightDecay: 0.01 },
      schedule: { warmup: 5 },
      augmentation: { flip: true, crop: 2, erase: 0.5, mixup: 0.2, labelSmoothing: 0.1 },
    };
    const whole = await train(buildModel(net, 1), data, varied);
    const controller = new AbortController();
    const first = await train(buildModel(net, 1), data, {
      ...varied,
      checkpoint: { path, every: 7 },
      onProgress: ({ step }) => step === 21 && controller.abort(),
      signal: controller.signal,
    });
    expect(first.complete).toBe(false);
    const rest = await train(buildModel(net, 1), data, { ...varied, checkpoint: { path, every: 7, resume: true } });
    expect(rest.complete).toBe(true);
    expect(rest.history).toEqual(whole.history);
    expect(bytesOf(rest.graph)).toBe(bytesOf(whole.graph));
    await expect(
      train(buildModel(net, 1), data, { ...varied, seed: 9, checkpoint: { path, resume: true } }),
    ).rejects.toMatchObject({ code: 'ARGUMENT', message: expect.stringContaining('another training') });
    expect(readFileSync(path).length).toBeGreaterThan(0);
  });

  test('folded norms can be had back: the graph computes what it did, and bears steps that it would not', async () => {
    const { graph, normalisation } = await train(buildModel(net, 1), data, options);
    const normed = await withNorms(graph, data.train, normalisation);
    expect(normed.nodes.map(({ op }) => op.name)).toEqual([
      'conv',
      'batchNorm',
      'unary',
      'pool',
      'conv',
      'batchNorm',
      'unary',
      'reshape',
      'gemm',
    ]);
    const type: StaticType = { dtype: 'f32', shape: [8, SIDE, SIDE, 1] };
    const input = Float64Array.from({ length: 8 * SIDE * SIDE }, (_, i) => Math.sin(i));
    const [before, after] = [graph, folded(normed)].map(
      (g) => runOutputs(g, new Map([['x', toReference(type, input)]])).get('logits')!.data,
    );
    before!.forEach((v, i) => expect(after![i]!).toBeCloseTo(v, 4));
    const steps: TrainOptions = { ...options, epochs: 1, schedule: { name: 'constant', learningRate: 1 } };
    const [without, again] = [await train(graph, data, steps), await train(graph, data, { ...steps, norms: true })];
    expect(without.history[0]!.top1).toBeLessThan(0.5);
    expect(again.history[0]!.top1).toBeGreaterThan(0.9);
    expect(again.graph.nodes.map(({ op }) => op.name)).toEqual(graph.nodes.map(({ op }) => op.name));
  });

  test('a loss that is no number any more is one error', async () => {
    const hot: TrainOptions = { ...options, schedule: { name: 'constant', learningRate: 900 } };
    const flat: ModelFunction = ({ input, flatten, linear, mul }) => {
      const x = linear(flatten(input([SIDE, SIDE, 1])), 4);
      return mul(mul(x, x), x);
    };
    for (const workers of [1, 2])
      await expect(train(buildModel(flat, 1), data, { ...hot, workers })).rejects.toMatchObject({
        code: 'VALUE',
        message: expect.stringMatching(/no number any more, in step \d+ of 32\n.*learning rate was 900/s),
      });
  });

  test('what cannot be trained is refused', async () => {
    const graph = buildModel(net, 1);
    const refuse = (sets: { train: Dataset; test?: Dataset }, how: Partial<TrainOptions>, code: string, message: RegExp) =>
      expect(train(graph, sets, { ...options, ...how })).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    await refuse(data, { batch: 1024 }, 'ARGUMENT', /needs more than 512 examples/);
    await refuse(data, { workers: 3 }, 'ARGUMENT', /cannot be shared by 3 workers/);
    await refuse(data, { epochs: 0 }, 'ARGUMENT', /epochs is 0/);
    await refuse(data, { schedule: { learningRate: -1 } }, 'ARGUMENT', /learning rate of -1/);
    await refuse(data, { isFrozen: () => true }, 'ARGUMENT', /no weights that could be trained/);
    const wide = makeDataset('wide', [4, 4, 1], new Uint8Array(16 * 64), new Int32Array(64));
    await refuse({ train: wide }, {}, 'SHAPE', /examples are \[4,4,1\], the model's input "x" takes \[8,8,1\]/);
    const many = makeDataset('many', [SIDE, SIDE, 1], new Uint8Array(64 * 64), new Int32Array(64).fill(7));
    await refuse({ train: many }, {}, 'VALUE', /the data has 8 classes/);
    const twice = { ...graph, outputs: [...graph.outputs, { ...graph.outputs[0]!, name: 'again' }] };
    await expect(train(twice, data, options)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(/2 outputs/),
    });
  });

  test('a model for one example gets a batch, unless it mixes what is on its first axis', () => {
    const model = (make: (build: Builder, x: Value) => Value): Graph => {
      const build = new Builder();
      const x = build.input('x', { dtype: 'f32', shape: [1, 4, 3] });
      return build.finish([{ name: 'y', value: make(build, x) }]);
    };
    const flat = batched(model((build, x) => build.node('reshape', 'flat', [x], { shape: [1, 12] })));
    expect([shapeText(flat.inputs[0]!.type.shape), shapeText(flat.outputs[0]!.value.type.shape)]).toEqual(['[N,4,3]', '[N,12]']);
    expect(batched(flat)).toBe(flat);
    const mixing: ((build: Builder, x: Value) => Value)[] = [
      (build, x) => build.node('reshape', 'tall', [x], { shape: [4, 3] }),
      (build, x) => build.node('reduce', 'mean', [x], { fn: 'mean', axes: [0], keepdims: true }),
      (build, x) => build.node('transpose', 'moved', [x], { perm: [1, 0, 2] }),
      (build, x) => build.node('cumsum', 'sums', [x], { axis: 0, exclusive: false, reverse: false }),
      (build, x) => {
        const rows = build.node('reshape', 'rows', [x], { shape: [1, 12] });
        return build.node('gemm', 'squares', [rows, rows]);
      },
    ];
    for (const make of mixing)
      expect(() => batched(model(make))).toThrow(expect.objectContaining({ code: expect.stringMatching(/UNSUPPORTED|SHAPE/) }));
  });

  test('a net for a table normalises it', () => {
    const build = new Builder();
    const x = build.input('x', { dtype: 'f32', shape: [2] });
    const graph = build.finish([{ name: 'y', value: build.node('binary', 'sum', [x, x], { fn: 'add' }) }]);
    const made = normalised(graph, { mean: [10], deviation: [4] });
    const given = toReference({ dtype: 'f32', shape: [2] }, Float64Array.of(10, 18));
    const y = runOutputs(made, new Map([['x', given]])).get('y');
    expect([...y!.data]).toEqual([0, 4]);
  });

  test('a new net for numbers that are no bytes learns them as they are', async () => {
    const { shape, data: bytes, labels } = data.train;
    const far = makeDataset(
      'far',
      shape,
      Float32Array.from(bytes, (v) => 5000 + 40 * v),
      labels,
    );
    const { history } = await train(buildModel(net, 1, far), { train: far, test: far }, options);
    expect(history[1]!.top1).toBeGreaterThan(0.9);
    expect(buildModel(net, 1, data.train).nodes).toHaveLength(buildModel(net, 1).nodes.length);
  });

  test('what stands behind an operator without a gradient is frozen, and named', () => {
    const build = new Builder();
    const x = build.input('x', { dtype: 'f32', shape: [symbol('N'), 4] });
    const weights = (name: string) =>
      build.numbers(
        name,
        'f32',
        [4, 4],
        Array.from({ length: 16 }, (_, i) => i / 16),
      );
    const first = build.node('gemm', 'first', [x, weights('w1')]);
    const best = build.node('argmax', 'best', [first], { axis: 1 });
    const real = build.node('cast', 'real', [best], { to: 'f32' });
    const y = build.node('gemm', 'last', [build.node('binary', 'sum', [x, real], { fn: 'add' }), weights('w2')]);
    const graph = build.finish([{ name: 'y', value: y }]);
    const program = compile(graph, { batch: 2, loss: ({ crossEntropy, logits, target }) => crossEntropy(logits, target) });
    expect(program.parameters.map(({ name }) => name)).toEqual(['w2']);
    expect(program.frozen).toEqual(['cast "real"']);
  });

  test('pictures are normalised as a file asks, and not turned from blue to red', () => {
    const images = { input: 'x', layout: 'nchw', channels: 'rgb', mean: [127.5], scale: [1 / 127.5] } as const;
    expect(normalisationOfImages(images)).toEqual({ mean: [0.5], deviation: [expect.closeTo(0.5, 12)] });
    expect(() => normalisationOfImages({ ...images, channels: 'bgr' })).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }));
  });

  test('onnxruntime-web trains the same, where there is no native one', async () => {
    const each = [];
    for (const executor of ['onnxruntime-node', 'onnxruntime-web'] as const)
      each.push(await train(buildModel(net, 1), data, { ...options, epochs: 1, executor }));
    const [native, web] = each;
    expect(web!.executor).toBe('onnxruntime-web');
    expect(web!.history[0]!.loss).toBeCloseTo(native!.history[0]!.loss, 3);
  });
});
