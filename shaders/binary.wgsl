// y = fn(a, b) with broadcasting, 4 elements to an invocation. The place of an element along each of up to 5 dimensions, the
// innermost first, times strides is where its operands are.

// What the operands and the result are arrays of; u32 are words of 4 bytes, levels where INT8, else bools.
#flag IN = ["f32"]
#flag OUT = ["f32"]
#flag FN = ["add"]
#flag ACT = []
#flag INT8 = false
// Whether 4 elements of the result are always computed of 4 that lie together in each operand. n, sizes and strides count fours then.
#flag VEC = false
// Most dimensions besides the outermost.
#flag INNER = 4
#flag F16 = false

struct P {
  threads: u32,
  n: u32,
  // How many dimensions there are besides the outermost.
  inner: u32,
  #for d INNER
  size$d: u32,
  a$d: u32,
  b$d: u32,
  #end
  aOuter: u32,
  bOuter: u32,
  #if INT8
  aZero: i32,
  bZero: i32,
  aMultiplier: i32,
  bMultiplier: i32,
  constant: i32,
  shift: u32,
  low: i32,
  high: i32,
  #end
  #for i ACT
  act$i: f32,
  act${i}b: f32,
  #end
}

#include thread
#include real
#include bytes
#if IN == f32
#include steps
#end

#if IN == u32
alias Four = u32;
#else
alias Four = vec4<$IN>;
#end
#if IN == f32
alias Scalar = real;
#else
alias Scalar = $IN;
#end
#if VEC
alias Index = u32;
#if IN == u32
alias Element = u32;
#else
alias Element = vec4<Scalar>;
#end
#else
alias Index = vec4u;
alias Element = Scalar;
#end

@group(0) @binding(1) var<storage, read> a: array<Element>;
@group(0) @binding(2) var<storage, read> b: array<Element>;
#if OUT == u32
@group(0) @binding(3) var<storage, read_write> y: array<u32>;
#else
@group(0) @binding(3) var<storage, read_write> y: array<Element>;
#end

#if VEC
fn fourOfA(i: u32) -> Four { return Four(a[i]); }
fn fourOfB(i: u32) -> Four { return Four(b[i]); }
#else
#if IN == u32
fn bytesOf(words: vec4u, i: vec4u) -> u32 { return packed(vec4i(words >> (i % 4u * 8u))); }
fn fourOfA(i: vec4u) -> u32 { return bytesOf(vec4u(a[i.x / 4u], a[i.y / 4u], a[i.z / 4u], a[i.w / 4u]), i); }
fn fourOfB(i: vec4u) -> u32 { return bytesOf(vec4u(b[i.x / 4u], b[i.y / 4u], b[i.z / 4u], b[i.w / 4u]), i); }
#else
fn fourOfA(i: vec4u) -> Four { return Four(vec4<Scalar>(a[i.x], a[i.y], a[i.z], a[i.w])); }
fn fourOfB(i: vec4u) -> Four { return Four(vec4<Scalar>(b[i.x], b[i.y], b[i.z], b[i.w])); }
#end
#end

#if INT8
fn requantized(v: vec4i) -> u32 { return packed(clamp((v + p.constant) >> vec4u(p.shift), vec4i(p.low), vec4i(p.high))); }
fn addOf(a: u32, b: u32) -> u32 { return requantized(unpacked(a) * p.aMultiplier + unpacked(b) * p.bMultiplier); }
fn mulOf(a: u32, b: u32) -> u32 { return requantized((unpacked(a) - p.aZero) * (unpacked(b) - p.bZero) * p.aMultiplier); }
#else
#if IN == u32
fn andOf(a: u32, b: u32) -> u32 { return a & b; }
fn orOf(a: u32, b: u32) -> u32 { return a | b; }
fn xorOf(a: u32, b: u32) -> u32 { return a ^ b; }
#else
fn addOf(a: Four, b: Four) -> Four { return a + b; }
fn subOf(a: Four, b: Four) -> Four { return a - b; }
fn mulOf(a: Four, b: Four) -> Four { return a * b; }
fn maxOf(a: Four, b: Four) -> Four { return max(a, b); }
fn minOf(a: Four, b: Four) -> Four { return min(a, b); }
#if IN == f32
fn divOf(a: Four, b: Four) -> Four { return a / b; }
fn modOf(a: Four, b: Four) -> Four { return a % b; }
fn powOf(a: Four, b: Four) -> Four { return power4(a, b); }
fn preluOf(a: Four, b: Four) -> Four { return select(a, a * b, a < Four()); }
#else
fn divOf(a: Four, b: Four) -> Four { return select(a / b, Four(), b == Four()); }
// With the sign of b.
fn modOf(a: Four, b: Four) -> Four {
  let r = a % b;
  return select(r, r + b, (r != Four()) & ((r ^ b) < Four()));
}
#end
fn bools(v: vec4<bool>) -> u32 { return packed(select(vec4i(), vec4i(1), v)); }
fn equalOf(a: Four, b: Four) -> u32 { return bools(a == b); }
fn greaterOf(a: Four, b: Four) -> u32 { return bools(a > b); }
fn lessOf(a: Four, b: Four) -> u32 { return bools(a < b); }
fn greaterOrEqualOf(a: Four, b: Four) -> u32 { return bools(a >= b); }
fn lessOrEqualOf(a: Four, b: Four) -> u32 { return bools(a <= b); }
#end
#end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = thread(id);
  if (i >= p.threads) { return; }
  #if VEC
  var at = i;
  #else
  let first = i * 4u;
  var at = vec4u(first, first + 1u, first + 2u, first + 3u);
  #end
  var inA = Index();
  var inB = Index();
  #for d INNER
  if (p.inner > ${d}u) {
    let outer = at / p.size$d;
    let place = at - outer * p.size$d;
    inA += place * p.a$d;
    inB += place * p.b$d;
    at = outer;
  }
  #end
  var v = ${FN}Of(fourOfA(inA + at * p.aOuter), fourOfB(inB + at * p.bOuter));
  #for i,f ACT
  v = $f(v, p.act$i, p.act${i}b);
  #end
  #if OUT == u32
  y[i] = v;
  #else
  #if VEC
  y[i] = Element(v);
  #else
  y[first] = Scalar(v.x);
  if (first + 1u < p.n) { y[first + 1u] = Scalar(v.y); }
  if (first + 2u < p.n) { y[first + 2u] = Scalar(v.z); }
  if (first + 3u < p.n) { y[first + 3u] = Scalar(v.w); }
  #end
  #end
}
