/**
 * Gemm: a matrix times constant weights, y[..., n] = act(sum of x[..., k] * w[n, k] + bias[n] + residual[..., n]). ONNX's
 * MatMul and Gemm with a constant matrix become this, and convolutions of single pixels run on its kernels. Arithmetic
 * on quantised inputs is described in product.ts.
 */
import { isStatic } from '../core/dim';
import { sizeOf } from '../core/dtype';
import { WaferError } from '../core/errors';
import { elements, shapeText } from '../core/shape';
import {
  type Block,
  type Case,
  type Dispatch,
  defineOffline,
  defineOp,
  type Emit,
  type Lowering,
  type OnnxNode,
  type Ref,
} from './define';
import { reshaped, rows, staticShape, sumTo, turned } from './gradient';
import { implicitGemm } from './implicitGemm';
import { implicitGemmInt8 } from './implicitGemmInt8';
import { CODED_TABLES, CODES_BYTES, codedCases } from './levels';
import {
  biasPanels,
  blockBytes,
  clampArguments,
  constantOf,
  costOf,
  finish,
  integerArguments,
  integerCases,
  integerPanels,
  KIND_CODES,
  type ProductAttrs,
  panelCount,
  productAttrs,
  productInputs,
  productType,
} from './product';
import { SPARSE_ROWS, sparseCases } from './sparsity';
import { step } from './steps';
import { matrixGeometry } from './tiles';
import { weightsOf } from './weights';

export const op = defineOp({
  name: 'gemm',
  inputs: productInputs,
  attrs: productAttrs,
  infer(inputs, attrs) {
    const [x, w] = inputs;
    const [k, wanted] = [x!.shape.at(-1), w!.shape[1]];
    if (x!.shape.length < 1 || w!.shape.length !== 2 || (isStatic(k!) && isStatic(wanted!) && k !== wanted))
      throw new WaferError('SHAPE', `cannot multiply ${shapeText(x!.shape)} by weights ${shapeText(w!.shape)}`);
    return [productType(inputs, attrs, [...x!.shape.slice(0, -1), w!.shape[0]!])];
  },
  wasm: (node) => gemmDispatches(node),
  webgpu(node) {
    const [x, w] = node.inputs;
    const [n, k] = w!.type.shape as [number, number];
    const geometry = matrixGeometry(elements(x!.type.shape.slice(0, -1)), k, n);
    return x!.type.dtype === 'i8' ? implicitGemmInt8(node, geometry) : implicitGemm(node, geometry);
  },
});

/** A window of one pixel. */

/** Rows of the left operand that a product is worth reading all weights for: two or more of each tile. */
export const GRAIN = 24;

/** By the form of the weights. */
const KERNELS = {
  dense: 'i8_gemm',
  sparse: 'i8_gemm',
  ternary: 'i8_gemmTernary',
  int4: 'i8_gemmInt4',
  table: 'i8_gemmTable',
} as const;

/** Rows of x times the weights, which have the same elements as [n, k] whatever their rank. */
export function gemmDispatches(node: Lowering<ProductAttrs>): Dispatch[] {
  const { inputs, outputs, dot } = node;
  const [x, w, , , residual] = inputs;
  const n = w!.type.shape[0]!;
  const k = x!.type.shape.at(-1)!;
  const rows = elements(x!.type.shape.slice(0, -1));
  constantOf('w', w!);
  const panels = panelCount(1, n);
  if (x!.type.dtype === 'i8') {
    const kind = KIND_CODES[dot];
    const size = dot === 'i16' ? 2 : 1;
    const { form, packed, args } = weightsOf(node, rows, 1, 1, k);
    const target = form === 'dense' ? blockBytes(n * k * size) : CODES_BYTES;
    const block = form === 'sparse' ? SPARSE_ROWS : blockRows(rows, k * size, n * sizeOf(outputs[0]!.type.dtype), target);
    const scratch = node.scratch(align(196 + 4 * block, 16) + (dot === 'u8' ? 0 : size * (block * k + 16)));
    return [
      {
        kernel: KERNELS[form],
        args: [
          ...[x!, packed, integerPanels(node, 1), residual ?? 0, outputs[0]!, k, n, kind],
          ...[...integerArguments(node), block, scratch, ...args],
        ],
        rows,
        grain: GRAIN,
      },
    ];
  }
  const pack = (block: Block): Dispatch => ({ kernel: 'f32_pack', args: [w!, block, n, k, k, 1], rows: panels });
  const packed = node.packed('w', w!, panels * k * 32, pack, 32 * k);
  const block = blockRows(rows, 4 * k, 4 * n, blockBytes(4 * n * k));
  const scratch = node.scratch(4 * block + 132);
  const args = [x!, packed, biasPanels(node, 1), residual ?? 0, outputs[0]!, k, n, ...clampArguments(node), block, scratch];
  return [{ kernel: 'f32_gemm', args, rows, grain: GRAIN }];
}

