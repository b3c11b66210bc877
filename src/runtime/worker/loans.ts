/**
 * Inputs on their way to the worker. A page keeps its arrays, so that they are copied; the copies go into buffers that are
 * transferred there and back, as a fresh buffer for each run, which is what posting an array makes, costs the system more
 * time than the copy.
 */
import type { EngineInput, EngineInputs } from '../engine';
import { isPixels } from '../image';
import type { Picture } from '../pixels';

/** Arrays of fewer bytes are posted as they are. */
const LEAST_BYTES = 2 ** 14;
const MOST_SPARE = 8;

export class Loans {
  private spare: ArrayBuffer[] = [];

  /** `inputs` with their large arrays copied to buffers of these, which are added to `lent`. */
  copied(inputs: EngineInputs, lent: ArrayBuffer[]): EngineInputs {
    return Object.fromEntries(Object.entries(inputs).map(([name, x]) => [name, this.input(x, lent)]));
  }

  /** What the worker has given back. */
  takeBack(lent: readonly ArrayBuffer[]): void {
    this.spare = [...lent, ...this.spare].slice(0, MOST_SPARE);
  }

  /** The engine says what is wrong with values that are no inputs. */
  private input(x: EngineInput, lent: ArrayBuffer[]): EngineInput {
    if (typeof x !== 'object' || x === null) return x;
    if (ArrayBuffer.isView(x)) return this.array(x, lent);
    if (isPixels(x)) return { data: this.array(x.data, lent), width: x.width, height: x.height };
    if ('image' in x) return { ...x, image: this.input(x.image, lent) as Picture };
    return 'data' in x && ArrayBuffer.isView(x.data) ? { ...x, data: this.array(x.data, lent) } : x;
  }

  private array<T extends ArrayBufferView>(data: T, lent: ArrayBuffer[]): T {
    if (data.byteLength < LEAST_BYTES) return data;
    const at = this.spare.findIndex((buffer) => buffer.byteLength === data.byteLength);
    const buffer = at < 0 ? new ArrayBuffer(data.byteLength) : this.spare.splice(at, 1)[0]!;
    new Uint8Array(buffer).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    lent.push(buffer);
    // The type that it has by itself, whichever frame or subclass it comes from.
    const type = Object.prototype.toString.call(data).slice('[object '.length, -1) as 'Uint8Array';
    return new globalThis[type](buffer) as ArrayBufferView as T;
  }
}
