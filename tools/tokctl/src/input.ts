// From what the user typed to the input of a contract, checked with the contract itself before anything is sent.
import type { Operation } from '#contracts';
import type { Command } from './command-tree.ts';
import { usageFailure } from './failures.ts';
import type { Flag } from './flags.ts';
import { NamedReference, parseValue, SecretSource } from './values.ts';

export type Typed = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;
export type Input = Record<string, unknown>;

/** Values by flag name and by position; throws a usage failure that names the flag. */
export function inputOf(command: Command, positionals: readonly string[], typed: Typed): Input {
  const input: Input = {};
  command.positionals.forEach(({ member, shape, name }, at) => { input[member] = parseValue(positionals[at] ?? '', shape, `<${name}>`); });
  for (const flag of command.flags) {
    const text = typed[flag.name];
    if (text !== undefined) put(input, flag.path, valueOf(flag, text));
  }
  for (const { path, value } of command.fillings) fill(input, path, value);
  return input;
}

function valueOf(flag: Flag, text: string | boolean | readonly string[]): unknown {
  const where = `--${flag.name}`;
  if (typeof text === 'boolean') return text;
  if (typeof text === 'string') return flag.nullable && text === 'none' ? null : parseValue(text, flag.shape, where);
  // A list of plain values may also be written with commas; items with members use the comma for these.
  const apart = flag.shape.kind === 'list' && flag.shape.item.kind !== 'object' ? text.flatMap((one) => one.split(',')) : text;
  const values = apart.map((one) => parseValue(one, flag.shape, where));
  return flag.shape.kind === 'pairs' ? Object.assign({}, ...values) : values;
}

function put(input: Input, path: readonly string[], value: unknown): void {
  const [member = '', ...rest] = path;
  if (rest.length === 0) input[member] = value;
  else put((input[member] ??= {}) as Input, rest, value);
}

/** Completes an object that was given in part; one that was not given stays away. */
function fill(input: Input, path: readonly string[], value: Readonly<Record<string, unknown>>): void {
  const [member = '', ...rest] = path;
  const inner = input[member] as Input | undefined;
  if (inner === undefined) return;
  if (rest.length > 0) fill(inner, rest, value);
  else input[member] = { ...value, ...inner };
}

/** Stands for the id of a name before it is looked up: one per name, for rules such as "each host once". */
const idFor = (names: string[], name: string): string => {
  if (!names.includes(name)) names.push(name);
  return `00000000-0000-7000-8000-${String(names.indexOf(name)).padStart(12, '0')}`;
};

/** Applies `change` to every reference and secret within a value. */
export async function replaceDeep(value: unknown, change: (leaf: NamedReference | SecretSource) => Promise<unknown>): Promise<unknown> {
  if (value instanceof NamedReference || value instanceof SecretSource) return change(value);
  if (Array.isArray(value)) {
    const changed: unknown[] = [];
    for (const item of value) changed.push(await replaceDeep(item, change));
    return changed;
  }
  if (typeof value !== 'object' || value === null) return value;
  const changed: Input = {};
  for (const [name, member] of Object.entries(value)) changed[name] = await replaceDeep(member, change);
  return changed;
}

/** Checks the input with the contract's own schema; a reference counts as some id. Issues name the flags. */
export async function checkInput(command: Command, input: Input): Promise<void> {
  const names: string[] = [];
  const probe = await replaceDeep(input, (leaf) => Promise.resolve(leaf instanceof NamedReference ? idFor(names, `${leaf.noun} ${leaf.name}`) : 'a secret of some length'));
  const read = command.operation.input.safeParse(probe);
  if (read.success) return;
  const lines = read.error.issues.map((issue) => {
    const path = issue.path.map(String);
    return missing(probe, path) ? `${flagOfPath(command, path.join('.')) ?? path.join('.')} is missing` : `${flagOfPath(command, path.join('.')) ?? (path.join('.') || command.words.join(' '))}: ${issue.message}`;
  });
  throw usageFailure(...new Set(lines), `See tokctl ${command.words.join(' ')} --help.`);
}

function missing(value: unknown, path: readonly string[]): boolean {
  let inner: unknown = value;
  for (const name of path) inner = typeof inner === 'object' && inner !== null ? (inner as Input)[name] : undefined;
  return path.length > 0 && inner === undefined;
}

/** `cpu.cores` → `--cpu.cores`, `disks.0.sizeBytes` → `--disk`, `vmId` → `<vm>`. */
export function flagOfPath(command: Command, path: string): string | undefined {
  const positional = command.positionals.find(({ member }) => member === path);
  if (positional) return `<${positional.name}>`;
  const of = (flag: Flag): string => flag.path.join('.');
  const flag = command.flags.find((one) => of(one) === path) ?? command.flags.find((one) => path.startsWith(`${of(one)}.`)) ?? command.flags.find((one) => of(one).startsWith(`${path}.`));
  return flag === undefined ? undefined : `--${flag.name}`;
}

/** Where the members of an input go on the wire. */
export function requestOf(operation: Operation, route: { readonly method: string; readonly path: string; readonly pathParams: readonly string[]; readonly rest: 'query' | 'body' }, input: Input): { method: string; path: string; body?: Input } {
  const path = route.path.replace(/:([A-Za-z0-9]+)/g, (_, name: string) => encodeURIComponent(String(input[name])));
  const others = Object.entries(input).filter(([name, value]) => !route.pathParams.includes(name) && value !== undefined);
  if (route.rest === 'body') return { method: route.method, path, ...(operation.kind === 'query' || others.length > 0 ? { body: Object.fromEntries(others) } : {}) };
  const query = new URLSearchParams(others.map(([name, value]): [string, string] => [name, typeof value === 'string' ? value : JSON.stringify(value)]));
  return { method: route.method, path: query.size > 0 ? `${path}?${query.toString()}` : path };
}
