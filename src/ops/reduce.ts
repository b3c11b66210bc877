/**
 * Reduce: a function of all elements along some axes. Axes that are not adjacent are reduced one run after the other,
 * which every function here allows. Quantised tensors keep their quantisation.
 */
import { WaferError } from '../core/errors';
import { elements, normalizeAxis, type Quant, type Shape, type StaticShape, stridesOf } from '../core/shape';
import {
  type Argument,
  type AttrsOf,
  type Block,
  bool,
  type Case,
  type CaseInput,
  type Dispatch,
  defineOffline,
  defineOp,
  type Emit,
  type FromOnnx,
  f32,
  type GpuDispatch,
  type GpuLowering,
  ints,
  type OnnxNode,
  type Operand,
  oneOf,
  quant,
  type Ref,
} from './define';
import { arithmetic, reshaped, staticShape } from './gradient';
import { channelsFirst, channelsLast } from './layout';
import { partsOf } from './parts';

/** Columns of a block in the kernels, which is their row when the reduced axes are not the last. */
const COLUMNS = 16;

/** Codes shared with assembly/reduce.ts. */
const KERNEL = { sum: 0, max: 1, min: 2, prod: 3, sumAbs: 4, sumSquare: 5, logSumExp: 6 } as const;
const FINISH = { none: 0, root: 1, log: 2 } as const;

interface ReduceFunction {
  kernel: keyof typeof KERNEL;
  finish?: keyof typeof FINISH;
  /** Divides by the number of elements. */
  mean?: true;
  /** Of no elements, where that is not 0. */
  empty?: number;
  /** The functions of all runs but the last and of all but the first, where they are not the function itself. */
  first?: ReduceFn;
  rest?: ReduceFn;
}

type ReduceFn = 'mean' | 'sum' | 'max' | 'min' | 'prod' | 'l1' | 'l2' | 'sumSquare' | 'logSum' | 'logSumExp';

const FUNCTIONS: Readonly<Record<ReduceFn, ReduceFunction>> = {
  mean: { kernel: 'sum', mean: true },
  sum: { kernel: 'sum' },
  max: { kernel: 'max', empty: Number.NEGATIVE_INFINITY },
  min: { kernel: 'min', empty: Number.POSITIVE_INFINITY },
  prod: { kernel: 'prod', empty: 1 },
  l1: { kernel: 'sumAbs', rest: 'sum' },
  l2: { kernel: 'sumSquare', finish: 'root' },
  sumSquare: { kernel: 'sumSquare', rest: 'sum' },
  logSum: { kernel: 'sum', finish: 'log', first: 'sum' },
  logSumExp: { kernel: 'logSumExp', empty: Number.NEGATIVE_INFINITY },
};

/** Functions of quantised tensors, with the codes of `i8_reduce`. */
const INTEGER: Partial<Record<ReduceFn, number>> = { mean: 0, max: 1, min: 2 };

