/**
 * Activation programs: short lists of unary functions that are applied in place on f32 values just computed. A program
 * in memory is [count, then per step: code, a (f32), b (f32), 0], as `encodeSteps` of src/ops/steps.ts writes it; the
 * codes of the `switch` below are those of its table `STEPS`.
 */
import { clamp, erf, exp, expm1, log, log1p, mulAdd, select, sigmoid, splat, storeLanes, tanh } from './simd';

/** Elements of one row of `f32_steps`: 4 KB, so that several steps find their block in L1. */
const BLOCK: i32 = 1024;

/** Applies the program from step `first` on to n floats at y, in place. Writes nothing past them. */
export function applySteps(program: usize, first: i32, y: usize, n: i32): void {
  runSteps(program, first, y, y, n);
}

const HARD_SWISH: i32 = 5;

/** The hard swish that a program begins with, which kernels may apply to what they have in registers by `swish`; 0 without one. */
export function swishOf(program: usize): usize {
  return program != 0 && load<i32>(program) != 0 && load<i32>(program, 4) == HARD_SWISH ? program + 4 : 0;
}

/** That step of 4 values. */
@inline
export function swish(x: v128, step: usize): v128 {
  return mulAdd(hardSwish(x), v128.load32_splat(step, 4), v128.load32_splat(step, 8));
}

@inline
function hardSwish(x: v128): v128 {
  return f32x4.mul(x, clamp(mulAdd(x, splat(0.16666667), splat(0.5)), 0, 1));
}

/** y = program(x) for n elements in all; x may be y. Rows are blocks of 1024 elements. */
export function f32_steps(x: usize, y: usize, n: i32, program: usize, from: i32, to: i32): void {
  for (let row = from; row < to; row++) {
    const at = row * BLOCK;
    runSteps(program, 0, x + (<usize>at << 2), y + (<usize>at << 2), min(BLOCK, n - at));
  }
}

function runSteps(program: usize, first: i32, x: usize, y: usize, n: i32): void {
  const count = load<i32>(program);
  if (count == 0 && x != y) memory.copy(y, x, <usize>n << 2);
  let step = program + 4 + (<usize>first << 4);
  for (let i = first; i < count; i++, step += 16) {
    runStep(load<i32>(step), i == first ? x : y, y, n, v128.load32_splat(step, 4), v128.load32_splat(step, 8));
  }
}

function runStep(code: i32, x: usize, y: usize, n: i32, a: v128, b: v128): void {
  switch (code) {
    case 0: return map<Relu>(x, y, n, a, b);
    case 1: return map<Clip>(x, y, n, a, b);
    case 2: return map<LeakyRelu>(x, y, n, a, b);
    case 3: return map<Sigmoid>(x, y, n, a, b);
    case 4: return map<HardSigmoid>(x, y, n, a, b);
    case 5: return map<HardSwish>(x, y, n, a, b);
    case 6: return map<Silu>(x, y, n, a, b);
    case 7: return map<Tanh>(x, y, n, a, b);
    case 8: return map<Exp>(x, y, n, a, b);
    case 9: return map<Log>(x, y, n, a, b);
    case 10: return map<Sqrt>(x, y, n, a, b);
    case 11: return map<Abs>(x, y, n, a, b);
    case 12: return map<Neg>(x, y, n, a, b);
    case 13: return map<Reciprocal>(x, y, n, a, b);
    case 14: return map<Erf>(x, y, n, a, b);
    case 15: return map<Gelu>(x, y, n, a, b);
    case 16: return map<GeluTanh>(x, y, n, a, b);
    case 17: return map<Softplus>(x, y, n, a, b);
    case 18: return map<Softsign>(x, y, n, a, b);
    case 19: return map<Elu>(x, y, n, a, b);
    case 20: return map<Mish>(x, y, n, a, b);
    case 21: return map<Floor>(x, y, n, a, b);
    case 22: return map<Ceil>(x, y, n, a, b);
    case 23: return map<Round>(x, y, n, a, b);
    case 24: return map<Sign>(x, y, n, a, b);
    case 25: return map<Square>(x, y, n, a, b);
    case 26: return map<Power>(x, y, n, a, b);
    case 27: return map<Affine>(x, y, n, a, b);
    case 28: return map<Sin>(x, y, n, a, b);
    case 29: return map<Cos>(x, y, n, a, b);
    default: unreachable();
  }
}

/** y[i] = F(x[i]; a, b). `F` is never instantiated: its method is inlined. */
// @ts-ignore: decorator
@inline
function map<F>(x: usize, y: usize, n: i32, a: v128, b: v128): void {
  const f = changetype<F>(0);
  for (; n > 0; n -= 4, x += 16, y += 16) {
    const value = f.of(v128.load(x), a, b);
    if (n >= 4) v128.store(y, value);
    else storeLanes(y, value, n);
  }
}

