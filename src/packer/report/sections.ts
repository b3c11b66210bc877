/** The sections of a report, in the order in which they stand. Each is undefined where there is nothing to say. */
import { histogram, line, linear, logarithmic, plot, scattered, stacked } from './charts';
import { type Html, html } from './html';
import { difference, METRICS, type Metric, measured, qualityOf } from './metrics';
import type { Distribution, FileStorage, LayerSensitivity, LayerStorage, Report, ReportFigures, StepReport } from './types';
import * as units from './units';

type Section = (report: Report) => Html | undefined;

const section = (title: string, note: string | undefined, contents: Html): Html =>
  html`<section><h2>${title}</h2>${note && html`<p class="note">${note}</p>`}${contents}</section>`;

const legend = (entries: readonly (readonly [kind: string, text: string])[]): Html =>
  html`<ul class="legend">${entries.map(([kind, text]) => html`<li><i class="${kind}"></i>${text}</li>`)}</ul>`;

const NONE = html`<span class="none">–</span>`;

/** What became of the first file, at a glance. */
const headline: Section = ({ files = [] }) => {
  const [first, last] = [files[0], files.at(-1)];
  if (files.length !== 2 || !first || !last) return undefined;
  const quality = qualityOf([first, last]);
  const keys = new Set(['bytes', quality?.key, first.browserMs === undefined ? 'ms' : 'browserMs', 'memory']);
  const tiles = METRICS.filter(({ key }) => keys.has(key) && last[key] !== undefined);
  return html`<dl class="tiles">${tiles.map(
    (metric) => html`<div><dt>${metric.name}</dt><dd>${metric.text(last[metric.key]!)}</dd>
<dd class="from">${
      first[metric.key] !== undefined &&
      html`from ${metric.text(first[metric.key]!)} ${difference(metric, first[metric.key], last[metric.key])}`
    }</dd></div>`,
  )}</dl>`;
};

const filesTable: Section = ({ files = [] }) => {
  const [first] = files;
  if (!first) return undefined;
  const columns = measured(files);
  const cell = (file: ReportFigures, metric: Metric) => {
    const value = file[metric.key];
    const change = file === first ? undefined : difference(metric, first[metric.key], value);
    return html`<td>${value === undefined ? NONE : metric.text(value)}${change}</td>`;
  };
  const note = files.length > 1 ? 'Differences are to the first.' : undefined;
  return section(
    'Files',
    note,
    html`<div class="wide"><table><thead><tr><th>File</th>${columns.map(({ name }) => html`<th>${name}</th>`)}</tr></thead>
<tbody>${files.map((file) => html`<tr><th>${file.name}</th>${columns.map((metric) => cell(file, metric))}</tr>`)}</tbody></table></div>`,
  );
};

/** Points of which no other is both smaller and better. */
function paretoFront<T extends { size: number; quality: number }>(points: readonly T[]): T[] {
  const front: T[] = [];
  for (const point of [...points].sort((a, b) => a.size - b.size || b.quality - a.quality))
    if (point.quality > (front.at(-1)?.quality ?? Number.NEGATIVE_INFINITY)) front.push(point);
  return front;
}

const KINDS = [
  ['file', 'a file'],
  ['kept', 'after a step'],
  ['dropped', 'after a step that was rolled back'],
] as const;

/** Files and steps by size and quality. */
const curve: Section = ({ files = [], steps = [] }) => {
  const candidates = [
    ...files.map((file) => ({ figures: file as ReportFigures, name: file.name, kind: 'file' })),
    ...steps.map(({ name, after, kept }) => ({ figures: after, name, kind: kept ? 'kept' : 'dropped' })),
  ];
  const metric = qualityOf(candidates.map(({ figures }) => figures));
  if (!metric) return undefined;
  const seen = new Set<string>();
  const points = candidates.flatMap(({ figures, name, kind }) => {
    const [size, quality] = [figures.bytes, figures[metric.key]];
    if (!size || quality === undefined || seen.has(`${size} ${quality}`)) return [];
    seen.add(`${size} ${quality}`);
    return { size, quality, name, kind };
  });
  if (points.length < 3) return undefined;
  const x = logarithmic(
    points.map(({ size }) => size),
    { margin: 0.12 },
  );
  const y = linear(
    points.map(({ quality }) => quality),
    { margin: 0.15 },
  );
  const places = points.map(({ size, quality, name, kind }) => ({
    ...{ x: x.at(size), y: y.at(quality), kind, label: name },
    title: `${name}: ${units.bytes(size)}, ${metric.text(quality)}`,
  }));
  const front = paretoFront(points.filter(({ kind }) => kind !== 'dropped'));
  const corners = front.flatMap((point, i) => {
    const before = front[i - 1];
    return [
      ...(before ? [[x.at(point.size), y.at(before.quality)] as const] : []),
      [x.at(point.size), y.at(point.quality)] as const,
    ];
  });
  const kinds = KINDS.filter(([kind]) => points.some((point) => point.kind === kind));
  return section(
    'Size and quality',
    'The line is the front: what is on it is beaten by nothing that is smaller. Sizes are on a logarithmic scale.',
    html`${plot(
      `${metric.name} by size`,
      { ...x, text: units.bytesTick, label: 'Size of the file' },
      { ...y, label: metric.unit ? `${metric.name}, ${metric.unit}` : metric.name },
      html`${line(corners, 'front')}${scattered(places)}`,
    )}${kinds.length > 1 && legend(kinds)}`,
  );
};

