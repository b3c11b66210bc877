// Signs of the channels of a pixel, 32 to a word, the first lowest: 1 where x >= 0. With SCALED each word has the sum of its
// channels' magnitudes beside it.

#flag SCALED = false
#flag F16 = false

struct P {
  threads: u32,
  // Channels of a pixel, and words.
  c: u32, words: u32,
}

#include thread
#include bits

@group(0) @binding(1) var<storage, read> x: array<Bits>;
#if SCALED
@group(0) @binding(2) var<storage, read_write> y: array<vec2u>;
#else
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
#end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let t = thread(id);
  if (t >= p.threads) { return; }
  let first = t % p.words * 32u;
  let pixel = t / p.words * p.c + first;
  var bits = 0u;
  var magnitude = 0.0;
  for (var i = 0u; i < min(p.c - first, 32u); i++) {
    let v = bitsOf(x[pixel + i]);
    bits |= select(0u, 1u << i, v <= 0x7f800000u || v == 0x80000000u);
    magnitude += abs(bitcast<f32>(v));
  }
  #if SCALED
  y[t] = vec2u(bits, bitcast<u32>(magnitude));
  #else
  y[t] = bits;
  #end
}
