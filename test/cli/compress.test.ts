/** `wafer compress`, built: ready recipes from end to end, runs that are killed and go on, and what bad recipes say. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readWafer } from '../../src/format/reader';
import type { Compressed } from '../../src/packer/recipe/run';
import { NET, writePictures } from '../packer/recipe/pictures';

const folder = mkdtempSync(join(tmpdir(), 'wafer-compress-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);

interface Answer {
  code: number;
  out: string;
  err: string;
}

const ENV = { ...process.env, NO_COLOR: '1' };

const wafer = (...args: string[]): Promise<Answer> =>
  new Promise((resolve) =>
    execFile(process.execPath, ['dist/cli.mjs', ...args], { env: ENV, maxBuffer: 1 << 26 }, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    ),
  );

type Report = Omit<Compressed, 'bytes'> & { bytes: number };

async function compressed(model: string, recipe: string, output: string, ...more: string[]): Promise<Report> {
  const args = [at(model), '--recipe', recipe, '-o', at(output), '--json', ...more];
  const { code, out, err } = await wafer('compress', ...args);
  expect(err).not.toMatch(/error/);
  expect(code).toBe(0);
  return JSON.parse(out);
}

const outcomes = ({ steps }: Report) => steps.map(({ step, outcome }) => `${step} ${outcome}`);

beforeAll(async () => {
  writePictures(at('pictures'), 320, 1);
  writePictures(at('tests'), 64, 2);
  mkdirSync(at('flat'));
  for (const corner of readdirSync(at('pictures')))
    for (const name of readdirSync(join(at('pictures'), corner)).slice(0, 40))
      writeFileSync(join(at('flat'), name), readFileSync(join(at('pictures'), corner, name)));
  writeFileSync(at('net.ts'), NET);
  const { code } = await wafer('train', at('net.ts'), '--data', at('pictures'), '--epochs', '6', '-o', at('net.wafer'));
  expect(code).toBe(0);
});

const DATA = ['--data', '', '--test', ''];
beforeAll(() => {
  DATA[1] = at('pictures');
  DATA[3] = at('tests');
});

describe('cli: compress', () => {
  test('--list: the ready recipes, a line each', async () => {
    const { code, out } = await wafer('compress', '--list', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out).map(({ name }: { name: string }) => name)).toEqual([
      'prune50',
      'small',
      'smaller',
      'ternary',
      'tiny',
      'xnor',
    ]);
    for (const { about } of JSON.parse(out)) expect(about).toMatch(/\w+/);
  });

  /** How many times as small the file is to be, at the least. */
  const SMALLER: Readonly<Record<string, number>> = { small: 2.5, prune50: 5, smaller: 6, tiny: 5, ternary: 5, xnor: 4 };

  test.each(Object.entries(SMALLER))('%s: a new net is trained and made small', async (name, times) => {
    const report = await compressed('net.ts', name, `${name}.wafer`, ...DATA);
    expect(report.steps[0]).toMatchObject({ step: 'train', outcome: 'kept' });
    expect(report.start.bytes / report.best.bytes).toBeGreaterThan(times);
    expect(report.test.best).toBeGreaterThan(90);
    const file = readFileSync(at(`${name}.wafer`));
    expect(file.length).toBe(report.bytes);
    expect(readWafer(file)).toMatchObject({
      labels: ['corner0', 'corner1', 'corner2', 'corner3'],
      postprocessing: { kind: 'classify' },
    });
    expect((await wafer('verify', at(`${name}.wafer`))).code).toBe(0);
    const page = readFileSync(at(`${name}.html`), 'utf8');
    for (const { place, step } of report.steps) expect(page).toContain(`${place} ${step}`);
    const evaluated = JSON.parse((await wafer('eval', at(`${name}.wafer`), '--data', at('tests'), '--json')).out);
    expect(evaluated.files[0].top1).toBeCloseTo(report.test.best, 5);
  });

  test.each(Object.entries(SMALLER))('%s: a model in a file, and pictures of no class', async (name, times) => {
    const report = await compressed('net.wafer', name, `${name}-flat.wafer`, '--data', at('flat'));
    expect(report.counts).toBe('same class');
    expect(report.steps[0]).toMatchObject({ step: 'train', outcome: 'skipped' });
    expect(report.best.accuracy).toBeGreaterThan(80);
    expect(report.start.bytes / report.best.bytes).toBeGreaterThan(times);
  });

  test('the same bytes again, also where all is made anew', async () => {
    const again = await compressed('net.ts', 'smaller', 'again.wafer', ...DATA, '--work', at('work-again'));
    expect(again.steps.every(({ isFound }) => !isFound)).toBe(true);
    expect(readFileSync(at('again.wafer')).equals(readFileSync(at('smaller.wafer')))).toBe(true);
  });

  test('what is there already is found', async () => {
    const found = await compressed('net.ts', 'smaller', 'smaller.wafer', ...DATA);
    expect(found.steps.filter(({ isFound }) => isFound).map(({ step }) => step)).toEqual([
      'train',
      'prune',
      'retrain',
      'quantize',
    ]);
  });

  test('files that are worth having are in the work folder', async () => {
    const { pareto } = await compressed('net.ts', 'smaller', 'smaller.wafer', ...DATA);
    const there = readdirSync(join(folder, '.wafer-work', 'smaller', 'pareto')).filter((name) => name.endsWith('.wafer'));
    expect(there.sort()).toEqual(pareto.map(({ file }) => file).sort());
    for (const [i, { bytes, accuracy }] of pareto.entries()) {
      if (i === 0) continue;
      expect(bytes).toBeGreaterThan(pareto[i - 1]!.bytes);
      expect(accuracy).toBeGreaterThan(pareto[i - 1]!.accuracy);
    }
  });
});

