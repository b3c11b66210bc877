/**
 * The WASM device: one instance of the kernels over a memory of its own, for one session. There are two binaries of the same source;
 * the relaxed one is used only where the probe found its byte dot exact.
 */
import { invariant, WaferError } from '../../core/errors';
import { type Codec, LOW, TOTAL } from '../../format/rans';
import type { DotKind } from '../../ops/define';
import type { KernelName } from '../../ops/kernels.gen';
import type { Device, Kernel } from '../device';
import { type PoolOptions, type ThreadLimit, ThreadPool } from './pool';
import { type Probe, probeDot } from './probe';
import { sharedTwin } from './twin';

/** The two compiled binaries, as bytes. */
export interface Binaries {
  base: Uint8Array<ArrayBuffer>;
  relaxed: Uint8Array<ArrayBuffer>;
}

/** The binary that suits an engine, and what its probe found there. A page can send it to a worker. */
export interface Chosen extends Probe {
  build: 'base' | 'relaxed';
  binary: Uint8Array<ArrayBuffer>;
  /** The binary, compiled, where that was done. */
  module?: WebAssembly.Module;
}

const PAGE = 65536;
/** Maxima of shared memory that are asked for in turn, in pages: some engines set aside all of it at once. */
const SHARED_PAGES = [32768, 16384, 8192, 4096];

/** Whether threads are to be had, and how they are used. */
export interface Threading extends PoolOptions {
  limit: ThreadLimit;
}

const ALONE: Threading = { limit: { count: 1, why: 'no other threads were asked for' } };

/** A block of assembly/crc.ts: what stands before the data, and how much of that there is. */
const CRC_HEAD = 16 + 8192;
const CRC_BYTES = 16384;

/** A block of assembly/rans.ts: where the count of bytes and the table are. */
const RANS_READ = 64;
const RANS_TABLE = 128;
const RANS_HEAD = RANS_TABLE + 4 * TOTAL;
/** Symbols that are decoded at a time, a multiple of 16; they read 2 bytes each at most. */
const SLICE = 4096;
/** Kernels read and write a little beyond. */
const SLACK = 64;

export class WasmDevice implements Device, Codec {
  readonly kind = 'wasm';
  readonly heapBase: number;
  readonly pool: ThreadPool | undefined;
  private readonly exports: Record<string, unknown>;
  private readonly crcBlock: number;
  private readonly ransBlock: number;

  private constructor(
    readonly build: 'base' | 'relaxed',
    readonly dot: DotKind,
    readonly why: string,
    private readonly memory: WebAssembly.Memory,
    { module, instance }: Kernels,
    private readonly threading: Threading,
  ) {
    this.exports = instance.exports;
    if (threading.limit.count > 1)
      this.pool = new ThreadPool(threading.limit, module, memory, (name) => this.kernel(name), threading);
    this.crcBlock = Math.ceil(Number((instance.exports.heapBase as WebAssembly.Global).value) / 16) * 16;
    this.ransBlock = this.crcBlock + CRC_HEAD + CRC_BYTES;
    this.heapBase = this.ransBlock + RANS_HEAD + 2 * SLICE + SLACK + SLICE + SLACK;
    this.reserve(this.heapBase);
  }

  /**
   * Compiles and instantiates the build that suits this engine, or that was chosen before; `build` forces one, for tests. Throws
   * NO_DEVICE where there is no WASM SIMD and CSP where the page forbids WASM.
   */
  static async create(given: Binaries | Chosen | undefined, build?: 'base' | 'relaxed', threading = ALONE): Promise<WasmDevice> {
    if (!given) throw new WaferError('NO_DEVICE', 'the page may not compile WebAssembly, or its engine has none');
    try {
      const chosen = 'binary' in given ? given : choose(given, build);
      if (chosen.module) modules.set(chosen.binary, Promise.resolve(chosen.module));
      return await WasmDevice.of(chosen.binary, chosen.build, chosen, threading);
    } catch (error) {
      throw explained(error);
    }
  }

  /** A device on a given binary, whose byte dot is taken to be what `probe` says. */
  static async of(
    binary: Uint8Array<ArrayBuffer>,
    build: 'base' | 'relaxed',
    { dot, why }: Probe,
    threading = ALONE,
  ): Promise<WasmDevice> {
    const isShared = threading.limit.count > 1;
    const memory = isShared ? sharedMemory() : new WebAssembly.Memory({ initial: 1 });
    if (!memory) {
      const limit = { count: 1, why: 'no memory that threads could share was to be had' };
      return WasmDevice.of(binary, build, { dot, why }, { limit });
    }
    const module = isShared ? await WebAssembly.compile(sharedTwin(binary)) : await compiled(binary);
    const instance = await WebAssembly.instantiate(module, { env: { memory } });
    return new WasmDevice(build, dot, why, memory, { module, instance }, threading);
  }

  get threads(): { count: number; why: string } {
    const { count, why } = this.pool ?? this.threading.limit;
    return { count, why };
  }

  get buffer(): ArrayBuffer {
    return this.memory.buffer as ArrayBuffer;
  }

  reserve(bytes: number): void {
    const pages = Math.ceil((bytes - this.memory.buffer.byteLength) / PAGE);
    if (pages <= 0) return;
    try {
      this.memory.grow(pages);
    } catch {
      throw new WaferError('MEMORY', `${(bytes / 2 ** 20).toFixed(1)} MiB of memory could not be had`, {
        hint: 'use smaller inputs, or dispose of models that are no longer needed',
      });
    }
  }

