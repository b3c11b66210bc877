/** Reads fields (layout.ts) from bytes that may be hostile: nothing is read past the end, and no count is believed that the bytes left could not hold. */
import { type Dim, floorDivide, multiply, sum, symbol } from '../core/dim';
import { DTYPES, type DType } from '../core/dtype';
import { type ErrorDetails, WaferError } from '../core/errors';
import type { Quant } from '../core/shape';
import { type Field, MAX_DIM_DEPTH, MAX_NAME_UNITS, type Of } from './layout';

const BY_CODE: readonly DType[] = (Object.keys(DTYPES) as DType[]).sort((a, b) => DTYPES[a].code - DTYPES[b].code);
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export const DAMAGED = 'the file is damaged: fetch it again, or pack the model again';
export const CUT_SHORT = 'the download was cut short: fetch the file again';
export const UPDATE = 'the file was written by a newer wafer: update waferjs, or pack the model with this version';

/** The one error of this room. `offset` counts from the start of the file. */
export function badFile(what: string, offset: number, hint = DAMAGED): WaferError {
  return new WaferError('BAD_FILE', what, { offset, hint });
}

/** Runs `body`; whatever it throws becomes a BAD_FILE: an operator that stumbles over attributes has the file to blame. */
export function blamed<T>(where: ErrorDetails, body: () => T): T {
  try {
    return body();
  } catch (error) {
    const known = error instanceof WaferError ? error : new WaferError('BAD_FILE', String(error));
    const { message, ...details } = known.at({ hint: DAMAGED, ...where }).toJSON();
    throw new WaferError('BAD_FILE', message, details);
  }
}

export class Cursor {
  private readonly view: DataView;
  private previousName = '';
  private nameUnits = 0;
  /** What `string` fields and symbols refer to. */
  strings: readonly string[] = [];

  /** Reads `bytes` of the file from `at` up to `end`. */
  constructor(
    readonly bytes: Uint8Array,
    public at: number,
    readonly end: number,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  fail(what: string, hint?: string): never {
    throw badFile(what, this.at, hint);
  }

  /** Moves on by `bytes` and returns where they begin. */
  take(bytes: number): number {
    if (bytes > this.left) this.fail(`${bytes} bytes are needed and ${this.left} are left`);
    const from = this.at;
    this.at += bytes;
    return from;
  }

  get left(): number {
    return this.end - this.at;
  }

  /** To be called when everything is read. */
  done(): void {
    if (this.left) this.fail(`${this.left} bytes are left over`);
  }

  u8(): number {
    return this.bytes[this.take(1)]!;
  }

  u32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  uint(): number {
    let byte = this.u8();
    if (byte < 128) return byte;
    let value = byte & 127;
    for (let scale = 128; byte >= 128; scale *= 128) {
      byte = this.u8();
      value += (byte & 127) * scale;
      if (value > Number.MAX_SAFE_INTEGER) this.fail('a number is too large');
    }
    return value;
  }

  int(): number {
    const zigzag = this.uint();
    return zigzag % 2 ? -(zigzag + 1) / 2 : zigzag / 2;
  }

  /** An index into a list of `length`. */
  index(length: number, what: string): number {
    const i = this.uint();
    if (i >= length) this.fail(`${what} ${i} of ${length}`);
    return i;
  }

  /** A number of items, each of which takes a byte or more. */
  count(): number {
    const n = this.uint();
    if (n > this.left) this.fail(`${n} items cannot be in the ${this.left} bytes that are left`);
    return n;
  }

  read<const F extends Field>(field: F): Of<F> {
    return this.field(field) as Of<F>;
  }

  /** `read` for a field that is not known statically. An optional field that is not there is undefined. */
  field(field: Field): unknown {
    if (typeof field === 'string') return this.scalar(field);
    if ('list' in field) return Array.from({ length: this.count() }, () => this.field(field.list));
    if ('map' in field) return new Map(Array.from({ length: this.count() }, () => [this.text(), this.field(field.map)]));
    if ('maybe' in field) return this.bool() ? this.field(field.maybe) : undefined;
    if ('choice' in field) return field.choice[this.index(field.choice.length, 'choice')];
    const read: Record<string, unknown> = {};
    for (const [name, each] of Object.entries(field.record)) {
      const value = this.field(each);
      if (value !== undefined) read[name] = value;
    }
    return read;
  }

  private scalar(kind: Extract<Field, string>): unknown {
    switch (kind) {
      case 'uint':
        return this.uint();
      case 'int':
        return this.int();
      case 'u32':
        return this.u32();
      case 'number':
        return this.number();
      case 'bool':
        return this.bool();
      case 'text':
        return this.text();
      case 'string':
        return this.strings[this.index(this.strings.length, 'string')];
      case 'name':
        return this.name();
      case 'bytes':
        return this.slice(this.uint());
      case 'quant':
        return this.quant();
      case 'dtype':
        return BY_CODE[this.u8()] ?? this.fail('unknown element type');
      case 'dim':
        return blamed({ offset: this.at }, () => this.dim(0));
    }
  }

  private slice(length: number): Uint8Array {
    const from = this.take(length);
    return this.bytes.subarray(from, from + length);
  }

  private bool(): boolean {
    const byte = this.u8();
    if (byte > 1) this.fail(`${byte} is neither 0 nor 1`);
    return byte === 1;
  }

  private text(): string {
    const bytes = this.slice(this.uint());
    try {
      return UTF8.decode(bytes);
    } catch {
      return this.fail('text is not UTF-8');
    }
  }

  /** Since names repeat the ones before, their total length is what must be bounded. */
  private name(): string {
    this.previousName = this.previousName.slice(0, this.uint()) + this.text();
    this.nameUnits += this.previousName.length;
    if (this.nameUnits > MAX_NAME_UNITS) this.fail('the names are too long');
    return this.previousName;
  }

  private number(): number {
    const tag = this.u8();
    if (tag === 0) return this.int();
    if (tag > 2) this.fail(`unknown form of number ${tag}`);
    const value = tag === 1 ? this.view.getFloat32(this.take(4), true) : this.view.getFloat64(this.take(8), true);
    if (Number.isNaN(value)) this.fail('a number is NaN');
    return value;
  }

  private quant(): Quant {
    const scale = this.view.getFloat32(this.take(4), true);
    if (!(scale > 0 && scale < Number.POSITIVE_INFINITY)) this.fail(`a quantisation scale is ${scale}`);
    return { scale, zero: this.view.getInt8(this.take(1)) };
  }

  private dim(depth: number): Dim {
    const head = this.int();
    if (head % 2 === 0) return head / 2;
    if (head < 0 || depth > MAX_DIM_DEPTH) this.fail('a dimension is malformed or nested too deeply');
    const terms: Dim[] = [];
    for (let left = (head - 1) / 2; left > 0; left--) {
      let product: Dim = this.int();
      for (let factors = this.count(); factors > 0; factors--) {
        const factor = this.uint();
        const by = (factor - (factor % 2)) / 2;
        if (factor % 2 === 0) product = multiply(product, symbol(this.strings[by] ?? this.fail(`string ${by}`)));
        else if (by === 0) this.fail('a dimension is divided by zero');
        else product = multiply(product, floorDivide(this.dim(depth + 1), by));
      }
      terms.push(product);
    }
    return sum(terms);
  }
}
