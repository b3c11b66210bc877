/**
 * Dimensions: plain integers, or integer expressions over a model's free dimensions ("N", "W"), so that shapes can be
 * inferred once offline and evaluated on the page when an input's shape is known.
 *
 * An expression is kept canonical: a sum of terms, each an integer times a product of atoms, where an atom is a symbol
 * or a floor division that cannot be simplified. Equal expressions therefore print alike.
 */
import { invariant, WaferError } from './errors';

export type Dim = number | DimExpr;

export type Atom = { symbol: string } | { numerator: Dim; divisor: number };

export interface Term {
  coefficient: number;
  /** Sorted by their text. Empty for the constant term. */
  atoms: readonly Atom[];
}

export interface DimExpr {
  readonly terms: readonly Term[];
}

/** Symbols, numbers and divisions in one expression: far above what models need, low enough that no model can make us hang. */
const MAX_PARTS = 1024;

/** Values of the free dimensions. */
export type Bindings = ReadonlyMap<string, number>;

export const symbol = (name: string): DimExpr => ({ terms: [{ coefficient: 1, atoms: [{ symbol: name }] }] });

export const isStatic = (d: Dim): d is number => typeof d === 'number';

export function add(a: Dim, b: Dim): Dim {
  if (isStatic(a) && isStatic(b)) return a + b;
  return collect([...termsOf(a), ...termsOf(b)]);
}

/** The sum of any number of dimensions. */
export const sum = (dims: readonly Dim[]): Dim => collect(dims.flatMap(termsOf));

export function multiply(a: Dim, b: Dim): Dim {
  if (isStatic(a) && isStatic(b)) return a * b;
  if (termsOf(a).length * termsOf(b).length > MAX_PARTS) throw tooLarge();
  const products: Term[] = [];
  for (const p of termsOf(a))
    for (const q of termsOf(b)) products.push({ coefficient: p.coefficient * q.coefficient, atoms: [...p.atoms, ...q.atoms] });
  return collect(products);
}

export const subtract = (a: Dim, b: Dim): Dim => add(a, multiply(b, -1));

/** floor(a / divisor) for a positive integer divisor. Terms that divide exactly are taken out of the floor. */
export function floorDivide(a: Dim, divisor: number): Dim {
  invariant(Number.isInteger(divisor) && divisor > 0, () => `floorDivide by ${divisor}`);
  if (isStatic(a)) return Math.floor(a / divisor);
  if (divisor === 1) return a;
  const whole: Term[] = [];
  const rest: Term[] = [];
  for (const term of a.terms) {
    const quotient = Math.floor(term.coefficient / divisor);
    const remainder = term.coefficient - quotient * divisor;
    if (quotient !== 0) whole.push({ coefficient: quotient, atoms: term.atoms });
    if (remainder !== 0) rest.push({ coefficient: remainder, atoms: term.atoms });
  }
  const numerator = collect(rest);
  if (isStatic(numerator)) return collect([...whole, ...termsOf(Math.floor(numerator / divisor))]);
  return collect([...whole, { coefficient: 1, atoms: [{ numerator, divisor }] }]);
}

export const ceilDivide = (a: Dim, divisor: number): Dim => floorDivide(add(a, divisor - 1), divisor);

/** a / b when that is provably an integer expression, for resolving the -1 of a Reshape; undefined otherwise. */
export function exactDivide(a: Dim, b: Dim): Dim | undefined {
  if (isStatic(a) && isStatic(b)) return b !== 0 && a % b === 0 ? a / b : undefined;
  if (sameDim(a, b)) return 1;
  const divisor = termsOf(b);
  if (divisor.length !== 1) return undefined;
  const { coefficient, atoms } = divisor[0]!;
  const quotient: Term[] = [];
  for (const term of termsOf(a)) {
    if (term.coefficient % coefficient !== 0) return undefined;
    const left = term.atoms.map(atomText);
    const kept = [...term.atoms];
    for (const atom of atoms) {
      const at = left.indexOf(atomText(atom));
      if (at < 0) return undefined;
      left.splice(at, 1);
      kept.splice(at, 1);
    }
    quotient.push({ coefficient: term.coefficient / coefficient, atoms: kept });
  }
  return collect(quotient);
}

