/**
 * Max and average pooling of NHWC images. The row unit is an output row of one image. Channels are taken in vectors;
 * the last vector of a pixel overlaps the one before, so that nothing is written past the end.
 *
 * Geometry: image h x w x c, output oh x ow, kernel kh x kw, strides, dilations, pads top and left. Averages divide by
 * the taps inside [countTop, countBottom) x [countLeft, countRight), in image coordinates.
 */
import { storeBytes } from './line';

/** First tap at or after `low` of a window that starts at `start`. */
@inline
function firstTap(start: i32, low: i32, dilation: i32): i32 {
  return start < low ? (low - start + dilation - 1) / dilation : 0;
}

/** One past the last of k taps before `high`. */
@inline
function lastTap(start: i32, high: i32, dilation: i32, k: i32): i32 {
  return start < high ? min(k, (high - start + dilation - 1) / dilation) : 0;
}

/** Largest (`max`) or mean of ny x nx pixels at p, `down` and `right` bytes apart, to the pixel at q. */
@inline
function f32_window(max: bool, p: usize, down: i32, right: i32, ny: i32, nx: i32, q: usize, c: i32, count: f32): void {
  const start = max ? f32x4.splat(-Infinity) : f32x4.splat(0);
  const divisor = f32x4.splat(count);
  let i = 0;
  for (; i + 16 <= c; i += 16) {
    let a = start;
    let b = start;
    let d = start;
    let e = start;
    let line = p + (i << 2);
    for (let ky = ny; ky > 0; ky--) {
      let t = line;
      for (let kx = nx; kx > 0; kx--) {
        if (max) {
          a = f32x4.pmax(a, v128.load(t));
          b = f32x4.pmax(b, v128.load(t, 16));
          d = f32x4.pmax(d, v128.load(t, 32));
          e = f32x4.pmax(e, v128.load(t, 48));
        } else {
          a = f32x4.add(a, v128.load(t));
          b = f32x4.add(b, v128.load(t, 16));
          d = f32x4.add(d, v128.load(t, 32));
          e = f32x4.add(e, v128.load(t, 48));
        }
        t += right;
      }
      line += down;
    }
    const y = q + (i << 2);
    v128.store(y, max ? a : f32x4.div(a, divisor));
    v128.store(y, max ? b : f32x4.div(b, divisor), 16);
    v128.store(y, max ? d : f32x4.div(d, divisor), 32);
    v128.store(y, max ? e : f32x4.div(e, divisor), 48);
  }
  for (; i < c; i += 4) {
    if (i + 4 > c && c >= 4) i = c - 4;
    let a = start;
    let line = p + (i << 2);
    for (let ky = ny; ky > 0; ky--) {
      let t = line;
      for (let kx = nx; kx > 0; kx--) {
        a = max ? f32x4.pmax(a, v128.load(t)) : f32x4.add(a, v128.load(t));
        t += right;
      }
      line += down;
    }
    if (!max) a = f32x4.div(a, divisor);
    if (c >= 4) v128.store(q + (i << 2), a);
    else storeBytes(q, a, c << 2);
  }
}

@inline
function f32_pool(
  max: bool, x: usize, y: usize, h: i32, w: i32, c: i32, oh: i32, ow: i32, kh: i32, kw: i32, sh: i32, sw: i32, dh: i32, dw: i32,
  top: i32, left: i32, countTop: i32, countLeft: i32, countBottom: i32, countRight: i32, from: i32, to: i32,
): void {
  const pixel = c << 2;
  for (let r = from; r < to; r++) {
    const image = r / oh;
    const iy = (r - image * oh) * sh - top;
    const y0 = firstTap(iy, 0, dh);
    const ny = lastTap(iy, h, dh, kh) - y0;
    const county = max ? 0 : lastTap(iy, countBottom, dh, kh) - firstTap(iy, countTop, dh);
    const line = x + (image * h + iy + y0 * dh) * w * pixel;
    let q = y + r * ow * pixel;
    let ix = -left;
    for (let ox = ow; ox > 0; ox--) {
      const x0 = firstTap(ix, 0, dw);
      const nx = lastTap(ix, w, dw, kw) - x0;
      const count = max ? 0 : county * (lastTap(ix, countRight, dw, kw) - firstTap(ix, countLeft, dw));
      f32_window(max, line + (ix + x0 * dw) * pixel, dh * w * pixel, dw * pixel, ny, nx, q, c, <f32>count);
      q += pixel;
      ix += sw;
    }
  }
}

export function f32_maxPool(
  x: usize, y: usize, h: i32, w: i32, c: i32, oh: i32, ow: i32, kh: i32, kw: i32, sh: i32, sw: i32, dh: i32, dw: i32,
  top: i32, left: i32, from: i32, to: i32,
): void {
  f32_pool(true, x, y, h, w, c, oh, ow, kh, kw, sh, sw, dh, dw, top, left, 0, 0, 0, 0, from, to);
}

