/** The cases of the elementwise and row-wise operators, run kernel by kernel on the base binary, with guarded memory. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { DTYPES, type DType } from '../../src/core/dtype';
import { elements, type StaticType } from '../../src/core/shape';
import { type Argument, type CaseInput, fillAttrs, type Operand, type RefTensor } from '../../src/ops/define';
import { OFFLINE, OPS } from '../../src/ops/index';

const CODES = [5, 6, 7, 8, 9, 10, 11, 12, 13, 14].filter((code) => OPS[code]);
const module = new WebAssembly.Module(readFileSync('build/wafer-base.wasm'));

/** mulberry32 */
function random(seed: number): () => number {
  let s = seed;
  return () => {
    s = (s + 0x6d2b79f5) | 0;
    let t = Math.imul(s ^ (s >>> 15), 1 | s);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function makeInput(input: readonly number[] | CaseInput, next: () => number): RefTensor {
  const spec: CaseInput = 'shape' in input ? input : { shape: input };
  const dtype: DType = spec.dtype ?? 'f32';
  const [low, high] = spec.range ?? { f32: [-1, 1], i32: [-100, 100], i8: [-128, 127], u8: [0, 255], bool: [0, 1] }[dtype];
  const n = elements(spec.shape);
  const data = Float64Array.from({ length: n }, (_, i) => {
    if (spec.data) return spec.data[i]!;
    return dtype === 'f32' ? Math.fround(low! + next() * (high! - low!)) : Math.floor(low! + next() * (high! - low! + 1));
  });
  return { type: { dtype, shape: spec.shape, quant: spec.quant }, data };
}

class Memory {
  readonly memory = new WebAssembly.Memory({ initial: 400 });
  readonly kernels: Record<string, (...args: number[]) => void>;
  private top: number;
  readonly guards: number[] = [];
  constructor() {
    const instance = new WebAssembly.Instance(module, { env: { memory: this.memory } });
    this.kernels = instance.exports as never;
    this.top = (instance.exports.heapBase as WebAssembly.Global).value;
  }
  take(bytes: number): number {
    const at = Math.ceil(this.top / 16) * 16;
    this.top = at + bytes + 64;
    new Uint8Array(this.memory.buffer, at + bytes, 64).fill(0xcd);
    this.guards.push(at + bytes);
    return at;
  }
  intact(): boolean {
    return this.guards.every((g) => new Uint8Array(this.memory.buffer, g, 64).every((b) => b === 0xcd));
  }
  write(at: number, { type, data }: RefTensor): void {
    const array = new DTYPES[type.dtype].array(this.memory.buffer, at, data.length);
    array.set(data);
    if (type.quant) new Uint8Array(this.memory.buffer, at, data.length).forEach((b, i, all) => (all[i] = b ^ 128));
  }
  read(at: number, type: StaticType): Float64Array {
    const n = elements(type.shape);
    if (type.quant) return Float64Array.from(new Uint8Array(this.memory.buffer, at, n), (b) => b - 128);
    return Float64Array.from(new DTYPES[type.dtype].array(this.memory.buffer, at, n));
  }
}

for (const code of CODES) {
  const op = OPS[code]!;
  const offline = OFFLINE[code]!;
  describe(op.name, () => {
    offline.cases.forEach((spec, i) => {
      for (const inplace of [undefined, ...(op.inplace ?? [])])
        test(`${i} ${spec.name ?? ''}${inplace === undefined ? '' : ` in place of ${inplace}`}`, () => {
          const next = random(i + 1);
          const inputs = spec.inputs.map((input) => (input ? makeInput(input, next) : undefined));
          const attrs = fillAttrs(op.attrs, (spec.attrs ?? {}) as never);
          const types = op.infer(inputs.map((x) => x?.type) as StaticType[], attrs) as StaticType[];
          const want = offline.reference(inputs, attrs, types);
          const m = new Memory();
          const address = new Map<Argument, number>();
          const place = (x: RefTensor | undefined): Operand | undefined => {
            if (!x) return undefined;
            const at = m.take(x.data.length * DTYPES[x.type.dtype].bytes);
            m.write(at, x);
            const operand: Operand = { type: x.type };
            address.set(operand, at);
            return operand;
          };
          const operands = inputs.map(place);
          if (inplace !== undefined) {
            const [x, y] = [operands[inplace], types[0]!];
            if (!x || elements(x.type.shape) !== elements(y.shape) || DTYPES[x.type.dtype].bytes !== DTYPES[y.dtype].bytes)
              return;
          }
          const outputs = types.map((type) => {
            const at =
              inplace === undefined ? m.take(elements(type.shape) * DTYPES[type.dtype].bytes) : address.get(operands[inplace]!)!;
            const operand: Operand = { type };
            address.set(operand, at);
            return operand;
          });
          const block = (bytes: number) => {
            const b = { bytes };
            address.set(b, m.take(bytes));
            return b;
          };
          const dispatches = op.wasm({
            inputs: operands,
            outputs,
            attrs,
            dot: 'i16',
            scratch: block,
            constant: (_key, make) => {
              const data = make();
              const b = block(data.byteLength);
              new Uint8Array(m.memory.buffer, address.get(b)!, data.byteLength).set(
                new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
              );
              return b;
            },
            packed: () => {
              throw new Error('not used');
            },
          });
          for (const { kernel, args, rows } of dispatches) {
            const values = args.map((a) => (typeof a === 'number' ? a : address.get(a)!));
            const middle = Math.floor(rows / 2);
            m.kernels[kernel]!(...values, 0, middle);
            m.kernels[kernel]!(...values, middle, rows);
          }
          expect(m.intact(), 'guard bytes').toBe(true);
          types.forEach((type, k) => {
            const got = m.read(address.get(outputs[k]!)!, type);
            const { abs, rel } = type.dtype === 'f32' ? offline.accuracy : { abs: 0, rel: 0 };
            want[k]!.forEach((w, j) => {
              const g = got[j]!;
              const near = Object.is(g, w) || g === Math.fround(w) || Math.abs(g - w) <= abs + rel * Math.abs(w);
              if (!near) expect(g, `element ${j}`).toBe(w);
            });
            expect(got.length).toBe(want[k]!.length);
          });
        });
    });
  });
}
