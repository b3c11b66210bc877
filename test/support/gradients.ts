/** Operators' cases as graphs whose outputs, weighted by drawn numbers, make a loss; and their gradients by finite differences. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { expect } from 'vitest';
import { elements, type StaticType } from '../../src/core/shape';
import { Builder, type Graph, type Value } from '../../src/graph/ir';
import type { RefTensor } from '../../src/ops/define';
import { runReference, toReference } from '../../src/packer/evaluate/reference';
import { type Differentiated, differentiate, unfused } from '../../src/packer/train/differentiate';
import { meaningOf } from '../../src/packer/train/kinds';
import { toOnnx } from '../../src/packer/train/onnx';
import { allCases, buildCase } from './cases';
import { random, seedOf } from './random';

export interface GradientCase {
  readonly address: string;
  readonly graph: Graph;
  readonly inputs: ReadonlyMap<Value, RefTensor>;
}

/** Between two values of the function: there is no gradient. */
const AT_A_STEP = new Set(['ties to even']);

/** All cases of float operators, as far as their values are numbers. */
export function gradientCases(): GradientCase[] {
  return allCases().flatMap((each) => {
    if (!each.offline.gradient || AT_A_STEP.has(each.case.name ?? '')) return [];
    const built = buildCase(each);
    const node = built.graph.nodes[0]!;
    if (node.outputs[0]!.type.dtype !== 'f32') return [];
    const inputs = new Map<Value, RefTensor>();
    for (const x of node.inputs) {
      if (!x) continue;
      const type = x.type as StaticType;
      inputs.set(x, toReference(type, x.data ?? (built.inputs[x.name]!.data as ArrayLike<number>)));
    }
    const floats = [...inputs.values()].filter(({ type }) => type.dtype === 'f32');
    const numbers = [...floats.map(({ data }) => data), ...built.want];
    if (floats.length === 0 || [...inputs.keys()].some((x) => x.type.dtype === 'i8')) return [];
    if (numbers.some((data) => !data.every(Number.isFinite))) return [];
    return [{ address: each.address, graph: built.graph, inputs }];
  });
}

export interface Built {
  readonly differentiated: Differentiated;
  /** Outputs are the loss and the gradients of those parameters that have one. */
  readonly graph: Graph;
  readonly parameters: readonly Value[];
  readonly feeds: ReadonlyMap<string, RefTensor>;
}

/** The loss sum(u * y) over all outputs, for a drawn u, and its gradient by every float input. */
export function differentiateCase({ address, graph, inputs }: GradientCase): Built {
  // Constants become inputs, so that they have gradients too.
  const opened = new Builder();
  const values = new Map<Value, Value>();
  for (const x of inputs.keys()) values.set(x, opened.input(x.name, x.type));
  const current = (x: Value): Value => {
    if (!values.has(x)) values.set(x, opened.constant(x.name, x.type, x.data!));
    return values.get(x)!;
  };
  for (const node of graph.nodes) {
    const from = node.inputs.map((x) => x && current(x));
    opened.add(node.op, node.name, from, node.attrs).forEach((y, i) => values.set(node.outputs[i]!, y));
  }
  const { graph: plain } = unfused(opened.finish(graph.outputs.map(({ name, value }) => ({ name, value: current(value) }))));
  const parameters = plain.inputs.filter(({ type }) => type.dtype === 'f32');
  const differentiated = differentiate(plain, parameters, ({ emit, current }) => {
    const parts = plain.outputs
      .map(({ value }) => current(value))
      .filter((y) => y.type.dtype === 'f32')
      .map((y, i) => {
        const next = random(seedOf(`${address}#u${i}`));
        const shape = y.type.shape as number[];
        const u = emit.constant(
          'f32',
          shape,
          Float32Array.from({ length: elements(shape) }, () => 2 * next() - 1),
        );
        const axes = shape.map((_, axis) => axis);
        return emit('reduce', [emit('binary', [y, u], { fn: 'mul' })], { fn: 'sum', axes, keepdims: false });
      });
    return parts.reduce((a, b) => emit('binary', [a, b], { fn: 'add' })) as Value;
  });
  const named = differentiated.gradients.flatMap((value, i) => (value ? [{ name: `d${i}`, value }] : []));
  const full = differentiated.build.finish([{ name: 'loss', value: differentiated.loss }, ...named]);
  const feeds = new Map([...inputs].map(([x, tensor]) => [x.name, tensor]));
  return { differentiated, graph: full, parameters, feeds };
}

