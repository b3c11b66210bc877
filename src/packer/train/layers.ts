/**
 * Models in TypeScript: a function that is given layers and returns the output's value. Layers add nodes with drawn weights (He's
 * initialisation, from a seed) to a graph of Wafer's own operators; batch norms are the training-only kind until they are folded.
 */
import { symbol } from '../../core/dim';
import type { DType } from '../../core/dtype';
import { random } from '../../core/random';
import { elements, type StaticShape } from '../../core/shape';
import { Builder, type Graph, type Value } from '../../graph/ir';
import type { Attrs } from '../../ops/define';
import { type StepName, step } from '../../ops/steps';
import { statisticsOf } from '../data/batches';
import type { Dataset } from '../data/dataset';
import { kindNamed } from './kinds';
import { normalised } from './normalised';

export interface ConvOptions {
  /** Height and width, or both. Default 3. */
  kernel?: number | readonly [number, number];
  stride?: number | readonly [number, number];
  /** On every side; by default such that a stride of 1 keeps the size. */
  pad?: number;
  dilation?: number;
  groups?: number;
  bias?: boolean;
}

export interface PoolOptions {
  kernel?: number;
  /** Default: the kernel. */
  stride?: number;
  pad?: number;
}

/** All images are [N,H,W,C]. */
export interface Layers {
  /** The model's input, without the batch's axis. */
  input(shape: StaticShape, name?: string): Value;
  conv(x: Value, channels: number, options?: ConvOptions): Value;
  depthwise(x: Value, options?: Omit<ConvOptions, 'groups'>): Value;
  linear(x: Value, features: number, options?: { bias?: boolean }): Value;
  batchNorm(x: Value, options?: { epsilon?: number; momentum?: number }): Value;
  layerNorm(x: Value): Value;
  /** Any function of one number, by its name: relu, hardSwish, gelu, sigmoid … */
  activation(x: Value, name: StepName): Value;
  relu(x: Value): Value;
  add(a: Value, b: Value): Value;
  mul(a: Value, b: Value): Value;
  concat(values: readonly Value[]): Value;
  maxPool(x: Value, options?: PoolOptions): Value;
  averagePool(x: Value, options?: PoolOptions): Value;
  /** Mean of all pixels: [N,C]. */
  globalPool(x: Value): Value;
  /** [N,…] to [N,F]. */
  flatten(x: Value): Value;
  /** Any operator by its name. */
  op(name: string, inputs: readonly Value[], attrs?: Attrs): Value;
}

export type ModelFunction = (layers: Layers) => Value;

const pair = (x: number | readonly [number, number]): readonly [number, number] => (typeof x === 'number' ? [x, x] : x);

/**
 * Builds a model; the same seed draws the same weights. Its output is called `logits`. With the set that it is to be trained on, numbers
 * that are no bytes are normalised by the model itself, so that its file takes them as they are.
 */
export function buildModel(model: ModelFunction, seed: number, set?: Dataset): Graph {
  const build = new Builder();
  const next = random(seed);
  const counts = new Map<string, number>();
  const named = (kind: string): string => {
    const count = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, count);
    return `${kind}${count}`;
  };
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  const constant = (name: string, shape: StaticShape, make: () => number): Value =>
    build.constant(name, { dtype: 'f32' satisfies DType, shape }, Float32Array.from({ length: elements(shape) }, make));
  const drawn = (name: string, shape: StaticShape): Value => {
    const deviation = Math.sqrt(2 / elements(shape.slice(1)));
    return constant(name, shape, () => deviation * normal());
  };
  const fixed = (name: string, size: number, value: number) => constant(name, [size], () => value);
  const channelsOf = (x: Value): number => x.type.shape.at(-1) as number;

  const conv = (x: Value, channels: number, options: ConvOptions = {}, kind = 'conv'): Value => {
    const { kernel = 3, stride = 1, dilation = 1, groups = 1, bias = true } = options;
    const [kh, kw] = pair(kernel);
    const pads = [kh, kw].map((k) => options.pad ?? Math.floor(((k - 1) * dilation) / 2));
    const name = named(kind);
    const w = drawn(`${name}.weight`, [channels, kh, kw, channelsOf(x) / groups]);
    const inputs = bias ? [x, w, fixed(`${name}.bias`, channels, 0)] : [x, w];
    const attrs = { strides: pair(stride), pads: [...pads, ...pads], dilations: [dilation, dilation], group: groups };
    return build.node('conv', name, inputs, attrs);
  };
  const pool = (fn: string, x: Value, { kernel = 2, stride = kernel, pad = 0 }: PoolOptions = {}): Value =>
    build.node('pool', named(`${fn}Pool`), [x], { fn, kernel: pair(kernel), strides: pair(stride), pads: [pad, pad, pad, pad] });
  const activation = (x: Value, name: StepName): Value => build.node('unary', named(name), [x], { steps: [step(name)] });
  const binary = (fn: string, a: Value, b: Value): Value => build.node('binary', named(fn), [a, b], { fn });

  const output = model({
    input: (shape, name = 'x') => build.input(name, { dtype: 'f32', shape: [symbol('N'), ...shape] }),
    conv,
    depthwise: (x, options) => conv(x, channelsOf(x), { ...options, groups: channelsOf(x) }, 'depthwise'),
    linear(x, features, { bias = true } = {}) {
      const name = named('linear');
      const w = drawn(`${name}.weight`, [features, channelsOf(x)]);
      return build.node('gemm', name, bias ? [x, w, fixed(`${name}.bias`, features, 0)] : [x, w]);
    },
    batchNorm(x, attrs = {}) {
      const name = named('norm');
      const vectors = (['gamma', 'beta', 'mean', 'variance'] as const).map((part, i) =>
        fixed(`${name}.${part}`, channelsOf(x), [1, 0, 0, 1][i]!),
      );
      return build.node(kindNamed('batchNorm'), name, [x, ...vectors], attrs as Attrs);
    },
    layerNorm(x) {
      const name = named('layerNorm');
      return build.node('layerNorm', name, [
        x,
        fixed(`${name}.gamma`, channelsOf(x), 1),
        fixed(`${name}.beta`, channelsOf(x), 0),
      ]);
    },
    activation,
    relu: (x) => activation(x, 'relu'),
    add: (a, b) => binary('add', a, b),
    mul: (a, b) => binary('mul', a, b),
    concat: (values) => build.node('concat', named('concat'), values, { axis: values[0]!.type.shape.length - 1 }),
    maxPool: (x, options) => pool('max', x, options),
    averagePool: (x, options) => pool('average', x, options),
    globalPool: (x) => build.node('reduce', named('globalPool'), [x], { fn: 'mean', axes: [1, 2], keepdims: false }),
    flatten(x) {
      const [n, ...rest] = x.type.shape;
      return build.node('reshape', named('flatten'), [x], { shape: [n!, elements(rest as number[])] });
    },
    op: (name, inputs, attrs) => build.node(kindNamed(name), named(name), inputs, attrs),
  });
  const graph = build.finish([{ name: 'logits', value: output }]);
  return set?.data instanceof Float32Array ? normalised(graph, statisticsOf(set)) : graph;
}
