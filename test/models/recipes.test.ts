/** The files of models/ and their recipes: that they belong together, and that what is measured is judged. No data set is needed. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { filledIn, RECIPES, type Recipe, recordOf } from '../../models/recipes';
import { compareRows, measure, type Row } from '../../scripts/verify-results';
import { readWafer } from '../../src/format/reader';
import { writeNpz } from '../../src/packer/npy';

const folder = mkdtempSync(join(tmpdir(), 'wafer-recipes-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('recipes/each has its file, of the recorded size, and each file its recipe', () => {
  const names = readdirSync('models', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.wafer'));
  expect(names.map((name) => name.slice(0, -'.wafer'.length)).sort()).toEqual(RECIPES.map(({ name }) => name).sort());
  for (const { name, bytes } of RECIPES) expect([name, statSync(`models/${name}.wafer`).size]).toEqual([name, bytes]);
});

test.each(RECIPES)(
  'recipes/$name: the file can be read, its command writes it, and what it is compared with is there',
  (recipe) => {
    const { name, commands, loses } = recipe;
    const { graph, images } = readWafer(readFileSync(`models/${name}.wafer`));
    expect([graph.outputs.length, images?.length]).toEqual([1, 1]);
    expect(commands.at(-1)!.slice(-2)).toEqual(['-o', `$OUT/${name}.wafer`]);
    if (!loses) return;
    const other = RECIPES.find((r) => r.name === loses.against)!;
    expect(recordOf(other).top1 - recordOf(recipe).top1).toBeLessThanOrEqual(loses.points + 1e-9);
  },
);

test('recipes/of three seeds the file is that of the median', () => {
  const of = (top1: Recipe['top1']) => recordOf({ ...RECIPES[0]!, top1 });
  expect([of(75), of([91.5, 90.5, 91]), of([91, 91.5, 90])]).toEqual([
    { top1: 75, seed: 1 },
    { top1: 91, seed: 3 },
    { top1: 91, seed: 1 },
  ]);
});

test('recipes/names are filled in, and what has no value is said', () => {
  expect(filledIn('$OUT/$SEED.wafer', { OUT: 'a', SEED: '1' })).toBe('a/1.wafer');
  expect(() => filledIn('$WAFER_DATA/x', {})).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
});

const recipe: Recipe = {
  ...{ name: 'cifar10/resnet8-int8', commands: [], data: join(folder, 'two.npz'), bytes: 73564, top1: 50 },
  loses: { points: 1, against: 'other' },
};

test('recipes/a file is measured, and figures other than the recorded ones are wrong', async () => {
  const data = Float32Array.from({ length: 2 * 3 * 32 * 32 }, (_, i) => i % 256);
  // The same picture twice, said to be of two classes: at most one is right.
  data.copyWithin(3072, 0, 3072);
  const { name } = readWafer(readFileSync('models/cifar10/resnet8-int8.wafer')).graph.inputs[0]!;
  const write = (labels: number[]) =>
    writeNpz(
      new Map([
        [name, { dtype: 'f32' as const, shape: [2, 3, 32, 32], data }],
        ['labels', { dtype: 'i32' as const, shape: [2], data: Int32Array.from(labels) }],
      ]),
    );
  const measured = async (labels: number[], change: Partial<Recipe> = {}) => {
    writeFileSync(recipe.data, write(labels));
    return measure({ ...recipe, ...change }, 'models');
  };
  const tops: (number | undefined)[] = [];
  for (let k = 0; k < 10; k++) tops.push((await measured([k, k])).top1);
  const found = tops.indexOf(100);
  expect(tops.filter((top1) => top1 === 100)).toHaveLength(1);
  const good = await measured([found, (found + 1) % 10]);
  expect(good).toMatchObject({ top1: 50, examples: 2, bytes: 73564, wrong: [], claimed: { bytes: 73564, top1: 50 } });
  expect(good.sha256).toMatch(/^[0-9a-f]{64}$/);
  expect(Object.values(good.encodings).reduce((a, b) => a + b)).toBeLessThan(good.bytes);
  const bad = await measured([found, found], { bytes: 1 });
  expect(bad.wrong).toEqual(['has 73564 bytes, recorded are 1', 'top-1 is 100 %, recorded are 50 %']);
});

test('recipes/data that is not there is skipped by name', async () => {
  const row = await measure({ ...recipe, data: join(folder, 'nowhere') }, 'models');
  expect(row).toMatchObject({ skipped: expect.stringMatching(/nowhere/), wrong: [] });
  expect(row.top1).toBeUndefined();
});

test('recipes/points below another file are counted where both were measured', () => {
  const rows = (top1: number, other?: number) => {
    const row = { wrong: [], claimed: { bytes: 1, top1 }, bytes: 1, data: '', sha256: '', encodings: {} };
    const both: Row[] = [
      { ...row, name: recipe.name, top1, wrong: [] },
      { ...row, name: 'other', ...(other !== undefined && { top1: other }), wrong: [] },
    ];
    compareRows(both, [recipe, { ...recipe, name: 'other', loses: { points: 0, against: 'none' } }]);
    return both[0]!;
  };
  expect(rows(90, 91)).toMatchObject({ loses: { against: 'other', points: 1, allowed: 1 }, wrong: [] });
  expect(rows(89.99, 91).wrong).toEqual(['is 1.01 points below other, allowed are 1']);
  expect(rows(90).loses).toBeUndefined();
});
