/**
 * Files that are damaged or made to harm. Each ends in one WaferError that says where and what to do, or in a model; soon, and
 * without more memory than the file accounts for. Checksums are made right wherever a test wants to get past them.
 */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesOf } from '../../src/core/dtype';
import { WaferError } from '../../src/core/errors';
import { type Encoding, GRAPH, HEADER_BYTES, type Of, ORIGINS, TENSORS } from '../../src/format/layout';
import type { WaferModel } from '../../src/format/model';
import { readWafer } from '../../src/format/reader';
import { Sink } from '../../src/format/sink';
import { writeWafer } from '../../src/format/writer';
import { constantsOf } from '../../src/graph/ir';
import { printGraph } from '../../src/graph/print';
import { allCases, buildCase } from '../support/cases';
import { random } from '../support/random';
import { baseDevice } from '../support/wasm';
import { codedFiles, fullModel, modelOf } from './models';
import { readPieces } from './pieces';
import { type Part, packedHead, seal, seal1, sealHead, unseal } from './seal';

const FULL = writeWafer(fullModel());
const V1 = new Uint8Array(readFileSync(new URL('v1.wafer', import.meta.url)));
/** Files of tensors in every encoding, and one for each operator's case, where the packer could write it. */
const FILES = [FULL, ...codedFiles(), ...allCases().flatMap((c) => written(() => writeWafer(modelOf(buildCase(c).graph))))];

function written(write: () => Uint8Array): Uint8Array[] {
  try {
    return [write()];
  } catch {
    return [];
  }
}

/**
 * The error that reading ends in; undefined when a model comes out. Anything that is no complete BAD_FILE fails the test, and so
 * does a file that comes to another end when it arrives in pieces.
 */
function failure(file: Uint8Array): WaferError | undefined {
  const start = performance.now();
  const end = endOf(() => readWafer(file));
  expect(performance.now() - start).toBeLessThan(5000);
  expect(endOf(() => readPieces(file, cuts))).toEqual(end);
  expect(endOf(() => readPieces(file, cuts, device))).toEqual(end);
  if (!(end instanceof WaferError)) return undefined;
  expect(end).toMatchObject({ code: 'BAD_FILE', hint: expect.any(String), offset: expect.any(Number) });
  // An operator that stumbles instead of refusing would be hidden by the reader.
  expect(end.message).not.toMatch(/\w+Error: |wafer bug/);
  expect(end.offset).toBeLessThanOrEqual(file.length);
  return end;
}

/** Decodes with WASM. */
const device = await baseDevice();
/** Where pieces end: drawn anew for each file. */
const cuts = random(3);

/** The WaferError that reading ends in, or all that there is in the graph. */
function endOf(read: () => WaferModel): unknown {
  try {
    const { graph } = read();
    return [printGraph(graph), ...constantsOf(graph).map(({ data }) => bytesOf(data!).slice())];
  } catch (error) {
    if (!(error instanceof WaferError)) throw error;
    return error;
  }
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Sink();
  for (const part of parts) whole.raw(part);
  return whole.bytes;
}

/** Replaces, adds (undefined before) or removes (undefined after) the section called `tag`. */
function changed(tag: string, change: (bytes: Uint8Array) => Uint8Array | undefined, file = FULL): Uint8Array {
  const parts = unseal(file).flatMap((part): Part[] => {
    const bytes = part.tag === tag ? change(part.bytes) : part.bytes;
    return bytes ? [{ ...part, bytes }] : [];
  });
  return seal(parts);
}

/** A file whose graph section is written by hand, with no tensors unless given. */
function crafted(write: (to: Sink) => void, tensors?: { table: Of<typeof TENSORS>; weights: Uint8Array }): Uint8Array {
  const graph = new Sink();
  write(graph);
  const parts = unseal(FULL).filter(({ tag }) => tag === 'PROV');
  return seal([
    ...parts,
    { tag: 'GRPH', bytes: graph.bytes },
    { tag: 'TENS', bytes: Sink.of(TENSORS, tensors?.table ?? { blobs: [], tensors: [] }) },
    { tag: 'WGTS', bytes: tensors?.weights ?? new Uint8Array() },
  ]);
}

