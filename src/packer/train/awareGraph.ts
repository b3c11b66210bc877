/**
 * The graph of quantisation-aware training: a plan's float graph with quantisers where levels will be, and read back as what its
 * products and scales were trained to, weights on levels. Layers of fewer than 8 bits are trained behind a batch norm, which is then
 * folded into their scales and biases: a scale a channel is all that folding changes, so levels are the same before and after.
 */
import { invariant } from '../../core/errors';
import { Builder, type Graph, type Node, type Value } from '../../graph/ir';
import type { Ref } from '../../ops/define';
import { runReference } from '../evaluate/reference';
import { bitsOf, type Grid, peakGrid, ttqLevels } from '../quantize/formats';
import { floatWeights, innerValues } from '../quantize/lower';
import type { Plan, Tuned, TunedLayer } from '../quantize/plan';
import { levelInputs } from '../quantize/regions';
import { importanceOf, quantizeForFloats, type Rows } from '../quantize/weights';
import { emitter } from './differentiate';
import { meaningOf, type TrainEmit } from './kinds';
import { behindNorm, NORM } from './norms';
import { type LearntScale, type Quantizers, quantizers } from './quantizers';

/** Where all of a channel's weights are 0. */
const LEAST_SCALE = 1e-12;

/** Carrying nodes that make new numbers; others only move levels. */
const isMove = ({ op, attrs }: Node): boolean => op.name !== 'resize' && !(op.name === 'pool' && attrs.fn !== 'max');

type Read = (name: string) => Float32Array;

export interface AwareGraph {
  graph: Graph;
  /** Names of what is trained. */
  trained: ReadonlySet<string>;
  read(constants: ReadonlyMap<string, Float32Array>): Tuned;
}

export function awareGraph(plan: Plan): AwareGraph {
  const { graph, regions } = plan;
  const build = new Builder();
  let name = '';
  const emit = emitter(build, () => name);
  const quantise = quantizers(emit);
  const trained = new Set<string>();
  /** A constant that training changes. */
  const parameter = (wanted: string, shape: readonly number[], data: Float32Array): Value => {
    const value = build.constant(wanted, { dtype: 'f32', shape }, data);
    trained.add(value.name);
    return value;
  };
  const inputs = new Map(graph.inputs.map((x) => [x, build.input(x.name, x.type)]));
  const constants = new Map<Value, Value>();
  const constant = (x: Value): Value => {
    if (!constants.has(x)) constants.set(x, build.constant(x.name, x.type, x.data!));
    return constants.get(x)!;
  };

  const scales = new Map<Value, Learnt>();
  const quantised = (of: Value, x: Value): Value => {
    const root = plan.rootOf(of);
    const { scale, zero } = plan.quantOf(of);
    if (!scales.has(root)) scales.set(root, learnt(`${root.name}.scale`, [], Float32Array.of(scale), { build, emit, parameter }));
    name = `${of.name}.levels`;
    return quantise.lsq(x, scales.get(root)!, -128 - zero, 127 - zero) as Value;
  };

  const values = new Map<Value, Value>(inputs);
  const levels = new Map<Value, Value>();
  const asFloat = (x: Value): Value => (x.data ? constant(x) : values.get(x)!);
  const asLevels = (x: Value): Value => {
    if (x.data) return constant(x);
    if (!levels.has(x)) levels.set(x, quantised(x, values.get(x)!));
    return levels.get(x)!;
  };
  const { fine, functions } = innerValues(graph, regions);
  const isRounded = (node: Node, y: Value) =>
    !fine.has(y) && !functions.has(y) && !(regions.integer.get(node) === 'carry' && isMove(node));
  const readers = new Map<Node, (read: Read) => TunedLayer>();
  for (const node of graph.nodes) {
    const form = regions.integer.get(node);
    const leveled = new Set(form ? levelInputs(node) : []);
    const read = node.inputs.map((x) => x && (leveled.has(x) ? asLevels(x) : asFloat(x)));
    name = `${node.name}.levels`;
    let outputs: readonly Value[];
    if (form === 'product' || plan.signed.has(node)) {
      const made = awareProduct(plan, node, read, { emit, parameter, build });
      readers.set(node, made.read);
      outputs = [made.y];
    } else outputs = build.add(node.op, node.name, read, node.attrs);
    node.outputs.forEach((y, i) => {
      values.set(y, outputs[i]!);
      if (!form || !regions.wanted.has(y)) return;
      // What is in levels is in levels for all that read it.
      const rounded = isRounded(node, y) ? quantised(y, outputs[i]!) : outputs[i]!;
      values.set(y, rounded);
      levels.set(y, rounded);
    });
  }
  const outputs = graph.outputs.map(({ name, value }) => ({ name, value: asFloat(value) }));
  return {
    graph: build.finish(outputs),
    trained,
    read(constants) {
      const found: Read = (wanted) => {
        const data = constants.get(wanted);
        invariant(data, () => `"${wanted}" was not trained`);
        return data;
      };
      return {
        layers: new Map([...readers].map(([node, read]) => [node, read(found)])),
        scales: new Map(
          [...scales].map(([root, scale]) => [root, evaluated(found, [scale], (q, [s]) => q.scale(s as Learnt))[0]!]),
        ),
      };
    },
  };
}

