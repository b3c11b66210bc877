/**
 * What a thread executes: forward, loss and backward of one part of a batch as one ONNX model, and how its inputs and outputs lie in
 * flat vectors. Optimisers work on these vectors, outside the graph.
 */
import { type Bindings, isStatic } from '../../core/dim';
import { invariant, WaferError } from '../../core/errors';
import { elements, type StaticShape, shapeText } from '../../core/shape';
import { Builder, constantsOf, type Graph, type Value } from '../../graph/ir';
import { rewrite } from '../../graph/rewrite';
import type { Ref, Step } from '../../ops/define';
import type { StepName } from '../../ops/steps';
import { copyInto, differentiate, unfused } from './differentiate';
import { type Losses, logitsOf, losses } from './losses';
import { toOnnx } from './onnx';

/** A tensor's place in a flat vector. */
export interface Slot {
  readonly name: string;
  readonly shape: StaticShape;
  readonly offset: number;
}

/** A running statistic: it moves by `momentum` towards what a batch has. */
export interface State extends Slot {
  readonly momentum: number;
}

export interface Fed {
  readonly name: string;
  readonly shape: StaticShape;
}

export interface Program {
  readonly onnx: Uint8Array;
  /** What a batch is: the shapes of the input and the targets, batch axis included. */
  readonly input: Fed;
  /** Probabilities of classes, where the loss asks for them. */
  readonly target?: Fed | undefined;
  /** What the teacher says, where the loss asks for it and the teacher is not in the model. */
  readonly taught?: Fed | undefined;
  /** Of the first output, before a softmax that ends the graph. */
  readonly scores: StaticShape;
  /** Outputs `y0`: the loss, then the gradient of each parameter, then each state of the batch. */
  readonly parameters: readonly Slot[];
  readonly states: readonly State[];
  readonly parameterCount: number;
  readonly stateCount: number;
  /** Elements from 0 on that weight decay is for. */
  readonly decayed: number;
  /** Nodes through which no gradient goes, for want of a rule. */
  readonly frozen: readonly string[];
}

/** What a loss is computed from. */
export interface LossSite extends Losses {
  /** The graph's outputs by name. */
  readonly outputs: ReadonlyMap<string, Ref>;
  /** Of the first output, before a softmax that ends the graph. */
  readonly logits: Ref;
  /** Of the first output's shape: probabilities of classes. Who reads it needs labels. */
  readonly target: Ref;
  /** What the teacher gives for the batch, by the name of the output. */
  readonly teacher: (output: string) => Ref;
  /** Parameters by name. */
  readonly parameters: ReadonlyMap<string, Ref>;
  /** Scales of batch norms. */
  readonly gammas: readonly Ref[];
  /** What comes out of nonlinear functions. */
  readonly activations: readonly Ref[];
}

export type LossFunction = (site: LossSite) => Ref;

export const classification: LossFunction = ({ crossEntropy, logits, target }) => crossEntropy(logits, target);

type ByName = (name: string) => boolean;

/** Constants that training changes: weights and biases of products, scales and shifts of norms, and what `isTrained` picks. */
export function parametersOf(graph: Graph, isFrozen: ByName = () => false, isTrained: ByName = () => false): Value[] {
  const found = new Set<Value>();
  for (const { op, inputs } of graph.nodes)
    inputs.forEach((x, i) => {
      if (!x?.data || x.type.dtype !== 'f32' || isFrozen(x.name)) return;
      if (TRAINED[op.name]?.includes(i) || isTrained(x.name)) found.add(x);
    });
  return [...found];
}

/** Inputs that are parameters where they are constants, by operator. */
const TRAINED: Readonly<Record<string, readonly number[]>> = {
  conv: [1, 2],
  gemm: [1, 2],
  matmul: [0, 1],
  layerNorm: [1, 2],
  batchNorm: [1, 2],
};

/** Running means and variances, and the nodes' outputs that they follow. */
export function statesOf(graph: Graph): { value: Value; node: Graph['nodes'][number]; output: 1 | 2; momentum: number }[] {
  return graph.nodes
    .filter(({ op }) => op.name === 'batchNorm')
    .flatMap((node) =>
      ([1, 2] as const).map((output) => ({
        value: node.inputs[2 + output]!,
        node,
        output,
        momentum: node.attrs.momentum as number,
      })),
    );
}

/** Scales of batch norms, which say how much a channel matters. */
export const gammasOf = ({ nodes }: Graph): Value[] =>
  nodes.filter(({ op }) => op.name === 'batchNorm').map(({ inputs }) => inputs[1]!);