const STEP = 1e-6;

/** The derivative along a drawn direction, as the gradients have it and as differences do. */
export function directional(each: GradientCase): { predicted: number; measured: number; size: number } {
  const { graph, parameters, feeds, differentiated } = differentiateCase(each);
  const next = random(seedOf(`${each.address}#v`));
  const directions = parameters.map(({ name }) => feeds.get(name)!.data.map((x) => (2 * next() - 1) * Math.min(1, Math.abs(x))));
  const loss = (h: number): number => {
    const moved = new Map(feeds);
    parameters.forEach(({ name }, i) => {
      const { type, data } = feeds.get(name)!;
      moved.set(name, { type, data: data.map((x, k) => x + h * directions[i]![k]!) });
    });
    const only = { ...graph, outputs: graph.outputs.slice(0, 1), nodes: forwardOf(graph) };
    return runReference(only, moved, (op) => meaningOf(op).reference).get(differentiated.loss)!.data[0]!;
  };
  const values = runReference(graph, feeds, (op) => meaningOf(op).reference);
  let [predicted, size] = [0, 0];
  differentiated.gradients.forEach((gradient, i) => {
    if (!gradient) return;
    values.get(gradient)!.data.forEach((d, k) => {
      predicted += d * directions[i]![k]!;
      size += Math.abs(d * directions[i]![k]!);
    });
  });
  return { predicted, measured: (loss(STEP) - loss(-STEP)) / (2 * STEP), size };
}

/** The nodes that the loss needs. */
function forwardOf(graph: Graph): Graph['nodes'] {
  const needed = new Set<Value>([graph.outputs[0]!.value]);
  const kept = [...graph.nodes].reverse().filter((node) => {
    if (!node.outputs.some((y) => needed.has(y))) return false;
    for (const x of node.inputs) if (x) needed.add(x);
    return true;
  });
  return kept.reverse();
}

/** Fails unless onnxruntime computes the loss and the gradients that the references do. */
export async function expectSameInOnnxruntime(each: GradientCase): Promise<void> {
  const { graph, feeds } = differentiateCase(each);
  const want = runReference(graph, feeds, (op) => meaningOf(op).reference);
  const session = await InferenceSession.create(toOnnx(graph), { logSeverityLevel: 3, intraOpNumThreads: 1 });
  const got = await session.run(Object.fromEntries(graph.inputs.map(({ name }) => [name, tensorOf(feeds.get(name)!)])));
  graph.outputs.forEach(({ name, value }, i) => {
    const [y, z] = [got[`y${i}`]!.data as Float32Array, want.get(value)!.data];
    const size = z.reduce((most, v) => Math.max(most, Math.abs(v)), 1);
    const far = [...z].flatMap((w, k) => (Math.abs(y[k]! - w) <= 1e-4 * size ? [] : [`${k}: ${y[k]} for ${w}`]));
    expect(far.slice(0, 3), `${far.length} of ${z.length} of ${name}`).toEqual([]);
  });
  await session.release();
}

function tensorOf({ type, data }: RefTensor): Tensor {
  if (type.dtype === 'i32') return new Tensor('int32', Int32Array.from(data), type.shape);
  if (type.dtype === 'bool') return new Tensor('bool', Uint8Array.from(data), type.shape);
  return new Tensor('float32', Float32Array.from(data), type.shape);
}
