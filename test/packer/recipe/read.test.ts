/** Recipes as text: what is understood, and that each mistake is one error with its place and the nearest right word. */
import { describe, expect, test } from 'vitest';
import { WaferError } from '../../../src/core/errors';
import { holds, parseCondition, type Standing } from '../../../src/packer/recipe/condition';
import { readRecipe, recipeFrom } from '../../../src/packer/recipe/read';

const steps = (text: string) => `version: 1\nsteps:\n${text}`;

describe('recipe: is read', () => {
  test('units and percents become numbers, defaults are filled in', () => {
    const recipe = readRecipe(
      steps(`  - prune: { ratio: 30%, by: [gamma, l2], gate: { drop: 0.5, bytes: 40kB } }
  - quantize: { weights: 4, layers: { 'conv*': codebook3 } }
  - verify`),
      'r.yaml',
    );
    expect(recipe.seed).toBe(1);
    expect(recipe.steps[0]!.prune).toMatchObject({
      ...{ what: 'channels', by: ['gamma', 'l2'], ratio: 0.3, optional: false, force: false },
      gate: { drop: 0.5, bytes: { absolute: 40000 }, onFail: 'rollback' },
    });
    expect(recipe.steps[1]!.quantize).toMatchObject({ weights: 'int4', layers: { 'conv*': 'codebook3' }, samples: 256 });
    expect(recipe.steps[2]).toEqual({ verify: { optional: false } });
  });

  test('YAML, JSON and an object are one', () => {
    const given = { version: 1, seed: 3, steps: [{ loop: { max: 2, steps: [{ prune: { ratio: '10%' } }, { retrain: {} }] } }] };
    const yaml =
      'version: 1\nseed: 3\nsteps:\n  - loop:\n      max: 2\n      steps:\n        - prune: { ratio: 10% }\n        - retrain\n';
    const read = readRecipe(JSON.stringify(given), 'r.json');
    expect(readRecipe(yaml, 'r.yaml')).toEqual(read);
    expect(recipeFrom(given, 'r.ts')).toEqual(read);
  });
});

/** [what, recipe, place, message, hint] */
const MISTAKES: readonly [string, string, string, RegExp, RegExp][] = [
  ['an unknown step', steps('  - prun: { ratio: 0.3 }'), '3:5', /no step is called "prun"/, /did you mean "prune"\?/],
  ['an unknown step without options', steps('  - verfy'), '3:5', /no step is called "verfy"/, /"verify"/],
  ['a step that is like none', steps('  - frobnicate: 1'), '3:5', /"frobnicate"/, /train, sparsify, prune/],
  [
    'a step that has no place in a loop',
    steps('  - loop: { steps: [quantize] }'),
    '3:21',
    /"quantize" inside of a loop/,
    /prune/,
  ],
  ['an unknown key', steps('  - prune:\n      ratoi: 0.3'), '4:7', /"prune" takes no "ratoi"/, /"ratio"/],
  ['an unknown key of the recipe', 'version: 1\nstep: []', '2:1', /a recipe has no "step"/, /"steps"/],
  ['an unknown key deep down', steps('  - retrain: { distil: { tempratur: 4 } }'), '3:26', /"distil" takes no/, /"temperature"/],
  [
    'a wrong type',
    steps('  - train: { epochs: many }'),
    '3:22',
    /"epochs": expected a whole number from 1 on, got "many"/,
    /docs/,
  ],
  ['half an epoch', steps('  - train: { epochs: 1.5 }'), '3:22', /got 1.5/, /docs/],
  ['a list where options are', steps('  - train: [1]'), '3:12', /"train": expected keys: /, /docs/],
  ['no steps', 'version: 1\nsteps: []', '2:8', /"steps": expected a list of steps/, /docs/],
  ['a version of later days', 'version: 2\nsteps: [verify]', '1:10', /"version": expected 1, got 2/, /docs/],
  ['no version', 'steps: [verify]', '1:1', /"version" is missing/, /expected 1/],
  ['nothing', '', '1:1', /expected keys: version/, /docs/],
  ['two steps in one', steps('  - prune: { ratio: 0.3 }\n    train: {}'), '3:5', /one name/, /"-" of its own/],
  ['a step of nothing', steps('  - {}'), '3:5', /a step is missing here/, /steps are/],
  ['a ratio above 1', steps('  - prune: { ratio: 3 }'), '3:21', /a part, as in 0.3 or 30%, got 3/, /docs/],
  ['all of it', steps('  - prune: { ratio: 100% }'), '3:21', /leaves nothing/, /docs/],
  ['no ratio', steps('  - prune: { by: l1 }'), '3:12', /does not say how much/, /docs/],
  ['a criterion of no kind', steps('  - prune: { ratio: 0.3, by: gama }'), '3:30', /got "gama"/, /"gamma"/],
  ['a criterion of the other kind', steps('  - prune: { what: weights, ratio: 0.3, by: apoz }'), '3:45', /no criterion/, /docs/],
  ['an unknown format', steps('  - quantize: { weights: ternery }'), '3:26', /no weight format "ternery"/, /"ternary"/],
  ['an unknown format of a layer', steps('  - quantize: { layers: { a: int8, b: int9 } }'), '3:39', /"int9"/, /"int8"/],
  ['signs without training', steps('  - quantize: { weights: xnor }'), '3:26', /"tune" without "when"/, /docs/],
  ['two that choose formats', steps('  - quantize: { weights: int4, budget: { bits: 3 } }'), '3:26', /leave one out/, /docs/],
  ['floats after integers', steps('  - quantize\n  - prune: { ratio: 0.3 }'), '4:12', /comes after "quantize"/, /move it before/],
  ['a gate without limits', steps('  - retrain: { gate: { onFail: stop } }'), '3:22', /without a limit/, /drop, accuracy/],
  ['more points than there are', steps('  - retrain: { gate: { drop: 101 } }'), '3:30', /points of accuracy, 0 to 100/, /docs/],
  ['a gain as a gate', steps('  - retrain: { gate: { drop: -1 } }'), '3:30', /got -1/, /docs/],
  ['a file of no size', steps('  - retrain: { gate: { bytes: 20B } }'), '3:31', /a size from 100 bytes on/, /docs/],
  [
    'a gate with an unknown outcome',
    steps('  - retrain: { gate: { drop: 1, onFail: rolback } }'),
    '3:41',
    /one of rollback/,
    /"rollback"/,
  ],
  [
    'taking back what changes nothing',
    steps('  - verify: { gate: { drop: 1, onFail: rollback } }'),
    '3:40',
    /stop, keep/,
    /docs/,
  ],
  ['an empty budget', 'version: 1\nbudget: {}\nsteps: [verify]', '2:9', /a budget without a limit/, /docs/],
  ['a condition on nothing', steps('  - retrain: { when: dorp > 1 }'), '3:22', /"dorp"/, /"drop"/],
  ['a condition that ends early', steps('  - retrain: { when: "drop >" }'), '3:29', /ends where a value/, /"drop > 0.3"/],
  ['a condition in a wrong unit', steps('  - retrain: { when: "bytes > 3mm" }'), '3:31', /"3mm" is no value/, /"bytes > 40kB"/],
  ['a condition without an operator', steps("  - retrain: { when: 'not trained drop' }"), '3:35', /"and" or "or"/, /and/],
  ['broken YAML', 'version: 1\nsteps: [verify', '2:15', /./, /no YAML/],
  ['a key twice', 'version: 1\nversion: 1\nsteps: [verify]', '2:1', /unique/, /no YAML/],
  ['an unknown tag', 'version: !!x 1\nsteps: [verify]', '1:10', /tag/, /no YAML/],
];

