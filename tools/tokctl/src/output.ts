// How results are written: a table for people, JSON, YAML, names and ids for programs.
import { stringify } from 'yaml';
import { sizeText } from '#kernel';
import { usageFailure } from './failures.ts';
import { nounOf } from './nouns.ts';
import type { Column, NounName } from './nouns.ts';
import { durationText } from './quantities.ts';
import { objectText, tableText } from './table.ts';
import { progressText } from './task-text.ts';
import type { HistoryEntry, Task } from '#contracts';

export const formats = ['table', 'json', 'yaml', 'name', 'id'] as const;
export type Format = (typeof formats)[number];

export type Item = Readonly<Record<string, unknown>>;
export type Names = ReadonlyMap<NounName, ReadonlyMap<string, string>>;

export interface Look {
  readonly format: Format;
  readonly columns: readonly Column[];
  readonly noun: NounName | undefined;
  /** Names of the objects that columns refer to. */
  readonly names: Names;
  /** Width of the terminal; Infinity where nobody watches. */
  readonly width: number;
  readonly nowMs: number;
}

export function formatOf(text: string): Format {
  const format = formats.find((one) => one === text);
  if (!format) throw usageFailure(`-o takes one of ${formats.join(', ')}.`);
  return format;
}

const json = (value: unknown): string => JSON.stringify(value, null, 2);
const yaml = (value: unknown): string => stringify(value, { lineWidth: 0 }).trimEnd();

/** Several objects. No line at all is written for none, except in a table, whose heading stands alone. */
export function listText(items: readonly Item[], look: Look): string {
  if (look.format === 'json') return json(items);
  if (look.format === 'yaml') return yaml(items);
  if (look.format === 'name' || look.format === 'id') return items.map((item) => identityOf(item, look)).join('\n');
  if (look.columns.length === 0) return items.map((item) => objectText(item, leafText)).join('\n\n');
  return tableText(look.columns.map(headingOf), items.map((item) => look.columns.map((column) => cellOf(column, item, look))), look.width);
}

/** One object: all of it (`whole`), or the row that it would be in a list. */
export function itemText(item: Item, look: Look, whole: boolean): string {
  if (look.format === 'json') return json(item);
  if (look.format === 'yaml') return yaml(item);
  if (look.format === 'name' || look.format === 'id') return identityOf(item, look);
  return whole || look.columns.length === 0 ? objectText(item, leafText) : listText([item], look);
}

/** What other commands take to mean this object. */
function identityOf(item: Item, { format, noun }: Look): string {
  const label = noun === undefined ? 'name' : nounOf(noun).label;
  const name = format === 'name' && label !== null ? item[label] : undefined;
  const known = name ?? item['id'] ?? item['objectId'] ?? item['hostId'];
  return typeof known === 'string' ? known : '';
}

const right: ReadonlySet<Column['as']> = new Set(['size', 'count']);
const headingOf = ({ title, as, flexible }: Column) => ({ title, ...(right.has(as) ? { align: 'right' as const } : {}), ...(flexible ? { flexible } : {}) });

/** Values at a dotted path; `[]` goes through the items of a list. */
export function valuesAt(value: unknown, path: string): readonly unknown[] {
  return path.split('.').reduce<readonly unknown[]>((found, part) => {
    const each = part.endsWith('[]');
    const name = each ? part.slice(0, -2) : part;
    const inner = found.flatMap((one) => (typeof one === 'object' && one !== null && name in one ? [(one as Item)[name]] : []));
    return each ? inner.flat() : inner;
  }, [value]);
}

export function cellOf({ path, as, ref }: Column, item: Item, look: Pick<Look, 'names' | 'nowMs'>): string {
  const values = valuesAt(item, path).filter((value) => value !== null && value !== undefined);
  const text = (value: unknown): string => (as === undefined ? refText(value, ref, look.names) : forms[as](value, look.nowMs));
  return values.map(text).join(',');
}

const ageOf = (value: unknown, nowMs: number): string => durationText(Math.max(0, nowMs - Date.parse(String(value))));

const forms: Readonly<Record<NonNullable<Column['as']>, (value: unknown, nowMs: number) => string>> = {
  size: (value) => sizeText(Number(value)),
  age: ageOf,
  count: (value) => (Array.isArray(value) ? String(value.length) : ''),
  yes: (value) => (value === true ? 'yes' : 'no'),
  progress: (value) => progressText({ progress: value as Task['progress'] }),
  changes: (value) => (value as HistoryEntry['changes']).map(({ field, from, to }) => `${field} ${briefly(from)}→${briefly(to)}`).join(', '),
};

/** A value as part of a cell; what has parts of its own is shown whole by -o json. */
const briefly = (value: unknown): string => (value === null ? '–' : typeof value === 'object' ? '…' : typeof value === 'string' ? value : JSON.stringify(value));

function refText(value: unknown, ref: NounName | undefined, names: Names): string {
  const known = ref === undefined || typeof value !== 'string' ? undefined : names.get(ref)?.get(value);
  if (known !== undefined) return known;
  return Array.isArray(value) ? value.join(',') : typeof value === 'string' ? value : JSON.stringify(value);
}

/** A leaf of a whole object: sizes also in words, everything else as it is. */
function leafText(value: unknown, path: string): string {
  if (value === null) return '–';
  if (typeof value === 'number' && path.endsWith('Bytes')) return value < 1024 ? String(value) : `${value} (${sizeText(value)})`;
  if (Array.isArray(value)) return value.map(String).join(', ') || '–';
  if (typeof value === 'object') return Object.keys(value).length === 0 ? '–' : JSON.stringify(value);
  return typeof value === 'string' ? value : JSON.stringify(value);
}
