/** Plans and sessions, on graphs of operators that need no kernel and of one made up here that does. */
import { expect, test } from 'vitest';
import { symbol } from '../../src/core/dim';
import { WaferError } from '../../src/core/errors';
import { Builder, type Graph } from '../../src/graph/ir';
import { defineOp } from '../../src/ops/define';
import { wasmEngine } from '../../src/packer/evaluate/engine';
import { assignOffsets, type Buffer } from '../../src/runtime/arena';
import { bindShapes } from '../../src/runtime/bind';
import { NullDevice } from '../../src/runtime/null/device';
import { makePlan } from '../../src/runtime/plan';
import { Session } from '../../src/runtime/session';
import { bytesOf } from '../../src/runtime/values';
import { binaries } from '../../src/runtime/wasm/binaries';
import { random } from '../support/random';
import { baseDevice } from '../support/wasm';

const [N, W] = [symbol('N'), symbol('W')];

/** y = x; the null device records the call. */
const copy = defineOp({
  name: 'copy',
  inputs: ['x', 'w?'],
  attrs: {},
  infer: ([x]) => [{ ...x! }],
  wasm: ({ inputs: [x, w], outputs: [y], scratch, packed, constant }) => [
    {
      kernel: 'copy' as never,
      args: [
        x!,
        w ? packed('w', w, 64, (block) => ({ kernel: 'pack' as never, args: [w, block], rows: 1 })) : 0,
        constant('table', () => new Uint8Array(256)),
        scratch(100),
        y!,
      ],
      rows: 1,
    },
  ],
});
const inplace = { ...copy, name: 'inplace', inplace: [0] } as typeof copy;

function chain(ops: (typeof copy)[]): Graph {
  const builder = new Builder();
  let x = builder.input('x', { dtype: 'f32', shape: [N, 4] });
  const w = builder.numbers('w', 'f32', [8], [1, 2, 3, 4, 5, 6, 7, 8]);
  ops.forEach((op, i) => (x = builder.node(op, `n${i}`, [x, w])));
  return builder.finish([{ name: 'y', value: x }]);
}

const plan = (graph: Graph, n: number) =>
  makePlan(graph, new Map([['N', n]]), { dot: 'i16', residents: new Map(), residentBytes: 0 });

const error = (body: () => unknown): WaferError => {
  try {
    body();
  } catch (e) {
    if (e instanceof WaferError) return e;
    throw e;
  }
  throw new Error('nothing was thrown');
};

test('arena/buffers that live at the same time do not overlap', () => {
  for (let seed = 0; seed < 50; seed++) {
    const next = random(seed);
    const buffers = Array.from({ length: 40 }, (): Buffer => {
      const first = Math.floor(next() * 30);
      return { bytes: Math.floor(next() * 500), first, last: first + Math.floor(next() * 8), offset: -1 };
    });
    const total = assignOffsets(buffers);
    for (const a of buffers) {
      expect(a.offset % 16).toBe(0);
      expect(a.offset + a.bytes).toBeLessThanOrEqual(total);
      for (const b of buffers) {
        if (a === b || a.last < b.first || b.last < a.first || !a.bytes || !b.bytes) continue;
        expect(a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset).toBe(true);
      }
    }
  }
});

test('arena/a chain needs two buffers', () => {
  const buffers = Array.from({ length: 6 }, (_, i): Buffer => ({ bytes: 64, first: i, last: i + 1, offset: -1 }));
  expect(assignOffsets(buffers)).toBe(128);
});

test('plan/an in-place node takes its input over, but not a graph input that is read again', () => {
  const grown = plan(chain([copy, inplace, inplace]), 100);
  const [a, b, c] = grown.nodes.map((n) => n.outputs[0]!.place!);
  expect([b!.offset, c!.offset]).toEqual([a!.offset, a!.offset]);
  expect(bytesOf(grown.outputs[0]!.type)).toBe(1600);
});

test('plan/a value that is read later is not taken over', () => {
  const builder = new Builder();
  const x = builder.input('x', { dtype: 'f32', shape: [4] });
  const a = builder.node(inplace, 'a', [x]);
  const b = builder.node(copy, 'b', [x]);
  const graph = builder.finish([
    { name: 'a', value: a },
    { name: 'b', value: b },
  ]);
  const [pa, pb] = plan(graph, 1).nodes.map((n) => n.outputs[0]!.place!);
  const px = plan(graph, 1).inputs[0]!.place!;
  expect(new Set([pa!.offset, pb!.offset, px.offset]).size).toBe(3);
});

test('session/constants are packed once, and calls follow the arena when it moves', () => {
  const device = new NullDevice('i16');
  const session = new Session(chain([copy, copy]), device);
  const x = (n: number) => ({ x: { data: new Float32Array(4 * n), shape: [n, 4] } });
  session.run(x(1));
  expect(device.calls.map((c) => c.kernel)).toEqual(['pack', 'pack', 'copy', 'copy']);
  const first = device.calls.slice(2).map((c) => c.args);
  session.run(x(50));
  session.run(x(1));
  expect(device.calls.slice(4).map((c) => c.kernel)).toEqual(['copy', 'copy', 'copy', 'copy']);
  expect(device.calls.slice(6).map((c) => c.args)).toEqual(first);
  expect(session.memory()).toMatchObject({ resident: 640, plans: 2 });
});

