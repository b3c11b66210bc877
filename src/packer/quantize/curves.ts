/** Functions of one value as integer nodes compute them: tables of levels, and the curves of src/ops/curve.ts. */
import type { Quant } from '../../core/shape';
import type { Builder, Node, Value } from '../../graph/ir';
import { FINE } from '../../ops/curve';
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
export interface Curve {
  table?: Value;
  swish?: readonly number[];
  /** i32[1] or [channels]. */
  factor: Value;
}

/**
 * What `node` makes of levels of `from`, each channel times one of `factors`, as levels of `to`. `seen`: the function's own
 * range.
 */
export function curveOf(build: Builder, node: Node, factors: ArrayLike<number>, from: Quant, seen: Quant, to: Quant): Curve {
  const largest = Math.max(...Array.from(factors)) / to.scale;
  const { unit, ...curve } = swishOf(node, from, largest) ?? tableCurve(build, node, from, seen, largest);
  const data = Int32Array.from(factors, (f) => Math.max(1, Math.min(32767, Math.round(((f * unit) / to.scale) * 2 ** 15))));
  return { ...curve, factor: build.constant(`${node.name}.factor`, { dtype: 'i32', shape: [data.length] }, data) };
}

/** A curve without its factors, and what a unit of its entries is as a real number. */
type Entries = Omit<Curve, 'factor'> & { unit: number };

/** Entries use their 16 bits, unless factors would exceed theirs; `largest`: levels that a real number of 1 can become. */
function tableCurve(build: Builder, node: Node, from: Quant, seen: Quant, largest: number): Entries {
  const steps = node.attrs.steps as Step[];
  const unit = Math.min((255 * seen.scale) / 32767, 32767 / 2 ** 15 / largest);
  const entries = Int16Array.from({ length: 256 }, (_, i) => {
    const entry = Math.round(evaluateSteps(steps, realOf(i - 128, from)) / unit);
    return Math.min(Math.max(entry, -32768), 32767);
  });
  const bytes = Uint8Array.from({ length: 512 }, (_, i) => entries[i >> 1]! >> (8 * (i & 1)));
  return { table: build.constant(`${node.name}.table`, { dtype: 'u8', shape: [256, 2] }, bytes), unit };
}

/** a * hardSwish(x) + b with a > 0, where its numbers fit; in places, x * clamp(x + 3, 0, 6) is q * clamp(q + half, 0, 2 * half). */
function swishOf({ attrs }: Node, from: Quant, largest: number): Entries | undefined {
  const [first, second, ...more] = attrs.steps as Step[];
  if (first?.fn !== 'hardSwish' || (second && second.fn !== 'affine') || more.length) return undefined;
  const [a, b] = second ? [second.a, second.b] : [1, 0];
  const place = from.scale / FINE;
  const half = Math.round(3 / place);
  const scale = Math.floor(32767 / (2 * half));
  const unit = ((a * place ** 2) / 6 / scale) * 2 ** 15;
  const offset = Math.round(b / unit);
  const fits = a > 0 && half >= 1 && half <= 16383 && Math.abs(offset) <= 16000 && unit * largest < 1;
  return fits ? { swish: [half, scale, offset], unit } : undefined;
}