interface Site {
  build: Builder;
  emit: TrainEmit;
  parameter(wanted: string, shape: readonly number[], data: Float32Array): Value;
}

/** A product whose weights are quantised, and what it was trained to. */
function awareProduct(
  plan: Plan,
  node: Node,
  inputs: readonly (Value | undefined)[],
  { build, emit, parameter }: Site,
): { y: Value; read: (read: Read) => TunedLayer } {
  const [x, , , , residual] = inputs;
  const [, w, bias] = node.inputs as [Value, Value, Value | undefined];
  const shape = w.type.shape as readonly number[];
  const channels = shape[0]!;
  const isSigned = plan.signed.has(node);
  const latent = parameter(`${node.name}.weight`, shape, (w.data as Float32Array).slice());
  const weights = weightsOf(plan, node, latent, { build, emit, parameter });
  const rows = (channel: number) => plan.rowsOf(node, channel);
  const signs = isSigned ? signsOf(node, rows(0), x!, { build, emit, parameter }) : undefined;
  const sums = (bias?.data as Float32Array | undefined)?.slice() ?? new Float32Array(channels);
  const from = signs?.y ?? x;
  if (!isSigned && bitsOf(plan.formatOf(node)) >= 8) {
    const b = parameter(`${node.name}.bias`, [channels], sums);
    const y = build.node(node.op, node.name, [from, weights.value, b, undefined, residual], node.attrs);
    return { y, read: (read) => ({ ...weights.read(read), bias: read(b.name) }) };
  }
  // As the float product is: that is where training starts.
  const { mean, deviation } = momentsOf(node, rows);
  const vector = (part: string, data: Float32Array) => parameter(`${node.name}.${part}`, [channels], data);
  const gamma = vector('gamma', deviation);
  const beta = vector('beta', mean);
  const statistics = [new Float32Array(channels), new Float32Array(channels).fill(1)].map((data, i) =>
    build.constant(`${node.name}.${i ? 'variance' : 'mean'}`, { dtype: 'f32', shape: [channels] }, data),
  ) as [Value, Value];
  const y = behindNorm(build, node, [from as Value, weights.value, residual], {
    ...{ gamma, beta },
    ...{ mean: statistics[0], variance: statistics[1] },
  });
  return {
    y,
    read(read) {
      const { weights: own, grid } = weights.read(read);
      const [g, b, m, v] = [gamma, beta, ...statistics].map(({ name }) => read(name)) as [
        Float32Array,
        Float32Array,
        Float32Array,
        Float32Array,
      ];
      const factor = g.map((each, o) => each / Math.sqrt(v[o]! + NORM.epsilon));
      const size = own.length / channels;
      return {
        weights: own.map((each, i) => each * factor[Math.floor(i / size)]!),
        bias: b.map((each, o) => each - m[o]! * factor[o]!),
        // A channel whose factor is negative has the negatives of the levels.
        grid: grid && factor.some((f) => f < 0) ? mirrored(grid) : grid,
        ...(signs && { threshold: read(signs.threshold) }),
      };
    },
  };
}

const mirrored = ({ levels }: Grid): Grid =>
  peakGrid(
    [...new Set(levels.flatMap((level) => [level, level && -level]))].sort((a, b) => a - b),
    [1],
  );

/** The signs of what a product reads, less a threshold that begins as its mean; gradients pass within a deviation of it. */
function signsOf(node: Node, rows: Rows, x: Value, { emit, parameter, build }: Site): { y: Value; threshold: string } {
  const channels = x.type.shape.at(-1) as number;
  const means = rows.mean();
  const columns = means.length;
  const variances = importanceOf(rows, columns);
  const [mean, variance] = [new Float32Array(channels), new Float32Array(channels)];
  for (let k = 0; k < columns; k++) {
    mean[k % channels]! += (means[k]! * channels) / columns;
    variance[k % channels]! += (variances[k]! * channels) / columns;
  }
  const threshold = parameter(`${node.name}.threshold`, [channels], mean);
  const width = build.constant(
    `${node.name}.width`,
    { dtype: 'f32', shape: [channels] },
    variance.map((v) => Math.sqrt(v) || 1),
  );
  const { signs } = quantizers(emit);
  const difference = emit('binary', [emit('binary', [x, threshold], { fn: 'sub' }), width], { fn: 'div' });
  return { y: signs(difference) as Value, threshold: threshold.name };
}

