/**
 * Charts as SVG. Places are percentages of whatever size a chart gets, so that text keeps its size on any screen; lines are in
 * pictures of their own, which are stretched.
 */
import { type Html, html } from './html';
import * as units from './units';

/** From a value to a percentage, and the values that are written beside. */
export interface Scale {
  at(value: number): number;
  readonly ticks: readonly number[];
  /** With as many decimals as tell ticks apart. */
  text(value: number): string;
}

/** Places of ticks: 1, 2 or 5 times a power of 10 apart. */
function evenTicks(low: number, high: number, most: number): Pick<Scale, 'ticks' | 'text'> {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const apart = [1, 2, 5, 10].map((n) => n * power).find((step) => step >= rough)!;
  const first = Math.ceil(low / apart - 1e-9);
  const count = Math.floor(high / apart + 1e-9) - first + 1;
  const decimals = Math.max(0, Math.min(12, Math.ceil(-Math.log10(apart) - 1e-9)));
  const ticks = Array.from({ length: count }, (_, i) => Number(((first + i) * apart).toPrecision(12)));
  return { ticks, text: (value) => units.fixed(value, decimals) };
}

/** Values that are all alike lie in the middle. */
export function linear(values: readonly number[], { margin = 0, ticks = 5 } = {}): Scale {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const room = high > low ? margin * (high - low) : Math.abs(high) / 10 || 1;
  [low, high] = [low - room, high + room];
  return { at: (value) => (100 * (value - low)) / (high - low), ...evenTicks(low, high, ticks) };
}

/** Of positive values. */
export function logarithmic(values: readonly number[], { margin = 0 } = {}): Scale {
  let [low, high] = [Math.log10(Math.min(...values)), Math.log10(Math.max(...values))];
  const room = high > low ? margin * (high - low) : 0.1;
  [low, high] = [low - room, high + room];
  const multiples = high - low > 2.5 ? [1] : high - low > 1 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
  const powers = Array.from({ length: Math.ceil(high) - Math.floor(low) + 1 }, (_, i) => 10 ** (Math.floor(low) + i));
  const ticks = powers.flatMap((power) => multiples.map((n) => n * power));
  const within = ticks.filter((t) => Math.log10(t) >= low && Math.log10(t) <= high);
  return { at: (value) => (100 * (Math.log10(value) - low)) / (high - low), ticks: within, text: units.figures };
}

const place = (percent: number): string => `${percent.toFixed(2)}%`;
const down = (percent: number): string => place(100 - percent);

/** Percent of the width between the middles of two labels on a small screen, at the least. */
const APART = 20;

/** Places whose labels would touch those before them on a small screen. */
function crowded(places: readonly number[]): ReadonlySet<number> {
  const skipped = new Set<number>();
  let last = Number.NEGATIVE_INFINITY;
  for (const at of places)
    if (at - last < APART) skipped.add(at);
    else last = at;
  return skipped;
}

/** Axes, a grid, and what is in them. `name` says what the chart shows to who cannot see it. */
export function plot(name: string, x: Scale & { label: string }, y: Scale & { label: string }, contents: Html): Html {
  const few = crowded(x.ticks.map(x.at));
  return html`<figure class="plot"><figcaption>${y.label}</figcaption>
<svg role="img" aria-label="${name}">
<g class="grid">${y.ticks.map((t) => html`<line x1="0" x2="100%" y1="${down(y.at(t))}" y2="${down(y.at(t))}"/>`)}${x.ticks.map(
    (t) => html`<line y1="0" y2="100%" x1="${place(x.at(t))}" x2="${place(x.at(t))}"/>`,
  )}</g>
<g class="ticks">${y.ticks.map((t) => html`<text x="0" dx="-8" dy="0.35em" y="${down(y.at(t))}" text-anchor="end">${y.text(t)}</text>`)}${x.ticks.map(
    (t) =>
      html`<text x="${place(x.at(t))}" y="100%" dy="1.5em" text-anchor="middle" class="${few.has(x.at(t)) && 'crowded'}">${x.text(t)}</text>`,
  )}</g>
${contents}
</svg><p class="axis">${x.label}</p></figure>`;
}

/** A line through points, in percent. */
export const line = (points: readonly (readonly [x: number, y: number])[], kind: string): Html =>
  html`<svg viewBox="0 0 100 100" preserveAspectRatio="none" class="${kind}"><polyline points="${points
    .map(([x, y]) => `${x.toFixed(2)},${(100 - y).toFixed(2)}`)
    .join(' ')}"/></svg>`;

