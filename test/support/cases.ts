/**
 * The operators' own cases, ready to run: each has an address that names it, a graph of one node, drawn inputs and the
 * outputs that the reference computes. Knows no Node and no browser, so that both run the same.
 */
import { DTYPES, type DType, type TypedArray } from '../../src/core/dtype';
import { fromHalves, type Precision, toHalves } from '../../src/core/half';
import { elements, type StaticType } from '../../src/core/shape';
import { Builder, type Graph, type Value } from '../../src/graph/ir';
import {
  type Accuracy,
  type Attrs,
  type AttrValue,
  type Case,
  type CaseInput,
  fillAttrs,
  type Offline,
  type Op,
  type RefTensor,
} from '../../src/ops/define';
import { OFFLINE, OPS } from '../../src/ops/index';
import type { TensorData, TensorInput } from '../../src/runtime/session';
import { random, seedOf } from './random';

export interface OpCase {
  /** Unique, and safe as a pattern for `vitest -t`. */
  readonly address: string;
  readonly op: Op;
  readonly offline: Offline;
  readonly case: Case<Attrs>;
}

/** Every case of every operator, in order of opcode. */
export function allCases(): OpCase[] {
  const seen = new Map<string, number>();
  return Object.keys(OPS).flatMap((code) => {
    const op = OPS[Number(code)]!;
    const offline = OFFLINE[Number(code)]!;
    return offline.cases.map((c): OpCase => {
      const plain = addressOf(op, c);
      const count = (seen.get(plain) ?? 0) + 1;
      seen.set(plain, count);
      return { address: count > 1 ? `${plain};again=${count}` : plain, op, offline, case: c };
    });
  });
}

function addressOf(op: Op, c: Case<Attrs>): string {
  const parts = c.name ? [c.name] : [];
  c.inputs.forEach((given, i) => {
    if (given) parts.push(`${inputName(op, i)}=${inputText(normal(given))}`);
  });
  for (const [name, value] of Object.entries(c.attrs ?? {})) parts.push(`${name}=${attrText(value as AttrValue)}`);
  return `${op.name}/${parts.join(';')}`.replace(/[^\w=,;:./@ -]/g, '');
}

const normal = (given: readonly number[] | CaseInput): CaseInput => ('shape' in given ? given : { shape: given });

function inputText(x: CaseInput): string {
  const shape = x.shape.join() || 'scalar';
  const quant = x.quant ? `@${x.quant.scale}:${x.quant.zero}` : '';
  return `${x.dtype && x.dtype !== 'f32' ? `${x.dtype}:` : ''}${shape}${quant}`;
}

