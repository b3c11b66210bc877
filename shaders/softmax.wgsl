// Softmax of rows, or its logarithm. Of each part the largest element, and the sum of e^(x - largest).

#flag PARTS = false
#flag F16 = false

struct P {
  threads: u32,
  n: u32,
  parts: u32,
  length: u32,
  log: u32,
}

#include thread
#include math
#include rows

const LEAST = -0x1.fffffep+127f;

#if !PARTS
@group(0) @binding(3) var<storage, read_write> y: array<real>;
#end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = thread(id);
  if (i >= p.threads) { return; }
  let part = partAt(i);
  #if PARTS
  var tops = vec4f(LEAST);
  for (var k = part.start; k < part.end; k += 4u) { tops = max(tops, fourAt(k, part.end, LEAST)); }
  let top = max(max(tops.x, tops.y), max(tops.z, tops.w));
  var sums = vec4f();
  for (var k = part.start; k < part.end; k += 4u) { sums += exp4(fourAt(k, part.end, LEAST) - top); }
  parts[i] = vec2f(top, sumOf(sums));
  #else
  let after = part.first + p.parts;
  var top = LEAST;
  for (var k = part.first; k < after; k++) { top = max(top, parts[k].x); }
  var sum = 0.0;
  for (var k = part.first; k < after; k++) { sum += parts[k].y * exp4(vec4f(parts[k].x - top)).x; }
  let factor = 1.0 / sum;
  let logarithm = log4(vec4f(sum));
  for (var k = part.start; k < part.end; k += 4u) {
    let v = fourAt(k, part.end, 0.0) - top;
    write(k, part.end, select(exp4(v) * factor, v - logarithm, p.log != 0u));
  }
  #end
}
