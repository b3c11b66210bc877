// Where the windows of a convolution or a pool lie: src/ops/window.ts gives the numbers. An image is h x w pixels, `rows`
// windows are numbered across, then down, then by image.

const OUTSIDE = 0xffffffffu;

// First row of the image in all of x, and the top left pixel of the window, which wraps around below 0.
fn windowAt(row: u32) -> vec3u {
  let y = row / p.ow;
  return vec3u(y / p.oh * p.h, y % p.oh * p.strideH - p.top, row % p.ow * p.strideW - p.left);
}

// The pixel under tap (ky, kx) of a window, or OUTSIDE.
fn pixelAt(window: vec3u, ky: u32, kx: u32) -> u32 {
  let y = window.y + ky * p.dilationH;
  let x = window.z + kx * p.dilationW;
  return select(OUTSIDE, (window.x + y) * p.w + x, y < p.h && x < p.w);
}

// The window of the next number.
fn windowAfter(window: vec3u) -> vec3u {
  let x = window.z + p.strideW;
  let y = window.y + p.strideH;
  let isNextRow = x == p.ow * p.strideW - p.left;
  let isNextImage = isNextRow && y == p.oh * p.strideH - p.top;
  return vec3u(
    select(window.x, window.x + p.h, isNextImage),
    select(select(window.y, y, isNextRow), 0u - p.top, isNextImage),
    select(x, 0u - p.left, isNextRow));
}
