// From the pieces of an HTTP request to the one input of a contract. A member may stand in the path, the query, the
// body or `If-Match`, but only once: two places would let two readers understand two things.
import { DryRunUnsupported, InvalidArgument } from '#contracts';
import type { Operation, Route } from '#contracts';
import { ok } from '#kernel';
import type { Result } from '#kernel';

export type Members = Readonly<Record<string, unknown>>;

const wrong = (path: string, message: string): Result<never> => InvalidArgument.fail(`${path}: ${message}.`, { issues: [{ path, message }] });

/** The query's members as text. Refuses a repeated one and percent signs that encode nothing. */
export function parseQuery(text: string): Result<Members> {
  const members = blank();
  for (const pair of text.split('&')) {
    if (pair === '') continue;
    const at = pair.indexOf('=');
    const name = decode(at < 0 ? pair : pair.slice(0, at));
    const value = at < 0 ? '' : decode(pair.slice(at + 1));
    if (name === undefined || value === undefined) return wrong('query', 'is not percent-encoded UTF-8');
    if (name in members) return wrong(name.slice(0, 80), 'is given twice');
    members[name] = value;
  }
  return ok(members);
}

const dryRunMember = 'dryRun';

/** Whether the query asks only what would happen, and the query without that. Only commands that their owner explains may be asked so. */
export function dryRunOf({ name, kind, dryRun }: Operation, query: string): Result<{ readonly dry: boolean; readonly query: string }> {
  if (!query.includes(dryRunMember)) return ok({ dry: false, query });
  const [asked = [], others = []] = [true, false].map((wanted) => query.split('&').filter((pair) => (pair === dryRunMember || pair.startsWith(`${dryRunMember}=`)) === wanted));
  if (asked.length === 0 || kind === 'query') return ok({ dry: false, query });
  if (asked.length > 1) return wrong(dryRunMember, 'is given twice');
  const value = asked[0]!.slice(dryRunMember.length + 1);
  if (value !== 'true' && value !== 'false') return wrong(dryRunMember, 'takes true or false');
  if (value === 'true' && !dryRun) return DryRunUnsupported.fail(`The server cannot explain ${name} beforehand; nothing was done.`, { operation: name });
  return ok({ dry: value === 'true', query: others.join('&') });
}

/** Without a prototype, so that no name means anything by itself. */
const blank = (): Record<string, unknown> => Object.create(null) as Record<string, unknown>;

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    // decodeURIComponent has no other way to say no.
    return undefined;
  }
}

/** The text behind `?`, or ''. */
export const queryOf = (url: string): string => {
  const at = url.indexOf('?');
  return at < 0 ? '' : url.slice(at + 1);
};

/** `"7"` → 7; `*` asks for nothing that the object's existence does not give. */
export function versionOf(ifMatch: string): Result<number | undefined> {
  if (ifMatch === '*') return ok(undefined);
  const [, digits] = /^"(\d{1,15})"$/.exec(ifMatch) ?? [];
  return digits === undefined ? wrong('If-Match', 'must be one ETag as it was given, or *') : ok(Number(digits));
}

export interface Pieces {
  readonly params: Members;
  /** The text behind `?`. */
  readonly query: string;
  /** The parsed body; undefined where there was none. */
  readonly body: unknown;
  readonly ifMatch: string | undefined;
}

/** What goes to the owner. Types and unknown members are for the contract's schema to judge. */
export function inputOf(route: Route, pieces: Pieces): Result<Members> {
  const { params, query, body, ifMatch } = pieces;
  if (query === '' && body === undefined && ifMatch === undefined) return ok(params);
  if (body !== undefined && (typeof body !== 'object' || body === null || Array.isArray(body))) return wrong('body', 'must be a JSON object');
  const asked = query === '' ? ok({}) : parseQuery(query);
  if (!asked.ok) return asked;
  const matched = matchMember(route, ifMatch);
  if (!matched.ok) return matched;
  const input = blank();
  for (const source of [params, asked.value, body ?? {}, matched.value]) {
    for (const [name, value] of Object.entries(source)) {
      if (name in input) return wrong(name.slice(0, 80), 'is given twice');
      input[name] = value;
    }
  }
  return ok(input);
}

function matchMember(route: Route, ifMatch: string | undefined): Result<Members> {
  if (ifMatch === undefined) return ok({});
  if (!route.members.includes('version')) return wrong('If-Match', 'is not taken by this operation');
  const version = versionOf(ifMatch);
  if (!version.ok) return version;
  return ok(version.value === undefined ? {} : { version: version.value });
}

/** Members that only the door may write are unknown to clients. */
export function refuseDoorMembers(input: Members, doorMembers: readonly string[]): Result<Members> {
  const name = doorMembers.find((member) => member in input);
  return name === undefined ? ok(input) : wrong(name, 'unknown');
}
