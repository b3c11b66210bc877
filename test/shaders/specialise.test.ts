/** Directives of shaders. */
import { expect, test } from 'vitest';
import { type Flags, specialise } from '../../src/runtime/webgpu/specialise';

const LIBRARY = { one: 'fn one() {}', two: '#include one\n#if WIDE\nfn two() {}\n#end' };
const text = (source: string, flags?: Flags) => specialise('s', { shaders: { s: source }, library: LIBRARY }, flags);

test('specialise/flags have defaults, and their values replace their names', () => {
  const source = '#flag N = 2\n#flag WIDE = false\nlet a = $N;\nlet b = v${N}x;';
  expect(text(source)).toBe('let a = 2;\nlet b = v2x;');
  expect(text(source, { N: 7 })).toBe('let a = 7;\nlet b = v7x;');
});

test('specialise/conditions nest, negate and compare', () => {
  const source = '#flag A = true\n#flag N = 3\n#if A\n#if N == 3\nthree\n#else\nother\n#end\n#else\n#if !A\nnone\n#end\n#end';
  expect(text(source)).toBe('three');
  expect(text(source, { N: 4 })).toBe('other');
  expect(text(source, { A: false })).toBe('none');
  expect(text('#flag L = []\n#if L\nsome\n#else\nempty\n#end')).toBe('empty');
});

test('specialise/loops count, and walk lists with their indices', () => {
  expect(text('#flag N = 2\n#for i N\n#for j N\nc$i$j\n#end\n#end')).toBe('c00\nc01\nc10\nc11');
  const source = '#flag ACT = []\n#for i,f ACT\nv = $f(v, p.a$i);\n#end\n#for i ACT\na$i\n#end';
  expect(text(source)).toBe('');
  expect(text(source, { ACT: ['relu', 'exp'] })).toBe('v = relu(v, p.a0);\nv = exp(v, p.a1);\na0\na1');
});

test('specialise/what is included is there once, and sees the flags', () => {
  expect(text('#flag WIDE = true\n#include two\n#include one\nmain')).toBe('fn one() {}\nfn two() {}\nmain');
});

test('specialise/what enables an extension comes first, once', () => {
  const source = 'fn a() {}\nenable f16;\nfn b() {}\nenable f16;';
  expect(text(source)).toBe('enable f16;\nfn a() {}\nfn b() {}');
});

test.each([
  ['a flag that is not declared', 'main', { N: 1 }],
  ['a name that is no flag', 'let a = $N;', {}],
  ['an unknown directive', '#flag A = 1\n#while A\n#end', {}],
  ['a directive without an end', '#flag A = 1\n#if A\nx', {}],
  ['a library that is not there', '#include three', {}],
])('specialise/%s is a bug', (_, source, flags) => {
  expect(() => text(source, flags)).toThrow(/^wafer bug/);
});