/** Mean and deviation of a float product's sums, by channel, as far as calibration saw. */
function momentsOf({ inputs: [, w, bias] }: Node, rows: (channel: number) => Rows) {
  const weights = w!.data as Float32Array;
  const channels = w!.type.shape[0] as number;
  const size = weights.length / channels;
  const [mean, deviation] = [new Float32Array(channels), new Float32Array(channels)];
  for (let o = 0; o < channels; o++) {
    const row = weights.subarray(o * size, (o + 1) * size);
    const means = rows(o).mean();
    mean[o] = row.reduce((sum, weight, k) => sum + weight * means[k]!, (bias?.data as Float32Array | undefined)?.[o] ?? 0);
    let variance = 0;
    for (const block of rows(o).blocks) {
      const { covariance } = block.solved();
      const n = block.columns.length;
      for (let i = 0; i < n; i++)
        for (let j = 0; j < n; j++) variance += row[block.columns[i]!]! * row[block.columns[j]!]! * covariance[i * n + j]!;
    }
    deviation[o] = Math.sqrt(Math.max(variance, LEAST_SCALE));
  }
  return { mean, deviation };
}

/** A learnt scale of the graph that is trained. */
interface Learnt extends LearntScale {
  ratio: Value;
  start: Value;
}

function learnt(name: string, shape: readonly number[], start: Float32Array, { build, parameter }: Site): Learnt {
  return {
    ratio: parameter(name, shape, new Float32Array(start.length)),
    start: build.constant(`${name}.start`, { dtype: 'f32', shape }, start),
  };
}

type Operand = Value | Learnt;

/** What a quantiser makes of trained numbers. */
function evaluated(read: Read, operands: readonly Operand[], make: Make): Float32Array {
  const build = new Builder();
  const constant = ({ name, type, data }: Value, trained: boolean) => build.constant(name, type, trained ? read(name) : data!);
  const given = operands.map((x) =>
    'ratio' in x ? { ratio: constant(x.ratio, true), start: constant(x.start, false) } : constant(x, true),
  );
  const value = make(quantizers(emitter(build, () => 'value')), given) as Value;
  const graph = build.finish([{ name: 'value', value }]);
  return Float32Array.from(runReference(graph, new Map(), (op) => meaningOf(op).reference).get(value)!.data);
}

type Make = (q: Quantizers, operands: readonly Operand[]) => Ref;

interface AwareWeights {
  value: Value;
  read(read: Read): Pick<TunedLayer, 'weights' | 'grid'>;
}

/** Weights by their format: TWN and BWN take their scales from the weights, all others learn them. */
function weightsOf(plan: Plan, node: Node, latent: Value, site: Site): AwareWeights {
  const format = plan.signed.has(node) ? 'binary' : plan.formatOf(node);
  const made = (operands: readonly Operand[], make: Make, grid?: Grid): AwareWeights => ({
    value: make(quantizers(site.emit), operands) as Value,
    read: (read) => ({ weights: evaluated(read, operands, make), grid }),
  });
  const { parameter } = site;
  if (format === 'ternary' || format === 'binary') return made([latent], (q, [w]) => q[format](w as Value));
  if (format === 'ttq') {
    const [low, , high] = floatWeights(node, { ...plan, rounding: 'nearest' }).grid.levels as [number, number, number];
    const unit = meanMagnitude(latent.data as Float32Array) / 127;
    const [p, n] = [high, -low].map((level, i) =>
      parameter(`${node.name}.${i ? 'negative' : 'positive'}`, [], Float32Array.of(level * unit)),
    ) as [Value, Value];
    const { value, read } = made([latent, p, n], (q, xs) => q.ttq(...(xs as [Value, Value, Value])));
    return {
      value,
      read(trained) {
        const [positive, negative] = [p, n].map(({ name }) => Math.abs(trained(name)[0]!)) as [number, number];
        const levels = ttqLevels(positive, negative);
        const scale = Math.max(positive, negative) / 127;
        const weights = read(trained).weights.map((w) => levels[1 + Math.sign(w)]! * scale);
        return { weights, grid: peakGrid(levels, [1]) };
      },
    };
  }
  const float = floatWeights(node, { ...plan, rounding: 'nearest' });
  const { scales } = quantizeForFloats(float, 1);
  const { levels } = float.grid;
  const shape = latent.type.shape.map((size, axis) => (axis === 0 ? (size as number) : 1));
  const scale = learnt(`${node.name}.weightScale`, shape, Float32Array.from(scales), site);
  const [least, most] = [levels[0]!, levels.at(-1)!];
  return levels.length === most - least + 1
    ? made([latent, scale], (q, [w, s]) => q.lsq(w as Value, s as Learnt, least, most))
    : made([latent, scale], (q, [w, s]) => q.levels(w as Value, s as Learnt, levels), float.grid);
}

const meanMagnitude = (row: Float32Array): number => row.reduce((sum, w) => sum + Math.abs(w), 0) / row.length;
