/** Training towards zeros: that they stay, in floats and through rounding, that magnitudes fall, and averages of weights. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { constantsOf, type Graph } from '../../src/graph/ir';
import { trainQuantized } from '../../src/packer/train/aware';
import { buildModel, type ModelFunction } from '../../src/packer/train/layers';
import { withConstants } from '../../src/packer/train/program';
import { type Trained, type TrainOptions, train } from '../../src/packer/train/train';
import { data, net, SIDE } from './corners';

const options: TrainOptions = { epochs: 1, batch: 32, workers: 1, seed: 3, schedule: { learningRate: 0.05 } };
const folder = mkdtempSync(join(tmpdir(), 'wafer-sparsity-'));
afterAll(() => rmSync(folder, { recursive: true }));

const WEIGHTS = ['conv1.weight', 'conv2.weight', 'linear1.weight'];
const weightsIn = (graph: Graph, name: string) => constantsOf(graph).find((x) => x.name === name)!.data as Float32Array;
const zerosIn = (graph: Graph) => WEIGHTS.map((name) => weightsIn(graph, name).filter((w) => w === 0).length);

/** Sets all weights but every `kept`th to 0, of one layer only where it is named. */
const pruned = (graph: Graph, kept: number, only = WEIGHTS): Graph =>
  withConstants(graph, new Map(only.map((name) => [name, weightsIn(graph, name).map((w, i) => (i % kept ? 0 : w))])));

let dense: Trained;
beforeAll(async () => {
  dense = await train(buildModel(net, 1), data, options);
});

describe('zeros', () => {
  test.each<[string, Partial<TrainOptions>]>([
    ['sgd', { optimizer: { weightDecay: 0.01 } }],
    ['adamw in two threads', { workers: 2, optimizer: { name: 'adamw', weightDecay: 0.01 }, schedule: { learningRate: 0.005 } }],
  ])('of pruned weights stay, and the others are trained: %s', async (_, own) => {
    const start = pruned(dense.trainable, 2);
    const { trainable, history } = await train(start, data, { ...options, epochs: 3, ...own });
    expect(zerosIn(trainable)).toEqual(zerosIn(start));
    for (const name of WEIGHTS) {
      const [before, after] = [weightsIn(start, name), weightsIn(trainable, name)];
      expect(after.every((w, i) => (w === 0) === (before[i] === 0))).toBe(true);
      expect(after.filter((w, i) => w !== before[i]).length).toBeGreaterThan(before.length / 4);
    }
    expect(history[2]!.top1).toBeGreaterThan(0.9);
  });

  test('stay where it is asked, or more than a tenth of a layer is 0', async () => {
    const few = withConstants(
      dense.trainable,
      new Map([['conv2.weight', weightsIn(dense.trainable, 'conv2.weight').with(5, 0)]]),
    );
    const zeros = async (graph: Graph, keepZeros?: boolean) =>
      zerosIn((await train(graph, data, { ...options, ...(keepZeros !== undefined && { keepZeros }) })).trainable);
    expect(await zeros(few)).toEqual([0, 0, 0]);
    expect(await zeros(few, true)).toEqual([0, 1, 0]);
    expect(await zeros(pruned(dense.trainable, 2, ['conv2.weight']))).toEqual([0, 288, 0]);
    expect(await zeros(pruned(dense.trainable, 2), false)).toEqual([0, 0, 0]);
  });

  test.each(['int8', 'int4', 'ternary', 'codebook3'] as const)('stay through rounding to %s', async (format) => {
    const { graph, normalisation } = await train(pruned(dense.trainable, 4), data, options);
    const products = ({ nodes }: Graph) => nodes.filter(({ op }) => ['conv', 'gemm'].includes(op.name)).slice(1);
    const made = await trainQuantized(graph, data, { ...options, normalisation }, { weights: format, samples: 32 });
    expect(products(made.graph)).toHaveLength(2);
    products(made.graph).forEach(({ inputs: [, levels] }, i) => {
      const [, floats] = products(graph)[i]!.inputs;
      expect(floats!.data!.filter((w) => w === 0).length).toBeGreaterThan(0.7 * floats!.data!.length);
      floats!.data!.forEach((w, k) => w === 0 && expect(levels!.data![k]).toBe(0));
    });
  });
});