/** No nodes, no outputs. */
const empty = (to: Sink): void => [0, 0, 0, 0].forEach((n) => to.uint(n));

type Blob = { dtype: 'f32' | 'i32' | 'bool' | 'u8'; encoding: Encoding; elements: number; bytes: number };
const withBlobs = (blobs: readonly Blob[], weights: Uint8Array = new Uint8Array(blobs.reduce((n, b) => n + b.bytes, 0))) =>
  crafted(empty, { table: { blobs, tensors: [] }, weights });

/** One f32 input "x" of a shape that is written by hand, and a node that reshapes it likewise. */
const withShape = (rank: number, dim: (to: Sink) => void, reshape = false): Uint8Array =>
  crafted((to) => {
    to.write(GRAPH.strings, ['a', 'b', 'c', 'd']);
    to.uint(1);
    to.field('text', 'x');
    to.u8(0);
    to.uint(rank);
    for (let i = 0; i < rank; i++) dim(to);
    to.u8(0);
    to.uint(reshape ? 1 : 0);
    if (reshape) {
      for (const n of [18, 1, rank]) to.uint(n);
      for (let i = 0; i < rank; i++) dim(to);
      for (const n of [1, 1]) to.uint(n);
    }
    to.uint(0);
  });

describe('damage', () => {
  it('every truncation is found', () => {
    for (let n = 0; n < FULL.length; n++) expect(failure(FULL.subarray(0, n))?.message, `${n} bytes`).toBeDefined();
  });

  it('every flipped bit is found', () => {
    const file = FULL.slice();
    for (let bit = 0; bit < 8 * file.length; bit++) {
      file[bit >> 3]! ^= 1 << (bit & 7);
      expect(failure(file)?.message, `bit ${bit}`).toBeDefined();
      file[bit >> 3]! ^= 1 << (bit & 7);
    }
    expect(failure(file)).toBeUndefined();
  });

  it('a byte too many is found', () =>
    expect(failure(Uint8Array.of(...FULL, 0))?.message).toMatch(`more than ${FULL.length} bytes`));
  it('says that a download was cut short', () => expect(failure(FULL.subarray(0, FULL.length - 9))?.hint).toMatch('cut short'));
  it('says what is no .wafer file', () =>
    expect(failure(new TextEncoder().encode('<!doctype html><title>404</title>'))?.message).toMatch('no .wafer file'));
});

describe('fuzz', () => {
  const file = fc.nat(FILES.length - 1).map((i) => FILES[i]!);
  const edit = fc.record({
    /** Sections are chosen by weight: most is to be said about graphs. */
    section: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 2, arbitrary: fc.nat(7) }),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    remove: fc.nat(3),
    insert: fc.array(fc.oneof(fc.nat(15), fc.nat(255)), { maxLength: 4 }),
  });
  const check = (numRuns: number, property: fc.IPropertyWithHooks<never>) => fc.assert(property, { numRuns, seed: 2 });

  it('spliced sections under right checksums', () =>
    check(
      4000,
      fc.property(file, fc.array(edit, { minLength: 1, maxLength: 3 }), (original, edits) => {
        const parts = unseal(original);
        for (const { section, at, remove, insert } of edits) {
          const part = parts[section % parts.length]!;
          const from = Math.floor(at * part.bytes.length);
          part.bytes = joined(part.bytes.subarray(0, from), Uint8Array.from(insert), part.bytes.subarray(from + remove));
        }
        failure(seal(parts));
      }) as never,
    ));

  it('flipped bits under right checksums', () =>
    check(
      3000,
      fc.property(file, fc.array(fc.tuple(edit, fc.nat(7)), { minLength: 1, maxLength: 4 }), (original, flips) => {
        const parts = unseal(original);
        for (const [{ section, at }, bit] of flips) {
          const { bytes } = parts[section % parts.length]!;
          const i = Math.floor(at * bytes.length);
          if (i < bytes.length) bytes[i]! ^= 1 << bit;
        }
        failure(seal(parts));
      }) as never,
    ));

  it('sections of one file in another', () =>
    check(
      1000,
      fc.property(file, file, fc.nat(7), (a, b, i) => {
        const [to, from] = [unseal(a), unseal(b)];
        const part = from[i % from.length]!;
        failure(seal(to.map((p) => (p.tag === part.tag ? part : p))));
      }) as never,
    ));

  it('damage that checksums must find', () =>
    check(
      1000,
      fc.property(
        file,
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 3 }),
        (original, hits) => {
          const damaged = original.slice();
          for (const [at, by] of hits) damaged[at % damaged.length]! ^= by;
          if (damaged.some((byte, i) => byte !== original[i])) expect(failure(damaged)).toBeDefined();
        },
      ) as never,
    ));

  it('noise', () =>
    check(
      1000,
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (noise, dressed) => {
        failure(dressed ? Uint8Array.of(...FULL.subarray(0, 8), ...noise) : noise);
        failure(
          seal([
            { tag: 'GRPH', bytes: noise },
            { tag: 'TENS', bytes: noise },
            { tag: 'WGTS', bytes: noise },
          ]),
        );
      }) as never,
    ));
});

