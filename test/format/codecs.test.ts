/** Encodings of tensors: every one gives every tensor back, with JavaScript and with WASM, and takes as little as it should. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allocate, bytesOf, DTYPES, type DType, type TypedArray } from '../../src/core/dtype';
import { fromHalves, toHalves } from '../../src/core/half';
import { describeBlob } from '../../src/format/describe';
import { encode } from '../../src/format/encode';
import type { Encoding } from '../../src/format/layout';
import { unpack } from '../../src/format/lz';
import { packBytes } from '../../src/format/lzWriter';
import { scalarCodec } from '../../src/format/rans';
import { type Blob, decode } from '../../src/format/tensors';
import { random } from '../support/random';
import { baseDevice } from '../support/wasm';
import { drawnTensors } from './models';

const device = await baseDevice();

const blobOf = (dtype: DType, elements: number, encoding: Encoding, bytes: Uint8Array): Blob => ({
  ...{ dtype, elements, encoding, bytes: bytes.length, at: 0, end: bytes.length },
  data: allocate(dtype, elements),
});

/** Encodes and decodes in every way. Returns the smallest encoding. */
function roundTrip(dtype: DType, data: TypedArray): { text: string; bytes: number; bits: number } {
  const wanted = bytesOf(data);
  const forms = encode(dtype, data).map(({ encoding, bytes }) => {
    // Bytes behind the tensor must not matter, nor their address.
    const file = new Uint8Array(bytes.length + 2).fill(255);
    file.set(bytes);
    for (const codec of [scalarCodec, device]) {
      const blob = blobOf(dtype, data.length, encoding, bytes);
      decode(blob, file, codec);
      expect(Buffer.compare(bytesOf(blob.data), wanted), `${encoding} of ${data.length} ${dtype}`).toBe(0);
    }
    return { text: describeBlob(blobOf(dtype, data.length, encoding, bytes), file), bytes: bytes.length };
  });
  const { text, bytes } = forms.reduce((a, b) => (b.bytes < a.bytes ? b : a));
  return { text, bytes, bits: (8 * bytes) / data.length };
}

describe('round trip', () => {
  const bytes = fc.uint8Array({ maxLength: 600 });
  const few = fc
    .tuple(fc.uint8Array({ minLength: 4, maxLength: 40 }), fc.array(fc.nat(9), { maxLength: 500 }))
    .map(([values, picks]) => Uint8Array.from(picks.flatMap((i) => [...values.subarray(4 * i, 4 * i + 4)])));

  it.each(['i8', 'u8', 'bool', 'i32', 'f32'] as const)('any %s', (dtype) =>
    fc.assert(
      fc.property(fc.oneof(bytes, few), (drawn) => {
        const { array, bytes: size } = DTYPES[dtype];
        const content = dtype === 'bool' ? drawn.map((b) => b & 1) : drawn;
        const whole = content.slice(0, content.length - (content.length % size));
        roundTrip(dtype, new array(whole.buffer, 0, whole.length / size));
      }),
      { numRuns: 60, seed: 4 },
    ),
  );

  it.each([0, 1, 2, 3, 5, 255, 256, 257, 4095, 4097, 16_383, 16_384, 16_385])('%d elements of each kind', (length) => {
    for (const { dtype, data } of drawnTensors(length, random(length))) roundTrip(dtype, data);
  });

  it('is deterministic', () => {
    const forms = () => drawnTensors(20_000, random(7)).map(({ dtype, data }) => encode(dtype, data).map((e) => e.bytes.slice()));
    expect(forms()).toEqual(forms());
  });
});

describe('packed bytes', () => {
  const repetitive = fc
    .tuple(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 5 }),
      fc.array(fc.nat(4), { maxLength: 200 }),
    )
    .map(([words, picks]) => Uint8Array.from(picks.flatMap((i) => [...words[i % words.length]!])));

  it('come back', () =>
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), repetitive), (bytes) => {
        const packed = packBytes(bytes);
        const back = new Uint8Array(bytes.length);
        expect(unpack(packed, back)).toBe(true);
        expect(back).toEqual(bytes);
        expect(unpack(Uint8Array.of(...packed, 0, 0, 0, 0, 0), back)).toBe(false);
      }),
      { numRuns: 300, seed: 8 },
    ));
  it('repetition takes little', () =>
    expect(packBytes(new TextEncoder().encode('ternary '.repeat(500))).length).toBeLessThan(20));
});

it("decoding takes no memory of plans, and as much of its own whatever a tensor's size", async () => {
  const fresh = await baseDevice();
  fresh.reserve(fresh.heapBase + 1000);
  const size = fresh.buffer.byteLength;
  new Uint8Array(fresh.buffer, fresh.heapBase, 1000).fill(7);
  for (const { dtype, data } of drawnTensors(200_000, random(2)).slice(0, 6)) {
    const { encoding, bytes } = encode(dtype, data).at(-1)!;
    decode(blobOf(dtype, data.length, encoding, bytes), bytes.slice(), fresh);
  }
  expect(new Uint8Array(fresh.buffer, fresh.heapBase, 1000).every((byte) => byte === 7)).toBe(true);
  expect(fresh.buffer.byteLength).toBe(size);
});

