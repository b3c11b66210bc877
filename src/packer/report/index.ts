/**
 * One HTML file about what was made of a model: no scripts, no network, nothing beside it; it prints, and is light or dark as
 * its reader's system is. Names from models are text to it, whatever they hold.
 */
import { type Html, html } from './html';
import { difference, measured } from './metrics';
import { STYLE } from './style';
import type { FileFigures, Report, ReportFigures, StepReport } from './types';
import * as units from './units';

export type {
  Distribution,
  FileFigures,
  FileStorage,
  LayerSensitivity,
  LayerStorage,
  Report,
  ReportFigures,
  StepReport,
  TrainingCurve,
} from './types';

/** The whole document. */
export function reportHtml(report: Report): string {
  const { title, summary, files = [], steps = [], facts = [] } = report;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<title>${title}</title>
<style>${STYLE}</style>
</head>
<body>
<header><h1>${title}</h1>${summary && html`<p class="summary">${summary}</p>`}</header>
<main>
${files.length > 0 && filesSection(files)}
${steps.length > 0 && stepsSection(steps)}
${facts.length > 0 && factsSection(facts)}
</main>
</body>
</html>
`.text;
}

function filesSection(files: readonly FileFigures[]): Html {
  const columns = measured(files);
  const [first] = files;
  const cell = (file: FileFigures, column: (typeof columns)[number]) => {
    const value = file[column.key];
    const change = file === first ? undefined : difference(column, first![column.key], value);
    return html`<td>${value === undefined ? html`<span class="none">–</span>` : column.text(value)}${change}</td>`;
  };
  return html`<section><h2>Files</h2><div class="wide"><table class="figures">
<thead><tr><th>File</th>${columns.map(({ name }) => html`<th>${name}</th>`)}</tr></thead>
<tbody>${files.map((file) => html`<tr><th>${file.name}</th>${columns.map((column) => cell(file, column))}</tr>`)}</tbody>
</table></div></section>`;
}

function stepsSection(steps: readonly StepReport[]): Html {
  return html`<section><h2>Steps</h2><ol class="steps">${steps.map(stepItem)}</ol></section>`;
}

function stepItem({ name, what, before, after, kept, why, seconds }: StepReport): Html {
  return html`<li class="${kept ? 'kept' : 'dropped'}"><h3>${name}<span class="badge">${kept ? 'kept' : 'rolled back'}</span><span class="time">${units.seconds(seconds)}</span></h3>
<p>${what}</p>${why && html`<p class="why">${why}</p>`}${changes(before, after)}</li>`;
}

/** Only what is known of after the step. */
function changes(before: ReportFigures, after: ReportFigures): Html | undefined {
  const known = measured([after]);
  if (known.length === 0) return undefined;
  return html`<dl class="changes">${known.map((metric) => {
    const [from, to] = [before[metric.key], after[metric.key]!];
    return html`<div><dt>${metric.name}</dt><dd>${from !== undefined && html`<span class="from">${metric.text(from)} →</span> `}${metric.text(to)}${difference(metric, from, to)}</dd></div>`;
  })}</dl>`;
}

function factsSection(facts: readonly (readonly [string, string])[]): Html {
  return html`<section><h2>How it was made</h2><dl class="facts">${facts.map(
    ([name, text]) => html`<dt>${name}</dt><dd>${text}</dd>`,
  )}</dl></section>`;
}
