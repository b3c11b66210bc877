/** Plane geometry for text boxes: hulls, rectangles of least area, and the map between two quadrilaterals. y points down. */

export type Point = readonly [x: number, y: number];

/** Top left, top right, bottom right, bottom left, as seen by a reader. */
export type Quad = readonly [Point, Point, Point, Point];

/** Row-major; maps (x, y, 1) to (u, v, w). */
export type Matrix3 = readonly number[];

/** The corners of the convex hull, in order around it; collinear points are left out. */
export function convexHull(points: readonly Point[]): Point[] {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  if (sorted.length < 3) return sorted;
  return [...halfHull(sorted), ...halfHull(sorted.reverse())];
}

function halfHull(sorted: readonly Point[]): Point[] {
  const chain: Point[] = [];
  for (const point of sorted) {
    while (chain.length >= 2 && cross(chain.at(-2)!, chain.at(-1)!, point) <= 0) chain.pop();
    chain.push(point);
  }
  chain.pop();
  return chain;
}

/** Twice the signed area of the triangle a, b, c. */
const cross = (a: Point, b: Point, c: Point): number => (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);

/** A rectangle at any angle. `axis` is the unit vector along `width`; `height` runs a quarter turn from it. */
export interface Rectangle {
  center: Point;
  axis: Point;
  width: number;
  height: number;
}

/** The rectangle of least area around the points; one of its sides lies along a side of their hull. Needs one point. */
export function leastRectangle(points: readonly Point[]): Rectangle {
  const hull = convexHull(points);
  let best: Rectangle | undefined;
  hull.forEach((from, index) => {
    const to = hull[(index + 1) % hull.length]!;
    const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
    const axis: Point = length > 0 ? [(to[0] - from[0]) / length, (to[1] - from[1]) / length] : [1, 0];
    const rectangle = bounds(hull, axis);
    if (!best || rectangle.width * rectangle.height < best.width * best.height) best = rectangle;
  });
  return best ?? bounds(points, [1, 0]);
}

function bounds(points: readonly Point[], axis: Point): Rectangle {
  const [ax, ay] = axis;
  let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const [x, y] of points) {
    const along = x * ax + y * ay;
    const across = y * ax - x * ay;
    left = Math.min(left, along);
    right = Math.max(right, along);
    top = Math.min(top, across);
    bottom = Math.max(bottom, across);
  }
  const along = (left + right) / 2;
  const across = (top + bottom) / 2;
  return {
    center: [along * ax - across * ay, along * ay + across * ax],
    axis,
    width: right - left,
    height: bottom - top,
  };
}

/** The rectangle grown by `margin` on all four sides. */
export function grow(rectangle: Rectangle, margin: number): Rectangle {
  return { ...rectangle, width: rectangle.width + 2 * margin, height: rectangle.height + 2 * margin };
}

/** The corners in reading order: of the two leftmost the upper is the top left one, and so on. */
export function corners({ center: [cx, cy], axis: [ax, ay], width, height }: Rectangle): Quad {
  const corner = (u: number, v: number): Point => [
    cx + (u * width * ax - v * height * ay) / 2,
    cy + (u * width * ay + v * height * ax) / 2,
  ];
  const byX = [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)].sort((a, b) => a[0] - b[0]);
  const byY = (a: Point, b: Point) => a[1] - b[1];
  const [topLeft, bottomLeft] = byX.slice(0, 2).sort(byY) as [Point, Point];
  const [topRight, bottomRight] = byX.slice(2).sort(byY) as [Point, Point];
  return [topLeft, topRight, bottomRight, bottomLeft];
}

/** Whether the point lies in the quadrilateral or on its border; the quadrilateral must be convex, in reading order. */
export function contains(quad: Quad, point: Point): boolean {
  return quad.every((from, index) => cross(from, quad[(index + 1) % 4]!, point) >= 0);
}

/** The perspective map that takes the four corners of `from` to those of `to`. */
export function perspective(from: Quad, to: Quad): Matrix3 {
  const rows: number[][] = [];
  from.forEach(([x, y], index) => {
    const [u, v] = to[index]!;
    rows.push([x, y, 1, 0, 0, 0, -x * u, -y * u, u], [0, 0, 0, x, y, 1, -x * v, -y * v, v]);
  });
  return [...solve(rows), 1];
}

/** Where the map takes (x, y). */
export function project(m: Matrix3, x: number, y: number): Point {
  const w = m[6]! * x + m[7]! * y + m[8]!;
  return [(m[0]! * x + m[1]! * y + m[2]!) / w, (m[3]! * x + m[4]! * y + m[5]!) / w];
}

/** Solves A·x = b by Gauss-Jordan elimination with pivoting; each row is A's row with b's entry at its end. */
function solve(rows: number[][]): number[] {
  const n = rows.length;
  for (let column = 0; column < n; column++) {
    let pivot = column;
    for (let row = column + 1; row < n; row++) if (Math.abs(rows[row]![column]!) > Math.abs(rows[pivot]![column]!)) pivot = row;
    [rows[column], rows[pivot]] = [rows[pivot]!, rows[column]!];
    const lead = rows[column]!;
    for (let row = 0; row < n; row++) {
      if (row === column) continue;
      const factor = rows[row]![column]! / lead[column]!;
      for (let k = column; k <= n; k++) rows[row]![k]! -= factor * lead[k]!;
    }
  }
  return rows.map((row, index) => row[n]! / row[index]!);
}
