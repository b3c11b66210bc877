/** The schema in words and as TypeScript: what docs/recipes.md and the declarations of `waferjs/recipe` say, so that they say the same. */
import type * as z from 'zod';
import { FLAGS, MEASURES } from './condition';
import { aboutOf, bare, defaultOf, leafOf, recipeSchema, STEP_ABOUT, STEP_SCHEMAS, type StepName } from './schema';

/** Keys of an object, and what is inside of them, in order. */
interface Key {
  /** As in `gate.drop`; of what is in a list, `hints[].from`. */
  readonly name: string;
  readonly expects: string;
  readonly otherwise: string;
  readonly about: string;
}

type ObjectSchema = z.core.$ZodObject;
type ListSchema = z.core.$ZodArray;
type RecordSchema = z.core.$ZodRecord;

const typeOf = (schema: z.core.$ZodType): string => bare(schema)._zod.def.type;

/** Said once, of all steps. */
const EVERYWHERE = ['when', 'save', 'optional', 'gate', 'force'];

function expectsOf(schema: z.core.$ZodType): string {
  const said = leafOf(schema);
  if (said) return said.expects;
  const inner = bare(schema);
  if (typeOf(inner) === 'array') return `a list: ${expectsOf((inner as ListSchema)._zod.def.element)}`;
  if (typeOf(inner) === 'record') return `by name: ${expectsOf((inner as RecordSchema)._zod.def.valueType)}`;
  return 'keys';
}

function keysOf(schema: z.core.$ZodType, before = '', without: readonly string[] = []): Key[] {
  const { shape } = (bare(schema) as ObjectSchema)._zod.def;
  return Object.entries(shape).flatMap(([key, value]) => {
    if (without.includes(key)) return [];
    const name = `${before}${key}`;
    const otherwise = defaultOf(value);
    const own: Key = {
      ...{ name, expects: expectsOf(value), about: aboutOf(value) },
      otherwise: otherwise === undefined ? '' : `\`${JSON.stringify(otherwise).replaceAll('"', '')}\``,
    };
    if (leafOf(value)) return [own];
    const inner = bare(value);
    const element = typeOf(inner) === 'array' ? (inner as ListSchema)._zod.def.element : inner;
    const isNested = typeOf(element) === 'object' && !leafOf(element);
    return [own, ...(isNested ? keysOf(element, element === inner ? `${name}.` : `${name}[].`) : [])];
  });
}

const cell = (text: string): string => text.replaceAll('|', '\\|');

const sentence = (text: string): string => `${text[0]!.toUpperCase()}${text.slice(1).replace(/\.$/, '')}.`;

/** A table of Markdown. */
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((row) => `| ${row.map(cell).join(' | ')} |`).join('\n');

const keyTable = (keys: readonly Key[]): string =>
  table(
    ['key', 'what it may be', 'default', ''],
    keys.map(({ name, expects, otherwise, about }) => [`\`${name}\``, expects, otherwise, about]),
  );

/** All keys of recipes and steps, as Markdown. */
export function reference(): string {
  const steps = (Object.keys(STEP_SCHEMAS) as StepName[]).map((name) => {
    const keys = keysOf(STEP_SCHEMAS[name], '', name === 'verify' || name === 'loop' ? [] : EVERYWHERE);
    return `### ${name}\n\n${sentence(STEP_ABOUT[name])}\n\n${keyTable(keys)}`;
  });
  const shared = keysOf(STEP_SCHEMAS.prune).filter(({ name }) => EVERYWHERE.includes(name.split('.')[0]!));
  return [
    `## The recipe\n\n${keyTable(keysOf(recipeSchema))}`,
    `## Every step\n\n\`verify\` has a gate that takes nothing back; \`loop\` has no \`optional\` and no \`force\`.\n\n${keyTable(shared)}`,
    `## Steps\n\n${steps.join('\n\n')}`,
    `## Conditions\n\n${table(
      ['name', 'what it is', 'a percentage is'],
      [
        ...Object.entries(MEASURES).map(([name, { about, share }]) => [`\`${name}\``, about, share ? 'of the start' : '']),
        ...Object.entries(FLAGS).map(([name, about]) => [`\`${name}\``, `true where ${about}`, '']),
      ],
    )}`,
  ].join('\n\n');
}

/** A type of TypeScript, as a recipe is written. */
function typeText(schema: z.core.$ZodType, indent: string): string {
  const said = leafOf(schema);
  if (said) return said.type;
  const inner = bare(schema);
  if (typeOf(inner) === 'record') return `Record<string, ${typeText((inner as RecordSchema)._zod.def.valueType, indent)}>`;
  if (typeOf(inner) === 'array') {
    const element = typeText((inner as ListSchema)._zod.def.element, indent);
    return `(${element})[]`;
  }
  const lines = Object.entries((inner as ObjectSchema)._zod.def.shape).map(([key, value]) => {
    const isWanted = bare(value) === value;
    const about = aboutOf(value);
    return `${about && `${indent}  /** ${sentence(about)} */\n`}${indent}  ${key}${isWanted ? '' : '?'}: ${typeText(value, `${indent}  `)};`;
  });
  return `{\n${lines.join('\n')}\n${indent}}`;
}

/** The declarations of `waferjs/recipe`. */
export function declarations(): string {
  const names = Object.keys(STEP_SCHEMAS) as StepName[];
  const inner = names.filter((name) => !['quantize', 'loop', 'verify'].includes(name));
  const step = (some: readonly StepName[]) => some.map((name) => `{ ${name}: Options['${name}'] }`).join(' | ');
  const options = names.map(
    (name) => `  /** ${sentence(STEP_ABOUT[name])} */\n  ${name}: ${typeText(STEP_SCHEMAS[name], '  ')};`,
  );
  return [
    `/** A part in percent, and a size. */
export type Percent = \`\${number}%\`;
export type Size = \`\${number}\${'B' | 'kB' | 'MB'}\`;`,
    `/** What steps take. */\nexport interface Options {\n${options.join('\n')}\n}`,
    `export type Step = ${step(names)};\n\n/** A step of a round. */\nexport type InnerStep = ${step(inner)};`,
    `export interface Recipe ${typeText(recipeSchema, '')}`,
    '/** What it is given: for the sake of its type. */\nexport function recipe(recipe: Recipe): Recipe;\n',
  ].join('\n\n');
}
