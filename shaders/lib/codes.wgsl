// Weights that are codes of 2 or 4 bits, in levels at equal distances or from a table: src/ops/levels.ts.

#if TABLE
// The byte of a code of 4 bits.
fn levelOf(code: vec4u) -> vec4u {
  let isOdd = (code & vec4u(4u)) != vec4u(0u);
  let low = select(vec4u(p.level0), vec4u(p.level1), isOdd);
  let high = select(vec4u(p.level2), vec4u(p.level3), isOdd);
  let four = select(low, high, (code & vec4u(8u)) != vec4u(0u));
  return (four >> ((code & vec4u(3u)) * 8u)) & vec4u(255u);
}
#end

// 4 levels, a byte each, of 4 codes, a byte each.
fn levelsOf(codes: vec4u) -> vec4u {
  #if TABLE
  return levelOf(codes & vec4u(15u)) | (levelOf((codes >> vec4u(8u)) & vec4u(15u)) << vec4u(8u))
    | (levelOf((codes >> vec4u(16u)) & vec4u(15u)) << vec4u(16u)) | (levelOf(codes >> vec4u(24u)) << vec4u(24u));
  #else
  // Levels + 128, from the first one's on: no byte overflows.
  return (codes * p.level1 + p.level0) ^ vec4u(0x80808080u);
  #end
}
