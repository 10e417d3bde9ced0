// What every list takes: a page, an order out of the contract's own names, a search, and a projection of what it answers.
// The names are part of the contract, so a door refuses an unknown one with the list of those that exist.
import { z } from 'zod';
import { FolderId } from './ids.ts';
import { pageInput, queryFlag } from './values.ts';

type Order<S extends readonly string[]> = S[number] | `-${S[number]}`;

/** Members of a list's input: `sorts` are the orders that it knows, the first (or `preset`) is the one nobody asked for. */
export const listInput = <const S extends readonly [string, ...string[]]>(item: z.ZodObject, sorts: S, preset: Order<S> = sorts[0]) => ({
  ...pageInput,
  sort: z.enum(sorts.flatMap((name) => [name, `-${name}`]) as [Order<S>, ...Order<S>[]]).optional().describe(`order of the list, with - before it descending; ${preset} if absent`),
  fields: fieldsOf(item).optional().describe('members to answer, with commas between and dots inside, like id,status.state; all if absent'),
});

/** Search by name. Lists that find more say so in a text of their own. */
export const searchInput = (text = 'part of the name') => ({ q: z.string().min(1).max(63).optional().describe(text) });
export const folderFilter = {
  folderId: FolderId.optional().describe('in this folder'),
  subfolders: queryFlag.default(false).describe('also in the folders below it'),
};

const Label = /^[a-z0-9][a-z0-9._/-]{0,62}(:[^,\p{Cc}]{0,63})?$/u;
/** `name:value`, or a name alone; several with commas between must all be there. */
export const LabelFilter = z.string().max(1000).refine((text) => text.split(',').every((one) => Label.test(one)), 'name:value or a name, several with commas between');
export const labelInput = { label: LabelFilter.optional().describe('carries this label: name:value, or any value of a name; several with commas between') };

export interface LabelAsked { readonly name: string; readonly value: string | null }
export const labelsAsked = (text: string): LabelAsked[] => text.split(',').map((one) => {
  const at = one.indexOf(':');
  return at < 0 ? { name: one, value: null } : { name: one.slice(0, at), value: one.slice(at + 1) };
});

/** The columns behind the orders of a list: one for each name of its contract. */
export type SortsOf<O> = O extends { input: z.ZodObject<infer S> } ? (S extends { sort: z.ZodOptional<z.ZodEnum<infer E>> } ? Readonly<Record<Exclude<keyof E, `-${string}`>, string>> : never) : never;

// Projections

const FIELDS = 50;

function fieldsOf(item: z.ZodObject) {
  return z.string().min(1).max(1000).check((ctx) => {
    const paths = ctx.value.split(',');
    const message = paths.length > FIELDS ? `at most ${FIELDS} of them` : paths.map((path) => unknownField(item, path.split('.'))).find((text) => text !== undefined);
    if (message !== undefined) ctx.issues.push({ code: 'custom', message, input: ctx.value });
  });
}

/** Why a list's items have no such member; undefined = they have. */
function unknownField(schema: z.ZodType, path: readonly string[], above = ''): string | undefined {
  const inner = unwrapped(schema);
  const [name = '', ...rest] = path;
  if (path.length === 0 || inner instanceof z.ZodRecord || inner instanceof z.ZodUnknown) return undefined;
  if (!(inner instanceof z.ZodObject)) return `${above.slice(0, -1)} has no members`;
  const shape = inner.shape as Readonly<Record<string, z.ZodType>>;
  const member = Object.hasOwn(shape, name) ? shape[name] : undefined;
  if (member === undefined) return `there is no ${above}${name}; one of ${Object.keys(shape).map((known) => `${above}${known}`).join(', ')}`;
  return unknownField(member, rest, `${above}${name}.`);
}

function unwrapped(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodNullable || schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) return unwrapped(schema.def.innerType as z.ZodType);
  return schema instanceof z.ZodArray ? unwrapped(schema.def.element as z.ZodType) : schema;
}

interface Tree { readonly [name: string]: Tree | true }

function treeOf(paths: readonly string[]): Tree {
  const inner = Map.groupBy(paths.map((path) => path.split('.')), ([name = '']) => name);
  return Object.fromEntries([...inner].map(([name, all]) => [name, all.some((path) => path.length === 1) ? true : treeOf(all.map((path) => path.slice(1).join('.')))]));
}

function picked(value: unknown, tree: Tree | true): unknown {
  if (tree === true || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => picked(item, tree));
  const members = value as Readonly<Record<string, unknown>>;
  return Object.fromEntries(Object.entries(tree).filter(([name]) => Object.hasOwn(members, name)).map(([name, below]) => [name, picked(members[name], below)]));
}

/** What leaves a list whose caller named the members that he wants; any other reply is as it was. */
export function projected(reply: unknown, input: unknown): unknown {
  const fields = typeof input === 'object' && input !== null ? (input as { fields?: unknown }).fields : undefined;
  if (typeof fields !== 'string' || typeof reply !== 'object' || reply === null || !('items' in reply)) return reply;
  return { ...reply, items: picked(reply.items, treeOf(fields.split(','))) };
}
