/** Matmul: the product of two matrices that the network computes, over broadcast batch dimensions. Constant ones are gemm's. */
import { isStatic } from '../core/dim';
import { WaferError } from '../core/errors';
import { broadcast, elements, type StaticShape, shapeText, stridesOf } from '../core/shape';
import { bool, type Case, defineOffline, defineOp, type Step, steps } from './define';
import { blockRows } from './gemm';
import { staticShape, sumTo, turned } from './gradient';
import { position, tabulate } from './indices';
import { blockBytes, clampArguments, costOf } from './product';
import { evaluateSteps, step } from './steps';
import { readsFours, shaderClamps, tileOf } from './tiles';

export const op = defineOp({
  name: 'matmul',
  inputs: ['a', 'b'],
  attrs: {
    /** b is [..., N, K]. */
    transB: bool(false),
    act: steps(),
  },
  infer([a, b], { transB }) {
    for (const { dtype } of [a!, b!]) if (dtype !== 'f32') throw new WaferError('DTYPE', `takes f32, got ${dtype}`);
    const [p, q] = [a!.shape, b!.shape];
    const [inner, n] = transB ? [q.at(-1), q.at(-2)] : [q.at(-2), q.at(-1)];
    if (p.length < 2 || q.length < 2 || (isStatic(p.at(-1)!) && isStatic(inner!) && p.at(-1) !== inner))
      throw new WaferError('SHAPE', `cannot multiply ${shapeText(p)} by ${shapeText(q)}${transB ? ' transposed' : ''}`);
    return [{ dtype: 'f32', shape: [...broadcast(p.slice(0, -2), q.slice(0, -2)), p.at(-2)!, n!] }];
  },
  wasm(node) {
    const [a, b] = node.inputs;
    const [y] = node.outputs;
    const { transB } = node.attrs;
    const [m, n] = y!.type.shape.slice(-2) as [number, number];
    const k = a!.type.shape.at(-1)!;
    if (elements(y!.type.shape) === 0) return [];
    const batch = mergeBatch(y!.type.shape.slice(0, -2), [a!.type.shape, b!.type.shape]);
    const [, d1, d2] = batch.sizes as [number, number, number];
    const block = blockRows(m, 4 * k, 4 * n, blockBytes(4 * n * k));
    const scratch = node.scratch(Math.ceil(n / 8) * 32 * (k + 1) + 4 * block + 132);
    const right = transB ? [1, k] : [n, 1];
    const args = [a!, b!, y!, m, k, n, ...right, d1, d2, ...batch.strides.flat(), ...clampArguments(node), block, scratch];
    return [{ kernel: 'f32_matmul', args, rows: elements(y!.type.shape.slice(0, -1)) }];
  },
  webgpu({ inputs: [a, b], outputs: [y], attrs: { transB, act }, gpu }) {
    const { shape } = y!.type;
    const [m, n] = shape.slice(-2) as [number, number];
    const k = a!.type.shape.at(-1)!;
    const { sizes, strides } = mergeBatch(shape.slice(0, -2), [a!.type.shape, b!.type.shape]);
    const [TM, TN] = tileOf(m, gpu.isSoftware);
    const V = readsFours(gpu, n, k);
    const [down, across] = [Math.ceil(m / TM), Math.ceil(n / (4 * TN))];
    const { ACT, uniforms } = shaderClamps(act);
    return [
      {
        shader: 'matmul',
        flags: { TM, TN, V, TRANS: V && transB, ACT },
        reads: [a!, b!],
        writes: [y!],
        threads: elements(sizes) * down * across,
        uniforms: [m, n, k, down, across, ...sizes.slice(1), ...strides.flat(), ...(transB ? [1, k] : [n, 1]), ...uniforms],
      },
    ];
  },
});

/**
 * The batch as three dimensions, and each operand's strides over them in elements, 0 where it is broadcast. Neighbours
 * that every operand walks alike are merged. Throws UNSUPPORTED when more than three remain.
 */
