// y[yo + i·t] = x[xo + i·s] for every index i of a box of AXES axes; src/ops/box.ts gives the numbers, in elements of a
// word, of 4 words (WIDE), or of a byte (BYTES). Axes that are not needed have n = 1.

#flag WIDE = false
#flag BYTES = false
#flag AXES = 3
#flag F16 = false

struct P {
  threads: u32,
  xo: u32,
  yo: u32,
  #for k AXES
  n$k: u32,
  s$k: u32,
  t$k: u32,
  #end
  #if !BYTES
  n: u32,
  s: u32,
  t: u32,
  stride: u32,
  span: u32,
  step: u32,
  #end
}

#include thread
#include word

#if WIDE
alias Element = vec4<Word>;
#else
alias Element = Word;
#end

@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read_write> y: array<Element>;

#if BYTES
// An invocation owns a word of y. Axes are in order, the first the outermost: what is left of a byte's address after them is 0 in the box.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = thread(id);
  if (i >= p.threads) { return; }
  let at = (p.yo >> 2u) + i;
  var word = y[at];
  for (var shift = 0u; shift < 32u; shift += 8u) {
    // Wraps around in front of the box, to more than the first axis has.
    var rest = 4u * at + shift / 8u - p.yo;
    var a = p.xo;
    var inside = true;
    #for k AXES
    let i$k = rest / p.t$k;
    rest -= i$k * p.t$k;
    a += i$k * p.s$k;
    inside &= i$k < p.n$k;
    #end
    let byte = (x[a >> 2u] >> (8u * (a & 3u))) & 255u;
    word = select(word, (word & ~(255u << shift)) | (byte << shift), inside & (rest == 0u));
  }
  y[at] = word;
}
#else
// An invocation moves a few elements of the last axis, `step` apart; axis 1 says which. The first axis is that of neighbouring invocations.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  var rest = thread(id);
  if (rest >= p.threads) { return; }
  var a = p.xo;
  var b = p.yo;
  #for k AXES
  let q$k = rest / p.n$k;
  let i$k = rest - q$k * p.n$k;
  a += i$k * p.s$k;
  b += i$k * p.t$k;
  rest = q$k;
  #end
  let first = i1 * p.stride;
  for (var j = first; j < min(p.n, first + p.span); j += p.step) { y[b + j * p.t] = x[a + j * p.s]; }
}
#end
