// Reading and writing rows with types: the one place where what the driver hands out becomes what the code works with.
import type { EntityManager } from 'typeorm';
import type { Sql } from './sql.ts';

/** Runs queries: an EntityManager of a transaction, or a DataSource outside of one. */
export interface Queryable {
  query(sql: string, params?: unknown[]): Promise<unknown>;
}

type Statement = Sql | string;

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
  const first = rows[0];
  if (first === undefined) return 0;
  const columns = Object.keys(first);
  const marks = `(${columns.map(() => '?').join(', ')})`;
  const params = rows.flatMap((row) => columns.map((column) => row[column] ?? null));
  return execute(tx, `INSERT INTO ${name(table)} (${columns.map(name).join(', ')}) VALUES ${rows.map(() => marks).join(', ')}`, params);
}

/** Updates the rows that `where` meets; answers how many. */
export async function updateRows(tx: Queryable, table: string, set: Readonly<Record<string, ColumnValue>>, where: Sql): Promise<number> {
  const columns = Object.keys(set);
  const params = [...columns.map((column) => set[column] ?? null), ...where.params];
  return execute(tx, `UPDATE ${name(table)} SET ${columns.map((column) => `${name(column)} = ?`).join(', ')} WHERE ${where.sql}`, params);
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

/** The next small number of a noun: unique for ever, rising; the sequence's row stays locked until the transaction ends. */
export async function nextNumber(tx: EntityManager, noun: string): Promise<number> {
  await execute(tx, 'INSERT INTO number_sequence (noun, last_number) VALUES (?, LAST_INSERT_ID(1)) ON DUPLICATE KEY UPDATE last_number = LAST_INSERT_ID(last_number + 1)', [noun]);
  const row = await selectRow<{ number: number | string }>(tx, 'SELECT LAST_INSERT_ID() AS number');
  return Number(row?.number);
}
