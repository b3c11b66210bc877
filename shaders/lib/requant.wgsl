// From i32 sums of 4 channels to levels, in the form and with the conditions of src/ops/requant.ts and src/ops/curve.ts, or
// to floats. Needs the flags FLOAT, ACT and SOFTWARE: software adapters shift lane by lane, for which multiplication is
// quicker, and floats where they are exact.

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

#include bytes

// The 4 signed bytes of a word. Exact: each is taken from the top of 32 bits.
fn floatsOf(word: u32) -> vec4f {
  #if SOFTWARE
  let tops = (vec4u(word) * vec4u(16777216u, 65536u, 256u, 1u)) & vec4u(0xff000000u);
  return vec4f(bitcast<vec4i>(tops)) * 5.9604644775390625e-8;
  #else
  return vec4f(unpacked(word));
  #end
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

// v / 2^shift, rounded down; it is less than 2^22. Whole numbers of it are floats, so that no rounding to a float steps below
// one: what is cut to a whole number is right or 1 too high.
fn shifted(v: vec4i) -> vec4i {
  #if SOFTWARE
  let guess = vec4i(vec4f(v) * p.unit);
  return guess + clamp(v - guess * p.whole, vec4i(-1), vec4i(0));
  #else
  return v >> vec4u(p.shift);
  #end
}

fn wordOf(levels: vec4i) -> u32 {
  #if SOFTWARE
  let bytes = vec4u(levels) & vec4u(255u);
  return bytes.x + bytes.y * 256u + bytes.z * 65536u + bytes.w * 16777216u;
  #else
  return packed(levels);
  #end
}

// A word of levels. `addend` is what the residual adds, and the constant.
fn requantized(sum: vec4i, channels: Channels, addend: vec4i) -> u32 {
  let within = clamp(sum + channels.bias, channels.lo, channels.hi);
  let level = clamp(shifted(within * channels.m + addend), vec4i(p.low), vec4i(p.high));
  if (p.curve == 0u) { return wordOf(level); }
  return wordOf(followed(level, channels.factor));
}
#end
