/**
 * Reverse mode over graphs. A graph is first taken apart (`unfused`): training knows no fused activations and no free dimensions.
 * Then the nodes are copied, with parameters as inputs, and each one's gradient rule adds nodes behind them, the last node first.
 */
import { type Bindings, type Dim, evaluate, isStatic } from '../../core/dim';
import type { TypedArray } from '../../core/dtype';
import { invariant, located, WaferError } from '../../core/errors';
import { evaluateShape, type StaticShape, sameShape, shapeText } from '../../core/shape';
import { Builder, type Graph, type Node, nodeText, type Value } from '../../graph/ir';
import type { Attrs, Op, Ref, Step } from '../../ops/define';
import { bindAttrs } from '../evaluate/reference';
import { kindNamed, meaningOf, type TrainEmit } from './kinds';

/** Emits into `build`; `name` is what the nodes are called after. */
export function emitter(build: Builder, name: () => string): TrainEmit {
  const add = (op: string, inputs: readonly (Ref | undefined)[], attrs?: Attrs) =>
    build.add(kindNamed(op), name(), inputs as readonly (Value | undefined)[], attrs);
  return Object.assign((op: string, inputs: readonly (Ref | undefined)[], attrs?: Attrs) => add(op, inputs, attrs)[0]!, {
    all: add,
    constant: (dtype: Parameters<TrainEmit['constant']>[0], shape: readonly number[], data: ArrayLike<number>) =>
      build.numbers(`${name()}.constant`, dtype, shape, data),
  });
}

/** The functions that a node applies to its result. */
const programOf = (op: Op, attrs: Attrs): readonly Step[] =>
  Object.keys(op.attrs).flatMap((name) => (op.attrs[name]!.kind === 'steps' ? (attrs[name] as readonly Step[]) : []));

/**
 * The same graph at fixed sizes, with activations and residuals as nodes of their own and programs of unary functions as one node a
 * function; and its values by those of the graph that was given. Throws SHAPE when a free dimension has no size.
 */
export function unfused(graph: Graph, bindings: Bindings = new Map()): { graph: Graph; values: ReadonlyMap<Value, Value> } {
  const build = new Builder();
  const now = new Map<Value, Value>();
  const size = (d: Dim): number => (isStatic(d) ? d : evaluate(d, bindings));
  for (const x of graph.inputs) now.set(x, build.input(x.name, { ...x.type, shape: x.type.shape.map(size) }));
  const current = (x: Value): Value => {
    let mapped = now.get(x);
    if (!mapped) now.set(x, (mapped = build.constant(x.name, x.type, x.data!)));
    return mapped;
  };
  for (const node of graph.nodes) {
    const bound = bindAttrs(node.op, node.attrs, bindings);
    const inputs = node.inputs.map((x) => x && current(x));
    const isFloat = node.outputs.every((y) => y.type.dtype === 'f32') && inputs[0]?.type.dtype === 'f32';
    const program = isFloat ? programOf(node.op, bound) : [];
    const residual = isFloat ? inputs[node.op.inputs.indexOf('residual?')] : undefined;
    if (program.length === 0 && !residual) {
      const outputs = build.add(node.op, node.name, inputs, bound);
      node.outputs.forEach((y, i) => now.set(y, outputs[i]!));
      continue;
    }
    let y: Value;
    if (node.op.name === 'unary') y = inputs[0]!;
    else {
      const plain = node.op.inputs.includes('residual?') ? inputs.slice(0, 3) : inputs;
      y = build.node(node.op, node.name, plain, 'act' in bound ? { ...bound, act: [] } : bound);
      if (residual) y = build.node('binary', node.name, [y, residual], { fn: 'add' });
    }
    for (const step of program) y = build.node('unary', node.name, [y], { steps: [step] });
    now.set(node.outputs[0]!, y);
  }
  return { graph: build.finish(graph.outputs.map(({ name, value }) => ({ name, value: current(value) }))), values: now };
}

/**
 * Adds the nodes of `graph` to `build`; `values` says what stands for its inputs. Returns what stands for any of its values. Names get
 * `prefix` before them, constants the elements that `dataOf` gives.
 */
export function copyInto(
  build: Builder,
  graph: Graph,
  values: ReadonlyMap<Value, Value>,
  { prefix = '', dataOf = (x) => x.data! }: { prefix?: string; dataOf?: (constant: Value) => TypedArray } = {},
): (x: Value) => Value {
  const now = new Map(values);
  const current = (x: Value): Value => {
    let mapped = now.get(x);
    if (!mapped) now.set(x, (mapped = build.constant(`${prefix}${x.name}`, x.type, dataOf(x))));
    return mapped;
  };
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((x) => x && current(x));
    const outputs = build.add(node.op, `${prefix}${node.name}`, inputs, node.attrs);
    node.outputs.forEach((y, i) => now.set(y, outputs[i]!));
  }
  return current;
}

/** What a loss is built from. */
export interface LossGraph {
  readonly build: Builder;
  readonly emit: TrainEmit;
  /** What a value of the given graph is in the one that is built. */
  current(x: Value): Value;
}

