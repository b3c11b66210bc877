/** Runs of recipes: what is kept, taken back and why, which file is the best, and that what was found is found again. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WaferError } from '../../../src/core/errors';
import { readWafer } from '../../../src/format/reader';
import { printGraph } from '../../../src/graph/print';
import { labelledSamples } from '../../../src/packer/data/samples';
import { wasmEngine } from '../../../src/packer/evaluate/engine';
import { quantize } from '../../../src/packer/quantize/index';
import type { RecipeData } from '../../../src/packer/recipe/data';
import { recipeFrom } from '../../../src/packer/recipe/read';
import { type Compressed, type Given, lossesOf, runRecipe, type StepFigures } from '../../../src/packer/recipe/run';
import { plainGraph, type State } from '../../../src/packer/recipe/state';
import { decodeState, encodeState } from '../../../src/packer/recipe/stateFile';
import { buildModel } from '../../../src/packer/train/layers';
import { train } from '../../../src/packer/train/train';
import { binaries } from '../../../src/runtime/wasm/binaries';
import { corners, net, data as sets } from '../corners';

const folder = mkdtempSync(join(tmpdir(), 'wafer-recipe-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const data: RecipeData = {
  train: sets.train,
  val: sets.test,
  test: corners(64, 3),
  calibrate: sets.train,
  hash: 'corners',
  notes: [],
};

let given: Given;
beforeAll(async () => {
  const { trainable, normalisation, channelsFirst } = await train(buildModel(net, 1), sets, { epochs: 3, batch: 32, workers: 1 });
  const source = { name: 'net', bytes: new Uint8Array(1) };
  given = { graph: trainable, isNew: false, form: { normalisation, channelsFirst }, source, uses: {} };
});

let runs = 0;

/** Runs steps on the trained net, in a work folder of their own. */
async function run(steps: unknown[], more: object = {}, work = `work${runs++}`): Promise<Compressed & { output: Buffer }> {
  const output = join(folder, `${work}.wafer`);
  const made = await runRecipe({
    ...{ model: given, recipe: recipeFrom({ version: 1, ...more, steps }, 'test'), data, output, work: join(folder, work) },
    loadTeacher: () => Promise.reject(new Error('no teacher is named')),
  });
  return { ...made, output: readFileSync(output) };
}

const outcomes = ({ steps }: Compressed) => steps.map(({ step, outcome }) => `${step}: ${outcome}`);
const TRAINED = { epochs: 2, batch: 32, workers: 1 };
const HALF = { ratio: 0.5, multiple: 1 };
const INT8 = { weights: 'int8', method: 'minmax', samples: 32 };

