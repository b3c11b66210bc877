/**
 * Binary: a function of two operands with NumPy broadcasting, on f32, i32, bool and quantised tensors. Nothing is
 * materialised: the shapes are collapsed to a few dimensions with stride 0 where an operand repeats.
 */
import { WaferError } from '../core/errors';
import { broadcast, elements, type StaticShape, type StaticType, stridesOf, typeText } from '../core/shape';
import {
  type AttrsOf,
  type Case,
  defineOffline,
  defineOp,
  type Emit,
  type FromOnnx,
  int,
  ints,
  type OnnxNode,
  oneOf,
  quant,
  type Ref,
  type Step,
  steps,
} from './define';
import { type Arithmetic, arithmetic, staticShape, sumTo } from './gradient';
import { encodeSteps, evaluateSteps, shaderSteps, step, stepCode } from './steps';

/** Elements of the inner dimension in one row of the kernels. */
const BLOCK = 1024;

/** Codes of the functions, shared with assembly/elementwise.ts. From 16 on the result is a bool, from 24 on the operands too. */
const FUNCTIONS = {
  add: 0,
  sub: 1,
  mul: 2,
  div: 3,
  max: 4,
  min: 5,
  /** The remainder: of floats with the sign of a, of integers with the sign of b. */
  mod: 6,
  pow: 7,
  /** a where it is not negative, else a * b. */
  prelu: 8,
  equal: 16,
  greater: 17,
  less: 18,
  greaterOrEqual: 19,
  lessOrEqual: 20,
  and: 24,
  or: 25,
  xor: 26,
} as const;

type BinaryFn = keyof typeof FUNCTIONS;

