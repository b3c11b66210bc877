/**
 * What a recipe may say: one schema, from which YAML, JSON and TypeScript are checked, and from which messages, docs and declarations
 * take their words. A step is an object with one key, its name; what else holds of every step is in its options.
 */
import * as z from 'zod';
import { WaferError } from '../../core/errors';
import { CRITERIA as CHANNEL_CRITERIA, WEIGHT_CRITERIA } from '../prune/index';
import { bytesNamed } from '../quantize/budget';
import { FORMATS, formatNamed, type LevelFormat } from '../quantize/formats';
import { METHODS } from '../quantize/range';
import { ROUNDINGS } from '../quantize/weights';
import { type Condition, ConditionError, parseCondition } from './condition';

/** What a value may be: in words, and as TypeScript's type. */
export interface Leaf {
  readonly expects: string;
  readonly type: string;
  /** Words among which the nearest is looked for. */
  readonly choices?: readonly string[];
}

const LEAVES = new WeakMap<z.core.$ZodType, Leaf>();
const ABOUT = new WeakMap<z.core.$ZodType, string>();

/** Of a schema, within what makes it optional. */
export function leafOf(schema: z.core.$ZodType): Leaf | undefined {
  return LEAVES.get(schema) ?? (isWrapped(schema) ? leafOf(schema._zod.def.innerType) : undefined);
}

/** What a key is for. */
export const aboutOf = (schema: z.core.$ZodType): string => ABOUT.get(schema) ?? '';

const isWrapped = (schema: z.core.$ZodType): schema is z.core.$ZodOptional | z.core.$ZodDefault => 'innerType' in schema._zod.def;

/** Without what makes it optional. */
export const bare = (schema: z.core.$ZodType): z.core.$ZodType => (isWrapped(schema) ? bare(schema._zod.def.innerType) : schema);

/** What a key is when it is left out. */
export const defaultOf = (schema: z.core.$ZodType): unknown =>
  schema instanceof z.ZodDefault ? schema._zod.def.defaultValue : undefined;

function leaf<T extends z.core.$ZodType>(schema: T, expects: string, type: string, choices?: readonly string[]): T {
  LEAVES.set(schema, { expects, type, ...(choices && { choices }) });
  return schema;
}

/** A key that may be left out. */
function key<T extends z.ZodType>(schema: T, about: string): z.ZodOptional<T> {
  const optional = schema.optional();
  ABOUT.set(optional, about);
  return optional;
}

/** A key that is `value` when it is left out. */
function keyOr<T extends z.ZodType>(schema: T, value: z.core.util.NoUndefined<z.output<T>>, about: string): z.ZodDefault<T> {
  const made = schema.default(value);
  ABOUT.set(made, about);
  return made;
}

function must<T extends z.ZodType>(schema: T, about: string): T {
  ABOUT.set(schema, about);
  return schema;
}

// ---- leaves ----

const count = () => leaf(z.int().min(1), 'a whole number from 1 on', 'number');
const rate = () => leaf(z.number().min(0), 'a number that is not negative', 'number');
const positive = () => leaf(z.number().positive(), 'a number above 0', 'number');
const points = () => leaf(z.number().min(0).max(100), 'points of accuracy, 0 to 100', 'number');
const percent = () =>
  leaf(
    z.union([z.number().min(0).max(100), z.string().regex(/^\d+(\.\d+)?%$/)]).transform((x) => Number.parseFloat(String(x))),
    'percent, 0 to 100',
    'number | Percent',
  );
const flag = () => leaf(z.boolean(), 'true or false', 'boolean');
const text = (expects: string) => leaf(z.string().min(1), expects, 'string');
const choice = <const C extends readonly [string, ...string[]]>(...choices: C) =>
  leaf(z.enum(choices), `one of ${choices.join(', ')}`, choices.map((c) => `'${c}'`).join(' | '), choices);

