/** From timings to the table: medians, ratios to Wafer, and how far each output is from the float model's. */
import type { Precision } from './models';
import type { Outcome, RuntimeName } from './pages';

export interface Row {
  model: string;
  runtime: RuntimeName;
  device: 'wasm';
  threads: number;
  /** Of all batches. */
  median_ms: number;
  /** This runtime's median over Wafer's, with as many threads as were asked for; null where Wafer gave none. */
  ratio: number | null;
  min_ms: number;
  precision: Precision;
  /** Which of the runtime's builds ran. */
  build: string;
  /** The greatest difference of the first output from Wafer's fp32, over the greatest value in it; null if unlike in shape. */
  error: number | null;
}

/** What runtimes with the same float weights may differ by. */
export const TOLERANCE = 1e-3;

const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};

const rounded = (value: number, digits: number): number => Number(value.toPrecision(digits));

/** One row a runtime. `reference` is the first output of Wafer's fp32. */
export function rowsOf(model: string, { timed }: Outcome, reference: ArrayLike<number>): Row[] {
  const own = timed.find((t) => t.runtime === 'wafer');
  const base = own && median(own.times);
  return timed.map(({ runtime, file, threads, build, output, times }) => ({
    model,
    runtime,
    device: 'wasm',
    threads,
    median_ms: rounded(median(times), 4),
    ratio: base === undefined ? null : rounded(median(times) / base, 4),
    min_ms: rounded(Math.min(...times), 4),
    precision: file.precision,
    build,
    error: output ? rounded(errorOf(output, reference), 2) : null,
  }));
}

/** NaN where either is. */
function errorOf(output: readonly number[], reference: ArrayLike<number>): number {
  let [peak, most] = [0, 0];
  for (let i = 0; i < reference.length; i++) peak = Math.max(peak, Math.abs(reference[i]!));
  for (let i = 0; i < output.length; i++) most = Math.max(most, Math.abs(output[i]! - reference[i]!));
  return peak ? most / peak : most;
}

/** Float models that compute something else than Wafer's. */
export const isAstray = ({ precision, error }: Row): boolean => precision === 'fp32' && error !== null && !(error <= TOLERANCE);

export const HEADING = ['model', 'runtime', 'file', 'build', 'threads', 'median ms', 'min ms', 'ratio', 'error'] as const;

/** A row's cells under HEADING. */
export const cellsOf = (row: Row): (string | number)[] => [
  ...[row.model, row.runtime, row.precision, row.build, row.threads],
  ...[row.median_ms.toFixed(3), row.min_ms.toFixed(3), row.ratio?.toFixed(2) ?? '-', row.error?.toExponential(1) ?? '-'],
];