export const op = defineOp({
  name: 'binary',
  inputs: ['a', 'b'],
  attrs: {
    fn: oneOf(...(Object.keys(FUNCTIONS) as BinaryFn[])),
    /** Applied to f32 results. */
    act: steps(),
    /**
     * Quantised operands, y = clamp((a * multipliers[0] + b * multipliers[1] + C) >> shift) for add and sub (whose second
     * multiplier is negative), y = clamp(((a - za) * (b - zb) * multipliers[0] + C) >> shift) for mul, where C holds the
     * zero points and the rounding half.
     */
    quant: quant(),
    multipliers: ints(),
    shift: int(),
    /** Least and greatest level of a quantised result. */
    range: ints(-128, 127),
  },
  infer([a, b], { fn, act, quant, multipliers, shift, range }) {
    if (a!.dtype !== b!.dtype)
      throw new WaferError('DTYPE', `${fn} takes operands of one type, got ${typeText(a!)} and ${typeText(b!)}`);
    const { dtype } = a!;
    const shape = broadcast(a!.shape, b!.shape);
    const family = FUNCTIONS[fn] >= 24 ? 'logic' : FUNCTIONS[fn] >= 16 ? 'compare' : 'arithmetic';
    const takes = { logic: ['bool'], compare: ['f32', 'i32'], arithmetic: ['f32', 'i32', 'i8'] }[family];
    const only: Partial<Record<BinaryFn, string[]>> = { pow: ['f32'], prelu: ['f32'] };
    if (!(only[fn] ?? takes).includes(dtype)) throw new WaferError('DTYPE', `${fn} does not take ${dtype}`);
    for (const { fn } of act) stepCode(fn);
    if (act.length && !(dtype === 'f32' && family === 'arithmetic'))
      throw new WaferError('ARGUMENT', `an activation needs an f32 result, which ${fn} of ${dtype} does not have`);
    if (dtype !== 'i8') return [{ dtype: family === 'arithmetic' ? dtype : 'bool', shape }];
    const wanted = { add: 2, sub: 2, mul: 1 }[fn as string];
    if (!wanted || !quant || !a!.quant || !b!.quant)
      throw new WaferError('ARGUMENT', `${fn} of quantised tensors is for add, sub and mul, with quantised results`);
    const limit = fn === 'mul' ? 2 ** 14 : 2 ** 15;
    if (multipliers.length !== wanted || multipliers.some((m) => !Number.isInteger(m) || Math.abs(m) >= limit))
      throw new WaferError('ARGUMENT', `${fn} takes ${wanted} multipliers below ${limit}, got ${multipliers.join(', ')}`);
    if (!(shift >= 1 && shift <= (fn === 'mul' ? 22 : 20))) throw new WaferError('ARGUMENT', `${fn} cannot shift by ${shift}`);
    checkRange(range);
    return [{ dtype, shape, quant }];
  },
  inplace: [0, 1],
  wasm({ inputs: [a, b], outputs: [y], attrs, constant }) {
    const { dtype } = a!.type;
    const code = FUNCTIONS[attrs.fn];
    const { inner, outer, a: p, b: q } = collapsed(y!.type.shape, a!.type, b!.type);
    const rows = elements(outer) * Math.ceil(inner / BLOCK);
    const front = <T>(list: readonly number[], fill: T) => [...Array<T>(4 - list.length).fill(fill), ...list];
    const [, ...counts] = front(outer, 1);
    const geometry = [inner, p.step, q.step, ...counts, ...front(p.strides, 0), ...front(q.strides, 0)] as number[];
    if (dtype === 'i8') {
      const parameters = constant('parameters', () => parametersOf(attrs, a!.type.quant!.zero, b!.type.quant!.zero));
      return [{ kernel: attrs.fn === 'mul' ? 'i8_mul' : 'i8_add', args: [a!, b!, y!, parameters, ...geometry], rows }];
    }
    if (code >= 24) return [{ kernel: 'u8_logic', args: [a!, b!, y!, code, ...geometry], rows }];
    if (code >= 16)
      return [{ kernel: dtype === 'f32' ? 'f32_compare' : 'i32_compare', args: [a!, b!, y!, code, ...geometry], rows }];
    if (dtype === 'i32') return [{ kernel: 'i32_binary', args: [a!, b!, y!, code, ...geometry], rows }];
    const program = constant('program', () => encodeSteps(attrs.act));
    return [{ kernel: 'f32_binary', args: [a!, b!, y!, program, code, ...geometry], rows }];
  },
  webgpu({ inputs: [a, b], outputs: [y], attrs }) {
    const { dtype, quant } = a!.type;
    const INT8 = dtype === 'i8';
    const [IN, OUT] = [dtype, y!.type.dtype].map((type) => [type === 'i8' || type === 'bool' ? 'u32' : type]);
    const { inner, outer, a: p, b: q } = collapsed(y!.type.shape, a!.type, b!.type);
    // A word is 4 bytes even where the last of them are no elements.
    const whole = inner % 4 === 0 || (outer.length === 0 && IN![0] === 'u32');
    const VEC = p.step === 1 && q.step === 1 && whole;
    const fours = (count: number) => (VEC ? Math.ceil(count / 4) : count);
    const n = elements(y!.type.shape);
    const sizes = [fours(inner), ...outer.toReversed()];
    const [inA, inB] = [p, q].map(({ step, strides }) => [step, ...strides.toReversed().map(fours)]);
    const last = outer.length;
    const geometry = [0, 1, 2, 3].flatMap((d) => (d < last ? [sizes[d]!, inA![d]!, inB![d]!] : [1, 0, 0]));
    const { ACT, constants } = shaderSteps(attrs.act);
    const levels = INT8 ? levelUniforms(attrs, quant!.zero, b!.type.quant!.zero) : [];
    return [
      {
        shader: 'binary',
        // The multiplier of b is negative in a difference.
        flags: { IN: IN!, OUT: OUT!, FN: [INT8 && attrs.fn === 'sub' ? 'add' : attrs.fn], ACT, INT8, VEC },
        reads: [a!, b!],
        writes: [y!],
        threads: Math.ceil(n / 4),
        uniforms: [fours(n), last, ...geometry, inA![last]!, inB![last]!, ...levels, ...constants],
      },
    ];
  },
});

