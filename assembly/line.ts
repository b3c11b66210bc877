/** Loads and stores of short runs, inlined into the kernels that use them. Exports no kernel. */

/** Bytes from which the engine's own copy is faster than an inline loop. */
const LONG: usize = 1024;

/** Copies n bytes without writing past the end. */
@inline
export function copyLine(y: usize, x: usize, n: usize): void {
  if (n >= LONG) {
    memory.copy(y, x, n);
  } else if (n >= 16) {
    let i: usize = 0;
    for (; i + 16 <= n; i += 16) v128.store(y + i, v128.load(x + i));
    if (i < n) v128.store(y + n - 16, v128.load(x + n - 16));
  } else {
    let i: usize = 0;
    if (n & 8) {
      store<u64>(y, load<u64>(x));
      i = 8;
    }
    if (n & 4) {
      store<u32>(y + i, load<u32>(x + i));
      i += 4;
    }
    if (n & 2) {
      store<u16>(y + i, load<u16>(x + i));
      i += 2;
    }
    if (n & 1) store<u8>(y + i, load<u8>(x + i));
  }
}

/** Stores the first n (1..15) bytes of v. */
@inline
export function storeBytes(y: usize, v: v128, n: usize): void {
  if (n & 8) {
    v128.store64_lane(y, v, 0);
    v = i64x2.shuffle(v, v, 1, 1);
    y += 8;
  }
  if (n & 4) {
    v128.store32_lane(y, v, 0);
    v = i64x2.shr_u(v, 32);
    y += 4;
  }
  if (n & 2) {
    v128.store16_lane(y, v, 0);
    v = i32x4.shr_u(v, 16);
    y += 2;
  }
  if (n & 1) v128.store8_lane(y, v, 0);
}

/** Copies the first `bytes` of each of `rows` rows of a staged tile (rows of `stagePitch` bytes) to their place. */
export function unstage(stage: usize, stagePitch: usize, y: usize, pitch: usize, rows: i32, bytes: usize): void {
  for (; rows > 0; rows--) {
    copyLine(y, stage, bytes);
    stage += stagePitch;
    y += pitch;
  }
}
