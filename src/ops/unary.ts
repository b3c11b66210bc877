/** Unary: a program of unary functions on every element. The functions are the rows of steps.ts. */
import { WaferError } from '../core/errors';
import { elements } from '../core/shape';
import { type Case, defineOffline, defineOp, type FromOnnx, type OnnxNode, type Ref, type Step, steps } from './define';
import { type Arithmetic, arithmetic, type Operand } from './gradient';
import { encodeSteps, evaluateSteps, STEP_FUNCTIONS, type StepName, shaderSteps, step, stepCode } from './steps';

/** Elements in one row of `f32_steps`. */
const BLOCK = 1024;

export const op = defineOp({
  name: 'unary',
  inputs: ['x'],
  attrs: { steps: steps() },
  infer([x], { steps }) {
    if (x!.dtype !== 'f32') throw new WaferError('DTYPE', `takes f32, got ${x!.dtype}`);
    for (const { fn } of steps) stepCode(fn);
    return [x!];
  },
  inplace: [0],
  wasm({ inputs: [x], outputs: [y], attrs, constant }) {
    const n = elements(x!.type.shape);
    const program = constant('program', () => encodeSteps(attrs.steps));
    return [{ kernel: 'f32_steps', args: [x!, y!, n, program], rows: Math.ceil(n / BLOCK) }];
  },
  webgpu({ inputs: [x], outputs: [y], attrs }) {
    const n = elements(x!.type.shape);
    const { ACT, constants } = shaderSteps(attrs.steps);
    const threads = Math.ceil(n / 4);
    return [{ shader: 'unary', flags: { ACT }, reads: [x!], writes: [y!], threads, uniforms: [n, ...constants] }];
  },
});

const FUNCTIONS = Object.entries(STEP_FUNCTIONS) as [StepName, (typeof STEP_FUNCTIONS)[StepName]][];

/** Operators that are one row of the table. */
const ROWS: Record<string, FromOnnx> = Object.fromEntries(
  FUNCTIONS.flatMap(([fn, { onnx }]) => {
    if (!onnx) return [];
    const convert: FromOnnx = (n, emit) => {
      const [a, b] = Object.entries(onnx.attributes ?? {}).map(([name, otherwise]) => n.float(name, otherwise));
      return emit('unary', [n.input(0)], { steps: [step(fn, a, b)] });
    };
    return [[onnx.type, convert]];
  }),
);

export const offline = defineOffline(op, {
  onnx: {
    ...ROWS,
    Neg: (n, emit) => integer(n, (x, zero) => emit('binary', [zero(), x], { fn: 'sub' }), emit) ?? ROWS.Neg!(n, emit),
    Abs: (n, emit) =>
      integer(n, (x, zero) => emit('binary', [x, emit('binary', [zero(), x], { fn: 'sub' })], { fn: 'max' }), emit) ??
      ROWS.Abs!(n, emit),
    Relu: (n, emit) => integer(n, (x, zero) => emit('binary', [x, zero()], { fn: 'max' }), emit) ?? ROWS.Relu!(n, emit),
    Clip(n, emit) {
      const x = n.input(0);
      const bound = (i: number, name: string): { value: number | undefined; ref?: Ref | undefined } => {
        if (n.opset < 11) return { value: n.has(name) ? n.float(name) : undefined };
        return { value: n.inputs[i] && n.numbers(i)?.[0], ref: n.inputs[i] };
      };
      const [low, high] = [bound(1, 'min'), bound(2, 'max')];
      const known = [low, high].every(({ value, ref }) => value !== undefined || !ref);
      if (x.type.dtype === 'f32' && known) {
        if (low.value === 0 && high.value === undefined) return emit('unary', [x], { steps: [step('relu')] });
        const [a, b] = [low.value ?? Number.NEGATIVE_INFINITY, high.value ?? Number.POSITIVE_INFINITY];
        return emit('unary', [x], { steps: [step('clip', a, b)] });
      }
      const raised = low.ref ? emit('binary', [x, low.ref], { fn: 'max' }) : x;
      return high.ref ? emit('binary', [raised, high.ref], { fn: 'min' }) : raised;
    },
    Gelu(n, emit) {
      const fn = n.string('approximate', 'none') === 'tanh' ? 'geluTanh' : 'gelu';
      return emit('unary', [n.input(0)], { steps: [step(fn)] });
    },
    'com.microsoft:Gelu': (n, emit) => emit('unary', [n.input(0)], { steps: [step('gelu')] }),
    'com.microsoft:FastGelu': (n, emit) =>
      n.inputs[1]
        ? emit('unary', [emit('binary', [n.input(0), n.input(1)], { fn: 'add' })], { steps: [step('geluTanh')] })
        : emit('unary', [n.input(0)], { steps: [step('geluTanh')] }),
    Selu(n, emit) {
      const alpha = n.float('alpha', 1.6732631921768188);
      const gamma = n.float('gamma', 1.0507010221481323);
      return emit('unary', [n.input(0)], { steps: [step('elu', alpha), step('affine', gamma)] });
    },
    Celu(n, emit) {
      const alpha = n.float('alpha', 1);
      return emit('unary', [n.input(0)], { steps: [step('affine', 1 / alpha), step('elu', 1), step('affine', alpha)] });
    },
  },
  reference: ([x], { steps }) => [x!.data.map((value) => evaluateSteps(steps, value))],
  gradient({ inputs: [x], y, dy, attrs: { steps: program }, emit }) {
    const [only, ...more] = program;
    if (!only) return [dy];
    if (more.length) return undefined;
    const slope = STEP_GRADIENTS[only.fn as StepName];
    const by = slope?.({ x: x!, y, a: only.a, b: only.b, ...arithmetic(emit) });
    return [by === undefined ? undefined : arithmetic(emit).mul(dy, by)];
  },
  accuracy: { abs: 1e-6, rel: 2e-6 },
  cases: casesOf(),
});

