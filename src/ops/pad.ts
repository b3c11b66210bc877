/**
 * Pad: a border around a tensor. The border is cut into boxes, each a copy: of one value (`constant`), of the outermost
 * elements repeated (`edge`), or of the inside walked backwards (`reflect`). On quantised tensors `value` is real: 0
 * fills with the zero point.
 */
import { add, type Dim, isStatic } from '../core/dim';
import { DTYPES, sizeOf } from '../core/dtype';
import { WaferError } from '../core/errors';
import { elements, normalizeAxis, shapeText, type TensorType } from '../core/shape';
import { copyBox, moveBox, type View, whole } from './box';
import { defineOffline, defineOp, dims, type Emit, float, type Operand, oneOf, type Ref } from './define';
import { reshaped, staticShape } from './gradient';
import { position, tabulate } from './indices';
import { narrow } from './slice';

export const op = defineOp({
  name: 'pad',
  inputs: ['x'],
  attrs: {
    /** Elements added in front of and behind each axis; not negative. */
    before: dims(),
    after: dims(),
    mode: oneOf('constant', 'edge', 'reflect'),
    value: float(0),
  },
  infer([x], { before, after, mode, value }) {
    const { shape, dtype } = x!;
    if (mode === 'constant' && !isElement(x!, value))
      throw new WaferError('VALUE', `${value} is no element of a tensor of type ${dtype}`);
    if (before.length !== shape.length || after.length !== shape.length)
      throw new WaferError('ARGUMENT', `before and after need ${shape.length} entries each`);
    shape.forEach((d, i) => {
      const most = mode === 'constant' || !isStatic(d) ? Infinity : mode === 'reflect' ? d - 1 : d > 0 ? Infinity : 0;
      for (const added of [before[i]!, after[i]!])
        if (isStatic(added) && (added < 0 || added > Math.max(0, most)))
          throw new WaferError('SHAPE', `cannot pad axis ${i} of ${shapeText(shape)} by ${added} (${mode})`);
    });
    return [{ ...x!, shape: shape.map((d, i) => add(add(before[i]!, d), after[i]!)) }];
  },
  wasm({ inputs: [x], outputs: [y], attrs, constant }) {
    const { mode, value } = attrs;
    const bytes = sizeOf(x!.type.dtype);
    const filler = mode === 'constant' ? constant('value', () => stored(x!.type, value)) : undefined;
    const still = { offset: 0, strides: y!.type.shape.map(() => 0) };
    return boxesOf(x!, y!, attrs).flatMap(({ from, to, size }) =>
      from ? copyBox(x!, from, y!, to, size, bytes) : copyBox(filler!, still, y!, to, size, bytes),
    );
  },
  webgpu({ inputs: [x], outputs: [y], attrs, constant }) {
    const { mode, value } = attrs;
    const { dtype, shape } = y!.type;
    const bytes = sizeOf(dtype);
    const copies = boxesOf(x!, y!, attrs).flatMap(({ from, to, size }) => (from ? moveBox(x!, from, y!, to, size, bytes) : []));
    if (mode !== 'constant') return copies;
    // All of y is filled, by words: fewer dispatches than boxes of its border.
    const filler = constant('value', () => new DTYPES[dtype].array(4 / bytes).fill(level(x!.type, value)));
    const words = Math.ceil((elements(shape) * bytes) / 4);
    return [...moveBox(filler, { offset: 0, strides: [0] }, y!, { offset: 0, strides: [1] }, [words], 4), ...copies];
  },
});

/** A box of y and where it comes from in x; undefined where it is filled with the value. */
interface Part {
  readonly from: View | undefined;
  readonly to: View;
  readonly size: readonly number[];
}

interface Border {
  before: readonly Dim[];
  after: readonly Dim[];
  mode: 'constant' | 'edge' | 'reflect';
}