describe('recipe: steps are judged', () => {
  test('a gate takes a step back, and what it cost is said', async () => {
    const made = await run([{ prune: { ratio: 0.8, multiple: 1, gate: { drop: 1 } } }, { quantize: INT8 }]);
    expect(outcomes(made)).toEqual(['prune: rolled back', 'quantize: kept']);
    const [{ before, after, why }] = made.steps as [Compressed['steps'][0]];
    expect(why).toMatch(/^drop is [\d.]+ points, at the most 1 points$/);
    expect(after!.bytes).toBeLessThan(before.bytes);
    expect(made.best.macs).toBe(made.start.macs);
    expect(readWafer(made.output).provenance!.recipe.join()).not.toMatch(/gone/);
    // What was taken back is a file nevertheless, where it is the smallest.
    expect(made.pareto.length).toBeGreaterThan(1);
  });

  test('a gate ends the run, or lets the step stay and says so', async () => {
    const steps = (onFail: string) => [{ prune: { ...HALF, gate: { bytes: '10%', onFail } } }, { verify: {} }];
    const stopped = await run(steps('stop'));
    expect(outcomes(stopped)).toEqual(['prune: stopped']);
    expect(stopped.best.macs).toBe(stopped.start.macs);
    const kept = await run(steps('keep'));
    expect(outcomes(kept)).toEqual(['prune: kept', 'verify: kept']);
    expect(kept.steps[0]!.why).toMatch(/kept as the recipe says, though bytes is \d+, at the most \d+/);
  });

  test('what is larger and was not to be is taken back, unless forced or asked for', async () => {
    const ternary = { quantize: { ...INT8, weights: 'ternary' } };
    const lost = await run([ternary, { quantize: INT8 }]);
    expect(outcomes(lost)).toEqual(['quantize: kept', 'quantize: rolled back']);
    expect(lost.steps[1]!.why).toMatch(/the file is larger: \d+, before \d+/);
    for (const more of [{ force: true }, { gate: { bytes: '100%' } }]) {
      const kept = await run([ternary, { quantize: { ...INT8, ...more } }]);
      expect(outcomes(kept)).toEqual(['quantize: kept', 'quantize: kept']);
      expect(readWafer(kept.output).provenance!.recipe).toEqual([expect.stringMatching(/^int8/)]);
    }
  });

  test('what is slower is a loss, by more than times vary', () => {
    const figures = { bytes: 1000 } as StepFigures;
    expect(lossesOf(undefined, figures, figures, [9, 1, 1.3])).toEqual(['it is slower: 1.30 ms a run, before 1.00 ms']);
    expect(lossesOf(undefined, figures, figures, [9, 1, 1.1])).toEqual([]);
    expect(lossesOf(undefined, figures, figures, [9, 0.01, 0.03])).toEqual([]);
    expect(lossesOf({ faster: 1, onFail: 'keep' }, figures, figures, [9, 1, 2])).toEqual([]);
  });

  test('conditions skip steps, with the value', async () => {
    const made = await run([
      { prune: { ...HALF, when: 'drop > 1' } },
      { prune: { ...HALF, when: 'norms > 1 and labelled and trained' } },
      { quantize: INT8 },
      { quantize: { ...INT8, when: 'not quantized' } },
    ]);
    expect(outcomes(made)).toEqual(['prune: skipped', 'prune: kept', 'quantize: kept', 'quantize: skipped']);
    expect(made.steps[0]!.why).toBe('"drop > 1" is not so: drop is 0 points');
  });

  test('what does not fit is an error with its step, or skipped where that is allowed', async () => {
    const misfit = { ratio: 0.5, layers: { nowhere: 0.3 } };
    const error = await run([{ verify: {} }, { prune: misfit }]).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(WaferError);
    expect((error as WaferError).message).toMatch(/step 2 \(prune\)[^\n]*no layer is called "nowhere"/);
    const made = await run([{ prune: { ...misfit, optional: true } }, { prune: { ...HALF, by: ['taylor', 'l2'], samples: 64 } }]);
    expect(outcomes(made)).toEqual(['prune: skipped', 'prune: kept']);
    expect(made.steps[0]!.why).toMatch(/it does not fit: .*no layer is called "nowhere"/);
  });

  test('rounds go on until what is wanted, and the one that costs too much is taken back', async () => {
    const steps = [{ prune: { ratio: 0.25, multiple: 1 } }, { retrain: { ...TRAINED, distil: { share: 0.7 } } }];
    const reached = await run([{ loop: { until: 'weights < 75%', max: 5, steps } }]);
    expect(reached.steps.at(-1)).toMatchObject({ step: 'loop', outcome: 'kept', why: '"weights < 75%" is so' });
    expect(reached.best.weights).toBeLessThan(0.75 * reached.start.weights);
    expect(reached.steps[0]!.place).toBe('1.1, round 1');

    const costly = await run([{ loop: { max: 3, steps: [{ prune: { ratio: 0.7, multiple: 1 } }], gate: { drop: 2 } } }]);
    expect(costly.steps.at(-1)).toMatchObject({ outcome: 'rolled back', why: expect.stringMatching(/round \d: drop is/) });
    expect(costly.best.accuracy).toBeGreaterThan(costly.start.accuracy - 2);
  });

  test('weights are trained with their zeros, and integers through their rounding where that is needed', async () => {
    const made = await run([
      { prune: { what: 'weights', ratio: 0.5 } },
      { retrain: TRAINED },
      { quantize: { ...INT8, tune: { when: 'drop > 50', ...TRAINED } } },
    ]);
    expect(made.steps[1]!.after!.zeros).toBeGreaterThan(48);
    expect(made.steps[2]!.what).toMatch(/not trained because "drop > 50" is not so/);
    const tuned = await run([{ quantize: { ...INT8, weights: 'binary', tune: TRAINED } }]);
    expect(tuned.steps[0]!.what).toMatch(/^binary .*trained 2 epochs through the rounding$/);
  });

  test('the file is verified, on the test data', async () => {
    const made = await run([{ quantize: INT8 }, { verify: { gate: { accuracy: 100, bytes: '1%' } } }, { verify: {} }]);
    expect(outcomes(made)).toEqual(['quantize: kept', 'verify: stopped']);
    expect(made.steps[1]!.what).toMatch(/the file is sound; top-1 [\d.]+ % of 64 test examples/);
    expect(made.test.examples).toBe(64);
  });
});

