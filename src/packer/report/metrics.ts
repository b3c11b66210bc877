/** The figures of a report: what each is called, how it is written and compared, in the order of the columns. */
import { type Html, html } from './html';
import type { ReportFigures } from './types';
import * as units from './units';

export interface Metric {
  readonly key: keyof ReportFigures;
  readonly name: string;
  readonly text: (value: number) => string;
  readonly better: 'more' | 'less';
  /** On an axis. */
  readonly unit?: string;
  /** Differences are in the metric's own unit, not in percent. */
  readonly points?: boolean;
}

const share = { text: units.percent, better: 'more', points: true, unit: '%' } as const;
const time = { text: units.milliseconds, better: 'less' } as const;

export const METRICS: readonly Metric[] = [
  { key: 'bytes', name: 'Size', text: units.bytes, better: 'less' },
  { key: 'bitsPerWeight', name: 'Bits a weight', text: (v) => units.fixed(v, 2), better: 'less' },
  { key: 'parameters', name: 'Parameters', text: units.short, better: 'less' },
  { key: 'macs', name: 'MACs', text: units.short, better: 'less' },
  { key: 'top1', name: 'Top-1', ...share },
  { key: 'top5', name: 'Top-5', ...share },
  { key: 'characters', name: 'Characters', ...share },
  { key: 'texts', name: 'Texts', ...share },
  { key: 'agreement', name: 'Same class', ...share },
  { key: 'sameCharacters', name: 'Same characters', ...share },
  { key: 'sameTexts', name: 'Same texts', ...share },
  { key: 'iou', name: 'IoU', text: (v) => units.fixed(v, 4), better: 'more', points: true },
  { key: 'sqnr', name: 'SQNR', text: (v) => `${units.fixed(v, 1)}\u202fdB`, better: 'more', points: true, unit: 'dB' },
  { key: 'ms', name: 'Time', ...time },
  { key: 'browserMs', name: 'In the browser', ...time },
  { key: 'memory', name: 'Memory', text: units.bytes, better: 'less' },
];

/** What quality is, in this order, where a report has several. */
const QUALITIES: readonly (keyof ReportFigures)[] = ['top1', 'characters', 'agreement', 'sameCharacters', 'iou', 'sqnr'];

export const measured = (all: readonly ReportFigures[]): Metric[] =>
  METRICS.filter(({ key }) => all.some((figures) => figures[key] !== undefined));

/** What the quality of all of these is measured by: the first that most of them have. */
export function qualityOf(all: readonly ReportFigures[]): Metric | undefined {
  const having = (key: keyof ReportFigures) => all.filter((figures) => figures[key] !== undefined).length;
  const most = Math.max(0, ...QUALITIES.map(having));
  const key = most > 0 ? QUALITIES.find((key) => having(key) === most) : undefined;
  return METRICS.find((metric) => metric.key === key);
}

/** `−62 %`, `+0.21`: with a class that says whether that is good. Nothing where there is no difference to speak of. */
export function difference(
  { text, better, points }: Metric,
  before: number | undefined,
  after: number | undefined,
): Html | undefined {
  if (before === undefined || after === undefined || text(before) === text(after)) return undefined;
  if (!points && before === 0) return undefined;
  const change = points ? after - before : (100 * (after - before)) / before;
  const size = Math.abs(change);
  const sign = change < 0 ? '\u2212' : '+';
  const said = points
    ? text(size).replace(/\u202f.*$/, '')
    : size < 1000
      ? `${units.fixed(size, size < 10 ? 1 : 0)}\u202f%`
      : `\u00d7\u202f${units.figures(after / before)}`;
  const isGood = change > 0 === (better === 'more');
  return html`<span class="${isGood ? 'good' : 'bad'}">${!points && size >= 1000 ? '' : sign}${said}</span>`;
}
