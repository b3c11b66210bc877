/**
 * Operators given attributes and inputs that make no sense: shape inference answers with a WaferError or with types that are
 * sound. Files and importers rely on it.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { add, type Dim, floorDivide, isStatic, symbol } from '../../src/core/dim';
import type { DType } from '../../src/core/dtype';
import { WaferError } from '../../src/core/errors';
import { elements, type TensorType } from '../../src/core/shape';
import { Builder } from '../../src/graph/ir';
import type { Attr, AttrKind, Attrs, AttrValue, Case } from '../../src/ops/define';
import { OFFLINE, OPS } from '../../src/ops/index';

const number = fc.oneof(
  fc.integer({ min: -3, max: 9 }),
  fc.constantFrom(2 ** 31 - 1, 2 ** 31, -(2 ** 31), 2 ** 53 - 1, 0.5, Infinity, -Infinity),
);
const integer = fc.oneof(fc.integer({ min: -3, max: 9 }), fc.constantFrom(2 ** 31 - 1, 2 ** 31, -(2 ** 31), 2 ** 53 - 1));
const dim: fc.Arbitrary<Dim> = fc.oneof(
  { weight: 4, arbitrary: integer },
  { weight: 1, arbitrary: fc.constantFrom<Dim>(symbol('N'), add(symbol('W'), -1), floorDivide(add(symbol('W'), 1), 2)) },
);
const size: fc.Arbitrary<Dim> = dim.map((d) => (isStatic(d) ? Math.min(Math.abs(d), 2 ** 31 - 1) : d));
const quant = fc.record({ scale: fc.constantFrom(0.5, 1, 2 ** -140, 2 ** 127), zero: fc.integer({ min: -128, max: 127 }) });
const step = fc.record({ fn: fc.constantFrom('relu', 'clip', 'affine', 'power', 'toString', ''), a: number, b: number });

const VALUES: Readonly<Record<AttrKind, fc.Arbitrary<AttrValue>>> = {
  int: integer,
  float: number,
  bool: fc.boolean(),
  ints: fc.array(integer, { maxLength: 9 }),
  floats: fc.array(number, { maxLength: 9 }),
  dims: fc.array(dim, { maxLength: 9 }),
  string: fc.constantFrom('', 'toString'),
  steps: fc.array(step, { maxLength: 3 }),
  quant: fc.option(quant),
};

const anyType: fc.Arbitrary<TensorType> = fc
  .record({
    dtype: fc.constantFrom<DType>('f32', 'i32', 'i8', 'u8', 'bool'),
    shape: fc.array(size, { maxLength: 6 }),
    quant: fc.option(quant, { nil: undefined }),
  })
  .map((type) => (type.dtype === 'i8' ? type : { dtype: type.dtype, shape: type.shape }));

/** Types and attributes of a case, some of them replaced. */
function mutated(
  schema: Readonly<Record<string, Attr>>,
  c: Case<Attrs>,
): fc.Arbitrary<{ types: (TensorType | undefined)[]; attrs: Attrs }> {
  const given = c.inputs.map((x): TensorType | undefined =>
    x ? ('shape' in x ? { dtype: x.dtype ?? 'f32', shape: x.shape, quant: x.quant } : { dtype: 'f32', shape: x }) : undefined,
  );
  const keep = <T>(value: T, other: fc.Arbitrary<T>) =>
    fc.oneof({ weight: 3, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: other });
  const reshaped = (x: TensorType) =>
    fc.array(size, { minLength: x.shape.length, maxLength: x.shape.length }).map((shape) => ({ ...x, shape }));
  const types = fc.tuple(
    ...given.map((x) => keep<TensorType | undefined>(x, x ? fc.oneof(reshaped(x), anyType, fc.constant(undefined)) : anyType)),
  );
  const attrs = fc.record(
    Object.fromEntries(
      Object.entries(schema).map(([name, { kind, default: usual, choices }]) => [
        name,
        keep(c.attrs?.[name] ?? usual, choices ? fc.constantFrom(...choices) : VALUES[kind]),
      ]),
    ),
  ) as fc.Arbitrary<Attrs>;
  const more = fc.oneof(
    { weight: 4, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.array(fc.option(anyType, { nil: undefined }), { maxLength: 3 }) },
  );
  return fc.record({ types: fc.tuple(types, more).map(([a, b]) => [...a, ...b]), attrs });
}

describe.each(Object.keys(OPS).map((code) => [OPS[Number(code)]!.name, Number(code)] as const))('%s', (_, code) => {
  const op = OPS[code]!;
  it('refuses or infers', () => {
    const attempt = fc.oneof(...OFFLINE[code]!.cases.map((c) => mutated(op.attrs, c)));
    fc.assert(
      fc.property(attempt, ({ types, attrs }) => {
        const build = new Builder();
        const inputs = types.map((type, i) => type && { name: `x${i}`, type });
        try {
          for (const { type } of build.add(op, 'node', inputs, attrs)) {
            const known = type.shape.filter(isStatic);
            expect(known.every((d) => Number.isInteger(d) && d >= 0)).toBe(true);
            expect(elements(known)).not.toBeNaN();
            expect(type.dtype === 'i8' || !type.quant).toBe(true);
          }
        } catch (error) {
          if (!(error instanceof WaferError)) throw error;
        }
      }),
      { numRuns: 1000, seed: 3 },
    );
  });
});
