/** How reports look. No character here may be one that HTML escapes. */
import { Html } from './html';

export const STYLE = new Html(`
:root {
  --paper: #fcfcfb; --ink: #1d1f23; --soft: #686d76; --faint: #a3a7ae; --line: #e3e4e2; --wash: #f2f3f1;
  --good: #17754a; --bad: #b23a2a; --accent: #2c5fc9;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171a; --ink: #e7e8ea; --soft: #9da2ab; --faint: #62676f; --line: #2c3035; --wash: #1d2024;
    --good: #5cc592; --bad: #ef8572; --accent: #7aa5f7;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; max-width: 68rem; padding: 3rem 1.5rem 4rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif;
  font-variant-numeric: tabular-nums;
}
`);