export const sameDim = (a: Dim, b: Dim): boolean => (isStatic(a) || isStatic(b) ? a === b : dimText(a) === dimText(b));

/** The number that `d` stands for. Throws SHAPE when a symbol has no value or the result is no safe integer. */
export function evaluate(d: Dim, bindings: Bindings): number {
  if (isStatic(d)) return d;
  let sum = 0;
  for (const { coefficient, atoms } of d.terms) {
    let product = coefficient;
    for (const atom of atoms) product *= evaluateAtom(atom, bindings);
    sum += product;
  }
  if (!Number.isSafeInteger(sum)) throw new WaferError('SHAPE', `dimension ${dimText(d)} is not a usable integer`);
  return sum;
}

function evaluateAtom(atom: Atom, bindings: Bindings): number {
  if ('symbol' in atom) {
    const value = bindings.get(atom.symbol);
    if (value === undefined) throw new WaferError('SHAPE', `free dimension "${atom.symbol}" has no value`);
    return value;
  }
  return Math.floor(evaluate(atom.numerator, bindings) / atom.divisor);
}

/** Readable and canonical: `8*W+2`, `floor((W+1)/2)`. */
export function dimText(d: Dim): string {
  if (isStatic(d)) return String(d);
  return d.terms
    .map(({ coefficient, atoms }, i) => {
      const factors = atoms.map(atomText);
      if (Math.abs(coefficient) !== 1 || factors.length === 0) factors.unshift(String(Math.abs(coefficient)));
      return (coefficient < 0 ? '-' : i > 0 ? '+' : '') + factors.join('*');
    })
    .join('');
}

const atomText = (atom: Atom): string => ('symbol' in atom ? atom.symbol : `floor((${dimText(atom.numerator)})/${atom.divisor})`);

const termsOf = (d: Dim): readonly Term[] => (isStatic(d) ? (d === 0 ? [] : [{ coefficient: d, atoms: [] }]) : d.terms);

const tooLarge = () =>
  new WaferError('SHAPE', `a dimension has become an expression of more than ${MAX_PARTS} parts`, {
    hint: 'give the model fixed input shapes when packing it',
  });

const partsOf = (terms: readonly Term[]): number =>
  terms.reduce((n, { atoms }) => atoms.reduce((m, a) => m + 1 + ('symbol' in a ? 0 : partsOf(termsOf(a.numerator))), n + 1), 0);

/** Adds like terms; a result without atoms collapses to a number. Throws SHAPE when the sum is too large in parts or value. */
function collect(terms: readonly Term[]): Dim {
  if (partsOf(terms) > MAX_PARTS) throw tooLarge();
  const byKey = new Map<string, Term>();
  for (const term of terms) {
    const atoms = [...term.atoms].sort((p, q) => (atomText(p) < atomText(q) ? -1 : 1));
    const key = atoms.map(atomText).join('*');
    byKey.set(key, { coefficient: (byKey.get(key)?.coefficient ?? 0) + term.coefficient, atoms });
  }
  const kept = [...byKey].filter(([, term]) => term.coefficient !== 0);
  for (const [, { coefficient }] of kept)
    if (!Number.isSafeInteger(coefficient)) throw new WaferError('SHAPE', `a dimension has ${coefficient} as a coefficient`);
  kept.sort(([p], [q]) => (p === '' ? 1 : q === '' ? -1 : p < q ? -1 : 1));
  if (kept.length === 0) return 0;
  if (kept.length === 1 && kept[0]![0] === '') return kept[0]![1].coefficient;
  return { terms: kept.map(([, term]) => term) };
}
