/**
 * The page behind kernels.ts: runs single products on the WASM device and times their kernel calls, in bursts that are
 * long beside the resolution of a page's clock. The fastest burst counts.
 */
import { DTYPES } from '../src/core/dtype';
import { Builder, type Value } from '../src/graph/ir';
import type { DotKind } from '../src/ops/define';
import { Session } from '../src/runtime/session';
import { type Binaries, WasmDevice } from '../src/runtime/wasm/device';
import { random } from '../test/support/random';
import { prepareDecodes } from './codecs.page';

/** An image [1,H,W,C], or a matrix as [1,M,1,K], times O x KH x KW; `depthwise` has O = C. */
export interface Layer {
  name: string;
  x: readonly [number, number, number];
  o: number;
  kernel: number;
  stride: number;
  depthwise: boolean;
  /** `bits`: signs by weights of -1 and 1. */
  dtype: 'f32' | 'i8' | 'bits';
  /** Share of units of 4 weights, along the inputs of an output, that are zero. */
  zeros?: number;
  /** The values that weights have, drawn evenly; else all. */
  levels?: readonly number[];
}

export interface Timing {
  name: string;
  dot: DotKind;
  ms: number;
  gmacs: number;
  /** Bytes of WASM memory that weights and parameters take, for each weight. */
  weightBytes: number;
}

interface Request {
  binaries: { base: string; relaxed: string };
  build: 'base' | 'relaxed' | undefined;
  /** Those of a group are timed in turn. */
  groups: readonly (readonly Layer[])[];
}

const fromBase64 = (text: string) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

function graphOf({ x: [h, w, c], o, kernel, stride, depthwise, dtype, zeros = 0, levels }: Layer) {
  const next = random(1);
  const build = new Builder();
  const integer = dtype === 'i8';
  const quant = { scale: 0.05, zero: 0 };
  const x = build.input('x', { dtype: integer ? dtype : 'f32', shape: [1, h, w, c], ...(integer && { quant }) });
  const shape = [o, kernel, kernel, depthwise ? 1 : c];
  const size = shape.reduce((a, b) => a * b);
  const draw = (n: number, span: number) => Array.from({ length: n }, () => (next() - 0.5) * span);
  const weights = new DTYPES[dtype === 'f32' ? dtype : 'i8'].array(size);
  for (let i = 0; i < size; i++)
    weights[i] = levels ? levels[Math.floor(next() * levels.length)]! : (next() - 0.5) * (integer ? 254 : 1);
  for (let i = 0; i < size; i += 4) if (next() < zeros) weights.fill(0, i, i + 4);
  const bits = dtype === 'bits';
  const pad = kernel >> 1;
  const inputs: (Value | undefined)[] = [x, build.constant('w', { dtype: bits ? 'i8' : dtype, shape }, weights)];
  inputs.push(build.numbers('bias', integer ? 'i32' : 'f32', [o], draw(o, 100)));
  if (integer) inputs.push(build.numbers('multiplier', 'i32', [o], new Array(o).fill(20000)));
  if (bits) inputs.push(build.numbers('multiplier', 'f32', [o], draw(o, 1)));
  const y = build.node(bits ? 'binaryConv' : 'conv', 'node', inputs, {
    strides: [stride, stride],
    pads: [pad, pad, pad, pad],
    ...(bits ? {} : { group: depthwise ? c : 1 }),
    ...(integer ? { quant, range: [0, 127] } : { act: [{ fn: 'relu', a: 0, b: 0 }] }),
  });
  const macs = y.type.shape.reduce<number>((n, d) => n * (d as number), 1) * (size / o);
  return { graph: build.finish([{ name: 'y', value: y }]), macs, size };
}

