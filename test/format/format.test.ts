/** What is written can be read: graphs, all that travels with them, encodings, and the file of version 1. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { WaferError } from '../../src/core/errors';
import type { WaferModel } from '../../src/format/model';
import { readWafer } from '../../src/format/reader';
import { verify } from '../../src/format/verify';
import { writeWafer } from '../../src/format/writer';
import { Builder, type Graph, type Value } from '../../src/graph/ir';
import { printGraph } from '../../src/graph/print';
import { allCases, buildCase } from '../support/cases';
import { random } from '../support/random';
import { codedModel, fullModel, modelOf } from './models';

/** All that a graph says, as plain data: attributes unrounded, types, elements, names. */
function plain(graph: Graph) {
  const value = (x: Value | undefined) => x && { name: x.name, type: x.type, data: x.data };
  return {
    inputs: graph.inputs.map(value),
    nodes: graph.nodes.map((n) => ({
      op: n.op.name,
      name: n.name,
      attrs: n.attrs,
      inputs: n.inputs.map(value),
      outputs: n.outputs.map(value),
    })),
    outputs: graph.outputs.map((o) => ({ name: o.name, value: value(o.value) })),
  };
}

const plainModel = (model: WaferModel) => ({ ...model, graph: plain(model.graph) });

/** Values renamed in order of appearance. */
function anonymous(text: string): string {
  const names = new Map<string, string>();
  return text.replace(/[%$][^\s,:)]+/g, (name) => names.get(name) ?? names.set(name, `${name[0]}${names.size}`).get(name)!);
}

/** The same with scales that are exact in f32, as the packer makes them. */
function exact<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(exact) as T;
  return Object.fromEntries(
    Object.entries(value).map(([key, v]) => [key, key === 'scale' && typeof v === 'number' ? Math.fround(v) : exact(v)]),
  ) as T;
}

describe('round trip', () => {
  it.each(allCases().map((c) => [c.address, c] as const))('%s', (_, c) => {
    const { graph } = buildCase({ ...c, case: exact(c.case) });
    const read = readWafer(writeWafer({ ...modelOf(graph), origins: new Map() }));
    expect(plain(read.graph)).toEqual(plain(graph));
  });

  it('keeps everything', () => {
    const model = fullModel();
    const file = writeWafer(model);
    expect(plainModel(readWafer(file))).toEqual(plainModel(model));
    expect(verify(file).canonical).toBe(true);
  });

  it('does without origins, except for names', () => {
    const { origins: _, ...model } = fullModel();
    const read = readWafer(writeWafer(model));
    expect(anonymous(printGraph(read.graph))).toBe(anonymous(printGraph(model.graph)));
    expect(read.graph.nodes.map((n) => n.name)).toEqual(['reshape.0', 'unary.1', 'concat.2']);
    expect(read.origins).toBeUndefined();
  });

  it('does without anything optional', () => {
    const build = new Builder();
    const x = build.input('x', { dtype: 'u8', shape: [] });
    const model = { ...modelOf(build.finish([{ name: 'y', value: x }])) };
    expect(plainModel(readWafer(writeWafer(model)))).toEqual(plainModel(model));
  });

  it('reads from any address', () => {
    const file = writeWafer(fullModel());
    for (let shift = 0; shift < 4; shift++) {
      const moved = new Uint8Array(file.length + 8).subarray(shift, shift + file.length);
      moved.set(file);
      expect(plainModel(readWafer(moved))).toEqual(plainModel(fullModel()));
    }
  });

  it("reads Node's buffers, whose slices are no copies", () => {
    for (const model of [fullModel(), codedModel()]) {
      const file = writeWafer(model);
      for (const shift of [1, 2]) {
        const buffer = Buffer.concat([Buffer.alloc(shift), file]).subarray(shift);
        expect(plainModel(readWafer(buffer))).toEqual(plainModel(readWafer(file)));
      }
    }
  });

  it('gives large raw tensors as views of the file', () => {
    const next = random(1);
    const build = new Builder();
    const noise = build.numbers(
      'w',
      'i32',
      [300],
      Int32Array.from({ length: 300 }, () => next() * 2 ** 32),
    );
    const few = build.numbers('b', 'u8', [3], [1, 200, 3]);
    const file = writeWafer(modelOf(build.finish([few, noise].map((value) => ({ name: value.name, value })))));
    const [, w] = readWafer(file).graph.outputs.map((o) => o.value.data!);
    expect(w!.buffer).toBe(file.buffer);
    expect(w!.byteOffset % 16).toBe(0);
  });
});