/** 0.3 or 30%. */
const part = () =>
  leaf(
    z
      .union([z.number(), z.string().regex(/^\d+(\.\d+)?%$/)])
      .transform((x) => (typeof x === 'number' ? x : Number.parseFloat(x) / 100))
      .refine((x) => x >= 0 && x <= 1),
    'a part, as in 0.3 or 30%',
    'number | Percent',
  );

/** An absolute number, or a part of what the model had at the start. */
export type Limit = { readonly absolute: number } | { readonly share: number };

export const limitOf = (limit: Limit, start: number): number => ('share' in limit ? limit.share * start : limit.absolute);

const limit = (expects: string, units: (text: string) => number | undefined, least: number) =>
  leaf(
    z.union([z.number(), z.string()]).transform((x, context): Limit => {
      const found = typeof x === 'string' ? /^(\d+(?:\.\d+)?)%$/.exec(x) : undefined;
      const absolute = typeof x === 'number' ? x : units(x);
      if (found && Number(found[1]) > 0) return { share: Number(found[1]) / 100 };
      if (absolute !== undefined && absolute >= least) return { absolute };
      context.addIssue({ code: 'custom', ...(absolute === undefined ? {} : { params: { least } }) });
      return z.NEVER;
    }),
    expects,
    'number | Percent | Size',
  );

/** Bytes of the smallest file that could hold any network. */
const LEAST_FILE = 100;

const bytes = () =>
  limit(`a size from ${LEAST_FILE} bytes on, as in 40kB, or a part of the start, as in 30%`, bytesNamed, LEAST_FILE);
const work = () => {
  const units = (x: string) => (/^\d+(\.\d+)?(e\d+)?$/.test(x) ? Number(x) : undefined);
  return limit('a number of multiply-accumulates, or a part of the start, as in 50%', units, 1);
};

const condition = () =>
  leaf(
    z.string().transform((x, context): Condition => {
      try {
        return parseCondition(x);
      } catch (error) {
        if (!(error instanceof ConditionError)) throw error;
        const { column, hint } = error;
        context.addIssue({ code: 'custom', message: error.toJSON().message, params: { column, hint } });
        return z.NEVER;
      }
    }),
    'a condition, as in "drop > 0.3"',
    'string',
  );

const format = () =>
  leaf(
    z.union([z.string(), z.number()]).transform((x, context) => {
      try {
        return formatNamed(String(x));
      } catch (error) {
        if (!(error instanceof WaferError)) throw error;
        context.addIssue({ code: 'custom', message: error.toJSON().message, params: { hint: error.hint } });
        return z.NEVER;
      }
    }),
    `a format of weights: ${FORMATS.join(', ')}`,
    'string | number',
  );

const byLayer = <T extends z.ZodType>(value: T) => z.record(text('the name of a layer'), value);

// ---- gates ----

const LIMITS = {
  drop: key(points(), 'points of accuracy that may be lost, since the start or the last `train`'),
  accuracy: key(percent(), 'the least that it may be'),
  bytes: key(bytes(), 'of the file, at the most'),
  macs: key(work(), 'of a run, at the most'),
  faster: key(positive(), 'how many times as fast as at the start the file runs here, at the least'),
};

type Given = Readonly<Record<string, unknown>>;
const limits = Object.keys(LIMITS);
const isLimited = (given: Given) => limits.some((name) => given[name] !== undefined);

const gateOf = <F extends z.ZodType>(onFail: F) =>
  z.strictObject({ ...LIMITS, onFail }).superRefine((gate, context) => {
    if (!isLimited(gate))
      context.addIssue({
        code: 'custom',
        message: 'a gate without a limit stops nothing',
        params: { hint: `limits are ${limits.join(', ')}` },
      });
  });

const gate = () =>
  key(
    gateOf(
      keyOr(
        choice('rollback', 'stop', 'keep'),
        'rollback',
        'takes the step back, ends the run there, or only says so in the report',
      ),
    ),
    'what the step may cost',
  );

// ---- steps ----

