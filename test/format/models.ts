/** Small models for the tests of the file format: between them they use every kind of attribute, field and encoding. */
import { add, floorDivide, multiply, symbol } from '../../src/core/dim';
import type { DType, TypedArray } from '../../src/core/dtype';
import { fromHalves, toHalves } from '../../src/core/half';
import { makeGolden } from '../../src/format/golden';
import type { WaferModel } from '../../src/format/model';
import { writeWafer } from '../../src/format/writer';
import { Builder, type Graph } from '../../src/graph/ir';
import { random } from '../support/random';

export const provenance = {
  packer: 'wafer 0.1.0',
  source: { name: 'tiny.onnx', bytes: 1234, sha256: 'ab'.repeat(32) },
  recipe: ['import', 'quantise int8'],
  metrics: { sqnr_db: 41.5, nodes: 3 },
};

/** A tensor of each kind that encodings are for. `next` gives numbers in [0, 1). */
export function drawnTensors(length: number, next: () => number): { dtype: DType; data: TypedArray }[] {
  const draw = (f: (i: number) => number) => Array.from({ length }, (_, i) => f(i));
  const normal = () => next() + next() + next() + next() - 2;
  const pick = (values: readonly number[]) => values[Math.floor(next() * values.length)]!;
  const kept = draw((i) => (i % 4 ? -1 : next()));
  return [
    { dtype: 'i8', data: Int8Array.from(draw(() => 60 * normal())) },
    { dtype: 'i8', data: Int8Array.from(draw(() => pick([-1, 0, 0, 1]))) },
    { dtype: 'i8', data: Int8Array.from(draw(() => pick([-1, 1]))) },
    { dtype: 'i8', data: Int8Array.from(draw(() => Math.round(3 * normal()))) },
    { dtype: 'i8', data: Int8Array.from(draw(() => pick([-127, -64, -32, -16, 0, 16, 32, 64, 127]))) },
    { dtype: 'i8', data: Int8Array.from(draw((i) => (kept[i - (i % 4)]! < 0.3 ? 60 * normal() : 0))) },
    { dtype: 'u8', data: Uint8Array.from(draw((i) => (i * i) >> 6)) },
    { dtype: 'u8', data: Uint8Array.from(draw(() => 256 * next())) },
    { dtype: 'bool', data: Uint8Array.from(draw(() => pick([0, 0, 0, 1]))) },
    { dtype: 'i32', data: Int32Array.from(draw(() => 40_000 * normal())) },
    { dtype: 'i32', data: Int32Array.from(draw((i) => 1e9 - 3 * i)) },
    { dtype: 'i32', data: Int32Array.from(draw(() => 2 ** 32 * next())) },
    { dtype: 'f32', data: Float32Array.from(draw(normal)) },
    { dtype: 'f32', data: fromHalves(toHalves(Float32Array.from(draw(normal)))) },
    { dtype: 'f32', data: Float32Array.from(draw(() => (next() < 0.8 ? 0 : normal()))) },
    { dtype: 'f32', data: Float32Array.from(draw(() => pick([-0.1, -0, 0, 0.1, 0.25, Number.NaN]))) },
    { dtype: 'f32', data: new Float32Array(Int32Array.from(draw(() => 2 ** 32 * next())).buffer) },
  ];
}

const tensorsModel = (tensors: ReturnType<typeof drawnTensors>): WaferModel => {
  const build = new Builder();
  const values = tensors.map(({ dtype, data }) => build.constant('c', { dtype, shape: [data.length] }, data));
  return { ...modelOf(build.finish(values.map((value, i) => ({ name: `y${i}`, value })))), origins: new Map() };
};

/** Short tensors of all kinds and long ones of some, which have other codes. */
export function codedModel(): WaferModel {
  const next = random(6);
  const long = drawnTensors(9000, next);
  return tensorsModel([...drawnTensors(100, next), ...[0, 1, 3, 5, 8, 14, 15].map((i) => long[i]!)]);
}

/** Files of such tensors; of long ones only some. */
export function codedFiles(): Uint8Array[] {
  const next = random(5);
  return [3, 40, 700, 16_500].map((length) =>
    writeWafer(tensorsModel(drawnTensors(length, next).slice(0, length > 1000 ? 3 : undefined))),
  );
}

export const modelOf = (graph: Graph): WaferModel => ({ graph, provenance, goldens: [] });

/** Free dimensions, a floor division, steps, a dropped node, and every encoding of constants. */
export function fullModel(): WaferModel {
  const build = new Builder();
  const [n, w] = [symbol('N'), symbol('W')];
  const half = floorDivide(add(w, 1), 2);
  const x = build.input('x', { dtype: 'f32', shape: [n, w, half] });
  const q = build.input('q', { dtype: 'i8', shape: [2, 3], quant: { scale: 0.5, zero: -3 } });
  const flat = build.node('reshape', 'flat', [x], { shape: [multiply(n, multiply(w, half))] });
  build.node('reshape', 'flat', [x], { shape: [multiply(w, half), n] });
  const steps = [
    { fn: 'relu', a: 0, b: 0 },
    { fn: 'affine', a: 0.1, b: -0.5 },
    { fn: 'clip', a: Number.NEGATIVE_INFINITY, b: 6 },
  ];
  const active = build.node('unary', 'flat', [flat], { steps });
  const near = build.numbers('table', 'i32', [2, 4], [100000, 100001, 100003, 100002, 100000, 99999, 100005, 100001]);
  const wild = build.numbers('table', 'i32', [3], [2 ** 31 - 1, -(2 ** 31), 2 ** 31 - 1]);
  const small = build.numbers('small', 'i32', [5], [1, -1, 2, -2, 3]);
  const zeros = build.numbers('zeros', 'f32', [100], new Float32Array(100));
  const ones = build.numbers('ones', 'f32', [5], [1, 0.25, -1e30, Number.NaN, -0]);
  const bools = build.numbers('bools', 'bool', [3], [1, 0, 1]);
  const same = build.numbers('same', 'i32', [8], [100000, 100001, 100003, 100002, 100000, 99999, 100005, 100001]);
  const joined = build.node('concat', 'joined', [q, q], { axis: 1 });
  const outputs = { active, near, wild, small, zeros, ones, bools, same, joined, x };
  const graph = build.finish(Object.entries(outputs).map(([name, value]) => ({ name, value })));
  const bindings = new Map([
    ['N', 1],
    ['W', 3],
  ]);
  return {
    graph,
    provenance,
    labels: ['', 'caffè', '\ufeff中文', 'a\nb'],
    images: [{ input: 'x', layout: 'nchw', channels: 'rgb', mean: [127.5, 0, 1e-9], scale: [1 / 127.5, 1, 1] }],
    postprocessing: { kind: 'ctc' },
    goldens: [
      makeGolden(7, bindings, [{ name: 'active', dtype: 'f32', shape: [6], data: Float32Array.of(1, 2, 3, 4, 5, Number.NaN) }]),
    ],
    origins: new Map([
      ['x', { name: 'Input:0' }],
      ['flat.3', { name: 'Relu:😀', perm: [0, 2, 1] }],
      ['joined', { name: 'Relu:😁' }],
    ]),
  };
}