describe('recipe: a mistake is one error, with its place', () => {
  test.each(MISTAKES)('%s', (_, text, place, message, hint) => {
    const error = thrown(() => readRecipe(text, 'r.yaml'));
    expect(error).toBeInstanceOf(WaferError);
    expect(error!.node).toBe(`r.yaml:${place}`);
    expect(error!.toJSON().message).toMatch(message);
    expect(error!.hint).toMatch(hint);
  });

  test('in JSON too', () => {
    const text = '{\n  "version": 1,\n  "steps": [\n    { "prune": { "ratio": "lots" } }\n  ]\n}';
    expect(thrown(() => readRecipe(text, 'r.json'))!.node).toBe('r.json:4:27');
    expect(thrown(() => readRecipe('{"version": 1,}', 'r.json'))!.hint).toMatch(/missing|steps/);
  });

  test('the first of several', () => {
    expect(thrown(() => readRecipe(steps('  - train: { epochs: 0 }\n  - prun: {}'), 'r.yaml'))!.node).toBe('r.yaml:3:22');
  });

  test('an object has names for places', () => {
    const error = thrown(() => recipeFrom({ version: 1, steps: [{ train: { epocs: 2 } }] }, 'r.ts'));
    expect(error!.node).toBe('r.ts: steps[0].train.epocs');
    expect(error!.hint).toMatch(/"epochs"/);
  });
});

function thrown(body: () => unknown): WaferError | undefined {
  try {
    body();
  } catch (error) {
    return error as WaferError;
  }
  return undefined;
}

describe('recipe: conditions', () => {
  const measures = { accuracy: 90, drop: 0.4, bytes: 30_000, macs: 5e5, weights: 1000, zeros: 50, norms: 0 };
  const standing: Standing = {
    now: measures,
    start: { ...measures, bytes: 100_000, macs: 1e6 },
    flags: { trained: true, labelled: false, quantized: false },
  };
  test.each([
    ['drop > 0.3', true],
    ['drop >= 0.4 and drop <= 0.4', true],
    ['bytes > 40kB', false],
    ['bytes < 31%', true],
    ['bytes < 29%', false],
    ['macs<=50%', true],
    ['accuracy > 89%', true],
    ['norms > 0 or zeros > 40%', true],
    ['labelled or trained and quantized', false],
    ['not labelled and trained', true],
    ['not drop > 0.3', false],
    ['not not trained', true],
  ])('%s', (text, expected) => {
    expect(holds(parseCondition(text), standing)).toBe(expected);
  });
});
