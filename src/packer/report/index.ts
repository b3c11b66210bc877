/**
 * One HTML file about what was made of a model: no scripts, no network, nothing beside it; it prints, and is light or dark as
 * its reader's system is. Names from models are text to it, whatever they hold.
 */
import { html } from './html';
import { SECTIONS } from './sections';
import { STYLE } from './style';
import type { Report } from './types';

export { figuresOf, histogramsOf, storageOf } from './measure';
export type {
  Distribution,
  FileFigures,
  FileHistograms,
  FileStorage,
  LayerSensitivity,
  LayerStorage,
  Report,
  ReportFigures,
  StepReport,
  TrainingCurve,
} from './types';

/** The whole document, which is well-formed XML too. */
export function reportHtml(report: Report): string {
  const { title, summary } = report;
  return html`<!DOCTYPE html>
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
<header><h1>${title}</h1>${summary && html`<p>${summary}</p>`}</header>
<main>
${SECTIONS.map((section) => section(report))}
</main>
</body>
</html>
`.text;
}
