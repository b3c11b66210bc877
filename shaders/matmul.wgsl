// y = act(a * b) for matrices a [M,K] and b [K,N], or with TRANS [N,K], over three batch dimensions. An invocation has TM rows and TN
// times 4 columns. With V elements go by fours, and K and N must be multiples of 4; otherwise strides alone tell how b lies.

#flag TM = 4
#flag TN = 2
#flag V = true
#flag TRANS = false
#flag ACT = []
#flag F16 = false

struct P {
  threads: u32,
  m: u32, n: u32, k: u32,
  // Tiles down and across.
  down: u32, across: u32,
  // The inner batch dimensions, and the elements from one matrix to the next, of a and b.
  d1: u32, d2: u32, stepA0: u32, stepA1: u32, stepA2: u32, stepB0: u32, stepB1: u32, stepB2: u32,
  // Elements of b from one k to the next, and from one column.
  bk: u32, bn: u32,
  low: f32, high: f32,
  #for i ACT
  a$i: f32, b$i: f32,
  #end
}

#include thread
#include real
#include clamps

#if V
@group(0) @binding(1) var<storage, read> a: array<real4>;
@group(0) @binding(2) var<storage, read> b: array<real4>;
@group(0) @binding(3) var<storage, read_write> y: array<real4>;
#else
@group(0) @binding(1) var<storage, read> a: array<real>;
@group(0) @binding(2) var<storage, read> b: array<real>;
@group(0) @binding(3) var<storage, read_write> y: array<real>;
#end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let t = thread(id);
  if (t >= p.threads) { return; }
  let column = t % p.across * (4u * ${TN}u);
  let tile = t / p.across;
  let row = tile % p.down * ${TM}u;
  let batch = tile / p.down;
  let i2 = batch % p.d2;
  let i1 = batch / p.d2 % p.d1;
  let i0 = batch / p.d2 / p.d1;
  let ofA = i0 * p.stepA0 + i1 * p.stepA1 + i2 * p.stepA2;
  let ofB = i0 * p.stepB0 + i1 * p.stepB1 + i2 * p.stepB2;
  // Rows beyond the last repeat it; columns beyond it are computed from something; neither is written.
  #for i TM
  let from$i = ofA + min(row + ${i}u, p.m - 1u) * p.k;
  #for j TN
  var c$i_$j = vec4f();
  #end
  #end
  #if V
  #for j TN
  var at$j = (ofB + (column + ${j}u * 4u) * p.bn) / 4u;
  #end
  #if TRANS
  let next = p.k / 4u;
  let step = 1u;
  #else
  let next = p.n / 4u;
  let step = p.n;
  #end
  for (var k = 0u; k < p.k / 4u; k++) {
    #for j TN
    let w$j = mat4x4f(vec4f(b[at$j]), vec4f(b[at$j + next]), vec4f(b[at$j + 2u * next]), vec4f(b[at$j + 3u * next]));
    at$j += step;
    #end
    #for i TM
    let v$i = vec4f(a[from$i / 4u + k]);
    #for j TN
    #if TRANS
    c$i_$j += v$i * w$j;
    #else
    c$i_$j += w$j * v$i;
    #end
    #end
    #end
  }
  #else
  #for j TN
  var at$j = ofB + min(vec4u(column + ${j}u * 4u) + vec4u(0u, 1u, 2u, 3u), vec4u(p.n - 1u)) * p.bn;
  #end
  for (var k = 0u; k < p.k; k++) {
    #for j TN
    let w$j = vec4f(real4(b[at$j.x], b[at$j.y], b[at$j.z], b[at$j.w]));
    at$j += p.bk;
    #end
    #for i TM
    let v$i = f32(a[from$i + k]);
    #for j TN
    c$i_$j += w$j * v$i;
    #end
    #end
  }
  #end
  var sums: array<vec4f, $TM * $TN>;
  #for i TM
  #for j TN
  sums[$i * $TN + $j] = c$i_$j;
  #end
  #end
  for (var i = 0u; i < ${TM}u * ${TN}u; i++) {
    let m = row + i / ${TN}u;
    let n = column + i % ${TN}u * 4u;
    if (m < p.m && n < p.n) {
      let v = activated(sums[i]);
      let at = (batch * p.m + m) * p.n + n;
      #if V
      y[at / 4u] = real4(v);
      #else
      for (var e = 0u; e < min(p.n - n, 4u); e++) { y[at + e] = real(v[e]); }
      #end
    }
  }
}
