// From the text of a flag to the value that the contract wants. Names of objects stay references until they are looked up.
import { usageFailure } from './failures.ts';
import { flagName } from './flags.ts';
import type { NounName } from './nouns.ts';
import { durationForm, parseDuration, parseSize, sizeForm } from './quantities.ts';
import type { Shape } from './shape.ts';

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
export const isId = (text: string): boolean => uuid.test(text);

/** A name that stands where an id belongs. */
export class NamedReference {
  readonly noun: NounName;
  readonly name: string;
  /** The flag or argument it came from. */
  readonly where: string;

  constructor(noun: NounName, name: string, where: string) {
    this.noun = noun;
    this.name = name;
    this.where = where;
  }
}

/** A secret that is read from a file (`@path`) or from standard input (`-`), never from the command line. */
export class SecretSource {
  readonly file: string;

  constructor(file: string) {
    this.file = file;
  }
}

type Parser = (text: string, where: string) => unknown;
const whole = /^-?\d{1,16}$/;
const decimal = /^-?\d{1,16}(\.\d{1,16})?$/;

const checked = (value: unknown, where: string, wanted: string): unknown => {
  if (value === undefined) throw usageFailure(`${where} takes ${wanted}.`);
  return value;
};
const booleans: Readonly<Record<string, boolean>> = { true: true, yes: true, on: true, false: false, no: false, off: false };

const parsers: Readonly<Record<Exclude<Shape['kind'], 'choice' | 'reference' | 'list' | 'object'>, Parser>> = {
  text: (text) => text,
  integer: (text, where) => checked(whole.test(text) ? Number(text) : undefined, where, 'a whole number'),
  number: (text, where) => checked(decimal.test(text) ? Number(text) : undefined, where, 'a number'),
  size: (text, where) => checked(parseSize(text), where, sizeForm),
  duration: (text, where) => checked(parseDuration(text), where, durationForm),
  boolean: (text, where) => checked(Object.hasOwn(booleans, text) ? booleans[text] : undefined, where, 'true or false'),
  secret: (text, where) => {
    if (text === '-') return new SecretSource('-');
    if (text.startsWith('@') && text.length > 1) return new SecretSource(text.slice(1));
    throw usageFailure(`${where} takes no secret from the command line, where others can read it.`, `Write ${where} @file, or ${where} - to read one line from standard input.`);
  },
  pairs: (text, where) => pairOf(text, where),
  any: (text, where) => {
    try {
      return JSON.parse(text) as unknown;
    } catch (error) {
      throw usageFailure(`${where} takes JSON: ${error instanceof Error ? error.message : String(error)}`);
    }
  },
};

function pairOf(text: string, where: string): Readonly<Record<string, string>> {
  const at = text.indexOf('=');
  if (at < 1) throw usageFailure(`${where} takes name=value.`);
  return { [text.slice(0, at)]: text.slice(at + 1) };
}

/** The value of one flag given once. */
export function parseValue(text: string, shape: Shape, where: string): unknown {
  switch (shape.kind) {
    case 'choice':
      return checked(shape.values.includes(text) ? text : undefined, where, `one of ${shape.values.join(', ')}`);
    case 'reference':
      return isId(text) ? text.toLowerCase() : new NamedReference(shape.noun, checked(text === '' ? undefined : text, where, `a name or an id of a ${shape.noun}`) as string, where);
    case 'list':
      return parseValue(text, shape.item, where);
    case 'object':
      return parseMembers(text, shape, where);
    default:
      return parsers[shape.kind](text, where);
  }
}

/** `size=10GiB,datastore=fast` → an object. The same name again makes a list where the member is one. */
function parseMembers(text: string, shape: Shape & { kind: 'object' }, where: string): unknown {
  const byFlag = new Map(Object.entries(shape.members).map(([member, { shape: inner }]) => [flagName(member, inner), { member, inner }]));
  const value: Record<string, unknown> = {};
  for (const part of text.split(',')) {
    const [[name, given] = ['', '']] = Object.entries(pairOf(part, where));
    const found = byFlag.get(name);
    if (!found) throw usageFailure(`${where} knows no ${name || 'empty member'}; it takes ${[...byFlag.keys()].join(', ')}.`);
    const { member, inner } = found;
    const one = parseValue(given, inner, `${where} ${name}`);
    if (inner.kind === 'list') value[member] = [...((value[member] as unknown[] | undefined) ?? []), one];
    else if (member in value) throw usageFailure(`${where} has ${name} twice.`);
    else value[member] = one;
  }
  return { ...shape.filling, ...value };
}
