// Each channel's own window of bytes: an invocation makes TX neighbouring pixels of a word of 4 channels. As in
// convInt8.wgsl, levels are signed and the zero point is in the bias.

// Whether pixels are no whole words: bytes are then read at any place.
#flag RAGGED = false
#flag FLOAT = false
#flag ACT = []
#flag TX = 4
// The width of the kernel, where strides and dilations are 1, and how many columns of x are then under TX pixels' windows: each is
// read once. Or 0 for windows of any kind.
#flag KX = 0
#flag COLUMNS = 0
#flag F16 = false

struct P {
  threads: u32,
  h: u32,
  w: u32,
  oh: u32,
  ow: u32,
  kh: u32,
  kw: u32,
  strideH: u32,
  strideW: u32,
  dilationH: u32,
  dilationW: u32,
  top: u32,
  left: u32,
  // Channels of a pixel, its words, and how many TX pixels a row has.
  channels: u32,
  words: u32,
  tiles: u32,
  // 4 times the zero point.
  outside: u32,
  #include requantUniforms
}

#include thread
#include window
#include requant

@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> weights: array<u32>;
@group(0) @binding(3) var<storage, read> channels: array<Channels>;
#if FLOAT
#include real
@group(0) @binding(4) var<storage, read_write> y: array<real>;
#else
@group(0) @binding(4) var<storage, read> residual: array<u32>;
@group(0) @binding(5) var<storage, read> knots: array<i32>;
@group(0) @binding(6) var<storage, read_write> y: array<u32>;
#end

#if RAGGED
#include joined
#end

fn levelsAt(pixel: u32, word: u32) -> vec4i {
  #if RAGGED
  let at = pixel * p.channels + word * 4u;
  let own = joined(x[at / 4u], x[at / 4u + 1u], at);
  #else
  let own = x[pixel * p.words + word];
  #end
  return unpacked(select(own, p.outside, pixel == OUTSIDE));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = thread(id);
  if (i >= p.threads) { return; }
  let word = i % p.words;
  let tile = i / p.words;
  let column = tile % p.tiles * ${TX}u;
  let row = tile / p.tiles * p.ow + column;
  let window = windowAt(row);
  var at = word;
  #for t TX
  var c$t = vec4i();
  #end
  #if KX
  for (var ky = 0u; ky < p.kh; ky++) {
    let imageRow = window.y + ky;
    let start = (window.x + imageRow) * p.w;
    var v: array<vec4i, $COLUMNS>;
    #for j COLUMNS
    let column$j = window.z + ${j}u;
    v[$j] = levelsAt(select(OUTSIDE, start + column$j, imageRow < p.h && column$j < p.w), word);
    #end
    #for k KX
    let w$k = unpacked(weights[at]);
    at += p.words;
    #for t TX
    c$t += v[$t + $k] * w$k;
    #end
    #end
  }
  #else
  var ky = 0u;
  var kx = 0u;
  for (var tap = 0u; tap < p.kh * p.kw; tap++) {
    let w = unpacked(weights[at]);
    at += p.words;
    #for t TX
    c$t += levelsAt(pixelAt(window + vec3u(0u, 0u, ${t}u * p.strideW), ky, kx), word) * w;
    #end
    kx++;
    let isNextRow = kx == p.kw;
    ky += u32(isNextRow);
    kx = select(kx, 0u, isNextRow);
  }
  #end
  var sums: array<vec4i, $TX>;
  #for t TX
  sums[$t] = c$t;
  #end
  let own = channels[word];
  for (var t = 0u; t < min(${TX}u, p.ow - column); t++) {
    let m = row + t;
    let channel = word * 4u;
    let at = m * p.channels + channel;
    #if FLOAT
    let v = activated(sums[t], own);
    for (var j = 0u; j < min(p.channels - channel, 4u); j++) { y[at + j] = real(v[j]); }
    #else
    var added = vec4i(p.offset);
    if (p.residual != 0) {
      #if RAGGED
      added += unpacked(joined(residual[at / 4u], residual[at / 4u + 1u], at)) * p.residual;
      #else
      added += unpacked(residual[at / 4u]) * p.residual;
      #end
    }
    y[m * p.words + word] = requantized(sums[t], own, added);
    #end
  }
}
