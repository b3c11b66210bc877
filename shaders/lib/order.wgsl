// The bits of a float as an integer that is less where the float is; of -0 as of 0. Comparing integers, nothing is flushed to 0.
fn ordered(bits: u32) -> i32 {
  let magnitude = i32(bits & 0x7fffffffu);
  return select(magnitude, -magnitude, bits >= 0x80000000u);
}

fn isNaN(bits: u32) -> bool {
  return (bits & 0x7fffffffu) > 0x7f800000u;
}
