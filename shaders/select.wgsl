// y = condition ? a : b, 4 elements to an invocation, of a word or of a byte (BYTES). An operand advances by its step, or is one
// element where that is 0.

#flag BYTES = false
#flag F16 = false

struct P {
  threads: u32,
  n: u32,
  step: u32,
  stepA: u32,
  stepB: u32,
}

#include thread
#include word

@group(0) @binding(1) var<storage, read> condition: array<u32>;
@group(0) @binding(2) var<storage, read> a: array<Word>;
@group(0) @binding(3) var<storage, read> b: array<Word>;
@group(0) @binding(4) var<storage, read_write> y: array<Word>;

// The 4 bytes of an operand, given its word.
fn spread(word: u32, step: u32) -> u32 {
  return select((word & 255u) * 0x1010101u, word, step != 0u);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = thread(id);
  if (i >= p.threads) { return; }
  let holds = spread(condition[i * p.step], p.step);
  #if BYTES
  let mask = holds * 255u;
  y[i] = (spread(a[i * p.stepA], p.stepA) & mask) | (spread(b[i * p.stepB], p.stepB) & ~mask);
  #else
  let end = min(4u * i + 4u, p.n);
  for (var k = 4u * i; k < end; k++) {
    y[k] = select(b[k * p.stepB], a[k * p.stepA], ((holds >> (8u * (k & 3u))) & 1u) == 1u);
  }
  #end
}