/** Least and greatest level, in order. Throws ARGUMENT. */
function checkRange(range: readonly number[]): void {
  const [low, high] = range;
  if (range.length !== 2 || !(low! >= -128 && low! < high! && high! <= 127))
    throw new WaferError('ARGUMENT', `range is two levels in order, got ${range.join(', ')}`);
}

interface Integers {
  fn: BinaryFn;
  quant: { zero: number } | null;
  multipliers: readonly number[];
  shift: number;
  range: readonly number[];
}

/** The constant C of the integer forms, for levels: zero points and rounding half. */
function constantOf({ fn, quant, multipliers, shift }: Integers, za: number, zb: number): number {
  const c = quant!.zero * 2 ** shift + 2 ** (shift - 1);
  return fn === 'mul' ? c : c - za * multipliers[0]! - zb * multipliers[1]!;
}

/** What the kernels read. They work on stored bytes, level + 128, in and out. */
function parametersOf(attrs: Integers, za: number, zb: number): Int32Array {
  const { multipliers, shift, range } = attrs;
  const [low, high] = [range[0]! + 128, range[1]! + 128];
  const stored = constantOf(attrs, za, zb) + 128 * 2 ** shift;
  const [ma, mb] = multipliers;
  if (attrs.fn === 'mul') return Int32Array.of(za + 128, zb + 128, stored, shift, low, high, ma!);
  return Int32Array.of(ma!, mb!, stored - 128 * (ma! + mb!), shift, low, high);
}

/** What the shader reads for levels. */
function levelUniforms(attrs: Integers, za: number, zb: number): number[] {
  const { multipliers, shift, range } = attrs;
  return [za, zb, multipliers[0]!, multipliers[1] ?? 0, constantOf(attrs, za, zb), shift, ...range];
}

interface Side {
  /** Strides in elements over the outer dimensions, 0 where the operand repeats. */
  strides: number[];
  /** 1 when the operand advances along the inner dimension, 0 when it repeats. */
  step: 0 | 1;
}

/** As `collapse`, for as many dimensions as kernels and shaders follow. Throws UNSUPPORTED for more. */
function collapsed(shape: StaticShape, a: StaticType, b: StaticType): ReturnType<typeof collapse> {
  const geometry = collapse(shape, a.shape, b.shape);
  if (geometry.outer.length > 4)
    throw new WaferError('UNSUPPORTED', `${typeText(a)} and ${typeText(b)} alternate over more than 5 dimensions`);
  return geometry;
}

/** The fewest dimensions over which both operands have constant strides. */
function collapse(shape: StaticShape, a: StaticShape, b: StaticShape): { inner: number; outer: number[]; a: Side; b: Side } {
  const strides = [a, b].map((operand) => {
    const lead = shape.length - operand.length;
    const own = stridesOf(operand);
    return shape.map((_, i) => (i < lead || operand[i - lead] === 1 ? 0 : own[i - lead]!));
  });
  const kept: { size: number; strides: number[] }[] = [];
  shape.forEach((size, i) => {
    if (size === 1) return;
    const here = strides.map((s) => s[i]!);
    const last = kept.at(-1);
    if (last?.strides.every((s, k) => s === here[k]! * size)) {
      last.size *= size;
      last.strides = here;
    } else kept.push({ size, strides: here });
  });
  const inner = kept.pop() ?? { size: 1, strides: [0, 0] };
  const side = (k: number): Side => ({ strides: kept.map(({ strides }) => strides[k]!), step: inner.strides[k] === 0 ? 0 : 1 });
  return { inner: inner.size, outer: kept.map(({ size }) => size), a: side(0), b: side(1) };
}

// ---- offline ----

