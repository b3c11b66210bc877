/** How reports look. */
import { Html } from './html';

export const STYLE = new Html(`
:root {
  color-scheme: light dark;
  --paper: #fdfdfc; --ink: #1c1e22; --soft: #646a73; --faint: #a4a9b0; --line: #e4e5e3; --wash: #f3f4f2;
  --good: #14734a; --bad: #b3382a; --accent: #2b5cc4;
  --c0: #b4b8bf; --c1: #2b5cc4; --c2: #d98324; --c3: #3a9a78; --c4: #b6437f; --c5: #7b62c9; --c6: #96862b; --c7: #4aa3c7;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14161a; --ink: #e8e9eb; --soft: #a0a6af; --faint: #5d636c; --line: #2b2f35; --wash: #1d2025;
    --good: #5fc896; --bad: #f08a78; --accent: #82aaf8;
    --c0: #6a7079; --c1: #82aaf8; --c2: #eba85c; --c3: #67c7a2; --c4: #e283b0; --c5: #ac9af0; --c6: #c9b95c; --c7: #7ccbe8;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0 auto; max-width: 66rem; padding: 3.5rem 1.75rem 5rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif;
  font-variant-numeric: tabular-nums;
}
h1, h2, h3, p, dl, dd, ul, ol, figure { margin: 0; padding: 0; }
h1 { font-size: 2rem; line-height: 1.2; font-weight: 650; letter-spacing: -0.02em; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; line-height: 1.3; font-weight: 650; letter-spacing: -0.01em; }
h3 { font-size: 1rem; font-weight: 600; margin: 1.5rem 0 0.5rem; overflow-wrap: anywhere; }
header p { overflow-wrap: anywhere; margin-top: 0.6rem; max-width: 46rem; color: var(--soft); font-size: 1.05rem; }
section { margin-top: 3.25rem; }
section > h2 { margin-bottom: 0.9rem; }
.note { margin: -0.65rem 0 1rem; color: var(--soft); font-size: 0.87rem; }
.none { color: var(--faint); }
.good { color: var(--good); }
.bad { color: var(--bad); }

.tiles { display: flex; flex-wrap: wrap; gap: 1px; margin-top: 2.25rem; background: var(--line); border: 1px solid var(--line); border-radius: 10px; overflow: hidden; }
.tiles div { flex: 1 1 10.5rem; padding: 1rem 1.2rem 1.05rem; background: var(--paper); }
.tiles dt { color: var(--soft); font-size: 0.82rem; }
.tiles dd { font-size: 1.75rem; line-height: 1.3; font-weight: 600; letter-spacing: -0.02em; }
.tiles dd.from { font-size: 0.82rem; line-height: 1.5; font-weight: 400; letter-spacing: 0; color: var(--soft); }
.tiles dd.from span { margin-left: 0.3em; font-weight: 550; }

.wide { overflow-x: auto; margin: 0 -0.6rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { padding: 0.45rem 0.6rem; text-align: right; white-space: nowrap; vertical-align: top; font-weight: 400; }
thead th { color: var(--soft); font-size: 0.8rem; border-bottom: 1px solid var(--line); vertical-align: bottom; }
tbody tr + tr > * { border-top: 1px solid var(--line); }
tr > th:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 8.5rem; }
tbody th { font-weight: 500; }
td > .good, td > .bad { display: block; font-size: 0.8rem; line-height: 1.3; }

.plot { position: relative; margin: 0 0.75rem 3.1rem 3.4rem; }
.plot figcaption { margin: 0 0 0.75rem -3.4rem; color: var(--soft); font-size: 0.8rem; }
.plot > svg { display: block; width: 100%; height: 300px; overflow: visible; }
.pair .plot > svg { height: 210px; }
.plot .axis { position: absolute; right: 0; bottom: -2.9rem; color: var(--soft); font-size: 0.8rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr)); gap: 1rem 2.5rem; }
.grid line { stroke: var(--line); shape-rendering: crispEdges; }
.ticks text { fill: var(--soft); font-size: 12px; }
.plot svg svg { overflow: visible; }
polyline { fill: none; stroke: var(--accent); stroke-width: 2; vector-effect: non-scaling-stroke; stroke-linejoin: round; stroke-linecap: round; }
.front polyline { stroke: var(--faint); stroke-width: 1.5; }
.c1 polyline { stroke: var(--c1); } .c2 polyline { stroke: var(--c2); } .c3 polyline { stroke: var(--c3); } .c4 polyline { stroke: var(--c4); }
.c5 polyline { stroke: var(--c5); } .c6 polyline { stroke: var(--c6); } .c7 polyline { stroke: var(--c7); }
.point text { fill: var(--ink); font-size: 12px; paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; }
.point circle { stroke: var(--paper); stroke-width: 1.5; fill: var(--accent); }
.point.file circle { fill: var(--ink); }
.point.dropped circle { fill: var(--paper); stroke: var(--bad); stroke-width: 2; }
.point.dropped text { fill: var(--soft); }

.legend { display: flex; flex-wrap: wrap; gap: 0.3rem 1.25rem; list-style: none; margin: 0 0 0.9rem; color: var(--soft); font-size: 0.82rem; }
.legend li { min-width: 0; overflow-wrap: anywhere; display: flex; align-items: center; gap: 0.45rem; }
.legend i { flex: none; width: 0.7rem; height: 0.7rem; border-radius: 50%; background: var(--accent); }
.legend i.file { background: var(--ink); }
.legend i.dropped { background: none; border: 2px solid var(--bad); }
i.c0 { background: var(--c0); } .legend i.c1 { background: var(--c1); } .legend i.c2 { background: var(--c2); } .legend i.c3 { background: var(--c3); }
.legend i.c4 { background: var(--c4); } .legend i.c5 { background: var(--c5); } .legend i.c6 { background: var(--c6); } .legend i.c7 { background: var(--c7); }
.legend i.c0 { background: var(--c0); }

.steps { list-style: none; counter-reset: step; }
.steps > li { position: relative; counter-increment: step; padding: 0 0 1.6rem 3rem; }
.steps > li::before { content: counter(step); position: absolute; left: 0; top: -0.1rem; width: 1.8rem; height: 1.8rem; border-radius: 50%; background: var(--accent); color: var(--paper); font-size: 0.85rem; font-weight: 600; line-height: 1.8rem; text-align: center; }
.steps > li.dropped::before { background: var(--paper); color: var(--bad); box-shadow: inset 0 0 0 2px var(--bad); }
.steps > li:not(:last-child)::after { content: ''; position: absolute; left: 0.85rem; top: 2.1rem; bottom: 0.45rem; border-left: 1.5px solid var(--line); }
.steps h3 { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0.1rem 0.7rem; margin: 0 0 0.2rem; }
.badge { font-size: 0.75rem; font-weight: 550; color: var(--good); }
.dropped .badge { color: var(--bad); }
.time { margin-left: auto; color: var(--soft); font-size: 0.82rem; font-weight: 400; }
.steps p { max-width: 48rem; overflow-wrap: anywhere; }
.steps .why { color: var(--soft); font-size: 0.9rem; }
.changes { display: flex; flex-wrap: wrap; gap: 0.5rem 2rem; margin-top: 0.6rem; font-size: 0.9rem; }
.changes dt { color: var(--soft); font-size: 0.78rem; }
.changes .from { color: var(--soft); }
.changes .good, .changes .bad { margin-left: 0.5em; font-size: 0.82rem; }

.bar { display: block; width: 100%; height: 0.75rem; border-radius: 2px; }
.sensitivity td { min-width: 4.5rem; }
.sensitivity td .bar { height: 3px; margin-top: 0.25rem; }
.sensitivity td:not(.chosen) { color: var(--soft); }
.sensitivity td.chosen { background: var(--wash); font-weight: 600; }
rect { fill: var(--c0); }
rect.error { fill: var(--faint); }
.chosen rect.error { fill: var(--accent); }
rect.c1 { fill: var(--c1); } rect.c2 { fill: var(--c2); } rect.c3 { fill: var(--c3); } rect.c4 { fill: var(--c4); } rect.c5 { fill: var(--c5); }
rect.c6 { fill: var(--c6); } rect.c7 { fill: var(--c7); }
.storage th, .storage td { padding-top: 0.3rem; padding-bottom: 0.3rem; }
.storage .drawn { width: 45%; min-width: 8rem; vertical-align: middle; }

.grid-of { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: 1.4rem 1.5rem; }
.small { min-width: 0; }
.small figcaption { font-size: 0.8rem; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.histogram { display: block; width: 100%; height: 52px; border-bottom: 1px solid var(--faint); }
.histogram line { stroke: var(--line); }
.histogram path { fill: var(--c1); }
.range { display: flex; justify-content: space-between; color: var(--soft); font-size: 0.74rem; }
.zeros { color: var(--soft); font-size: 0.74rem; line-height: 1.2; }
details { margin-top: 1rem; }
summary { cursor: pointer; color: var(--accent); font-size: 0.9rem; margin-bottom: 1rem; }

.facts { display: grid; grid-template-columns: fit-content(14rem) 1fr; gap: 0.35rem 1.5rem; font-size: 0.9rem; }
.facts dt { color: var(--soft); min-width: 5rem; overflow-wrap: anywhere; }
.facts dd { overflow-wrap: anywhere; white-space: pre-wrap; }

@media (max-width: 40rem) {
  body { padding: 2rem 1.1rem 3rem; }
  h1 { font-size: 1.6rem; }
  section { margin-top: 2.5rem; }
  .tiles div { flex-basis: 40%; padding: 0.8rem 0.9rem; }
  .tiles dd { font-size: 1.35rem; }
  .grid-of { grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); }
  .plot > svg { height: 260px; }
  .point text, .crowded { display: none; }
  .changes { display: block; }
  .changes div { display: flex; align-items: baseline; gap: 0.3rem; }
  .changes dt { flex: none; width: 5.2rem; }
  tr > th:first-child { min-width: 6.5rem; }
  .storage .drawn { min-width: 6rem; }
  .facts { grid-template-columns: 1fr; gap: 0; }
  .facts dd { margin-bottom: 0.7rem; }
}
@media print {
  :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #555; --faint: #999; --line: #ddd; --wash: #f0f0f0; --good: #14734a; --bad: #b3382a; --accent: #2b5cc4; }
  body { max-width: none; padding: 0; font-size: 10pt; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  html { font-size: 13px; }
  table { font-size: 8pt; }
  th, td { padding: 0.3rem 0.35rem; }
  tr > th:first-child { min-width: 5rem; }
  section { margin-top: 1.75rem; }
  h2, h3, .note, .legend { break-after: avoid; }
  tr, figure, .steps > li, .tiles { break-inside: avoid; }
  .wide { overflow: visible; }
}
`);
