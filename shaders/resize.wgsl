// Resize of an image. A table has an entry for each row of y, then one for each of its columns.

#flag LINEAR = false
#flag INT8 = false
#flag VEC = false
#flag F16 = false

struct P {
  threads: u32,
  channels: u32,
  h: u32,
  w: u32,
  oh: u32,
  ow: u32,
}

#include thread

#if LINEAR
#include real
alias Scalar = f32;
alias Stored = real;
#else
#include word
alias Scalar = Word;
alias Stored = Word;
#end

#include channels

// The row or column of x, the one after it, and the weight of that, of levels in 128ths.
struct Entry {
  first: u32,
  second: u32,
  weight: f32,
}

@group(0) @binding(2) var<storage, read> table: array<Entry>;
@group(0) @binding(3) var<storage, read_write> y: array<Element>;

#if INT8
fn between(a: Value, b: Value, weight: f32) -> Value { return a * 128 + (b - a) * i32(weight); }
fn finished(v: Value) -> Value { return (v + 8192) >> Shift(14u); }
#end
#if LINEAR
#if !INT8
fn between(a: Value, b: Value, weight: f32) -> Value { return a * (1.0 - weight) + b * weight; }
fn finished(v: Value) -> Value { return v; }
#end
#end

fn valueOf(i: u32) -> Value {
  let pixel = i / p.channels;
  let line = pixel / p.ow;
  let image = line / p.oh;
  let down = table[line - image * p.oh];
  let across = table[p.oh + pixel - line * p.ow];
  let channel = i - pixel * p.channels;
  let upper = (image * p.h + down.first) * p.w;
  let value = valueAt((upper + across.first) * p.channels + channel);
  #if LINEAR
  let lower = (image * p.h + down.second) * p.w;
  let above = between(value, valueAt((upper + across.second) * p.channels + channel), across.weight);
  let below = between(
    valueAt((lower + across.first) * p.channels + channel),
    valueAt((lower + across.second) * p.channels + channel),
    across.weight);
  return finished(between(above, below, down.weight));
  #else
  return value;
  #end
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = thread(id);
  if (i >= p.threads) { return; }
  y[i] = resultOf(i);
}