/** n rounded up to a multiple of `unit`. */
export const align = (n: number, unit: number): number => Math.ceil(n / unit) * unit;

/** Of `rows` rows those to multiply at a time: a multiple of every tile's height, so that no block but the last is ragged. */
export function blockRows(rows: number, bytesIn: number, bytesOut: number, target: number): number {
  const most = Math.min(target / Math.max(1, bytesIn), 2 ** 18 / Math.max(1, bytesOut));
  return Math.min(rows, 12 * Math.max(1, Math.min(256, Math.floor(most / 12))));
}

/** Elements of `matrix` [rows, cols] as [cols, rows], times `factor`: at once when they are known, else as nodes. */
function transposed(emit: Emit, matrix: Ref, factor = 1): Ref {
  const [rows, cols] = matrix.type.shape as number[];
  const { data } = matrix;
  if (!data) return scaled(emit, emit('transpose', [matrix], { perm: [1, 0] }), factor);
  const out = new Float32Array(data.length);
  for (let i = 0; i < rows!; i++) for (let j = 0; j < cols!; j++) out[j * rows! + i] = data[i * cols! + j]! * factor;
  return emit.constant('f32', [cols!, rows!], out);
}

function scaled(emit: Emit, x: Ref, factor: number): Ref {
  if (factor === 1) return x;
  if (x.data)
    return emit.constant(
      'f32',
      x.type.shape as number[],
      Float32Array.from(x.data, (v) => v * factor),
    );
  return emit('unary', [x], { steps: [step('affine', factor)] });
}

/** C of a Gemm when it is one number for each of n columns. */
function rowBias(emit: Emit, c: Ref | undefined, n: number, beta: number): Ref | undefined {
  if (!c?.data || (c.data.length !== 1 && !(c.data.length === n && c.type.shape.at(-1) === n))) return undefined;
  return emit.constant(
    'f32',
    [n],
    Float32Array.from({ length: n }, (_, i) => c.data![c.data!.length === 1 ? 0 : i]! * beta),
  );
}

function fromGemm(node: OnnxNode, emit: Emit): Ref {
  const [alpha, beta] = [node.float('alpha', 1), node.float('beta', 1)];
  const [transA, transB] = [node.int('transA', 0) !== 0, node.int('transB', 0) !== 0];
  const [a, b, c] = [node.input(0), node.input(1), node.inputs[2]];
  const x = transA ? emit('transpose', [a], { perm: [1, 0] }) : a;
  const n = b.type.shape[transB ? 0 : 1]!;
  if (!b.data || !isStatic(n)) {
    const product = scaled(emit, emit('matmul', [x, b], { transB }), alpha);
    return c && beta !== 0 ? emit('binary', [product, scaled(emit, c, beta)], { fn: 'add' }) : product;
  }
  const w = transB ? scaled(emit, b, alpha) : transposed(emit, b, alpha);
  const bias = rowBias(emit, c, n, beta);
  const y = emit('gemm', [x, w, bias]);
  return bias || !c || beta === 0 ? y : emit('binary', [y, scaled(emit, c, beta)], { fn: 'add' });
}

/** NumPy's product: a vector stands for a matrix of one row or column, which the result does not keep. */
function fromMatMul(node: OnnxNode, emit: Emit): Ref {
  const [a, b] = [node.input(0), node.input(1)];
  const [p, q] = [a.type.shape, b.type.shape];
  if (p.length === 0 || q.length === 0) return node.unsupported('a scalar operand');
  const row = p.length === 1;
  const column = q.length === 1;
  const left = row ? emit('reshape', [a], { shape: [1, p[0]!] }) : a;
  let y: Ref;
  if (b.data && q.length <= 2 && b.type.dtype === 'f32') {
    const w = column ? emit.constant('f32', [1, q[0] as number], b.data) : transposed(emit, b);
    y = emit('gemm', [left, w]);
  } else y = emit('matmul', [left, column ? emit('reshape', [b], { shape: [q[0]!, 1] }) : b]);
  const { shape } = y.type;
  const kept = shape.filter((_, i) => !(row && i === shape.length - 2) && !(column && i === shape.length - 1));
  return kept.length === shape.length ? y : emit('reshape', [y], { shape: kept });
}

