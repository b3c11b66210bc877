/**
 * The f32x4 vocabulary: transcendental functions as polynomials of mul, add and div only, so that the base and the
 * relaxed binary give the same bits on every engine. Errors are in units in the last place against the exact function,
 * measured over the whole f32 range unless a range is named. All functions propagate NaN and take infinities.
 *
 * `pmin(x, c)` and `pmax(x, c)` are used with the variable first: they return x when it is NaN, in one instruction.
 */

// @ts-ignore: decorator
@inline
export function splat(x: f32): v128 {
  return f32x4.splat(x);
}

/** a * b + c, rounded twice. */
// @ts-ignore: decorator
@inline
export function mulAdd(a: v128, b: v128, c: v128): v128 {
  return f32x4.add(f32x4.mul(a, b), c);
}

// @ts-ignore: decorator
@inline
export function clamp(x: v128, low: f32, high: f32): v128 {
  return f32x4.pmin(f32x4.pmax(x, splat(low)), splat(high));
}

/** `then` where the mask is set, else `otherwise`. */
// @ts-ignore: decorator
@inline
export function select(mask: v128, then: v128, otherwise: v128): v128 {
  return v128.bitselect(then, otherwise, mask);
}

/** Writes the first n (1..3) lanes. */
export function storeLanes(y: usize, value: v128, n: i32): void {
  if (n & 2) {
    v128.store64_lane(y, value, 0);
    if (n & 1) v128.store32_lane(y, value, 2, 8);
  } else v128.store32_lane(y, value, 0);
}

/** A mask of the first n lanes (1..4 or more). */
// @ts-ignore: decorator
@inline
export function firstLanes(n: i32): v128 {
  return i32x4.gt_s(i32x4.splat(n), i32x4(0, 1, 2, 3));
}

/** What `exp` needs; engines make constants anew wherever they meet them in a loop, but broadcast from memory for nothing. */
const EXP = memory.data<f32>([
  -104, 89, 1.4426950408889634, 12582912, 0.693359375, -2.12194440e-4, 0.001381455920636654, 0.008368735201656818,
  0.04166838899254799, 0.1666652113199234, 0.4999999403953552, 1,
]);

/** e^x. Within 1 ulp where the result is normal; gradual underflow to 0 below -103.97, infinity above 88.72. */
// @ts-ignore: decorator
@inline
export function exp(value: v128): v128 {
  const x = f32x4.pmin(f32x4.pmax(value, v128.load32_splat(EXP)), v128.load32_splat(EXP, 4));
  // Added to 1.5 * 2^23, what follows the point is rounded away, and the last bits hold the integer.
  const magic = v128.load32_splat(EXP, 12);
  const shifted = f32x4.add(f32x4.mul(x, v128.load32_splat(EXP, 8)), magic);
  const n = f32x4.sub(shifted, magic), i = i32x4.sub(shifted, magic);
  // ln 2 in two parts, the first exact in products with n.
  const r = f32x4.sub(
    f32x4.sub(x, f32x4.mul(n, v128.load32_splat(EXP, 16))), f32x4.mul(n, v128.load32_splat(EXP, 20)),
  );
  let p = mulAdd(v128.load32_splat(EXP, 24), r, v128.load32_splat(EXP, 28));
  p = mulAdd(p, r, v128.load32_splat(EXP, 32));
  p = mulAdd(p, r, v128.load32_splat(EXP, 36));
  p = mulAdd(p, r, v128.load32_splat(EXP, 40));
  const one = v128.load32_splat(EXP, 44);
  p = f32x4.add(mulAdd(p, f32x4.mul(r, r), r), one);
  // 2^n as two factors, so that neither leaves the range of normal numbers; the bits of 1 are those of an exponent of 0.
  const half = i32x4.shr_s(i, 1);
  const low = i32x4.add(i32x4.shl(half, 23), one);
  const high = i32x4.add(i32x4.shl(i32x4.sub(i, half), 23), one);
  return f32x4.mul(f32x4.mul(p, low), high);
}

