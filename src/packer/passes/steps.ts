/**
 * Algebra of activation programs: affine steps merge, clips intersect, and sequences that are a named function become it
 * (x → clip(x + 3, 0, 6) / 6 is hardSigmoid). Constants are compared to f32 precision, since sources round them.
 */
import type { Step } from '../../ops/define';
import { step } from '../../ops/steps';

export const near = (a: number, b: number): boolean => Math.abs(a - b) <= 2e-6 * Math.max(1e-3, Math.abs(a), Math.abs(b));

/** True when the step functions are `names`, in order. */
export const areSteps = (steps: readonly Step[], ...names: readonly string[]): boolean =>
  steps.length === names.length && steps.every((s, i) => s.fn === names[i]);

/** The same function in as few steps as the rules know. */
export function simplifySteps(steps: readonly Step[]): Step[] {
  const done: Step[] = [];
  for (const next of steps) {
    done.push(next);
    while (simplifyEnd(done));
  }
  return done;
}

/** Rewrites the last steps of `steps` in place; true when anything changed. */
function simplifyEnd(steps: Step[]): boolean {
  for (const rule of RULES) {
    const last = steps.slice(-rule.length);
    const replaced = last.length === rule.length ? rule(...(last as [Step, Step, Step])) : undefined;
    if (!replaced) continue;
    steps.splice(-rule.length, rule.length, ...replaced);
    return true;
  }
  return false;
}

type Rule = (...steps: [Step, Step, Step]) => Step[] | undefined;

const isAffine = (s: Step): boolean => s.fn === 'affine';

/** ReLU and clip as an interval. */
const interval = ({ fn, a, b }: Step): readonly [number, number] | undefined =>
  fn === 'relu' ? [0, Number.POSITIVE_INFINITY] : fn === 'clip' ? [a, b] : undefined;

const RULES: readonly Rule[] = [
  ((s: Step) => (isAffine(s) && s.a === 1 && s.b === 0 ? [] : undefined)) as Rule,
  ((s: Step) => (s.fn === 'clip' && s.a === 0 && s.b === Number.POSITIVE_INFINITY ? [step('relu')] : undefined)) as Rule,
  ((s: Step) =>
    s.fn === 'clip' && s.a === Number.NEGATIVE_INFINITY && s.b === Number.POSITIVE_INFINITY ? [] : undefined) as Rule,
  ((s: Step) => (s.fn === 'leakyRelu' && (s.a === 0 || s.a === 1) ? (s.a ? [] : [step('relu')]) : undefined)) as Rule,
  ((p: Step, q: Step) => (isAffine(p) && isAffine(q) ? [affineStep(q.a * p.a, q.a * p.b + q.b)] : undefined)) as Rule,
  ((p: Step, q: Step) => {
    const [inner, outer] = [interval(p), interval(q)];
    if (!inner || !outer) return undefined;
    const low = Math.max(inner[0], outer[0]);
    const high = Math.min(inner[1], outer[1]);
    return low <= high ? [step('clip', low, high)] : undefined;
  }) as Rule,
  ((p: Step, q: Step) =>
    isAffine(p) && q.fn === 'clip' && q.a === 0 && near(q.b, 1) ? [step('hardSigmoid', p.a, p.b)] : undefined) as Rule,
  ((p: Step, q: Step) =>
    isAffine(p) && q.fn === 'hardSigmoid' ? [step('hardSigmoid', q.a * p.a, q.a * p.b + q.b)] : undefined) as Rule,
  ((p: Step, clip: Step, q: Step) => {
    if (!isAffine(p) || clip.fn !== 'clip' || !isAffine(q) || q.a <= 0) return undefined;
    if (!Number.isFinite(clip.b) || Math.abs(q.a * clip.a + q.b) > 1e-6 || !near(q.a * clip.b + q.b, 1)) return undefined;
    return [step('hardSigmoid', q.a * p.a, q.a * p.b + q.b)];
  }) as Rule,
];

/** Factors a rounding away from 1, as (x / 6) * 6 leaves them, are 1. */
function affineStep(a: number, b: number): Step {
  return step('affine', Math.abs(a - 1) < 1e-7 ? 1 : a, Math.abs(b) < 1e-9 ? 0 : b);
}
