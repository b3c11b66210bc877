/**
 * Shape arithmetic: ONNX models compute shapes with ordinary nodes (Shape, Gather, Add, Concat …). Values whose elements
 * are known up to the model's free dimensions are evaluated here, symbolically, and never become nodes of the graph.
 * A function returns undefined when it cannot say: the node is then imported as data, or refused.
 */
import { add, type Dim, exactDivide, floorDivide, isStatic, multiply, sameDim, subtract } from '../../../core/dim';
import { normalizeAxis, stridesOf } from '../../../core/shape';
import { MAX_KNOWN } from './decode';

/** A tensor whose elements are known. Elements of type `bool` are 0 or 1; of type `float` they need not be integers. */
export interface Known {
  readonly type: 'int' | 'float' | 'bool';
  readonly shape: readonly number[];
  readonly elements: readonly Dim[];
}

export const isKnown = (x: object): x is Known => 'elements' in x;

/** What the evaluator asks of a node besides its inputs. */
export interface ShapeNode {
  readonly opType: string;
  readonly opset: number;
  has(attribute: string): boolean;
  int(attribute: string, otherwise?: number): number;
  ints(attribute: string, otherwise?: readonly number[]): number[];
}

/** Axes and the like: elements that are plain numbers, or undefined. */
export const staticElements = (x: Known | undefined): number[] | undefined =>
  x?.elements.every(isStatic) ? (x.elements as number[]) : undefined;

export const knownVector = (elements: readonly Dim[]): Known => ({ type: 'int', shape: [elements.length], elements });

type Evaluate = (inputs: readonly Known[], node: ShapeNode) => Known | undefined;

/** Operator types of shape arithmetic. */
export const isShapeOperator = (type: string): boolean => Object.hasOwn(FUNCTIONS, type);

/** Evaluates one node all of whose inputs are known. */
export function evaluateKnown(node: ShapeNode, inputs: readonly Known[]): Known | undefined {
  return isShapeOperator(node.opType) ? FUNCTIONS[node.opType]!(inputs, node) : undefined;
}

// ---- elementwise ----

type Combine = (a: Dim, b: Dim, type: Known['type']) => Dim | undefined;

const staticOnly =
  (f: (a: number, b: number) => number): Combine =>
  (a, b) =>
    isStatic(a) && isStatic(b) ? f(a, b) : undefined;

/** Free dimensions are at least 1: the smallest value of an expression none of whose terms is negative. */
function lowerBound(d: Dim): number | undefined {
  if (isStatic(d)) return d;
  let sum = 0;
  for (const { coefficient, atoms } of d.terms) {
    if (atoms.length === 0) sum += coefficient;
    else if (coefficient < 0 || atoms.some((a) => !('symbol' in a))) return undefined;
    else sum += coefficient;
  }
  return sum;
}

/** The sign of a - b where it is the same for all free dimensions. */
function compare(a: Dim, b: Dim): number | undefined {
  if (sameDim(a, b)) return 0;
  const over = lowerBound(subtract(a, b));
  if (over !== undefined && over > 0) return 1;
  const under = lowerBound(subtract(b, a));
  return under !== undefined && under > 0 ? -1 : undefined;
}

const comparison =
  (holds: (sign: number) => boolean): Combine =>
  (a, b) => {
    const sign = compare(a, b);
    return sign === undefined ? undefined : Number(holds(sign));
  };

const pick =
  (wanted: 1 | -1): Combine =>
  (a, b) => {
    const sign = compare(a, b);
    return sign === undefined ? undefined : sign === wanted || sign === 0 ? a : b;
  };

const divide: Combine = (a, b, type) => {
  if (isStatic(a) && isStatic(b)) return b === 0 ? undefined : type === 'float' ? a / b : Math.trunc(a / b);
  if (type === 'float') return isStatic(b) && !Number.isInteger(b) ? undefined : exactDivide(a, b);
  if (isStatic(b) && b > 0) return floorDivide(a, b);
  return exactDivide(a, b);
};

const modulo: Combine = (a, b) =>
  isStatic(b) && b > 0
    ? subtract(a, multiply(floorDivide(a, b), b))
    : staticOnly((p, q) => p - Math.floor(p / q) * q)(a, b, 'int');

