/** What the verbs print: tables and JSON on stdout, progress and errors on stderr. */
import pc from 'picocolors';
import { WaferError } from '../core/errors';
import type { TrainProgress } from '../packer/train/train';

// A reader that has seen enough, as in `| head`, is no failure.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit();
  });

export const print = (line = ''): void => void process.stdout.write(`${line}\n`);

/** Text from files without what a terminal would obey. */
const plainText = (text: string): string => text.replace(/\p{Cc}/gu, '\ufffd');

/** Maps become objects, typed arrays lists, and errors their message. */
export function printJson(value: unknown): void {
  const plain = (_: string, v: unknown) =>
    v instanceof Map ? Object.fromEntries(v) : ArrayBuffer.isView(v) ? [...(v as unknown as Iterable<unknown>)] : v;
  print(JSON.stringify(value, plain, 2));
}

/** Columns as wide as their widest cell; numbers to the right. The first row is the heading. */
export function printTable(rows: readonly (readonly (string | number)[])[]): void {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => plainText(String(row[i] ?? '')).length)));
  rows.forEach((row, r) => {
    const cells = widths.map((width, i) => {
      const right = rows.some((other, k) => k > 0 && typeof other[i] === 'number');
      const text = plainText(String(row[i] ?? ''));
      return right ? text.padStart(width) : text.padEnd(width);
    });
    const line = cells.join('  ').trimEnd();
    print(r === 0 ? pc.dim(line) : line);
  });
}

export const bytesText = (bytes: number): string =>
  bytes < 10_000 ? `${bytes} B` : bytes < 10_000_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;

export const timeText = (seconds: number): string =>
  seconds < 90
    ? `${Math.ceil(seconds)} s`
    : seconds < 5400
      ? `${Math.ceil(seconds / 60)} min`
      : `${(seconds / 3600).toFixed(1)} h`;

/** Where a training stands. */
export const trainingText = ({ epoch, loss, imagesPerSecond, eta }: TrainProgress, epochs: number): string =>
  `epoch ${epoch} of ${epochs}, loss ${loss.toFixed(3)}, ${imagesPerSecond.toFixed(0)} examples/s, ${timeText(eta)} left`;

const BAR = 24;

/** Longest silence of a log that is no terminal. */
const SILENT_MS = 60_000;

/** A bar that rewrites itself on a terminal, a line at every quarter and every minute elsewhere. */
export class Progress {
  private quarter = -1;
  private written = 0;
  private readonly live: boolean;

  constructor(private readonly stream: NodeJS.WriteStream = process.stderr) {
    this.live = Boolean(stream.isTTY);
  }

  update(done: number, total: number, what: string): void {
    const part = total > 0 ? done / total : 1;
    if (this.live) {
      const full = Math.round(part * BAR);
      const bar = '█'.repeat(full) + '░'.repeat(BAR - full);
      this.stream.write(`\r\x1b[2K${pc.cyan(bar)} ${String(Math.round(part * 100)).padStart(3)}% ${what}`);
    } else if (Math.floor(part * 4) !== this.quarter || performance.now() - this.written > SILENT_MS) {
      this.quarter = Math.floor(part * 4);
      this.written = performance.now();
      this.stream.write(`${what}: ${done} of ${total}\n`);
    }
  }

  /** A step whose length is not known. */
  stage(what: string): void {
    this.end();
    this.stream.write(this.live ? `${pc.cyan('░'.repeat(BAR))}      ${what}` : `${what}\n`);
  }

  /** Clears the bar. */
  end(): void {
    if (this.live) this.stream.write('\r\x1b[2K');
    this.quarter = -1;
  }
}

/** One line and a hint for what a user can mend; WAFER_DEBUG=1, and bugs, show where it was thrown. */
export function printError(error: unknown): void {
  const known = error instanceof WaferError;
  const [first, ...hint] = (error instanceof Error ? error.message : String(error)).split('\n');
  process.stderr.write(`${pc.red('error')} ${known ? `${error.code}: ` : ''}${plainText(first!)}\n`);
  for (const line of hint) process.stderr.write(`${plainText(line)}\n`);
  if (error instanceof Error && (!known || process.env.WAFER_DEBUG)) process.stderr.write(`${error.stack}\n`);
}
