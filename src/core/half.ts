/** 16-bit floats (IEEE 754 binary16), which JavaScript has no numbers for: their bits, and f32 rounded to them. */

/** What elements of f32 tensors are stored as. */
export type Precision = 'f32' | 'f16';

/** The least magnitude that rounds to infinity; the largest half is 65504. */
const OVERFLOW = 65520;

/** The bits of the nearest halves, ties to even. NaN becomes the quiet one. */
export function toHalves(data: Float32Array): Uint16Array<ArrayBuffer> {
  const halves = new Uint16Array(data.length);
  const words = new Uint32Array(data.buffer, data.byteOffset, data.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const magnitude = word & 0x7fffffff;
    let half = 0;
    if (magnitude >= 0x47800000) half = magnitude > 0x7f800000 ? 0x7e00 : 0x7c00;
    else if (magnitude >= 0x38800000) half = (magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13;
    else if (magnitude >= 0x33000000) {
      // Subnormal halves are multiples of 2^-24.
      const digits = (magnitude & 0x7fffff) | 0x800000;
      const shift = 126 - (magnitude >>> 23);
      half = (digits + (1 << (shift - 1)) - 1 + ((digits >>> shift) & 1)) >>> shift;
    }
    halves[i] = half | ((word >>> 16) & 0x8000);
  }
  return halves;
}

/** The numbers that halves are, given their bits. */
export function fromHalves(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const data = new Float32Array(halves.length);
  const words = new Uint32Array(data.buffer);
  for (let i = 0; i < halves.length; i++) {
    const half = halves[i]!;
    const magnitude = half & 0x7fff;
    const sign = (half & 0x8000) << 16;
    if (magnitude >= 0x7c00) words[i] = sign | 0x7f800000 | (magnitude << 13);
    else if (magnitude >= 0x400) words[i] = sign | ((magnitude << 13) + 0x38000000);
    else data[i] = magnitude * (sign ? -(2 ** -24) : 2 ** -24);
  }
  return data;
}

/** Whether no finite number becomes infinite as a half. */
export function fitHalves(data: Float32Array): boolean {
  for (let i = 0; i < data.length; i++) {
    const magnitude = Math.abs(data[i]!);
    if (magnitude >= OVERFLOW && magnitude < Number.POSITIVE_INFINITY) return false;
  }
  return true;
}