class Relu {
  @inline of(x: v128, a: v128, b: v128): v128 { return f32x4.pmax(x, splat(0)); }
}
class Clip {
  @inline of(x: v128, a: v128, b: v128): v128 { return f32x4.pmin(f32x4.pmax(x, a), b); }
}
class LeakyRelu {
  @inline of(x: v128, a: v128, b: v128): v128 { return select(f32x4.lt(x, splat(0)), f32x4.mul(x, a), x); }
}
class Sigmoid {
  @inline of(x: v128, a: v128, b: v128): v128 { return sigmoid(x); }
}
class HardSigmoid {
  @inline of(x: v128, a: v128, b: v128): v128 { return clamp(mulAdd(x, a, b), 0, 1); }
}
class HardSwish {
  @inline of(x: v128, a: v128, b: v128): v128 { return mulAdd(hardSwish(x), a, b); }
}
class Silu {
  @inline of(x: v128, a: v128, b: v128): v128 { return f32x4.div(x, f32x4.add(splat(1), exp(f32x4.neg(x)))); }
}
class Tanh {
  @inline of(x: v128, a: v128, b: v128): v128 { return tanh(x); }
}
class Exp {
  @inline of(x: v128, a: v128, b: v128): v128 { return exp(x); }
}
class Log {
  @inline of(x: v128, a: v128, b: v128): v128 { return log(x); }
}
class Sqrt {
  @inline of(x: v128, a: v128, b: v128): v128 { return f32x4.sqrt(x); }
}
class Abs {
  @inline of(x: v128, a: v128, b: v128): v128 { return f32x4.abs(x); }
}
class Neg {
  @inline of(x: v128, a: v128, b: v128): v128 { return f32x4.neg(x); }
}
class Reciprocal {
  @inline of(x: v128, a: v128, b: v128): v128 { return f32x4.div(splat(1), x); }
}
class Erf {
  @inline of(x: v128, a: v128, b: v128): v128 { return erf(x); }
}
class Gelu {
  @inline of(x: v128, a: v128, b: v128): v128 {
    const half = f32x4.mul(x, splat(0.5));
    return mulAdd(half, erf(f32x4.mul(x, splat(0.70710678))), half);
  }
}
/** x * sigmoid(2u), which is x/2 * (1 + tanh u) without its cancellation. */
class GeluTanh {
  @inline of(x: v128, a: v128, b: v128): v128 {
    const cube = f32x4.mul(f32x4.mul(x, x), x);
    const u = f32x4.mul(mulAdd(cube, splat(0.044715), x), splat(-1.5957691));
    return f32x4.div(x, f32x4.add(splat(1), exp(u)));
  }
}
class Softplus {
  @inline of(x: v128, a: v128, b: v128): v128 {
    return f32x4.add(f32x4.pmax(x, splat(0)), log1p(exp(f32x4.neg(f32x4.abs(x)))));
  }
}
class Softsign {
  @inline of(x: v128, a: v128, b: v128): v128 { return f32x4.div(x, f32x4.add(splat(1), f32x4.abs(x))); }
}
class Elu {
  @inline of(x: v128, a: v128, b: v128): v128 {
    return select(f32x4.gt(x, splat(0)), x, f32x4.mul(a, expm1(x)));
  }
}
/** x * tanh(ln(1 + e^x)) = x * t / (t + 2) with t = e^x * (e^x + 2). */
class Mish {
  @inline of(x: v128, a: v128, b: v128): v128 {
    const e = exp(f32x4.pmin(x, splat(20)));
    const t = f32x4.mul(e, f32x4.add(e, splat(2)));
    return f32x4.mul(x, f32x4.div(t, f32x4.add(t, splat(2))));
  }
}
class Floor {
  @inline of(x: v128, a: v128, b: v128): v128 { return f32x4.floor(x); }
}
class Ceil {
  @inline of(x: v128, a: v128, b: v128): v128 { return f32x4.ceil(x); }
}
class Round {
  @inline of(x: v128, a: v128, b: v128): v128 { return f32x4.nearest(x); }
}
class Sign {
  @inline of(x: v128, a: v128, b: v128): v128 {
    const positive = v128.and(f32x4.gt(x, splat(0)), splat(1));
    return v128.or(positive, v128.and(f32x4.lt(x, splat(0)), splat(-1)));
  }
}
class Square {
  @inline of(x: v128, a: v128, b: v128): v128 { return f32x4.mul(x, x); }
}
class Power {
  @inline of(x: v128, a: v128, b: v128): v128 { return power(x, a); }
}
class Affine {
  @inline of(x: v128, a: v128, b: v128): v128 { return mulAdd(x, a, b); }
}
class Sin {
  @inline of(x: v128, a: v128, b: v128): v128 { return sine(x, 0); }
}
class Cos {
  @inline of(x: v128, a: v128, b: v128): v128 { return sine(x, 1); }
}

/** x^a, lane by lane, by the standard library's powf. */
export function power(x: v128, a: v128): v128 {
  let y = f32x4.splat(Mathf.pow(f32x4.extract_lane(x, 0), f32x4.extract_lane(a, 0)));
  y = f32x4.replace_lane(y, 1, Mathf.pow(f32x4.extract_lane(x, 1), f32x4.extract_lane(a, 1)));
  y = f32x4.replace_lane(y, 2, Mathf.pow(f32x4.extract_lane(x, 2), f32x4.extract_lane(a, 2)));
  return f32x4.replace_lane(y, 3, Mathf.pow(f32x4.extract_lane(x, 3), f32x4.extract_lane(a, 3)));
}

/** sin x, or cos x when `cosine` is set, by the standard library: within 1 ulp up to |x| = 1e12, wrong beyond 1e26. */
function sine(x: v128, cosine: i32): v128 {
  let y = f32x4.splat(sineOf(f32x4.extract_lane(x, 0), cosine));
  y = f32x4.replace_lane(y, 1, sineOf(f32x4.extract_lane(x, 1), cosine));
  y = f32x4.replace_lane(y, 2, sineOf(f32x4.extract_lane(x, 2), cosine));
  return f32x4.replace_lane(y, 3, sineOf(f32x4.extract_lane(x, 3), cosine));
}

function sineOf(x: f32, cosine: i32): f32 {
  return cosine ? Mathf.cos(x) : Mathf.sin(x);
}