function boxesOf(x: Operand, y: Operand, { before, after, mode }: Border): Part[] {
  const { shape } = x.type;
  const axes = shape.map((d, i) => segments(d, before[i] as number, after[i] as number, mode));
  const { strides } = whole(x);
  const target = whole(y).strides;
  const filled = mode === 'constant';
  const parts: Part[] = [];
  const visit = (axis: number, chosen: readonly Segment[]): void => {
    const inside = chosen.every((s) => !s.border);
    // Behind a border of constants all other axes are borders too: take them whole.
    if (axis === shape.length || (filled && !inside)) {
      const rest = y.type.shape.slice(axis).map((size) => ({ start: 0, size, first: 0, step: 0 }));
      const box = [...chosen, ...rest];
      const at = (list: readonly number[], along: readonly number[]) => list.reduce((sum, v, i) => sum + v * along[i]!, 0);
      const first = box.map((s) => s.first);
      const start = box.map((s) => s.start);
      parts.push({
        from: filled && !inside ? undefined : { offset: at(first, strides), strides: box.map((s, i) => s.step * strides[i]!) },
        to: { offset: at(start, target), strides: target },
        size: box.map((s) => s.size),
      });
      return;
    }
    for (const segment of axes[axis]!) if (segment.size > 0) visit(axis + 1, [...chosen, segment]);
  };
  visit(0, []);
  return parts;
}

/** Part of an output axis, and where it comes from on the input axis. */
interface Segment {
  readonly start: number;
  readonly size: number;
  readonly first: number;
  readonly step: number;
  readonly border?: boolean;
}

function segments(d: number, before: number, after: number, mode: Border['mode']): Segment[] {
  const step = mode === 'reflect' ? -1 : 0;
  return [
    { start: 0, size: before, first: mode === 'reflect' ? before : 0, step, border: true },
    { start: before, size: d, first: 0, step: 1 },
    { start: before + d, size: after, first: mode === 'reflect' ? d - 2 : d - 1, step, border: true },
  ];
}

/** The element that stands for `value`. */
function level({ dtype, quant }: TensorType, value: number): number {
  if (dtype === 'f32') return value;
  const raw = quant ? Math.round(value / quant.scale) + quant.zero : Math.round(value);
  return dtype === 'i8' ? Math.min(Math.max(raw, -128), 127) : raw;
}

/** Negative pads, as a slice. */
function crop(emit: Emit, x: Ref, before: readonly Dim[], after: readonly Dim[]): Ref {
  const negative = (d: Dim): number => (isStatic(d) ? Math.min(0, d) : 0);
  return x.type.shape.reduce<Ref>((part, d, axis) => {
    const [front, back] = [negative(before[axis]!), negative(after[axis]!)];
    return narrow(emit, part, axis, -front, add(d, front + back));
  }, x);
}

/** One element as the WASM device holds it. */
const stored = (type: TensorType, value: number) =>
  type.dtype === 'i8' ? Uint8Array.of(level(type, value) + 128) : new DTYPES[type.dtype].array(1).fill(level(type, value));

function isElement(type: TensorType, value: number): boolean {
  if (type.dtype === 'f32' || type.dtype === 'i8') return true;
  return type.dtype === 'bool' ? value === 0 || value === 1 : stored(type, value)[0] === value;
}

const quant = { scale: 0.25, zero: -7 };

