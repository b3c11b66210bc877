// For shaders whose results are computed channel by channel: 4 channels at once where VEC says that channels come in fours, which
// are counted then, else one. Of levels (INT8) an invocation makes a word of 4 all the same. Unless INT8 the shader declares Scalar, and
// what tensors are made of, Stored; and valueOf(i), which gives result i from what valueAt reads.

#if INT8
#include bytes
alias Element = u32;
#if VEC
alias Value = vec4i;
alias Shift = vec4u;
fn valueAt(i: u32) -> Value { return unpacked(x[i]); }
fn resultOf(i: u32) -> Element { return packed(valueOf(i)); }
#else
alias Value = i32;
alias Shift = u32;
fn valueAt(i: u32) -> Value { return i32(x[i / 4u] << (24u - i % 4u * 8u)) >> 24u; }
fn resultOf(i: u32) -> Element {
  var word = 0u;
  for (var k = 0u; k < 4u; k++) { word |= (u32(valueOf(i * 4u + k)) & 255u) << (k * 8u); }
  return word;
}
#end
#else
#if VEC
alias Value = vec4<Scalar>;
alias Element = vec4<Stored>;
#else
alias Value = Scalar;
alias Element = Stored;
#end
fn valueAt(i: u32) -> Value { return Value(x[i]); }
fn resultOf(i: u32) -> Element { return Element(valueOf(i)); }
#end

@group(0) @binding(1) var<storage, read> x: array<Element>;