describe('sparsity', () => {
  const redundant: ModelFunction = ({ input, conv, batchNorm, relu, globalPool, linear }) =>
    linear(globalPool(relu(batchNorm(conv(input([SIDE, SIDE, 1]), 32)))), 4);

  test('a cost for scales of batch norms brings many near 0', async () => {
    const own: TrainOptions = { ...options, epochs: 6, schedule: { learningRate: 0.1 } };
    const slim = await train(buildModel(redundant, 1), data, { ...own, sparsity: { gamma: 0.05 } });
    const plain = await train(buildModel(redundant, 1), data, { ...own, sparsity: { gamma: 1e-9 } });
    expect(plain.gammas).toEqual({ count: 32, nearZero: 0 });
    expect(slim.gammas!.nearZero).toBeGreaterThan(8);
    const near = (weightsIn(slim.trainable, 'norm1.gamma') as Float32Array).filter((g) => Math.abs(g) < 0.01).length;
    expect(slim.gammas!.nearZero).toBe(near);
  });

  test('a cost for outputs makes them small', async () => {
    const lossOf = async (outputs: number) =>
      (await train(buildModel(net, 1), data, { ...options, sparsity: { outputs }, isFrozen: (name) => name !== 'norm2.beta' }))
        .trainable;
    const [dense, sparse] = [await lossOf(0), await lossOf(1)];
    const mean = (graph: Graph) => weightsIn(graph, 'norm2.beta').reduce((sum, b) => sum + b, 0) / 8;
    expect(mean(sparse)).toBeLessThan(mean(dense) - 0.1);
  });

  test('a model without batch norms, and costs that make no sense, are refused', async () => {
    const refuse = (graph: Graph, sparsity: TrainOptions['sparsity'], message: RegExp) =>
      expect(train(graph, data, { ...options, ...(sparsity && { sparsity }) })).rejects.toMatchObject({
        code: 'ARGUMENT',
        message: expect.stringMatching(message),
      });
    await refuse(dense.graph, { gamma: 0.1 }, /no scales of batch norms/);
    await refuse(dense.trainable, { outputs: -1 }, /cost of -1 for outputs/);
  });
});

describe('averages', () => {
  test('follow the weights, are what comes out, and go on after a stop', async () => {
    const path = join(folder, 'stopped.npz');
    const own: Partial<TrainOptions> = { ema: 0.9, workers: 2 };
    const [last, whole] = [
      await train(dense.trainable, data, { ...options, workers: 2 }),
      await train(dense.trainable, data, { ...options, ...own }),
    ];
    const distance = (a: Graph, b: Graph) =>
      WEIGHTS.reduce((sum, name) => sum + weightsIn(a, name).reduce((s, w, i) => s + Math.abs(w - weightsIn(b, name)[i]!), 0), 0);
    expect(distance(whole.trainable, last.trainable)).toBeGreaterThan(0);
    expect(distance(whole.trainable, last.trainable)).toBeLessThan(distance(whole.trainable, dense.trainable));
    const controller = new AbortController();
    const checkpoint = { path, every: 5, resume: true };
    const first = await train(dense.trainable, data, {
      ...{ ...options, ...own, checkpoint, signal: controller.signal },
      onProgress: () => controller.abort(),
    });
    expect(first.complete).toBe(false);
    const rest = await train(dense.trainable, data, { ...options, ...own, checkpoint });
    expect(distance(rest.trainable, whole.trainable)).toBe(0);
    expect(weightsIn(rest.trainable, 'norm1.variance')).toEqual(weightsIn(whole.trainable, 'norm1.variance'));
    await expect(train(dense.trainable, data, { ...options, ema: 1 })).rejects.toMatchObject({ code: 'ARGUMENT' });
  });

  test('tests are as rare as they are asked for', async () => {
    const { history } = await train(buildModel(net, 1), data, { ...options, epochs: 5, testEvery: 2 });
    expect(history.map(({ top1 }) => top1 !== undefined)).toEqual([false, true, false, true, true]);
  });
});
