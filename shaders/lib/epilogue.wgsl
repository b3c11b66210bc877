// What becomes of the sums of a product: bias, residual and activation. VY says that every group has a multiple of 4 outputs;
// otherwise elements are written one by one.

#include clamps

#if VY
@group(0) @binding(4) var<storage, read> residual: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>;
#else
@group(0) @binding(4) var<storage, read> residual: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
#end

// Makes outputs of 4 sums, those of which the first `count` are there, and writes them to y from element `at` on.
fn put(sum: vec4f, at: u32, count: u32) {
  var v = sum;
  #if VY
  if (p.adds != 0u) { v += residual[at / 4u]; }
  y[at / 4u] = activated(v);
  #else
  if (p.adds != 0u) { for (var i = 0u; i < min(count, 4u); i++) { v[i] += residual[at + i]; } }
  v = activated(v);
  for (var i = 0u; i < min(count, 4u); i++) { y[at + i] = v[i]; }
  #end
}
