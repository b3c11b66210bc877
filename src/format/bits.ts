/**
 * Arithmetic coding of single bits, and models that say how probable each is and learn from it. A model is written once for both
 * directions: it hands every bit to a `Coder`, which writes it, or ignores it and gives the one that it reads. All is integer
 * arithmetic, or divisions that every engine rounds alike, since both sides must come to the same probabilities.
 */

/** Codes a bit that is 1 with `chance` 65536ths, 1..65535. A decoder does not look at `bit`. Returns the bit. */
export interface Coder {
  code(bit: number, chance: number): number;
}

const EVEN = 1 << 15;
/** Of how many bits a chance is the average, at most. */
const MEMORY = 255;

/** Reads bits from `bytes`; behind them are zeros. */
export class BitReader implements Coder {
  private low = 0;
  private high = 0xffffffff;
  private value = 0;
  /** Bytes that were taken, of which the last four are not needed any more once all bits are read. */
  taken = 0;

  constructor(private readonly bytes: Uint8Array) {
    for (let i = 0; i < 4; i++) this.take();
  }

  private take(): void {
    this.value = ((this.value << 8) | (this.bytes[this.taken++] ?? 0)) >>> 0;
  }

  code(_: number, chance: number): number {
    const middle = this.low + Math.floor(((this.high - this.low) * chance) / 65536);
    const bit = this.value <= middle ? 1 : 0;
    if (bit) this.high = middle;
    else this.low = middle + 1;
    while ((this.low ^ this.high) >>> 24 === 0) {
      this.low = (this.low << 8) >>> 0;
      this.high = ((this.high << 8) | 255) >>> 0;
      this.take();
    }
    return bit;
  }

  /** Whether exactly the bytes that were given make up the bits that were read. */
  get isDone(): boolean {
    return this.taken >= this.bytes.length && this.taken <= this.bytes.length + 4;
  }
}

/** Chances of bits in contexts that are numbered from 0. */
export class Chances {
  private readonly chances: Uint16Array;
  private readonly seen: Uint8Array;

  constructor(contexts: number) {
    this.chances = new Uint16Array(contexts).fill(EVEN);
    this.seen = new Uint8Array(contexts);
  }

  code(coder: Coder, bit: number, context: number): number {
    const coded = coder.code(bit, this.chances[context]!);
    this.learn(coded, context);
    return coded;
  }

  learn(bit: number, context: number): void {
    const chance = this.chances[context]!;
    const seen = this.seen[context]!;
    const next = chance + Math.trunc((2 * ((bit ? 65536 : 0) - chance)) / (2 * seen + 3));
    this.chances[context] = Math.min(65536 - 32, Math.max(32, next));
    if (seen < MEMORY) this.seen[context] = seen + 1;
  }
}

/** A number of `bits` bits, the highest first, each in the context of those before. */
export class Tree {
  private readonly chances: Chances;

  constructor(private readonly bits: number) {
    this.chances = new Chances(1 << bits);
  }

  code(coder: Coder, value: number): number {
    let path = 1;
    for (let i = this.bits - 1; i >= 0; i--) path = 2 * path + this.chances.code(coder, (value >>> i) & 1, path);
    return path - (1 << this.bits);
  }
}

/** How many bits behind the leading one `Numbers` learns at most. */
export const MAX_LEARNT = 8;

/**
 * Numbers from 0 to 2^32 - 1: how many bits they have, then these, of which the first `learnt` behind the leading one are learnt. Lengths
 * are in unary where most are `small`, which says more from a few numbers, else a tree.
 */
export class Numbers {
  private readonly lengths: Tree | Chances;
  private readonly heads: Chances;

  constructor(
    private readonly learnt: number,
    small = true,
  ) {
    this.lengths = small ? new Chances(33) : new Tree(6);
    this.heads = new Chances(33 << learnt);
  }

  code(coder: Coder, value: number): number {
    const length = this.length(coder, 32 - Math.clz32(value));
    if (length < 2) return length;
    let coded = 1;
    for (let i = length - 2; i >= 0; i--) {
      const bit = (value >>> i) & 1;
      const isLearnt = length - 2 - i < this.learnt;
      coded = 2 * coded + (isLearnt ? this.heads.code(coder, bit, (length << this.learnt) + coded) : coder.code(bit, EVEN));
    }
    return coded;
  }

  private length(coder: Coder, wanted: number): number {
    const { lengths } = this;
    if (lengths instanceof Tree) return Math.min(32, lengths.code(coder, wanted));
    let length = 0;
    while (length < 32 && lengths.code(coder, length < wanted ? 1 : 0, length)) length++;
    return length;
  }
}
