/**
 * Functions that exporters spell out in small nodes, recognised as the operators they are: HardSwish, SiLU, GELU, Mish,
 * LeakyReLU, layer normalisation. Each rule looks back from the last node of the spelling; what only it read falls away.
 */
import { sameShape } from '../../core/shape';
import type { Graph, Value } from '../../graph/ir';
import { type Rule, rewrite } from '../../graph/rewrite';
import type { Step } from '../../ops/define';
import { step } from '../../ops/steps';
import { asSteps, binaryOf, channelsOf, MAX_STEPS, madeBy, stepsOf } from './match';
import { areSteps, near, simplifySteps } from './steps';

export const recognise = (graph: Graph): Graph =>
  rewrite(graph, power, chain, gate, gateWithSkip, square, leaky, normalise, scaleNorm);

/** A unary over a unary that nothing else reads; programs in their shortest form. */
const chain: Rule = ({ node, inputs: [x], only, emit }) => {
  if (node.op.name !== 'unary') return undefined;
  const own = stepsOf(node, 'steps');
  const found = only(0) ? asSteps(x!) : undefined;
  const before = found && found.steps.length + own.length <= MAX_STEPS ? found : { from: x!, steps: [] };
  const steps = simplifySteps([...before.steps, ...own]);
  if (steps.length === 0) return before.from;
  return before.steps.length === 0 && steps.length === own.length ? undefined : emit('unary', [before.from], { steps });
};

/** x * f(x), where that has a name. */
const gate: Rule = ({ node, inputs: [a, b], emit }) => {
  if (node.op.name !== 'binary' || node.attrs.fn !== 'mul') return undefined;
  for (const [x, y] of [
    [a!, b!],
    [b!, a!],
  ] as const) {
    const named = gated(x, y);
    if (named) return emit('unary', [named.from], { steps: simplifySteps([...named.steps, ...stepsOf(node, 'act')]) });
  }
  return undefined;
};

/** The program that `x * y` is when y is a gate on what x is, up to a factor. */
function gated(x: Value, y: Value): { from: Value; steps: Step[] } | undefined {
  const right = asSteps(y);
  const left = right.from === x ? { from: x, steps: [] } : asSteps(x);
  if (left.from !== right.from || right.steps.length === 0) {
    const tanh = tanhGelu(x, right);
    return tanh && { from: tanh.from, steps: tanh.steps };
  }
  const [scale] = left.steps;
  if (left.steps.length > 1 || (scale && (scale.fn !== 'affine' || scale.b !== 0))) return undefined;
  const steps = gateSteps(right.steps);
  return steps && { from: left.from, steps: [...steps, step('affine', scale?.a ?? 1)] };
}

/** x * f(x) as a program, for the f that have one. */
function gateSteps(f: readonly Step[]): Step[] | undefined {
  const [p, q, r] = f as [Step, Step, Step];
  if (areSteps(f, 'hardSigmoid') && near(p.a, 1 / 6) && near(p.b, 0.5)) return [step('hardSwish')];
  if (areSteps(f, 'affine', 'clip') && q.a === 0) {
    const scale = 1 / q.b;
    const isHardSwish = Number.isFinite(q.b) && near(p.a * scale, 1 / 6) && near(p.b * scale, 0.5);
    return isHardSwish ? [step('hardSwish'), step('affine', q.b)] : undefined;
  }
  if (areSteps(f, 'sigmoid')) return [step('silu')];
  if (areSteps(f, 'affine', 'sigmoid') && p.b === 0) return [step('affine', p.a), step('silu'), step('affine', 1 / p.a)];
  if (areSteps(f, 'softplus', 'tanh')) return [step('mish')];
  if (areSteps(f, 'square')) return [step('power', 3)];
  if (areSteps(f, 'affine', 'erf', 'affine') && near(p.a, Math.SQRT1_2) && p.b === 0 && near(r.a, r.b))
    return [step('gelu'), step('affine', 2 * r.a)];
  return undefined;
}

/** x * c * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x^3))); `gate` is what is multiplied with x (or a multiple of it). */
function tanhGelu(x: Value, gate: { from: Value; steps: readonly Step[] }): { from: Value; steps: Step[] } | undefined {
  const [p, , r] = gate.steps as [Step, Step, Step];
  if (!areSteps(gate.steps, 'affine', 'tanh', 'affine') || !near(p.a, Math.sqrt(2 / Math.PI)) || p.b !== 0 || !near(r.a, r.b))
    return undefined;
  const sum = binaryOf(gate.from, 'add');
  const left = asSteps(x);
  for (const [plain, cube] of sum ? [sum.inputs, [...sum.inputs].reverse()] : []) {
    const { from, steps } = asSteps(cube!);
    const scale =
      plain === x ? 1 : left.from === plain && areSteps(left.steps, 'affine') && left.steps[0]!.b === 0 ? left.steps[0]!.a : 0;
    if (from !== plain || scale === 0 || !areSteps(steps, 'power', 'affine')) continue;
    if (steps[0]!.a === 3 && near(steps[1]!.a, 0.044715) && steps[1]!.b === 0)
      return { from, steps: [step('geluTanh'), step('affine', 2 * r.a * scale)] };
  }
  return undefined;
}

/** x + x * g = x * (1 + g), which touches x once, where g is smaller: squeeze-and-excitation with a skip. */
const gateWithSkip: Rule = ({ node, inputs, only, emit }) => {
  if (node.op.name !== 'binary' || node.attrs.fn !== 'add') return undefined;
  for (const i of [0, 1]) {
    const [x, product] = [inputs[1 - i]!, only(i) ? binaryOf(inputs[i], 'mul') : undefined];
    const g = product?.inputs[0] === x ? product.inputs[1] : product?.inputs[1] === x ? product.inputs[0] : undefined;
    if (!g || g === x || g.type.dtype !== 'f32' || sameShape(g.type.shape, x.type.shape)) continue;
    if (!sameShape(node.outputs[0]!.type.shape, x.type.shape)) continue;
    const more = emit('unary', [g], { steps: [step('affine', 1, 1)] }, `${node.name}.gate`);
    return emit('binary', [x, more], { fn: 'mul', act: node.attrs.act! });
  }
  return undefined;
};

