// The commands of the command line as a table, made from the contracts: `tokctl <noun> <verb>`, one per operation with a route.
import { allOperations, imageContentRoute, routeOf } from '#contracts';
import type { Operation, Route } from '#contracts';
import { flagsOf } from './flags.ts';
import type { Flag } from './flags.ts';
import { isNoun } from './nouns.ts';
import { memberOf } from './shape.ts';
import type { Shape } from './shape.ts';

export interface Positional {
  readonly name: string;
  readonly member: string;
  readonly shape: Shape;
}

export interface Command {
  readonly words: readonly string[];
  readonly operation: Operation;
  readonly route: Route;
  readonly positionals: readonly Positional[];
  readonly flags: readonly Flag[];
  /** Objects that are completed when they are given in part. */
  readonly fillings: readonly { readonly path: readonly string[]; readonly value: Readonly<Record<string, unknown>> }[];
  /** Members that page through a list: the command line turns the pages itself. */
  readonly paged: boolean;
}

/** Where `<noun> <verb>` would be taken or read badly. A `cli` of the contract comes first. */
const renamed: Readonly<Record<string, string>> = { 'ha.host.get': 'ha host', 'compute.site.get': 'site show' };
/** Operations whose commands are written by hand: signing in keeps tokens, following a task shows progress, checking the audit log goes on to its end. */
const byHand: ReadonlySet<string> = new Set(['auth.session.login', 'auth.session.refresh', 'auth.session.logout', 'auth.audit.verify']);
/** Members that the command line fills in itself. */
const ownMembers: Readonly<Record<string, readonly string[]>> = { 'monitoring.task.get': ['waitMs', 'afterVersion'], 'monitoring.event.list': ['waitMs'] };
const pageMembers: readonly string[] = ['cursor', 'limit'];

export function wordsOf(operation: Operation): readonly string[] {
  return (operation.cli ?? renamed[operation.name] ?? `${operation.noun} ${operation.verb}`).split(' ');
}

/** Throws when two operations get the same words: a bug in the contracts or in the table above. */
export function commandTree(operations: readonly Operation[] = allOperations): readonly Command[] {
  const commands = operations.flatMap((operation) => {
    const route = routeOf(operation);
    return route === undefined || byHand.has(operation.name) ? [] : [commandOf(operation, route)];
  });
  const seen = new Map<string, string>();
  for (const { words, operation } of commands) {
    const key = words.join(' ');
    if (seen.has(key)) throw new Error(`${seen.get(key)} and ${operation.name} are both "tokctl ${key}": give one a cli name`);
    seen.set(key, operation.name);
  }
  return commands.sort((a, b) => (a.words.join(' ') < b.words.join(' ') ? -1 : 1));
}

function commandOf(operation: Operation, route: Route): Command {
  const { members } = memberOf('', operation.input).shape as Shape & { kind: 'object' };
  const paged = 'cursor' in members;
  const hidden = [...route.pathParams, ...(paged ? pageMembers : []), ...(ownMembers[operation.name] ?? [])];
  const given = Object.fromEntries(Object.entries(members).filter(([name]) => route.members.includes(name) && !hidden.includes(name)));
  const positionals = route.pathParams.map((member): Positional => {
    const { shape } = members[member]!;
    return { name: shape.kind === 'reference' ? shape.noun : member, member, shape };
  });
  return {
    words: wordsOf(operation), operation, route, positionals,
    flags: flagsOf(given).map((flag) => ownId(operation, flag)),
    fillings: Object.entries(given).flatMap(([member, { shape }]) => (shape.kind === 'object' && shape.filling ? [{ path: [member], value: shape.filling }] : [])),
    paged,
  };
}

/** The id that a new object is to have is no reference to one that exists. */
function ownId(operation: Operation, flag: Flag): Flag {
  const own = operation.verb === 'create' && flag.name === operation.noun && flag.shape.kind === 'reference' && flag.shape.noun === operation.noun;
  return own ? { ...flag, name: 'id', shape: { kind: 'text' } } : flag;
}

/** What an object of this command's reply is; undefined where the reply is no object with a name. */
export const nounOfCommand = ({ operation }: Command) => (isNoun(operation.noun) ? operation.noun : undefined);

/** The route that no operation stands for; `image upload` uses it. */
export const contentPath = (imageId: string): string => imageContentRoute.path.replace(':imageId', encodeURIComponent(imageId));
