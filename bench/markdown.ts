/** Results as a section of a Markdown file, under the command that made them: the same command replaces its section. */
import { cpus, loadavg, platform, release, totalmem } from 'node:os';
import { type Table, TEXT_COLUMNS } from './rows';

export interface Circumstances {
  /** As it is typed. */
  command: string;
  browser: string;
  /** ISO 8601. */
  date: string;
  machine: string;
}

/** This machine, in words: what figures depend on, and nothing that tells whose it is. */
export function describeMachine(): string {
  const cores = cpus();
  const model = cores[0]?.model.trim() ?? 'unknown processor';
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  return `${cores.length} × ${model}, ${memory}, ${platform()} ${release()}, load ${loadavg()[0]!.toFixed(2)}`;
}

export function section({ heading, rows }: Table, { command, browser, date, machine }: Circumstances): string {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
  const rule = heading.map((_, i) => (i < TEXT_COLUMNS ? '---' : '--:'));
  return `## \`${command}\`\n\n${date}, ${browser}, ${machine}.\n\n${[heading, rule, ...rows].map(line).join('\n')}\n`;
}

/** `text` with the section of the same heading replaced, or with the section at its end. */
export function withSection(text: string, added: string): string {
  const [heading] = added.split('\n');
  const parts = text.split(/^(?=## )/m);
  const at = parts.findIndex((part) => part.split('\n')[0] === heading);
  if (at < 0) return [text.trimEnd(), added].filter(Boolean).join('\n\n');
  const isLast = at === parts.length - 1;
  return parts.with(at, isLast ? added : `${added}\n`).join('');
}
