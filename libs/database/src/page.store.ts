// Lists, page by page, in an order that the caller may choose from a table of names; nothing he writes becomes SQL. A
// cursor belongs to the order and the filters it was made with.
import { InvalidArgument } from '#contracts';
import type { Result } from '#kernel';
import { bodyHash, failed, ok } from '#kernel';
import { readCursor, writeCursor } from './cursor.ts';
import type { SortValue } from './cursor.ts';
import { selectRows } from './rows.store.ts';
import type { Queryable } from './rows.store.ts';
import { allOf } from './sql.ts';
import type { Sql } from './sql.ts';

/** The input of a list. Its other members are filters: what a cursor belongs to besides the order. */
export interface PageInput {
  readonly limit: number;
  readonly cursor?: string | undefined;
  /** A name of `orderBy`, with `-` before it for descending. */
  readonly sort?: string | undefined;
  readonly fields?: string | undefined;
}

export interface PageQuery {
  /** Columns, as in SELECT. */
  readonly select: string;
  /** Table with joins, as in FROM. */
  readonly from: string;
  readonly where?: readonly (Sql | null | undefined)[];
  /** Allowed orders: name → column. Columns must not be NULL. The first one is the default. */
  readonly orderBy: Readonly<Record<string, string>>;
  /** The order where none was asked for; the first name of `orderBy` if absent. */
  readonly preset?: string;
  /** The column that makes the order unique. */
  readonly id: string;
  /** What was asked for. */
  readonly input: PageInput;
}

export interface Page<Row> {
  readonly rows: Row[];
  readonly next: string | null;
}

/** Members that may change from page to page. */
const passing: ReadonlySet<string> = new Set<keyof PageInput>(['limit', 'cursor', 'sort', 'fields']);
const filterHash = (input: PageInput): string =>
  bodyHash(Object.fromEntries(Object.entries(input).filter(([name, value]) => !passing.has(name) && value !== undefined))).slice(0, 16);

/** One page. An unknown order or a cursor of another order or filter is INVALID_ARGUMENT. */
export async function pageQuery<Row>(tx: Queryable, query: PageQuery): Promise<Result<Page<Row>>> {
  const { input } = query;
  const names = Object.keys(query.orderBy);
  const sort = input.sort ?? query.preset ?? names[0] ?? '';
  const descending = sort.startsWith('-');
  const name = descending ? sort.slice(1) : sort;
  const column = Object.hasOwn(query.orderBy, name) ? query.orderBy[name] : undefined;
  if (column === undefined) {
    return InvalidArgument.fail('The list cannot be sorted like this.', { issues: [{ path: 'sort', message: `one of ${names.join(', ')}, with - before it for descending` }] });
  }
  const filter = filterHash(input);
  let behind: Sql | null = null;
  if (input.cursor !== undefined) {
    const cursor = readCursor(input.cursor, { order: sort, filter });
    if (!cursor.ok) return failed(cursor.fault);
    const { value, id } = cursor.value;
    const than = descending ? '<' : '>';
    // One interval first: written as an OR alone it is two, and the server then reads the list from its beginning.
    behind = { sql: `${column} ${than} ? OR (${column} = ? AND ${query.id} ${than} ?)`, params: [value, value, id] };
  }
  const where = allOf([...(query.where ?? []), behind]);
  const direction = descending ? 'DESC' : 'ASC';
  const found = await selectRows<Row & { sortValue__: SortValue; sortId__: string }>(tx,
    `SELECT ${query.select}, ${column} AS sortValue__, ${query.id} AS sortId__ FROM ${query.from} WHERE ${where.sql} ORDER BY ${column} ${direction}, ${query.id} ${direction} LIMIT ?`,
    [...where.params, input.limit + 1]);
  const rows = found.slice(0, input.limit);
  const last = rows.at(-1);
  const next = found.length > input.limit && last !== undefined ? writeCursor({ order: sort, filter, value: last.sortValue__, id: last.sortId__ }) : null;
  return ok({ rows, next });
}
