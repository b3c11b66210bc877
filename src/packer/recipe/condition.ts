/**
 * What `when` and `until` say: `drop > 0.3`, `bytes > 40kB and not quantized`. A parser of its own, because a recipe is data: it must
 * not run code. `and` binds closer than `or`; there are no brackets.
 */
import { nearest, WaferError } from '../../core/errors';
import { bytesNamed } from '../quantize/budget';

/** Numbers that conditions compare. `share`: whether a percentage is one of what the model was at first. */
export const MEASURES = {
  accuracy: { share: false, about: 'percent of right answers, or of what the model answered at first where there are no labels' },
  drop: { share: false, about: 'points of accuracy lost since the start, or since the last `train`' },
  bytes: { share: true, about: 'of the file as it would be written now' },
  macs: { share: true, about: 'multiply-accumulates of a run' },
  weights: { share: true, about: 'numbers in constants' },
  zeros: { share: false, about: 'percent of the weights of products that are 0' },
  norms: { share: false, about: 'batch norms that are not folded yet' },
} as const;

/** What is so or is not. */
export const FLAGS = {
  trained: 'the weights are not drawn: the model was given with them, or a `train` step was made',
  labelled: 'the examples have classes',
  quantized: 'a `quantize` step was made',
} as const;

export type Measure = keyof typeof MEASURES;
export type Flag = keyof typeof FLAGS;

/** What a condition is looked up in: the measures now, and at the start. */
export interface Standing {
  now: Readonly<Record<Measure, number>>;
  start: Readonly<Record<Measure, number>>;
  flags: Readonly<Record<Flag, boolean>>;
}

const OPERATORS = {
  '<': (a: number, b: number) => a < b,
  '<=': (a: number, b: number) => a <= b,
  '>': (a: number, b: number) => a > b,
  '>=': (a: number, b: number) => a >= b,
};
type Operator = keyof typeof OPERATORS;

type Clause =
  | { flag: Flag; not: boolean }
  | { measure: Measure; operator: Operator; value: number; ofStart: boolean; not: boolean };

/** Any of several lists of clauses that all hold. */
export interface Condition {
  readonly text: string;
  readonly any: readonly (readonly Clause[])[];
}

interface Token {
  text: string;
  at: number;
}

/** Where in a condition, in characters from its beginning. */
export class ConditionError extends WaferError {
  constructor(
    message: string,
    readonly column: number,
    hint: string,
  ) {
    super('ARGUMENT', message, { hint });
  }
}

const NAMES = [...Object.keys(MEASURES), ...Object.keys(FLAGS)];

/** Throws ConditionError. */
export function parseCondition(text: string): Condition {
  const tokens: Token[] = [...text.matchAll(/[<>]=?|[^\s<>]+/g)].map((found) => ({ text: found[0], at: found.index }));
  let next = 0;
  const end: Token = { text: '', at: text.length };
  const peek = (): Token => tokens[next] ?? end;
  const take = (): Token => tokens[next++] ?? end;
  const clause = (): Clause => {
    let not = false;
    while (peek().text === 'not') {
      take();
      not = !not;
    }
    const name = take();
    if (!NAMES.includes(name.text)) {
      const near = nearest(name.text, NAMES);
      const what = name.text ? `"${name.text}" is nothing that a condition knows` : 'the condition ends where a name is expected';
      throw new ConditionError(what, name.at, near ? `did you mean "${near}"?` : `names are ${NAMES.join(', ')}`);
    }
    if (name.text in FLAGS) return { flag: name.text as Flag, not };
    const operator = take();
    if (!(operator.text in OPERATORS))
      throw new ConditionError(
        `expected <, <=, > or >= behind "${name.text}"${operator.text && `, got "${operator.text}"`}`,
        operator.at,
        `as in "${name.text} > ${EXAMPLE[name.text as Measure]}"`,
      );
    const value = take();
    const measure = name.text as Measure;
    return { measure, operator: operator.text as Operator, ...numberOf(measure, value), not };
  };
  const all = (): Clause[] => {
    const clauses = [clause()];
    while (peek().text === 'and') {
      take();
      clauses.push(clause());
    }
    return clauses;
  };
  const any = [all()];
  while (peek().text === 'or') {
    take();
    any.push(all());
  }
  const rest = peek();
  if (rest !== end)
    throw new ConditionError(`expected "and" or "or", got "${rest.text}"`, rest.at, 'as in "drop > 0.3 and bytes > 40kB"');
  return { text, any };
}

const EXAMPLE: Readonly<Record<Measure, string>> = {
  accuracy: '90%',
  drop: '0.3',
  bytes: '40kB',
  macs: '50%',
  weights: '50%',
  zeros: '50%',
  norms: '0',
};

function numberOf(measure: Measure, { text, at }: Token): { value: number; ofStart: boolean } {
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(text);
  if (percent) {
    const { share } = MEASURES[measure];
    if (measure === 'norms') throw new ConditionError('norms are counted', at, 'as in "norms > 0"');
    return { value: Number(percent[1]) / (share ? 100 : 1), ofStart: share };
  }
  const value = measure === 'bytes' ? bytesNamed(text) : /^-?\d+(?:\.\d+)?(?:e\d+)?$/.test(text) ? Number(text) : undefined;
  if (value === undefined)
    throw new ConditionError(
      text ? `"${text}" is no value for "${measure}"` : `the condition ends where a value for "${measure}" is expected`,
      at,
      `as in "${measure} > ${EXAMPLE[measure]}"`,
    );
  return { value, ofStart: false };
}

/** Whether it holds now. */
export function holds({ any }: Condition, { now, start, flags }: Standing): boolean {
  const isTrue = (clause: Clause): boolean => {
    if ('flag' in clause) return flags[clause.flag] !== clause.not;
    const { measure, operator, value, ofStart, not } = clause;
    return OPERATORS[operator](now[measure], ofStart ? value * start[measure] : value) !== not;
  };
  return any.some((all) => all.every(isTrue));
}
