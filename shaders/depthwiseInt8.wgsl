// Each channel's own window of bytes, 4 channels to an invocation, which goes down a column of the image as in depthwise.wgsl. As in
// convInt8.wgsl, levels are signed and the zero point is in the bias.

#flag KH = 3
#flag KW = 3
// Whether pixels are no whole words: bytes are then read at any place.
#flag RAGGED = false
#flag FLOAT = false
#flag ACT = []
// For software adapters, and no more than 1024 taps: weights are floats, and sums too, which are exact below 2^24.
#flag SOFTWARE = false
#flag F16 = false

struct P {
  threads: u32,
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
  // Channels of a pixel, and its words; as in depthwise.wgsl.
  channels: u32,
  words: u32,
  step: u32,
  stride: u32,
  run: u32,
  columns: u32,
  // 4 times the zero point.
  outside: u32,
  #include requantUniforms
}

#include thread
#include window
#include requant

@group(0) @binding(1) var<storage, read> x: array<u32>;
// By word of channels, and row and column of the kernel.
#if SOFTWARE
alias Levels = vec4f;
@group(0) @binding(2) var<storage, read> weights: array<vec4f>;
#else
alias Levels = vec4i;
@group(0) @binding(2) var<storage, read> weights: array<u32>;
#end
@group(0) @binding(3) var<storage, read> channels: array<Channels>;
#if FLOAT
#include real
@group(0) @binding(4) var<storage, read_write> y: array<real>;
#else
@group(0) @binding(4) var<storage, read> residual: array<u32>;
@group(0) @binding(5) var<storage, read> knots: array<i32>;
@group(0) @binding(6) var<storage, read_write> y: array<u32>;
#end

#if RAGGED
#include joined
#end

fn weightsAt(at: u32) -> Levels {
  #if SOFTWARE
  return weights[at];
  #else
  return unpacked(weights[at]);
  #end
}

fn levelsAt(pixel: u32, word: u32) -> Levels {
  #if RAGGED
  let at = pixel * p.channels + word * 4u;
  let own = joined(x[at / 4u], x[at / 4u + 1u], at);
  #else
  let own = x[pixel * p.words + word];
  #end
  let levels = select(own, p.outside, pixel == OUTSIDE);
  #if SOFTWARE
  return floatsOf(levels);
  #else
  return unpacked(levels);
  #end
}

// Writes the word of the pixel of y, which is numbered across, then down, then by image.
fn put(sum: Levels, pixel: u32, word: u32, own: Channels) {
  let at = pixel * p.channels + word * 4u;
  #if FLOAT
  let v = activated(vec4i(sum), own);
  for (var j = 0u; j < min(p.channels - word * 4u, 4u); j++) { y[at + j] = real(v[j]); }
  #else
  var added = vec4i(p.offset);
  if (p.residual != 0) {
    #if RAGGED
    added += unpacked(joined(residual[at / 4u], residual[at / 4u + 1u], at)) * p.residual;
    #else
    added += unpacked(residual[at / 4u]) * p.residual;
    #end
  }
  y[pixel * p.words + word] = requantized(vec4i(sum), own, added);
  #end
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let t = thread(id);
  if (t >= p.threads) { return; }
  let word = t % p.words;
  let ox = t / p.words % p.ow;
  let column = t / p.words / p.ow;
  let part = column % p.columns;
  let image = column / p.columns;
  var oy = part / p.step * p.run * p.step + part % p.step;
  var pixel = (image * p.oh + oy) * p.ow + ox;
  let own = channels[word];
  // Rows and columns before the image wrap around and are beyond it too.
  var row = oy * p.strideH - p.top;
  let left = ox * p.strideW - p.left;
  let first = image * p.h;
  #if KH
  #for k KW
  let column$k = left + ${k}u * p.dilationW;
  #end
  #for i KH
  var s$i = Levels();
  #for k KW
  let w${i}_$k = weightsAt((word * ${KH}u + ${i}u) * ${KW}u + ${k}u);
  #end
  #end
  var next = ${KH}u - 1u;
  let rows = (p.run - 1u) * p.stride + ${KH}u;
  for (var i = 0u; i < rows; i++) {
    let start = (first + row) * p.w;
    #for k KW
    let v$k = levelsAt(select(OUTSIDE, start + column$k, row < p.h && column$k < p.w), word);
    #end
    // s0 has seen this row as its first, s1 as its second ...
    var sum = Levels();
    var before = Levels();
    #for i KH
    sum = before;
    before = s$i;
    #for k KW
    sum += w${i}_$k * v$k;
    #end
    s$i = sum;
    #end
    row += p.dilationH;
    if (i == next) {
      if (oy < p.oh) { put(sum, pixel, word, own); }
      next += p.stride;
      oy += p.step;
      pixel += p.step * p.ow;
    }
  }
  #else
  var sum = Levels();
  var tap = word * p.kh * p.kw;
  for (var ky = 0u; ky < p.kh; ky++) {
    for (var kx = 0u; kx < p.kw; kx++) {
      let here = left + kx * p.dilationW;
      sum += weightsAt(tap) * levelsAt(select(OUTSIDE, (first + row) * p.w + here, row < p.h && here < p.w), word);
      tap++;
    }
    row += p.dilationH;
  }
  if (oy < p.oh) { put(sum, pixel, word, own); }
  #end
}
