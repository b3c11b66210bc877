/** Greedy CTC decoding (Graves et al., 2006). */

/** A character that was read: its class, and the score of it at the step where it begins. */
export interface CtcStep {
  class: number;
  score: number;
}

/** Of scores [1, steps, classes], the best class of each step; repeats, and blanks (class 0), are dropped. */
export function ctcPath({ data, shape }: { data: ArrayLike<number>; shape: readonly number[] }): CtcStep[] {
  const [steps, classes] = shape.slice(1) as [number, number];
  const path: CtcStep[] = [];
  let previous = 0;
  for (let step = 0; step < steps; step++) {
    const from = step * classes;
    let best = 0;
    for (let c = 1; c < classes; c++) if (data[from + c]! > data[from + best]!) best = c;
    if (best !== 0 && best !== previous) path.push({ class: best, score: data[from + best]! });
    previous = best;
  }
  return path;
}

/** What a path says, without spaces at its ends: those are of the margins of the picture, about which networks are undecided. */
export const ctcText = (path: readonly CtcStep[], labels: readonly string[]): string =>
  path
    .map((step) => labels[step.class] ?? '\ufffd')
    .join('')
    .trim();