export const op = defineOp({
  name: 'reduce',
  inputs: ['x'],
  attrs: {
    fn: oneOf(...(Object.keys(FUNCTIONS) as ReduceFn[])),
    /** From the front, in order, without repetition. None reduces nothing. */
    axes: ints(),
    keepdims: bool(true),
    /** Quantisation of a quantised mean; null for the input's own. */
    quant: quant(),
  },
  infer([x], { fn, axes, keepdims, quant: own }) {
    const { dtype, shape, quant } = x!;
    if (own && (dtype !== 'i8' || fn !== 'mean'))
      throw new WaferError('ARGUMENT', 'only a quantised mean has a quantisation of its own');
    if (!(dtype === 'f32' || (dtype === 'i8' && fn in INTEGER))) throw new WaferError('DTYPE', `${fn} does not take ${dtype}`);
    const ordered = axes.every((a, i) => normalizeAxis(a, shape.length) === a && (i === 0 || a > axes[i - 1]!));
    if (!ordered) throw new WaferError('ARGUMENT', `axes are in order from the front, got ${axes.join(', ')}`);
    return [{ dtype, shape: reducedShape(shape, axes, keepdims), quant: own ?? quant }];
  },
  wasm(node) {
    const [x, y] = [node.inputs[0]!, node.outputs[0]!];
    const { fn } = node.attrs;
    const { shape } = x.type;
    const runs = runsOf(shape, node.attrs.axes);
    if (x.type.dtype === 'i8') {
      const { outer, n, inner } = onlyRun(fn, runs);
      const { zero, multiplier, constant, shift } = requantizedMean(x.type.quant!, node.attrs.quant);
      const args = [INTEGER[fn]!, x, y, n, inner, zero, multiplier, constant, shift];
      return [{ kernel: 'i8_reduce', args, rows: outer * Math.ceil(inner / COLUMNS) }];
    }
    let source: Argument = x;
    return runs.map(({ outer, n, inner }, i): Dispatch => {
      const last = i === runs.length - 1;
      const own: ReduceFunction = FUNCTIONS[fn];
      const { kernel, mean, finish } = FUNCTIONS[(!last && own.first) || (i > 0 && own.rest) || fn];
      checkCount(fn, n);
      const target: Argument = last ? y : node.intermediate(outer * inner * 4);
      const args = [KERNEL[kernel], source, target, n, inner, mean ? 1 / n : 1, FINISH[finish ?? 'none']];
      source = target;
      return { kernel: 'f32_reduce', args, rows: outer * (inner === 1 ? 1 : Math.ceil(inner / COLUMNS)) };
    });
  },
  webgpu(node) {
    const [x, y] = [node.inputs[0]!, node.outputs[0]!];
    const { fn } = node.attrs;
    const runs = runsOf(x.type.shape, node.attrs.axes);
    if (x.type.dtype === 'i8') return levelShaders(node, onlyRun(fn, runs));
    const count = elements(runs.map(({ n }) => n));
    checkCount(fn, count);
    const steps = runs.flatMap((run) => cut(run, run.outer * run.inner));
    let source: Operand | Block = x;
    return steps.map(({ outer, n, inner, parts, length }, i): GpuDispatch => {
      const last = i === steps.length - 1;
      const own: ReduceFunction = FUNCTIONS[fn];
      const { kernel, mean, finish, empty } = FUNCTIONS[(!last && own.first) || (i > 0 && own.rest) || fn];
      const threads = outer * parts * inner;
      const destination = last ? y : node.intermediate(threads * 4);
      const scale = last && mean ? 1 / count : 1;
      const uniforms = [n, inner, parts, length, f32(empty ?? 0), f32(scale), FINISH[finish ?? 'none']];
      const dispatch: GpuDispatch = {
        shader: 'reduce',
        flags: { FN: [kernel], FROM_PARTS: i > 0, TO_PARTS: !last },
        reads: [source],
        writes: [destination],
        threads,
        uniforms,
      };
      source = destination;
      return dispatch;
    });
  },
});

interface Run {
  outer: number;
  n: number;
  inner: number;
}

/** The only run of a reduction of levels. Throws UNSUPPORTED and SHAPE. */
function onlyRun(fn: ReduceFn, runs: readonly Run[]): Run {
  if (runs.length > 1) throw new WaferError('UNSUPPORTED', `${fn} of a quantised tensor over axes that are not adjacent`);
  const { n } = runs[0]!;
  checkCount(fn, n);
  if (n >= 2 ** 22) throw new WaferError('UNSUPPORTED', `${fn} of ${n} quantised elements`);
  return runs[0]!;
}

/** A run as one step of shaders, or as two, over parts and over what they give; `results` are computed at a time. */
function cut({ outer, n, inner }: Run, results: number): (Run & { parts: number; length: number })[] {
  const { parts, length } = partsOf(results, n);
  const first = { outer, n, inner, parts, length };
  return parts === 1 ? [first] : [first, { outer, n: parts, inner, parts: 1, length: parts }];
}

function levelShaders(
  { inputs: [x], outputs: [y], attrs, intermediate }: GpuLowering<{ fn: ReduceFn; quant: Quant | null }>,
  run: Run,
): GpuDispatch[] {
  const VEC = run.inner % 4 === 0;
  const words = (count: number) => (VEC ? count / 4 : Math.ceil(count / 4));
  const { kernel, empty } = FUNCTIONS[attrs.fn];
  const { zero, multiplier, constant, shift } = requantizedMean(x!.type.quant!, attrs.quant);
  const steps = cut(run, words(run.outer * run.inner));
  let source: Operand | Block = x!;
  return steps.map(({ outer, n, inner, parts, length }, i): GpuDispatch => {
    const [FROM_PARTS, TO_PARTS] = [i > 0, i < steps.length - 1];
    const results = outer * parts * inner;
    const destination = TO_PARTS ? intermediate(results * 4) : y!;
    const level = Math.min(127, Math.max(-128, empty ?? 0));
    const columns = VEC ? inner / 4 : inner;
    const dispatch: GpuDispatch = {
      shader: 'reduceInt8',
      flags: { FN: [kernel], VEC, FROM_PARTS, TO_PARTS },
      reads: [source],
      writes: [destination],
      threads: TO_PARTS && !VEC ? results : words(results),
      uniforms: [n, columns, parts, length, level, run.n, zero, multiplier, constant, shift],
    };
    source = destination;
    return dispatch;
  });
}

