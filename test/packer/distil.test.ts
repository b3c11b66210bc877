/** Students: that they learn what a teacher says, of views that are fixed or the same, and which teachers are refused. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Builder, type Graph, type Value } from '../../src/graph/ir';
import { AUGMENTATION, Batches } from '../../src/packer/data/batches';
import { makeDataset } from '../../src/packer/data/dataset';
import { runOutputs } from '../../src/packer/evaluate/reference';
import { trainQuantized } from '../../src/packer/train/aware';
import { emitter } from '../../src/packer/train/differentiate';
import type { DistilOptions } from '../../src/packer/train/distil';
import { buildModel, type ModelFunction } from '../../src/packer/train/layers';
import { losses } from '../../src/packer/train/losses';
import { type Trained, type TrainOptions, train } from '../../src/packer/train/train';
import { data, net, SIDE } from './corners';

const options: TrainOptions = { epochs: 1, batch: 32, workers: 1, seed: 3 };
const folder = mkdtempSync(join(tmpdir(), 'wafer-distil-'));
afterAll(() => rmSync(folder, { recursive: true }));

let taught: Trained;
beforeAll(async () => {
  taught = await train(buildModel(net, 1), data, { ...options, epochs: 2 });
});

const small: ModelFunction = ({ input, conv, batchNorm, relu, maxPool, flatten, linear }) =>
  linear(flatten(maxPool(relu(batchNorm(conv(input([SIDE, SIDE, 1]), 4))))), 4);

const student = (distil: Partial<DistilOptions>, own: Partial<TrainOptions> = {}, sets = data) =>
  train(buildModel(small, 2), sets, { ...options, ...own, distil: { teacher: taught.graph, ...distil } });

/** All constants of a graph as one string. */
const bytesOf = (graph: Graph): string =>
  graph.nodes
    .flatMap(({ inputs }) => inputs.flatMap((x) => (x?.data ? [Buffer.from(x.data.buffer).toString('hex')] : [])))
    .join();

