// Each channel's own window of bytes: an invocation makes TX neighbouring pixels of a word of 4 channels. Sums are in f32 and
// exact, for at most 1024 taps at a time. As in convInt8.wgsl, levels are signed and the zero point is in the bias.

// Whether pixels are no whole words: bytes are then read at any place.
#flag RAGGED = false
#flag CURVE = false
#flag FLOAT = false
#flag ACT = []
#flag TX = 2

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
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
#else
@group(0) @binding(4) var<storage, read> residual: array<u32>;
#if CURVE
@group(0) @binding(5) var<storage, read> knots: array<i32>;
@group(0) @binding(6) var<storage, read_write> y: array<u32>;
#else
@group(0) @binding(5) var<storage, read_write> y: array<u32>;
#end
#end

#if RAGGED
#include joined
#end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = thread(id);
  if (i >= p.threads) { return; }
  let word = i % p.words;
  let tile = i / p.words;
  let column = tile % p.tiles * ${TX}u;
  let row = tile / p.tiles * p.ow + column;
  let window = windowAt(row);
  let taps = p.kh * p.kw;
  var sums: array<vec4i, $TX>;
  for (var done = 0u; done < taps; done += 1024u) {
    #for t TX
    var c$t = vec4f();
    #end
    for (var tap = done; tap < min(done + 1024u, taps); tap++) {
      let w = vec4f(unpacked(weights[tap * p.words + word]));
      let ky = tap / p.kw;
      let kx = tap % p.kw;
      #for t TX
      let pixel$t = pixelAt(window + vec3u(0u, 0u, ${t}u * p.strideW), ky, kx);
      #if RAGGED
      let at$t = pixel$t * p.channels + word * 4u;
      let x$t = joined(x[at$t / 4u], x[at$t / 4u + 1u], at$t);
      #else
      let x$t = x[pixel$t * p.words + word];
      #end
      c$t += vec4f(unpacked(select(x$t, p.outside, pixel$t == OUTSIDE))) * w;
      #end
    }
    #for t TX
    sums[$t] += vec4i(c$t);
    #end
  }
  let own = channels[word];
  for (var t = 0u; t < ${TX}u; t++) {
    if (column + t >= p.ow) { break; }
    let m = row + t;
    let channel = word * 4u;
    let at = m * p.channels + channel;
    #if FLOAT
    let v = activated(sums[t], own);
    for (var j = 0u; j < min(p.channels - channel, 4u); j++) { y[at + j] = v[j]; }
    #else
    var added = 0u;
    if (p.residual != 0) {
      #if RAGGED
      added = joined(residual[at / 4u], residual[at / 4u + 1u], at);
      #else
      added = residual[at / 4u];
      #end
    }
    y[m * p.words + word] = requantized(sums[t], own, added);
    #end
  }
}