/** The functions in doubles. */
const FORMULAS: Readonly<Record<BinaryFn, (a: number, b: number, dtype: string) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b, dtype) => (dtype === 'i32' ? Math.imul(a, b) : a * b),
  div: (a, b, dtype) => (dtype === 'i32' ? (b === 0 ? 0 : Math.trunc(a / b)) : a / b),
  max: (a, b) => Math.max(a, b),
  min: (a, b) => Math.min(a, b),
  mod: (a, b, dtype) => (dtype === 'i32' ? (b === 0 ? 0 : a - Math.floor(a / b) * b) : a % b),
  pow: (a, b) => a ** b,
  prelu: (a, b) => (a < 0 ? a * b : a),
  equal: (a, b) => Number(a === b),
  greater: (a, b) => Number(a > b),
  less: (a, b) => Number(a < b),
  greaterOrEqual: (a, b) => Number(a >= b),
  lessOrEqual: (a, b) => Number(a <= b),
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
};

/** For each element of a tensor of `shape`, the index of the element of `operand` that it is computed from. */
function sources(shape: StaticShape, operand: StaticShape): number[] {
  const lead = shape.length - operand.length;
  const own = stridesOf(operand);
  const strides = stridesOf(shape);
  return Array.from({ length: elements(shape) }, (_, at) =>
    operand.reduce((sum, size, i) => sum + ((Math.floor(at / strides[i + lead]!) % shape[i + lead]!) % size) * own[i]!, 0),
  );
}

export const offline = defineOffline(op, {
  onnx: {
    Add: scalarOr(
      'add',
      (c) => [step('affine', 1, c)],
      (c) => [step('affine', 1, c)],
    ),
    Sub: scalarOr(
      'sub',
      (c) => [step('affine', 1, -c)],
      (c) => [step('affine', -1, c)],
    ),
    Mul: scalarOr(
      'mul',
      (c) => [step('affine', c)],
      (c) => [step('affine', c)],
    ),
    Div: scalarOr(
      'div',
      (c) => [step('affine', 1 / c)],
      (c) => [step('reciprocal'), step('affine', c)],
    ),
    Pow(n, emit) {
      const [a, b] = [n.input(0), n.input(1)];
      const real = (x: Ref) => (x.type.dtype === 'f32' ? x : emit('cast', [x], { to: 'f32' }));
      const y = scalarOr('pow', powerSteps)(n, emit, real(a), real(b));
      return a.type.dtype === 'f32' ? y : emit('cast', [y], { to: a.type.dtype });
    },
    Mod(n, emit) {
      const a = n.input(0);
      if ((a.type.dtype === 'f32') !== (n.int('fmod', 0) === 1)) return n.unsupported('fmod that does not go with the type');
      return emit('binary', [a, n.input(1)], { fn: 'mod' });
    },
    PRelu(n, emit) {
      const [x, slope] = [n.input(0), n.input(1)];
      const rank = x.type.shape.length;
      // Before opset 7 a vector had a slope for each channel.
      const channels = n.opset < 7 && slope.type.shape.length === 1 && slope.type.shape[0] !== 1 && rank > 2;
      const aligned = channels
        ? emit('reshape', [slope], { shape: [...slope.type.shape, ...x.type.shape.slice(2).map(() => 1)] })
        : slope;
      return scalarOr('prelu', (c) => [step('leakyRelu', c)])(n, emit, x, aligned);
    },
    Max: variadic('max', (c) => [c === 0 ? step('relu') : step('clip', c, Number.POSITIVE_INFINITY)]),
    Min: variadic('min', (c) => [step('clip', Number.NEGATIVE_INFINITY, c)]),
    Sum: variadic('add'),
    Mean(n, emit) {
      const sum = variadic('add')(n, emit);
      return n.inputs.length === 1 ? sum : emit('unary', [sum], { steps: [step('affine', 1 / n.inputs.length)] });
    },
    Equal: comparison('equal'),
    Greater: comparison('greater'),
    Less: comparison('less'),
    GreaterOrEqual: comparison('greaterOrEqual'),
    LessOrEqual: comparison('lessOrEqual'),
    And: (n, emit) => emit('binary', [n.input(0), n.input(1)], { fn: 'and' }),
    Or: (n, emit) => emit('binary', [n.input(0), n.input(1)], { fn: 'or' }),
    Xor: (n, emit) => emit('binary', [n.input(0), n.input(1)], { fn: 'xor' }),
    Not: (n, emit) => emit('binary', [n.input(0), emit.constant('bool', [], [1])], { fn: 'xor' }),
  },
  reference([a, b], attrs, [y]) {
    const { dtype, quant: qa } = a!.type;
    const [fromA, fromB] = [sources(y!.shape, a!.type.shape), sources(y!.shape, b!.type.shape)];
    const formula = FORMULAS[attrs.fn];
    const one = (i: number): number => {
      const [p, q] = [a!.data[fromA[i]!]!, b!.data[fromB[i]!]!];
      if (dtype !== 'i8') return evaluateSteps(attrs.act, formula(p, q, dtype));
      const [za, zb] = [qa!.zero, b!.type.quant!.zero];
      const [ma, mb] = attrs.multipliers;
      const sum = attrs.fn === 'mul' ? (p - za) * (q - zb) * ma! : p * ma! + q * mb!;
      const level = Math.floor((sum + constantOf(attrs, za, zb)) / 2 ** attrs.shift);
      return Math.min(Math.max(level, attrs.range[0]!), attrs.range[1]!);
    };
    return [Float64Array.from(fromA, (_, i) => one(i))];
  },
  gradient({ inputs: [a, b], y, dy, attrs: { fn }, emit }) {
    const rule = a!.type.dtype === 'f32' ? GRADIENTS[fn] : undefined;
    return rule?.({ a: a!, b: b!, y, dy, ...arithmetic(emit) }).map((g, i) => g && sumTo(emit, g, staticShape([a!, b!][i]!)));
  },
  accuracy: { abs: 1e-6, rel: 2e-6 },
  cases: casesOf(),
});

