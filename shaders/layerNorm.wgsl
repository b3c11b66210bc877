// Layer normalisation of rows. Of each part the mean, and the sum of squares of what is left without it.

#flag PARTS = false
#flag F16 = false

struct P {
  threads: u32,
  n: u32,
  parts: u32,
  length: u32,
  #if !PARTS
  epsilon: f32,
  gamma: u32,
  beta: u32,
  #end
}

#include thread
#include rows

#if !PARTS
@group(0) @binding(3) var<storage, read> gamma: array<real>;
@group(0) @binding(4) var<storage, read> beta: array<real>;
@group(0) @binding(5) var<storage, read_write> y: array<real>;
#end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = thread(id);
  if (i >= p.threads) { return; }
  let part = partAt(i);
  #if PARTS
  var sums = vec4f();
  for (var k = part.start; k < part.end; k += 4u) { sums += fourAt(k, part.end, 0.0); }
  let mean = sumOf(sums) / f32(part.end - part.start);
  var squares = vec4f();
  for (var k = part.start; k < part.end; k += 4u) {
    let d = fourAt(k, part.end, mean) - mean;
    squares += d * d;
  }
  parts[i] = vec2f(mean, sumOf(squares));
  #else
  var mean = 0.0;
  for (var k = 0u; k < p.parts; k++) { mean += parts[part.first + k].x * share(k); }
  var variance = 0.0;
  for (var k = 0u; k < p.parts; k++) {
    let one = parts[part.first + k];
    let d = one.x - mean;
    variance += one.y / f32(p.n) + d * d * share(k);
  }
  let factor = 1.0 / sqrt(variance + p.epsilon);
  for (var k = part.start; k < part.end; k += 4u) {
    var v = (fourAt(k, part.end, 0.0) - mean) * factor;
    let c = k - part.row;
    if (p.gamma != 0u) { v *= vec4f(real4(gamma[c], gamma[c + 1u], gamma[c + 2u], gamma[c + 3u])); }
    if (p.beta != 0u) { v += vec4f(real4(beta[c], beta[c + 1u], beta[c + 2u], beta[c + 3u])); }
    write(k, part.end, v);
  }
  #end
}

// Of part k in the row's elements.
fn share(k: u32) -> f32 { return f32(min(p.length, p.n - k * p.length)) / f32(p.n); }
