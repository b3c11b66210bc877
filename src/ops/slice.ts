/**
 * Slice: a strided box of a tensor. Split and constant scalar Gather are imported as this too. Bounds are normalised
 * when a model is imported: starts count from the front and the extent is explicit, so nothing clamps at run time.
 */
import { add, ceilDivide, type Dim, isStatic, multiply, sameDim, subtract } from '../core/dim';
import { WaferError } from '../core/errors';
import { normalizeAxis, type StaticShape, sameShape, shapeText, stridesOf } from '../core/shape';
import { copyView, moveView, type View } from './box';
import { defineOffline, defineOp, dims, type Emit, ints, type OnnxNode, type Ref } from './define';
import { reshaped, staticShape } from './gradient';
import { position, tabulate } from './indices';

export const op = defineOp({
  name: 'slice',
  inputs: ['x'],
  attrs: {
    /** First index on each axis. */
    starts: dims(),
    /** Distance between taken indices on each axis; not 0, negative walks backwards. */
    steps: ints(),
    /** The output's shape. */
    size: dims(),
  },
  infer([x], { starts, steps, size }) {
    const { shape } = x!;
    if ([starts, steps, size].some((list) => list.length !== shape.length) || steps.includes(0))
      throw new WaferError('ARGUMENT', `starts, steps and size need ${shape.length} entries each, and no step may be 0`);
    shape.forEach((d, i) => {
      const [start, count] = [starts[i]!, size[i]!];
      if (!isStatic(d) || !isStatic(start) || !isStatic(count) || count === 0) return;
      const last = start + (count - 1) * steps[i]!;
      if (count < 0 || Math.min(start, last) < 0 || Math.max(start, last) >= d)
        throw new WaferError('SHAPE', `${count} elements from ${start} by ${steps[i]} leave axis ${i} of ${shapeText(shape)}`);
    });
    return [{ ...x!, shape: size }];
  },
  wasm: ({ inputs: [x], outputs: [y], attrs }) => copyView(x!, taken(x!.type.shape, attrs), y!),
  webgpu: ({ inputs: [x], outputs: [y], attrs }) => moveView(x!, taken(x!.type.shape, attrs), y!),
});

/** The elements that are taken of a tensor of `shape`. */
function taken(shape: StaticShape, { starts, steps }: { starts: readonly Dim[]; steps: readonly number[] }): View {
  const strides = stridesOf(shape);
  const offset = (starts as readonly number[]).reduce((sum, start, i) => sum + start * strides[i]!, 0);
  return { offset, strides: strides.map((stride, i) => stride * steps[i]!) };
}

/** Indices start..start+size-1 of one axis. */
export function narrow(emit: Emit, x: Ref, axis: number, start: Dim, size: Dim): Ref {
  const { shape } = x.type;
  if (start === 0 && sameDim(size, shape[axis]!)) return x;
  return emit('slice', [x], {
    starts: shape.map((_, i) => (i === axis ? start : 0)),
    steps: shape.map(() => 1),
    size: shape.map((d, i) => (i === axis ? size : d)),
  });
}

