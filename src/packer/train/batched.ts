/**
 * Models are trained with a free batch and fixed sizes else. Those that were exported for one example get the batch: every value that
 * depends on the input must keep examples apart along its first axis; a model that mixes them is refused, not trained wrongly. Those
 * that take many sizes are trained at that of the data; their weights know of none.
 */
import { type Bindings, type Dim, floorDivide, isStatic, multiply, sameDim, sum, symbol } from '../../core/dim';
import { located, WaferError } from '../../core/errors';
import { evaluateShape, type Shape, type StaticShape, shapeText } from '../../core/shape';
import { Builder, type Graph, nodeText, type Value } from '../../graph/ir';
import { fitting } from '../data/batches';
import type { Dataset } from '../data/dataset';
import type { ExampleForm } from '../data/samples';
import { batchBindings, inputOf } from './program';

const N = symbol('N');

/** Attributes that are the output's shape, by operator. */
const SHAPES: Readonly<Record<string, string>> = { reshape: 'shape', expand: 'shape', slice: 'size' };

/** Operators of which the second input is weights, the same for all examples. */
const WEIGHTED = new Set(['conv', 'gemm']);

const isBatched = (x: Value | undefined): boolean => {
  const first = x?.type.shape[0];
  return first !== undefined && sameDim(first, N);
};

/** The same graph with a first dimension `N` where its only input has 1; any other graph as it is. Throws UNSUPPORTED. */
export function batched(graph: Graph): Graph {
  const [x] = graph.inputs;
  if (!x || graph.inputs.length > 1 || x.type.shape[0] !== 1) return graph;
  const build = new Builder();
  const now = new Map<Value, Value>([[x, build.input(x.name, { ...x.type, shape: [N, ...x.type.shape.slice(1)] })]]);
  const current = (value: Value): Value => {
    let mapped = now.get(value);
    if (!mapped) now.set(value, (mapped = build.constant(value.name, value.type, value.data!)));
    return mapped;
  };
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((value) => value && current(value));
    const { op, attrs } = node;
    const made = located({ node: nodeText(node) }, () => {
      if (!inputs.some(isBatched)) return build.add(op, node.name, inputs, attrs);
      const shape = attrs[SHAPES[op.name] ?? ''] as readonly unknown[] | undefined;
      const free = shape?.[0] === 1 ? { ...attrs, [SHAPES[op.name]!]: [N, ...shape.slice(1)] } : attrs;
      const outputs = build.add(op, node.name, inputs, free as typeof attrs);
      const isMixed = attrs.axis === 0 || (WEIGHTED.has(op.name) && isBatched(inputs[1]));
      if (isMixed || !outputs.every(isBatched))
        throw new WaferError('UNSUPPORTED', 'examples do not stay apart here, so that the model cannot be trained in batches', {
          hint: 'export the model with a free batch dimension',
        });
      return outputs;
    });
    node.outputs.forEach((y, i) => now.set(y, made[i]!));
  }
  return build.finish(graph.outputs.map(({ name, value }) => ({ name, value: current(value) })));
}

export interface Fitted extends Pick<ExampleForm, 'channelsFirst'> {
  /** With a free batch alone. */
  readonly graph: Graph;
}

/** The graph at the sizes of a data set's examples. Throws SHAPE where they do not fit. */
export function fitted(graph: Graph, set: Dataset): Fitted {
  const [, ...sizes] = inputOf(graph).type.shape;
  const [h, w, c] = set.shape;
  const forms = set.shape.length === 3 ? [set.shape, [c!, h!, w!]] : [set.shape];
  const given = forms.find((form) => form.length === sizes.length && sizes.every((d, i) => !isStatic(d) || d === form[i]));
  const isFree = !sizes.every(isStatic);
  if (isFree && !given)
    throw new WaferError('SHAPE', `examples are ${shapeText(set.shape)}, the model's input takes ${shapeText(sizes)}`);
  const sized = isFree ? atSizes(graph, given!) : graph;
  const x = inputOf(sized);
  return { graph: sized, ...fitting(x.name, exampleShape(x), set) };
}

/** Of one example. Throws SHAPE. */
export const exampleShape = (x: Value): StaticShape => evaluateShape(x.type.shape, batchBindings(x, 1)).slice(1);

/** The graph with `sizes` in place of the dimensions of its input that are free, but for the first. */
function atSizes(graph: Graph, sizes: StaticShape): Graph {
  const [x] = graph.inputs as [Value];
  const named = x.type.shape.slice(1).flatMap((d, i): [string, number][] => {
    const atom = isStatic(d) ? undefined : d.terms[0]!.atoms[0];
    return atom && 'symbol' in atom ? [[atom.symbol, sizes[i]!]] : [];
  });
  const bindings = new Map(named);
  const shapeAt = (shape: Shape): Shape => shape.map((d) => bound(d, bindings));
  const build = new Builder();
  const now = new Map<Value, Value>([[x, build.input(x.name, { ...x.type, shape: shapeAt(x.type.shape) })]]);
  const current = (value: Value): Value => {
    let mapped = now.get(value);
    if (!mapped) now.set(value, (mapped = build.constant(value.name, value.type, value.data!)));
    return mapped;
  };
  for (const { op, name, inputs, outputs, attrs } of graph.nodes) {
    const dims = Object.keys(op.attrs).filter((key) => op.attrs[key]!.kind === 'dims');
    const own = Object.fromEntries(dims.map((key) => [key, shapeAt(attrs[key] as Shape)]));
    const made = build.add(
      op,
      name,
      inputs.map((value) => value && current(value)),
      { ...attrs, ...own },
    );
    outputs.forEach((y, i) => now.set(y, made[i]!));
  }
  return build.finish(graph.outputs.map(({ name, value }) => ({ name, value: current(value) })));
}

/** `d` with numbers for the symbols that have some. */
const bound = (d: Dim, bindings: Bindings): Dim =>
  isStatic(d)
    ? d
    : sum(
        d.terms.map(({ coefficient, atoms }) =>
          atoms
            .map((atom) =>
              'symbol' in atom
                ? (bindings.get(atom.symbol) ?? symbol(atom.symbol))
                : floorDivide(bound(atom.numerator, bindings), atom.divisor),
            )
            .reduce(multiply, coefficient),
        ),
      );