/**
 * A mean with 8 binary places, as byte * 256, becomes the output's byte: ((mean - zero) * multiplier + constant) >> shift.
 * All factors fit 31 bits: |mean - zero| < 2^16 and multiplier < 2^14. Multiplier 0 where nothing is to be done.
 */
function requantizedMean(from: Quant, to: Quant | null) {
  if (!to || (to.scale === from.scale && to.zero === from.zero)) return { zero: 0, multiplier: 0, constant: 0, shift: 0 };
  const ratio = from.scale / to.scale;
  let shift = 22;
  while (shift > 1 && ratio * 2 ** (shift - 8) >= 16383) shift--;
  return {
    zero: (from.zero + 128) * 256,
    multiplier: Math.max(1, Math.round(ratio * 2 ** (shift - 8))),
    constant: (to.zero + 128) * 2 ** shift + 2 ** (shift - 1),
    shift,
  };
}

function reducedShape(shape: Shape, axes: readonly number[], keepdims: boolean): Shape {
  return keepdims ? shape.map((d, i) => (axes.includes(i) ? 1 : d)) : shape.filter((_, i) => !axes.includes(i));
}

/** Nothing has a largest element or a mean. Throws SHAPE. */
function checkCount(fn: ReduceFn, n: number): void {
  if (n === 0 && (fn === 'mean' || fn === 'max' || fn === 'min')) throw new WaferError('SHAPE', `${fn} of no elements`);
}

/**
 * The reduction as steps [outer, n, inner] -> [outer, inner], one for each run of adjacent axes, from the last to the
 * first, so that every step sees dense memory. Axes of size 1 do not separate runs.
 */
function runsOf(shape: StaticShape, axes: readonly number[]): Run[] {
  const kept: { size: number; reduced: boolean }[] = [];
  shape.forEach((size, i) => {
    if (size === 1) return;
    const reduced = axes.includes(i);
    const last = kept.at(-1);
    if (last?.reduced === reduced) last.size *= size;
    else kept.push({ size, reduced });
  });
  const runs: Run[] = [];
  let inner = 1;
  for (let i = kept.length - 1; i >= 0; i--) {
    const { size, reduced } = kept[i]!;
    if (reduced) runs.push({ outer: elements(kept.slice(0, i).map((k) => k.size)), n: size, inner });
    else inner *= size;
  }
  return runs.length ? runs : [{ outer: elements(shape), n: 1, inner: 1 }];
}

// ---- offline ----

/** The functions in doubles. */
const FORMULAS: Readonly<Record<ReduceFn, (x: number[]) => number>> = {
  mean: (x) => sum(x) / x.length,
  sum: (x) => sum(x),
  max: (x) => x.reduce((p, q) => Math.max(p, q), Number.NEGATIVE_INFINITY),
  min: (x) => x.reduce((p, q) => Math.min(p, q), Number.POSITIVE_INFINITY),
  prod: (x) => x.reduce((p, q) => p * q, 1),
  l1: (x) => sum(x.map(Math.abs)),
  l2: (x) => Math.sqrt(sum(x.map((v) => v * v))),
  sumSquare: (x) => sum(x.map((v) => v * v)),
  logSum: (x) => Math.log(sum(x)),
  logSumExp(x) {
    const top = FORMULAS.max(x);
    return top === Number.NEGATIVE_INFINITY ? top : top + Math.log(sum(x.map((v) => Math.exp(v - top))));
  },
};

const sum = (x: number[]): number => x.reduce((p, q) => p + q, 0);