/** Terms have integer coefficients, so only numbers may be multiplied by fractions. */
const times: Combine = (a, b) => {
  const fraction = (x: Dim) => isStatic(x) && !Number.isInteger(x);
  return (fraction(a) && !isStatic(b)) || (fraction(b) && !isStatic(a)) ? undefined : multiply(a, b);
};

const BINARY: Readonly<Record<string, Combine>> = {
  Add: add,
  Sub: subtract,
  Mul: times,
  Div: divide,
  Mod: modulo,
  Pow: staticOnly((a, b) => a ** b),
  Max: pick(1),
  Min: pick(-1),
  Equal: comparison((sign) => sign === 0),
  Less: comparison((sign) => sign < 0),
  Greater: comparison((sign) => sign > 0),
  LessOrEqual: comparison((sign) => sign <= 0),
  GreaterOrEqual: comparison((sign) => sign >= 0),
  And: staticOnly((a, b) => Number(a && b)),
  Or: staticOnly((a, b) => Number(a || b)),
};

const YIELDS_BOOL = new Set(['Equal', 'Less', 'Greater', 'LessOrEqual', 'GreaterOrEqual', 'And', 'Or']);

const UNARY: Readonly<Record<string, (a: Dim) => Dim | undefined>> = {
  Neg: (a) => multiply(a, -1),
  Abs: (a) => ((lowerBound(a) ?? -1) >= 0 ? a : isStatic(a) ? Math.abs(a) : undefined),
  Floor: (a) => (isStatic(a) ? Math.floor(a) : a),
  Ceil: (a) => (isStatic(a) ? Math.ceil(a) : a),
  Round: (a) => (isStatic(a) && Math.abs(a % 1) === 0.5 ? 2 * Math.round(a / 2) : isStatic(a) ? Math.round(a) : a),
  Sqrt: (a) => (isStatic(a) ? Math.sqrt(a) : undefined),
  Not: (a) => (isStatic(a) ? 1 - a : undefined),
};

/** NumPy broadcasting of small static shapes; element i of the result reads element `at[k][i]` of operand k. */
function broadcastIndices(shapes: readonly (readonly number[])[]): { shape: number[]; at: number[][] } | undefined {
  const rank = Math.max(...shapes.map((s) => s.length));
  const shape = Array.from({ length: rank }, (_, i) => {
    const sizes = shapes.map((s) => s[i - rank + s.length] ?? 1).filter((d) => d !== 1);
    return sizes[0] ?? 1;
  });
  for (const s of shapes) if (s.some((d, i) => d !== 1 && d !== shape[i + rank - s.length])) return undefined;
  const count = shape.reduce((n, d) => n * d, 1);
  if (count > MAX_KNOWN) return undefined;
  const strides = stridesOf(shape);
  const at = shapes.map((s) => {
    const own = stridesOf(s);
    return Array.from({ length: count }, (_, i) =>
      s.reduce((sum, d, j) => (d === 1 ? sum : sum + (Math.floor(i / strides[j + rank - s.length]!) % d) * own[j]!), 0),
    );
  });
  return { shape, at };
}

const rounded = (d: Dim, type: Known['type']): Dim => (type === 'float' && isStatic(d) ? Math.fround(d) : d);

function all(type: Known['type'], shape: readonly number[], elements: readonly (Dim | undefined)[]): Known | undefined {
  return elements.includes(undefined) ? undefined : { type, shape, elements: (elements as Dim[]).map((d) => rounded(d, type)) };
}

const elementwise: Evaluate = (inputs, { opType }) => {
  const combine = BINARY[opType]!;
  return inputs.slice(1).reduce<Known | undefined>((a, b) => {
    const indices = a && broadcastIndices([a.shape, b.shape]);
    if (!a || !indices) return undefined;
    const { shape, at } = indices;
    const elements = at[0]!.map((i, k) => combine(a.elements[i]!, b.elements[at[1]![k]!]!, a.type));
    return all(YIELDS_BOOL.has(opType) ? 'bool' : a.type, shape, elements);
  }, inputs[0]);
};

// ---- moves ----

/** Reads elements of `x` through a list of source positions. */
const gathered = (x: Known, shape: readonly number[], at: readonly number[]): Known => ({
  type: x.type,
  shape,
  elements: at.map((i) => x.elements[i]!),
});

const countOf = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

