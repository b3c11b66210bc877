/**
 * From a shader's file to the text that is compiled. Lines that begin with # are directives:
 *
 *     #flag NAME = default       a boolean, a number or a list of names; a dispatch may give it another value
 *     #include NAME              shaders/lib/NAME.wgsl, once a shader
 *     #if NAME | !NAME | NAME == value … #else … #end
 *     #for i NAME … #end         for i = 0, 1 … NAME - 1, or for each index of a list
 *     #for i,f NAME … #end       for each index i of a list, whose name there is f
 *
 * and `$i`, `${i}` or `$NAME` stand for values. Flags are for what WGSL cannot say with numbers: types, bindings, and
 * registers, which have to be named variables. Lines that enable extensions come first in the text, wherever they were written.
 */
import { invariant } from '../../core/errors';

export type Flag = boolean | number | readonly string[];
export type Flags = Readonly<Record<string, Flag>>;

export const FLAG = /^#flag (\w+) = (.*)$/gm;

/** Name and default value of a flag's declaration. */
export function parseFlag([, name, value]: RegExpMatchArray): [string, Flag] {
  return [name!, JSON.parse(value!) as Flag];
}

type Texts = Readonly<Record<string, string>>;

/** The files in shaders/ and in shaders/lib/, by their names. */
export interface ShaderTexts {
  readonly shaders: Texts;
  readonly library: Texts;
}

/** The text of `shader` with these flags. A directive that cannot be understood is a bug. */
export function specialise(shader: string, { shaders, library }: ShaderTexts, flags: Flags = {}): string {
  const text = shaders[shader]!;
  const defaults = Object.fromEntries([...text.matchAll(FLAG)].map(parseFlag));
  for (const name of Object.keys(flags)) invariant(name in defaults, () => `shader ${shader} has no flag ${name}`);
  const included = new Set<string>();
  const include = (source: string): string[] =>
    source.split('\n').flatMap((line) => {
      const name = line.match(/^#include (\w+)$/)?.[1];
      if (name === undefined) return line.startsWith('#flag') ? [] : [line];
      if (included.has(name)) return [];
      included.add(name);
      invariant(name in library, () => `${shader} includes ${name}, which is not there`);
      return include(library[name]!);
    });
  const lines = expand(include(text), { ...defaults, ...flags });
  const isFirst = (line: string) => line.startsWith('enable ');
  return [...new Set(lines.filter(isFirst)), ...lines.filter((line) => !isFirst(line))].join('\n');
}

type Names = Readonly<Record<string, Flag | string>>;

function expand(lines: readonly string[], names: Names): string[] {
  const out: string[] = [];
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!;
    const [directive, ...words] = line.split(' ');
    if (!directive!.startsWith('#')) {
      out.push(line.replace(/\$(?:\{(\w+)\}|([A-Za-z0-9]+))/g, (_, long, short) => String(flagNamed(names, long ?? short))));
      continue;
    }
    const end = endOf(lines, at);
    const middle = elseOf(lines, at, end);
    const [first, second] = [lines.slice(at + 1, middle), lines.slice(middle + 1, end)];
    if (directive === '#if') out.push(...expand(holds(words, names) ? first : second, names));
    else {
      invariant(directive === '#for' && words.length === 2, () => `the directive "${line}" is unknown`);
      const [index, item = ''] = words[0]!.split(',') as [string, string?];
      const count = flagNamed(names, words[1]!);
      const items = Array.isArray(count) ? count : Array.from({ length: Number(count) }, (_, i) => i);
      items.forEach((value, i) => out.push(...expand(first, { ...names, [item]: value, [index]: i })));
    }
    at = end;
  }
  return out;
}

function flagNamed(names: Names, name: string): Flag | string {
  const value = names[name];
  invariant(value !== undefined, () => `a shader names ${name}, which is no flag`);
  return value;
}

function holds([name, equals, value]: readonly string[], names: Names): boolean {
  if (equals === '==') return String(flagNamed(names, name!)) === value;
  const not = name!.startsWith('!');
  const flag = flagNamed(names, not ? name!.slice(1) : name!);
  return (Array.isArray(flag) ? flag.length > 0 : Boolean(flag)) !== not;
}

/** The #end that belongs to the directive at `at`. */
function endOf(lines: readonly string[], at: number): number {
  let depth = 0;
  for (let i = at; i < lines.length; i++) {
    if (/^#(if|for)\b/.test(lines[i]!)) depth++;
    if (lines[i] === '#end' && --depth === 0) return i;
  }
  invariant(false, () => `"${lines[at]}" has no #end`);
}

/** The #else that belongs to it, or `end`. */
function elseOf(lines: readonly string[], at: number, end: number): number {
  let depth = 0;
  for (let i = at; i < end; i++) {
    if (/^#(if|for)\b/.test(lines[i]!)) depth++;
    if (lines[i] === '#end') depth--;
    if (lines[i] === '#else' && depth === 1) return i;
  }
  return end;
}
