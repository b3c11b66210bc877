// Rows of n floats, each in `parts` parts of up to `length`, a part to an invocation. With PARTS the shader writes two numbers of each
// part of x, else the part of y from those of the row, `parts` from the part's `first` on.

#include real

@group(0) @binding(1) var<storage, read> x: array<real>;
#if PARTS
@group(0) @binding(2) var<storage, read_write> parts: array<vec2f>;
#else
@group(0) @binding(2) var<storage, read> parts: array<vec2f>;
#end

// Where in x and y the part's row begins, where the part does, and where what is after it.
struct Part {
  first: u32,
  row: u32,
  start: u32,
  end: u32,
}

fn partAt(i: u32) -> Part {
  let row = i / p.parts;
  let start = (i - row * p.parts) * p.length;
  return Part(row * p.parts, row * p.n, row * p.n + start, row * p.n + min(start + p.length, p.n));
}

// 4 elements of x, and `otherwise` for those from `end` on.
fn fourAt(i: u32, end: u32, otherwise: f32) -> vec4f {
  let at = vec4u(i, i + 1u, i + 2u, i + 3u);
  return select(vec4f(otherwise), vec4f(real4(x[at.x], x[at.y], x[at.z], x[at.w])), at < vec4u(end));
}

fn sumOf(v: vec4f) -> f32 { return (v.x + v.z) + (v.y + v.w); }

#if !PARTS
// Writes 4 elements of y, which the shader declares, but none from `end` on.
fn write(i: u32, end: u32, v: vec4f) {
  y[i] = real(v.x);
  if (i + 1u < end) { y[i + 1u] = real(v.y); }
  if (i + 2u < end) { y[i + 2u] = real(v.z); }
  if (i + 3u < end) { y[i + 3u] = real(v.w); }
}
#end
