// Bytes, four in a word, the first lowest.

// The 4 signed bytes of a word.
fn unpacked(word: u32) -> vec4i {
  return vec4i(vec4u(word) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u);
}

// A word of the lowest bytes of 4 numbers.
fn packed(v: vec4i) -> u32 {
  let bytes = vec4u(v) & vec4u(255u);
  return bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
}