describe('outside', () => {
  const word = (at: number, value: number): Uint8Array => {
    const file = FULL.slice();
    new DataView(file.buffer).setUint32(at, value, true);
    return file;
  };
  const parts = unseal(FULL);

  it('a newer version', () => expect(failure(word(4, 3))).toMatchObject({ hint: expect.stringContaining('newer wafer') }));
  it('flags', () => expect(failure(word(4, 0x20002))).toMatchObject({ hint: expect.stringContaining('newer wafer') }));
  it('a head longer than the file', () => expect(failure(word(12, 0xffffffff))?.message).toMatch('a head of 4294967295 bytes'));
  it('a section that is unknown and required', () =>
    expect(failure(seal([...parts, { tag: 'NEWS', bytes: FULL }]))).toMatchObject({
      hint: expect.stringContaining('newer wafer'),
    }));
  it('a section that is unknown and optional is skipped', () => {
    expect(failure(seal([...parts, { tag: 'news', bytes: FULL }]))).toBeUndefined();
  });
  it('a section twice', () => expect(failure(seal([...parts, parts[0]!]))?.message).toMatch('twice'));
  it.each(['GRPH', 'TENS', 'PROV'])('no %s', (tag) =>
    expect(failure(changed(tag, () => undefined))?.message).toMatch(`${tag} is missing`),
  );
  it.each(['labl', 'proc', 'gold', 'orig'])('no %s is fine', (tag) =>
    expect(failure(changed(tag, () => undefined))).toBeUndefined(),
  );
  it.each(parts.map((p) => p.tag))('bytes left over in %s', (tag) =>
    expect(failure(changed(tag, (bytes) => Uint8Array.of(...bytes, 0)))?.message).toMatch(/left over|cannot be|tensor/),
  );
});

describe('packed heads', () => {
  const weights = unseal(FULL).at(-1)!.bytes;
  const plain = seal(unseal(FULL)).subarray(HEADER_BYTES, -weights.length);
  const isDamaged = (head: Uint8Array, text: RegExp) => {
    const error = failure(sealHead(head, weights, true));
    expect(error?.message).toMatch(text);
    expect(error?.offset).toBeLessThanOrEqual(HEADER_BYTES + 3);
  };

  it('as they should be', () => expect(failure(sealHead(packedHead(plain), weights, true))).toBeUndefined());
  it('longer than they say', () => isDamaged(packedHead(plain, plain.length - 9), /damaged|left|sections|section/));
  it('shorter than they say', () => isDamaged(packedHead(plain, plain.length + 9), /damaged/));
  it('with bytes left over', () => isDamaged(Uint8Array.of(...packedHead(plain), 0, 0, 0, 0, 0), /damaged/));
  it('of any size', () => isDamaged(packedHead(plain, 2 ** 40), /1099511627776 bytes/));
  it('that become very long', () => isDamaged(packedHead(new Uint8Array(1 << 20)), /section/));
  it('errors in them are where they begin', () => {
    const changed = plain.slice();
    changed[changed.indexOf(0x54)]! ^= 0x20;
    expect(failure(sealHead(packedHead(changed), weights, true))).toMatchObject({ offset: HEADER_BYTES });
  });
});

