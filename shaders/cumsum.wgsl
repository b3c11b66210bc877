// Running sums of n elements `step` apart, a line to an invocation. Lines begin `inner` to a block of x, and `offset` on.

#flag INTEGERS = false
#flag F16 = false

struct P {
  threads: u32,
  n: u32,
  inner: u32,
  offset: u32,
  step: u32,
  exclusive: u32,
}

#include thread
#include real

#if INTEGERS
alias Element = i32;
alias Sum = i32;
#else
alias Element = real;
alias Sum = f32;
#end

@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read_write> y: array<Element>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = thread(id);
  if (i >= p.threads) { return; }
  var at = i / p.inner * p.n * p.inner + i % p.inner + p.offset;
  var sum = Sum();
  for (var k = 0u; k < p.n; k++) {
    let next = sum + Sum(x[at]);
    y[at] = Element(select(next, sum, p.exclusive != 0u));
    sum = next;
    at += p.step;
  }
}
