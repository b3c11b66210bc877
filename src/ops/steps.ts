/**
 * Unary functions and activation programs. A program is a list of steps, each a function of x with up to two constants;
 * it is what a fused activation is, and all that the `unary` operator does. A new function is a row in each of the two
 * tables below and a case in assembly/steps.ts: `STEPS` is what a browser needs, `STEP_FUNCTIONS` what the packer and
 * the tests know besides.
 */
import { nearest, WaferError } from '../core/errors';
import { type Float, f32, type Step } from './define';

/** Codes of the functions, shared with assembly/steps.ts. Files hold the names, so neither ever changes. Append only. */
export const STEPS = {
  relu: 0,
  clip: 1,
  leakyRelu: 2,
  sigmoid: 3,
  hardSigmoid: 4,
  hardSwish: 5,
  silu: 6,
  tanh: 7,
  exp: 8,
  log: 9,
  sqrt: 10,
  abs: 11,
  neg: 12,
  reciprocal: 13,
  erf: 14,
  gelu: 15,
  geluTanh: 16,
  softplus: 17,
  softsign: 18,
  elu: 19,
  mish: 20,
  floor: 21,
  ceil: 22,
  round: 23,
  sign: 24,
  square: 25,
  power: 26,
  affine: 27,
  sin: 28,
  cos: 29,
} as const satisfies Record<string, number>;

export type StepName = keyof typeof STEPS;

export const step = (fn: StepName, a = 0, b = 0): Step => ({ fn, a, b });

/** Throws ARGUMENT for a function that is not in the table. */
export function stepCode(fn: string): number {
  const code = Object.hasOwn(STEPS, fn) ? STEPS[fn as StepName] : undefined;
  if (code !== undefined) return code;
  const near = nearest(fn, Object.keys(STEPS));
  throw new WaferError('ARGUMENT', `no unary function "${fn}"`, near ? { hint: `did you mean "${near}"?` } : {});
}

/**
 * The program as kernels read it: [count, then per step: code, bits of a, bits of b, 0]. A hard swish takes over the affine step after
 * it as its a and b. Throws ARGUMENT.
 */
export function encodeSteps(steps: readonly Step[]): Int32Array {
  const kept = steps.filter(({ fn }, i) => fn !== 'affine' || steps[i - 1]?.fn !== 'hardSwish');
  const words = new Int32Array(1 + 4 * kept.length);
  const floats = new Float32Array(words.buffer);
  words[0] = kept.length;
  kept.forEach((given, i) => {
    const { fn } = given;
    const next = steps[steps.indexOf(given) + 1];
    const { a, b } = fn !== 'hardSwish' ? given : next?.fn === 'affine' ? next : { a: 1, b: 0 };
    words[1 + 4 * i] = stepCode(fn);
    floats[2 + 4 * i] = a;
    floats[3 + 4 * i] = b;
  });
  return words;
}

/** What functions are called in shaders/lib/steps.wgsl where WGSL has a function of the name itself. */
const BUILT_IN: ReadonlySet<string> = new Set([
  'tanh',
  'exp',
  'log',
  'sqrt',
  'abs',
  'floor',
  'ceil',
  'round',
  'sign',
  'sin',
  'cos',
]);

/** The program as shaders take it: the functions' names, for the flag ACT, and the constants of each, as uniforms. Throws ARGUMENT. */
export function shaderSteps(steps: readonly Step[]): { ACT: string[]; constants: Float[] } {
  for (const { fn } of steps) stepCode(fn);
  return {
    ACT: steps.map(({ fn }) => (BUILT_IN.has(fn) ? `${fn}Of` : fn)),
    constants: steps.flatMap(({ a, b }) => [f32(a), f32(b)]),
  };
}

interface StepFunction {
  /** The function in doubles. */
  f(x: number, a: number, b: number): number;
  /** The ONNX operator of the same meaning, and its attributes that become a and b, with their defaults. */
  onnx?: { type: string; attributes?: Readonly<Record<string, number>> };
}

export const STEP_FUNCTIONS: Readonly<Record<StepName, StepFunction>> = {
  relu: { f: (x) => Math.max(x, 0), onnx: { type: 'Relu' } },
  /** Between a and b. */
  clip: { f: (x, a, b) => Math.min(Math.max(x, a), b) },
  leakyRelu: { f: (x, a) => (x < 0 ? a * x : x), onnx: { type: 'LeakyRelu', attributes: { alpha: 0.01 } } },
  sigmoid: { f: logistic, onnx: { type: 'Sigmoid' } },
  hardSigmoid: {
    f: (x, a, b) => Math.min(Math.max(a * x + b, 0), 1),
    onnx: { type: 'HardSigmoid', attributes: { alpha: 0.2, beta: 0.5 } },
  },
  hardSwish: { f: (x) => x * Math.min(Math.max(x / 6 + 0.5, 0), 1), onnx: { type: 'HardSwish' } },
  silu: { f: (x) => x * logistic(x) },
  tanh: { f: Math.tanh, onnx: { type: 'Tanh' } },
  exp: { f: Math.exp, onnx: { type: 'Exp' } },
  log: { f: Math.log, onnx: { type: 'Log' } },
  sqrt: { f: Math.sqrt, onnx: { type: 'Sqrt' } },
  abs: { f: Math.abs, onnx: { type: 'Abs' } },
  neg: { f: (x) => -x, onnx: { type: 'Neg' } },
  reciprocal: { f: (x) => 1 / x, onnx: { type: 'Reciprocal' } },
  erf: { f: erf, onnx: { type: 'Erf' } },
  gelu: { f: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)) },
  geluTanh: { f: (x) => x * logistic(2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)) },
  softplus: { f: softplus, onnx: { type: 'Softplus' } },
  softsign: { f: (x) => x / (1 + Math.abs(x)), onnx: { type: 'Softsign' } },
  elu: { f: (x, a) => (x > 0 ? x : a * Math.expm1(x)), onnx: { type: 'Elu', attributes: { alpha: 1 } } },
  mish: { f: (x) => x * Math.tanh(softplus(x)), onnx: { type: 'Mish' } },
  floor: { f: Math.floor, onnx: { type: 'Floor' } },
  ceil: { f: Math.ceil, onnx: { type: 'Ceil' } },
  round: { f: roundHalfEven, onnx: { type: 'Round' } },
  sign: { f: (x) => (x > 0 ? 1 : x < 0 ? -1 : 0), onnx: { type: 'Sign' } },
  square: { f: (x) => x * x },
  /** x to the power a. */
  power: { f: (x, a) => x ** a },
  /** a * x + b. */
  affine: { f: (x, a, b) => a * x + b },
  sin: { f: Math.sin, onnx: { type: 'Sin' } },
  cos: { f: Math.cos, onnx: { type: 'Cos' } },
};

/** The program's value at x, in doubles. The program is one that `encodeSteps` takes. */
export function evaluateSteps(steps: readonly Step[], x: number): number {
  return steps.reduce((y, { fn, a, b }) => STEP_FUNCTIONS[fn as StepName].f(y, a, b), x);
}

/** To the nearest integer, ties to even. */
export function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  if (x - below !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}

function logistic(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

/** The error function, by the series of positive terms 2/sqrt(pi) * exp(-x^2) * sum 2^n x^(2n+1) / (1*3*..*(2n+1)). */
function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}