describe('version 1', () => {
  const parts = unseal(V1);
  const word = (at: number, value: number): Uint8Array => {
    const file = V1.slice();
    new DataView(file.buffer).setUint32(at, value, true);
    return file;
  };

  it('as it should be', () => expect(failure(seal1(parts))).toBeUndefined());
  it('every truncation is found', () => {
    for (let n = 0; n < V1.length; n++) expect(failure(V1.subarray(0, n))?.message, `${n} bytes`).toBeDefined();
  });
  it('every byte matters', () => {
    const file = V1.slice();
    for (let i = 0; i < file.length; i++) {
      file[i]! ^= 0x10;
      expect(failure(file)?.message, `byte ${i}`).toBeDefined();
      file[i]! ^= 0x10;
    }
  });
  it('flags', () => expect(failure(word(4, 0x10001))).toMatchObject({ hint: expect.stringContaining('newer wafer') }));
  it('a great number of sections', () => expect(failure(word(12, 0xffffffff))?.message).toMatch('4294967295 sections'));
  it('a section that is unknown and required', () =>
    expect(failure(seal1([...parts, { tag: 'NEWS', bytes: FULL }]))).toMatchObject({
      hint: expect.stringContaining('newer wafer'),
    }));
  it('a section that is unknown and optional is skipped', () => {
    expect(failure(seal1([...parts, { tag: 'news', bytes: FULL, encoding: 3 }]))).toBeUndefined();
  });
  it('an encoding that is unknown', () =>
    expect(failure(seal1(parts.map((p) => ({ ...p, encoding: 1 }))))).toMatchObject({
      hint: expect.stringContaining('newer wafer'),
    }));
  it('a section twice', () => expect(failure(seal1([...parts, parts[0]!]))?.message).toMatch('twice'));
  it.each(['GRPH', 'TENS', 'PROV', 'WGTS'])('no %s', (tag) =>
    expect(failure(seal1(parts.filter((p) => p.tag !== tag)))?.message).toMatch(`${tag} is missing`),
  );
});

describe('counts', () => {
  it.each([1000, 2 ** 31, 2 ** 32, 2 ** 53 - 1])('%d strings', (n) =>
    expect(failure(crafted((to) => to.uint(n)))?.message).toMatch('cannot be in'),
  );
  it.each(['TENS', 'labl', 'proc', 'gold', 'orig'])('endless digits in %s', (tag) =>
    expect(failure(changed(tag, () => new Uint8Array(5000).fill(255)))).toBeDefined(),
  );
  it('more nodes than a model has', () => {
    const nodes = 70_000;
    const file = crafted((to) => {
      for (const n of [0, 1, 1, 120]) to.uint(n);
      for (const n of [0, 0, 0]) to.u8(n);
      to.uint(nodes);
      for (let i = 0; i < nodes; i++) for (const n of [18, 0, 1, 1]) to.uint(n);
      to.uint(0);
    });
    expect(failure(file)?.message).toMatch('70000 nodes');
  });
});

