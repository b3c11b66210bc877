// y = program(x), element by element; 4 to an invocation.

#flag ACT = []
#flag F16 = false

struct P {
  threads: u32,
  n: u32,
  #for i ACT
  a$i: f32,
  b$i: f32,
  #end
}

#include thread
#include real
#include steps

@group(0) @binding(1) var<storage, read> x: array<real>;
@group(0) @binding(2) var<storage, read_write> y: array<real>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = thread(id) * 4u;
  if (i >= p.n) { return; }
  var v = vec4f(real4(x[i], x[i + 1u], x[i + 2u], x[i + 3u]));
  #for i,f ACT
  v = $f(v, p.a$i, p.b$i);
  #end
  y[i] = real(v.x);
  if (i + 1u < p.n) { y[i + 1u] = real(v.y); }
  if (i + 2u < p.n) { y[i + 2u] = real(v.z); }
  if (i + 3u < p.n) { y[i + 3u] = real(v.w); }
}