describe('recipe: the best file', () => {
  const steps = [{ prune: { what: 'weights', ratio: 0.4 } }, { prune: { ratio: 0.85, multiple: 1 } }];

  test('is the smallest that costs no more than it may, and the output', async () => {
    const made = await run(steps, { budget: { drop: 5 } });
    expect(outcomes(made)).toEqual(['prune: kept', 'prune: kept']);
    expect(made.steps[1]!.after!.drop).toBeGreaterThan(5);
    expect(readWafer(made.output).provenance!.recipe).toEqual([expect.stringMatching(/weights are 0, by magnitude$/)]);
    expect(Buffer.from(made.bytes).equals(made.output)).toBe(true);
    expect(made.unmet).toEqual([]);
  });

  test('is the most accurate where no file is small enough, and that is said', async () => {
    const made = await run(steps, { budget: { bytes: '5%' } });
    expect(made.best.accuracy).toBe(Math.max(made.start.accuracy, ...made.steps.map(({ after }) => after!.accuracy)));
    expect(made.unmet).toEqual([expect.stringMatching(/^bytes is \d+, at the most \d+$/)]);
  });

  test('is the last one where there is no budget', async () => {
    expect(readWafer((await run(steps)).output).provenance!.recipe[1]).toMatch(/channels gone, by l2$/);
  });
});

describe('recipe: what was found', () => {
  const steps = [{ prune: HALF }, { retrain: TRAINED }, { quantize: INT8 }];

  test('is found again, and makes the same bytes', async () => {
    const first = await run(steps, {}, 'again');
    const second = await run(steps, {}, 'again');
    expect(first.steps.map(({ isFound }) => isFound)).toEqual([false, false, false]);
    expect(second.steps.map(({ isFound }) => isFound)).toEqual([true, true, true]);
    expect(second.output.equals(first.output)).toBe(true);
    const other = await run(steps, { seed: 2 }, 'again');
    expect(other.steps.map(({ isFound }) => isFound)).toEqual([false, false, false]);
  });

  test('is made again where it was spoilt', async () => {
    const first = await run(steps, {}, 'spoilt');
    const cache = join(folder, 'spoilt', 'cache');
    for (const name of readdirSync(cache)) {
      const bytes = readFileSync(join(cache, name));
      if (name.endsWith('.state')) bytes[bytes.length >> 1]! ^= 1;
      writeFileSync(join(cache, name), name.endsWith('.state') ? bytes : bytes.subarray(0, 3));
    }
    const second = await run(steps, {}, 'spoilt');
    expect(second.steps.map(({ isFound }) => isFound)).toEqual([false, false, false]);
    expect(second.output.equals(first.output)).toBe(true);
  });

  test('a gate that was changed asks for no new work', async () => {
    await run(steps, {}, 'gates');
    const gated = [{ prune: { ...HALF, gate: { bytes: '1%' } } }, ...steps.slice(1)];
    const made = await run(gated, {}, 'gates');
    expect(outcomes(made)).toEqual(['prune: rolled back', 'retrain: kept', 'quantize: kept']);
    expect(made.steps.map(({ isFound }) => isFound)).toEqual([true, false, false]);
  });
});

test('recipe: a state is the same graph from its bytes, norms, levels and all', async () => {
  const state: State = { graph: given.graph, trained: true, done: ['a', 'b'] };
  const samples = labelledSamples(sets.train, given.graph.inputs[0]!, given.form, 16).map(({ sample }) => sample);
  const { graph, report } = await quantize(plainGraph(state), samples, wasmEngine(binaries()), { method: 'minmax' });
  for (const one of [state, { ...state, quantized: { graph, report, done: ['c'] } }]) {
    const bytes = encodeState(one);
    const back = decodeState(bytes);
    expect(Buffer.from(encodeState(back)).equals(Buffer.from(bytes))).toBe(true);
    expect(printGraph(back.graph)).toBe(printGraph(one.graph));
    expect(back.graph.nodes.map(({ attrs }) => attrs)).toEqual(one.graph.nodes.map(({ attrs }) => attrs));
  }
  const cut = encodeState(state).subarray(0, -1);
  expect(() => decodeState(cut)).toThrow(/not a whole state/);
});