const NONLINEAR: ReadonlySet<string> = new Set<StepName>([
  ...(['relu', 'leakyRelu', 'sigmoid', 'hardSigmoid', 'hardSwish', 'silu', 'tanh'] as const),
  ...(['gelu', 'geluTanh', 'softplus', 'softsign', 'elu', 'mish'] as const),
]);

/** Of a node that `unfused` made; a clip from 0 is what ReLU6 is imported as. */
const isActivation = ({ op, attrs }: Graph['nodes'][number]): boolean =>
  op.name === 'unary' && (attrs.steps as readonly Step[]).some(({ fn, a }) => NONLINEAR.has(fn) || (fn === 'clip' && a === 0));

function laidOut<T extends Value>(values: readonly T[]): { slots: Slot[]; count: number } {
  let count = 0;
  const slots = values.map(({ name, type }) => {
    const shape = type.shape as StaticShape;
    const offset = count;
    count += elements(shape);
    return { name, shape, offset };
  });
  return { slots, count };
}

export interface ProgramOptions {
  /** Examples in one execution. */
  batch: number;
  loss: LossFunction;
  /** Names of constants that stay as they are. */
  isFrozen?: ByName | undefined;
  /** Names of constants that are parameters besides, such as scales of quantisers. They are not decayed. */
  isTrained?: ByName | undefined;
  teacher?: Teacher | undefined;
}

/** Whose answers a loss may read. */
export interface Teacher {
  /** Of one input. */
  readonly graph: Graph;
  /** Whether it is in the model, and sees the very batch; else its only output is fed. */
  readonly isWithin: boolean;
}

/** Throws ARGUMENT where there is nothing to train, SHAPE where batches cannot be made, UNSUPPORTED. */
export function compile(graph: Graph, options: ProgramOptions): Program {
  const { batch, loss, isFrozen, isTrained, teacher } = options;
  const x = inputOf(graph);
  const { graph: plain, values } = unfused(graph, batchBindings(x, batch));
  // Those that are decayed come first.
  const all = parametersOf(graph, isFrozen, isTrained);
  const isDecayed = ({ name, type }: Value) => type.shape.length > 1 && !isTrained?.(name);
  const chosen = [...all.filter(isDecayed), ...all.filter((p) => !isDecayed(p))];
  const parameters = chosen.map((value) => values.get(value)!);
  const gammas = new Set(gammasOf(plain));
  const fed: { target?: Value; taught?: Value } = {};
  const scores = logitsOf(plain.outputs[0]!.value).type.shape as StaticShape;
  const made = differentiate(plain, parameters, ({ build, emit, current }) => {
    const outputs = plain.outputs.map(({ name, value }) => [name, current(value)] as const);
    const logits = logitsOf(outputs[0]![1]);
    const input = (name: string, { shape }: Value['type']) => build.input(name, { dtype: 'f32', shape });
    const answersOf = ({ graph, isWithin }: Teacher): ReadonlyMap<string, Value> => {
      const { graph: fixed } = unfused(graph, batchBindings(graph.inputs[0]!, batch));
      const read = isWithin
        ? copyInto(build, fixed, new Map([[fixed.inputs[0]!, current(plain.inputs[0]!)]]), { prefix: 'teacher.' })
        : ({ type }: Value) => (fed.taught = input('taught', type));
      return new Map(fixed.outputs.map(({ name, value }) => [name, read(value)]));
    };
    let answers: ReadonlyMap<string, Value> | undefined;
    return loss({
      ...losses(emit),
      ...{ outputs: new Map(outputs), logits },
      parameters: new Map(parameters.map((p, i) => [chosen[i]!.name, current(p)])),
      gammas: parameters.filter((p) => gammas.has(p)).map(current),
      activations: plain.nodes.filter(isActivation).map(({ outputs }) => current(outputs[0]!)),
      get target() {
        return (fed.target ??= input('target', logits.type));
      },
      teacher(output) {
        invariant(teacher, () => 'a loss reads what no teacher says');
        answers ??= answersOf(teacher);
        return answers.get(output)!;
      },
    }) as Value;
  });
  const unreached = new Set(chosen.filter((_, i) => !made.gradients[i]).map(({ name }) => name));
  if (unreached.size === chosen.length)
    throw new WaferError('ARGUMENT', 'the model has no weights that could be trained', {
      hint: made.frozen.length ? `no gradient goes through ${made.frozen.join(', ')}` : 'is it quantised, or all frozen?',
    });
  // What no gradient reaches stays a constant.
  if (unreached.size) {
    const rest = compile(graph, { ...options, isFrozen: (name) => unreached.has(name) || Boolean(isFrozen?.(name)) });
    return { ...rest, frozen: [...made.frozen, ...rest.frozen] };
  }
  const states = statesOf(plain);
  const outputs = [
    made.loss,
    ...made.gradients.map((gradient) => gradient!),
    ...states.map(({ node, output }) => made.values.get(node.outputs[output]!)!),
  ];
  const finished = made.build.finish(outputs.map((value, i) => ({ name: `y${i}`, value })));
  const { slots, count } = laidOut(chosen);
  const ownStates = statesOf(graph);
  const running = laidOut(ownStates.map(({ value }) => value));
  return {
    onnx: toOnnx(finished),
    input: { name: x.name, shape: plain.inputs[0]!.type.shape as StaticShape },
    target: asFed(fed.target),
    taught: asFed(fed.taught),
    scores,
    parameters: slots,
    states: running.slots.map((slot, i) => ({ ...slot, momentum: ownStates[i]!.momentum })),
    parameterCount: count,
    stateCount: running.count,
    decayed: laidOut(chosen.filter(isDecayed)).count,
    frozen: made.frozen,
  };
}

