/** Functions of one value as integer nodes compute them: tables of levels, and the curves of src/ops/curve.ts. */
import type { Quant } from '../../core/shape';
import type { Builder, Node, Value } from '../../graph/ir';
import { ENTRY_BITS, FINE, MOST_HALF } from '../../ops/curve';
import type { Step } from '../../ops/define';
import { evaluateSteps } from '../../ops/steps';
import { levelOf, realOf } from './range';

/** u8[256]: the byte (level + 128) of f at each byte. */
export function tableOf(build: Builder, node: Node, from: Quant, to: Quant): Value {
  const steps = node.attrs.steps as Step[];
  const table = Uint8Array.from({ length: 256 }, (_, i) => levelOf(evaluateSteps(steps, realOf(i - 128, from)), to) + 128);
  return build.constant(`${node.name}.table`, { dtype: 'u8', shape: [256] }, table);
}

/** A function on the way out of a product, as its kernels compute it. */
interface Curve {
  table?: Value;
  swish?: readonly number[];
  /** What a unit of the entries is, as a real number. */
  unit: number;
}

export function curveOf(build: Builder, node: Node, from: Quant, to: Quant): Curve {
  return swishOf(node.attrs.steps as Step[], from) ?? tableCurve(build, node, from, to.scale * 2 ** -ENTRY_BITS);
}

function tableCurve(build: Builder, node: Node, from: Quant, unit: number): Curve {
  const steps = node.attrs.steps as Step[];
  const entries = Int16Array.from({ length: 256 }, (_, i) => {
    const entry = Math.round(evaluateSteps(steps, realOf(i - 128, from)) / unit);
    return Math.min(Math.max(entry, -32768), 32767);
  });
  const bytes = Uint8Array.from({ length: 512 }, (_, i) => entries[i >> 1]! >> (8 * (i & 1)));
  return { table: build.constant(`${node.name}.table`, { dtype: 'u8', shape: [256, 2] }, bytes), unit };
}

/** a * hardSwish(x) + b with a > 0 in integers, where its numbers fit; in steps, x * clamp(x + 3, 0, 6) is q * clamp(q + half, 0, 2 * half). */
function swishOf(steps: readonly Step[], from: Quant): Curve | undefined {
  const [first, second] = steps;
  if (first?.fn !== 'hardSwish' || steps.length > 2 || (second && second.fn !== 'affine')) return undefined;
  const [a, b] = second ? [second.a, second.b] : [1, 0];
  const place = from.scale / FINE;
  const half = Math.round(3 / place);
  const product = (a * place ** 2) / 6;
  const shift = Math.round(b / product);
  if (!(a > 0) || half < 1 || half > MOST_HALF || Math.abs(shift) >= 2 ** 29) return undefined;
  const values = [0, 255 * FINE].map((at) => {
    const q = at - FINE * (from.zero + 128);
    return Math.abs(q * Math.min(Math.max(q + half, 0), 2 * half) + shift);
  });
  const largest = Math.max(...values, Math.abs(shift - (half / 2) ** 2));
  const drop = Math.max(1, Math.ceil(Math.log2(largest / 32767)));
  return { swish: [half, shift + 2 ** (drop - 1), drop], unit: product * 2 ** drop };
}

/** Factors times `ratio`, with as many binary places as 15 bits hold. */
export function factorsOf(factors: ArrayLike<number>, ratio: number): { data: Int32Array; places: number } {
  const scaled = Array.from(factors, (f) => f * ratio);
  const places = Math.min(22, Math.floor(Math.log2(32767 / Math.max(...scaled))));
  return { places, data: Int32Array.from(scaled, (f) => Math.max(1, Math.round(f * 2 ** places))) };
}
