/** What a browser's pages take of memory, as Linux counts it. */
import { readdirSync, readFileSync } from 'node:fs';

/** Bytes that each renderer of a browser has held at most so far (`VmHWM`, its peak resident set), by process id. */
export type Peaks = ReadonlyMap<number, number>;

export interface PeakUse {
  /** What the page's renderer has held at most: its workers, WASM memories and compiled code, and what an empty page takes. */
  peak: number;
  /** How much more that is than it had held before. */
  added: number;
}

/** Of the browser with this process id. Empty where the system does not tell. */
export function peaksOfRenderers(browser: number): Peaks {
  const processes = statuses();
  const isWithin = (pid: number | undefined): boolean => pid === browser || (pid ? isWithin(processes.get(pid)?.parent) : false);
  return new Map([...processes].flatMap(([pid, { peak }]) => (isWithin(pid) && isRenderer(pid) ? [[pid, peak]] : [])));
}

/** Of the one renderer that a page has used meanwhile: the one that has grown most. NaN where the system does not tell. */
export function peakSince(before: Peaks, after: Peaks): PeakUse {
  const uses = [...after].map(([pid, peak]) => ({ peak, added: peak - (before.get(pid) ?? 0) }));
  return uses.sort((a, b) => b.added - a.added)[0] ?? { peak: Number.NaN, added: Number.NaN };
}

/** Parent and peak of every process. */
function statuses(): Map<number, { parent: number; peak: number }> {
  const found = new Map<number, { parent: number; peak: number }>();
  for (const pid of entries('/proc').filter((name) => /^\d+$/.test(name))) {
    const text = contents(`/proc/${pid}/status`);
    const number = (name: string) => Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(text)?.[1]);
    found.set(Number(pid), { parent: number('PPid'), peak: 1024 * number('VmHWM') });
  }
  return found;
}

const isRenderer = (pid: number): boolean => contents(`/proc/${pid}/cmdline`).includes('--type=renderer');

function entries(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Empty for a process that has ended. */
function contents(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
