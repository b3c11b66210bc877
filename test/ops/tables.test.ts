/** Tables and factors of integer products as a hostile file may give them: refused before anything is computed. */
import { expect, test } from 'vitest';
import { WaferError } from '../../src/core/errors';
import { Builder } from '../../src/graph/ir';
import type { Attrs } from '../../src/ops/define';
import { Session } from '../../src/runtime/session';
import { baseDevice } from '../support/wasm';

const device = await baseDevice();

interface Product {
  attrs?: Attrs;
  table?: { shape: readonly number[]; dtype?: 'u8' | 'i8'; constant?: boolean } | null;
  factor?: { data: readonly number[]; constant?: boolean } | null;
}

/** Code of the error that a product of 4 levels by two channels ends in when it is prepared; undefined when it runs. */
function outcome({ attrs, table = { shape: [256, 2] }, factor = { data: [3, 5] } }: Product): string | undefined {
  const build = new Builder();
  const add = (name: string, type: Parameters<Builder['input']>[1], data: Parameters<Builder['constant']>[2], constant = true) =>
    constant ? build.constant(name, type, data) : build.input(name, type);
  try {
    const x = build.input('x', { dtype: 'i8', shape: [1, 4], quant: { scale: 0.1, zero: 0 } });
    const w = build.constant('w', { dtype: 'i8', shape: [2, 4] }, new Int8Array(8).fill(1));
    const multiplier = build.constant('multiplier', { dtype: 'i32', shape: [2] }, new Int32Array(2).fill(1000));
    const knots =
      table &&
      add(
        'table',
        { dtype: table.dtype ?? 'u8', shape: table.shape },
        table.dtype ? new Int8Array(512) : new Uint8Array(table.shape.reduce((n, d) => n * d, 1)).fill(7),
        table.constant,
      );
    const factors =
      factor && add('factor', { dtype: 'i32', shape: [factor.data.length] }, Int32Array.from(factor.data), factor.constant);
    const quant = { scale: 0.5, zero: -11 };
    const y = build.node('gemm', 'y', [x, w, undefined, multiplier, undefined, knots ?? undefined, factors ?? undefined], {
      quant,
      middle: { scale: 1, zero: 30 },
      shift: 17,
      ...attrs,
    });
    const session = new Session(build.finish([{ name: 'y', value: y }]), device, { guard: true });
    const inputs = Object.fromEntries(
      session.graph.inputs.map(({ name, type }) => {
        const shape = type.shape as readonly number[];
        const count = shape.reduce((n, d) => n * d, 1);
        const array = { i8: Int8Array, u8: Uint8Array, i32: Int32Array, f32: Float32Array, bool: Uint8Array }[type.dtype];
        return [name, { data: new array(count), shape }];
      }),
    );
    session.run(inputs);
    return undefined;
  } catch (error) {
    if (!(error instanceof WaferError)) throw error;
    return error.code;
  }
}

test('tables/a sound one runs', () => expect(outcome({})).toBeUndefined());

test.each<[string, Product]>([
  ['too short', { table: { shape: [255, 2] } }],
  ['flat', { table: { shape: [512] } }],
  ['empty', { table: { shape: [0, 2] } }],
  ['of signed bytes', { table: { shape: [256, 2], dtype: 'i8' } }],
  ['computed in the run', { table: { shape: [256, 2], constant: false } }],
  ['without middle', { attrs: { middle: null } }],
  ['middle without a table', { table: null, factor: null }],
  ['factors without a table', { table: null, attrs: { middle: null } }],
  ['a table for a float output', { attrs: { quant: null } }],
  ['a factor of 0', { factor: { data: [1, 0] } }],
  ['a factor below 0', { factor: { data: [-1, 1] } }],
  ['a factor beyond 16 bits', { factor: { data: [1, 32_768] } }],
  ['factors for other channels', { factor: { data: [1, 1, 1] } }],
  ['factors computed in the run', { factor: { data: [1, 1], constant: false } }],
  ['a table and a swish', { attrs: { swish: [2100, 7, 77] } }],
  ['a swish without middle', { table: null, factor: null, attrs: { middle: null, swish: [2100, 7, 77] } }],
  ['a swish beyond 16 bits', { table: null, attrs: { swish: [2100, 8, 77] } }],
  ['a swish of two numbers', { table: null, attrs: { swish: [2100, 7] } }],
  ['a table without factors', { factor: null }],
  ['too few places for fine steps', { attrs: { shift: 6 } }],
  ['a shift that leaves no finer steps', { attrs: { shift: 4 } }],
  ['a middle zero outside the range', { attrs: { range: [40, 60] } }],
  ['a range that is reversed', { attrs: { range: [60, -60] } }],
  ['a range of one', { attrs: { range: [1] } }],
])('tables/%s', (_, product) => expect(outcome(product)).toMatch(/^(?:SHAPE|DTYPE|ARGUMENT|VALUE|UNSUPPORTED)$/));