  /** CRC-32 of `bytes`; `before` is that of what comes before them. As core/crc.ts, but fast from its first call on. */
  crc32(bytes: Uint8Array, before = 0): number {
    const { buffer, crcBlock } = this;
    const data = new Uint8Array(buffer, crcBlock + CRC_HEAD, CRC_BYTES);
    const crc = new Uint32Array(buffer, crcBlock, 1);
    crc[0] = before;
    for (let at = 0; at < bytes.length; at += CRC_BYTES) {
      const piece = bytes.subarray(at, at + CRC_BYTES);
      data.set(piece);
      this.kernel('u8_crc32')(crcBlock, 0, piece.length);
    }
    return crc[0]!;
  }

  rans(coded: Uint8Array, table: Uint32Array, lanes: number, to: Uint8Array): boolean {
    if (coded.length < 4 * lanes) return false;
    const { ransBlock: block } = this;
    const { buffer, long, short } = this.staging();
    const states = new Uint8Array(buffer, block, 4 * lanes);
    states.set(coded.subarray(0, 4 * lanes));
    new Uint32Array(buffer, block + RANS_TABLE, TOTAL).set(table);
    const read = new Uint32Array(buffer, block + RANS_READ, 1);
    const decode = this.kernel('u8_rans');
    let at = 4 * lanes;
    for (let done = 0; done < to.length; done += SLICE) {
      const count = Math.min(SLICE, to.length - done);
      long.set(coded.subarray(at, at + 2 * count));
      decode(block, long.byteOffset, short.byteOffset, lanes, done, done + count);
      to.set(short.subarray(0, count), done);
      at += read[0]!;
    }
    return at === coded.length && new Uint32Array(buffer, block, lanes).every((state) => state === LOW);
  }

  expand(symbols: Uint8Array, table: Uint8Array, unit: number, to: Uint8Array): void {
    const { buffer, long, short } = this.staging();
    const units = this.ransBlock + RANS_TABLE;
    new Uint8Array(buffer, units, table.length).set(table);
    const expand = this.kernel('u8_expand');
    const most = Math.min(SLICE, Math.floor((2 * SLICE) / unit));
    for (let done = 0; done < symbols.length; done += most) {
      const count = Math.min(most, symbols.length - done);
      short.set(symbols.subarray(done, done + count));
      expand(units, short.byteOffset, long.byteOffset, unit, 0, count);
      to.set(long.subarray(0, Math.min(count * unit, to.length - done * unit)), done * unit);
    }
  }

  /** Room for what is decoded and for what it becomes, or the other way round. */
  private staging() {
    const { buffer } = this;
    const at = this.ransBlock + RANS_HEAD;
    return { buffer, long: new Uint8Array(buffer, at, 2 * SLICE), short: new Uint8Array(buffer, at + 2 * SLICE + SLACK, SLICE) };
  }

  dispose(): void {
    this.pool?.close('the model was disposed of');
  }

  kernel(name: KernelName): Kernel {
    const kernel = this.exports[name];
    invariant(typeof kernel === 'function', () => `the ${this.build} build has no kernel ${name}`);
    return kernel as Kernel;
  }
}

/** Chooses the build that suits this engine and compiles it. Throws as `WasmDevice.create` does. */
export async function compileChosen(binaries: Binaries): Promise<Chosen> {
  try {
    const chosen = choose(binaries);
    return { ...chosen, module: await compiled(chosen.binary) };
  } catch (error) {
    throw explained(error);
  }
}

function choose(binaries: Binaries, asked?: 'base' | 'relaxed'): Chosen {
  if (typeof WebAssembly !== 'object') throw new WaferError('NO_DEVICE', 'this engine has no WebAssembly');
  const probe = asked === 'base' ? { dot: 'i16' as const, why: 'the base build was asked for' } : probeDot();
  const build = probe.dot === 'i16' ? 'base' : 'relaxed';
  if (asked && asked !== build) throw new WaferError('NO_DEVICE', `the ${asked} build cannot be used: ${probe.why}`);
  return { ...probe, build, binary: binaries[build] };
}

interface Kernels {
  module: WebAssembly.Module;
  instance: WebAssembly.Instance;
}

function sharedMemory(): WebAssembly.Memory | undefined {
  for (const maximum of SHARED_PAGES)
    try {
      return new WebAssembly.Memory({ initial: 1, maximum, shared: true });
    } catch {}
  return undefined;
}

const modules = new WeakMap<Uint8Array, Promise<WebAssembly.Module>>();

/** Compiles each binary once, so that later devices find optimised code. */
function compiled(binary: Uint8Array<ArrayBuffer>): Promise<WebAssembly.Module> {
  let module = modules.get(binary);
  if (!module) modules.set(binary, (module = WebAssembly.compile(binary)));
  return module;
}

/** An engine's refusal to compile, as a WaferError. */
function explained(error: unknown): unknown {
  if (error instanceof WaferError || !(error instanceof Error)) return error;
  if (/content security policy|unsafe-eval|blocked by csp|disallowed/i.test(error.message))
    return new WaferError('CSP', 'the page forbids WebAssembly', {
      hint: "host dist/wafer.worker.js on the page's origin and pass { worker: URL }, or allow 'wasm-unsafe-eval' in script-src",
    });
  if (error instanceof WebAssembly.CompileError)
    return new WaferError('NO_DEVICE', `this engine has no WASM SIMD (${error.message})`, { hint: 'update the browser' });
  return error;
}
