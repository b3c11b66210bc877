// y = x as another type, 4 elements to an invocation: functions of their bits.

#flag CONVERT = []
#flag FROM_BYTES = false
#flag TO_BYTES = false
// Whether x, and whether y, are floats.
#flag FROM_FLOATS = false
#flag TO_FLOATS = false
#flag F16 = false

struct P {
  threads: u32,
  n: u32,
}

#include thread
#include bits
#include bytes

#if FROM_FLOATS
@group(0) @binding(1) var<storage, read> x: array<Bits>;
fn wordAt(i: u32) -> u32 { return bitsOf(x[i]); }
#else
@group(0) @binding(1) var<storage, read> x: array<u32>;
fn wordAt(i: u32) -> u32 { return x[i]; }
#end
#if TO_FLOATS
@group(0) @binding(2) var<storage, read_write> y: array<Bits>;
fn write(i: u32, word: u32) { y[i] = ofBits(word); }
#else
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
fn write(i: u32, word: u32) { y[i] = word; }
#end

// From a float to the integer towards 0, or the nearest one there is; NaN becomes 0.
fn truncated(v: vec4u) -> vec4u {
  let real = bitcast<vec4f>(v);
  let whole = vec4i(clamp(real, vec4f(-2147483648.0), vec4f(2147483520.0)));
  let within = select(whole, vec4i(0x7fffffff), real >= vec4f(2147483648.0));
  return vec4u(select(within, vec4i(0), (v & vec4u(0x7fffffffu)) > vec4u(0x7f800000u)));
}

fn saturated(v: vec4u) -> vec4u { return vec4u(clamp(vec4i(v), vec4i(0), vec4i(255))); }
fn converted(v: vec4u) -> vec4u { return bitcast<vec4u>(vec4f(vec4i(v))); }
fn unsigned(v: vec4u) -> vec4u { return v & vec4u(0x7fffffffu); }
fn truth(v: vec4u) -> vec4u { return select(vec4u(0u), vec4u(1u), v != vec4u(0u)); }

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = thread(id);
  if (i >= p.threads) { return; }
  #if FROM_BYTES
  var v = vec4u(unpacked(wordAt(i))) & vec4u(255u);
  #else
  var v = vec4u(wordAt(4u * i), wordAt(4u * i + 1u), wordAt(4u * i + 2u), wordAt(4u * i + 3u));
  #end
  #for i,f CONVERT
  v = $f(v);
  #end
  #if TO_BYTES
  write(i, packed(vec4i(v)));
  #else
  let count = min(4u, p.n - 4u * i);
  for (var k = 0u; k < count; k++) { write(4u * i + k, v[k]); }
  #end
}