const EVERY = {
  when: key(condition(), 'makes the step only where this holds'),
  save: key(text('the name of a file'), 'writes the file as it is after the step, too'),
  optional: keyOr(flag(), false, 'skips the step, with the reason, where it does not fit the model; otherwise that is an error'),
};

const JUDGED = {
  ...EVERY,
  gate: gate(),
  force: keyOr(flag(), false, 'keeps the step also where it makes the file larger or slower without being asked to'),
};

/** Who teaches, and how much. */
const teaching = (otherwise: string) => ({
  teacher: key(text('a file'), `a .wafer or .onnx file (default: that of the recipe, else ${otherwise})`),
  share: key(
    part(),
    'of the loss that is to be like the teacher, the rest being for the labels (default: 0.5; without labels 1)',
  ),
  temperature: key(positive(), 'by which what both say is softened (default: 2)'),
  views: key(
    choice('fixed', 'same'),
    'asks the teacher once for each example, or has it see each batch as it is varied (default: fixed, unless that takes much memory)',
  ),
});

const distil = () =>
  z.strictObject({
    ...teaching('the model itself at the start'),
    hints: key(
      z.array(z.strictObject({ ...pair(), loss: key(choice('mse', 'cosine'), 'how they are compared (default: mse)') })).min(1),
      'what nodes compute that is to be like what the teacher’s do',
    ),
    attention: key(z.array(z.strictObject(pair())).min(1), 'where nodes attend to that is to be where the teacher’s do'),
  });

const pair = () => ({
  from: must(text('the name of a node'), 'a node of the teacher'),
  to: must(text('the name of a node'), 'a node of the model'),
  weight: key(positive(), 'in the loss (default: 1)'),
});

const training = (epochs: number, ownRate: string) => ({
  epochs: keyOr(count(), epochs, 'how often every example is seen'),
  leastSteps: key(count(), 'epochs are added where examples are so few that fewer steps would be made'),
  batch: key(count(), 'examples of a step (default: 64, or as many as there are)'),
  workers: key(count(), 'threads (default: the processors, as far as they divide a batch); other bytes come of another number'),
  optimizer: keyOr(choice('sgd', 'adam', 'adamw'), 'sgd', 'what makes steps of gradients'),
  lr: key(rate(), `learning rate (default: ${ownRate})`),
  momentum: key(rate(), 'of sgd (default: 0.9)'),
  weightDecay: keyOr(rate(), 0, 'of weights, not of biases and norms'),
  schedule: keyOr(choice('cosine', 'constant', 'step'), 'cosine', 'of the learning rate'),
  warmup: key(count(), 'steps over which the rate grows from 0'),
  flip: keyOr(flag(), false, 'mirrors every second image'),
  crop: key(count(), 'shifts images by up to so many pixels'),
  erase: key(part(), 'of images, in which a rectangle is blanked'),
  mixup: key(rate(), 'mixes examples in pairs, by a part from Beta(mixup, mixup)'),
  labelSmoothing: key(part(), 'spread over all classes'),
  ema: key(part(), 'of a moving average of weights that stays in a step, as 0.999: the average is what comes out'),
  freeze: key(text('a regular expression'), 'weights whose names match it stay as they are'),
  distil: key(distil(), 'learns from a teacher'),
});

const norms = () =>
  keyOr(
    flag(),
    false,
    'gives convolutions batch norms again, which files have folded: larger steps and prices on scales go then',
  );

const CRITERIA = [...CHANNEL_CRITERIA, 'magnitude'] as const;

