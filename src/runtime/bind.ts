/** From the shapes of a run's inputs to the values of a model's free dimensions. */
import { type Bindings, type Dim, evaluate, isStatic } from '../core/dim';
import { WaferError } from '../core/errors';
import { type Shape, type StaticShape, shapeText } from '../core/shape';

/**
 * Values of the free dimensions, given each input's declared and actual shape. Throws SHAPE when a shape does not fit
 * or two dimensions disagree, naming the input.
 */
export function bindShapes(inputs: readonly { name: string; declared: Shape; given: StaticShape }[]): Bindings {
  const bindings = new Map<string, number>();
  for (const { name, declared, given } of inputs) {
    const wrong = (why: string) =>
      new WaferError('SHAPE', `input "${name}" must have shape ${shapeText(declared)}, got ${shapeText(given)}${why}`);
    if (given.length !== declared.length || given.some((d) => !Number.isSafeInteger(d) || d < 0)) throw wrong('');
    declared.forEach((dim, i) => {
      const free = freeSymbol(dim);
      if (!free || bindings.has(free.symbol)) return;
      const value = (given[i]! - free.constant) / free.coefficient;
      if (!Number.isInteger(value) || value < 0) throw wrong('');
      bindings.set(free.symbol, value);
    });
  }
  for (const { name, declared, given } of inputs)
    declared.forEach((dim, i) => {
      const want = evaluate(dim, bindings);
      if (want !== given[i])
        throw new WaferError(
          'SHAPE',
          `input "${name}" must have shape ${shapeText(declared)}, got ${shapeText(given)}: dimension ${i} should be ${want}`,
        );
    });
  return bindings;
}

/** `coefficient * symbol + constant`, when that is what `dim` is. */
function freeSymbol(dim: Dim): { symbol: string; coefficient: number; constant: number } | undefined {
  if (isStatic(dim)) return undefined;
  const [first, second] = dim.terms;
  const atom = first?.atoms.length === 1 ? first.atoms[0]! : undefined;
  if (!atom || !('symbol' in atom) || dim.terms.length > 2 || (second && second.atoms.length > 0)) return undefined;
  return { symbol: atom.symbol, coefficient: first!.coefficient, constant: second?.coefficient ?? 0 };
}