/** Visits every position of `shape` in order. */
function positions(shape: readonly number[]): number[][] {
  const strides = stridesOf(shape);
  return Array.from({ length: countOf(shape) }, (_, i) => shape.map((d, j) => Math.floor(i / strides[j]!) % d));
}

const offsetOf = (position: readonly number[], strides: readonly number[]): number =>
  position.reduce((sum, p, j) => sum + p * strides[j]!, 0);

const reshaped = (x: Known, shape: readonly number[]): Known | undefined =>
  countOf(shape) === x.elements.length ? { ...x, shape } : undefined;

/** `axes`, an attribute in old opsets and an input in newer ones. */
const axesOf = (node: ShapeNode, input: Known | undefined): number[] | undefined =>
  input ? staticElements(input) : node.has('axes') ? node.ints('axes') : undefined;

const slice: Evaluate = (inputs, node) => {
  const [x] = inputs;
  const rank = x!.shape.length;
  const old = node.opset < 10;
  const starts = old ? node.ints('starts') : staticElements(inputs[1]);
  const ends = old ? node.ints('ends') : staticElements(inputs[2]);
  const axes = old ? (node.has('axes') ? node.ints('axes') : undefined) : inputs[3] && staticElements(inputs[3]);
  const steps = inputs[4] ? staticElements(inputs[4]) : starts?.map(() => 1);
  if (!starts || !ends || !steps) return undefined;
  const kept = x!.shape.map((d) => Array.from({ length: d }, (_, i) => i));
  starts.forEach((start, k) => {
    const axis = normalizeAxis(axes?.[k] ?? k, rank);
    const d = x!.shape[axis]!;
    const step = steps[k]!;
    const clamp = (i: number) => Math.min(step > 0 ? d : d - 1, Math.max(step > 0 ? 0 : -1, i < 0 ? i + d : i));
    kept[axis] = [];
    for (let i = clamp(start); step > 0 ? i < clamp(ends[k]!) : i > clamp(ends[k]!); i += step) kept[axis].push(i);
  });
  const strides = stridesOf(x!.shape);
  const shape = kept.map((list) => list.length);
  return gathered(
    x!,
    shape,
    positions(shape).map((p) =>
      offsetOf(
        p.map((i, axis) => kept[axis]![i]!),
        strides,
      ),
    ),
  );
};

const gather: Evaluate = ([x, indices], node) => {
  const axis = normalizeAxis(node.int('axis', 0), x!.shape.length);
  const at = staticElements(indices);
  const d = x!.shape[axis]!;
  if (!at || at.some((i) => i < -d || i >= d)) return undefined;
  const inner = x!.shape.slice(axis + 1);
  const shape = [...x!.shape.slice(0, axis), ...indices!.shape, ...inner];
  const size = countOf(inner);
  const source: number[] = [];
  for (let outer = 0; outer < countOf(x!.shape.slice(0, axis)); outer++)
    for (const i of at) for (let k = 0; k < size; k++) source.push((outer * d + (i < 0 ? i + d : i)) * size + k);
  return gathered(x!, shape, source);
};

const concat: Evaluate = (inputs, node) => {
  const axis = normalizeAxis(node.int('axis'), inputs[0]!.shape.length);
  const outer = countOf(inputs[0]!.shape.slice(0, axis));
  const elements: Dim[] = [];
  for (let i = 0; i < outer; i++)
    for (const x of inputs) {
      const size = x.elements.length / outer;
      elements.push(...x.elements.slice(i * size, (i + 1) * size));
    }
  const along = inputs.reduce((n, x) => n + x.shape[axis]!, 0);
  return { type: inputs[0]!.type, shape: inputs[0]!.shape.map((d, i) => (i === axis ? along : d)), elements };
};

const reshape: Evaluate = ([x, target]) => {
  const wanted = staticElements(target)?.map((d, i) => (d === 0 ? (x!.shape[i] ?? 0) : d));
  if (!wanted) return undefined;
  const rest = wanted.reduce((n, d) => (d === -1 ? n : n * d), 1);
  return reshaped(
    x!,
    wanted.map((d) => (d === -1 ? x!.elements.length / rest : d)),
  );
};

const expand: Evaluate = ([x, target]) => {
  const shape = staticElements(target);
  const indices = shape && broadcastIndices([x!.shape, shape]);
  return indices && gathered(x!, indices.shape, indices.at[0]!);
};

