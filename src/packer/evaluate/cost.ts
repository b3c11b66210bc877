/** What a graph costs at given input shapes, by the operators' own accounts. */
import type { Bindings } from '../../core/dim';
import { evaluateShape, type StaticType } from '../../core/shape';
import type { Graph, Node, Value } from '../../graph/ir';
import { OFFLINE, opCode } from '../../ops/index';
import { bindAttrs } from './reference';

/** Multiply-accumulates of each node that has any. */
export function countMacs(graph: Graph, bindings: Bindings): Map<Node, number> {
  const at = ({ type }: Value): StaticType => ({ ...type, shape: evaluateShape(type.shape, bindings) });
  const macs = new Map<Node, number>();
  for (const node of graph.nodes) {
    const cost = OFFLINE[opCode(node.op)]?.cost;
    if (!cost) continue;
    const attrs = bindAttrs(node.op, node.attrs, bindings);
    macs.set(
      node,
      cost(
        node.inputs.map((x) => x && at(x)),
        attrs,
        node.outputs.map(at),
      ).macs,
    );
  }
  return macs;
}
