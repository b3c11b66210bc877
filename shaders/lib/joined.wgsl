// The 4 bytes from byte `at` on, which begin in the first of two words.
fn joined(first: u32, second: u32, at: u32) -> u32 {
  let shift = (at & 3u) * 8u;
  return (first >> shift) | ((second << 1u) << (31u - shift));
}
