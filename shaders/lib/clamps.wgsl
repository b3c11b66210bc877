// Clamps, which most activations amount to, and with ACT the rest of an activation program: src/ops/implicitGemm.ts gives the numbers.

#if ACT
#include steps
#end

fn activated(value: vec4f) -> vec4f {
  // Not min and max, which may make a number of NaN.
  var v = select(value, vec4f(p.low), value < vec4f(p.low));
  v = select(v, vec4f(p.high), v > vec4f(p.high));
  #for i,f ACT
  v = $f(v, p.a$i, p.b$i);
  #end
  return v;
}
