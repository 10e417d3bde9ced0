// Reading and writing rows with types: the one place where what the driver hands out becomes what the code works with.
import type { EntityManager } from 'typeorm';
import type { Sql } from './sql.ts';

/** Runs queries: an EntityManager of a transaction, or a DataSource outside of one. */
export interface Queryable {
  query(sql: string, params?: unknown[]): Promise<unknown>;
}

export type Statement = Sql | string;

const run = (tx: Queryable, statement: Statement, params: readonly unknown[]): Promise<unknown> =>
  typeof statement === 'string' ? tx.query(statement, [...params]) : tx.query(statement.sql, [...statement.params]);

/** All rows of a SELECT. `Row` says what the columns are; the statement must select just those. */
export async function selectRows<Row>(tx: Queryable, statement: Statement, params: readonly unknown[] = []): Promise<Row[]> {
  return (await run(tx, statement, params)) as Row[];
}

/** The first row of a SELECT, or undefined. */
export async function selectRow<Row>(tx: Queryable, statement: Statement, params: readonly unknown[] = []): Promise<Row | undefined> {
  return (await selectRows<Row>(tx, statement, params))[0];
}

/** Runs INSERT, UPDATE or DELETE; answers how many rows it met (an UPDATE that changed nothing in a met row counts it). */
export async function execute(tx: Queryable, statement: Statement, params: readonly unknown[] = []): Promise<number> {
  const answer = (await run(tx, statement, params)) as { affectedRows?: number };
  return answer.affectedRows ?? 0;
}

export type ColumnValue = string | number | boolean | Date | Buffer | null;

/** Inserts one row. Table and column names come from code, never from input. */
export const insertRow = (tx: Queryable, table: string, row: Readonly<Record<string, ColumnValue>>): Promise<number> => insertRows(tx, table, [row]);

/** Inserts rows of the same columns in one statement. */
export async function insertRows(tx: Queryable, table: string, rows: readonly Readonly<Record<string, ColumnValue>>[]): Promise<number> {
  return rows.length === 0 ? 0 : execute(tx, insertOf(table, rows));
}

/** Inserts these rows, of which there is one at least, with the columns of the first. */
export function insertOf(table: string, rows: readonly Readonly<Record<string, ColumnValue>>[]): Sql {
  const columns = Object.keys(rows[0] ?? {});
  const marks = `(${columns.map(() => '?').join(', ')})`;
  const params = rows.flatMap((row) => columns.map((column) => row[column] ?? null));
  return { sql: `INSERT INTO ${name(table)} (${columns.map(name).join(', ')}) VALUES ${rows.map(() => marks).join(', ')}`, params };
}

/** Updates the rows that `where` meets. */
export function updateOf(table: string, set: Readonly<Record<string, ColumnValue>>, where: Sql): Sql {
  const columns = Object.keys(set);
  const params = [...columns.map((column) => set[column] ?? null), ...where.params];
  return { sql: `UPDATE ${name(table)} SET ${columns.map((column) => `${name(column)} = ?`).join(', ')} WHERE ${where.sql}`, params };
}

function name(identifier: string): string {
  if (!/^[a-z_][a-z0-9_]*$/i.test(identifier)) throw new Error(`"${identifier}" is not a name of a table or column`);
  return `\`${identifier}\``;
}

/** The database's clock, UTC, milliseconds. The only clock that claims and leases are measured by. */
export async function dbNow(tx: Queryable | EntityManager): Promise<Date> {
  const row = await selectRow<{ now: Date }>(tx, 'SELECT UTC_TIMESTAMP(3) AS now');
  if (row === undefined) throw new Error('the database did not tell the time');
  return row.now;
}