const stepsList: Section = ({ steps = [] }) =>
  steps.length === 0 ? undefined : section('Steps', undefined, html`<ol class="steps">${steps.map(stepItem)}</ol>`);

const stepItem = ({ name, what, before, after, kept, outcome = kept ? 'kept' : 'rolled back', why, seconds }: StepReport): Html =>
  html`<li class="${kept ? 'kept' : 'dropped'}"><h3>${name} <span class="badge">${outcome}</span><span class="time">${units.seconds(seconds)}</span></h3>
<p>${what}</p>${why && html`<p class="why">${why}</p>`}${changes(before, after)}</li>`;

/** Only of what is known after the step. */
function changes(before: ReportFigures, after: ReportFigures): Html | undefined {
  const known = measured([after]);
  if (known.length === 0) return undefined;
  return html`<dl class="changes">${known.map((metric) => {
    const [from, to] = [before[metric.key], after[metric.key]!];
    return html`<div><dt>${metric.name}</dt><dd>${
      from !== undefined && metric.text(from) !== metric.text(to) && html`<span class="from">${metric.text(from)} → </span>`
    }${metric.text(to)}${difference(metric, from, to)}</dd></div>`;
  })}</dl>`;
}

const sensitivityTable: Section = ({ sensitivity = [] }) => {
  if (sensitivity.length === 0) return undefined;
  const formats = [...new Set(sensitivity.flatMap(({ choices }) => choices.map(({ format }) => format)))];
  const errors = sensitivity
    .flatMap(({ choices }) => choices.map(({ error }) => error))
    .filter((e) => e > 0 && Number.isFinite(e));
  const [least, most] = [Math.log(Math.min(...errors)), Math.log(Math.max(...errors))];
  const width = (error: number) => (!(error > 0) ? 0 : most > least ? 4 + (96 * (Math.log(error) - least)) / (most - least) : 50);
  const weighted = sensitivity.some(({ weights }) => weights !== undefined);
  const cell = ({ choices, chosen }: LayerSensitivity, format: string) => {
    const choice = choices.find((c) => c.format === format);
    if (!choice) return html`<td>${NONE}</td>`;
    const bar = stacked([{ percent: Math.min(100, width(choice.error)), kind: 'error', title: '' }]);
    return html`<td class="${chosen === format && 'chosen'}">${units.figures(choice.error)}${bar}</td>`;
  };
  const note = sensitivity.some(({ chosen }) => chosen !== undefined)
    ? 'Error of the outputs when one layer alone is so; bars are logarithmic. What was chosen is marked.'
    : 'Error of the outputs when one layer alone is so; bars are logarithmic.';
  return section(
    'Sensitivity',
    note,
    html`<div class="wide"><table class="sensitivity"><thead><tr><th>Layer</th>${weighted && html`<th>Weights</th>`}${formats.map((format) => html`<th>${format}</th>`)}</tr></thead>
<tbody>${sensitivity.map(
      (layer) =>
        html`<tr><th>${layer.layer}</th>${weighted && html`<td>${layer.weights === undefined ? NONE : units.count(layer.weights)}</td>`}${formats.map((format) => cell(layer, format))}</tr>`,
    )}</tbody></table></div>`,
  );
};

/** Encodings that have a colour of their own. */
const COLOURS = 7;

const storageTables: Section = ({ storage = [] }) => {
  const sizes = new Map<string, number>();
  for (const { layers } of storage)
    for (const { parts } of layers)
      for (const { encoding, bytes } of parts) sizes.set(encoding, (sizes.get(encoding) ?? 0) + bytes);
  if (sizes.size === 0) return undefined;
  const named = [...sizes]
    .sort((a, b) => b[1] - a[1])
    .slice(0, COLOURS)
    .map(([encoding]) => encoding);
  const kindOf = (encoding: string) => `c${named.indexOf(encoding) + 1}`;
  const entries = named.map((encoding) => [kindOf(encoding), encoding] as const);
  const all = sizes.size > named.length ? [...entries, ['c0', 'others'] as const] : entries;
  return section(
    'What takes the bytes',
    undefined,
    html`${legend(all)}${storage.map((file) => storageTable(file, storage.length > 1, kindOf))}`,
  );
};

const bytesOf = ({ parts }: LayerStorage): number => parts.reduce((sum, { bytes }) => sum + bytes, 0);

