/** Weights of few levels: which kernel they get, what they take in memory, and sums at the edge of what codes can hold. */
import { expect, test } from 'vitest';
import { Builder } from '../../src/graph/ir';
import { Session } from '../../src/runtime/session';
import { GpuPlanner } from '../../src/runtime/webgpu/plan';
import { random } from '../support/random';
import { baseDevice, emulatedDevice } from '../support/wasm';

const DEVICES = { base: await baseDevice(), u8: await emulatedDevice('u8'), s8: await emulatedDevice('s8') };
const TERNARY = [-1, 0, 1];
const INT4 = Array.from({ length: 16 }, (_, i) => 16 * i - 128);
const TABLE = [-127, -80, -40, -20, -10, -5, -2, -1, 1, 2, 5, 10, 20, 40, 80, 127];

/** A product of m rows and [n, k] weights; sums as floats, the zero point of the input being `zero`. */
function product(m: number, k: number, n: number, weight: (i: number) => number, zero = 0) {
  const build = new Builder();
  const x = build.input('x', { dtype: 'i8', shape: [m, k], quant: { scale: 1, zero } });
  const weights = Int8Array.from({ length: n * k }, (_, i) => weight(i));
  const y = build.node('gemm', 'y', [
    x,
    build.constant('w', { dtype: 'i8', shape: [n, k] }, weights),
    undefined,
    build.numbers('multiplier', 'f32', [n], new Array(n).fill(1)),
  ]);
  return { graph: build.finish([{ name: 'y', value: y }]), weights };
}

const drawn = (levels: readonly number[]) => {
  const next = random(7);
  return () => levels[Math.floor(next() * levels.length)]!;
};

const run = (session: Session, x: Int8Array<ArrayBuffer>, m: number) =>
  session.run({ x: { data: x, shape: [m, x.length / m] } }).y!.data;

const kernelOf = (m: number, k: number, n: number, weight: (i: number) => number): string => {
  const session = new Session(product(m, k, n, weight).graph, DEVICES.base);
  run(session, new Int8Array(m * k), m);
  return session.explain().nodes[0]!.kernels.join();
};

test('levels/the weights choose the kernel', () => {
  expect(kernelOf(1, 300, 300, drawn(TERNARY))).toBe('i8_gemmTernary');
  expect(kernelOf(1, 300, 300, drawn([-64, 64]))).toBe('i8_gemmTernary');
  expect(kernelOf(1, 300, 300, drawn([5]))).toBe('i8_gemmTernary');
  expect(kernelOf(1, 300, 300, drawn(INT4))).toBe('i8_gemmInt4');
  expect(kernelOf(1, 300, 300, drawn(TABLE))).toBe('i8_gemmTable');
  expect(kernelOf(40, 96, 96, drawn(TABLE))).toBe('i8_gemmTable');
});

test('levels/bytes are kept where codes are slower or impossible', () => {
  expect(kernelOf(1, 100, 100, drawn(TABLE))).toBe('i8_gemm');
  expect(kernelOf(8, 100, 100, drawn(TERNARY))).toBe('i8_gemm');
  expect(kernelOf(40, 30, 30, drawn(TERNARY))).toBe('i8_gemm');
  expect(kernelOf(1, 300, 300, drawn([...TABLE, 0]))).toBe('i8_gemm');
  // Units are filled up with zeros, for which the table has no place.
  expect(kernelOf(1, 301, 300, drawn(TABLE))).toBe('i8_gemm');
});

test('levels/rows of more inputs than sums of codes can hold are looked up', () => {
  expect(kernelOf(1, 2 ** 15, 4, drawn(INT4))).toBe('i8_gemmInt4');
  expect(kernelOf(1, 2 ** 15 + 4, 4, drawn(INT4))).toBe('i8_gemmTable');
});

/** Bytes that linear memory grows to for a product of one row. */
async function grown(k: number, n: number): Promise<number> {
  const session = new Session(product(1, k, n, drawn(TERNARY)).graph, await baseDevice());
  run(session, new Int8Array(k), 1);
  return session.memory().total;
}

test('levels/weights are packed without all their bytes being in memory', async () => {
  const [k, n] = [4096, 2048];
  expect(await grown(k, n)).toBeLessThan(0.26 * k * n + 2 * 2 ** 20);
});

/** Bytes of constants on a GPU for each of 1024 x k weights, and the flags that say how they are read. */
function onGpu(k: number, levels: readonly number[]) {
  const { graph } = product(1, k, 1024, drawn(levels));
  const residents = new Map<string, number>();
  const planner = new GpuPlanner(graph, new Map(), { isSoftware: false, packedDot: true }, residents);
  for (const node of graph.nodes) planner.add(node);
  const { flags } = planner.finish().nodes[0]!.calls[0]!.dispatch;
  return { bytes: [...residents.values()].reduce((a, b) => a + b) / (1024 * k), flags };
}

test('levels/webgpu/weights are held as codes', () => {
  for (const [levels, bytes, CODES, TABLED] of [
    [TERNARY, 0.25, 2, false],
    [INT4, 0.5, 4, false],
    [TABLE, 0.5, 4, true],
    [[...TABLE, 0], 1, 0, false],
  ] as const) {
    const held = onGpu(4096, levels);
    expect(held.flags).toMatchObject({ CODES, TABLE: TABLED });
    expect(held.bytes).toBeGreaterThanOrEqual(bytes);
    expect(held.bytes).toBeLessThan(bytes + 0.01);
  }
  // The weights of inputs that are not there are zeros, for which the table has no place.
  expect(onGpu(4095, TABLE).flags).toMatchObject({ CODES: 0 });
});

for (const [name, device] of Object.entries(DEVICES)) {
  test(`levels/${name}/a ternary weight takes a quarter of a byte`, () => {
    const session = new Session(product(1, 4096, 1024, drawn(TERNARY)).graph, device);
    run(session, new Int8Array(4096), 1);
    expect(session.memory().resident / (4096 * 1024)).toBeLessThan(0.26);
  });

  test(`levels/${name}/a weight of 16 levels takes half a byte`, () => {
    const session = new Session(product(1, 4096, 1024, drawn(TABLE)).graph, device);
    run(session, new Int8Array(4096), 1);
    expect(session.memory().resident / (4096 * 1024)).toBeLessThan(0.51);
  });

  const ALL = Array.from({ length: 255 }, (_, i) => i - 127);
  for (const levels of [TERNARY, [-127, 0, 127], INT4, TABLE, ALL])
    for (const [m, k, n] of [
      [1, 2 ** 15, 40],
      [5, 2 ** 13, 40],
      [32, 2 ** 12, 24],
    ] as const)
      test(`levels/${name}/sums of the largest products of ${levels.length} levels to ${levels.at(-1)}, ${m}x${k}x${n}`, () => {
        // Channels of one weight alone, which codes do not sum to 0, and mixed ones.
        const mixed = drawn(levels);
        const { graph, weights } = product(m, k, n, (i) => levels[Math.floor(i / k)] ?? mixed(), -128);
        const session = new Session(graph, device);
        for (const level of [127, -128]) {
          const y = run(session, new Int8Array(m * k).fill(level), m);
          const want = Array.from({ length: m * n }, (_, i) => {
            const channel = weights.subarray((i % n) * k, ((i % n) + 1) * k);
            return Math.fround((level + 128) * channel.reduce((sum, w) => sum + w, 0));
          });
          expect(Array.from(y)).toEqual(want.map((v) => v + 0));
        }
      });
}
