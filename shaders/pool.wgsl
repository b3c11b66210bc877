// Largest or mean value of windows, 4 channels or 1 to an invocation; of levels always 4.

#flag FN = ["max"]
#flag INT8 = false
// Whether channels come in fours, which are counted then.
#flag VEC = false

struct P {
  threads: u32,
  channels: u32,
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
  // Taps count in an average from so much above and left of the image on, over so many rows and columns.
  above: u32,
  before: u32,
  rows: u32,
  columns: u32,
  // Less than all values, in a maximum; in an average of levels what taps outside the image count for.
  #if INT8
  outside: i32,
  #else
  outside: f32,
  #end
}

#include thread
#include window

alias Scalar = f32;

#include channels

@group(0) @binding(2) var<storage, read_write> y: array<Element>;

#if FN == max
fn valueOf(i: u32) -> Value {
  let window = windowAt(i / p.channels);
  let channel = i % p.channels;
  var s = Value(p.outside);
  for (var ky = 0u; ky < p.kh; ky++) {
    for (var kx = 0u; kx < p.kw; kx++) {
      let pixel = pixelAt(window, ky, kx);
      if (pixel != OUTSIDE) { s = max(s, valueAt(pixel * p.channels + channel)); }
    }
  }
  return s;
}
#else
fn valueOf(i: u32) -> Value {
  let window = windowAt(i / p.channels);
  let channel = i % p.channels;
  var s = Value();
  var taps = 0;
  var counted = 0;
  for (var ky = 0u; ky < p.kh; ky++) {
    for (var kx = 0u; kx < p.kw; kx++) {
      let pixel = pixelAt(window, ky, kx);
      if (pixel != OUTSIDE) {
        s += valueAt(pixel * p.channels + channel);
        taps++;
      }
      let y = window.y + ky * p.dilationH + p.above;
      let x = window.z + kx * p.dilationW + p.before;
      counted += select(0, 1, y < p.rows && x < p.columns);
    }
  }
  #if INT8
  let sum = s + (128 * counted + (counted - taps) * p.outside);
  return ((sum * ((4194303 + counted) / counted) + 2097152) >> Shift(22u)) - 128;
  #else
  return s / f32(counted);
  #end
}
#end

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = thread(id);
  if (i >= p.threads) { return; }
  y[i] = resultOf(i);
}