/** y' by x of each function, in terms of both; undefined where it is 0 wherever it exists. */
type Slope = (at: { x: Ref; y: Ref; a: number; b: number } & Arithmetic) => Operand;

const STEP_GRADIENTS: Readonly<Record<StepName, Slope | undefined>> = {
  relu: ({ y, unary }) => unary(y, 'sign'),
  clip: ({ x, a, b, mul, mask }) => mul(mask(x, 'greater', a), mask(x, 'less', b)),
  leakyRelu: ({ x, a, unary, mask }) => unary(mask(x, 'less', 0), ['affine', a - 1, 1]),
  sigmoid: ({ y, mul, sub }) => mul(y, sub(1, y)),
  hardSigmoid: ({ y, a, unary, mul, mask }) => unary(mul(mask(y, 'greater', 0), mask(y, 'less', 1)), ['affine', a]),
  hardSwish: ({ x, unary, add, mul, mask }) =>
    add(unary(x, ['affine', 1 / 6, 0.5], ['clip', 0, 1]), mul(mask(unary(x, 'abs'), 'less', 3), unary(x, ['affine', 1 / 6]))),
  silu({ x, y, unary, add, mul, sub }) {
    const s = unary(x, 'sigmoid');
    return add(s, mul(y, sub(1, s)));
  },
  tanh: ({ y, unary }) => unary(y, 'square', ['affine', -1, 1]),
  exp: ({ y }) => y,
  log: ({ x, unary }) => unary(x, 'reciprocal'),
  sqrt: ({ y, unary }) => unary(y, 'reciprocal', ['affine', 0.5]),
  abs: ({ x, unary }) => unary(x, 'sign'),
  neg: () => -1,
  reciprocal: ({ y, unary }) => unary(y, 'square', 'neg'),
  erf: ({ x, unary }) => unary(x, 'square', 'neg', 'exp', ['affine', 2 / Math.sqrt(Math.PI)]),
  gelu({ x, unary, add, mul }) {
    const density = unary(x, 'square', ['affine', -0.5], 'exp', ['affine', 1 / Math.sqrt(2 * Math.PI)]);
    return add(unary(x, ['affine', Math.SQRT1_2], 'erf', ['affine', 0.5, 0.5]), mul(x, density));
  },
  geluTanh({ x, unary, add, mul, sub }) {
    const [c, square] = [2 * Math.sqrt(2 / Math.PI), unary(x, 'square')];
    const s = unary(mul(x, unary(square, ['affine', 0.044715 * c, c])), 'sigmoid');
    return add(s, mul(mul(x, mul(s, sub(1, s))), unary(square, ['affine', 3 * 0.044715 * c, c])));
  },
  softplus: ({ x, unary }) => unary(x, 'sigmoid'),
  softsign: ({ x, unary }) => unary(x, 'abs', ['affine', 1, 1], 'square', 'reciprocal'),
  elu: ({ x, y, a, unary, add, mul, mask }) =>
    add(mask(x, 'greater', 0), mul(mask(x, 'lessOrEqual', 0), unary(y, ['affine', 1, a]))),
  mish({ x, unary, add, mul }) {
    const t = unary(x, 'softplus', 'tanh');
    return add(t, mul(mul(x, unary(x, 'sigmoid')), unary(t, 'square', ['affine', -1, 1])));
  },
  floor: undefined,
  ceil: undefined,
  round: undefined,
  sign: undefined,
  square: ({ x, unary }) => unary(x, ['affine', 2]),
  power: ({ x, a, unary }) => unary(x, ['power', a - 1], ['affine', a]),
  affine: ({ a }) => a,
  sin: ({ x, unary }) => unary(x, 'cos'),
  cos: ({ x, unary }) => unary(x, 'sin', 'neg'),
};

