/** What a browser's processes take of memory, as Linux counts it. */
import { readdirSync, readFileSync } from 'node:fs';

/**
 * The most bytes that a renderer of the browser with this process id has held so far: the greatest `VmHWM` (peak resident set) of
 * its renderers. One page in a fresh browser is in one renderer, with its workers, its WASM memories and compiled code, and
 * with what an empty page takes, which is the same for all. NaN where the system does not tell.
 */
export function peakOfRenderers(browser: number): number {
  const processes = statuses();
  const isWithin = (pid: number | undefined): boolean => pid === browser || (pid ? isWithin(processes.get(pid)?.parent) : false);
  const peaks = [...processes].flatMap(([pid, { peak }]) => (isWithin(pid) && isRenderer(pid) ? [peak] : []));
  return peaks.length ? Math.max(...peaks) : Number.NaN;
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