type Rule = (at: { a: Ref; b: Ref; y: Ref; dy: Ref } & Arithmetic) => readonly [Ref | undefined, Ref | undefined];

/** Gradients by a and b, of the output's shape. Where both operands are the maximum it goes to a. */
const GRADIENTS: Readonly<Partial<Record<BinaryFn, Rule>>> = {
  add: ({ dy }) => [dy, dy],
  sub: ({ dy, unary }) => [dy, unary(dy, 'neg')],
  mul: ({ a, b, dy, mul }) => [mul(dy, b), mul(dy, a)],
  div({ b, y, dy, div, mul, unary }) {
    const da = div(dy, b);
    return [da, unary(mul(da, y), 'neg')];
  },
  max: ({ a, b, dy, mask, mul }) => [mul(dy, mask(a, 'greaterOrEqual', b)), mul(dy, mask(a, 'less', b))],
  min: ({ a, b, dy, mask, mul }) => [mul(dy, mask(a, 'lessOrEqual', b)), mul(dy, mask(a, 'greater', b))],
  mod: ({ a, b, y, dy, sub, div, mul, unary }) => [dy, unary(mul(dy, div(sub(a, y), b)), 'neg')],
  pow: ({ a, b, y, dy, div, mul, unary }) => [mul(dy, mul(b, div(y, a))), mul(dy, mul(y, unary(a, 'log')))],
  prelu({ a, b, dy, add, mul, sub, mask }) {
    const negative = mask(a, 'less', 0);
    return [mul(dy, add(1, mul(negative, sub(b, 1)))), mul(dy, mul(a, negative))];
  },
};

type Convert = (n: OnnxNode, emit: Emit, a?: Ref, b?: Ref) => Ref;

