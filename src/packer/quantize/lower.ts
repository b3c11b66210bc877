/**
 * From a float graph and a quantisation for each value that integer nodes read, to the graph that computes in levels.
 * The arithmetic is scheme R: y = (acc * m + C) >> shift on integers, with every number in the file.
 */
import { WaferError } from '../../core/errors';
import type { Quant } from '../../core/shape';
import { Builder, countUses, type Graph, type Node, nodeText, type Value } from '../../graph/ir';
import { rewrite } from '../../graph/rewrite';
import { FINE_BITS } from '../../ops/curve';
import type { Attrs, Step } from '../../ops/define';
import { FREE_SHIFT, offsetOf } from '../../ops/requant';
import { curveOf, tableOf } from './curves';
import { bitsOf, type Grid, gridOf, type LevelFormat } from './formats';
import { levelOf, quantOf } from './range';
import { clampBounds, isClamp, levelInputs, type Regions } from './regions';
import {
  coarsestScale,
  type FloatWeights,
  importanceOf,
  quantizeForFloats,
  quantizeForIntegers,
  type RequantizedWeights,
  type Rounding,
  type Rows,
} from './weights';

const SHIFT = 22;
/** With a residual in the sum there are two products to hold, so each gets fewer bits. */
const RESIDUAL_SHIFT = 20;
/** Binary places of the largest multiplier of a residual. */
const RESIDUAL_BITS = 21;

/** Activations other than clamps become nodes of their own, so that calibration sees what they are applied to. */
export function splitActivations(graph: Graph): Graph {
  return rewrite(graph, ({ node, inputs, emit }) => {
    const act = node.attrs.act as Step[] | undefined;
    if (!act || node.outputs[0]!.type.dtype !== 'f32' || isClamp(act)) return undefined;
    return emit('unary', [emit(node.op.name, inputs, { ...node.attrs, act: [] })], { steps: act });
  });
}

/** What calibration says of the values of the float graph. */
export interface Calibration {
  /** Quantisation of a value that integer nodes read or write. */
  quantOf(value: Value): Quant;
  /** What was seen of the rows that an output channel of a product multiplies with its weights. */
  rowsOf(product: Node, channel: number): Rows;
  /** What the weights of a product become. */
  formatOf(product: Node): LevelFormat;
  /** The levels of those weights, where they do not follow from the format and the weights. */
  gridOf?(product: Node): Grid | undefined;
  /** Default: adaround for formats of fewer than 8 bits, where it pays, else gptq. */
  rounding: Rounding | undefined;
}

/** What a product's kernel does on the way out: the table that alone reads its result, and a scaling of its channels. */
function tailFinder(graph: Graph, { integer }: Regions): (y: Value) => Node[] {
  const uses = countUses(graph);
  const soleReader = new Map<Value, Node>();
  for (const node of graph.nodes) for (const x of node.inputs) if (x && uses.get(x) === 1) soleReader.set(x, node);
  return (y) => {
    const lookup = soleReader.get(y);
    if (!lookup || integer.get(lookup) !== 'table') return [];
    const scaling = soleReader.get(lookup.outputs[0]!);
    return scaling && integer.has(scaling) && isScaling(scaling) ? [lookup, scaling] : [lookup];
  };
}

/** Values between a product and what its kernel does on the way out: of these `fine` are rounded finer than to levels. */
export function innerValues(graph: Graph, regions: Regions): { fine: Set<Value>; functions: Set<Value> } {
  const tailOf = tailFinder(graph, regions);
  const [fine, functions] = [new Set<Value>(), new Set<Value>()];
  for (const [{ outputs }, form] of regions.integer) {
    const y = outputs[0]!;
    if (form !== 'product' || !regions.wanted.has(y)) continue;
    const [lookup, scaling] = tailOf(y);
    if (lookup) fine.add(y);
    if (scaling) functions.add(lookup!.outputs[0]!);
  }
  return { fine, functions };
}