export const offline = defineOffline(op, {
  onnx: { Gemm: fromGemm, MatMul: fromMatMul },
  reference(inputs, attrs, [y]) {
    const [x, w] = inputs;
    const [n, k] = w!.type.shape as [number, number];
    const zero = x!.type.quant?.zero ?? 0;
    const out = new Float64Array(elements(y!.shape));
    for (let at = 0; at < out.length; at++) {
      const row = Math.floor(at / n) * k;
      const channel = at % n;
      let sum = 0;
      for (let i = 0; i < k; i++) sum += (x!.data[row + i]! - zero) * w!.data[channel * k + i]!;
      out[at] = finish(inputs, attrs, sum, channel, at);
    }
    return [out];
  },
  gradient({ inputs: [x, w, bias], dy, wants, emit }) {
    if (x!.type.dtype !== 'f32') return undefined;
    const one = x!.type.shape.length === 1;
    const [by, of] = [rows(emit, one ? reshaped(emit, dy, [1, dy.type.shape[0] as number]) : dy), w!];
    const from = rows(emit, one ? reshaped(emit, x!, [1, x!.type.shape[0] as number]) : x!);
    return [
      wants(0) ? reshaped(emit, emit('matmul', [by, of]), staticShape(x!)) : undefined,
      wants(1) ? emit('matmul', [turned(emit, by), from]) : undefined,
      bias && wants(2) ? sumTo(emit, by, staticShape(bias)) : undefined,
    ];
  },
  accuracy: { abs: 2e-5, rel: 1e-5 },
  cost: ([x], _, [y]) => costOf(y!, x!.shape.at(-1)!),
  cases: casesOf(),
});

function casesOf(): Case<ProductAttrs>[] {
  const list: Case<ProductAttrs>[] = [];
  const sizes = [
    [1, 1, 1],
    [1, 40, 9],
    [2, 3, 8],
    [3, 24, 7],
    [4, 5, 40],
    [6, 96, 16],
    [7, 17, 24],
    [13, 33, 19],
    [49, 64, 32],
    [300, 12, 10],
  ] as const;
  for (const [m, k, n] of sizes) {
    const w = { shape: [n, k], constant: true };
    list.push({ inputs: [[m, k], w] });
    list.push({ inputs: [[m, k], w, { shape: [n], constant: true }], attrs: { act: [step('relu')] } });
  }
  const w = { shape: [20, 30], constant: true };
  const bias = { shape: [20], constant: true };
  list.push(
    { inputs: [[2, 3, 5, 30], w, bias, null, [2, 3, 5, 20]], attrs: { act: [step('clip', -0.5, 2)] } },
    { inputs: [[9, 30], w, bias, null, [9, 20]], attrs: { act: [step('hardSwish'), step('affine', 2, 1)] } },
    { inputs: [[9, 30], w, bias], attrs: { act: [step('relu'), step('clip', -1, 0.5), step('tanh')] } },
    { inputs: [[30], w, bias] },
    { inputs: [[0, 30], w, bias] },
    { inputs: [[5, 0], { shape: [9, 0], constant: true }, { shape: [9], constant: true }] },
  );
  for (const [m, k, n] of sizes) list.push(...integerCases([m, k], [n, k], [m, n], k));
  list.push(...longCases(), ...extremeCases(), ...curveCases());
  const sparse = [
    [16, 64, 8, 0.75],
    [49, 38, 19, 0.7],
    [53, 29, 7, 0.9],
    [230, 40, 12, 0.8],
    [40, 20, 9, 1],
  ] as const;
  for (const [m, k, n, share] of sparse) list.push(...sparseCases([m, k], [n, k], [m, n], k, share));
  const coded = [
    [1, 160, 64],
    [1, 131, 60],
    [2, 257, 258],
    [3, 126, 33],
    [5, 258, 260],
    [37, 67, 90],
    [80, 46, 99],
  ] as const;
  for (const [i, [m, k, n]] of coded.entries())
    for (const table of CODED_TABLES)
      list.push(...codedCases([m, k], [n, k], [m, n], table).filter((_, j) => (i + j) % 3 === 0 || i === 1));
  return list;
}

