/** First index of the largest of n elements `inner` apart. The row unit is one result. */

export function f32_argmax(x: usize, y: usize, n: i32, inner: i32, from: i32, to: i32): void {
  for (let r = from; r < to; r++) {
    const outer = r / inner;
    const line = x + ((outer * n * inner + (r - outer * inner)) << 2);
    let best = load<f32>(line);
    let at = 0;
    let i = 1;
    if (inner == 1) {
      // Look for blocks with something larger, and only then for where it is.
      for (; i + 16 <= n; i += 16) {
        const p = line + (i << 2);
        const a = f32x4.pmax(v128.load(p), v128.load(p, 16));
        const b = f32x4.pmax(v128.load(p, 32), v128.load(p, 48));
        if (!v128.any_true(f32x4.gt(f32x4.pmax(a, b), f32x4.splat(best)))) continue;
        for (let k = i; k < i + 16; k++) {
          const v = load<f32>(line + (k << 2));
          if (v > best) {
            best = v;
            at = k;
          }
        }
      }
    }
    for (; i < n; i++) {
      const v = load<f32>(line + ((i * inner) << 2));
      if (v > best) {
        best = v;
        at = i;
      }
    }
    store<i32>(y + (r << 2), at);
  }
}

export function i8_argmax(x: usize, y: usize, n: i32, inner: i32, from: i32, to: i32): void {
  for (let r = from; r < to; r++) {
    const outer = r / inner;
    const line = x + outer * n * inner + (r - outer * inner);
    let best = -1;
    let at = 0;
    for (let i = 0; i < n; i++) {
      const v = <i32>load<u8>(line + i * inner);
      if (v > best) {
        best = v;
        at = i;
      }
    }
    store<i32>(y + (r << 2), at);
  }
}
