/**
 * Recipes from text: YAML, of which JSON is a part, so that both say line and column; and from what a script exports. The first mistake
 * is the error: where it is, what is wrong, and the nearest thing that would be right.
 */
import { extname } from 'node:path';
import { isMap, isNode, isScalar, LineCounter, type Node, type ParsedNode, parseDocument } from 'yaml';
import type * as z from 'zod';
import { nearest, WaferError } from '../../core/errors';
import { bare, leafOf, type Recipe, recipeSchema, STEP_SCHEMAS } from './schema';

type Path = readonly PropertyKey[];

/** Where in a recipe: text has lines and columns, from 1. */
type Locate = (path: Path, what?: { key?: string; column?: number | undefined }) => string;

/** @param file its name, for messages. Throws ARGUMENT. */
export function readRecipe(text: string, file: string): Recipe {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const [broken] = [...document.errors, ...document.warnings];
  if (broken) {
    const kind = extname(file) === '.json' ? 'JSON' : 'YAML';
    throw new WaferError('ARGUMENT', broken.message, { node: at(broken.pos[0]), hint: `the text is no ${kind}` });
  }
  const nodeAt = (path: Path): Node | null | undefined => {
    const found = document.getIn(path, true);
    return isNode(found) ? found : undefined;
  };
  const locate: Locate = (path, { key, column = 0 } = {}) => {
    for (let to = path.length; to >= 0; to--) {
      const node = nodeAt(path.slice(0, to)) ?? (to === 0 ? document.contents : undefined);
      const pair =
        key !== undefined && isMap(node) ? node.items.find((item) => isScalar(item.key) && item.key.value === key) : undefined;
      const start = ((pair?.key as ParsedNode | undefined) ?? node)?.range?.[0];
      if (start === undefined) continue;
      const isQuoted = isScalar(node) && /^["']/.test(text.slice(start));
      return at(start + (column ? column + (isQuoted ? 1 : 0) : 0));
    }
    return at(0);
  };
  return checked(document.toJS() as unknown, locate);
}

/** From what a script exports; places are said as in `steps[2].prune.ratio`. Throws ARGUMENT. */
export function recipeFrom(value: unknown, file: string): Recipe {
  return checked(value, (path, { key } = {}) => {
    const text = [...path, ...(key === undefined ? [] : [key])].reduce<string>(
      (before, part) => before + (typeof part === 'number' ? `[${part}]` : `${before && '.'}${String(part)}`),
      '',
    );
    return text ? `${file}: ${text}` : file;
  });
}

function checked(given: unknown, locate: Locate): Recipe {
  const value = withOptions(given);
  const { success, data, error } = recipeSchema.safeParse(value);
  if (success) return data;
  const mistakes = error.issues.flatMap((issue) => mistakesOf(issue, value, locate));
  // What is misspelt is missing, too.
  const [first] = mistakes.sort((a, b) => a.rank - b.rank || order(a.where) - order(b.where));
  const { where, message, hint } = first!;
  throw new WaferError('ARGUMENT', message, { node: where, hint });
}

/** Lines before columns; places without either stay as they came. */
function order(where: string): number {
  const [, line, column] = /:(\d+):(\d+)$/.exec(where) ?? [];
  return line ? Number(line) * 1e6 + Number(column) : 0;
}

/** `- verify` and `- verify:` are steps without options. */
function withOptions(value: unknown): unknown {
  const isObject = (x: unknown): x is Record<string, unknown> => typeof x === 'object' && x !== null && !Array.isArray(x);
  if (!isObject(value) || !Array.isArray(value.steps)) return value;
  const steps = value.steps.map((step: unknown) => {
    if (typeof step === 'string') return { [step]: {} };
    if (!isObject(step)) return step;
    return Object.fromEntries(
      Object.entries(step).map(([name, options]) => [name, options === null ? {} : withOptions(options)]),
    );
  });
  return { ...value, steps };
}

interface Mistake {
  where: string;
  message: string;
  hint: string;
  /** 0 for a key or value that is wrong, 1 for one that is missing, 2 for what does not go together. */
  rank: 0 | 1 | 2;
}

function mistakesOf(issue: z.core.$ZodIssue, value: unknown, locate: Locate): Mistake[] {
  const { path } = issue;
  const schema = schemaAt(path);
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys((bare(schema!) as z.core.$ZodObject)._zod.def.shape);
    return issue.keys.map((key) => ({ where: locate(path, { key }), ...unknownKey(key, path, known), rank: 0 }));
  }
  const params = (issue as z.core.$ZodIssueCustom).params as { column?: number; hint?: string; least?: number } | undefined;
  const own = issue.code === 'custom' && issue.message !== 'Invalid input' ? issue.message : undefined;
  if (own !== undefined)
    return [{ where: locate(path, { column: params?.column }), message: own, hint: params?.hint ?? HINT, rank: 2 }];
  const got = path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], value);
  const name = path.length ? nameOf(path) : 'the recipe';
  const expects = expectation(schema);
  if (got === undefined) {
    const [what, where] = path.length ? [`${name} is missing`, locate(path.slice(0, -1))] : ['the recipe is empty', locate([])];
    return [{ where, message: what, hint: `expected ${expects}`, rank: 1 }];
  }
  const leaf = schema && leafOf(schema);
  const odd = [got].flat().find((x): x is string => typeof x === 'string' && !leaf?.choices?.includes(x));
  const near = leaf?.choices && odd && nearest(odd, leaf.choices);
  const message = `${name}: expected ${expects}, got ${JSON.stringify(got) ?? String(got)}`;
  return [{ where: locate(path), message: shortened(message), hint: near ? `did you mean "${near}"?` : HINT, rank: 0 }];
}

