// Conditions that many lists share: a part of a name, and labels.
import { labelsAsked } from '#contracts';
import { allOf, anyOf } from './sql.ts';
import type { Sql } from './sql.ts';

/** What stands in a pattern for itself. */
const plain = (text: string): string => text.replace(/[\\%_]/g, (mark) => `\\${mark}`);
export const beginsWith = (text: string): string => `${plain(text)}%`;
export const contains = (text: string): string => `%${plain(text)}%`;

/** That one of the columns contains the text; columns come from code. */
export const searchFilter = (q: string | undefined, ...columns: readonly string[]): Sql | null =>
  (q === undefined ? null : anyOf(columns.map((column) => ({ sql: `${column} LIKE ?`, params: [contains(q)] }))));

/** That a JSON column of labels carries all that were asked for; for lists that are short. */
export const labelFilter = (label: string | undefined, column: string): Sql | null => (label === undefined ? null : allOf(labelsAsked(label).map(({ name, value }) => {
  const path = `$."${name}"`;
  if (value === null) return { sql: `JSON_EXTRACT(${column}, ?) IS NOT NULL`, params: [path] };
  return { sql: `JSON_UNQUOTE(JSON_EXTRACT(${column}, ?)) = ?`, params: [path, value] };
})));
