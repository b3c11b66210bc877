// y = act(x * w + bias + residual) in f32, for windows of an image as for rows of a matrix, which is an image of one row with windows
// of one pixel: an implicit matrix product of windows by outputs. An invocation has TM windows, one after the other, and TN
// times 4 outputs of one group. With VX channels are read by fours, of which every group must have a whole number.

#flag TM = 4
#flag TN = 2
#flag VX = true
#flag VY = true
#flag ACT = []
#flag F16 = false

struct P {
  threads: u32,
  h: u32, w: u32, oh: u32, ow: u32, kh: u32, kw: u32,
  strideH: u32, strideW: u32, dilationH: u32, dilationW: u32, top: u32, left: u32,
  // Windows; channels of the image, and of a group; outputs, and those of a group; tiles of outputs, and those of a group.
  rows: u32, c: u32, depth: u32, o: u32, n: u32, tiles: u32, groupTiles: u32,
  // Whether there is a residual.
  adds: u32,
  low: f32, high: f32,
  #for i ACT
  a$i: f32, b$i: f32,
  #end
}

#include thread
#include real
#include window

// Weights of one tile and tap, in order of channels: of 4 channels, as columns, or of one.
struct Weights {
  #if VX
  w: array<mat4x4<real>, $TN>,
  #else
  w: array<real4, $TN>,
  #end
}

#if VX
@group(0) @binding(1) var<storage, read> x: array<real4>;
#else
@group(0) @binding(1) var<storage, read> x: array<real>;
#end
// By tile, row and column of the kernel, and channel.
@group(0) @binding(2) var<storage, read> weights: array<Weights>;
// By tile.
@group(0) @binding(3) var<storage, read> bias: array<real4>;
#include epilogue

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let t = thread(id);
  if (t >= p.threads) { return; }
  let tile = t % p.tiles;
  let group = tile / p.groupTiles;
  let row = t / p.tiles * ${TM}u;
  #if VX
  let c = p.c / 4u;
  let depth = p.depth / 4u;
  #else
  let c = p.c;
  let depth = p.depth;
  #end
  #for j TN
  let bias$j = vec4f(bias[tile * ${TN}u + ${j}u]);
  #end
  // Windows beyond the last are computed and not written.
  var window = windowAt(row);
  #for i TM
  let window$i = window;
  window = nextWindow(window);
  #for j TN
  var c$i_$j = bias$j;
  #end
  #end
  var at = tile * p.kh * p.kw * depth;
  for (var ky = 0u; ky < p.kh; ky++) {
    for (var kx = 0u; kx < p.kw; kx++) {
      #for i TM
      let pixel$i = pixelAt(window$i, ky, kx);
      let inside$i = pixel$i != OUTSIDE;
      let x$i = select(0u, pixel$i * c + group * depth, inside$i);
      #end
      for (var k = 0u; k < depth; k++) {
        #for j TN
        #if VX
        let w$j = mat4x4f(weights[at].w[$j]);
        #else
        let w$j = vec4f(weights[at].w[$j]);
        #end
        #end
        at++;
        #for i TM
        #if VX
        let v$i = select(vec4f(), vec4f(x[x$i + k]), inside$i);
        #else
        let v$i = select(0.0, f32(x[x$i + k]), inside$i);
        #end
        #for j TN
        c$i_$j += w$j * v$i;
        #end
        #end
      }
    }
  }
  var sums: array<vec4f, $TM * $TN>;
  #for i TM
  #for j TN
  sums[$i * $TN + $j] = c$i_$j;
  #end
  #end
  let first = tile % p.groupTiles * (4u * ${TN}u);
  for (var i = 0u; i < ${TM}u * ${TN}u; i++) {
    let m = row + i / ${TN}u;
    let n = first + i % ${TN}u * 4u;
    if (m < p.rows && n < p.n) { put(sums[i], m * p.o + group * p.n + n, p.n - n); }
  }
}
