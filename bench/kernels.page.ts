/**
 * The page behind kernels.ts: runs single products on the WASM device and times their kernel calls, in bursts that are
 * long beside the resolution of a page's clock. The fastest burst counts.
 */
import { Builder, type Value } from '../src/graph/ir';
import type { DotKind } from '../src/ops/define';
import { Session } from '../src/runtime/session';
import { type Binaries, WasmDevice } from '../src/runtime/wasm/device';
import { random } from '../test/support/random';

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
}

export interface Timing {
  name: string;
  dot: DotKind;
  ms: number;
  gmacs: number;
  /** Of bits: how many times as long the same layer takes in f32, timed in turn with it. */
  ratio?: number;
}

interface Request {
  binaries: { base: string; relaxed: string };
  build: 'base' | 'relaxed' | undefined;
  layers: readonly Layer[];
}

const fromBase64 = (text: string) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

function graphOf({ x: [h, w, c], o, kernel, stride, depthwise, dtype }: Layer) {
  const next = random(1);
  const build = new Builder();
  const integer = dtype === 'i8';
  const quant = { scale: 0.05, zero: 0 };
  const x = build.input('x', { dtype: integer ? 'i8' : 'f32', shape: [1, h, w, c], ...(integer && { quant }) });
  const shape = [o, kernel, kernel, depthwise ? 1 : c];
  const size = shape.reduce((a, b) => a * b);
  const draw = (n: number, span: number) => Array.from({ length: n }, () => (next() - 0.5) * span);
  const pad = kernel >> 1;
  const window = { strides: [stride, stride], pads: [pad, pad, pad, pad] };
  const act = [{ fn: 'relu', a: 0, b: 0 }];
  const bias = build.numbers('bias', integer ? 'i32' : 'f32', [o], draw(o, 100));
  let y: Value;
  if (dtype === 'bits') {
    const w = build.numbers(
      'w',
      'i8',
      shape,
      draw(size, 1).map((v) => (v < 0 ? -1 : 1)),
    );
    y = build.node('binaryConv', 'node', [x, w, bias, build.numbers('multiplier', 'f32', [o], draw(o, 1))], { ...window, act });
  } else {
    const inputs = [x, build.numbers('w', dtype, shape, draw(size, integer ? 254 : 1)), bias];
    if (integer) inputs.push(build.numbers('multiplier', 'i32', [o], new Array(o).fill(20000)));
    const after = integer ? { quant, range: [0, 127] } : { act };
    y = build.node('conv', 'node', inputs, { ...window, group: depthwise ? c : 1, ...after });
  }
  const macs = y.type.shape.reduce<number>((n, d) => n * (d as number), 1) * (size / o);
  return { graph: build.finish([{ name: 'y', value: y }]), macs };
}

/** Milliseconds of the fastest of many calls, of each that is given; they take turns. */
function fastest(...calls: (() => void)[]): number[] {
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
  const least = calls.map(() => Number.POSITIVE_INFINITY);
  for (let round = 0; round < 25; round++)
    calls.forEach((call, i) => {
      least[i] = Math.min(least[i]!, burst(call, counts[i]!));
    });
  return least;
}

/** The kernel calls of a layer's run, as one call, on a device of its own. */
async function callOf(layer: Layer, binaries: Binaries, build: 'base' | 'relaxed' | undefined) {
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
  const { graph, macs } = graphOf(layer);
  const session = new Session(graph, device);
  const [h, w, c] = layer.x;
  const data = layer.dtype === 'i8' ? new Int8Array(h * w * c).fill(3) : new Float32Array(h * w * c).fill(0.5);
  const inputs = { x: { data, shape: [1, h, w, c] } };
  session.run(inputs);
  calls.length = 0;
  session.run(inputs);
  const call = () => {
    for (const each of calls) each();
  };
  return { call, dot: device.dot, macs };
}

async function time(layer: Layer, binaries: Binaries, build: 'base' | 'relaxed' | undefined): Promise<Timing> {
  const { call, dot, macs } = await callOf(layer, binaries, build);
  const others = layer.dtype === 'bits' ? [(await callOf({ ...layer, dtype: 'f32' }, binaries, build)).call] : [];
  const [ms, other] = fastest(call, ...others) as [number, number | undefined];
  return { name: layer.name, dot, ms, gmacs: macs / ms / 1e6, ...(other && { ratio: other / ms }) };
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
    return (ROUND[unit] * rounds) / fastest(loop)[0]! / 1e6;
  };
  return { u8: reached('u8'), i16: reached('i16'), f32: reached('f32') };
}

async function run({ binaries, build, layers }: Request): Promise<Timing[]> {
  const bytes = { base: fromBase64(binaries.base), relaxed: fromBase64(binaries.relaxed) };
  const timings: Timing[] = [];
  for (const layer of layers) timings.push(await time(layer, bytes, build));
  return timings;
}

Object.assign(window, { run, peaks });