export const offline = defineOffline(op, {
  onnx: {
    Slice(n, emit) {
      const x = n.input(0);
      const { shape } = x.type;
      const list = (i: number, attribute: string) =>
        (n.opset >= 10 ? n.dims(i) : n.ints(attribute)) ?? n.unsupported(`${attribute} that depend on data`);
      const [from, until] = [list(1, 'starts'), list(2, 'ends')];
      const given =
        n.opset >= 10 ? n.inputs[3] && (n.numbers(3) ?? n.unsupported('axes that depend on data')) : n.ints('axes', []);
      const axes = given?.length ? given : from.map((_, i) => i);
      const by = n.inputs[4] ? (n.numbers(4) ?? n.unsupported('steps that depend on data')) : axes.map(() => 1);
      const starts: Dim[] = shape.map(() => 0);
      const steps = shape.map(() => 1);
      const size = [...shape];
      axes.forEach((a, i) => {
        const axis = normalizeAxis(a, shape.length);
        steps[axis] = by[i]!;
        [starts[axis], size[axis]] = extent(n, shape[axis]!, from[i]!, until[i]!, by[i]!);
      });
      if (steps.every((s) => s === 1) && sameShape(size, shape)) return x;
      return emit('slice', [x], { starts, steps, size });
    },
    Split(n, emit) {
      const x = n.input(0);
      const axis = normalizeAxis(n.int('axis', 0), x.type.shape.length);
      const total = x.type.shape[axis]!;
      const given =
        n.opset >= 13 ? n.inputs[1] && (n.dims(1) ?? n.unsupported('sizes that depend on data')) : n.ints('split', []);
      const sizes = given?.length ? given : equalParts(total, n.outputCount);
      let start: Dim = 0;
      return sizes.map((size) => {
        const part = narrow(emit, x, axis, start, size);
        start = add(start, size);
        return part;
      });
    },
  },
  reference: ([x], { starts, steps }, [y]) => [
    tabulate(y!.shape, (index) => {
      const taken = index.map((i, axis) => (starts[axis] as number) + i * steps[axis]!);
      return x!.data[position(x!.type.shape, taken)]!;
    }),
  ],
  gradient({ inputs: [x], dy, attrs, emit }) {
    const shape = staticShape(x!);
    const [starts, size] = [attrs.starts as number[], attrs.size as number[]];
    const zeros = shape.map(() => 0);
    let by = dy;
    const flips = attrs.steps.map((s) => (s < 0 ? -1 : 1));
    if (flips.includes(-1))
      by = emit('slice', [by], { starts: size.map((n, i) => (flips[i]! < 0 ? Math.max(0, n - 1) : 0)), steps: flips, size });
    // Elements that were skipped are put in behind each, and the last ones taken away.
    attrs.steps.forEach((s, i) => {
      const stride = Math.abs(s);
      if (stride === 1 || size[i]! < 2) return;
      const now = staticShape(by);
      const apart = reshaped(emit, by, [...now.slice(0, i + 1), 1, ...now.slice(i + 1)]);
      const after = [...zeros, 0].map((_, axis) => (axis === i + 1 ? stride - 1 : 0));
      const filled = emit('pad', [apart], { before: after.map(() => 0), after });
      const joined = now.map((n, axis) => (axis === i ? n * stride : n));
      const kept = now.map((n, axis) => (axis === i ? (n - 1) * stride + 1 : n));
      by = emit('slice', [reshaped(emit, filled, joined)], { starts: zeros, steps: zeros.map(() => 1), size: kept });
    });
    const now = staticShape(by);
    const before = starts.map((s, i) => (now[i] === 0 ? 0 : flips[i]! < 0 ? s - (now[i]! - 1) : s));
    return [emit('pad', [by], { before, after: shape.map((d, i) => d - before[i]! - now[i]!) })];
  },
  accuracy: { abs: 0, rel: 0 },
  cases: [
    { inputs: [[9]], attrs: { starts: [2], steps: [1], size: [5] } },
    { inputs: [[9]], attrs: { starts: [8], steps: [-2], size: [5] } },
    { inputs: [[]], attrs: { starts: [], steps: [], size: [] } },
    { inputs: [[4, 5]], attrs: { starts: [1, 0], steps: [1, 1], size: [2, 5] } },
    { inputs: [[4, 5]], attrs: { starts: [3, 4], steps: [-1, -1], size: [4, 5] } },
    { inputs: [[4, 5]], attrs: { starts: [0, 5], steps: [1, 1], size: [4, 0] } },
    { inputs: [{ shape: [3, 0], dtype: 'i32' }], attrs: { starts: [1, 0], steps: [1, 1], size: [2, 0] } },
    {
      inputs: [{ shape: [2, 6, 7, 5], dtype: 'i8', quant: { scale: 1, zero: 9 } }],
      attrs: { starts: [0, 1, 1, 0], steps: [1, 2, 2, 1], size: [2, 3, 3, 5] },
    },
    { inputs: [[1, 7, 7, 24]], attrs: { starts: [0, 0, 0, 12], steps: [1, 1, 1, 1], size: [1, 7, 7, 12] } },
    {
      inputs: [{ shape: [1, 7, 7, 24], dtype: 'i32' }],
      attrs: { starts: [0, 0, 0, 1], steps: [1, 1, 1, 2], size: [1, 7, 7, 12] },
    },
    {
      inputs: [{ shape: [3, 4, 2, 3, 5], dtype: 'bool' }],
      attrs: { starts: [2, 1, 0, 2, 3], steps: [-2, 1, 1, -1, -3], size: [2, 3, 1, 3, 2] },
    },
    { inputs: [{ shape: [3, 300], constant: true }], attrs: { starts: [0, 17], steps: [1, 1], size: [3, 280] } },
  ],
});

/** Bounds from here on mean "to the end" in either direction; exporters write INT32 or INT64 limits. */
const UNBOUNDED = 2 ** 31 - 1;

/** First index and count of ONNX's [start, end) by `step` on an axis of `d`. What is symbolic is taken to be in range. */
function extent(n: OnnxNode, d: Dim, start: Dim, end: Dim, step: number): [Dim, Dim] {
  if (step === 0) return n.unsupported('a step of 0');
  const low = step > 0 ? 0 : -1;
  const high = step > 0 ? d : subtract(d, 1);
  const at = (index: Dim): Dim => {
    if (!isStatic(index)) return index;
    if (index >= UNBOUNDED) return high;
    if (index <= -UNBOUNDED) return low;
    const fromFront = index < 0 ? add(d, index) : index;
    return isStatic(fromFront) && isStatic(high) ? Math.min(Math.max(fromFront, low), high) : fromFront;
  };
  const distance = step > 0 ? subtract(at(end), at(start)) : subtract(at(start), at(end));
  const count = ceilDivide(distance, Math.abs(step));
  if (isStatic(count) && count <= 0) return [0, 0];
  return [at(start), count];
}

/** Split without sizes: equal parts, the last one smaller when they do not come out even. */
function equalParts(total: Dim, count: number): Dim[] {
  const part = ceilDivide(total, count);
  return Array.from({ length: count }, (_, i) => (i < count - 1 ? part : subtract(total, multiply(part, count - 1))));
}