/** Sums that leave the integers of f32 on their way, for few rows and for more. */
function longCases(): Case<ProductAttrs>[] {
  const [k, n] = [2101, 12];
  const channels = Array.from({ length: n }, (_, i) => i);
  return [2, 9].map((m) => ({
    inputs: [
      { shape: [m, k], dtype: 'i8', quant: { scale: 1, zero: 0 }, range: [126, 127] },
      { shape: [n, k], dtype: 'i8', constant: true, data: Array<number>(n * k).fill(127) },
      { shape: [n], dtype: 'i32', constant: true, data: channels.map((i) => 9 * i - Math.round(127 * 126.5 * k)) },
      { shape: [n], dtype: 'i32', constant: true, data: channels.map(() => 2 ** 16) },
    ],
    attrs: { quant: { scale: 1, zero: 0 } },
  }));
}

/** Sums, which are biases, times multipliers where 32 bits could overflow, with zero points and ranges at their ends. */
function extremeCases(): Case<ProductAttrs>[] {
  const most = 2 ** 31 - 1;
  const sums = [0, 1, -1, 2 ** 24 + 1, -(2 ** 24) - 1, 2 ** 30, most, -most];
  const ranges = [
    [-128, -128, 127],
    [-128, -128, -127],
    [0, 0, 1],
    [127, 126, 127],
    [127, -128, 127],
  ] as const;
  return ranges.flatMap(([zero, low, high]) =>
    [0, 2 ** 21].map((residualMultiplier): Case<ProductAttrs> => {
      const shift = residualMultiplier ? 20 : 22;
      const multipliers = [1, 2 ** shift - 1, 2 ** shift, 2 ** shift + 1, residualMultiplier ? 2 ** 29 : 2 ** 30];
      const pairs = sums.flatMap((sum) => multipliers.map((m) => [sum, m] as const));
      const n = pairs.length;
      return {
        inputs: [
          { shape: [3, 4], dtype: 'i8', quant: { scale: 1, zero: 5 } },
          { shape: [n, 4], dtype: 'i8', constant: true, data: Array<number>(4 * n).fill(0) },
          { shape: [n], dtype: 'i32', constant: true, data: pairs.map(([sum]) => sum) },
          { shape: [n], dtype: 'i32', constant: true, data: pairs.map(([, m]) => m) },
          residualMultiplier ? { shape: [3, n], dtype: 'i8', quant: { scale: 1, zero: 127 } } : null,
        ],
        attrs: { quant: { scale: 1, zero }, range: [low, high], shift, residualMultiplier },
      };
    }),
  );
}

/** Places all over a curve, the sums being biases, with entries and factors at their ends. */
function curveCases(): Case<ProductAttrs>[] {
  const n = 409;
  const channels = Array.from({ length: n }, (_, i) => i);
  const constant = (dtype: 'i8' | 'i32', shape: readonly number[], data: readonly number[]) =>
    ({ shape, dtype, constant: true, data }) as const;
  const entries = [-32768, 32767, -1, 0, 129];
  const table = Array.from({ length: 512 }, (_, i) => (entries[(i >> 1) % 5]! >> (8 * (i & 1))) & 255);
  const swishes = [[], [1, 1, 0], [1, 16383, 32767], [16383, 1, -32768], [2100, 7, 77]];
  return swishes.map((swish, i): Case<ProductAttrs> => {
    const zero = [-128, 0, 127][i % 3]!;
    return {
      inputs: [
        { shape: [1, 1], dtype: 'i8', quant: { scale: 1, zero: 0 } },
        constant('i8', [n, 1], Array<number>(n).fill(0)),
        constant(
          'i32',
          [n],
          channels.map((channel) => 40 * channel - 64 * (128 + zero) + (channel % 3)),
        ),
        constant('i32', [n], Array<number>(n).fill(2 ** 16)),
        null,
        swish.length ? null : { shape: [256, 2], dtype: 'u8', constant: true, data: table },
        constant(
          'i32',
          [n],
          channels.map((channel) => [1, 256, 32767][channel % 3]!),
        ),
      ],
      attrs: { quant: { scale: 1, zero: -zero - 1 }, middle: { scale: 1, zero }, swish },
    };
  });
}
