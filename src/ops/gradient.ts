/** What gradient rules are written with: elementwise nodes, and sums over what was broadcast. Shapes are static. */
import { elements, type StaticShape, sameShape } from '../core/shape';
import type { Emit, Ref, Step } from './define';
import { type StepName, step } from './steps';

export type Operand = Ref | number;

export const staticShape = (x: Ref): StaticShape => x.type.shape as StaticShape;

/** Elementwise arithmetic on nodes; numbers are constants. */
export interface Arithmetic {
  add(a: Operand, b: Operand): Ref;
  sub(a: Operand, b: Operand): Ref;
  mul(a: Operand, b: Operand): Ref;
  div(a: Operand, b: Operand): Ref;
  /** A program of unary functions: each a name, or a name and its constants. */
  unary(x: Ref, ...program: (StepName | readonly [StepName, number?, number?])[]): Ref;
  /** 1 where the comparison holds, else 0. */
  mask(a: Operand, fn: 'equal' | 'greater' | 'less' | 'greaterOrEqual' | 'lessOrEqual', b: Operand): Ref;
}

export function arithmetic(emit: Emit): Arithmetic {
  const ref = (x: Operand): Ref => (typeof x === 'number' ? emit.constant('f32', [], [x]) : x);
  const binary = (fn: string) => (a: Operand, b: Operand) => emit('binary', [ref(a), ref(b)], { fn });
  return {
    add: binary('add'),
    sub: binary('sub'),
    mul: binary('mul'),
    div: binary('div'),
    unary(x, ...program) {
      const steps = program.map((part): Step => (typeof part === 'string' ? step(part) : step(part[0], part[1], part[2])));
      return emit('unary', [x], { steps });
    },
    mask: (a, fn, b) => emit('cast', [emit('binary', [ref(a), ref(b)], { fn })], { to: 'f32' }),
  };
}

/** Sums `x` over the axes that broadcasting `shape` to x's shape repeated. */
export function sumTo(emit: Emit, x: Ref, shape: StaticShape): Ref {
  const from = staticShape(x);
  if (sameShape(from, shape)) return x;
  const lead = from.length - shape.length;
  const axes = from.flatMap((d, i) => (i < lead || (shape[i - lead] === 1 && d !== 1) ? [i] : []));
  const sum = axes.length ? emit('reduce', [x], { fn: 'sum', axes, keepdims: true }) : x;
  return sameShape(staticShape(sum), shape) ? sum : emit('reshape', [sum], { shape });
}

/** The last two axes exchanged. */
export function turned(emit: Emit, x: Ref): Ref {
  const rank = x.type.shape.length;
  const perm = Array.from({ length: rank }, (_, i) => (i < rank - 2 ? i : 2 * rank - 3 - i));
  return emit('transpose', [x], { perm });
}

/** All axes but the last as one. */
export function rows(emit: Emit, x: Ref): Ref {
  const shape = staticShape(x);
  return shape.length === 2 ? x : emit('reshape', [x], { shape: [elements(shape.slice(0, -1)), shape.at(-1)!] });
}

export const reshaped = (emit: Emit, x: Ref, shape: StaticShape): Ref =>
  sameShape(staticShape(x), shape) ? x : emit('reshape', [x], { shape });
