/** How a float graph is to be quantised, complete: what training changes and lowering carries out. */
import type { Quant } from '../../core/shape';
import { Builder, type Graph, type Node, type Value } from '../../graph/ir';
import { step } from '../../ops/steps';
import { fuse } from '../passes/fuse';
import type { Grid } from './formats';
import { type Calibration, lowerToIntegers } from './lower';
import type { Regions } from './regions';

export interface Plan extends Calibration {
  /** Of `splitActivations`. */
  readonly graph: Graph;
  readonly regions: Regions;
  /** Products whose inputs are to become signs (XNOR-Net, Rastegari et al. 2016); of the float nodes in `regions`. */
  readonly signed: ReadonlySet<Node>;
  /** The one that stands for all values that share a quantisation. */
  rootOf(value: Value): Value;
}

export const lower = (plan: Plan): Graph => fuse(lowerToIntegers(plan.graph, plan.regions, plan));

/** What training made of a plan. */
export interface Tuned {
  readonly layers: ReadonlyMap<Node, TunedLayer>;
  /** Scales of values that stand for those that share one. */
  readonly scales: ReadonlyMap<Value, number>;
}

/** A product. */
export interface TunedLayer {
  /** As they were shaped; on levels where the layer's format has some. */
  readonly weights: Float32Array;
  /** [O]. */
  readonly bias: Float32Array;
  /** The levels, where they do not follow from the format and the weights. */
  readonly grid?: Grid | undefined;
  /** [C]: what the layer reads is 1 from there on and else -1, where it is computed in signs. */
  readonly threshold?: Float32Array | undefined;
}

/** Sign(Sign(x) + 0.5): 1 where x >= 0, else -1. */
const SIGNS = [step('sign'), step('affine', 1, 0.5), step('sign')];

/** The plan of the same graph with what was trained. Weights are levels, and stay what they are. */
export function tunedPlan(plan: Plan, { layers, scales }: Tuned): Plan {
  const build = new Builder();
  const [now, before] = [new Map<Value, Value>(), new Map<Value, Value>()];
  const [nodes, nodesBefore] = [new Map<Node, Node>(), new Map<Node, Node>()];
  const put = (was: Value, is: Value) => {
    now.set(was, is);
    before.set(is, was);
    return is;
  };
  for (const x of plan.graph.inputs) put(x, build.input(x.name, x.type));
  const current = (x: Value): Value => now.get(x) ?? put(x, build.constant(x.name, x.type, x.data!));
  const floats = (name: string, shape: readonly number[], data: Float32Array) =>
    build.constant(name, { dtype: 'f32', shape }, data);
  /** The inputs of a product, with what it was trained to. */
  const trained = ({ name, inputs: [x, w, bias, ...rest] }: Node, layer: TunedLayer): (Value | undefined)[] => {
    const { weights, threshold, bias: sums } = layer;
    let read = current(x!);
    if (threshold) {
      const difference = build.node(
        'binary',
        `${name}.difference`,
        [read, floats(`${name}.threshold`, [threshold.length], threshold)],
        {
          fn: 'sub',
        },
      );
      read = build.node('unary', `${name}.signs`, [difference], { steps: SIGNS });
    }
    return [
      read,
      build.constant(w!.name, w!.type, weights),
      floats(bias?.name ?? `${w!.name}.bias`, [sums.length], sums),
      ...rest.map((r) => r && current(r)),
    ];
  };
  for (const node of plan.graph.nodes) {
    const layer = layers.get(node);
    const inputs = layer ? trained(node, layer) : node.inputs.map((x) => x && current(x));
    const outputs = build.add(node.op, node.name, inputs, node.attrs);
    node.outputs.forEach((y, i) => put(y, outputs[i]!));
    nodes.set(node, outputs[0]!.producer!);
    nodesBefore.set(outputs[0]!.producer!, node);
  }
  const graph = build.finish(plan.graph.outputs.map(({ name, value }) => ({ name, value: current(value) })));
  const { integer, wanted, float } = plan.regions;
  const moved = <T>(map: ReadonlyMap<Node, T>) => new Map([...map].map(([node, of]) => [nodes.get(node)!, of]));
  return {
    graph,
    regions: { integer: moved(integer), wanted: new Set([...wanted].map(current)), float: moved(float) },
    signed: new Set([...plan.signed].map((node) => nodes.get(node)!)),
    rootOf: (value) => current(plan.rootOf(before.get(value)!)),
    quantOf(value): Quant {
      const root = plan.rootOf(before.get(value)!);
      return { ...plan.quantOf(root), ...(scales.has(root) && { scale: scales.get(root)! }) };
    },
    rowsOf: (product, channel) => plan.rowsOf(nodesBefore.get(product)!, channel),
    formatOf: (product) => plan.formatOf(nodesBefore.get(product)!),
    gridOf: (product) => layers.get(nodesBefore.get(product)!)?.grid,
    rounding: 'nearest',
  };
}
