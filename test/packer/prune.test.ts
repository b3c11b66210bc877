/**
 * Pruning: that a pruned graph computes what the masked one does, whatever channels go, on nets with all that joins channels and on the
 * models of others; that criteria find what is worth least; and what is refused.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describe, expect, test } from 'vitest';
import { random } from '../../src/core/random';
import { elements, evaluateShape } from '../../src/core/shape';
import type { Graph } from '../../src/graph/ir';
import { type Sample, wasmEngine } from '../../src/packer/evaluate/engine';
import { importOnnx } from '../../src/packer/import/onnx/import';
import { declutter } from '../../src/packer/passes/index';
import { dependenciesOf } from '../../src/packer/prune/dependencies';
import { fillEmpty, groupsOf } from '../../src/packer/prune/groups';
import { withChannelsMasked, withoutChannels } from '../../src/packer/prune/removal';
import { outputsOf } from '../../src/packer/quantize/fidelity';
import { buildModel, type ModelFunction } from '../../src/packer/train/layers';
import { folded } from '../../src/packer/train/program';
import { binaries } from '../../src/runtime/wasm/binaries';
import { files, SKIPS, samplesOf } from '../models/models';
import { seedOf } from '../support/random';

const engine = wasmEngine(binaries());

/** Constants that were drawn as 0 or 1 get other numbers, so that biases and norms are seen. */
function stirred(model: ModelFunction, seed: number): Graph {
  const graph = buildModel(model, seed);
  const next = random(seed + 1);
  for (const { inputs } of graph.nodes)
    for (const x of inputs)
      if (x?.type.shape.length === 1 && x.data instanceof Float32Array) x.data.forEach((v, i) => (x.data![i] = v + next() - 0.3));
  return graph;
}

function drawn(graph: Graph, seed: number): Sample {
  const next = random(seed);
  const sample = graph.inputs.map(({ name, type }) => {
    const shape = evaluateShape(type.shape, new Map([['N', 2]]));
    return [name, { data: Float32Array.from({ length: elements(shape) }, () => 2 * next() - 1), shape }] as const;
  });
  return Object.fromEntries(sample);
}

/** Removes each unit with this chance, and returns how many of those that could. */
async function expectEqual(graph: Graph, seed: number, samples: readonly Sample[], chance = 0.4): Promise<[number, number]> {
  const dependencies = dependenciesOf(graph);
  const units = groupsOf(dependencies).flatMap((group) => group.units);
  const next = random(seed);
  const removed = dependencies.units.map(() => false);
  for (const unit of units) removed[unit] = next() < chance;
  const filled = fillEmpty(dependencies, removed, new Float64Array(removed.length));
  const pruned = folded(withoutChannels(graph, dependencies, filled));
  const masked = folded(withChannelsMasked(graph, dependencies, filled));
  const [got, want] = [await outputsOf(pruned, samples, engine), await outputsOf(masked, samples, engine)];
  samples.forEach((_, k) => {
    for (const { name } of graph.outputs) {
      const [a, b] = [got[k]![name]!, want[k]![name]!];
      expect(a.length).toBe(b.length);
      const largest = b.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
      const furthest = a.reduce((most, v, i) => Math.max(most, Math.abs(v - b[i]!)), 0);
      expect(b.every(Number.isFinite)).toBe(true);
      expect(furthest / Math.max(largest, 1e-30), `${name}, seed ${seed}`).toBeLessThan(1e-5);
    }
  });
  return [filled.filter(Boolean).length, units.length];
}