/** `graph` must come from `splitActivations`. */
export function lowerToIntegers(graph: Graph, regions: Regions, calibration: Calibration): Graph {
  const quantOfValue = calibration.quantOf;
  const build = new Builder();
  const tailOf = tailFinder(graph, regions);
  const floats = new Map<Value, Value>();
  const levels = new Map<Value, Value>();
  const done = new Set<Node>();

  for (const x of graph.inputs) floats.set(x, build.input(x.name, x.type));

  const asFloat = (x: Value): Value => {
    let value = floats.get(x);
    if (!value) {
      value = x.data ? build.constant(x.name, x.type, x.data) : build.node('dequantize', `${x.name}.f32`, [levels.get(x)]);
      floats.set(x, value);
    }
    return value;
  };
  const asLevels = (x: Value): Value => {
    let value = levels.get(x);
    if (!value) {
      value = x.data
        ? constantLevels(build, x)
        : build.node('quantize', `${x.name}.i8`, [asFloat(x)], { quant: quantOfValue(x) });
      levels.set(x, value);
    }
    return value;
  };

  for (const node of graph.nodes) {
    if (done.has(node)) continue;
    const form = regions.integer.get(node);
    const y = node.outputs[0]!;
    if (!form) {
      const outputs = build.add(
        node.op,
        node.name,
        node.inputs.map((x) => x && asFloat(x)),
        node.attrs,
      );
      node.outputs.forEach((v, i) => floats.set(v, outputs[i]!));
    } else if (form === 'carry') {
      const read = new Set(levelInputs(node));
      const inputs = node.inputs.map((x) => x && (read.has(x) ? asLevels(x) : asFloat(x)));
      levels.set(y, build.node(node.op, node.name, inputs, node.attrs));
    } else if (form === 'mean') {
      levels.set(y, build.node(node.op, node.name, [asLevels(node.inputs[0]!)], { ...node.attrs, quant: quantOfValue(y) }));
    } else if (form === 'table') {
      const [from, to] = [quantOfValue(node.inputs[0]!), quantOfValue(y)];
      const table = tableOf(build, node, from, to);
      levels.set(y, build.node('table', node.name, [asLevels(node.inputs[0]!), table], { quant: to }));
    } else if (form === 'pair') {
      const [a, b] = node.inputs.map((x) => asLevels(x!));
      levels.set(y, build.node('binary', node.name, [a, b], pairAttrs(node, a!.type.quant!, b!.type.quant!, quantOfValue(y))));
    } else if (regions.wanted.has(y)) {
      const after = tailOf(y);
      levels.set(after.at(-1)?.outputs[0] ?? y, integerProduct(build, node, after, asLevels, calibration));
      for (const fused of after) done.add(fused);
    } else floats.set(y, floatProduct(build, node, asLevels, asFloat, calibration));
  }
  return build.finish(graph.outputs.map(({ name, value }) => ({ name, value: asFloat(value) })));
}

function constantLevels(build: Builder, x: Value): Value {
  const data = x.data as Float32Array;
  const quant = quantOf(Math.min(...data), Math.max(...data));
  return build.constant(
    `${x.name}.i8`,
    { dtype: 'i8', shape: x.type.shape, quant },
    Int8Array.from(data, (v) => levelOf(v, quant)),
  );
}

/** Levels of a clamp's bounds, never crossing the zero point: 0 stays representable. */
function rangeOf(act: readonly Step[], quant: Quant): [number, number] {
  const [low, high] = clampBounds(act);
  const bottom = low === Number.NEGATIVE_INFINITY ? -128 : Math.min(quant.zero, levelOf(low, quant));
  const top = high === Number.POSITIVE_INFINITY ? 127 : Math.max(quant.zero, levelOf(high, quant));
  return bottom < top ? [bottom, top] : top < 127 ? [bottom, top + 1] : [bottom - 1, top];
}

