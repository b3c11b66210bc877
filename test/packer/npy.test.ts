import { expect, test } from 'vitest';
import { readNpy, readNpz, writeNpy, writeNpz } from '../../src/packer/npy';

/** A .npy file of version 1 with this header dictionary and content. */
function npy(dict: string, content: ArrayBufferLike, version = 1): Uint8Array {
  const header = new TextEncoder().encode(`${dict}\n`);
  const start = version === 1 ? 10 : 12;
  const bytes = new Uint8Array(start + header.length + content.byteLength);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, version, 0]);
  const view = new DataView(bytes.buffer);
  if (version === 1) view.setUint16(8, header.length, true);
  else view.setUint32(8, header.length, true);
  bytes.set(header, start);
  bytes.set(new Uint8Array(content), start + header.length);
  return bytes;
}

const dict = (descr: string, shape: string, fortran = 'False') =>
  `{'descr': '${descr}', 'fortran_order': ${fortran}, 'shape': ${shape}, }`;

test('npy: what is written is read again', () => {
  for (const array of [
    { dtype: 'f32', shape: [2, 3], data: Float32Array.of(1, -2, 3.5, 0, 1e30, -0) },
    { dtype: 'i32', shape: [3], data: Int32Array.of(-5, 0, 2 ** 31 - 1) },
    { dtype: 'i8', shape: [], data: Int8Array.of(-128) },
    { dtype: 'u8', shape: [0, 4], data: new Uint8Array() },
    { dtype: 'bool', shape: [2], data: Uint8Array.of(0, 1) },
  ] as const)
    expect(readNpy(writeNpy(array))).toEqual(array);
});

test('npy: the data of a written file starts at a multiple of 64 bytes', () => {
  const bytes = writeNpy({ dtype: 'u8', shape: [1], data: Uint8Array.of(7) });
  expect((bytes.length - 1) % 64).toBe(0);
});

test('npy: wide and big-endian elements', () => {
  expect(readNpy(npy(dict('<f8', '(2,)'), Float64Array.of(0.5, -1).buffer)).data).toEqual(Float32Array.of(0.5, -1));
  expect(readNpy(npy(dict('<i8', '(2,)'), BigInt64Array.of(-1n, 7n).buffer, 2)).data).toEqual(Int32Array.of(-1, 7));
  expect(readNpy(npy(dict('>i4', '(1,)'), Uint8Array.of(0, 0, 1, 2).buffer)).data).toEqual(Int32Array.of(258));
});

test('npy: column-major order becomes row-major', () => {
  const { shape, data } = readNpy(npy(dict('<i4', '(2, 3)', 'True'), Int32Array.of(1, 4, 2, 5, 3, 6).buffer, 3));
  expect(shape).toEqual([2, 3]);
  expect(data).toEqual(Int32Array.of(1, 2, 3, 4, 5, 6));
});

test('npz: arrays by name', () => {
  const x = { dtype: 'f32', shape: [1, 2], data: Float32Array.of(1, 2) } as const;
  const y = { dtype: 'i32', shape: [1], data: Int32Array.of(3) } as const;
  const arrays = new Map<string, typeof x | typeof y>([
    ['x', x],
    ['y', y],
  ]);
  expect(readNpz(writeNpz(arrays))).toEqual(arrays);
});

test.each([
  ['empty', new Uint8Array()],
  ['other magic', new Uint8Array(64)],
  ['cut header', writeNpy({ dtype: 'u8', shape: [1], data: Uint8Array.of(7) }).subarray(0, 30)],
  ['cut data', writeNpy({ dtype: 'f32', shape: [3], data: new Float32Array(3) }).subarray(0, -1)],
  ['a shape without end', npy(dict('<f4', '(99999999, 99999999)'), new ArrayBuffer(4))],
  ['no dictionary', npy('import os', new ArrayBuffer(4))],
  ['strings', npy(dict('<U8', '(1,)'), new ArrayBuffer(32))],
  ['an integer beyond 32 bits', npy(dict('<i8', '(1,)'), BigInt64Array.of(1n << 40n).buffer)],
])('npy: %s is refused', (_, bytes) => {
  expect(() => readNpy(bytes)).toThrowError(expect.objectContaining({ name: 'WaferError' }));
});

test('npz: damage is refused', () => {
  const bytes = writeNpz(new Map([['x', { dtype: 'u8', shape: [1], data: Uint8Array.of(7) }]]));
  for (const cut of [0, 10, bytes.length - 5])
    expect(() => readNpz(bytes.subarray(0, cut))).toThrowError(expect.objectContaining({ name: 'WaferError' }));
});