const HINT = 'docs/recipes.md lists what a recipe may say; so does wafer compress --help';
const shortened = (text: string): string => (text.length > 300 ? `${text.slice(0, 299)}…` : text);

/** A key's name; of an element, the list's and its place. */
function nameOf(path: Path): string {
  const at = path.findLastIndex((part) => typeof part === 'string');
  const rest = path.slice(at + 1).map((part) => `[${String(part)}]`);
  return `"${String(path[at] ?? '')}${rest.join('')}"`;
}

function unknownKey(key: string, path: Path, known: readonly string[]): Pick<Mistake, 'message' | 'hint'> {
  const near = nearest(key, known);
  const hint = near ? `did you mean "${near}"?` : `${known.join(', ')} are known here`;
  const isStep = typeof path.at(-1) === 'number' && path.at(-2) === 'steps';
  if (isStep) {
    const elsewhere = !near && key in STEP_SCHEMAS ? ' inside of a loop' : '';
    return { message: `no step is called "${key}"${elsewhere}`, hint };
  }
  return { message: path.length ? `${nameOf(path)} takes no "${key}"` : `a recipe has no "${key}"`, hint };
}

function expectation(schema: z.core.$ZodType | undefined): string {
  const leaf = schema && leafOf(schema);
  if (leaf) return leaf.expects;
  const inner = schema && bare(schema);
  const type = inner?._zod.def.type;
  if (type === 'array') return `a list of ${expectation((inner as z.core.$ZodArray)._zod.def.element).replace(/^an? /, '')}`;
  if (type === 'record') return 'names, each with a value';
  return type === 'object' ? `keys: ${Object.keys((inner as z.core.$ZodObject)._zod.def.shape).join(', ')}` : 'something else';
}

/** The schema of what is at a path; undefined where there is none. */
function schemaAt(path: Path): z.core.$ZodType | undefined {
  let schema: z.core.$ZodType | undefined = recipeSchema;
  for (const part of path) {
    if (!schema) return undefined;
    const inner: z.core.$ZodType = bare(schema);
    const { def } = inner._zod as { def: z.core.$ZodTypeDef };
    if (def.type === 'object') schema = (inner as z.core.$ZodObject)._zod.def.shape[String(part)];
    else if (def.type === 'array') schema = (inner as z.core.$ZodArray)._zod.def.element;
    else if (def.type === 'record') schema = (inner as z.core.$ZodRecord)._zod.def.valueType;
    else return schema;
  }
  return schema;
}
