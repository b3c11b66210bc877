/** From timings to the table: medians, ratios to Wafer, and how far each output is from the float model's. */
import type { Precision } from './models';
import type { ColdOutcome, ColdResult, Outcome, RuntimeName } from './pages';

export interface Row {
  model: string;
  runtime: RuntimeName;
  device: 'wasm' | 'webgpu' | 'auto';
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
  /** Compiled, and done in a run; only on a GPU. */
  pipelines?: number;
  dispatches?: number;
  submits?: number;
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
  return timed.map(({ runtime, backend, file, threads, build, output, times, gpu }) => ({
    model,
    runtime,
    device: backend,
    threads,
    median_ms: rounded(median(times), 4),
    ratio: base === undefined ? null : rounded(median(times) / base, 4),
    min_ms: rounded(Math.min(...times), 4),
    precision: file.precision,
    build,
    error: output ? rounded(errorOf(output, reference), 2) : null,
    ...gpu,
  }));
}

/** The time and memory that a page needs to its first result in a fresh browser. Times count from the start of navigation. */
export interface ColdRow extends Omit<Row, 'min_ms'> {
  /** Medians: when the page's own script begins, and when the model is ready to run. `median_ms` is the first result's. */
  script_ms: number;
  loaded_ms: number;
  min_ms: number;
  /** Median of what the page's process held at most, in MiB; null where the system does not tell. */
  peak_mib: number | null;
  /** This runtime's peak over Wafer's. */
  memory_ratio: number | null;
  /** Median of how much more that is than with an empty page, in MiB, and its ratio to Wafer's. */
  added_mib: number | null;
  added_ratio: number | null;
}

/** One row a runtime. `reference` is the first output of Wafer's fp32. */
export function coldRowsOf(model: string, { timed }: ColdOutcome, reference: ArrayLike<number>): ColdRow[] {
  const medianOf = (results: readonly ColdResult[], of: (result: ColdResult) => number) => median(results.map(of));
  const own = timed.find((t) => t.runtime === 'wafer')?.results;
  const ratio = (results: readonly ColdResult[], of: (result: ColdResult) => number) => {
    const value = own ? medianOf(results, of) / medianOf(own, of) : Number.NaN;
    return Number.isNaN(value) ? null : rounded(value, 4);
  };
  return timed.map(({ runtime, backend, file, threads, build, output, results }) => {
    const mebibytes = (of: (result: ColdResult) => number) => {
      const value = medianOf(results, of) / 2 ** 20;
      return Number.isNaN(value) ? null : rounded(value, 4);
    };
    return {
      model,
      runtime,
      device: backend,
      threads,
      median_ms: rounded(
        medianOf(results, (r) => r.first),
        4,
      ),
      ratio: ratio(results, (r) => r.first),
      min_ms: rounded(Math.min(...results.map((r) => r.first)), 4),
      script_ms: rounded(
        medianOf(results, (r) => r.script),
        4,
      ),
      loaded_ms: rounded(
        medianOf(results, (r) => r.loaded),
        4,
      ),
      peak_mib: mebibytes((r) => r.peak),
      memory_ratio: ratio(results, (r) => r.peak),
      added_mib: mebibytes((r) => r.added),
      added_ratio: ratio(results, (r) => r.added),
      precision: file.precision,
      build,
      error: output ? rounded(errorOf(output, reference), 2) : null,
    };
  });
}

/** NaN where either is. */
function errorOf(output: readonly number[], reference: ArrayLike<number>): number {
  let [peak, most] = [0, 0];
  for (let i = 0; i < reference.length; i++) peak = Math.max(peak, Math.abs(reference[i]!));
  for (let i = 0; i < output.length; i++) most = Math.max(most, Math.abs(output[i]! - reference[i]!));
  return peak ? most / peak : most;
}

/** Float models that compute something else than Wafer's. */
export const isAstray = ({ precision, error }: Pick<Row, 'precision' | 'error'>): boolean =>
  precision === 'fp32' && error !== null && !(error <= TOLERANCE);

type Cells = readonly (string | number)[];

/** Its first TEXT_COLUMNS hold words. */
export interface Table {
  heading: Cells;
  rows: readonly Cells[];
}
export const TEXT_COLUMNS = 5;

const heading = ['model', 'runtime', 'file', 'device', 'build', 'threads'];
const firstCells = ({ model, runtime, precision, device, build, threads }: Row | ColdRow): Cells => [
  ...[model, runtime, precision, device, build, threads],
];
const ratioCell = (ratio: number | null): string => ratio?.toFixed(2) ?? '-';
const errorCell = ({ error }: Row | ColdRow): string => error?.toExponential(1) ?? '-';

export function tableOf(rows: readonly Row[]): Table {
  const isGpu = rows.some((row) => row.dispatches !== undefined);
  const counts = (row: Row): Cells => [row.pipelines ?? '-', row.dispatches ?? '-', row.submits ?? '-'];
  return {
    heading: [...heading, 'median ms', 'min ms', 'ratio', 'error', ...(isGpu ? ['pipelines', 'dispatches', 'submits'] : [])],
    rows: rows.map(
      (row): Cells => [
        ...firstCells(row),
        ...[row.median_ms.toFixed(3), row.min_ms.toFixed(3), ratioCell(row.ratio), errorCell(row)],
        ...(isGpu ? counts(row) : []),
      ],
    ),
  };
}

export const coldTableOf = (rows: readonly ColdRow[]): Table => ({
  heading: [
    ...heading,
    'script ms',
    'loaded ms',
    'first ms',
    'min ms',
    'ratio',
    'peak MiB',
    'ratio',
    'added MiB',
    'ratio',
    'error',
  ],
  rows: rows.map((row) => [
    ...firstCells(row),
    ...[row.script_ms, row.loaded_ms, row.median_ms, row.min_ms].map((ms) => ms.toFixed(1)),
    ...[ratioCell(row.ratio), row.peak_mib?.toFixed(1) ?? '-', ratioCell(row.memory_ratio)],
    ...[row.added_mib?.toFixed(1) ?? '-', ratioCell(row.added_ratio), errorCell(row)],
  ]),
});