export function f32_averagePool(
  x: usize, y: usize, h: i32, w: i32, c: i32, oh: i32, ow: i32, kh: i32, kw: i32, sh: i32, sw: i32, dh: i32, dw: i32,
  top: i32, left: i32, countTop: i32, countLeft: i32, countBottom: i32, countRight: i32, from: i32, to: i32,
): void {
  f32_pool(
    false, x, y, h, w, c, oh, ow, kh, kw, sh, sw, dh, dw, top, left, countTop, countLeft, countBottom, countRight, from, to,
  );
}

export function i8_maxPool(
  x: usize, y: usize, h: i32, w: i32, c: i32, oh: i32, ow: i32, kh: i32, kw: i32, sh: i32, sw: i32, dh: i32, dw: i32,
  top: i32, left: i32, from: i32, to: i32,
): void {
  const down = dh * w * c;
  const right = dw * c;
  for (let r = from; r < to; r++) {
    const image = r / oh;
    const iy = (r - image * oh) * sh - top;
    const y0 = firstTap(iy, 0, dh);
    const ny = lastTap(iy, h, dh, kh) - y0;
    const line = x + (image * h + iy + y0 * dh) * w * c;
    let q = y + r * ow * c;
    let ix = -left;
    for (let ox = ow; ox > 0; ox--) {
      const x0 = firstTap(ix, 0, dw);
      const nx = lastTap(ix, w, dw, kw) - x0;
      const p = line + (ix + x0 * dw) * c;
      let i = 0;
      for (; i + 64 <= c; i += 64) {
        let a = i8x16.splat(0);
        let b = a;
        let d = a;
        let e = a;
        let t = p + i;
        for (let ky = ny; ky > 0; ky--) {
          let tap = t;
          for (let kx = nx; kx > 0; kx--) {
            a = i8x16.max_u(a, v128.load(tap));
            b = i8x16.max_u(b, v128.load(tap, 16));
            d = i8x16.max_u(d, v128.load(tap, 32));
            e = i8x16.max_u(e, v128.load(tap, 48));
            tap += right;
          }
          t += down;
        }
        v128.store(q + i, a);
        v128.store(q + i, b, 16);
        v128.store(q + i, d, 32);
        v128.store(q + i, e, 48);
      }
      for (; i < c; i += 16) {
        if (i + 16 > c && c >= 16) i = c - 16;
        let a = i8x16.splat(0);
        let t = p + i;
        for (let ky = ny; ky > 0; ky--) {
          let tap = t;
          for (let kx = nx; kx > 0; kx--) {
            a = i8x16.max_u(a, v128.load(tap));
            tap += right;
          }
          t += down;
        }
        if (c >= 16) v128.store(q + i, a);
        else storeBytes(q, a, c);
      }
      q += c;
      ix += sw;
    }
  }
}

/** y = (S * ceil(2^22 / count) + 2^21) >> 22 over sums S of bytes; counted taps outside the image are worth `zero`. */
export function i8_averagePool(
  x: usize, y: usize, h: i32, w: i32, c: i32, oh: i32, ow: i32, kh: i32, kw: i32, sh: i32, sw: i32, dh: i32, dw: i32,
  top: i32, left: i32, countTop: i32, countLeft: i32, countBottom: i32, countRight: i32, zero: i32, from: i32, to: i32,
): void {
  const half = i32x4.splat(1 << 21);
  const down = dh * w * c;
  const right = dw * c;
  for (let r = from; r < to; r++) {
    const image = r / oh;
    const iy = (r - image * oh) * sh - top;
    const y0 = firstTap(iy, 0, dh);
    const ny = lastTap(iy, h, dh, kh) - y0;
    const county = lastTap(iy, countBottom, dh, kh) - firstTap(iy, countTop, dh);
    const line = x + (image * h + iy + y0 * dh) * w * c;
    let q = y + r * ow * c;
    let ix = -left;
    for (let ox = ow; ox > 0; ox--) {
      const x0 = firstTap(ix, 0, dw);
      const nx = lastTap(ix, w, dw, kw) - x0;
      const count = county * (lastTap(ix, countRight, dw, kw) - firstTap(ix, countLeft, dw));
      const multiplier = i32x4.splat(((1 << 22) + count - 1) / count);
      const start = i32x4.splat((count - ny * nx) * zero);
      const p = line + (ix + x0 * dw) * c;
      for (let i = 0; i < c; i += 8) {
        if (i + 8 > c && c >= 8) i = c - 8;
        let low = start;
        let high = start;
        let t = p + i;
        for (let ky = ny; ky > 0; ky--) {
          let tap = t;
          for (let kx = nx; kx > 0; kx--) {
            const v = i16x8.extend_low_i8x16_u(v128.load64_zero(tap));
            low = i32x4.add(low, i32x4.extend_low_i16x8_u(v));
            high = i32x4.add(high, i32x4.extend_high_i16x8_u(v));
            tap += right;
          }
          t += down;
        }
        low = i32x4.shr_s(i32x4.add(i32x4.mul(low, multiplier), half), 22);
        high = i32x4.shr_s(i32x4.add(i32x4.mul(high, multiplier), half), 22);
        const words = i16x8.narrow_i32x4_s(low, high);
        const bytes = i8x16.narrow_i16x8_u(words, words);
        if (c >= 8) v128.store64_lane(q + i, bytes, 0);
        else storeBytes(q, bytes, c);
      }
      q += c;
      ix += sw;
    }
  }
}