/** Attributes of an int8 Add, Sub or Mul. */
function pairAttrs(node: Node, a: Quant, b: Quant, y: Quant): Attrs {
  const fn = node.attrs.fn as string;
  const range = rangeOf(node.attrs.act as Step[], y);
  if (fn === 'mul') {
    const ratio = (a.scale * b.scale) / y.scale;
    let shift = 22;
    while (shift > 1 && ratio * 2 ** shift > 16383) shift--;
    return { fn, quant: y, range, shift, multipliers: [Math.max(1, Math.round(ratio * 2 ** shift))] };
  }
  const larger = Math.max(a.scale, b.scale) / y.scale;
  let shift = 20;
  while (shift > 1 && larger * 2 ** shift > 32767) shift--;
  const multiplier = (q: Quant) => Math.round((q.scale / y.scale) * 2 ** shift);
  return { fn, quant: y, range, shift, multipliers: [multiplier(a), fn === 'sub' ? -multiplier(b) : multiplier(b)] };
}

/** Whether a node multiplies each element of the last axis by a positive number of its own. */
function isScaling({ op, attrs, inputs: [, by] }: Node): boolean {
  if (op.name !== 'binary' || attrs.fn !== 'mul' || (attrs.act as Step[]).length > 0) return false;
  return by!.data !== undefined && by!.type.shape.length === 1 && by!.data.every((factor) => factor > 0);
}

const geometry = ({ attrs }: Node): Attrs =>
  'strides' in attrs ? { strides: attrs.strides!, pads: attrs.pads!, dilations: attrs.dilations!, group: attrs.group! } : {};

/** The weights of a product of the float graph. */
export function floatWeights(
  node: Node,
  { rowsOf, formatOf, gridOf: given, rounding }: Pick<Calibration, 'rowsOf' | 'formatOf' | 'gridOf' | 'rounding'>,
): FloatWeights {
  const [, w, bias] = node.inputs;
  const weights = w!.data as Float32Array;
  const channels = w!.type.shape[0] as number;
  const rows = (channel: number) => rowsOf(node, channel);
  const importance = (channel: number) => importanceOf(rows(channel), weights.length / channels);
  const format = formatOf(node);
  const grid = given?.(node) ?? gridOf(format, { weights, channels, importance });
  const how = rounding ?? (bitsOf(format) < 8 ? 'adaround' : 'gptq');
  return { weights, bias: bias?.data as Float32Array | undefined, channels, rows, grid, rounding: how };
}

/** A convolution or matrix product whose result stays in levels, with what `tailOf` found. */
function integerProduct(
  build: Builder,
  node: Node,
  after: readonly Node[],
  asLevels: (x: Value) => Value,
  calibration: Calibration,
): Value {
  const quantOfValue = calibration.quantOf;
  const [lookup, scaling] = after;
  const last = after.at(-1) ?? node;
  const [x, w, bias, , residual] = node.inputs;
  const middle = quantOfValue(node.outputs[0]!);
  const x8 = asLevels(x!);
  const r8 = residual && asLevels(residual);
  const channels = w!.type.shape[0] as number;
  const float = floatWeights(node, calibration);
  // How far one input's level and the residual's reach, in levels of the sum: where far, all multipliers have fewer places.
  const reach = (coarsestScale(float) * x8.type.quant!.scale) / middle.scale;
  const ratio = r8 ? r8.type.quant!.scale / middle.scale : 0;
  const largest = 2 ** (r8 ? 29 : 30);
  const most = Math.min(
    r8 ? RESIDUAL_SHIFT : SHIFT,
    Math.floor(Math.log2((largest - 2) / reach)),
    RESIDUAL_BITS - Math.ceil(Math.log2(ratio)),
  );
  if (most < 1 + (lookup ? FINE_BITS : 0))
    throw new WaferError('VALUE', `its inputs reach ${Math.max(reach, ratio).toExponential(1)} times as far as its output`, {
      hint: 'calibrate with more representative inputs',
      node: nodeText(node),
    });
  const free = lookup || r8 || most < FREE_SHIFT ? undefined : freeOf(float, x8.type.quant!, middle, largest);
  const shift = free ? FREE_SHIFT : most;
  const q = free ?? quantizeForIntegers(float, x8.type.quant!.scale, middle.scale, shift, largest);
  const output = quantOfValue(last.outputs[0]!);
  const curve =
    lookup && curveOf(build, lookup, scaling?.inputs[1]?.data ?? [1], middle, quantOfValue(lookup.outputs[0]!), output);
  const inputs = [
    x8,
    build.constant(`${w!.name}.i8`, { dtype: 'i8', shape: w!.type.shape }, q.levels),
    build.constant(bias ? `${bias.name}.i32` : `${w!.name}.bias`, { dtype: 'i32', shape: [channels] }, q.bias),
    build.constant(`${w!.name}.multiplier`, { dtype: 'i32', shape: [channels] }, q.multiplier),
    r8,
    curve?.table,
    curve?.factor,
  ];
  return build.node(node.op, last.name, inputs, {
    ...geometry(node),
    quant: output,
    middle: lookup ? middle : null,
    range: rangeOf(node.attrs.act as Step[], middle),
    shift,
    residualMultiplier: r8 ? Math.max(1, Math.round(ratio * 2 ** shift)) : 0,
    ...(curve?.swish && { swish: curve.swish }),
  });
}