function mergeBatch(batch: StaticShape, shapes: readonly StaticShape[]): { sizes: number[]; strides: number[][] } {
  const sizes: number[] = [];
  const strides: number[][] = shapes.map(() => []);
  const all = shapes.map((shape) => {
    const own = stridesOf(shape);
    return batch.map((_, axis) => {
      const at = axis - batch.length + shape.length - 2;
      return at < 0 || shape[at] === 1 ? 0 : own[at]!;
    });
  });
  for (let axis = batch.length - 1; axis >= 0; axis--) {
    const size = batch[axis]!;
    if (size === 1) continue;
    if (sizes.length && all.every((own, i) => own[axis] === strides[i]![0]! * sizes[0]!)) sizes[0]! *= size;
    else {
      sizes.unshift(size);
      all.forEach((own, i) => strides[i]!.unshift(own[axis]!));
    }
  }
  if (sizes.length > 3) throw new WaferError('UNSUPPORTED', `more than three separate batch dimensions in ${shapeText(batch)}`);
  while (sizes.length < 3) {
    sizes.unshift(1);
    for (const own of strides) own.unshift(0);
  }
  return { sizes, strides };
}

const CASES: readonly (readonly [number[], number[], boolean?])[] = [
  [
    [5, 7],
    [7, 9],
  ],
  [[4, 8], [8, 8], true],
  [[1, 40], [9, 40], true],
  [[2, 1, 12], [2, 20, 12], true],
  [
    [3, 13, 24],
    [3, 24, 40],
  ],
  [
    [3, 13, 24],
    [24, 5],
  ],
  [
    [13, 24],
    [3, 24, 5],
  ],
  [[2, 3, 6, 10], [2, 3, 7, 10], true],
  [
    [2, 1, 6, 10],
    [4, 10, 7],
  ],
  [
    [2, 1, 3, 4, 5],
    [2, 4, 1, 5, 6],
  ],
  [
    [1, 600, 8],
    [1, 8, 17],
  ],
  [
    [0, 4, 5],
    [0, 5, 6],
  ],
  [
    [2, 4, 0],
    [2, 0, 6],
  ],
];

export const offline = defineOffline(op, {
  onnx: {},
  reference([a, b], { transB, act }, [y]) {
    const [p, q] = [a!.type.shape, b!.type.shape];
    const k = p.at(-1)!;
    const at = (shape: readonly number[], batch: readonly number[], last: readonly number[]) => {
      const own = batch.slice(batch.length - (shape.length - 2)).map((i, axis) => (shape[axis] === 1 ? 0 : i));
      return position(shape, [...own, ...last]);
    };
    const element = (index: readonly number[]): number => {
      const batch = index.slice(0, -2);
      const [row, column] = index.slice(-2) as [number, number];
      let sum = 0;
      for (let i = 0; i < k; i++)
        sum += a!.data[at(p, batch, [row, i])]! * b!.data[at(q, batch, transB ? [column, i] : [i, column])]!;
      return evaluateSteps(act, sum);
    };
    return [tabulate(y!.shape, element)];
  },
  gradient({ inputs: [a, b], dy, attrs: { transB }, wants, emit }) {
    const da = () => emit('matmul', [dy, b], { transB: !transB });
    const db = () => (transB ? emit('matmul', [turned(emit, dy), a]) : emit('matmul', [turned(emit, a!), dy]));
    return [wants(0) ? sumTo(emit, da(), staticShape(a!)) : undefined, wants(1) ? sumTo(emit, db(), staticShape(b!)) : undefined];
  },
  accuracy: { abs: 2e-5, rel: 1e-5 },
  cost: ([a], _, [y]) => costOf(y!, a!.shape.at(-1)!),
  cases: CASES.map(([a, b, transB = false], i): Case<{ transB: boolean; act: readonly Step[] }> => {
    const acts = [[], [step('relu')], [step('affine', 0.125)]];
    return { inputs: [a, b], attrs: { transB, act: acts[i % 3]! } };
  }),
});
