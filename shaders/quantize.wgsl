// y = the level of x, 4 to an invocation. A product says between which two levels it lies, inexactly as products may be; which of
// them it is, the order of x and the least float of the upper level.

#flag F16 = false

struct P {
  threads: u32,
  zero: i32,
  // A range that leaves no level out, and 1 / scale.
  most: f32,
  inverse: f32,
}

#include thread
#include bits
#include order

@group(0) @binding(1) var<storage, read> x: array<Bits>;
// By level + 127, as `ordered` gives it: the least float of each level but the first.
@group(0) @binding(2) var<storage, read> least: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;

fn levelOf(bits: u32) -> i32 {
  if (isNaN(bits)) { return p.zero; }
  let steps = floor(clamp(bitcast<f32>(bits), -p.most, p.most) * p.inverse);
  let below = clamp(i32(steps) + p.zero, -128, 126);
  return select(below, below + 1, ordered(bits) >= least[below + 128]);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = thread(id);
  if (i >= p.threads) { return; }
  var word = 0u;
  for (var k = 0u; k < 4u; k++) { word |= (u32(levelOf(bitsOf(x[4u * i + k]))) & 255u) << (8u * k); }
  y[i] = word;
}
