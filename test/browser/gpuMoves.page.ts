/** The part of gpuMoves.test.ts that runs in the page: operators that move or convert data, on this browser's GPU. */
import { WaferError } from '../../src/core/errors';
import type { Quant } from '../../src/core/shape';
import type { Attrs, Case, CaseInput } from '../../src/ops/define';
import { OFFLINE, opCode, opNamed } from '../../src/ops/index';
import { GpuDevice } from '../../src/runtime/webgpu/device';
import { GpuSession } from '../../src/runtime/webgpu/session';
import { TEXTS } from '../../src/runtime/webgpu/texts.gen';
import { buildCase, mismatch } from '../support/cases';
import { random } from '../support/random';

type Level = 'core' | 'compatibility';
type Named = [op: string, c: Case<Attrs>];

/** What is wrong, a line for each case. */
async function wrongOf(level: Level, cases: readonly Named[]): Promise<string[]> {
  const gpu = await GpuDevice.create(TEXTS, { featureLevel: level });
  const wrong: string[] = [];
  for (const [i, [name, c]] of cases.entries()) {
    const op = opNamed(name);
    const offline = OFFLINE[opCode(op)]!;
    const text = `${name} ${JSON.stringify({ ...c, inputs: c.inputs.map((x) => ({ ...x, data: undefined })) })}`;
    try {
      const built = buildCase({ address: `${name} ${i}`, op, offline, case: c });
      const session = new GpuSession(built.graph, gpu, () => Promise.resolve(gpu));
      const fault = mismatch(built, offline, await session.run(built.inputs));
      if (fault) wrong.push(`${text}: ${fault}`);
    } catch (error) {
      wrong.push(`${text}: ${error instanceof WaferError ? error.message : (error as Error).stack}`);
    }
  }
  gpu.dispose();
  return wrong;
}

/** Boxes of every kind, drawn from `seed`. */
const runMoves = (level: Level, seed: number, count: number): Promise<string[]> => {
  const next = random(seed);
  const below = (n: number) => Math.floor(n * next());
  const list = <T>(n: number, make: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => make(i));
  const pick = <T>(choices: readonly T[]): T => choices[below(choices.length)]!;
  const quant = { scale: 0.5, zero: 3 };
  const draw = (): Named => {
    const dtype = pick(['f32', 'i8', 'i8', 'bool'] as const);
    const rank = 1 + below(5);
    const shape = list(rank, () => pick([1, 2, 3, 4, 5, 7, 8, 12, 16]));
    const of = (size: number[]): CaseInput => ({ shape: size, dtype, ...(dtype === 'i8' && { quant }) });
    const x = of(shape);
    const axis = below(rank);
    switch (pick(['transpose', 'slice', 'concat', 'pad', 'expand', 'gather'])) {
      case 'transpose': {
        const perm = list(rank, (i) => i).sort(() => next() - 0.5);
        return ['transpose', { inputs: [x], attrs: { perm } }];
      }
      case 'slice': {
        const steps = list(rank, () => pick([1, 1, 2, -1, -3]));
        const size = shape.map((d, i) => 1 + below(Math.ceil(d / Math.abs(steps[i]!))));
        const starts = shape.map((d, i) => {
          const reach = (size[i]! - 1) * Math.abs(steps[i]!);
          const start = below(d - reach);
          return steps[i]! > 0 ? start : start + reach;
        });
        return ['slice', { inputs: [x], attrs: { starts, steps, size } }];
      }
      case 'concat':
        return ['concat', { inputs: list(1 + below(3), () => of(shape.with(axis, 1 + below(9)))), attrs: { axis } }];
      case 'pad': {
        const mode = pick(['constant', 'edge', 'reflect']);
        const added = () => shape.map((d) => (next() < 0.5 ? 0 : mode === 'reflect' ? below(d) : below(5)));
        return ['pad', { inputs: [x], attrs: { before: added(), after: added(), mode, value: 1 } }];
      }
      case 'expand':
        return ['expand', { inputs: [of(shape.map((d) => pick([1, d])))], attrs: { shape: [pick([1, 2, 3]), ...shape] } }];
      default: {
        const indices: CaseInput = { shape: list(1 + below(2), () => 1 + below(6)), dtype: 'i32', range: [-20, 20] };
        return ['gather', { inputs: [x, indices], attrs: { axis } }];
      }
    }
  };
  return wrongOf(level, list(count, draw));
};

/** Floats by their bits: `count` of all, and those within a few steps of each of `around`. */
function floats(count: number, around: readonly number[], seed: number): number[] {
  const next = random(seed);
  const bits = new Uint32Array(count + 9 * around.length).map(() => Math.floor(2 ** 32 * next()));
  around.forEach((x, i) => {
    const at = new Uint32Array(Float32Array.of(x).buffer)[0]!;
    for (let k = 0; k < 9; k++) bits[9 * i + k] = at + k - 4;
  });
  return [...new Float32Array(bits.buffer)];
}

/** Conversions of floats to what they have to be exactly. */
const runFloats = (level: Level): Promise<string[]> => {
  const scales = [0.25, 1, 1 / 3, 0.1234, 6 / 255, 2 ** -90, 1.9999999, 3e-5, 12345.678, 1e25].map(Math.fround);
  const zeros = [-128, -1, 0, 17, 127];
  const given = (data: number[]): CaseInput => ({ shape: [data.length], data });
  const quantized = scales.flatMap((scale, i) =>
    [zeros[i % 5]!, zeros[(3 * i + 1) % 5]!].map((zero): Named => {
      const ties = Array.from({ length: 300 }, (_, k) => (k - 150.5 - zero) * scale);
      const quant: Quant = { scale, zero };
      return ['quantize', { inputs: [given(floats(20000, [0, Number.POSITIVE_INFINITY, ...ties], i))], attrs: { quant } }];
    }),
  );
  const edges = [0, 1, -1, 0.5, 255, 256, 2 ** 31, -(2 ** 31), 2 ** 24, 1e-38, Number.POSITIVE_INFINITY];
  const cast = (to: string): Named => ['cast', { inputs: [given(floats(20000, edges, 5))], attrs: { to } }];
  return wrongOf(level, [...quantized, cast('i32'), cast('bool'), cast('f32')]);
};

export interface GpuMovesPage {
  runMoves: typeof runMoves;
  runFloats: typeof runFloats;
}

Object.assign(globalThis, { runMoves, runFloats });