/**
 * The operator, or the unary program that it is when one operand is a known number: `right` for x fn c, `left` for
 * c fn x.
 */
function scalarOr(fn: BinaryFn, right: (c: number) => Step[], left?: (c: number) => Step[]): Convert {
  return (n, emit, a = n.input(0), b = n.input(1)) => {
    const program = (x: Ref, c: number | undefined, make: ((c: number) => Step[]) | undefined) =>
      c !== undefined && make ? emit('unary', [x], { steps: make(c) }) : undefined;
    return program(a, scalar(b, a), right) ?? program(b, scalar(a, b), left) ?? emit('binary', [a, b], { fn });
  };
}

/** The number that the operand `c` of an f32 operation with x is, when it is one and does not change x's shape. */
function scalar(c: Ref, x: Ref): number | undefined {
  if (x.type.dtype !== 'f32' || c.type.dtype !== 'f32' || c.data?.length !== 1) return undefined;
  return c.type.shape.length <= x.type.shape.length ? c.data[0] : undefined;
}

function powerSteps(c: number): Step[] {
  if (c === 1) return [];
  if (c === 2) return [step('square')];
  if (c === 0.5) return [step('sqrt')];
  if (c === -1) return [step('reciprocal')];
  return [step('power', c)];
}

/** A left fold over any number of inputs. */
function variadic(fn: BinaryFn, withScalar?: (c: number) => Step[]): (n: OnnxNode, emit: Emit) => Ref {
  const convert: Convert = withScalar ? scalarOr(fn, withScalar, withScalar) : (_, emit, a, b) => emit('binary', [a, b], { fn });
  return (n, emit) => n.inputs.slice(1).reduce<Ref>((y, _, i) => convert(n, emit, y, n.input(i + 1)), n.input(0));
}

function comparison(fn: BinaryFn): FromOnnx {
  return (n, emit) => {
    const numeric = (x: Ref) => (x.type.dtype === 'f32' || x.type.dtype === 'i32' ? x : emit('cast', [x], { to: 'i32' }));
    return emit('binary', [numeric(n.input(0)), numeric(n.input(1))], { fn });
  };
}

type Attributes = AttrsOf<typeof op.attrs>;

