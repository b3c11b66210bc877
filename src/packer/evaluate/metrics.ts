/** What a model's answers are judged by. */

/** The index of the greatest; the first of several. */
export const greatest = (scores: ArrayLike<number>): number => {
  let best = 0;
  for (let i = 1; i < scores.length; i++) if (scores[i]! > scores[best]!) best = i;
  return best;
};

/** How many classes come before `label` when they are ordered by their scores, the first of equals first. */
export function rankOf(scores: ArrayLike<number>, label: number): number {
  const own = scores[label]!;
  let rank = 0;
  for (let i = 0; i < scores.length; i++) if (scores[i]! > own || (scores[i] === own && i < label)) rank++;
  return rank;
}

/** Elements above `threshold` in both maps, and in either. */
export function overlapOf(a: ArrayLike<number>, b: ArrayLike<number>, threshold: number): { both: number; either: number } {
  let [both, either] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]! > threshold, b[i]! > threshold];
    if (x && y) both++;
    if (x || y) either++;
  }
  return { both, either };
}

/** Levenshtein distance in characters. */
export function distance(a: string, b: string): number {
  const [from, to] = [[...a], [...b]];
  let row = to.map((_, j) => j + 1);
  row.unshift(0);
  from.forEach((c, i) => {
    const next = [i + 1];
    to.forEach((d, j) => next.push(Math.min(row[j + 1]! + 1, next[j]! + 1, row[j]! + (c === d ? 0 : 1))));
    row = next;
  });
  return row.at(-1)!;
}
