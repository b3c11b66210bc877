/** Layers by their names: what options say of some of them, by patterns. */
import { nearest, WaferError } from '../core/errors';

/**
 * What `byPattern` says of each of `names`. Keys are names in which `*` stands for anything; of several that match, the last counts.
 * Throws ARGUMENT for a pattern that fits no name.
 */
export function layersMatching<T>(
  names: readonly string[],
  byPattern: Readonly<Record<string, T>>,
): (name: string) => T | undefined {
  const rules = Object.entries(byPattern).map(([pattern, said]) => {
    const escaped = pattern.replace(/[\\^$.*+?()[\]{}|]/g, (c) => (c === '*' ? '.*' : `\\${c}`));
    const matches = new RegExp(`^${escaped}$`, 's');
    if (!names.some((name) => matches.test(name))) {
      const near = nearest(pattern, names);
      throw new WaferError('ARGUMENT', `no layer is called "${pattern}"`, {
        hint: near
          ? `did you mean "${near}"?`
          : `layers are ${names.slice(0, 5).join(', ')}${names.length > 5 ? ', …' : ''}; * stands for anything`,
      });
    }
    return { matches, said };
  });
  return (name) => rules.findLast(({ matches }) => matches.test(name))?.said;
}