/** Weights for FREE_SHIFT if no sum can overflow there, so that kernels need not clamp, and multipliers are still fine. */
function freeOf(float: FloatWeights, x: Quant, y: Quant, largest: number): RequantizedWeights | undefined {
  const q = quantizeForIntegers(float, x.scale, y.scale, FREE_SHIFT, largest);
  const offset = offsetOf({ shift: FREE_SHIFT, zero: y.zero + 128 });
  return isRoomy(q, x.zero, offset) ? q : undefined;
}

/** Least multiplier of a channel with weights: its scale is then off by half a percent at most. */
const LEAST_MULTIPLIER = 100;

/** Whether every sum of levels less `zero` times weights, times its multiplier and with `offset` added, stays within 32 bits. */
function isRoomy({ levels, bias, multiplier }: RequantizedWeights, zero: number, offset: number): boolean {
  const depth = levels.length / bias.length;
  return bias.every((value, channel) => {
    let [lowest, highest] = [value, value];
    for (const w of levels.subarray(channel * depth, (channel + 1) * depth)) {
      const ends = [w * (-128 - zero), w * (127 - zero)];
      lowest += Math.min(...ends);
      highest += Math.max(...ends);
    }
    const m = multiplier[channel]!;
    const isFine = m >= LEAST_MULTIPLIER || lowest === highest;
    return isFine && lowest * m + offset >= -(2 ** 31) && highest * m + offset < 2 ** 31;
  });
}

/** A product of levels whose result only float nodes read: no rounding on the way out. */
function floatProduct(
  build: Builder,
  node: Node,
  asLevels: (x: Value) => Value,
  asFloat: (x: Value) => Value,
  calibration: Calibration,
): Value {
  const [x, w, bias, , residual] = node.inputs;
  const x8 = asLevels(x!);
  const channels = w!.type.shape[0] as number;
  const q = quantizeForFloats(floatWeights(node, calibration), x8.type.quant!.scale);
  const scale = Float32Array.from(q.scales, (s) => s * x8.type.quant!.scale);
  const inputs = [
    x8,
    build.constant(`${w!.name}.i8`, { dtype: 'i8', shape: w!.type.shape }, q.levels),
    build.constant(bias ? `${bias.name}.i32` : `${w!.name}.bias`, { dtype: 'i32', shape: [channels] }, q.bias),
    build.constant(`${w!.name}.scale`, { dtype: 'f32', shape: [channels] }, scale),
  ];
  const act = node.attrs.act as Step[];
  const y = build.node(node.op, node.name, inputs, { ...geometry(node), act: residual ? [] : act });
  return residual ? build.node('binary', node.name, [y, asFloat(residual)], { fn: 'add', act }) : y;
}
