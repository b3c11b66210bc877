// Largest or mean value of windows, 4 channels or 1 to an invocation; of levels always 4.

#flag FN = ["max"]
#flag INT8 = false
// Whether channels come in fours, which are counted then.
#flag VEC = false
#flag F16 = false

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
#include real
#include window

alias Scalar = f32;
alias Stored = real;

#include channels

@group(0) @binding(2) var<storage, read_write> y: array<Element>;

fn valueOf(i: u32) -> Value {
  let window = windowAt(i / p.channels);
  let channel = i % p.channels;
  #if FN == max
  var s = Value(p.outside);
  #else
  var s = Value();
  var taps = 0;
  var counted = 0;
  #end
  var ky = 0u;
  var kx = 0u;
  for (var k = p.kh * p.kw; k > 0u; k--) {
    let pixel = pixelAt(window, ky, kx);
    let inside = pixel != OUTSIDE;
    // Outside the image this is some element or other.
    let v = valueAt(pixel * p.channels + channel);
    #if FN == max
    s = select(s, max(s, v), inside);
    #else
    s = select(s, s + v, inside);
    taps += select(0, 1, inside);
    let y = window.y + ky * p.dilationH + p.above;
    let x = window.z + kx * p.dilationW + p.before;
    counted += select(0, 1, y < p.rows && x < p.columns);
    #end
    kx++;
    if (kx == p.kw) {
      kx = 0u;
      ky++;
    }
  }
  #if FN == max
  return s;
  #else
  #if INT8
  let sum = s + (128 * counted + (counted - taps) * p.outside);
  return ((sum * ((4194303 + counted) / counted) + 2097152) >> Shift(22u)) - 128;
  #else
  return s / f32(counted);
  #end
  #end
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = thread(id);
  if (i >= p.threads) { return; }
  y[i] = resultOf(i);
}