function storageTable({ file, layers }: FileStorage, isNamed: boolean, kindOf: (encoding: string) => string): Html {
  const all = layers.reduce((sum, layer) => sum + bytesOf(layer), 0);
  const most = Math.max(1, ...layers.map(bytesOf));
  const row = (layer: LayerStorage) => {
    const bytes = bytesOf(layer);
    const parts = layer.parts.map((part) => ({
      percent: (100 * part.bytes) / most,
      kind: kindOf(part.encoding),
      title: `${part.encoding}: ${units.bytes(part.bytes)}`,
    }));
    const bits = layer.elements > 0 ? units.fixed((8 * bytes) / layer.elements, 2) : NONE;
    return html`<tr><th>${layer.layer}</th><td class="drawn">${stacked(parts)}</td><td>${units.bytes(bytes)}</td><td>${units.percent1((100 * bytes) / all)}</td><td>${bits}</td></tr>`;
  };
  return html`${isNamed && html`<h3>${file}</h3>`}<div class="wide"><table class="storage"><thead><tr><th>Layer</th><th></th><th>Bytes</th><th>Share</th><th>Bits each</th></tr></thead><tbody>${layers.map(row)}</tbody></table></div>`;
}

/** Charts that are seen at once; the others are unfolded. */
const SEEN = 24;

const histograms: Section = ({ histograms = [] }) => {
  const groups = histograms.flatMap(({ file, weights, activations }) => [
    { file, title: 'Weights', all: weights },
    { file, title: 'Activations', all: activations },
  ]);
  const filled = groups.filter(({ all }) => all.length > 0);
  if (filled.length === 0) return undefined;
  const isNamed = histograms.length > 1;
  return section(
    'Distributions',
    'From the least to the greatest number; zeros are counted apart, and heights are square roots of counts.',
    html`${filled.map(({ file, title, all }) => {
      const rest = all.slice(SEEN);
      const heading = isNamed ? html`<h3>${title}, ${file}</h3>` : html`<h3>${title}</h3>`;
      const more = rest.length > 0 && html`<details><summary>${rest.length} more</summary>${grid(rest)}</details>`;
      return html`${heading}${grid(all.slice(0, SEEN))}${more}`;
    })}`,
  );
};

const grid = (all: readonly Distribution[]): Html =>
  html`<div class="grid-of">${all.map(
    ({ name, low, high, counts, zeros }) =>
      html`<figure class="small"><figcaption title="${name}">${name}</figcaption>${histogram(counts, low, high)}${
        zeros !== undefined && zeros > 0 && html`<p class="zeros">${units.percent1(100 * zeros)} zeros</p>`
      }</figure>`,
  )}</div>`;

const training: Section = ({ training = [] }) => {
  const runs = training.filter(({ epochs }) => epochs.length > 0);
  if (runs.length === 0) return undefined;
  const epochs = runs.flatMap(({ epochs }) => epochs);
  const x = linear(
    epochs.map(({ epoch }) => epoch),
    { ticks: 8 },
  );
  const whole = { ...x, ticks: x.ticks.filter(Number.isInteger), text: String };
  const chart = (label: string, value: (epoch: (typeof epochs)[number]) => number | undefined, isLogarithmic: boolean) => {
    const values = epochs.map(value).filter((v) => v !== undefined);
    if (values.length === 0) return undefined;
    const spread = isLogarithmic && Math.min(...values) > 0 && Math.max(...values) > 20 * Math.min(...values);
    const y = spread ? logarithmic(values, { margin: 0.05 }) : linear(values, { margin: 0.05 });
    const lines = runs.map(({ epochs }, i) => {
      const points = epochs.flatMap((epoch) => {
        const v = value(epoch);
        return v === undefined ? [] : [[x.at(epoch.epoch), y.at(v)] as const];
      });
      const kind = `c${(i % COLOURS) + 1}`;
      const [only] = points.length === 1 ? points : [];
      return only ? scattered([{ x: only[0], y: only[1], kind, label: '', title: '' }]) : line(points, kind);
    });
    return plot(`${label} by epoch`, { ...whole, label: 'Epoch' }, { ...y, label }, html`${lines}`);
  };
  const names = runs.map(({ name }, i) => [`c${(i % COLOURS) + 1}`, name] as const);
  return section(
    'Training',
    undefined,
    html`${runs.length > 1 && legend(names)}<div class="pair">${chart('Loss', ({ loss }) => loss, true)}${chart('Top-1, %', ({ top1 }) => top1, false)}</div>`,
  );
};

const facts: Section = ({ facts = [] }) =>
  facts.length === 0
    ? undefined
    : section(
        'How it was made',
        undefined,
        html`<dl class="facts">${facts.map(([name, text]) => html`<dt>${name}</dt><dd>${text}</dd>`)}</dl>`,
      );

export const SECTIONS: readonly Section[] = [
  ...[headline, filesTable, curve, stepsList, sensitivityTable, storageTables, histograms, training, facts],
];
