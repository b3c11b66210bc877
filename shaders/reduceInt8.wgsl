// As reduce.wgsl, of levels, in integers: 4 results to an invocation.

#flag FN = ["sum"]
// Whether `inner` is whole words, which it counts then.
#flag VEC = false
#flag INT8 = true
// Whether x, and whether y, hold sums and extremes of parts, a word each, instead of levels.
#flag FROM_PARTS = false
#flag TO_PARTS = false

struct P {
  threads: u32,
  n: u32,
  inner: u32,
  parts: u32,
  length: u32,
  // The function's value for nothing.
  empty: i32,
  // For the mean of `count` levels, as src/ops/reduce.ts has it; multiplier 0 keeps the quantisation.
  count: i32,
  zero: i32,
  multiplier: i32,
  constant: i32,
  shift: u32,
}

#include thread
#include channels

#if TO_PARTS
@group(0) @binding(2) var<storage, read_write> y: array<Value>;
#else
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
#end

fn sumOf(s: Value, v: Value) -> Value { return s + v; }
fn maxOf(s: Value, v: Value) -> Value { return max(s, v); }
fn minOf(s: Value, v: Value) -> Value { return min(s, v); }

fn elementAt(i: u32) -> Value {
  #if !FROM_PARTS
  return valueAt(i);
  #else
  #if VEC
  let k = i * 4u;
  return vec4i(vec4u(x[k], x[k + 1u], x[k + 2u], x[k + 3u]));
  #else
  return i32(x[i]);
  #end
  #end
}

fn meanOf(sum: Value) -> Value {
  let total = sum + 128 * p.count;
  let mean = total / p.count;
  let rest = total - mean * p.count;
  if (p.multiplier == 0) { return mean + (2 * rest + p.count) / (2 * p.count) - 128; }
  let fixed = 256 * mean + (256 * rest + p.count / 2) / p.count;
  return clamp(((fixed - p.zero) * p.multiplier + p.constant) >> Shift(p.shift), Value(), Value(255)) - 128;
}

fn valueOf(i: u32) -> Value {
  let part = i / p.inner;
  let first = part % p.parts * p.length;
  let start = (part / p.parts * p.n + first) * p.inner + i % p.inner;
  let end = start + min(p.length, p.n - first) * p.inner;
  var s = Value(p.empty);
  for (var at = start; at < end; at += p.inner) { s = ${FN}Of(s, elementAt(at)); }
  #if !TO_PARTS
  #if FN == sum
  s = meanOf(s);
  #end
  #end
  return s;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = thread(id);
  if (i >= p.threads) { return; }
  #if TO_PARTS
  y[i] = valueOf(i);
  #else
  y[i] = resultOf(i);
  #end
}