const square: Rule = ({ node, inputs: [a, b], emit }) =>
  node.op.name === 'binary' && node.attrs.fn === 'mul' && a === b && a!.type.dtype === 'f32'
    ? emit('unary', [a], { steps: [step('square'), ...stepsOf(node, 'act')] })
    : undefined;

/** Powers that are functions of their own. */
const power: Rule = ({ node, inputs: [x], emit }) => {
  const steps = node.op.name === 'unary' ? stepsOf(node, 'steps') : [];
  const at = steps.findIndex(({ fn, a }) => fn === 'power' && POWERS.has(a));
  return at < 0 ? undefined : emit('unary', [x], { steps: steps.toSpliced(at, 1, ...POWERS.get(steps[at]!.a)!) });
};

const POWERS: ReadonlyMap<number, readonly Step[]> = new Map([
  [2, [step('square')]],
  [1, []],
  [0.5, [step('sqrt')]],
  [-1, [step('reciprocal')]],
  [-0.5, [step('sqrt'), step('reciprocal')]],
]);

/** max(x, a * x) with 0 < a < 1. */
const leaky: Rule = ({ node, inputs: [a, b], emit }) => {
  if (node.op.name !== 'binary' || node.attrs.fn !== 'max') return undefined;
  for (const [x, scaled] of [
    [a!, b!],
    [b!, a!],
  ] as const) {
    const { from, steps } = asSteps(scaled);
    const [slope] = steps;
    if (from === x && areSteps(steps, 'affine') && slope!.b === 0 && slope!.a > 0 && slope!.a < 1)
      return emit('unary', [x], { steps: simplifySteps([step('leakyRelu', slope!.a), ...stepsOf(node, 'act')]) });
  }
  return undefined;
};

/** The mean over the last axis, which stays as 1. */
function meanOfLast(x: Value | undefined): Value | undefined {
  const node = madeBy(x, 'reduce');
  const of = node?.inputs[0];
  const axes = node?.attrs.axes as readonly number[];
  return node?.attrs.fn === 'mean' && node.attrs.keepdims && axes.length === 1 && axes[0] === of!.type.shape.length - 1
    ? of
    : undefined;
}

/** d / sqrt(mean(d^2) + epsilon) with d = x - mean(x). */
const normalise: Rule = ({ node, inputs: [d, deviation], emit }) => {
  const isDivision = node.op.name === 'binary' && node.attrs.fn === 'div';
  const isProduct = node.op.name === 'binary' && node.attrs.fn === 'mul';
  if ((!isDivision && !isProduct) || !d || !deviation) return undefined;
  for (const [centred, scale] of isProduct
    ? ([
        [d, deviation],
        [deviation, d],
      ] as const)
    : ([[d, deviation]] as const)) {
    const epsilon = varianceEpsilon(scale, centred, isProduct);
    const centring = binaryOf(centred, 'sub');
    if (epsilon === undefined || !centring || meanOfLast(centring.inputs[1]) !== centring.inputs[0]) continue;
    const normal = emit('layerNorm', [centring.inputs[0]], { epsilon });
    const act = stepsOf(node, 'act');
    return act.length ? emit('unary', [normal], { steps: act }) : normal;
  }
  return undefined;
};

/** `epsilon` when `x` is sqrt(mean(d^2) + epsilon), or its reciprocal. */
function varianceEpsilon(x: Value, d: Value, inverse: boolean): number | undefined {
  const { from, steps } = asSteps(x);
  const [shift] = steps;
  if (!areSteps(steps, 'affine', 'sqrt', ...(inverse ? ['reciprocal'] : [])) || shift!.a !== 1) return undefined;
  const squares = asSteps(meanOfLast(from) ?? from);
  return squares.from === d && areSteps(squares.steps, 'square') ? shift!.b : undefined;
}

/** Layer normalisation's scale and shift, which follow it as a product and a sum. */
const scaleNorm: Rule = ({ node, inputs, only, emit, floats }) => {
  const { fn } = node.attrs;
  if (node.op.name !== 'binary' || (fn !== 'mul' && fn !== 'add') || stepsOf(node, 'act').length) return undefined;
  for (const i of [0, 1]) {
    const norm = madeBy(inputs[i], 'layerNorm');
    const [x, gamma, beta] = norm?.inputs ?? [];
    const channels = x?.type.shape.at(-1);
    const rank = x?.type.shape.length ?? 0;
    const c = typeof channels === 'number' ? channelsOf(inputs[1 - i], channels, rank) : undefined;
    if (!norm || !c || !only(i)) continue;
    const [g, b] = [gamma, beta].map((v) => v?.data);
    if (fn === 'add') {
      const shift = floats([c.length], b ? c.map((v, k) => v + b[k]!) : c);
      return emit(
        'layerNorm',
        [
          x,
          gamma ??
            floats(
              [c.length],
              c.map(() => 1),
            ),
          shift,
        ],
        norm.attrs,
      );
    }
    const scale = floats([c.length], g ? c.map((v, k) => v * g[k]!) : c);
    return emit(
      'layerNorm',
      [
        x,
        scale,
        beta &&
          floats(
            [c.length],
            c.map((v, k) => v * b![k]!),
          ),
      ],
      norm.attrs,
    );
  }
  return undefined;
};
