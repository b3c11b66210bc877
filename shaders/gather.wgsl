// y = lines of `inner` elements of x, picked by indices: of each block of n lines, `count`. Elements are words, 4 words (WIDE), or
// bytes (BYTES).

#flag WIDE = false
#flag BYTES = false
#flag F16 = false

struct P {
  threads: u32,
  n: i32,
  count: u32,
  inner: u32,
}

#include thread
#include word

#if WIDE
alias Element = vec4<Word>;
#else
alias Element = Word;
#end

@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read> indices: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<Element>;

// Where element `at` of y comes from.
fn source(at: u32) -> u32 {
  let line = at / p.inner;
  let block = line / p.count;
  let given = indices[line - block * p.count];
  let index = clamp(select(given, given + p.n, given < 0), 0, p.n - 1);
  return (block * u32(p.n) + u32(index)) * p.inner + at - line * p.inner;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = thread(id);
  if (i >= p.threads) { return; }
  #if BYTES
  var word = 0u;
  for (var k = 0u; k < 4u; k++) {
    let at = source(4u * i + k);
    word |= ((x[at / 4u] >> (8u * (at % 4u))) & 255u) << (8u * k);
  }
  y[i] = word;
  #else
  y[i] = x[source(i)];
  #end
}