describe('cli: compress is broken off', () => {
  const recipe = `version: 1
steps:
  - train: { epochs: 4, batch: 32 }
  - prune: { ratio: 40%, multiple: 4 }
  - retrain: { epochs: 3, batch: 32, distil: { share: 0.7 } }
  - quantize: { weights: ternary, method: minmax, tune: { epochs: 3, batch: 32 } }
`;
  const args = (name: string) => [
    'compress',
    at('net.ts'),
    '--recipe',
    at('kill.yaml'),
    '-o',
    at(`${name}.wafer`),
    ...DATA,
    '--work',
    at(name),
  ];

  beforeAll(async () => {
    writeFileSync(at('kill.yaml'), recipe);
    const { code, err } = await wafer(...args('undisturbed'));
    expect(err).not.toMatch(/error/);
    expect(code).toBe(0);
  });

  /** Sends `signal` when stderr says `when`, and waits for the end. */
  const broken = (name: string, when: RegExp, signal: NodeJS.Signals): Promise<{ child: ChildProcess; err: string }> =>
    new Promise((resolve) => {
      const child = spawn(process.execPath, ['dist/cli.mjs', ...args(name)], { env: ENV });
      let err = '';
      child.stderr!.on('data', (text: Buffer) => {
        err += text;
        if (when.test(err) && !child.killed) child.kill(signal);
      });
      child.on('close', () => resolve({ child, err }));
    });

  test('killed at every step, it goes on to the same bytes', async () => {
    for (const when of [
      /1 train\n[\s\S]*epoch 2/,
      /2 prune/,
      /3 retrain\n[\s\S]*epoch 1/,
      /3 retrain\n[\s\S]*epoch 3/,
      /4 quantize\n[\s\S]*minmax/,
      /4 quantize\n[\s\S]*epoch 2/,
    ]) {
      const { child } = await broken('killed', when, 'SIGKILL');
      expect(child.signalCode, String(when)).toBe('SIGKILL');
    }
    // The best so far is a whole file at any moment.
    expect(readWafer(readFileSync(at('killed.wafer'))).goldens).toHaveLength(1);
    const { code, out } = await wafer(...args('killed'));
    expect(code).toBe(0);
    expect(out).toMatch(/\(found\)/);
    expect(readFileSync(at('killed.wafer')).equals(readFileSync(at('undisturbed.wafer')))).toBe(true);
    expect(readdirSync(join(at('killed'), 'checkpoints'))).toEqual([]);
  });

  test('interrupted, it says how to go on, and the best file is there', async () => {
    const { child, err } = await broken('stopped', /3 retrain\n[\s\S]*epoch 1/, 'SIGINT');
    expect(child.exitCode).toBe(2);
    expect(err).toMatch(/DISPOSED: the run was interrupted/);
    expect(err).toMatch(/hint: the same command goes on from there; ".*stopped.wafer" is the best so far/);
    expect(readWafer(readFileSync(at('stopped.wafer'))).provenance!.recipe.join()).toMatch(/channels gone/);
    await wafer(...args('stopped'));
    expect(readFileSync(at('stopped.wafer')).equals(readFileSync(at('undisturbed.wafer')))).toBe(true);
  });
});

describe('cli: compress refuses', () => {
  const cases: [string, string[], RegExp, RegExp][] = [
    ['no recipe', ['net.wafer', '-o', 'x.wafer'], /no recipe is named/, /--list/],
    ['no output', ['net.wafer', '--recipe', 'small'], /no file to write/, /-o/],
    ['no model', ['--recipe', 'small', '-o', 'x.wafer'], /no model is named/, /"model"/],
    ['an unknown name', ['net.wafer', '--recipe', 'smal', '-o', 'x.wafer'], /no recipe is called "smal"/, /"small"/],
    ['no examples', ['net.wafer', '--recipe', 'small', '-o', 'x.wafer'], /a recipe needs examples/, /--data/],
    ['a recipe that is not there', ['net.wafer', '--recipe', 'none.yaml', '-o', 'x.wafer'], /cannot be read/, /./],
    [
      'a bad recipe',
      ['net.wafer', '--recipe', 'bad.yaml', '-o', 'x.wafer'],
      /bad\.yaml:3:5: no step is called "prun"/,
      /"prune"/,
    ],
    ['integers', ['small.wafer', '--recipe', 'small', '-o', 'x.wafer', '--data', 'pictures'], /integers already/, /floats/],
    [
      'a script that is no recipe',
      ['net.wafer', '--recipe', 'net.ts', '-o', 'x.wafer'],
      /net\.ts: the recipe: expected keys/,
      /docs/,
    ],
  ];
  beforeAll(() => writeFileSync(at('bad.yaml'), 'version: 1\nsteps:\n  - prun: { ratio: 0.3 }\n'));

  test.each(cases)('%s', async (_, given, message, hint) => {
    const args = given.map((arg) => (/\.(wafer|yaml|ts)$|^pictures$/.test(arg) ? at(arg) : arg));
    const { code, err } = await wafer('compress', ...args);
    expect(code).toBe(2);
    expect(err).toMatch(message);
    expect(err.split('hint: ')[1]).toMatch(hint);
    expect(existsSync(at('x.wafer'))).toBe(false);
  });
});

test('cli: compress takes a recipe in TypeScript', async () => {
  writeFileSync(
    at('recipe.ts'),
    `import { recipe } from 'waferjs/recipe';
export default recipe({ version: 1, steps: [{ quantize: { weights: 'int8', method: 'minmax' } }, { verify: {} }] });
`,
  );
  const report = await compressed('net.wafer', at('recipe.ts'), 'typed.wafer', ...DATA);
  expect(outcomes(report)).toEqual(['quantize kept', 'verify kept']);
});