/** A loss as nodes: one number. */
export type Loss = (site: LossGraph) => Value;

export interface Differentiated {
  /** What forward and backward were built with: its inputs are the graph's own, the parameters, and what the loss added. */
  build: Builder;
  loss: Value;
  /** Gradients by parameter, in order; undefined where the loss does not depend on it. */
  gradients: readonly (Value | undefined)[];
  /** Nodes that stopped a gradient for want of a rule, as `op "name"`. */
  frozen: readonly string[];
  /** The values of the copied graph by those of the graph that was given. */
  values: ReadonlyMap<Value, Value>;
}

/**
 * Builds forward and backward. `parameters` are constants of `graph` that become inputs, or inputs of it. The graph is one that
 * `unfused` made. Throws ARGUMENT when the loss is no scalar.
 */
export function differentiate(graph: Graph, parameters: readonly Value[], loss: Loss): Differentiated {
  const build = new Builder();
  const values = new Map<Value, Value>();
  for (const x of graph.inputs) values.set(x, build.input(x.name, x.type));
  for (const x of parameters) if (!values.has(x)) values.set(x, build.input(x.name, x.type));
  const current = (x: Value): Value => {
    let mapped = values.get(x);
    if (!mapped && x.data) values.set(x, (mapped = build.constant(x.name, x.type, x.data)));
    invariant(mapped, () => `value "${x.name}" is made by no node`);
    return mapped;
  };
  const nodes: Node[] = [];
  // The builder's nodes are followed through the values that they make.
  const add = (op: Op, name: string, inputs: readonly (Value | undefined)[], attrs: Attrs) => {
    const outputs = build.add(op, name, inputs, attrs);
    nodes.push(outputs[0]!.producer!);
    return outputs;
  };
  for (const node of graph.nodes) {
    const outputs = add(
      node.op,
      node.name,
      node.inputs.map((x) => x && current(x)),
      node.attrs,
    );
    node.outputs.forEach((y, i) => values.set(y, outputs[i]!));
  }
  const emitLoss: TrainEmit = Object.assign(
    (op: string, inputs: readonly (Ref | undefined)[], attrs: Attrs = {}) =>
      add(kindNamed(op), 'loss', inputs as (Value | undefined)[], attrs)[0]!,
    {
      all: (op: string, inputs: readonly (Ref | undefined)[], attrs: Attrs = {}) =>
        add(kindNamed(op), 'loss', inputs as (Value | undefined)[], attrs),
      constant: emitter(build, () => 'loss').constant,
    },
  );
  const total = loss({ build, emit: emitLoss, current });
  if (total.type.dtype !== 'f32' || !sameShape(total.type.shape, []))
    throw new WaferError('ARGUMENT', `a loss is one number, this one has shape ${shapeText(total.type.shape)}`, {
      hint: 'reduce it over all axes',
    });
  const wanted = new Set<Value>(parameters.map((x) => values.get(x)!));
  const { byValue, frozen } = backward(build, nodes, total, wanted);
  const gradients = parameters.map((x) => byValue.get(values.get(x)!));
  return { build, loss: total, gradients, frozen, values };
}

/** Adds the nodes of the gradients of `loss` by every value that depends on one of `wanted`. */
function backward(build: Builder, nodes: readonly Node[], loss: Value, wanted: ReadonlySet<Value>) {
  // A value takes part when it depends on a parameter.
  const active = new Set<Value>(wanted);
  for (const node of nodes) if (node.inputs.some((x) => x && active.has(x))) for (const y of node.outputs) active.add(y);
  const byValue = new Map<Value, Value>();
  const frozen: string[] = [];
  let name = 'gradient';
  const emit = emitter(build, () => name);
  byValue.set(loss, build.numbers('gradient.loss', 'f32', [], [1]));
  for (const node of [...nodes].reverse()) {
    const y = node.outputs[0]!;
    const dy = byValue.get(y);
    const wants = (i: number) => Boolean(node.inputs[i] && active.has(node.inputs[i]!));
    if (!dy || !node.inputs.some((_, i) => wants(i))) continue;
    name = `${node.name}.gradient`;
    const by = located({ node: nodeText(node) }, () =>
      meaningOf(node.op).gradient?.({ inputs: node.inputs, y, dy, attrs: node.attrs, wants, emit }),
    );
    if (!by) {
      frozen.push(nodeText(node));
      continue;
    }
    node.inputs.forEach((x, i) => {
      const gradient = by[i] as Value | undefined;
      if (!x || !gradient || !wants(i)) return;
      invariant(
        sameShape(gradient.type.shape, x.type.shape),
        () => `${nodeText(node)} gives its input ${i} a gradient of shape ${shapeText(gradient.type.shape)}`,
      );
      const before = byValue.get(x);
      byValue.set(x, before ? build.node('binary', name, [before, gradient], { fn: 'add' }) : gradient);
    });
  }
  return { byValue, frozen };
}

/** Static shape of a value whose graph has fixed sizes. */
export const fixedShape = (x: Value): StaticShape => evaluateShape(x.type.shape, new Map());