const attrText = (value: AttrValue): string =>
  JSON.stringify(value)
    .replace(/"(fn|a|b|scale|zero)":/g, '')
    .replace(/"/g, '');

const inputName = (op: Op, i: number): string => {
  const name = op.inputs[Math.min(i, op.inputs.length - 1)]!;
  return name.endsWith('*') ? `${name.slice(0, -1)}${i}` : name.replace(/\?$/, '');
};

export interface BuiltCase {
  readonly graph: Graph;
  readonly inputs: Readonly<Record<string, TensorInput>>;
  readonly outputs: readonly StaticType[];
  /** What the reference computes; one array an output. */
  readonly want: readonly Float64Array[];
}

/** Floats are rounded to `precision`. Throws what the operator throws on its own case. */
export function buildCase({ address, op, offline, case: c }: OpCase, precision: Precision = 'f32'): BuiltCase {
  const builder = new Builder();
  const inputs: Record<string, TensorInput> = {};
  const references: (RefTensor | undefined)[] = [];
  const values = c.inputs.map((given, i): Value | undefined => {
    if (!given) {
      references.push(undefined);
      return undefined;
    }
    const input = normal(given);
    const type: StaticType = { dtype: input.dtype ?? 'f32', shape: input.shape, quant: input.quant };
    const drawn = draw(input, type, `${address}#${i}`);
    const data = drawn instanceof Float32Array && precision === 'f16' ? fromHalves(toHalves(drawn)) : drawn;
    references.push({ type, data: Float64Array.from(data) });
    const name = inputName(op, i);
    if (input.constant) return builder.constant(name, type, data);
    inputs[name] = { data, shape: input.shape };
    return builder.input(name, type);
  });
  const attrs = fillAttrs(op.attrs, (c.attrs ?? {}) as Attrs);
  const results = builder.add(op, 'node', values, attrs);
  const outputs = results.map((y) => y.type as StaticType);
  const graph = builder.finish(results.map((value, i) => ({ name: `y${i}`, value })));
  return { graph, inputs, outputs, want: offline.reference(references, attrs, outputs) };
}

function draw(input: CaseInput, type: StaticType, seed: string): TypedArray {
  const data = new DTYPES[type.dtype].array(elements(type.shape));
  if (input.data) {
    data.set(input.data);
    return data;
  }
  const next = random(seedOf(seed));
  const [low, high] = input.range ?? defaultRange(type.dtype, input.constant ?? false);
  for (let i = 0; i < data.length; i++)
    data[i] = type.dtype === 'f32' ? low + (high - low) * next() : low + Math.floor((high - low + 1) * next());
  return data;
}

/** All levels; weights leave out -128, as the packer does. */
function defaultRange(dtype: DType, constant: boolean): readonly [number, number] {
  if (dtype === 'i8') return [constant ? -127 : -128, 127];
  if (dtype === 'u8') return [0, 255];
  if (dtype === 'bool') return [0, 1];
  return [-1, 1];
}

/**
 * What a result of 16 bits may be off by besides: it is rounded once, in either direction, and GPUs may take what is below the
 * normal numbers for 0.
 */
const HALF: Accuracy = { abs: 2 ** -14, rel: 2 ** -10 };
const LARGEST_HALF = 65504;

/** What is wrong with `got`, or undefined. Integers must be equal, floats within the operator's accuracy and the precision's. */
export function mismatch(
  built: BuiltCase,
  { accuracy }: Offline,
  got: Readonly<Record<string, TensorData>>,
  precision: Precision = 'f32',
): string | undefined {
  const near = precision === 'f16' ? isNearHalf : isNear;
  for (const [i, type] of built.outputs.entries()) {
    const y = got[`y${i}`]!;
    const want = built.want[i]!;
    if (y.dtype !== type.dtype || y.shape.join() !== type.shape.join())
      return `output ${i} is ${y.dtype}[${y.shape}], expected ${type.dtype}[${type.shape}]`;
    if (y.data.length !== want.length) return `output ${i} has ${y.data.length} elements, expected ${want.length}`;
    let wrong = 0;
    let first = '';
    for (let k = 0; k < want.length; k++) {
      if (close(y.data[k]!, want[k]!, type.dtype, near, accuracy)) continue;
      if (wrong++ === 0) first = `[${k}] is ${y.data[k]}, expected ${want[k]}`;
    }
    if (wrong) return `output ${i}: ${wrong} of ${want.length} elements are wrong, the first at ${first}`;
  }
  return undefined;
}

type Near = (got: number, want: number, accuracy: Accuracy) => boolean;

function close(got: number, want: number, dtype: DType, near: Near, accuracy: Accuracy): boolean {
  if (Object.is(got, want) || got === want) return true;
  if (dtype !== 'f32') return false;
  if (Number.isNaN(want)) return Number.isNaN(got);
  return near(got, want, accuracy);
}

function isNear(got: number, want: number, { abs, rel }: Accuracy): boolean {
  if (!Number.isFinite(want)) return got === Math.fround(want);
  return Math.abs(got - want) <= abs + rel * Math.abs(want);
}

/** What is too large for a half becomes infinite or the largest, as GPUs have it. */
function isNearHalf(got: number, want: number, { abs, rel }: Accuracy): boolean {
  const most = LARGEST_HALF * (1 - HALF.rel);
  if (Math.abs(want) > LARGEST_HALF) return Math.sign(got) === Math.sign(want) && Math.abs(got) >= most;
  return isNear(got, want, { abs: abs + HALF.abs, rel: rel + HALF.rel });
}