const prune = z
  .strictObject({
    what: keyOr(choice('channels', 'weights'), 'channels', 'takes whole channels away, or makes single weights 0'),
    by: key(
      leaf(
        z.union([z.enum(CRITERIA), z.array(z.enum(CRITERIA)).min(1)]),
        `one of ${CRITERIA.join(', ')}, or a list of which the first that fits the model counts`,
        `(${CRITERIA.map((c) => `'${c}'`).join(' | ')})[] | ${CRITERIA.map((c) => `'${c}'`).join(' | ')}`,
        CRITERIA,
      ),
      'what tells which go: of channels by default l2; of weights magnitude (the default) or random',
    ),
    ratio: key(part(), 'of what is there, how much goes'),
    layers: key(
      byLayer(part()),
      'ratios by name of a layer, in which * stands for anything; of several that match, the last counts',
    ),
    scope: key(choice('layer', 'global'), 'whether each layer loses its part, or all compete (default: layer)'),
    multiple: key(count(), 'channels that are left in a layer are a multiple of this (default: 8)'),
    least: key(part(), 'of the channels of a layer that are kept in any case (default: 0.1; one always is)'),
    block: key(leaf(z.union([z.literal(1), z.literal(4)]), '1 or 4', '1 | 4'), 'weights that become 0 together (default: 1)'),
    compensate: keyOr(flag(), false, 'has weights that stay make up for channels that go, as far as examples show them alike'),
    samples: keyOr(count(), 256, 'examples that are looked at, by criteria of what layers give too'),
    ...JUDGED,
  })
  .superRefine(({ what, by, ratio, layers, block, multiple, least, compensate }, context) => {
    const refuse = (message: string, path: string[] = []) => context.addIssue({ code: 'custom', message, path });
    if (ratio === undefined && !layers) refuse('it does not say how much: "ratio" or "layers" is missing');
    if (what === 'channels' && block !== undefined) refuse('"block" is for weights, not for channels', ['block']);
    if (what === 'weights' && multiple !== undefined) refuse('"multiple" is for channels, not for weights', ['multiple']);
    if (what === 'weights' && compensate) refuse('"compensate" is for channels, not for weights', ['compensate']);
    if (what === 'weights' && least !== undefined) refuse('"least" is for channels, not for weights', ['least']);
    const known: readonly string[] = what === 'channels' ? CHANNEL_CRITERIA : WEIGHT_CRITERIA;
    const odd = [by ?? []].flat().find((criterion) => !known.includes(criterion));
    if (odd) refuse(`"${odd}" is no criterion for ${what}, which are ${known.join(', ')}`, ['by']);
    if (ratio !== undefined && ratio >= 1) refuse('a ratio of 1 leaves nothing', ['ratio']);
  });

const factorize = z
  .strictObject({
    method: keyOr(choice('auto', 'svd', 'spatial', 'tucker'), 'auto', 'what a layer becomes: the cheapest, or one kind'),
    layers: key(z.array(text('the name of a layer')), 'names, in which * stands for anything (default: all)'),
    energy: key(part(), 'of the squares of weights that is kept'),
    rank: key(count(), 'of every layer'),
    ratio: key(part(), 'of what `by` says that is left'),
    by: keyOr(choice('parameters', 'macs'), 'parameters', 'what is to be saved'),
    samples: keyOr(
      leaf(z.int().min(0), 'a whole number', 'number'),
      64,
      'examples by which it is judged what matters; 0 looks at weights alone',
    ),
    ...JUDGED,
  })
  .superRefine(({ energy, rank, ratio }, context) => {
    const given = [energy, rank, ratio].filter((x) => x !== undefined).length;
    if (given > 1)
      context.addIssue({
        code: 'custom',
        message: '"energy", "rank" and "ratio" each say how much is kept: leave all but one out',
      });
  });