/** The input of a model that can be trained. Throws UNSUPPORTED where that is not one of floats. */
export function inputOf({ inputs }: Graph): Value {
  const [x] = inputs;
  if (x && inputs.length === 1 && x.type.dtype === 'f32') return x;
  throw new WaferError('UNSUPPORTED', `training takes models with one input of floats, this one has ${inputs.length} inputs`);
}

const asFed = (x: Value | undefined): Fed | undefined => x && { name: x.name, shape: x.type.shape as StaticShape };

/** The batch as the size of the input's first, free dimension. Throws SHAPE. */
export function batchBindings(x: Value, batch: number): Bindings {
  const [first, ...rest] = x.type.shape;
  const isSymbol = first !== undefined && !isStatic(first) && first.terms.length === 1;
  const atom = isSymbol ? first.terms[0]!.atoms[0] : undefined;
  if (!atom || !('symbol' in atom) || !rest.every(isStatic))
    throw new WaferError(
      'SHAPE',
      `input "${x.name}" is ${shapeText(x.type.shape)}; training needs a free batch and fixed sizes else`,
      {
        hint: `import it with --input ${x.name}=N,${rest.map((d) => (isStatic(d) ? d : 224)).join(',') || 'C'}`,
      },
    );
  return new Map([[atom.symbol, batch]]);
}

export interface Weights {
  readonly parameters: Float32Array;
  readonly states: Float32Array;
}

/** Flat vectors of what constants of `graph` hold. */
export function weightsOf(graph: Graph, program: Program): Weights {
  const constants = new Map(constantsOf(graph).map((x) => [x.name, x.data as Float32Array]));
  const flat = (slots: readonly Slot[], count: number) => {
    const all = new Float32Array(count);
    for (const { name, offset } of slots) all.set(constants.get(name)!, offset);
    return all;
  };
  return {
    parameters: flat(program.parameters, program.parameterCount),
    states: flat(program.states, program.stateCount),
  };
}

/** Constants by name. */
export function trainedConstants(weights: Weights, { parameters, states }: Program): Map<string, Float32Array> {
  const byName = new Map<string, Float32Array>();
  const put = (slots: readonly Slot[], flat: Float32Array) => {
    for (const { name, offset, shape } of slots) byName.set(name, flat.slice(offset, offset + elements(shape)));
  };
  put(parameters, weights.parameters);
  put(states, weights.states);
  return byName;
}

/** The graph with other elements in some constants, by their names. */
export function withConstants(graph: Graph, byName: ReadonlyMap<string, Float32Array>): Graph {
  const build = new Builder();
  const values = new Map(graph.inputs.map((x) => [x, build.input(x.name, x.type)]));
  const now = copyInto(build, graph, values, { dataOf: ({ name, data }) => byName.get(name) ?? data! });
  return build.finish(graph.outputs.map(({ name, value }) => ({ name, value: now(value) })));
}

/** The graph with its batch norms as factors and terms by their running statistics: for a file. */
export const folded = (graph: Graph): Graph =>
  rewrite(graph, ({ node, inputs, emit, floats }) => {
    if (node.op.name !== 'batchNorm') return undefined;
    const [gamma, beta, mean, variance] = node.inputs.slice(1).map((x) => x!.data as Float32Array);
    const epsilon = node.attrs.epsilon as number;
    const scale = gamma!.map((g, i) => g / Math.sqrt(variance![i]! + epsilon));
    const shift = beta!.map((b, i) => b - mean![i]! * scale[i]!);
    const scaled = emit('binary', [inputs[0]!, floats([scale.length], scale)], { fn: 'mul' }, `${node.name}.scaled`);
    const y = emit('binary', [scaled, floats([shift.length], shift)], { fn: 'add' });
    return [y, y, y];
  });