export const offline = defineOffline(op, {
  onnx: {
    Pad(n, emit) {
      const x = n.input(0);
      const { shape } = x.type;
      const listed = n.opset >= 11;
      const given =
        (listed ? n.dims(1) : n.ints(n.has('pads') ? 'pads' : 'paddings')) ?? n.unsupported('pads that depend on data');
      const axes = (n.inputs[3] && (n.numbers(3) ?? n.unsupported('axes that depend on data'))) ?? shape.map((_, i) => i);
      const mode = n.string('mode', 'constant');
      if (mode !== 'constant' && mode !== 'edge' && mode !== 'reflect') return n.unsupported(`mode ${mode}`);
      const fill = listed
        ? n.inputs[2] && (n.numbers(2) ?? n.unsupported('a value that depends on data'))[0]
        : n.float('value', 0);
      const before: Dim[] = shape.map(() => 0);
      const after: Dim[] = shape.map(() => 0);
      axes.forEach((a, i) => {
        const axis = normalizeAxis(a, shape.length);
        before[axis] = given[i]!;
        after[axis] = given[axes.length + i]!;
      });
      const cropped = crop(emit, x, before, after);
      const positive = (d: Dim): Dim => (isStatic(d) ? Math.max(0, d) : d);
      const added = { before: before.map(positive), after: after.map(positive) };
      if ([...added.before, ...added.after].every((d) => d === 0)) return cropped;
      return emit('pad', [cropped], { ...added, mode, value: fill ?? 0 });
    },
  },
  reference([x], { before, mode, value }, [y]) {
    const { shape } = x!.type;
    const element = (index: readonly number[]): number => {
      const inner = index.map((i, axis) => i - (before[axis] as number));
      const outside = inner.some((i, axis) => i < 0 || i >= shape[axis]!);
      if (outside && mode === 'constant') return level(x!.type, value);
      const source = inner.map((i, axis) => {
        const last = shape[axis]! - 1;
        if (mode === 'reflect') return i < 0 ? -i : i > last ? 2 * last - i : i;
        return Math.min(Math.max(i, 0), last);
      });
      return x!.data[position(shape, source)]!;
    };
    return [tabulate(y!.shape, element)];
  },
  gradient({ inputs: [x], dy, attrs: { before, mode }, emit }) {
    const size = staticShape(x!);
    if (mode === 'constant') return [emit('slice', [dy], { starts: before, steps: size.map(() => 1), size })];
    // Every element that was copied gives its gradient back: a matrix of ones along each axis.
    let by = dy;
    size.forEach((d, axis) => {
      const shape = staticShape(by);
      const long = shape[axis]!;
      if (long === d) return;
      const source = (at: number) => {
        const i = at - (before[axis] as number);
        if (mode === 'edge') return Math.min(Math.max(i, 0), d - 1);
        return i < 0 ? -i : i >= d ? 2 * (d - 1) - i : i;
      };
      const matrix = emit.constant(
        'f32',
        [d, long],
        tabulate([d, long], ([i, at]) => Number(source(at!) === i)),
      );
      const [outer, inner] = [elements(shape.slice(0, axis)), elements(shape.slice(axis + 1))];
      const product = emit('matmul', [matrix, reshaped(emit, by, [outer, long, inner])]);
      by = reshaped(emit, product, [...shape.slice(0, axis), d, ...shape.slice(axis + 1)]);
    });
    return [by];
  },
  accuracy: { abs: 0, rel: 0 },
  cases: [
    { inputs: [[3]], attrs: { before: [2], after: [4], value: 1.5 } },
    { inputs: [[0, 2]], attrs: { before: [1, 0], after: [1, 0], value: -1 } },
    { inputs: [[1, 5, 4, 3]], attrs: { before: [0, 1, 1, 0], after: [0, 1, 1, 0] } },
    { inputs: [[2, 5, 4, 3]], attrs: { before: [0, 1, 0, 1], after: [1, 0, 2, 5], value: -Infinity } },
    { inputs: [{ shape: [1, 5, 4, 8], dtype: 'i8', quant }], attrs: { before: [0, 1, 2, 0], after: [0, 0, 1, 8] } },
    { inputs: [{ shape: [1, 2, 2, 2], dtype: 'i8', quant }], attrs: { before: [0, 1, 2, 0], after: [0, 0, 1, 0], value: 3.3 } },
    { inputs: [{ shape: [2, 3], dtype: 'i32' }], attrs: { before: [1, 1], after: [0, 2], value: 70000 } },
    { inputs: [{ shape: [2, 3], dtype: 'bool' }], attrs: { before: [0, 1], after: [1, 0], value: 1 } },
    { inputs: [[1, 5, 4, 3]], attrs: { before: [0, 2, 1, 0], after: [0, 1, 3, 0], mode: 'edge' } },
    { inputs: [[1, 5, 4, 3]], attrs: { before: [0, 2, 1, 0], after: [0, 4, 3, 0], mode: 'reflect' } },
    { inputs: [{ shape: [2, 6], dtype: 'i8', quant }], attrs: { before: [1, 5], after: [1, 3], mode: 'reflect' } },
    {
      inputs: [{ shape: [2, 3, 2, 2, 3], dtype: 'i32' }],
      attrs: { before: [1, 0, 1, 0, 2], after: [0, 2, 0, 1, 0], mode: 'edge' },
    },
    { inputs: [[2, 160]], attrs: { before: [0, 32], after: [0, 32], mode: 'reflect' } },
  ],
});
