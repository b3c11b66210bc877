// What becomes of the sums of a product: bias, residual, clamps, and with ACT the rest of an activation program. VY says that
// every group has a multiple of 4 outputs; otherwise elements are written one by one. `bias`, `residual` and `y` are the
// shader's own.

#if ACT
#include steps
#end

fn activated(sum: vec4f) -> vec4f {
  var v = min(max(sum, vec4f(p.low)), vec4f(p.high));
  #for i,f ACT
  v = $f(v, p.a$i, p.b$i);
  #end
  return v;
}

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