describe('sizes', () => {
  const next = random(9);
  const draw = <T extends TypedArray>(array: T, f: (i: number) => number): T => {
    for (let i = 0; i < array.length; i++) array[i] = f(i);
    return array;
  };
  const normal = () => {
    let sum = 0;
    for (let i = 0; i < 12; i++) sum += next();
    return sum - 6;
  };
  const entropy = (data: Int8Array): number => {
    const counts = new Map<number, number>();
    for (const x of data) counts.set(x, (counts.get(x) ?? 0) + 1);
    return [...counts.values()].reduce((bits, n) => bits - (n / data.length) * Math.log2(n / data.length), 0);
  };
  const ternary = (length: number, zeros: number) =>
    draw(new Int8Array(length), () => (next() < zeros ? 0 : next() < 0.5 ? -1 : 1));

  it.each([0.3, 0.5, 0.7, 0.9, 0.97])('ternary with a share of zeros of %d', (zeros) => {
    const data = ternary(100_000, zeros);
    const { bits, text } = roundTrip('i8', data);
    expect(bits).toBeLessThan(1.02 * entropy(data));
    expect(text).toMatch(/rans$/);
  });
  it('ternary with 50 % zeros: at most 1.55 bits, in 5,000 weights too', () => {
    expect(roundTrip('i8', ternary(100_000, 0.5)).bits).toBeLessThan(1.515);
    expect(roundTrip('i8', ternary(5000, 0.5)).bits).toBeLessThan(1.55);
  });
  it('ternary in uniform use: less than the 1.6 bits of 5 in a byte', () =>
    expect(roundTrip('i8', ternary(100_000, 1 / 3)).bits).toBeLessThan(1.6));
  it('binary: 1 bit', () => {
    const { bits, text } = roundTrip(
      'i8',
      draw(new Int8Array(40_000), () => (next() < 0.5 ? -1 : 1)),
    );
    expect(bits).toBeLessThan(1.01);
    expect(text).toBe('binary, 8 in a byte, plain');
  });
  it.each([5, 20, 40])('int8 of deviation %d: within 2 %% of the entropy', (deviation) => {
    const data = draw(new Int8Array(40_000), () => Math.max(-127, Math.min(127, Math.round(deviation * normal()))));
    expect(roundTrip('i8', data).bits).toBeLessThan(1.02 * entropy(data));
  });
  it('int4: within 2 % of the entropy', () => {
    const data = draw(new Int8Array(40_000), () => Math.max(-7, Math.min(7, Math.round(2.5 * normal()))));
    const { bits, text } = roundTrip('i8', data);
    expect(bits).toBeLessThan(1.02 * entropy(data));
    expect(text).toMatch(/^(int4|dense)/);
  });
  it.each([2, 3, 4, 5, 6, 8])('codebook of %d bits, f32 values in uniform use: 0.1 bits more at most', (width) => {
    const values = Float32Array.from({ length: 2 ** width }, normal);
    const { bits, text } = roundTrip(
      'f32',
      draw(new Float32Array(100_000), () => values[Math.floor(next() * values.length)]!),
    );
    expect(bits).toBeLessThan(width + 0.1);
    expect(text).toMatch(`codebook-${width}`);
  });
  it('f16: at most 2 bytes', () => {
    const { bits, text } = roundTrip('f32', fromHalvesOf(draw(new Float32Array(40_000), () => 0.1 * normal())));
    expect(bits).toBeLessThan(13.6);
    expect(text).toMatch(/^f16/);
  });
  it('zeros in blocks of 4 cost a mask', () => {
    const data = new Int8Array(40_000);
    for (let i = 0; i < data.length; i += 4)
      if (next() < 0.3) for (let k = 0; k < 4; k++) data[i + k] = Math.round(30 * normal()) || 1;
    const { bits, text } = roundTrip('i8', data);
    expect(text).toMatch(/^vectors of 4/);
    expect(bits).toBeLessThan(0.3 * 7.2 + 0.23);
  });
  it('zeros among floats cost a mask', () => {
    const { bits, text } = roundTrip(
      'f32',
      draw(new Float32Array(40_000), () => (next() < 0.8 ? 0 : normal())),
    );
    expect(text).toMatch(/^bitmap/);
    expect(bits).toBeLessThan(0.2 * 28 + 0.75);
  });
  it('few weights cost few bytes more than they say', () => {
    expect(roundTrip('i8', ternary(288, 0.5)).bytes).toBeLessThan((288 * 1.5) / 8 + 8);
    expect(
      roundTrip(
        'i32',
        draw(new Int32Array(16), () => Math.round(1000 * normal())),
      ).bytes,
    ).toBeLessThan(16 * 1.8);
  });

  function fromHalvesOf(data: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
    return fromHalves(toHalves(data));
  }
});
