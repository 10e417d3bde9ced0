// Lists, page by page, in an order that the caller may choose from a table of names; nothing he writes becomes SQL.
import { InvalidArgument } from '#contracts';
import type { Result } from '#kernel';
import { failed, ok } from '#kernel';
import { readCursor, writeCursor } from './cursor.ts';
import type { SortValue } from './cursor.ts';
import { selectRows } from './rows.store.ts';
import type { Queryable } from './rows.store.ts';
import { allOf } from './sql.ts';
import type { Sql } from './sql.ts';

export interface PageQuery {
  /** Columns, as in SELECT. */
  readonly select: string;
  /** Table with joins, as in FROM. */
  readonly from: string;
  readonly where?: readonly (Sql | null | undefined)[];
  /** Allowed orders: name → column. Columns must not be NULL. The first one is the default. */
  readonly orderBy: Readonly<Record<string, string>>;
  /** What the caller asked for: a name of `orderBy`, with `-` before it for descending. */
  readonly sort?: string | undefined;
  /** The column that makes the order unique. */
  readonly id: string;
  readonly limit: number;
  readonly cursor?: string | undefined;
}

export interface Page<Row> {
  readonly rows: Row[];
  readonly next: string | null;
}

/** One page. An unknown order or a foreign cursor is INVALID_ARGUMENT. */
export async function pageQuery<Row>(tx: Queryable, query: PageQuery): Promise<Result<Page<Row>>> {
  const names = Object.keys(query.orderBy);
  const sort = query.sort ?? names[0] ?? '';
  const descending = sort.startsWith('-');
  const name = descending ? sort.slice(1) : sort;
  const column = Object.hasOwn(query.orderBy, name) ? query.orderBy[name] : undefined;
  if (column === undefined) {
    return InvalidArgument.fail('The list cannot be sorted like this.', { issues: [{ path: 'sort', message: `one of ${names.join(', ')}, with - before it for descending` }] });
  }
  let behind: Sql | null = null;
  if (query.cursor !== undefined) {
    const cursor = readCursor(query.cursor, sort);
    if (!cursor.ok) return failed(cursor.fault);
    const { value, id } = cursor.value;
    const than = descending ? '<' : '>';
    behind = { sql: `${column} ${than} ? OR (${column} = ? AND ${query.id} ${than} ?)`, params: [value, value, id] };
  }
  const where = allOf([...(query.where ?? []), behind]);
  const direction = descending ? 'DESC' : 'ASC';
  const found = await selectRows<Row & { sortValue__: SortValue; sortId__: string }>(tx,
    `SELECT ${query.select}, ${column} AS sortValue__, ${query.id} AS sortId__ FROM ${query.from} WHERE ${where.sql} ORDER BY ${column} ${direction}, ${query.id} ${direction} LIMIT ?`,
    [...where.params, query.limit + 1]);
  const rows = found.slice(0, query.limit);
  const last = rows.at(-1);
  const next = found.length > query.limit && last !== undefined ? writeCursor({ order: sort, value: last.sortValue__, id: last.sortId__ }) : null;
  return ok({ rows, next });
}
