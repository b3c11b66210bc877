// y [outer, parts, inner]: a function of x [outer, n, inner], of up to `length` elements of n each; one result to an invocation.

#flag FN = ["sum"]
// Whether x, and whether y, are of parts.
#flag FROM_PARTS = false
#flag TO_PARTS = false
#flag F16 = false

struct P {
  threads: u32,
  n: u32,
  inner: u32,
  parts: u32,
  length: u32,
  // The function's value for nothing.
  empty: f32,
  scale: f32,
  // Of the result: 1 the square root, 2 the logarithm.
  finish: u32,
}

#include thread
#include math

// What parts give is f32 in any case.
#if F16
enable f16;
#if FROM_PARTS
alias Given = f32;
#else
alias Given = f16;
#end
#if TO_PARTS
alias Result = f32;
#else
alias Result = f16;
#end
#else
alias Given = f32;
alias Result = f32;
#end

@group(0) @binding(1) var<storage, read> x: array<Given>;
@group(0) @binding(2) var<storage, read_write> y: array<Result>;

fn sumOf(s: f32, x: f32) -> f32 { return s + x; }
fn maxOf(s: f32, x: f32) -> f32 { return max(s, x); }
fn minOf(s: f32, x: f32) -> f32 { return min(s, x); }
fn prodOf(s: f32, x: f32) -> f32 { return s * x; }
fn sumAbsOf(s: f32, x: f32) -> f32 { return s + abs(x); }
fn sumSquareOf(s: f32, x: f32) -> f32 { return s + x * x; }

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = thread(id);
  if (i >= p.threads) { return; }
  let part = i / p.inner;
  let first = part % p.parts * p.length;
  let start = (part / p.parts * p.n + first) * p.inner + i % p.inner;
  let end = start + min(p.length, p.n - first) * p.inner;
  var s = p.empty;
  #if FN == logSumExp
  for (var at = start; at < end; at += p.inner) { s = max(s, f32(x[at])); }
  var sum = 0.0;
  for (var at = start; at < end; at += p.inner) { sum += exp4(vec4f(f32(x[at]) - s)).x; }
  // Where all are -infinity the differences are not numbers.
  s = select(log4(vec4f(sum)).x + s, s, s == p.empty);
  #else
  for (var at = start; at < end; at += p.inner) { s = ${FN}Of(s, f32(x[at])); }
  #end
  s *= p.scale;
  if (p.finish == 1u) { s = sqrt(s); }
  if (p.finish == 2u) { s = log4(vec4f(s)).x; }
  y[i] = Result(s);
}