export interface Point {
  readonly x: number;
  readonly y: number;
  readonly kind: string;
  readonly label: string;
  /** What is shown to who points at it. */
  readonly title: string;
}

/** The least size in pixels of a chart that shows labels, for which they are laid out so as not to touch. */
const [WIDTH, HEIGHT] = [420, 300];
const [LETTER, LINE, AWAY] = [6.6, 15, 9];
const LONGEST = 22;

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

const touch = (a: Box, b: Box): boolean => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

/** Points, in percent, and names of those beside which there is room. */
export function scattered(points: readonly Point[]): Html {
  const taken: Box[] = points.map(({ x, y }) => boxAt((x * WIDTH) / 100, ((100 - y) * HEIGHT) / 100, 10, 10));
  const labels = points.map(({ label }) => (label.length > LONGEST ? `${label.slice(0, LONGEST - 1)}…` : label));
  const drawn = points.map(({ x, y, kind, title }, i) => {
    const [cx, cy] = [(x * WIDTH) / 100, ((100 - y) * HEIGHT) / 100];
    const width = labels[i]!.length * LETTER;
    const beside = (anchor: 'start' | 'end', dx: number, dy: number) => {
      const middle = cx + (anchor === 'start' ? dx + width / 2 : dx - width / 2);
      return { anchor, dx, dy: dy + 4.5, box: boxAt(middle, cy + dy, width, LINE) };
    };
    // Fronts leave their points to the right and come from below: above and aside first.
    const ways = [
      ...[beside('start', 5, -AWAY - 2), beside('start', 5, AWAY + 3), beside('end', -5, -AWAY - 2), beside('end', -AWAY, 0)],
      ...[beside('start', AWAY, 0), beside('end', -5, AWAY + 3)],
    ];
    const fits = ({ box }: (typeof ways)[number]) =>
      box.left >= 0 &&
      box.right <= WIDTH + 8 &&
      box.top >= -8 &&
      box.bottom <= HEIGHT &&
      !taken.some((other, k) => k !== i && touch(box, other));
    const way = ways.find(fits);
    if (way) taken.push(way.box);
    return html`<g class="point ${kind}"><circle cx="${place(x)}" cy="${down(y)}" r="5"><title>${title}</title></circle>${
      way &&
      html`<text x="${place(x)}" y="${down(y)}" dx="${way.dx}" dy="${way.dy}" text-anchor="${way.anchor}">${labels[i]}</text>`
    }</g>`;
  });
  return html`${drawn}`;
}

const boxAt = (x: number, y: number, width: number, height: number): Box => ({
  left: x - width / 2,
  right: x + width / 2,
  top: y - height / 2,
  bottom: y + height / 2,
});

/** A bar of parts, of which each is so many percent of the row's width. */
export const stacked = (parts: readonly { percent: number; kind: string; title: string }[]): Html =>
  html`<svg class="bar" aria-hidden="true">${
    parts.reduce<{ at: number; drawn: Html[] }>(
      ({ at, drawn }, { percent, kind, title }) => ({
        at: at + percent,
        drawn: [
          ...drawn,
          html`<rect x="${place(at)}" width="${place(percent)}" height="100%" class="${kind}">${title && html`<title>${title}</title>`}</rect>`,
        ],
      }),
      { at: 0, drawn: [] },
    ).drawn
  }</svg>`;

/** Counts as columns whose heights are their square roots, so that few are seen beside many. */
export function histogram(counts: readonly number[], low: number, high: number): Html {
  const most = Math.sqrt(Math.max(1, ...counts));
  const steps = counts.map((n, i) => `L${i} ${(40 - (38 * Math.sqrt(n)) / most).toFixed(2)}h1`).join('');
  const zero = high > low && low < 0 && high > 0 ? (100 * -low) / (high - low) : undefined;
  return html`<svg class="histogram" aria-hidden="true">${
    zero !== undefined && html`<line x1="${place(zero)}" x2="${place(zero)}" y1="0" y2="100%"/>`
  }<svg viewBox="0 0 ${counts.length} 40" preserveAspectRatio="none"><path d="M0 40${steps}V40z"/></svg></svg>
<p class="range"><span>${units.figures(low)}</span><span>${units.figures(high)}</span></p>`;
}
