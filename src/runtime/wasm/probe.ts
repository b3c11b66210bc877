/**
 * What the relaxed byte dot of this engine on this CPU computes. The specification leaves open whether the second
 * operand is signed once its top bit is set and whether pair sums saturate, and engines use that freedom, so the exact
 * opcode is validated and run on the operands that tell the classes apart. What is not exact is not used.
 */
import type { DotKind } from '../../ops/define';

/**
 * (module (func (export "differs") (param $a i32) (param $b i32) (param $want i32) (param $n i32) (result i32)
 *   (local $bad i32)
 *   (loop
 *     (local.set $bad (i32.or (local.get $bad) (i32.xor (local.get $want)
 *       (i32x4.extract_lane 0 (i32x4.relaxed_dot_i8x16_i7x16_add_s
 *         (i32x4.splat (local.get $a)) (i32x4.splat (local.get $b)) (i32x4.splat (i32.const 0)))))))
 *     (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
 *   (local.get $bad)))
 */
// biome-ignore format: bytes, grouped by section and instruction
const PROBE = new Uint8Array([
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00,
  0x01, 0x09, 0x01, 0x60, 0x04, 0x7f, 0x7f, 0x7f, 0x7f, 0x01, 0x7f,
  0x03, 0x02, 0x01, 0x00,
  0x07, 0x0b, 0x01, 0x07, 0x64, 0x69, 0x66, 0x66, 0x65, 0x72, 0x73, 0x00, 0x00,
  0x0a, 0x2e, 0x01, 0x2c, 0x01, 0x01, 0x7f,
  0x03, 0x40,
  0x20, 0x04, 0x20, 0x02,
  0x20, 0x00, 0xfd, 0x11, 0x20, 0x01, 0xfd, 0x11, 0x41, 0x00, 0xfd, 0x11, 0xfd, 0x93, 0x02, 0xfd, 0x1b, 0x00,
  0x73, 0x72, 0x21, 0x04,
  0x20, 0x03, 0x41, 0x01, 0x6b, 0x22, 0x03, 0x0d, 0x00, 0x0b,
  0x20, 0x04, 0x0b,
]);

type Differs = (a: number, b: number, want: number, n: number) => number;

/** Four equal bytes as one i32. */
const four = (byte: number) => Math.imul(byte & 0xff, 0x01010101);

/** Operand bytes, and four times their product when the second is read as unsigned and as signed. */
const CASES = [
  { a: 127, b: 255, u8: 4 * 127 * 255, s8: 4 * 127 * -1 },
  { a: -1, b: 200, u8: 4 * -1 * 200, s8: 4 * -1 * -56 },
];

export interface Probe {
  dot: DotKind;
  why: string;
}

/** Runs the probe: about 3 ms, most of it to make the engine tier up so that both its compilers are judged. */
export function probeDot(): Probe {
  if (!WebAssembly.validate(PROBE)) return { dot: 'i16', why: 'this engine has no relaxed byte dot' };
  const differs = new WebAssembly.Instance(new WebAssembly.Module(PROBE)).exports.differs as Differs;
  const exact = (kind: 'u8' | 's8', n: number) => CASES.every((c) => differs(four(c.a), four(c.b), c[kind], n) === 0);
  const dot = exact('u8', 1) ? 'u8' : exact('s8', 1) ? 's8' : undefined;
  if (!dot) return { dot: 'i16', why: 'the relaxed byte dot of this engine and CPU saturates or is wrong' };
  for (let call = 0; call < 10; call++)
    if (!exact(dot, 100_000)) return { dot: 'i16', why: 'the relaxed byte dot changes its results once optimised' };
  return { dot, why: `the relaxed byte dot is exact, its second operand ${dot === 'u8' ? 'unsigned' : 'signed'}` };
}
