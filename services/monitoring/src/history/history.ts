// What an object was other than before, and two lists of what happened to it made one by time. Pure.
import type { HistoryEntry } from '#contracts';
import { canonicalJson } from '#kernel';

type Members = Readonly<Record<string, unknown>>;
export type Change = HistoryEntry['changes'][number];

/** Changes with every event and says nothing. */
const silent: ReadonlySet<string> = new Set(['version', 'updatedAt', 'status.observedAt', 'status.seq']);
const isObject = (value: unknown): value is Members => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Members by their dotted path; lists are one value. */
function leaves(value: Members, above = ''): [string, unknown][] {
  return Object.entries(value).flatMap(([name, member]): [string, unknown][] => (isObject(member) && Object.keys(member).length > 0 ? leaves(member, `${above}${name}.`) : [[`${above}${name}`, member]]));
}

export function changesBetween(before: Members | undefined, after: Members | undefined): Change[] {
  if (before === undefined || after === undefined) return [];
  const [was, is] = [new Map(leaves(before)), new Map(leaves(after))];
  return [...new Set([...was.keys(), ...is.keys()])].filter((field) => !silent.has(field)).flatMap((field) => {
    const [from, to] = [was.get(field) ?? null, is.get(field) ?? null];
    return canonicalJson(from) === canonicalJson(to) ? [] : [{ field, from, to }];
  });
}

/** The newest of both, at most `most`; each list is in its own order already, and keeps it. */
export function merged<A extends { readonly at: string }, B extends { readonly at: string }>(first: readonly A[], second: readonly B[], most: number): { readonly items: (A | B)[]; readonly first: number; readonly second: number } {
  const items: (A | B)[] = [];
  let [a, b] = [0, 0];
  while (items.length < most && (a < first.length || b < second.length)) {
    const [one, other] = [first[a], second[b]];
    if (one !== undefined && (other === undefined || one.at >= other.at)) {
      items.push(one);
      a += 1;
    } else if (other !== undefined) {
      items.push(other);
      b += 1;
    }
  }
  return { items, first: a, second: b };
}
