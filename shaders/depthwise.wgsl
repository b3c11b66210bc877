// y = act(x * w + bias + residual) in f32, where output channel c sees input channel c alone. An invocation goes down a column of
// the image: each row of the input that it reads is added to all the outputs that see it, KH of which are on their way. Outputs
// of a column are `step` rows apart, so that the rows of their windows coincide under dilations too. Kernels of KH = 0 are of
// any size, and each output reads its window alone. V4 says that there is a multiple of 4 channels, which go by fours.

#flag KH = 3
#flag KW = 3
#flag V4 = true
#flag ACT = []
#flag F16 = false

struct P {
  threads: u32,
  h: u32, w: u32, oh: u32, ow: u32, kh: u32, kw: u32,
  strideH: u32, strideW: u32, dilationH: u32, dilationW: u32, top: u32, left: u32,
  // Channels, or fours of them.
  c: u32,
  // Output rows from one of a column to the next, and inputs rows that it moves by, in dilations; outputs of a column, and columns.
  step: u32, stride: u32, run: u32, columns: u32,
  adds: u32,
  low: f32, high: f32,
  #for i ACT
  a$i: f32, b$i: f32,
  #end
}

#include thread
#include real
#include clamps

#if V4
alias V = vec4f;
alias Stored = real4;
#else
alias V = f32;
alias Stored = real;
#end

#if KH
struct Weights { w: array<Stored, $KH * $KW> }
#else
alias Weights = Stored;
#end

@group(0) @binding(1) var<storage, read> x: array<Stored>;
// By channel, and row and column of the kernel.
@group(0) @binding(2) var<storage, read> weights: array<Weights>;
@group(0) @binding(3) var<storage, read> bias: array<Stored>;
@group(0) @binding(4) var<storage, read> residual: array<Stored>;
@group(0) @binding(5) var<storage, read_write> y: array<Stored>;

fn put(sum: V, at: u32) {
  var v = sum;
  if (p.adds != 0u) { v += V(residual[at]); }
  #if V4
  y[at] = Stored(activated(v));
  #else
  y[at] = Stored(activated(vec4f(v)).x);
  #end
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let t = thread(id);
  if (t >= p.threads) { return; }
  let c = t % p.c;
  let ox = t / p.c % p.ow;
  let column = t / p.c / p.ow;
  let part = column % p.columns;
  let image = column / p.columns;
  var oy = part / p.step * p.run * p.step + part % p.step;
  var at = ((image * p.oh + oy) * p.ow + ox) * p.c + c;
  let base = image * p.h * p.w * p.c + c;
  let b = V(bias[c]);
  // Rows and columns before the image wrap around and are beyond it too.
  var row = oy * p.strideH - p.top;
  let left = ox * p.strideW - p.left;
  #if KH
  #for k KW
  let column$k = left + ${k}u * p.dilationW;
  let x$k = base + min(column$k, p.w - 1u) * p.c;
  #end
  #for i KH
  #for k KW
  var s${i}_$k = V();
  let w${i}_$k = V(weights[c].w[$i * $KW + $k]);
  #end
  #end
  var next = ${KH}u - 1u;
  let rows = (p.run - 1u) * p.stride + ${KH}u;
  for (var i = 0u; i < rows; i++) {
    let start = min(row, p.h - 1u) * p.w * p.c;
    #for k KW
    let v$k = select(V(), V(x[x$k + start]), row < p.h && column$k < p.w);
    #end
    // Sums of each column of the kernel, as WASM has them. s0 have seen this row as their first, s1 as their second ...
    #for k KW
    var sum$k = V();
    var before$k = V();
    #for i KH
    sum$k = before$k;
    before$k = s${i}_$k;
    sum$k += w${i}_$k * v$k;
    s${i}_$k = sum$k;
    #end
    #end
    row += p.dilationH;
    if (i == next) {
      var sum = b;
      #for k KW
      sum += sum$k;
      #end
      if (oy < p.oh) { put(sum, at); }
      next += p.stride;
      oy += p.step;
      at += p.step * p.ow * p.c;
    }
  }
  #else
  var sum = b;
  var tap = c * p.kh * p.kw;
  for (var ky = 0u; ky < p.kh; ky++) {
    let start = base + min(row, p.h - 1u) * p.w * p.c;
    for (var kx = 0u; kx < p.kw; kx++) {
      let column = left + kx * p.dilationW;
      sum += V(weights[tap]) * select(V(), V(x[start + min(column, p.w - 1u) * p.c]), row < p.h && column < p.w);
      tap++;
    }
    row += p.dilationH;
  }
  put(sum, at);
  #end
}
