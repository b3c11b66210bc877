/** The errors that assembly/simd.ts states, over the whole f32 range, and that specials are what they are in mathematics. */
import { expect, test } from 'vitest';
import { encodeSteps, STEP_FUNCTIONS, type StepName, step } from '../../src/ops/steps';
import { binaries } from '../../src/runtime/wasm/binaries';

const N = 1 << 16;
const memory = new WebAssembly.Memory({ initial: 64 });
const module = new WebAssembly.Module(binaries().base as BufferSource);
const kernels = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as {
  heapBase: WebAssembly.Global<'i32'>;
  f32_steps(x: number, y: number, n: number, program: number, from: number, to: number): void;
};
const x = (kernels.heapBase.value + 15) & -16;
const y = x + 4 * N + 64;
const program = y + 4 * N + 64;

/** The function on N values by the kernel. */
function apply(fn: StepName, values: Float32Array, a = 0): Float32Array {
  new Float32Array(memory.buffer, x, values.length).set(values);
  const words = encodeSteps([step(fn, a)]);
  new Int32Array(memory.buffer, program, words.length).set(words);
  kernels.f32_steps(x, y, values.length, program, 0, Math.ceil(values.length / 1024));
  return new Float32Array(memory.buffer, y, values.length).slice();
}

/** Evenly spread bit patterns: all signs, exponents and NaNs. */
const SWEEP = new Float32Array(Uint32Array.from({ length: N }, (_, i) => (i * 65537) >>> 0).buffer);

const ulp = (v: number) => 2 ** (Math.max(Math.floor(Math.log2(Math.abs(v))), -126) - 23);

/** Greatest error in ulp over the values whose exact result is a normal number that f32 holds. */
const LIMITS: [StepName, number, number?][] = [
  ['exp', 1],
  ['log', 1],
  ['tanh', 5],
  ['erf', 5],
  ['softplus', 2.5],
  ['elu', 5, 1],
  ['sigmoid', 2.5],
];

for (const [fn, limit, a = 0] of LIMITS)
  test(`${fn} is within ${limit} ulp`, () => {
    const got = apply(fn, SWEEP, a);
    let worst = 0;
    SWEEP.forEach((v, i) => {
      const want = STEP_FUNCTIONS[fn].f(v, a, 0);
      const g = got[i]!;
      if (Number.isNaN(want)) expect(g, `${fn}(${v})`).toBeNaN();
      else if (!Number.isFinite(Math.fround(want))) expect(g, `${fn}(${v})`).toBe(Math.fround(want));
      else if (Math.abs(want) > 2 ** -124) worst = Math.max(worst, Math.abs(g - want) / ulp(want));
    });
    expect(worst).toBeLessThanOrEqual(limit);
  });

test('NaN passes through', () => {
  const through: StepName[] = [
    'relu',
    'clip',
    'leakyRelu',
    'sigmoid',
    'hardSwish',
    'silu',
    'tanh',
    'exp',
    'log',
    'erf',
    'gelu',
    'mish',
  ];
  for (const fn of through) expect(apply(fn, Float32Array.of(Number.NaN))[0], fn).toBeNaN();
});
