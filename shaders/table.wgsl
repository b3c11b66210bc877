// y = table[x + 128] of levels, a word of them to an invocation. Entries are words (WIDE), or bytes that stand for level + 128.

#flag WIDE = false
#flag F16 = false

struct P {
  threads: u32,
  n: u32,
}

#include thread
#include word

@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<Word>;
@group(0) @binding(3) var<storage, read_write> y: array<Word>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = thread(id);
  if (i >= p.threads) { return; }
  let places = x[i] ^ 0x80808080u;
  #if WIDE
  let count = min(4u, p.n - 4u * i);
  for (var k = 0u; k < count; k++) { y[4u * i + k] = table[(places >> (8u * k)) & 255u]; }
  #else
  var word = 0u;
  for (var shift = 0u; shift < 32u; shift += 8u) {
    let place = (places >> shift) & 255u;
    word |= ((table[place / 4u] >> (8u * (place % 4u))) & 255u) << shift;
  }
  y[i] = word ^ 0x80808080u;
  #end
}