describe('dimensions', () => {
  const isNot = (file: Uint8Array, text: RegExp) => expect(failure(file)?.message).toMatch(text);
  /** A sum of `terms` terms, each of the factors that `factor` writes. */
  const sum = (to: Sink, terms: number, factors: number, factor: (i: number) => void): void => {
    to.int(2 * terms + 1);
    for (let i = 0; i < terms; i++) {
      to.int(1);
      to.uint(factors);
      for (let k = 0; k < factors; k++) factor(i * factors + k);
    }
  };

  it('negative', () =>
    isNot(
      withShape(1, (to) => to.int(-2)),
      /is no shape/,
    ));
  it('too large', () =>
    isNot(
      withShape(1, (to) => to.int(2 ** 33)),
      /too large/,
    ));
  it('too large a product', () =>
    isNot(
      withShape(4, (to) => to.int(2 * 1000)),
      /too large/,
    ));
  it('too many', () =>
    isNot(
      withShape(17, (to) => to.int(2)),
      /17 dimensions/,
    ));
  it('an unknown symbol', () =>
    isNot(
      withShape(1, (to) => sum(to, 1, 1, () => to.uint(8))),
      /string 4/,
    ));
  it('divided by zero', () =>
    isNot(
      withShape(1, (to) => sum(to, 1, 1, () => to.uint(1))),
      /divided by zero/,
    ));
  it('a negative number of terms', () =>
    isNot(
      withShape(1, (to) => to.int(-3)),
      /malformed/,
    ));
  it('nested deeply', () =>
    isNot(
      withShape(1, (to) => {
        for (let depth = 0; depth < 50_000; depth++) for (const n of [6, 2, 1, 5]) to.uint(n);
        to.int(2);
      }),
      /nested/,
    ));
  it('a power that grows', () =>
    isNot(
      withShape(1, (to) => sum(to, 1, 5000, () => to.uint(0))),
      /1024 parts/,
    ));
  it('a product of sums that grows', () => {
    const factor = (to: Sink) => {
      to.uint(2 * 1 + 1);
      sum(to, 4, 1, (i) => to.uint(2 * i));
    };
    isNot(
      withShape(1, (to) => sum(to, 1, 12, () => factor(to))),
      /1024 parts/,
    );
  });
  it('sums that grow in shape inference', () =>
    isNot(
      withShape(8, (to) => sum(to, 4, 1, (i) => to.uint(2 * i)), true),
      /1024 parts/,
    ));
  it('many great sums take no time', () => {
    const names = Array.from({ length: 500 }, (_, i) => `s${i}`);
    const file = crafted((to) => {
      const dim = () => sum(to, names.length, 1, (i) => to.uint(2 * i));
      to.write(GRAPH.strings, names);
      to.uint(1);
      to.field('text', 'x');
      for (const n of [0, 1]) to.u8(n);
      dim();
      to.u8(0);
      to.uint(300);
      for (let i = 0; i < 300; i++) {
        for (const n of [18, 1, 1]) to.uint(n);
        dim();
        for (const n of [1, 1]) to.uint(n);
      }
      to.uint(0);
    });
    expect(failure(file)).toBeUndefined();
  });
  it('great coefficients', () =>
    isNot(
      withShape(
        2,
        (to) => {
          to.int(3);
          to.int(2 ** 50);
          for (const n of [1, 0]) to.uint(n);
        },
        true,
      ),
      /coefficient/,
    ));
});