describe('encodings', () => {
  const bytesOf = (...constants: number[][]): number => {
    const build = new Builder();
    const outputs = constants.map((data, i) => ({ name: `y${i}`, value: build.numbers('c', 'i32', [data.length], data) }));
    const { sections } = verify(writeWafer(modelOf(build.finish(outputs))));
    return sections.find((s) => s.name === 'weights')!.bytes;
  };
  const count = (n: number, f: (i: number) => number) => Array.from({ length: n }, (_, i) => f(i));

  it('uniform: one element', () => expect(bytesOf(count(1000, () => 1e9))).toBe(4));
  it('small: less than a byte each', () => expect(bytesOf(count(1000, (i) => (i * 37) % 64))).toBeLessThan(850));
  it('slow: hardly anything', () => expect(bytesOf(count(1000, (i) => 1e9 + i * 3))).toBeLessThan(50));
  it('wild: raw, aligned', () => {
    const next = random(2);
    const bytes = bytesOf(count(1000, () => Math.floor(next() * 2 ** 32) | 0));
    expect(bytes).toBeGreaterThanOrEqual(4000);
    expect(bytes).toBeLessThan(4016);
  });
  it('equal: once', () =>
    expect(
      bytesOf(
        count(9, (i) => i),
        count(9, (i) => i),
        count(9, (i) => 9 - i),
      ),
    ).toBeLessThanOrEqual(18));
  it('nothing: no bytes', () => expect(bytesOf([], [])).toBe(0));
});

describe('writer', () => {
  const failure = (body: () => unknown): WaferError => {
    try {
      body();
    } catch (error) {
      return error as WaferError;
    }
    throw new Error('nothing was thrown');
  };

  it('gives equal bytes for equal models', () => expect(writeWafer(fullModel())).toEqual(writeWafer(fullModel())));

  it.each([
    ['NaN', Number.NaN],
    ['zero', 0],
    ['negative', -1],
    ['not exact in f32', 0.1],
  ])('refuses a scale that is %s', (_, scale) => {
    const build = new Builder();
    const x = build.input('x', { dtype: 'i8', shape: [1], quant: { scale, zero: 0 } });
    expect(failure(() => writeWafer(modelOf(build.finish([{ name: 'y', value: x }]))))).toMatchObject({ code: 'VALUE' });
  });

  it('says which node holds a NaN', () => {
    const build = new Builder();
    const x = build.input('x', { dtype: 'f32', shape: [1] });
    const y = build.node('unary', 'bad', [x], { steps: [{ fn: 'clip', a: Number.NaN, b: 1 }] });
    const error = failure(() => writeWafer(modelOf(build.finish([{ name: 'y', value: y }]))));
    expect(error).toMatchObject({ code: 'VALUE', node: 'unary "bad"' });
  });
});

describe('past versions are read for ever', () => {
  const stored = (name: string) => new Uint8Array(readFileSync(new URL(name, import.meta.url)));

  it('version 1', () => expect(plainModel(readWafer(stored('v1.wafer')))).toEqual(plainModel(fullModel())));
  it('version 2', () => expect(plainModel(readWafer(stored('v2.wafer')))).toEqual(plainModel(codedModel())));
});