/** ln x. Within 1 ulp, denormals included; -infinity at 0, NaN below. */
// @ts-ignore: decorator
@inline
export function log(x: v128): v128 {
  const denormal = f32x4.lt(x, splat(1.1754943508222875e-38));
  const scaled = select(denormal, f32x4.mul(x, splat(8388608)), x);
  // x = 2^e * m with m in [sqrt(1/2), sqrt(2)).
  const bits = i32x4.sub(scaled, i32x4.splat(0x3f3504f3));
  const shift = i32x4.shr_s(bits, 23);
  const m = i32x4.sub(scaled, i32x4.shl(shift, 23));
  const e = f32x4.convert_i32x4_s(i32x4.add(shift, v128.and(denormal, i32x4.splat(-23))));
  const f = f32x4.sub(m, splat(1));
  const square = f32x4.mul(f, f);
  let p = mulAdd(splat(-0.07634496688842773), f, splat(0.1276157647371292));
  p = mulAdd(p, f, splat(-0.13160182535648346));
  p = mulAdd(p, f, splat(0.14201757311820984));
  p = mulAdd(p, f, splat(-0.16623356938362122));
  p = mulAdd(p, f, splat(0.20001226663589478));
  p = mulAdd(p, f, splat(-0.2500081956386566));
  p = mulAdd(p, f, splat(0.3333333134651184));
  let y = f32x4.mul(f32x4.mul(p, f), square);
  y = mulAdd(e, splat(-2.12194440e-4), y);
  y = f32x4.sub(y, f32x4.mul(square, splat(0.5)));
  y = mulAdd(e, splat(0.693359375), f32x4.add(f, y));
  y = select(f32x4.lt(x, splat(Infinity)), y, x);
  y = select(f32x4.eq(x, splat(0)), splat(-Infinity), y);
  return v128.or(y, f32x4.lt(x, splat(0)));
}

/** ln(1 + x) for x in [0, 1], with the relative accuracy of `log` near 0. */
// @ts-ignore: decorator
@inline
export function log1p(x: v128): v128 {
  const u = f32x4.add(x, splat(1));
  const lost = f32x4.sub(x, f32x4.sub(u, splat(1)));
  return f32x4.add(log(u), f32x4.div(lost, u));
}

/** tanh x, a rational minimax approximation on [-9.02, 9.02]. Within 5 ulp. */
// @ts-ignore: decorator
@inline
export function tanh(value: v128): v128 {
  const x = clamp(value, -9.02, 9.02);
  const z = f32x4.mul(x, x);
  let p = mulAdd(splat(-1.2203366789309555e-11), z, splat(3.058487507701102e-8));
  p = mulAdd(p, z, splat(2.8007390938000754e-5));
  p = mulAdd(p, z, splat(0.003868324216455221));
  p = mulAdd(p, z, splat(0.13679912686347961));
  p = mulAdd(p, z, splat(1));
  let q = mulAdd(splat(1.2873620107711758e-6), z, splat(0.00039386251592077315));
  q = mulAdd(q, z, splat(0.02724582515656948));
  q = mulAdd(q, z, splat(0.470132440328598));
  q = mulAdd(q, z, splat(1));
  return clamp(f32x4.div(f32x4.mul(x, p), q), -1, 1);
}

/** The error function, a rational minimax approximation where it does not round to 1. Within 5 ulp. */
// @ts-ignore: decorator
@inline
export function erf(value: v128): v128 {
  const x = clamp(value, -3.95, 3.95);
  const z = f32x4.mul(x, x);
  let p = mulAdd(splat(-1.2967783402450201e-8), z, splat(4.640583483705996e-6));
  p = mulAdd(p, z, splat(0.0003779417311307043));
  p = mulAdd(p, z, splat(0.003843357553705573));
  p = mulAdd(p, z, splat(0.054274801164865494));
  p = mulAdd(p, z, splat(0.18516835570335388));
  p = mulAdd(p, z, splat(1.128379225730896));
  let q = mulAdd(splat(6.26939072390087e-5), z, splat(0.0013040663907304406));
  q = mulAdd(q, z, splat(0.0154437106102705));
  q = mulAdd(q, z, splat(0.11391082406044006));
  q = mulAdd(q, z, splat(0.4974345862865448));
  q = mulAdd(q, z, splat(1));
  const one = v128.or(v128.and(x, splat(-0.0)), splat(1));
  return select(f32x4.ge(f32x4.abs(x), splat(3.84)), one, f32x4.div(f32x4.mul(x, p), q));
}

/** 1 / (1 + e^-x). */
// @ts-ignore: decorator
@inline
export function sigmoid(x: v128): v128 {
  return f32x4.div(splat(1), f32x4.add(splat(1), exp(f32x4.neg(x))));
}

/** e^x - 1 for x <= 0, with the relative accuracy of `tanh` near 0. */
// @ts-ignore: decorator
@inline
export function expm1(x: v128): v128 {
  const t = tanh(f32x4.mul(x, splat(0.5)));
  return f32x4.div(f32x4.add(t, t), f32x4.sub(splat(1), t));
}

/** The sum of four lanes, in a fixed order. */
// @ts-ignore: decorator
@inline
export function sumLanes(x: v128): f32 {
  return f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 2) + (f32x4.extract_lane(x, 1) + f32x4.extract_lane(x, 3));
}
