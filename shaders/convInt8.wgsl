// Sums of products of bytes over windows of an image: a product of matrices whose rows are output pixels. An invocation makes
// TM pixels of TN words of 4 channels. Products are unpacked and summed in f32, exactly while sums stay within 2^24, from
// where they are added to i32 every 1024; or with DOT they are WGSL's own. Levels are signed, the zero point is in the bias, and
// taps outside the image read it.

// Whether pixels of x, their share for a group, or channels of y are no whole words: bytes are then read at any place.
#flag RAGGED = false
#flag DOT = false
// For software adapters; without DOT and CODES weights are floats then, which need not be unpacked.
#flag SOFTWARE = false
#flag WIDE = false
// Bits of a weight where weights are codes, and whether these stand for entries of a table.
#flag CODES = 0
#flag TABLE = false
#flag FLOAT = false
#flag ACT = []
#flag TM = 4
#flag TN = 2
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
  rows: u32,
  // Of a pixel of x and of a group's share of it: words, or bytes where RAGGED.
  pitch: u32,
  share: u32,
  // Words of inputs of an output's tap, and how many elements of `weights` a tap's are; how many words are added in f32, and
  // how many taps.
  depth: u32,
  run: u32,
  depthAtOnce: u32,
  tapsAtOnce: u32,
  // 4 times the zero point.
  outside: u32,
  // Tiles, words and channels of y of a group; words of a row.
  tiles: u32,
  words: u32,
  channels: u32,
  rowTiles: u32,
  rowWords: u32,
  rowChannels: u32,
  #if CODES
  level0: u32,
  level1: u32,
  level2: u32,
  level3: u32,
  #end
  #include requantUniforms
}

#include thread
#include window
#include requant

#if CODES
#include codes
#end

struct Weights {
  #if CODES
  // For 4 inputs, a byte each, of 4 channels: codes of TN times 4 channels, of 2 bits those of the next 4 inputs too.
  quads: array<vec4u, 1>,
  #else
  #if WIDE
  // For each of 4 inputs, of 4 channels.
  quads: array<mat4x4f, $TN>,
  #else
  // For 4 inputs, a byte each, of 4 channels.
  quads: array<vec4u, $TN>,
  #end
  #end
}

@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> weights: array<Weights>;
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

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = thread(id);
  if (i >= p.threads) { return; }
  let tile = i % p.rowTiles;
  let row = i / p.rowTiles * ${TM}u;
  let group = tile / p.tiles;
  let word = (tile - group * p.tiles) * ${TN}u;
  var windows: array<vec3u, $TM>;
  windows[0] = windowAt(row);
  for (var r = 1; r < $TM; r++) { windows[r] = nextWindow(windows[r - 1]); }
  let taps = p.kh * p.kw;
  let first = tile * taps * p.run;
  var sums: array<vec4i, ${TM} * ${TN}>;
  for (var done = 0u; done < taps; done += p.tapsAtOnce) {
    let last = min(done + p.tapsAtOnce, taps);
    for (var start = 0u; start < p.depth; start += p.depthAtOnce) {
      let end = min(start + p.depthAtOnce, p.depth);
      #for r TM
      #for t TN
      #if DOT
      var c${r}_$t = vec4i();
      #else
      var c${r}_$t = vec4f();
      #end
      #end
      #end
      for (var tap = done; tap < last; tap++) {
        let ky = tap / p.kw;
        let kx = tap - ky * p.kw;
        #for r TM
        let pixel$r = pixelAt(windows[$r], ky, kx);
        let place$r = select(pixel$r * p.pitch + group * p.share, OUTSIDE, pixel$r == OUTSIDE);
        #end
        let run = first + tap * p.run;
        for (var k = start; k < end; k++) {
          #if CODES == 2
          let codes = weights[run + k / 2u].quads[0] >> vec4u((k & 1u) * 4u);
          #for t TN
          let w$t = levelsOf((codes >> vec4u(2u * ${t}u)) & vec4u(0x03030303u));
          #end
          #else
          #if CODES == 4
          let codes = weights[run + k].quads[0];
          #for t TN
          let w$t = levelsOf((codes >> vec4u(4u * ${t}u)) & vec4u(0x0f0f0f0fu));
          #end
          #else
          #for t TN
          #if WIDE
          let m$t = weights[run + k].quads[$t];
          #else
          let w$t = weights[run + k].quads[$t];
          #end
          #end
          #end
          #end
          #if !DOT
          #if !WIDE
          #for t TN
          let m$t = mat4x4f(
            vec4f(vec4i(w$t << vec4u(24u)) >> vec4u(24u)), vec4f(vec4i(w$t << vec4u(16u)) >> vec4u(24u)),
            vec4f(vec4i(w$t << vec4u(8u)) >> vec4u(24u)), vec4f(vec4i(w$t) >> vec4u(24u)));
          #end
          #end
          #end
          #for r TM
          #if RAGGED
          let at$r = place$r + k * 4u;
          let x$r = select(joined(x[at$r / 4u], x[at$r / 4u + 1u], at$r), p.outside, place$r == OUTSIDE);
          #else
          let x$r = select(x[place$r + k], p.outside, place$r == OUTSIDE);
          #end
          #if DOT
          #for t TN
          c${r}_$t += vec4i(dot4I8Packed(x$r, w$t.x), dot4I8Packed(x$r, w$t.y), dot4I8Packed(x$r, w$t.z), dot4I8Packed(x$r, w$t.w));
          #end
          #else
          let v$r = floatsOf(x$r);
          #for t TN
          c${r}_$t += m$t * v$r;
          #end
          #end
          #end
        }
      }
      #for r TM
      #for t TN
      sums[$r * $TN + $t] += vec4i(c${r}_$t);
      #end
      #end
    }
  }
  for (var t = 0u; t < min(${TN}u, p.words - word); t++) {
    let own = channels[group * p.words + word + t];
    for (var r = 0u; r < min(${TM}u, p.rows - row); r++) {
      let m = row + r;
      let sum = sums[r * ${TN}u + t];
      let channel = (word + t) * 4u;
      let at = m * p.rowChannels + group * p.channels + channel;
      #if FLOAT
      let v = activated(sum, own);
      for (var j = 0u; j < min(p.channels - channel, 4u); j++) { y[at + j] = real(v[j]); }
      #else
      var added = vec4i(p.offset);
      if (p.residual != 0) {
        #if RAGGED
        added += unpacked(joined(residual[at / 4u], residual[at / 4u + 1u], at)) * p.residual;
        #else
        added += unpacked(residual[at / 4u]) * p.residual;
        #end
      }
      y[m * p.rowWords + group * p.words + word + t] = requantized(sum, own, added);
      #end
    }
  }
}