export const offline = defineOffline(op, {
  onnx: {
    ReduceMean: reduction('mean', 18),
    ReduceSum: reduction('sum', 13),
    ReduceMax: reduction('max', 18),
    ReduceMin: reduction('min', 18),
    ReduceProd: reduction('prod', 18),
    ReduceL1: reduction('l1', 18),
    ReduceL2: reduction('l2', 18),
    ReduceSumSquare: reduction('sumSquare', 18),
    ReduceLogSum: reduction('logSum', 18),
    ReduceLogSumExp: reduction('logSumExp', 18),
    GlobalAveragePool: globalPool('mean'),
    GlobalMaxPool: globalPool('max'),
  },
  reference([x], { fn, axes, quant: own }) {
    const { shape, quant } = x!.type;
    const groups = new Map<number, number[]>();
    const target = reducedShape(shape, axes, true) as number[];
    const [from, to] = [stridesOf(shape), stridesOf(target)];
    const n = elements(target);
    for (let at = 0; at < n; at++) groups.set(at, []);
    x!.data.forEach((value, at) => {
      const index = shape.reduce((s, d, i) => s + (axes.includes(i) ? 0 : (Math.floor(at / from[i]!) % d) * to[i]!), 0);
      groups.get(index)!.push(value);
    });
    const formula = quant && fn === 'mean' ? (values: number[]) => meanLevel(values, quant, own) : FORMULAS[fn];
    return [Float64Array.from(groups.values(), formula)];
  },
  gradient({ inputs: [x], y, dy, attrs: { fn, axes }, emit }) {
    if (x!.type.dtype !== 'f32') return undefined;
    const shape = staticShape(x!);
    const kept = reducedShape(shape, axes, true) as number[];
    const [own, by] = [reshaped(emit, y, kept), reshaped(emit, dy, kept)];
    const { div, mul, sub, unary, mask } = arithmetic(emit);
    const spread = (of: Ref) => (axes.length ? emit('expand', [of], { shape }) : of);
    switch (fn) {
      case 'mean':
        return [spread(unary(by, ['affine', 1 / elements(axes.map((a) => shape[a]!))]))];
      case 'sum':
        return [spread(by)];
      case 'max':
      case 'min': {
        // What is equally large shares the gradient.
        const chosen = mask(x!, 'equal', own);
        return [mul(chosen, div(by, emit('reduce', [chosen], { fn: 'sum', axes, keepdims: true })))];
      }
      case 'l1':
        return [mul(unary(x!, 'sign'), by)];
      case 'l2':
        return [mul(x!, div(by, own))];
      case 'sumSquare':
        return [mul(unary(x!, ['affine', 2]), by)];
      case 'prod':
        return [div(mul(by, own), x!)];
      case 'logSum':
        return [spread(mul(by, unary(own, 'neg', 'exp')))];
      case 'logSumExp':
        return [mul(by, unary(sub(x!, own), 'exp'))];
    }
  },
  accuracy: { abs: 2e-6, rel: 1e-5 },
  cases: casesOf(),
});

/** The level of the mean of levels. */
function meanLevel(levels: readonly number[], from: Quant, to: Quant | null): number {
  const n = levels.length;
  const total = levels.reduce((s, level) => s + level + 128, 0);
  const { zero, multiplier, constant, shift } = requantizedMean(from, to);
  if (multiplier === 0) return Math.floor((2 * total + n) / (2 * n)) - 128;
  const fixed = 256 * Math.floor(total / n) + Math.floor((256 * (total % n) + Math.floor(n / 2)) / n);
  return Math.min(255, Math.max(0, Math.floor(((fixed - zero) * multiplier + constant) / 2 ** shift))) - 128;
}

/** `axesAsInput`: the opset that made the axes an input. Integers are reduced in floating point. */
function reduction(fn: ReduceFn, axesAsInput: number): FromOnnx {
  return (n, emit) => {
    const x = n.input(0);
    const rank = x.type.shape.length;
    const all = x.type.shape.map((_, i) => i);
    const asInput = n.opset >= axesAsInput;
    const given = asInput ? (n.inputs[1] ? (n.numbers(1) ?? n.unsupported('axes that depend on data')) : []) : n.ints('axes', []);
    if (given.length === 0 && asInput && n.int('noop_with_empty_axes', 0) !== 0) return x;
    const axes = given.length ? [...new Set(given.map((a) => normalizeAxis(a, rank)))].sort((p, q) => p - q) : all;
    return inFloat(x, emit, (value) => emit('reduce', [value], { fn, axes, keepdims: n.int('keepdims', 1) !== 0 }));
  };
}

