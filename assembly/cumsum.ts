/** Running sums of n elements `inner` apart; y may be x. The row unit is one line. */

@inline
function lines<T extends number>(
  x: usize, y: usize, n: i32, inner: i32, exclusive: i32, reverse: i32, from: i32, to: i32,
): void {
  const step = reverse ? -inner : inner;
  for (let row = from; row < to; row++) {
    const outer = row / inner;
    const first = outer * n * inner + (row - outer * inner);
    let at = reverse ? first + (n - 1) * inner : first;
    let sum: T = 0;
    for (let i = 0; i < n; i++) {
      const next = sum + load<T>(x + (at << 2));
      store<T>(y + (at << 2), exclusive ? sum : next);
      sum = next;
      at += step;
    }
  }
}

export function f32_cumsum(
  x: usize, y: usize, n: i32, inner: i32, exclusive: i32, reverse: i32, from: i32, to: i32,
): void {
  lines<f32>(x, y, n, inner, exclusive, reverse, from, to);
}

export function i32_cumsum(
  x: usize, y: usize, n: i32, inner: i32, exclusive: i32, reverse: i32, from: i32, to: i32,
): void {
  lines<i32>(x, y, n, inner, exclusive, reverse, from, to);
}
