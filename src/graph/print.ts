/** Graphs as text: one line a node, for tests and for `wafer inspect`. */
import { dimText } from '../core/dim';
import { type TensorType, typeText } from '../core/shape';
import type { AttrValue, Step } from '../ops/define';
import type { Graph, Node, Value } from './ir';

/** `f32[1,8]`, or `i8[1,8]*0.05-3` for a quantised tensor with scale 0.05 and zero point 3. */
export function tensorText(type: TensorType): string {
  const q = type.quant;
  return typeText(type) + (q ? `*${Number(q.scale.toPrecision(4))}${q.zero < 0 ? '+' : '-'}${Math.abs(q.zero)}` : '');
}

const valueText = (x: Value | undefined): string => (!x ? '_' : x.data ? `$${x.name}:${tensorText(x.type)}` : `%${x.name}`);

export function attrText(value: AttrValue): string {
  if (value === null) return 'null';
  if (Array.isArray(value))
    return `[${value.map((v) => (typeof v === 'object' && 'fn' in v ? stepText(v as Step) : dimText(v))).join(',')}]`;
  if (typeof value === 'object') {
    if ('scale' in value) return `${Number(value.scale.toPrecision(4))}@${value.zero}`;
  }
  return typeof value === 'number' ? String(Number(value.toPrecision(6))) : String(value);
}

const stepText = (s: Step): string =>
  s.a || s.b ? `${s.fn}(${Number(s.a.toPrecision(4))},${Number(s.b.toPrecision(4))})` : s.fn;

/** Attributes that differ from their defaults. */
function attrsText(node: Node): string {
  const parts = Object.entries(node.op.attrs)
    .filter(([name, attr]) => JSON.stringify(node.attrs[name]) !== JSON.stringify(attr.default))
    .map(([name]) => `${name}=${attrText(node.attrs[name]!)}`);
  return parts.length ? ` {${parts.join(' ')}}` : '';
}

export function nodeLine(node: Node): string {
  const outputs = node.outputs.map((y) => `%${y.name}`).join(', ');
  const inputs = node.inputs.map(valueText).join(', ');
  return `${outputs} = ${node.op.name}(${inputs})${attrsText(node)} : ${node.outputs.map((y) => tensorText(y.type)).join(', ')}`;
}

export function printGraph(graph: Graph): string {
  return [
    ...graph.inputs.map((x) => `input %${x.name} : ${tensorText(x.type)}`),
    ...graph.nodes.map(nodeLine),
    ...graph.outputs.map((o) => `output ${o.name} = ${valueText(o.value)}`),
    '',
  ].join('\n');
}
