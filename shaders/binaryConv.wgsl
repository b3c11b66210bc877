// y = act(multiplier * K * sum + bias + residual), where the sum is of signs times weights of -1 and 1, all of them bits: products
// are -1 where bits differ. An invocation has TM windows and TN times 4 outputs. SCALED: K is the mean magnitude of a window;
// shaders/signs.wgsl has made the signs.

#flag TM = 4
#flag TN = 2
#flag SCALED = false
#flag VY = true
#flag ACT = []
#flag F16 = false

struct P {
  threads: u32,
  h: u32, w: u32, oh: u32, ow: u32, kh: u32, kw: u32,
  strideH: u32, strideW: u32, dilationH: u32, dilationW: u32, top: u32, left: u32,
  // Windows; channels, their words, and the bits of the last one; outputs, and tiles of them.
  rows: u32, c: u32, words: u32, last: u32, o: u32, tiles: u32,
  // Bits of the border, whether they count, and for how many products each of its pixels does.
  border: u32, counts: u32, products: i32,
  // One over the products of a sum.
  share: f32,
  adds: u32,
  low: f32, high: f32,
  #for i ACT
  a$i: f32, b$i: f32,
  #end
}

#include thread
#include real
#include window

struct Weights { w: array<vec4u, $TN> }
struct Outputs { multiplier: real4, bias: real4 }

#if SCALED
@group(0) @binding(1) var<storage, read> x: array<vec2u>;
#else
@group(0) @binding(1) var<storage, read> x: array<u32>;
#end
// By tile, row and column of the kernel, and word.
@group(0) @binding(2) var<storage, read> weights: array<Weights>;
// By tile.
@group(0) @binding(3) var<storage, read> outputs: array<Outputs>;

#include epilogue

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let t = thread(id);
  if (t >= p.threads) { return; }
  let tile = t % p.tiles;
  let row = t / p.tiles * ${TM}u;
  // Windows beyond the last are computed and not written.
  var window = windowAt(row);
  #for i TM
  let window$i = window;
  window = nextWindow(window);
  var total$i = 0;
  #if SCALED
  var magnitude$i = 0.0;
  #end
  #for j TN
  var c$i_$j = vec4u();
  #end
  #end
  var at = tile * p.kh * p.kw * p.words;
  for (var ky = 0u; ky < p.kh; ky++) {
    for (var kx = 0u; kx < p.kw; kx++) {
      #for i TM
      let pixel$i = pixelAt(window$i, ky, kx);
      let inside$i = pixel$i != OUTSIDE;
      let x$i = select(0u, pixel$i * p.words, inside$i);
      let counts$i = select(p.counts, 0xffffffffu, inside$i);
      total$i += select(p.products, i32(p.c), inside$i);
      #end
      for (var k = 0u; k < p.words; k++) {
        let border = p.border & select(0xffffffffu, p.last, k + 1u == p.words);
        #for j TN
        let w$j = weights[at].w[$j];
        #end
        at++;
        #for i TM
        #if SCALED
        let v$i = x[x$i + k];
        magnitude$i += select(0.0, bitcast<f32>(v$i.y), inside$i);
        let bits$i = vec4u(select(border, v$i.x, inside$i));
        #else
        let bits$i = vec4u(select(border, x[x$i + k], inside$i));
        #end
        #for j TN
        c$i_$j += countOneBits((w$j ^ bits$i) & vec4u(counts$i));
        #end
        #end
      }
    }
  }
  var sums: array<vec4f, $TM * $TN>;
  #for i TM
  #for j TN
  sums[$i * $TN + $j] = vec4f(vec4i(total$i) - 2 * vec4i(c$i_$j));
  #if SCALED
  sums[$i * $TN + $j] *= magnitude$i * p.share;
  #end
  #end
  #end
  let first = tile * (4u * ${TN}u);
  for (var i = 0u; i < ${TM}u * ${TN}u; i++) {
    let m = row + i / ${TN}u;
    let n = first + i % ${TN}u * 4u;
    if (m < p.rows && n < p.o) {
      let four = outputs[n / 4u];
      put(sums[i] * vec4f(four.multiplier) + vec4f(four.bias), m * p.o + n, p.o - n);
    }
  }
}
