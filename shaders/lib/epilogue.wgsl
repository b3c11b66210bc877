// What becomes of the sums of a product: bias, residual and activation. VY says that every group has a multiple of 4 outputs;
// otherwise elements are written one by one.

#include clamps

#if VY
@group(0) @binding(4) var<storage, read> residual: array<real4>;
@group(0) @binding(5) var<storage, read_write> y: array<real4>;
#else
@group(0) @binding(4) var<storage, read> residual: array<real>;
@group(0) @binding(5) var<storage, read_write> y: array<real>;
#end

// Makes outputs of 4 sums, those of which the first `count` are there, and writes them to y from element `at` on.
fn put(sum: vec4f, at: u32, count: u32) {
  var v = sum;
  #if VY
  if (p.adds != 0u) { v += vec4f(residual[at / 4u]); }
  y[at / 4u] = real4(activated(v));
  #else
  if (p.adds != 0u) { for (var i = 0u; i < min(count, 4u); i++) { v[i] += f32(residual[at + i]); } }
  v = activated(v);
  for (var i = 0u; i < min(count, 4u); i++) { y[at + i] = real(v[i]); }
  #end
}