test('session/memory is bounded before it is allocated', () => {
  const device = new NullDevice('i16');
  const session = new Session(chain([copy]), device, { memoryCap: 10_000 });
  const e = error(() => session.run({ x: { data: new Float32Array(4000), shape: [1000, 4] } }));
  expect(e.code).toBe('MEMORY');
  expect(device.buffer.byteLength).toBeLessThan(10_000);
});

test('session/constants and inputs may be outputs', () => {
  const builder = new Builder();
  const x = builder.input('x', { dtype: 'i8', shape: [3], quant: { scale: 1, zero: 0 } });
  const k = builder.numbers('k', 'f32', [2], [1, 2]);
  const graph = builder.finish([
    { name: 'x', value: x },
    { name: 'k', value: builder.node('reshape', 'r', [k], { shape: [1, 2] }) },
  ]);
  const out = new Session(graph, new NullDevice('i16')).run({ x: { data: new Int8Array([-128, 0, 127]), shape: [3] } });
  expect(out.x!.data).toEqual(new Int8Array([-128, 0, 127]));
  expect(out.k).toEqual({ data: new Float32Array([1, 2]), shape: [1, 2], dtype: 'f32' });
});

test('session/inputs that the model does not take', () => {
  const session = new Session(chain([copy]), new NullDevice('i16'));
  const f32 = (n: number) => new Float32Array(n);
  expect(error(() => session.run({}))).toMatchObject({ code: 'ARGUMENT' });
  expect(error(() => session.run({ x: { data: f32(4), shape: [1, 4] }, X2: { data: f32(4), shape: [4] } })).message).toContain(
    'x',
  );
  expect(error(() => session.run({ x: { data: new Int32Array(4), shape: [1, 4] } }))).toMatchObject({ code: 'DTYPE' });
  expect(error(() => session.run({ x: { data: f32(5), shape: [1, 4] } }))).toMatchObject({ code: 'SHAPE' });
  expect(error(() => session.run({ x: { data: f32(5), shape: [1, 5] } }))).toMatchObject({ code: 'SHAPE' });
  expect(error(() => session.run({ x: { data: f32(4), shape: [4] } }))).toMatchObject({ code: 'SHAPE' });
  session.dispose();
  expect(error(() => session.run({ x: { data: f32(4), shape: [1, 4] } }))).toMatchObject({ code: 'DISPOSED' });
});

test('bind/free dimensions are solved and compared', () => {
  const eight = { terms: [{ coefficient: 8, atoms: W.terms[0]!.atoms }] };
  const bind = (given: number[]) => bindShapes([{ name: 'x', declared: [N, eight, N], given }]);
  expect([...bind([2, 24, 2])]).toEqual([
    ['N', 2],
    ['W', 3],
  ]);
  expect(error(() => bind([2, 25, 2])).code).toBe('SHAPE');
  expect(error(() => bind([2, 24, 3])).message).toContain('dimension 2 should be 2');
});

test('session/shapes that other kernels suit each pack their own weights', async () => {
  const [engine, draw] = [wasmEngine(binaries()), random(7)];
  const build = new Builder();
  const drawn = (length: number) => Float32Array.from({ length }, () => 2 * draw() - 1);
  const x = build.input('x', { dtype: 'f32', shape: [1, 12, W, 64] });
  const w = build.constant('w', { dtype: 'f32', shape: [64, 3, 3, 64] }, drawn(64 * 9 * 64));
  const graph = build.finish([{ name: 'y', value: build.node('conv', 'y', [x, w], { pads: [1, 1, 1, 1] }) }]);
  const one = await engine.session(graph);
  const kernels = new Set<string>();
  for (const width of [200, 5, 200, 3, 24]) {
    const input = { x: { data: drawn(12 * width * 64), shape: [1, 12, width, 64] } };
    const got = one.run(input).y!.data;
    for (const { kernels: used } of one.explain().nodes) for (const name of used) kernels.add(name);
    expect(got).toEqual((await engine.session(graph)).run(input).y!.data);
  }
  expect(kernels.size).toBe(2);
});

test('session/constants are packed in slices as they would be at once', async () => {
  const [k, n] = [2000, 300];
  const next = random(3);
  const weights = Float32Array.from({ length: k * n }, () => Math.floor(next() * 9) - 4);
  const build = new Builder();
  const x = build.input('x', { dtype: 'f32', shape: [1, k] });
  const y = build.node('gemm', 'y', [x, build.constant('w', { dtype: 'f32', shape: [n, k] }, weights)]);
  const session = new Session(build.finish([{ name: 'y', value: y }]), await baseDevice());
  const data = Float32Array.from({ length: k }, () => Math.floor(next() * 9) - 4);
  const want = Array.from({ length: n }, (_, i) => data.reduce((sum, v, j) => sum + v * weights[i * k + j]!, 0));
  expect(Array.from(session.run({ x: { data, shape: [1, k] } }).y!.data)).toEqual(want);
});
