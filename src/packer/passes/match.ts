/** Looking back along a graph: what passes ask about the values that a node reads. */
import type { Node, Value } from '../../graph/ir';
import type { Step } from '../../ops/define';

/** Longer activation programs are not made: each join copies both parts. */
export const MAX_STEPS = 64;

/** The node that makes `x`, when it is one of `op`. */
export function madeBy(x: Value | undefined, op: string): Node | undefined {
  return x?.producer?.op.name === op ? x.producer : undefined;
}

/** The node that makes `x`, when it is a `binary` of function `fn`. */
export function binaryOf(x: Value | undefined, fn: string): Node | undefined {
  const node = madeBy(x, 'binary');
  return node?.attrs.fn === fn && stepsOf(node, 'act').length === 0 ? node : undefined;
}

export const stepsOf = (node: Node, attribute: 'steps' | 'act'): readonly Step[] => node.attrs[attribute] as readonly Step[];

/** The number that an f32 constant of one element holds, when it broadcasts against `against` without changing its rank. */
export function scalarOf(x: Value | undefined, against: Value): number | undefined {
  const isScalar = x?.data?.length === 1 && x.type.dtype === 'f32' && x.type.shape.length <= against.type.shape.length;
  return isScalar ? x.data![0]! : undefined;
}

/**
 * The elements of an f32 constant that differs along the last of `rank` axes alone, one for each of `channels`.
 * Constants of one element are repeated.
 */
export function channelsOf(x: Value | undefined, channels: number, rank: number): Float32Array | undefined {
  if (!x?.data || x.type.dtype !== 'f32' || x.type.shape.length > rank) return undefined;
  if (x.data.length === 1) return new Float32Array(channels).fill(x.data[0]!);
  return x.data.length === channels && x.type.shape.at(-1) === channels ? (x.data as Float32Array) : undefined;
}

/** `x` as steps over another value: x itself is no steps over x. */
export function asSteps(x: Value): { from: Value; steps: readonly Step[] } {
  const unary = madeBy(x, 'unary');
  return unary ? { from: unary.inputs[0]!, steps: stepsOf(unary, 'steps') } : { from: x, steps: [] };
}
