/** The WASM device in Node: the base build as it is, and the relaxed build with an emulated byte dot. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { binaries } from '../../src/runtime/wasm/binaries';
import { WasmDevice } from '../../src/runtime/wasm/device';

/** The base build: Node 20 computes the relaxed dot wrongly, so only browsers judge the other. */
export const baseDevice = (): Promise<WasmDevice> => WasmDevice.create(binaries(), 'base');

/**
 * The relaxed build with its byte dot replaced by exact SIMD128 of the class asked for: what CPUs do that are not at hand
 * (`s8` is ARM), and what Node 20 cannot do itself. Its lookups are the plain ones: kernels look up nothing out of range.
 */
export async function emulatedDevice(dot: 'u8' | 's8'): Promise<WasmDevice> {
  const folder = mkdtempSync(join(tmpdir(), 'wafer-emulated-'));
  try {
    const [text, binary] = [join(folder, 'relaxed.wat'), join(folder, 'relaxed.wasm')];
    writeFileSync(binary, binaries().relaxed);
    binaryen('wasm-dis', binary, '-o', text);
    const module = readFileSync(text, 'utf8');
    const emulated = module
      .replaceAll(`(${DOT}`, '(call $byteDot')
      .replaceAll('i8x16.relaxed_swizzle', 'i8x16.swizzle')
      .replace(/\)\s*$/, `${byteDot(dot)})`);
    writeFileSync(text, emulated);
    binaryen('wasm-as', text, '-o', binary);
    const bytes = new Uint8Array(readFileSync(binary));
    return await WasmDevice.of(bytes, 'relaxed', { dot, why: 'its byte dot is emulated' });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const DOT = 'i32x4.relaxed_dot_i8x16_i7x16_add_s';

/** Products of bytes fit i16 whichever way the second operand is read; pairs, then pairs of pairs, are summed in i32. */
const byteDot = (dot: 'u8' | 's8'): string => {
  const half = (which: 'low' | 'high') => `(i32x4.extadd_pairwise_i16x8_s (i16x8.mul
    (i16x8.extend_${which}_i8x16_s (local.get $a)) (i16x8.extend_${which}_i8x16_${dot === 'u8' ? 'u' : 's'} (local.get $b))))`;
  const lanes = (first: number) =>
    [0, 2, 4, 6].flatMap((lane) => [0, 1, 2, 3].map((byte) => (lane + first) * 4 + byte)).join(' ');
  return `(func $byteDot (param $a v128) (param $b v128) (param $c v128) (result v128) (local $low v128) (local $high v128)
    (local.set $low ${half('low')})
    (local.set $high ${half('high')})
    (i32x4.add (local.get $c) (i32x4.add
      (i8x16.shuffle ${lanes(0)} (local.get $low) (local.get $high))
      (i8x16.shuffle ${lanes(1)} (local.get $low) (local.get $high)))))`;
};

/** A tool of binaryen, which AssemblyScript brings. */
function binaryen(tool: 'wasm-dis' | 'wasm-as', ...args: string[]): void {
  const compiler = createRequire(import.meta.url).resolve('assemblyscript/package.json');
  const root = dirname(createRequire(compiler).resolve('binaryen/package.json'));
  const features = ['simd', 'relaxed-simd', 'nontrapping-float-to-int', 'bulk-memory', 'sign-ext', 'mutable-globals'];
  execFileSync(process.execPath, [join(root, 'bin', tool), ...features.map((f) => `--enable-${f}`), ...args]);
}
