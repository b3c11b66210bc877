// Clamps, which most activations amount to, and with ACT the rest of an activation program: src/ops/implicitGemm.ts gives the numbers.

#if ACT
#include steps
#end

fn activated(value: vec4f) -> vec4f {
  var v = min(max(value, vec4f(p.low)), vec4f(p.high));
  #for i,f ACT
  v = $f(v, p.a$i, p.b$i);
  #end
  return v;
}