/** Nets by what joins their channels, with how many units can be removed. */
const NETS: Readonly<Record<string, [number, ModelFunction]>> = {
  'a chain with norms': [
    6 + 10,
    ({ input, conv, batchNorm, relu, maxPool, globalPool, linear }) => {
      const x = maxPool(relu(batchNorm(conv(input([8, 8, 3]), 6, { bias: false }))));
      return linear(globalPool(relu(batchNorm(conv(x, 10)))), 4);
    },
  ],
  'residual additions': [
    8 + 5,
    ({ input, conv, batchNorm, relu, add, globalPool, linear }) => {
      const x = relu(batchNorm(conv(input([6, 6, 2]), 8)));
      const y = batchNorm(conv(relu(conv(x, 5)), 8));
      return linear(globalPool(relu(add(x, y))), 3);
    },
  ],
  'a residual that pads channels': [
    4 + 6,
    ({ input, conv, relu, add, op, globalPool, linear }) => {
      const x = relu(conv(input([6, 6, 2]), 4));
      const wide = op('pad', [x], { before: [0, 0, 0, 0], after: [0, 0, 0, 6] });
      return linear(globalPool(add(wide, conv(x, 10))), 3);
    },
  ],
  'joined and taken apart': [
    6 + 4 + 10,
    ({ input, conv, relu, concat, op, add, globalPool, linear }) => {
      const x = input([6, 6, 2]);
      const both = concat([relu(conv(x, 6)), relu(conv(x, 4))]);
      const part = (start: number) =>
        op('slice', [both], { starts: [0, 0, 0, start], steps: [1, 1, 1, 2], size: [both.type.shape[0]!, 6, 6, 5] });
      const odd = add(
        part(1),
        op('slice', [conv(x, 15)], { starts: [0, 0, 0, 12], steps: [1, 1, 1, -1], size: [both.type.shape[0]!, 6, 6, 5] }),
      );
      return linear(globalPool(concat([part(0), odd])), 3);
    },
  ],
  'depthwise, and a convolution of one channel': [
    6 + 4,
    ({ input, conv, depthwise, relu, globalPool, linear }) => {
      const x = depthwise(relu(conv(input([6, 6, 1]), 6)), { stride: 2 });
      return linear(globalPool(relu(conv(x, 4))), 3);
    },
  ],
  'a depthwise one of two outputs each': [
    5,
    ({ input, conv, relu, globalPool, linear }) =>
      linear(globalPool(relu(conv(relu(conv(input([6, 6, 2]), 5)), 10, { groups: 5 }))), 3),
  ],
  'few large groups': [
    6 + 4,
    ({ input, conv, relu, globalPool, linear }) =>
      linear(globalPool(relu(conv(relu(conv(input([6, 6, 2]), 12)), 8, { groups: 2 }))), 3),
  ],
  'many small groups': [
    4,
    ({ input, conv, relu, globalPool, linear }) =>
      linear(globalPool(relu(conv(relu(conv(input([6, 6, 2]), 8)), 12, { groups: 4 }))), 3),
  ],
  'a shuffle of groups': [
    2 + 3,
    ({ input, conv, op, relu, globalPool, linear }) => {
      const x = relu(conv(input([6, 6, 2]), 8, { groups: 2 }));
      const n = x.type.shape[0]!;
      const apart = op('reshape', [x], { shape: [n, 6, 6, 2, 4] });
      const turned = op('transpose', [apart], { perm: [0, 1, 2, 4, 3] });
      const y = conv(op('reshape', [turned], { shape: [n, 6, 6, 8] }), 6, { groups: 2 });
      return linear(globalPool(y), 3);
    },
  ],
  'squeeze and excite': [
    8 + 4,
    ({ input, conv, activation, mul, op, globalPool, linear }) => {
      const x = activation(conv(input([6, 6, 2]), 8), 'hardSwish');
      const squeezed = op('reduce', [x], { fn: 'mean', axes: [1, 2], keepdims: true });
      const gate = activation(conv(activation(conv(squeezed, 4, { kernel: 1 }), 'relu'), 8, { kernel: 1 }), 'hardSigmoid');
      return linear(globalPool(mul(x, gate)), 3);
    },
  ],
  'functions that are not 0 at 0': [
    6 + 5,
    ({ input, conv, activation, concat, globalPool, linear }) => {
      const x = activation(conv(input([6, 6, 2]), 6), 'sigmoid');
      return linear(globalPool(activation(conv(concat([x, activation(x, 'cos')]), 5, { pad: 1 }), 'softplus')), 3);
    },
  ],
  'flattened images': [
    5 + 7,
    ({ input, conv, relu, flatten, linear }) => linear(relu(linear(flatten(relu(conv(input([4, 4, 2]), 5))), 7)), 3),
  ],
  'rows of pixels, and a sum over channels': [
    6,
    ({ input, conv, relu, op, linear }) => {
      const x = relu(conv(input([4, 4, 2]), 6));
      const rows = op('reshape', [x], { shape: [x.type.shape[0]!, 16, 6] });
      const lines = op('transpose', [rows], { perm: [0, 2, 1] });
      return linear(op('reduce', [lines], { fn: 'sum', axes: [1], keepdims: false }), 3);
    },
  ],
  attention: [
    // Places in all heads, of queries, keys and values, and the hidden layer behind.
    4 + 9,
    ({ input, linear, op, relu, add }) => {
      const x = input([5, 6]);
      const n = x.type.shape[0]!;
      const all = op('reshape', [linear(x, 24)], { shape: [n, 5, 3, 2, 4] });
      const parts = op('transpose', [all], { perm: [2, 0, 3, 1, 4] });
      const part = (i: number) => {
        const taken = op('slice', [parts], { starts: [i, 0, 0, 0, 0], steps: [1, 1, 1, 1, 1], size: [1, n, 2, 5, 4] });
        return op('reshape', [taken], { shape: [n, 2, 5, 4] });
      };
      const weights = op('softmax', [op('matmul', [part(0), part(1)], { transB: true })]);
      const heads = op('transpose', [op('matmul', [weights, part(2)])], { perm: [0, 2, 1, 3] });
      const y = linear(op('reshape', [heads], { shape: [n, 5, 8] }), 6);
      return linear(relu(linear(add(x, y), 9)), 3);
    },
  ],
};

describe('pruned is as masked', () => {
  test.each(Object.entries(NETS))('%s', async (_, [units, model]) => {
    let removed = 0;
    for (let seed = 1; seed <= 8; seed++) {
      const graph = stirred(model, seed);
      const [gone, could] = await expectEqual(graph, seed, [drawn(graph, seed)], seed / 9);
      expect(could).toBe(units);
      removed += gone;
      await expectEqual(declutter(folded(graph)), seed, [drawn(graph, seed)], seed / 9);
    }
    expect(removed / (8 * units)).toBeGreaterThan(0.2);
  });

  for (const file of files) {
    const name = basename(file);
    if (SKIPS[name]) test.skip(`${name}: ${SKIPS[name]}`, () => {});
    else
      test(`${name}, at random`, { timeout: 120_000 }, async () => {
        const graph = declutter(importOnnx(readFileSync(file)).graph);
        const samples = (await samplesOf(name, graph)).slice(0, 1);
        await expectEqual(graph, seedOf(name), samples, 0.3);
      });
  }
});
