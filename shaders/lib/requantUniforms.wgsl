// What requant.wgsl reads of the uniform block; src/ops/implicitGemmInt8.ts gives the numbers.
#if FLOAT
least: f32,
most: f32,
#for i ACT
a$i: f32,
b$i: f32,
#end
#else
#if SOFTWARE
// 2^shift, and its reciprocal.
whole: i32,
unit: f32,
#else
shift: u32,
#end
offset: i32,
low: i32,
high: i32,
residual: i32,
// 0 without a curve, 1 for a table, 2 for a swish.
curve: u32,
half: i32,
origin: i32,
scale: i32,
entryOffset: i32,
zero: i32,
#end
