/** Recipes that come with Wafer, from the folder recipes/. They fit any image classifier, and skip what does not fit a model. */
import { nearest, WaferError } from '../../core/errors';
import { readRecipe } from './read';
import { READY } from './ready.gen';
import type { Recipe } from './schema';

/** Names, and a line on each. */
export const readyRecipes = (): { name: string; about: string }[] =>
  Object.keys(READY).map((name) => ({ name, about: readyRecipe(name).about ?? '' }));

/** Throws NOT_FOUND, with the nearest name. */
export function readyRecipe(name: string): Recipe {
  const text = Object.hasOwn(READY, name) ? READY[name]! : undefined;
  if (text !== undefined) return readRecipe(text, `${name}.yaml`);
  const names = Object.keys(READY);
  const near = nearest(name, names);
  throw new WaferError('NOT_FOUND', `no recipe is called "${name}"`, {
    hint: near ? `did you mean "${near}"?` : `ready ones are ${names.join(', ')}; a file ends in .yaml, .json or .ts`,
  });
}
