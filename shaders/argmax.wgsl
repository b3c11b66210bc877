// First index of the largest of n elements `inner` apart. An invocation compares the `span` elements of one of the `parts` of a
// line: the elements themselves, or (`narrowed`) those that a dispatch before has found in `count` parts.

#flag BYTES = false
#flag F16 = false

struct P {
  threads: u32,
  n: u32,
  inner: u32,
  count: u32,
  parts: u32,
  span: u32,
  narrowed: u32,
}

#include thread
#include bits
#include order

@group(0) @binding(1) var<storage, read> x: array<Bits>;
@group(0) @binding(2) var<storage, read> found: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;

fn valueAt(at: u32) -> i32 {
  #if BYTES
  return i32(x[at / 4u] << (24u - 8u * (at % 4u))) >> 24u;
  #else
  let bits = bitsOf(x[at]);
  return select(ordered(bits), -0x7fffffff, isNaN(bits));
  #end
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = thread(id);
  if (i >= p.threads) { return; }
  let row = i / p.parts;
  let first = (i - row * p.parts) * p.span;
  let line = row / p.inner * p.n * p.inner + row % p.inner;
  var best = -0x7fffffff;
  var index = first;
  for (var k = first; k < min(first + p.span, p.count); k++) {
    var at = k;
    if (p.narrowed != 0u) { at = found[row * p.count + k]; }
    let value = valueAt(line + at * p.inner);
    if (value > best) {
      best = value;
      index = at;
    }
  }
  y[i] = index;
}
