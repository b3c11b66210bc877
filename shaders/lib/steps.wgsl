// The functions of src/ops/steps.ts, each of 4 values and its two constants.

#include math

fn relu(x: vec4f, a: f32, b: f32) -> vec4f { return max(x, vec4f(0.0)); }
fn clip(x: vec4f, a: f32, b: f32) -> vec4f { return min(max(x, vec4f(a)), vec4f(b)); }
fn leakyRelu(x: vec4f, a: f32, b: f32) -> vec4f { return select(x, x * a, x < vec4f(0.0)); }
fn sigmoid(x: vec4f, a: f32, b: f32) -> vec4f { return 1.0 / (1.0 + exp4(-x)); }
fn hardSigmoid(x: vec4f, a: f32, b: f32) -> vec4f { return clamp(x * a + b, vec4f(0.0), vec4f(1.0)); }
fn hardSwish(x: vec4f, a: f32, b: f32) -> vec4f { return x * clamp(x * 0.16666667 + 0.5, vec4f(0.0), vec4f(1.0)); }
fn silu(x: vec4f, a: f32, b: f32) -> vec4f { return x / (1.0 + exp4(-x)); }
fn tanhOf(x: vec4f, a: f32, b: f32) -> vec4f { return tanh4(x); }
fn expOf(x: vec4f, a: f32, b: f32) -> vec4f { return exp4(x); }
fn logOf(x: vec4f, a: f32, b: f32) -> vec4f { return log4(x); }
fn sqrtOf(x: vec4f, a: f32, b: f32) -> vec4f { return sqrt(x); }
fn absOf(x: vec4f, a: f32, b: f32) -> vec4f { return abs(x); }
fn neg(x: vec4f, a: f32, b: f32) -> vec4f { return -x; }
fn reciprocal(x: vec4f, a: f32, b: f32) -> vec4f { return 1.0 / x; }
fn erf(x: vec4f, a: f32, b: f32) -> vec4f { return erf4(x); }
fn gelu(x: vec4f, a: f32, b: f32) -> vec4f { return 0.5 * x * (1.0 + erf4(x * 0.70710678)); }
// x * sigmoid(2u), which is x/2 * (1 + tanh u) without its cancellation.
fn geluTanh(x: vec4f, a: f32, b: f32) -> vec4f { return x / (1.0 + exp4((x * x * x * 0.044715 + x) * -1.5957691)); }
fn softplus(x: vec4f, a: f32, b: f32) -> vec4f { return max(x, vec4f(0.0)) + log1p4(exp4(-abs(x))); }
fn softsign(x: vec4f, a: f32, b: f32) -> vec4f { return x / (1.0 + abs(x)); }
fn elu(x: vec4f, a: f32, b: f32) -> vec4f { return select(a * expm14(x), x, x > vec4f(0.0)); }
// x * tanh(ln(1 + e^x)) = x * t / (t + 2) with t = e^x * (e^x + 2).
fn mish(x: vec4f, a: f32, b: f32) -> vec4f {
  let e = exp4(min(x, vec4f(20.0)));
  let t = e * (e + 2.0);
  return x * (t / (t + 2.0));
}
fn floorOf(x: vec4f, a: f32, b: f32) -> vec4f { return floor(x); }
fn ceilOf(x: vec4f, a: f32, b: f32) -> vec4f { return ceil(x); }
fn roundOf(x: vec4f, a: f32, b: f32) -> vec4f { return round(x); }
fn signOf(x: vec4f, a: f32, b: f32) -> vec4f { return sign(x); }
fn square(x: vec4f, a: f32, b: f32) -> vec4f { return x * x; }
fn power(x: vec4f, a: f32, b: f32) -> vec4f { return power4(x, vec4f(a)); }
fn affine(x: vec4f, a: f32, b: f32) -> vec4f { return x * a + b; }
fn sinOf(x: vec4f, a: f32, b: f32) -> vec4f { return sine4(x, 0); }
fn cosOf(x: vec4f, a: f32, b: f32) -> vec4f { return sine4(x, 1); }
