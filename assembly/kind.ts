/**
 * How bytes are multiplied: the `kind` of a call, which the device chooses by a probe; all kinds give the same sums.
 *
 * BYTES  the relaxed dot, whose second operand is unsigned: activations as they lie in memory
 * SIGNED the same instruction where that operand is signed: activations XOR 0x80, converted block by block
 * WIDE   the exact dot of 16 bits, for every engine: activations extended block by block. The kind of the base binary,
 *        and of no other.
 */
export const WIDE = 0;
export const BYTES = 1;
export const SIGNED = 2;

/** Bytes of one activation in the form that `kind` multiplies. */
@inline
export function sizeOf(kind: i32): usize {
  return kind == WIDE ? 2 : 1;
}

/** Writes n activations in the form that `kind` multiplies; `to` may be `from` unless the form is wide. */
export function convert(kind: i32, to: usize, from: usize, n: usize): void {
  // Whole vectors only: the scratch that is written to has room for the last.
  const end = from + n;
  if (kind == SIGNED) {
    const mask = i8x16.splat(-128);
    for (; from < end; from += 16, to += 16) v128.store(to, v128.xor(v128.load(from), mask));
  } else if (kind == WIDE) {
    for (; from < end; from += 16, to += 32) {
      const x = v128.load(from);
      v128.store(to, i16x8.extend_low_i8x16_u(x));
      v128.store(to, i16x8.extend_high_i8x16_u(x), 16);
    }
  }
}

/** c + w * x, 4 sums of neighbouring products. */
@inline
export function dot(relaxed: bool, w: v128, x: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) {
    if (relaxed) return i32x4.relaxed_dot_i8x16_i7x16_add_s(w, x, c);
  }
  return i32x4.add(c, i32x4.dot_i16x8_s(w, x));
}