const quantize = z
  .strictObject({
    weights: key(format(), 'what weights are stored as (default: int8)'),
    layers: key(byLayer(format()), 'other formats by name of a layer, in which * stands for anything'),
    ends: key(format(), 'of the first and the last layer, where `layers` says nothing of them'),
    grouped: key(format(), 'of convolutions in groups, depthwise ones too, where `layers` says nothing of them'),
    method: keyOr(choice('auto', ...METHODS), 'auto', 'how ranges of activations are chosen'),
    rounding: key(
      choice(...(ROUNDINGS as unknown as [string, ...string[]])),
      'how weights become levels (default: adaround below 8 bits, else gptq)',
    ),
    budget: key(
      z
        .strictObject({
          bytes: key(bytes(), 'of the file'),
          bits: key(positive(), 'of a weight, on average'),
        })
        .superRefine(({ bytes, bits }, context) => {
          if ((bytes === undefined) === (bits === undefined))
            context.addIssue({ code: 'custom', message: 'a budget is "bytes" or "bits", one of them' });
        }),
      'chooses formats by layer so that they fit',
    ),
    choices: key(z.array(format()), 'what a budget chooses among'),
    samples: keyOr(count(), 256, 'examples to calibrate on'),
    tune: key(
      z.strictObject({
        when: key(condition(), 'trains only where this holds of what was quantised without'),
        ...training(2, '0.01, with adam 0.001'),
        distil: key(
          z.strictObject(teaching('the model of floats')),
          'learns from the model of floats, or from another teacher (default: a share of 0.5)',
        ),
      }),
      'trains through the rounding',
    ),
    ...JUDGED,
  })
  .superRefine(({ weights, layers = {}, budget, choices, tune }, context) => {
    const refuse = (message: string, path: string[]) => context.addIssue({ code: 'custom', message, path });
    if (budget && weights) refuse('"weights" and "budget" both choose formats: leave one out', ['weights']);
    if (choices && !budget) refuse('"choices" are what a budget chooses among, and there is none', ['choices']);
    for (const [i, one] of (choices ?? []).entries())
      if (one === 'xnor' || one === 'float') refuse(`a budget does not choose ${one}`, ['choices', String(i)]);
    const signs =
      weights === 'xnor' ? ['weights'] : Object.keys(layers).flatMap((name) => (layers[name] === 'xnor' ? ['layers', name] : []));
    if (signs.length && (!tune || tune.when))
      refuse('xnor layers have to be trained: "tune" without "when" is missing', signs.slice(0, 2));
  });

const sparsify = z
  .strictObject({
    gamma: key(rate(), "of the loss: the sum of what batch norms multiply with, so that channels' go to 0"),
    outputs: key(rate(), 'of the loss: the mean of the magnitudes of what layers give'),
    norms: norms(),
    ...training(3, '0.01'),
    ...JUDGED,
  })
  .superRefine(({ gamma, outputs }, context) => {
    if (gamma === undefined && outputs === undefined)
      context.addIssue({ code: 'custom', message: 'it does not say what is to become sparse: "gamma" or "outputs" is missing' });
  });

const INNER = {
  train: z.strictObject({ ...training(10, '0.1, with adam 0.001'), norms: norms(), ...JUDGED }),
  sparsify,
  prune,
  retrain: z.strictObject({
    ...training(2, '0.01, with adam 0.001'),
    norms: norms(),
    keepZeros: key(flag(), 'weights that are 0 stay 0 (default: in tensors of which more than a tenth is)'),
    ...JUDGED,
  }),
  factorize,
};

/** What a step does, by its name. */
export const STEP_ABOUT = {
  train: 'trains on the labels. What comes of it is what later drops are counted from, and the teacher where no other is named.',
  sparsify: 'trains with a price on what is to become 0, before `prune` takes it away.',
  prune: 'takes channels away, or makes weights 0.',
  retrain: 'trains what is left, gently, so that it makes good what was lost.',
  factorize: 'makes two or three thin layers of one.',
  quantize: 'makes integers of weights and activations. Comes last; a second one begins with the floats again.',
  loop: 'makes its steps again and again.',
  verify: 'reads the file back, runs what it promises, and measures it on the test data.',
} as const;