/** The node's replacement when its input is i32, which the table does not take. `zero` makes the constant 0. */
function integer(n: OnnxNode, replace: (x: Ref, zero: () => Ref) => Ref, emit: Parameters<FromOnnx>[1]): Ref | undefined {
  const x = n.input(0);
  return x.type.dtype === 'i32' ? replace(x, () => emit.constant('i32', [], [0])) : undefined;
}

/** Every function on ordinary and on extreme values, and programs on lengths around the kernel's units. */
function casesOf(): Case<{ steps: readonly Step[] }>[] {
  const parameters: Partial<Record<StepName, [number, number]>> = {
    clip: [-0.5, 6],
    leakyRelu: [0.1, 0],
    hardSigmoid: [0.2, 0.5],
    elu: [1.5, 0],
    power: [1.7, 0],
    affine: [-2.5, 0.75],
  };
  const positive = new Set<StepName>(['log', 'sqrt', 'power']);
  const ties = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 0, -3];
  const list: Case<{ steps: readonly Step[] }>[] = FUNCTIONS.flatMap(([fn]) => {
    const [a, b] = parameters[fn] ?? [0, 0];
    const low = positive.has(fn) ? 1e-3 : -9;
    return [
      { name: fn, inputs: [{ shape: [5, 37], range: [low, 9] }], attrs: { steps: [step(fn, a, b)] } },
      {
        name: `${fn} near zero`,
        inputs: [{ shape: [33], range: [positive.has(fn) ? 1e-7 : -1e-3, 1e-3] }],
        attrs: { steps: [step(fn, a, b)] },
      },
    ];
  });
  const program = [step('affine', 2, -1), step('hardSwish'), step('clip', -0.25, 4)];
  for (const n of [0, 1, 2, 3, 5, 7, 17, 1023, 1024, 1025, 4099])
    list.push({ name: `program of three, length ${n}`, inputs: [[n]], attrs: { steps: program } });
  list.push(
    { name: 'no steps', inputs: [[3, 5]], attrs: { steps: [] } },
    { name: 'scalar', inputs: [[]], attrs: { steps: [step('exp')] } },
    { name: 'ties to even', inputs: [{ shape: [9], data: ties }], attrs: { steps: [step('round')] } },
    { name: 'whole power of negatives', inputs: [{ shape: [41], range: [-3, 3] }], attrs: { steps: [step('power', 3)] } },
  );
  for (const fn of ['sigmoid', 'tanh', 'silu', 'gelu', 'geluTanh', 'softplus', 'elu', 'mish', 'hardSwish', 'erf', 'exp'] as const)
    list.push({
      name: `${fn} saturates`,
      inputs: [{ shape: [8], data: [-1e4, -120, -88.5, -30, 30, 60, 87, fn === 'exp' ? 88.5 : 1e4] }],
      attrs: { steps: [step(fn, 1)] },
    });
  return list;
}