/** Milliseconds of the fastest of many calls of each, which take turns. */
function fastest(calls: readonly (() => void)[]): number[] {
  const burst = (call: () => void, n: number) => {
    const start = performance.now();
    for (let i = 0; i < n; i++) call();
    return (performance.now() - start) / n;
  };
  const counts = calls.map((call) => {
    // Optimised code comes after some calls.
    for (const start = performance.now(); performance.now() < start + 40; ) burst(call, 1);
    let n = 1;
    while (Math.min(burst(call, n), burst(call, n)) * n < 4) n *= 2;
    return n;
  });
  const best = calls.map(() => Number.POSITIVE_INFINITY);
  // Ratios suffer more from what else the machine does than a time does.
  const rounds = calls.length > 1 ? 100 : 25;
  for (let round = 0; round < rounds; round++)
    calls.forEach((call, i) => {
      best[i] = Math.min(best[i]!, burst(call, counts[i]!));
    });
  return best;
}

/** A layer's kernel calls, and what is known before they are timed. */
async function prepared(layer: Layer, binaries: Binaries, build: 'base' | 'relaxed' | undefined) {
  const device = await WasmDevice.create(binaries, build);
  const calls: (() => void)[] = [];
  const kernel = device.kernel.bind(device);
  device.kernel = (name) => {
    const call = kernel(name);
    return (...args) => {
      calls.push(() => call(...args));
      call(...args);
    };
  };
  const { graph, macs, size } = graphOf(layer);
  const session = new Session(graph, device);
  const [h, w, c] = layer.x;
  const data = layer.dtype === 'i8' ? new Int8Array(h * w * c).fill(3) : new Float32Array(h * w * c).fill(0.5);
  const inputs = { x: { data, shape: [1, h, w, c] } };
  session.run(inputs);
  calls.length = 0;
  session.run(inputs);
  const call = () => {
    for (const call of calls) call();
  };
  return { call, name: layer.name, dot: device.dot, macs, weightBytes: session.memory().resident / size };
}

/** Products of one round of assembly/peak.ts. */
const ROUND = { u8: 192, i16: 64, f32: 32 } as const;
export type Unit = keyof typeof ROUND;

/** What this machine reaches in the loops of assembly/peak.ts, in GMAC/s. `wasm`: base64. */
function peaks(wasm: string): Record<Unit, number> {
  const loops = new WebAssembly.Instance(new WebAssembly.Module(fromBase64(wasm))).exports as Record<string, CallableFunction>;
  const rounds = 2 ** 14;
  const reached = (unit: Unit) => {
    const loop = () => loops[`${unit}_peak`]!(rounds, 3);
    return (ROUND[unit] * rounds) / fastest([loop])[0]! / 1e6;
  };
  return { u8: reached('u8'), i16: reached('i16'), f32: reached('f32') };
}

async function run({ binaries, build, groups }: Request): Promise<Timing[][]> {
  const bytes = { base: fromBase64(binaries.base), relaxed: fromBase64(binaries.relaxed) };
  const timings: Timing[][] = [];
  for (const group of groups) {
    const jobs = await Promise.all(group.map((layer) => prepared(layer, bytes, build)));
    const times = fastest(jobs.map(({ call }) => call));
    timings.push(
      jobs.map(({ name, dot, macs, weightBytes }, i) => ({
        name,
        dot,
        ms: times[i]!,
        gmacs: macs / times[i]! / 1e6,
        weightBytes,
      })),
    );
  }
  return timings;
}

/** MB/s of tensors once decoded. */
export interface DecodeTiming {
  name: string;
  encoding: string;
  bits: number;
  entropy: number | undefined;
  wasm: number;
  scalar: number;
}

async function decodes({ base, relaxed }: Request['binaries']): Promise<DecodeTiming[]> {
  const device = await WasmDevice.create({ base: fromBase64(base), relaxed: fromBase64(relaxed) });
  return prepareDecodes(device).map(({ name, encoding, bits, entropy, wasm, scalar, bytes }) => {
    const [withWasm, without] = fastest([wasm, scalar]) as [number, number];
    return { name, encoding, bits, entropy, wasm: bytes / withWasm / 1000, scalar: bytes / without / 1000 };
  });
}

Object.assign(window, { run, peaks, decodes });