const oneStep = <S extends z.ZodRawShape>(shape: S) => {
  const partial = Object.fromEntries(Object.entries(shape).map(([name, schema]) => [name, (schema as z.ZodType).optional()]));
  return z.strictObject(partial as { [K in keyof S]: z.ZodOptional<S[K] & z.ZodType> }).superRefine((step, context) => {
    const names = Object.keys(step);
    if (names.length === 1) return;
    const message =
      names.length === 0 ? 'a step is missing here' : `a step has one name, here are ${names.map((n) => `"${n}"`).join(' and ')}`;
    const hint = names.length === 0 ? `steps are ${Object.keys(shape).join(', ')}` : 'begin each step with a "-" of its own';
    context.addIssue({ code: 'custom', message, params: { hint } });
  });
};

const inner = oneStep(INNER);

const loop = z.strictObject({
  until: key(condition(), 'ends after a round when this holds'),
  max: keyOr(count(), 10, 'rounds, at the most'),
  steps: must(leaf(z.array(inner).min(1), 'a list of steps', 'InnerStep[]'), 'of a round'),
  when: EVERY.when,
  save: EVERY.save,
  gate: gate(),
});

const STEPS = {
  ...INNER,
  quantize,
  loop,
  verify: z.strictObject({
    ...EVERY,
    gate: key(
      gateOf(keyOr(choice('stop', 'keep'), 'stop', 'ends the run there, or only says so in the report')),
      'what must hold',
    ),
  }),
};

export const stepSchema = oneStep(STEPS);

export const recipeSchema = z
  .strictObject({
    version: must(leaf(z.literal(1), '1', '1'), 'of what this page describes'),
    about: key(text('a sentence'), 'what the recipe is for'),
    model: key(text('a file'), 'a .wafer file of floats, an ONNX model, or a script that builds one'),
    data: key(
      z.strictObject({
        train: key(text('data'), 'what is trained and calibrated on: as `wafer train --data` takes it'),
        val: key(text('data'), 'what gates, conditions and budgets are judged on (default: the test data)'),
        test: key(
          text('data'),
          'what is reported at the end (default: the test part of the training data; else a tenth of it, held out)',
        ),
        calibrate: key(text('data'), 'what is calibrated on (default: the training data)'),
      }),
      'where examples are',
    ),
    teacher: key(
      text('a file'),
      'a .wafer or .onnx file to learn from (default: the model as it is at the start, or after `train`)',
    ),
    seed: keyOr(count(), 1, 'decides all that is drawn'),
    budget: key(
      z.strictObject(LIMITS).superRefine((budget, context) => {
        if (!isLimited(budget)) context.addIssue({ code: 'custom', message: `a budget without a limit: ${limits.join(', ')}` });
      }),
      'what the best file must meet: of those that do, the most accurate where `bytes` are given, else the smallest',
    ),
    steps: must(leaf(z.array(stepSchema).min(1), 'a list of steps', 'Step[]'), 'what is done, one after the other'),
  })
  .superRefine(({ steps }, context) => {
    const at = steps.findIndex((step) => 'quantize' in step);
    if (at < 0) return;
    steps.forEach((step, i) => {
      const [name] = Object.keys(step);
      if (i > at && name !== 'quantize' && name !== 'verify')
        context.addIssue({
          code: 'custom',
          path: ['steps', i, name!],
          message: `"${name}" comes after "quantize", which ends in integers`,
          params: { hint: 'move it before; "tune" of "quantize" trains integers' },
        });
    });
  });

/** As it is read: units are numbers, defaults are filled in. */
export type Recipe = z.output<typeof recipeSchema>;
export type Budget = NonNullable<Recipe['budget']>;
export type Gate = NonNullable<z.output<typeof prune>['gate']>;
type Schemas = typeof STEPS;
export type StepName = keyof Schemas;
export type Options<N extends StepName> = z.output<Schemas[N]>;
export type AnyStep = Recipe['steps'][number];
export type Distil = z.output<ReturnType<typeof distil>>;
export type Choices = readonly LevelFormat[];

/** Steps by name, as they are checked. */
export const STEP_SCHEMAS: Readonly<Record<StepName, z.core.$ZodType>> = STEPS;
