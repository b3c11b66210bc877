/** The writing half of bits.ts, for the packer only. */
import type { Coder } from './bits';
import { Sink } from './sink';

export class BitWriter implements Coder {
  private low = 0;
  private high = 0xffffffff;
  private readonly to = new Sink();

  code(bit: number, chance: number): number {
    const middle = this.low + Math.floor(((this.high - this.low) * chance) / 65536);
    if (bit) this.high = middle;
    else this.low = middle + 1;
    while ((this.low ^ this.high) >>> 24 === 0) {
      this.to.u8(this.high >>> 24);
      this.low = (this.low << 8) >>> 0;
      this.high = ((this.high << 8) | 255) >>> 0;
    }
    return bit;
  }

  /** The fewest bytes that say all bits, as zeros follow them. */
  end(): Uint8Array {
    if (this.low > 0) {
      // The shortest number between the two ends.
      let digit = 2 ** 24;
      while (Math.ceil(this.low / digit) * digit > this.high) digit /= 256;
      for (let left = Math.ceil(this.low / digit) * digit; left > 0; left = (left * 256) % 2 ** 32) this.to.u8(left / 2 ** 24);
    }
    return this.to.bytes;
  }
}

/** How many bytes bits would take, without writing them. */
export class BitCounter implements Coder {
  private bits = 0;

  code(bit: number, chance: number): number {
    this.bits -= Math.log2((bit ? chance : 65536 - chance) / 65536);
    return bit;
  }

  get bytes(): number {
    return this.bits / 8;
  }
}
