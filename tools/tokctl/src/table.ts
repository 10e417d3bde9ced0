// Rows as an aligned table that fits the terminal: pure text in, pure text out.
import { cut, padEnd, padStart, visible, width } from './visible.ts';

export interface Heading {
  readonly title: string;
  readonly align?: 'right';
  /** May be cut when the terminal is narrow; others keep their width. */
  readonly flexible?: boolean;
}

const gap = '  ';
const leastWidth = 8;

/** `columns` is the width of the terminal; Infinity where nobody watches. Lines have no trailing spaces. */
export function tableText(headings: readonly Heading[], rows: readonly (readonly string[])[], columns = Number.POSITIVE_INFINITY): string {
  const cells = rows.map((row) => headings.map((_, at) => visible(row[at] ?? '')));
  const wanted = headings.map(({ title }, at) => cells.reduce((most, row) => Math.max(most, width(row[at]!)), width(title)));
  const widths = fitted(headings, wanted, columns);
  const line = (row: readonly string[]): string =>
    headings.map(({ align }, at) => (align === 'right' ? padStart : padEnd)(cut(row[at]!, widths[at]!), widths[at]!)).join(gap).trimEnd();
  return [headings.map(({ title }) => title), ...cells].map(line).join('\n');
}

/** Takes what is missing from the widest flexible column, one by one, so that short ones stay whole. */
function fitted(headings: readonly Heading[], wanted: readonly number[], columns: number): number[] {
  const widths = [...wanted];
  let excess = widths.reduce((sum, one) => sum + one, gap.length * (widths.length - 1)) - columns;
  while (excess > 0) {
    const widest = headings.reduce((best, { flexible }, at) => (flexible && widths[at]! > leastWidth && (best < 0 || widths[at]! > widths[best]!) ? at : best), -1);
    if (widest < 0) break;
    widths[widest]! -= 1;
    excess -= 1;
  }
  return widths;
}

/** One object as aligned `member  value` lines; nested members are dotted. */
export function objectText(value: unknown, text: (value: unknown, path: string) => string): string {
  const leaves = leavesOf(value, '');
  const widest = leaves.reduce((most, [path]) => Math.max(most, width(path)), 0);
  return leaves.map(([path, leaf]) => `${padEnd(path, widest)}${gap}${visible(text(leaf, path))}`.trimEnd()).join('\n');
}

function leavesOf(value: unknown, path: string): [string, unknown][] {
  const inner = (name: string): string => (path === '' ? name : `${path}.${name}`);
  if (Array.isArray(value) && value.length > 0 && value.some((item) => typeof item === 'object')) return value.flatMap((item, at) => leavesOf(item, inner(String(at))));
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length > 0) return Object.entries(value).flatMap(([name, member]) => leavesOf(member, inner(name)));
  return [[path, value]];
}
