// From i32 sums of 4 channels to levels, in the form and with the conditions of src/ops/requant.ts and src/ops/curve.ts, or
// to floats. Needs the flags FLOAT and ACT.

#if FLOAT
#include steps
#end

struct Channels {
  bias: vec4i,
  // For floats the bits of the factor.
  m: vec4i,
  lo: vec4i,
  hi: vec4i,
  factor: vec4i,
}

// The 4 signed bytes of a word.
fn unpacked(word: u32) -> vec4i {
  return vec4i(vec4u(word) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u);
}

fn packed(v: vec4i) -> u32 {
  let bytes = vec4u(v) & vec4u(255u);
  return bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
}

#if FLOAT
fn activated(sum: vec4i, channels: Channels) -> vec4f {
  var v = clamp(vec4f(sum + channels.bias) * bitcast<vec4f>(channels.m), vec4f(p.least), vec4f(p.most));
  #for i,f ACT
  v = $f(v, p.a$i, p.b$i);
  #end
  return v;
}
#else
const SWISH = 2u;

// a * b * 2^-15, rounded half up.
fn times15(a: vec4i, b: vec4i) -> vec4i {
  return (a * b + 16384) >> vec4u(15u);
}

// In each word an entry of the table and in its upper half the next one.
fn entryOf(place: i32) -> i32 {
  let pair = knots[place >> 6u];
  let part = (place >> 2u) & 15;
  return ((16 - part) * ((pair << 16u) >> 16u) + part * (pair >> 16u) + 8) >> 4u;
}

fn followed(place: vec4i, factor: vec4i) -> vec4i {
  var entry: vec4i;
  if (p.curve == SWISH) {
    let q = place - p.origin;
    let ramp = clamp(q + p.half, vec4i(0), vec4i(2 * p.half));
    entry = clamp(times15(q, p.scale * ramp) + p.entryOffset, vec4i(-32768), vec4i(32767));
  } else {
    for (var i = 0; i < 4; i++) { entry[i] = entryOf(place[i]); }
  }
  return clamp(times15(entry, factor) + p.zero, vec4i(-128), vec4i(127));
}

// A word of levels. `addend` is what the residual adds, and the constant.
fn requantized(sum: vec4i, channels: Channels, addend: vec4i) -> u32 {
  let within = clamp(sum + channels.bias, channels.lo, channels.hi);
  let level = clamp((within * channels.m + addend) >> vec4u(p.shift), vec4i(p.low), vec4i(p.high));
  if (p.curve == 0u) { return packed(level); }
  return packed(followed(level, channels.factor));
}
#end
