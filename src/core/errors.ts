/**
 * The two families of failure. Bad input (a file, a shape, an option) is always a `WaferError`; a state that only a bug
 * in Wafer can reach is an `invariant`. They are never mixed, and nothing in Wafer throws anything else.
 */

/** What went wrong, as a word a program can switch on. */
export type ErrorCode =
  /** A `.wafer` file is truncated, corrupt or hostile; `offset` says where. */
  | 'BAD_FILE'
  /** An ONNX (or other source) model cannot be read. */
  | 'BAD_MODEL'
  /** The model uses operators, attributes or shapes that Wafer does not have. */
  | 'UNSUPPORTED'
  /** A tensor's shape is not what the model or the operator takes. */
  | 'SHAPE'
  /** A tensor's element type is not what the model or the operator takes. */
  | 'DTYPE'
  /** A tensor's name, an option or an argument is unknown or malformed. */
  | 'ARGUMENT'
  /** A value is not usable: NaN where a number is needed, a scale that is zero. */
  | 'VALUE'
  /** A file, a URL or a package is missing. */
  | 'NOT_FOUND'
  /** The device cannot run the model: no SIMD, no WebGPU, no isolation. */
  | 'NO_DEVICE'
  /** The page's content security policy forbids what was tried. */
  | 'CSP'
  /** Memory could not be had; the message says how much was asked for. */
  | 'MEMORY'
  /** The model was used after `dispose()`, or its worker died. */
  | 'DISPOSED'
  /** Computed values are not the ones that were expected (golden vectors, accuracy gates). */
  | 'MISMATCH';

/** What a user can do where the one who throws knows nothing better. */
const HINTS: Readonly<Record<ErrorCode, string>> = {
  BAD_FILE: 'fetch or make the file again',
  BAD_MODEL: 'export the model again; onnx.checker.check_model says more',
  UNSUPPORTED: 'simplifying the model (onnxsim), or exporting it differently, may help',
  SHAPE: 'wafer inspect, and model.inputs in a page, say what the model takes',
  DTYPE: 'wafer inspect, and model.inputs in a page, say what the model takes',
  ARGUMENT: 'the README shows what can be passed, and so does wafer help',
  VALUE: 'look for NaN, infinities and zero scales in what was passed',
  NOT_FOUND: 'is the path or address right, and may it be read?',
  NO_DEVICE: 'use a current browser',
  CSP: "allow 'wasm-unsafe-eval' in script-src",
  MEMORY: 'use smaller inputs, or dispose of models that are no longer needed',
  DISPOSED: 'load the model again',
  MISMATCH: 'try another device, and report it',
};

export interface ErrorDetails {
  /** What the user can do about it. */
  hint?: string | undefined;
  /** The graph node at fault, as `op "name"`. */
  node?: string | undefined;
  /** Byte offset in the file at fault. */
  offset?: number | undefined;
}

/** Every error that a user of Wafer can cause: *where, what is wrong, expected and got*, and a hint on what to do. */
export class WaferError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;
  readonly node: string | undefined;
  readonly offset: number | undefined;
  /** The message before node, offset and hint were added; `at` builds on it. */
  private readonly what: string;
  /** The hint, when it is more than what the code says by itself; `at` may add one otherwise. */
  private readonly ownHint: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    const where = details.node ? `${details.node}: ` : '';
    const byte = details.offset === undefined ? '' : ` (byte ${details.offset})`;
    const hint = details.hint ?? HINTS[code];
    super(`${where}${message}${byte}\n  hint: ${hint}`);
    this.name = 'WaferError';
    this.code = code;
    this.what = message;
    this.hint = hint;
    this.ownHint = details.hint;
    this.node = details.node;
    this.offset = details.offset;
  }

  /** The same error with *where* added; what is already known stays. The graph walker calls this, operators do not. */
  at(where: ErrorDetails): WaferError {
    return new WaferError(this.code, this.what, {
      hint: this.ownHint ?? where.hint,
      node: this.node ?? where.node,
      offset: this.offset ?? where.offset,
    });
  }

  /** Plain data that survives `postMessage`, and its inverse. */
  toJSON(): { code: ErrorCode; message: string } & ErrorDetails {
    return { code: this.code, message: this.what, hint: this.hint, node: this.node, offset: this.offset };
  }

  static fromJSON(json: ReturnType<WaferError['toJSON']>): WaferError {
    return new WaferError(json.code, json.message, json);
  }
}

/** Runs `body`; a WaferError that leaves it gets `where` added. */
export function located<T>(where: ErrorDetails, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw error instanceof WaferError ? error.at(where) : error;
  }
}

/** Stops on a state that only a bug can reach. The text is a thunk, so that it costs nothing while all is well. */
export function invariant(condition: unknown, text: () => string): asserts condition {
  if (!condition) throw new Error(`wafer bug: ${text()}`);
}

/** The candidate nearest to `word` by edit distance, for "did you mean"; undefined when none is near. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Math.max(2, word.length >> 1) + 1;
  for (const candidate of candidates) {
    const d = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (d < least) {
      least = d;
      best = candidate;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, swap));
    }
    row = next;
  }
  return row[b.length]!;
}