describe('distillation', () => {
  test.each(['fixed', 'same'] as const)('a teacher alone teaches, where labels are wrong: %s views', async (views) => {
    const { shape, data: images, labels } = data.train;
    const wrong = makeDataset('wrong', shape, images, new Int32Array(labels.length), ['0', '1', '2', '3']);
    const { history } = await student({ share: 1, views }, { epochs: 3 }, { train: wrong, test: data.test });
    expect(history[2]!.top1).toBeGreaterThan(0.9);
    expect(history[2]!.loss).toBeLessThan(history[0]!.loss / 2);
  });

  test.each<[string, Partial<TrainOptions>]>([
    ['examples as they are', {}],
    ['mirrored ones', { augmentation: { flip: true } }],
    ['mirrored ones, in two threads', { augmentation: { flip: true }, workers: 2 }],
  ])('fixed views of %s are the same views', async (_, own) => {
    const [fixed, same] = [await student({ views: 'fixed' }, own), await student({ views: 'same' }, own)];
    expect(fixed.history[0]!.loss).toBeCloseTo(same.history[0]!.loss, 4);
    const shifted = { ...own, augmentation: { ...own.augmentation, crop: 2 } };
    const [other, seen] = [await student({ views: 'fixed' }, shifted), await student({ views: 'same' }, shifted)];
    expect(Math.abs(other.history[0]!.loss - seen.history[0]!.loss)).toBeGreaterThan(0.01);
  });

  test('what is learnt of mixed examples is mixed alike', () => {
    const count = 8;
    const set = makeDataset(
      'ramp',
      [1, 2, 1],
      Uint8Array.from({ length: 2 * count }, (_, i) => i),
      Int32Array.from({ length: count }, (_, i) => i),
    );
    // Of each example its class, and what is first in it, which mirroring changes.
    const rows = Float32Array.from({ length: 4 * count }, (_, i) =>
      i % 2 ? (i >> 1) % count : i >= 2 * count ? i - 2 * count + 1 : i,
    );
    const how = { set, normalisation: { mean: [0], deviation: [1 / 255] }, seed: 5, channelsFirst: false };
    const batches = new Batches({ ...how, augmentation: { ...AUGMENTATION, flip: true, mixup: 1 } }, 4, rows);
    const [x, target, said] = [new Float32Array(8), new Float32Array(4 * count), new Float32Array(8)];
    for (let step = 0; step < 6; step++) {
      batches.fill(step, 0, 4, { x, target, taught: said });
      for (let i = 0; i < 4; i++) {
        const label = target.subarray(i * count, (i + 1) * count).reduce((sum, p, k) => sum + p * k, 0);
        expect(said[2 * i]).toBeCloseTo(x[2 * i]!, 4);
        expect(said[2 * i + 1]).toBeCloseTo(label, 4);
      }
    }
  });

  test('a teacher whose pictures are normalised otherwise says the same', async () => {
    const { mean, deviation } = taught.normalisation;
    const own = { normalisation: { mean: [0.25], deviation: [0.5] } };
    const normalisation = { mean, deviation };
    const [fixed, same] = [
      await student({ views: 'fixed', normalisation }, own),
      await student({ views: 'same', normalisation }, own),
    ];
    const unaware = await student({ views: 'fixed' }, own);
    expect(same.history[0]!.loss).toBeCloseTo(fixed.history[0]!.loss, 4);
    expect(Math.abs(unaware.history[0]!.loss - fixed.history[0]!.loss)).toBeGreaterThan(0.01);
  });

  test('a graph to go on with keeps its norms, and is a teacher too', async () => {
    expect(taught.trainable.nodes.map(({ op }) => op.name)).toContain('batchNorm');
    const [folded, kept] = [await student({}), await student({ teacher: taught.trainable })];
    expect(kept.history[0]!.loss).toBeCloseTo(folded.history[0]!.loss, 4);
    const more = await train(taught.trainable, data, options);
    expect(more.history[0]!.loss).toBeLessThan(taught.history[0]!.loss / 2);
  });

  test('one that was stopped comes to the same bytes, and only with the same teacher', async () => {
    const path = join(folder, 'stopped.npz');
    const own: Partial<TrainOptions> = { workers: 2, augmentation: { flip: true, mixup: 0.2 } };
    const whole = await student({}, own);
    const controller = new AbortController();
    const checkpoint = { path, every: 5, resume: true };
    const first = await student({}, { ...own, checkpoint, onProgress: () => controller.abort(), signal: controller.signal });
    expect(first.complete).toBe(false);
    const other = { ...own, checkpoint };
    const refused = { code: 'ARGUMENT', message: expect.stringContaining('another training') };
    await expect(student({ teacher: buildModel(net, 7) }, other)).rejects.toMatchObject(refused);
    await expect(student({ temperature: 3 }, other)).rejects.toMatchObject(refused);
    expect(bytesOf((await student({}, other)).graph)).toBe(bytesOf(whole.graph));
  });

  test.each<[string, Partial<DistilOptions>]>([
    ['numbers, through an adapter', { hints: [{ from: 'maxPool1', to: 'maxPool1', weight: 1 }] }],
    ['the angle between numbers', { hints: [{ from: 'maxPool1', to: 'maxPool1', weight: 1, loss: 'cosine' }] }],
    ['where attention lies', { attention: [{ from: 'maxPool1', to: 'maxPool1' }] }],
    ['where it lies in smaller images', { attention: [{ from: 'relu2', to: 'maxPool1' }] }],
  ])('hints teach by themselves: %s', async (_, hints) => {
    const isFrozen = (name: string) => name.startsWith('linear');
    const { history, trainable, graph } = await student(
      { ...hints, teacher: taught.trainable, share: 0 },
      { epochs: 4, isFrozen, loss: ({ l1, logits, mul }) => mul(l1(logits), 0) },
    );
    expect(history[3]!.loss).toBeLessThan(0.7 * history[0]!.loss);
    // What was trained besides falls away.
    expect(trainable.outputs.map(({ name }) => name)).toEqual(['logits']);
    expect(trainable.nodes.map(({ name }) => name)).toEqual(buildModel(small, 2).nodes.map(({ name }) => name));
    expect(graph.nodes.every(({ name }) => !name.startsWith('hint'))).toBe(true);
  });

  test('an attention map of another size is resized, and equal maps cost nothing', () => {
    const build = new Builder();
    const made = losses(emitter(build, () => 'loss'));
    const large = build.numbers('large', 'f32', [1, 2, 2, 2], [1, 0, 1, 0, 1, 0, 1, 0]);
    const own = build.numbers('own', 'f32', [1, 1, 1, 3], [5, 5, 5]);
    const row = build.numbers('row', 'f32', [1, 2, 3], [2, 0, 0, 0, 0, 0]);
    const other = build.numbers('other', 'f32', [1, 2, 1], [0, 3]);
    const values = [made.attention(own, large), made.attention(row, row), made.attention(row, other)] as Value[];
    const graph = build.finish(values.map((value, i) => ({ name: `y${i}`, value })));
    const got = [...runOutputs(graph, new Map()).values()].map(({ data: [x] }) => x);
    expect(got).toEqual([expect.closeTo(0, 5), expect.closeTo(0, 5), expect.closeTo(1, 5)]);
  });

  test('hints that cannot be are refused, and nodes that are not there get a name', async () => {
    const refuse = (distil: Partial<DistilOptions>, code: string, message: RegExp) =>
      expect(student({ teacher: taught.trainable, ...distil })).rejects.toMatchObject({
        code,
        message: expect.stringMatching(message),
      });
    await refuse({ hints: [{ from: 'rulu2', to: 'relu1' }] }, 'ARGUMENT', /teacher has no node "rulu2".*"relu2"/s);
    await refuse({ hints: [{ from: 'relu2', to: 'relu2' }] }, 'ARGUMENT', /model has no node "relu2".*"relu1"/s);
    await refuse(
      { hints: [{ from: 'relu2', to: 'relu1' }] },
      'SHAPE',
      /"relu2" of the teacher is \[2,2,8\], "relu1" of the model \[8,8,4\]/,
    );
    await refuse({ attention: [{ from: 'linear1', to: 'linear1' }] }, 'SHAPE', /"linear1" of the teacher is \[4\]/);
    await refuse({ hints: [{ from: 'relu1', to: 'relu1' }], views: 'fixed' }, 'ARGUMENT', /must see the same views/);
    await refuse({ hints: [{ from: 'relu1', to: 'relu1', weight: -1 }] }, 'ARGUMENT', /weight of -1/);
  });

  test('hints teach through rounding', async () => {
    const float = await train(buildModel(small, 2), data, options);
    const name = float.graph.nodes[0]!.name;
    const lossOf = async (weight: number) => {
      const own = { ...options, distil: { hints: [{ from: name, to: name, weight }] } };
      const { trained, graph } = await trainQuantized(float.graph, data, own, { weights: 'ternary', samples: 32 });
      expect(graph.outputs.map((output) => output.name)).toEqual(['logits']);
      return trained!.history[0]!.loss;
    };
    expect(await lossOf(1)).toBeGreaterThan((await lossOf(0)) + 0.001);
  });

  test('teachers that do not fit are refused', async () => {
    const refuse = (distil: Partial<DistilOptions>, code: string, message: RegExp) =>
      expect(student(distil)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    const dense = (side: number, classes: number) =>
      buildModel(({ input, flatten, linear }) => linear(flatten(input([side, side, 1])), classes), 1);
    await refuse({ teacher: dense(SIDE, 3) }, 'SHAPE', /teacher gives \[3\] for an example, the model \[4\]/);
    await refuse({ teacher: dense(SIDE + 1, 4) }, 'SHAPE', /teacher.*takes \[9,9,1\]/s);
    const flat = buildModel(({ input, linear }) => linear(input([SIDE * SIDE]), 4), 1);
    await refuse({ teacher: flat, views: 'same' }, 'SHAPE', /the teacher takes \[64\], the model \[8,8,1\]/);
    expect((await student({ teacher: flat })).complete).toBe(true);
    await refuse({ share: 1.5 }, 'ARGUMENT', /share of 1.5/);
    await refuse({ temperature: 0 }, 'ARGUMENT', /temperature of 0/);
  });
});