describe('tensors', () => {
  it('uniform beyond all measure', () =>
    expect(failure(withBlobs([{ dtype: 'f32', encoding: 'fill', elements: 2 ** 30, bytes: 4 }]))?.message).toMatch(
      'bytes more than',
    ));
  it('many uniform ones', () => {
    const before = process.memoryUsage().arrayBuffers;
    const blobs = Array.from({ length: 1000 }, (): Blob => ({ dtype: 'f32', encoding: 'fill', elements: 2 ** 20, bytes: 4 }));
    expect(failure(withBlobs(blobs))?.message).toMatch('bytes more than');
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 << 20);
  });
  it('more elements than any array', () =>
    expect(failure(withBlobs([{ dtype: 'u8', encoding: 'fill', elements: 2 ** 53 - 1, bytes: 1 }]))).toBeDefined());
  it.each(['raw', 'varint', 'delta'] as const)('%s with too many elements', (encoding) =>
    expect(failure(withBlobs([{ dtype: 'i32', encoding, elements: 2 ** 40, bytes: 4 }]))).toBeDefined(),
  );
  it('varints of floats', () =>
    expect(failure(withBlobs([{ dtype: 'f32', encoding: 'varint', elements: 1, bytes: 1 }]))?.message).toMatch('varints'));
  it('varints beyond 32 bits', () =>
    expect(
      failure(withBlobs([{ dtype: 'i32', encoding: 'varint', elements: 1, bytes: 5 }], Sink.of<'int'>('int', 2 ** 31)))?.message,
    ).toMatch('32-bit'));
  it('varints left over', () =>
    expect(failure(withBlobs([{ dtype: 'i32', encoding: 'varint', elements: 1, bytes: 2 }]))?.message).toMatch('left over'));
  const coded = (dtype: Blob['dtype'], encoding: Encoding, elements: number, ...bytes: number[]) =>
    failure(withBlobs([{ dtype, encoding, elements, bytes: bytes.length }], Uint8Array.from(bytes)))?.message;
  it('a stream of an unknown form', () => expect(coded('u8', 'planes', 2, 9, 1, 2)).toMatch('form of stream'));
  it('a stream that is too short', () => expect(coded('u8', 'planes', 3, 0, 1, 2)).toMatch('3 symbols'));
  it('a plane that is longer than all', () => expect(coded('i32', 'planes', 1, 9, 0, 1)).toMatch('are left'));
  it('halves of integers', () => expect(coded('i32', 'half', 1, 2, 0, 1, 0, 1)).toMatch('16-bit'));
  it('a palette of floats for integers', () => expect(coded('u8', 'palette', 2, 3, 1)).toMatch('floats for u8'));
  it('a palette of other numbers', () => expect(coded('u8', 'palette', 2, 0, 1, 1, 1, 1, 0, 0)).toMatch('no u8'));
  it('a palette of too many for a symbol', () => expect(coded('u8', 'palette', 2, 0, 15, 2, 1, 3, 0, 0)).toMatch('no symbol'));
  it('a symbol that is not in the palette', () => expect(coded('u8', 'palette', 1, 0, 2, 2, 1, 1, 0, 3)).toMatch('not among 3'));
  it('a mask of masks', () => expect(coded('u8', 'sparse', 4, 1, 7, 1, 0)).toMatch('unknown encoding'));
  it('a mask of 2', () => expect(coded('u8', 'sparse', 1, 1, 0, 1, 2, 0)).toMatch('neither 0 nor 1'));
  it('blocks of 3', () => expect(coded('u8', 'sparse', 4, 3, 1, 0)).toMatch('blocks of 3'));
  it('shifted by nothing', () => expect(coded('i32', 'shifted', 2, 0, 2, 1, 2)).toMatch('by 0 bits'));
  it('shifted by all bits', () => expect(coded('i32', 'shifted', 2, 32, 2, 1, 2)).toMatch('by 32 bits'));
  it('shifted bytes', () => expect(coded('u8', 'shifted', 2, 1, 0, 1, 2)).toMatch('as shifted'));
  it('shifted twice', () => expect(coded('i32', 'shifted', 2, 1, 9, 1, 2)).toMatch('unknown encoding'));
  it('words of 8 bytes', () => expect(coded('u8', 'numbers', 8, 3)).toMatch('unknown kind'));
  it('learnt bits without end', () =>
    expect(coded('u8', 'numbers', 20_000, ...new Array(999).fill(0))).toMatch('20000 elements'));
  it('a table of no symbols', () => expect(coded('u8', 'planes', 9, 3, 0, 0, 0)).toMatch(/entropy code/));
  it('a bool of 2', () =>
    expect(failure(withBlobs([{ dtype: 'bool', encoding: 'raw', elements: 1, bytes: 1 }], Uint8Array.of(2)))?.message).toMatch(
      'bool',
    ));
  it('a shape of other elements', () => {
    const blobs: Blob[] = [{ dtype: 'u8', encoding: 'raw', elements: 4, bytes: 4 }];
    const file = crafted(empty, { table: { blobs, tensors: [{ blob: 0, shape: [5] }] }, weights: new Uint8Array(4) });
    expect(failure(file)?.message).toMatch('has 4 elements');
  });
  it('a blob that is not there', () => {
    const file = crafted(empty, { table: { blobs: [], tensors: [{ blob: 3, shape: [] }] }, weights: new Uint8Array() });
    expect(failure(file)?.message).toMatch('blob 3 of 0');
  });
});