function inFloat(x: Ref, emit: Emit, reduce: (x: Ref) => Ref): Ref {
  if (x.type.dtype === 'f32') return reduce(x);
  return emit('cast', [reduce(emit('cast', [x], { to: 'f32' }))], { to: x.type.dtype });
}

function globalPool(fn: ReduceFn): FromOnnx {
  return (n: OnnxNode, emit: Emit) => {
    const image = channelsLast(emit, n.input(0));
    const axes = image.type.shape.map((_, i) => i).slice(1, -1);
    return channelsFirst(emit, emit('reduce', [image], { fn, axes, keepdims: true }));
  };
}

function casesOf(): Case<AttrsOf<typeof op.attrs>>[] {
  const fns = Object.keys(FUNCTIONS) as ReduceFn[];
  const list: Case<AttrsOf<typeof op.attrs>>[] = fns.flatMap((fn) => {
    const range = fn === 'logSum' ? ([0.1, 2] as const) : fn === 'prod' ? ([0.7, 1.4] as const) : ([-2, 3] as const);
    return (
      [
        [[37], [0]],
        [[3, 5], [1]],
        [[3, 17], [0]],
        [
          [2, 5, 7, 24],
          [1, 2],
        ],
        [
          [2, 3, 5, 7],
          [1, 3],
        ],
        [
          [2, 3, 5, 7],
          [0, 1, 2, 3],
        ],
      ] as const
    ).map(([shape, axes]) => ({ name: `${fn} ${shape} over ${axes}`, inputs: [{ shape, range }], attrs: { fn, axes } }));
  });
  list.push(
    ...(['mean', 'max', 'l1', 'l2', 'logSumExp'] as const).map((fn) => ({
      name: `long row, ${fn}`,
      inputs: [[2, 4099]],
      attrs: { fn, axes: [1] },
    })),
    { name: 'long columns', inputs: [[1, 40, 40, 19]], attrs: { fn: 'mean', axes: [1, 2] } },
    { name: 'dropped axes', inputs: [[2, 3, 4]], attrs: { fn: 'sum', axes: [0, 2], keepdims: false } },
    { name: 'no axes', inputs: [[2, 3]], attrs: { fn: 'l1', axes: [] } },
    { name: 'axes of size 1', inputs: [[2, 1, 1, 5]], attrs: { fn: 'max', axes: [1, 2] } },
    { name: 'no results', inputs: [[0, 3]], attrs: { fn: 'sum', axes: [1] } },
    { name: 'sum of nothing', inputs: [[3, 0]], attrs: { fn: 'sum', axes: [1] } },
  );
  const levels = Array.from({ length: 256 }, (_, i) => i - 128);
  const quantised = (shape: number[], data?: number[]) => ({
    shape,
    dtype: 'i8' as const,
    quant: { scale: 0.1, zero: 5 },
    ...(data && { data }),
  });
  for (const fn of ['mean', 'max', 'min'] as const)
    list.push(
      { name: `i8 ${fn}`, inputs: [quantised([2, 7, 7, 40])], attrs: { fn, axes: [1, 2] } },
      { name: `i8 ${fn} of few columns`, inputs: [quantised([2, 3, 5])], attrs: { fn, axes: [1] } },
      { name: `i8 ${fn} of rows`, inputs: [quantised([5, 37])], attrs: { fn, axes: [1] } },
      { name: `i8 ${fn} of many`, inputs: [quantised([1, 40, 40, 18])], attrs: { fn, axes: [1, 2] } },
      { name: `i8 ${fn} of many, in words`, inputs: [quantised([2, 24, 24, 8])], attrs: { fn, axes: [1, 2] } },
      ...(fn === 'mean' ? requantizedCases(quantised) : []),
      { name: `i8 ${fn} of ties`, inputs: [quantised([2, 128], levels)], attrs: { fn, axes: [0] } },
    );
  return list;
}

/** Means with a quantisation of their own: finer, coarser, at the ends. */
function requantizedCases(quantised: (shape: number[]) => CaseInput): Case<AttrsOf<typeof op.attrs>>[] {
  return [
    { scale: 0.013, zero: -120 },
    { scale: 0.4, zero: 20 },
    { scale: 0.001, zero: 127 },
    { scale: 50, zero: -128 },
  ].map((quant) => ({
    name: `i8 mean to scale ${quant.scale}`,
    inputs: [quantised([2, 7, 9, 21])],
    attrs: { fn: 'mean' as const, axes: [1, 2], quant },
  }));
}