const where: Evaluate = ([condition, a, b]) => {
  const chosen = staticElements(condition);
  const indices = chosen && broadcastIndices([condition!.shape, a!.shape, b!.shape]);
  if (!indices) return undefined;
  const [c, p, q] = indices.at;
  return all(
    a!.type,
    indices.shape,
    c!.map((i, k) => (chosen![i] ? a!.elements[p![k]!] : b!.elements[q![k]!])),
  );
};

const transpose: Evaluate = ([x], node) => {
  const perm = node.ints(
    'perm',
    x!.shape.map((_, i) => x!.shape.length - 1 - i),
  );
  const strides = stridesOf(x!.shape);
  const shape = perm.map((axis) => x!.shape[axis]!);
  return gathered(
    x!,
    shape,
    positions(shape).map((p) => p.reduce((sum, i, j) => sum + i * strides[perm[j]!]!, 0)),
  );
};

/** Reductions of a whole vector, which is all that shape arithmetic does. */
const reduce =
  (combine: Combine): Evaluate =>
  ([x, axes], node) => {
    const over = axesOf(node, axes);
    if (x!.shape.length !== 1 || x!.elements.length === 0 || (over && over.length !== 1)) return undefined;
    const [first, ...rest] = x!.elements;
    const result = rest.reduce<Dim | undefined>((a, b) => (a === undefined ? a : combine(a, b, x!.type)), first);
    return result === undefined ? undefined : { type: x!.type, shape: node.int('keepdims', 1) ? [1] : [], elements: [result] };
  };

const range: Evaluate = (inputs) => {
  const [start, limit, delta] = inputs.map((x) => staticElements(x)?.[0]);
  if (start === undefined || limit === undefined || !delta) return undefined;
  const length = Math.max(0, Math.ceil((limit - start) / delta));
  if (length > MAX_KNOWN) return undefined;
  return all(
    inputs[0]!.type,
    [length],
    Array.from({ length }, (_, i) => start + i * delta),
  );
};

/** ONNX TensorProto.DataType codes that are integers, floating point, and bool. */
const CAST_TYPES: Readonly<Record<number, Known['type']>> = { 1: 'float', 5: 'int', 6: 'int', 7: 'int', 9: 'bool', 11: 'float' };

const cast: Evaluate = ([x], node) => {
  const type = CAST_TYPES[node.int('to')];
  if (!type) return undefined;
  const convert = (d: Dim): Dim | undefined => {
    if (type === 'bool') return isStatic(d) ? Number(d !== 0) : (lowerBound(d) ?? 0) > 0 ? 1 : undefined;
    return type === 'int' && isStatic(d) ? Math.trunc(d) : d;
  };
  return all(type, x!.shape, x!.elements.map(convert));
};

const FUNCTIONS: Readonly<Record<string, Evaluate>> = {
  ...Object.fromEntries(Object.keys(BINARY).map((name) => [name, elementwise])),
  ...Object.fromEntries(
    Object.entries(UNARY).map(([name, f]): [string, Evaluate] => [name, ([x]) => all(x!.type, x!.shape, x!.elements.map(f))]),
  ),
  Identity: ([x]) => x,
  Cast: cast,
  Slice: slice,
  Gather: gather,
  Concat: concat,
  Reshape: reshape,
  Expand: expand,
  Where: where,
  Transpose: transpose,
  Range: range,
  ReduceProd: reduce(times),
  ReduceSum: reduce(add),
  ReduceMax: reduce(pick(1)),
  ReduceMin: reduce(pick(-1)),
  Squeeze([x, axes], node) {
    const over = axesOf(node, axes)?.map((a) => normalizeAxis(a, x!.shape.length));
    return reshaped(
      x!,
      x!.shape.filter((d, i) => (over ? !over.includes(i) : d !== 1)),
    );
  },
  Unsqueeze([x, axes], node) {
    const at = axesOf(node, axes);
    if (!at) return undefined;
    const shape = [...x!.shape];
    const rank = shape.length + at.length;
    for (const axis of at.map((a) => normalizeAxis(a, rank)).sort((a, b) => a - b)) shape.splice(axis, 0, 1);
    return reshaped(x!, shape);
  },
  Flatten: ([x]) => reshaped(x!, [1, x!.elements.length]),
};