describe('graph', () => {
  /** One u8 input of shape [2], then what `write` writes. */
  const behindInput = (write: (to: Sink) => void, strings: readonly string[] = []): Uint8Array =>
    crafted((to) => {
      to.write(GRAPH.strings, strings);
      to.write(GRAPH.inputs, [{ name: 'x', type: { dtype: 'f32', shape: [2] } }]);
      write(to);
    });
  const uints =
    (...numbers: number[]) =>
    (to: Sink): void =>
      numbers.forEach((n) => to.uint(n));

  it('an unknown operator', () =>
    expect(failure(behindInput(uints(1, 99)))).toMatchObject({
      message: expect.stringContaining('operator 99'),
      hint: expect.stringContaining('newer'),
    }));
  it('an unknown attribute', () => expect(failure(behindInput(uints(1, 18, 2)))).toMatchObject({ node: 'reshape "reshape.0"' }));
  it('a reference to what comes later', () =>
    expect(failure(behindInput(uints(1, 18, 0, 1, 3)))?.message).toMatch('leads nowhere'));
  it('a reference to a tensor that is not there', () =>
    expect(failure(behindInput(uints(1, 18, 0, 1, 2)))?.message).toMatch('leads nowhere'));
  it('a type error names the node', () =>
    expect(failure(behindInput(uints(1, 18, 1, 1, 12, 1, 1)))).toMatchObject({ code: 'BAD_FILE', node: 'reshape "reshape.0"' }));
  it('a function that is unknown', () =>
    expect(failure(behindInput(uints(1, 5, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0), ['reul']))).toMatchObject({
      message: expect.stringContaining('"reul"'),
    }));
  it('an input twice', () => {
    const x = { name: 'x', type: { dtype: 'f32', shape: [2] } } as const;
    const file = crafted((to) => {
      to.uint(0);
      to.write(GRAPH.inputs, [x, x]);
      uints(0, 0)(to);
    });
    expect(failure(file)?.message).toMatch('one name');
  });
  it('an output twice', () =>
    expect(
      failure(
        behindInput((to) => {
          to.uint(0);
          to.write(GRAPH.outputs, [
            { name: 'y', ref: 1 },
            { name: 'y', ref: 1 },
          ]);
        }),
      )?.message,
    ).toMatch('one name'));
});

describe('names', () => {
  const named = (change: (nodes: { name: string; tensors: string[]; outputs: [] }[]) => void): Uint8Array =>
    changed('orig', () => {
      const nodes = fullModel().graph.nodes.map(({ name }) => ({ name, tensors: [] as string[], outputs: [] as [] }));
      change(nodes);
      return Sink.of(ORIGINS, { inputs: [], nodes, tensors: [] });
    });

  it('too few', () => expect(failure(named((nodes) => nodes.pop()))?.message).toMatch('missing or left over'));
  it('alike', () => expect(failure(named((nodes) => nodes.forEach((n) => (n.name = 'same'))))?.message).toMatch('one name'));
  it('that grow with every name', () => {
    const bomb = changed('orig', () => {
      const to = new Sink();
      to.uint(0);
      to.uint(0);
      to.uint(200_000);
      for (let i = 0; i < 200_000; i++) {
        to.uint(2 ** 40);
        to.field('text', 'abcd');
      }
      return to.bytes;
    });
    expect(failure(bomb)?.message).toMatch('names are too long');
  });
});
