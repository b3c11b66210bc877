/** Writes fields (layout.ts) to bytes that grow: the mirror image of cursor.ts, for the packer only. */
import { type Dim, isStatic } from '../core/dim';
import { DTYPES, type DType } from '../core/dtype';
import { WaferError } from '../core/errors';
import type { Quant } from '../core/shape';
import { alignUp, type Field, type Of } from './layout';

const UTF8 = new TextEncoder();

export class Sink {
  private buffer = new Uint8Array(256);
  private view = new DataView(this.buffer.buffer);
  private previousName = '';
  /** Indices of `string` fields and symbols, in order of first use. */
  readonly strings = new Map<string, number>();
  /** Bytes written. */
  at = 0;

  /** What was written: a view, good until more is written. */
  get bytes(): Uint8Array {
    return this.buffer.subarray(0, this.at);
  }

  /** The bytes of one field. */
  static of<F>(field: F, value: Of<F>): Uint8Array;
  static of(field: Field, value: unknown): Uint8Array {
    const to = new Sink();
    to.field(field, value);
    return to.bytes;
  }

  /** Makes room for `bytes` more and returns where they begin. */
  private take(bytes: number): number {
    if (this.at + bytes > this.buffer.length) {
      const grown = new Uint8Array(2 * (this.at + bytes));
      grown.set(this.bytes);
      this.buffer = grown;
      this.view = new DataView(grown.buffer);
    }
    this.at += bytes;
    return this.at - bytes;
  }

  u8(value: number): void {
    const at = this.take(1);
    this.buffer[at] = value;
  }

  u32(value: number): void {
    const at = this.take(4);
    this.view.setUint32(at, value, true);
  }

  raw(bytes: Uint8Array): void {
    const at = this.take(bytes.length);
    this.buffer.set(bytes, at);
  }

  /** Zeros up to the multiple of ALIGNMENT. */
  align(): void {
    while (this.at < alignUp(this.at)) this.u8(0);
  }

  uint(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) throw new WaferError('VALUE', `${value} is no size or index`);
    for (; value > 127; value = Math.floor(value / 128)) this.u8(128 | (value % 128));
    this.u8(value);
  }

  int(value: number): void {
    if (!Number.isSafeInteger(2 * value)) throw new WaferError('VALUE', `${value} is no integer that a file can hold`);
    this.uint(value < 0 ? -2 * value - 1 : 2 * value);
  }

  write<F>(field: F, value: Of<F>): void;
  // biome-ignore lint/suspicious/noExplicitAny: the field says what the value is
  write(field: Field, value: any): void {
    this.field(field, value);
  }

  /** `write` for a field that is not known statically. */
  // biome-ignore lint/suspicious/noExplicitAny: the field says what the value is
  field(field: Field, value: any): void {
    if (typeof field === 'string') this.scalar(field, value);
    else if ('list' in field) {
      this.uint(value.length);
      for (const item of value) this.field(field.list, item);
    } else if ('map' in field) {
      this.uint(value.size);
      for (const [key, item] of value) {
        this.text(key);
        this.field(field.map, item);
      }
    } else if ('maybe' in field) {
      const there = value !== undefined && value !== null;
      this.u8(there ? 1 : 0);
      if (there) this.field(field.maybe, value);
    } else if ('choice' in field) this.uint(field.choice.indexOf(value));
    else for (const [name, each] of Object.entries(field.record)) this.field(each, value[name]);
  }

  // biome-ignore lint/suspicious/noExplicitAny: the kind says what the value is
  private scalar(kind: Extract<Field, string>, value: any): void {
    switch (kind) {
      case 'uint':
        this.uint(value);
        break;
      case 'int':
        this.int(value);
        break;
      case 'u32':
        this.u32(value);
        break;
      case 'number':
        this.number(value);
        break;
      case 'bool':
        this.u8(value ? 1 : 0);
        break;
      case 'text':
        this.text(value);
        break;
      case 'string':
        this.uint(this.string(value));
        break;
      case 'name':
        this.name(value);
        break;
      case 'bytes':
        this.uint(value.length);
        this.raw(value);
        break;
      case 'quant':
        this.quant(value);
        break;
      case 'dtype':
        this.u8(DTYPES[value as DType].code);
        break;
      case 'dim':
        this.dim(value);
        break;
    }
  }

  private text(text: string): void {
    const bytes = UTF8.encode(text);
    this.uint(bytes.length);
    this.raw(bytes);
  }

  private string(text: string): number {
    const index = this.strings.get(text) ?? this.strings.size;
    this.strings.set(text, index);
    return index;
  }

  private name(name: string): void {
    let keep = 0;
    while (keep < name.length && name[keep] === this.previousName[keep]) keep++;
    // Not within a surrogate pair, whose half is no text.
    if (keep > 0 && /[\ud800-\udbff]/.test(name[keep - 1]!)) keep--;
    this.uint(keep);
    this.text(name.slice(keep));
    this.previousName = name;
  }

  private number(value: number): void {
    if (Number.isNaN(value)) throw new WaferError('VALUE', 'a number is NaN');
    if (Number.isSafeInteger(2 * value) && Number.isInteger(value) && !Object.is(value, -0)) {
      this.u8(0);
      this.int(value);
    } else if (Math.fround(value) === value) {
      this.u8(1);
      const at = this.take(4);
      this.view.setFloat32(at, value, true);
    } else {
      this.u8(2);
      const at = this.take(8);
      this.view.setFloat64(at, value, true);
    }
  }

  private quant({ scale, zero }: Quant): void {
    if (!(scale > 0 && scale < Number.POSITIVE_INFINITY && scale === Math.fround(scale)))
      throw new WaferError('VALUE', `a quantisation scale is ${scale}`, {
        hint: 'scales are positive and exact in 32-bit floats',
      });
    if (zero !== (zero << 24) >> 24) throw new WaferError('VALUE', `a zero point is ${zero}, not within -128..127`);
    const at = this.take(5);
    this.view.setFloat32(at, scale, true);
    this.view.setInt8(at + 4, zero);
  }

  private dim(dim: Dim): void {
    this.int(isStatic(dim) ? 2 * dim : 2 * dim.terms.length + 1);
    if (isStatic(dim)) return;
    for (const { coefficient, atoms } of dim.terms) {
      this.int(coefficient);
      this.uint(atoms.length);
      for (const atom of atoms) {
        if ('symbol' in atom) this.uint(2 * this.string(atom.symbol));
        else {
          this.uint(2 * atom.divisor + 1);
          this.dim(atom.numerator);
        }
      }
    }
  }
}