/** Broadcasting patterns for every family, and every function on one of them. */
function casesOf(): Case<Attributes>[] {
  const patterns: [number[], number[]][] = [
    [[7], [7]],
    [[2, 3, 5, 4], [1]],
    [[], [3, 3]],
    [[2, 5, 6, 17], [17]],
    [
      [2, 5, 6, 8],
      [2, 1, 1, 8],
    ],
    [
      [5, 1],
      [1, 7],
    ],
    [
      [4, 6, 3],
      [6, 1],
    ],
    [
      [3, 1, 5, 1, 3],
      [1, 4, 1, 2, 1],
    ],
    [
      [1, 3],
      [2, 4, 1],
    ],
    [[1023], [1]],
    [
      [2, 2051],
      [2, 1],
    ],
    [[0, 4], [4]],
    [[1, 1, 1], [1]],
  ];
  const list: Case<Attributes>[] = patterns.map(([a, b]) => ({
    name: `add ${a} and ${b}`,
    inputs: [a, b],
    attrs: { fn: 'add' },
  }));
  const pair = (fn: BinaryFn, dtype: 'f32' | 'i32' | 'bool', low: [number, number], high: [number, number]) => {
    for (const [a, b] of [
      [[3, 37], [37]],
      [
        [3, 5],
        [3, 1],
      ],
      [[1], [19]],
    ] as const)
      list.push({
        name: `${fn} of ${dtype} ${a} and ${b}`,
        inputs: [
          { shape: a, dtype, range: low },
          { shape: b, dtype, range: high },
        ],
        attrs: { fn },
      });
  };
  for (const fn of ['add', 'sub', 'mul', 'max', 'min', 'prelu'] as const) pair(fn, 'f32', [-3, 3], [-3, 3]);
  pair('div', 'f32', [-3, 3], [0.25, 4]);
  pair('mod', 'f32', [-9, 9], [0.5, 4]);
  pair('pow', 'f32', [0.1, 3], [-3, 3]);
  for (const fn of ['add', 'sub', 'mul', 'max', 'min', 'div', 'mod'] as const) pair(fn, 'i32', [-40, 40], [-5, 5]);
  for (const fn of ['equal', 'greater', 'less', 'greaterOrEqual', 'lessOrEqual'] as const) {
    pair(fn, 'f32', [-1, 1], [-1, 1]);
    pair(fn, 'i32', [-2, 2], [-2, 2]);
  }
  for (const fn of ['and', 'or', 'xor'] as const) pair(fn, 'bool', [0, 1], [0, 1]);
  list.push(
    {
      name: 'equal values',
      inputs: [
        { shape: [5], data: [0, 1, -1, 0.5, 3] },
        { shape: [5], data: [0, 1, 1, 0.25, 3] },
      ],
      attrs: { fn: 'equal' },
    },
    {
      name: 'results as large as an operand',
      inputs: [
        [1, 8],
        [4, 1],
      ],
      attrs: { fn: 'greater' },
    },
    ...(['f32', 'i32', 'bool'] as const).map((dtype) => ({
      name: `whole fours of ${dtype}`,
      inputs: [
        { shape: [2, 3, 8], dtype, range: [0, 1] as const },
        { shape: [2, 1, 8], dtype, range: [0, 1] as const },
      ],
      attrs: { fn: dtype === 'bool' ? ('xor' as const) : ('less' as const) },
    })),
    { name: 'activation', inputs: [[3, 1100], [1100]], attrs: { fn: 'add', act: [step('affine', 3, 0.5), step('hardSwish')] } },
    {
      name: 'i32 extremes',
      inputs: [
        { shape: [4], dtype: 'i32', data: [-2147483648, 2147483647, 7, -7] },
        { shape: [4], dtype: 'i32', data: [3, -2, 0, -2147483648] },
      ],
      attrs: { fn: 'mod' },
    },
  );
  const levels = Array.from({ length: 256 }, (_, i) => i - 128);
  const quantised = (shape: number[], zero: number, data?: number[]) => ({
    shape,
    dtype: 'i8' as const,
    quant: { scale: 0.05, zero },
    ...(data && { data }),
  });
  const sums: [BinaryFn, number[], number][] = [
    ['add', [16384, 12345], 14],
    ['add', [32767, 900], 15],
    ['add', [20000, 32767], 20],
    ['sub', [9000, -16384], 14],
    ['mul', [16383], 22],
    ['mul', [300], 12],
  ];
  sums.forEach(([fn, multipliers, shift], i) => {
    const zero = [-128, -3, 0, 127, 12, 5][i]!;
    const attrs: Partial<Attributes> = { fn, multipliers, shift, quant: { scale: 0.1, zero } };
    for (const [a, b] of [
      [
        [2, 3, 5, 24],
        [2, 1, 1, 24],
      ],
      [[37], [37]],
      [[5, 7], [1]],
      [[1], [1100]],
      [
        [3, 1],
        [1, 5],
      ],
    ] as const)
      list.push({
        name: `i8 ${fn} ${a} and ${b}, shift ${shift}`,
        inputs: [quantised([...a], 7), quantised([...b], -20)],
        attrs,
      });
    list.push({
      name: `i8 ${fn} of all pairs of levels, shift ${shift}`,
      inputs: [quantised([256, 1], -128, levels), quantised([256], 127, levels)],
      attrs: { ...attrs, range: i % 2 ? [-128, 127] : [Math.min(zero, 27), Math.min(zero, 27) + 100] },
    });
  });
  return list;
}
