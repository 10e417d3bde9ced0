// Brings a schema up to date under a named lock, so that replicas starting together do it once. Killed anywhere, the
// next start goes on: a statement may then have taken effect without being recorded, and only for that first one the
// server's "is already so" is an answer and not a fault.
import mysql from 'mysql2/promise';
import { bodyHash } from '#kernel';
import type { Migration } from './migration.ts';

const table = `CREATE TABLE IF NOT EXISTS schema_migration (
  name varchar(101) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  statements_done int NOT NULL,
  statements_total int NOT NULL,
  hash char(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  at datetime(3) NOT NULL)`;

/** Table, column, key exists; row exists; column or key to drop is gone; table to drop is gone. */
const alreadySo = new Set([1050, 1051, 1060, 1061, 1062, 1091, 1068]);

interface MigrationRow extends mysql.RowDataPacket {
  name: string;
  statements_done: number;
  hash: string;
}

export async function migrate(url: string, migrations: readonly Migration[], waitMs: number): Promise<void> {
  const names = migrations.map((migration) => migration.name);
  if (new Set(names).size !== names.length) throw new Error('two migrations have the same name');
  const connection = await mysql.createConnection({ uri: url, charset: 'utf8mb4', timezone: 'Z' });
  try {
    const lock = "CONCAT('tokamak-migrate-', LEFT(SHA2(DATABASE(), 256), 16))";
    const [got] = await connection.query<mysql.RowDataPacket[]>(`SELECT GET_LOCK(${lock}, ?) AS got`, [Math.ceil(waitMs / 1000)]);
    if (got[0]?.['got'] !== 1) throw new Error('another process has been changing this schema for too long');
    await connection.query(table);
    const [rows] = await connection.query<MigrationRow[]>('SELECT name, statements_done, hash FROM schema_migration');
    const done = new Map(rows.map((row) => [row.name, row]));
    for (const migration of migrations) await apply(connection, migration, done.get(migration.name));
  } finally {
    // Ends the session and with it the lock, also after a failure.
    connection.destroy();
  }
}

async function apply(connection: mysql.Connection, migration: Migration, row: MigrationRow | undefined): Promise<void> {
  const total = migration.statements.length;
  const hash = bodyHash(migration.statements);
  if (row === undefined) {
    await connection.query('INSERT INTO schema_migration (name, statements_done, statements_total, hash, at) VALUES (?, 0, ?, ?, UTC_TIMESTAMP(3))', [migration.name, total, hash]);
  } else if (row.hash !== hash) {
    throw new Error(`migration ${migration.name} was changed after it had been applied; write another one`);
  }
  const from = row?.statements_done ?? 0;
  for (let index = from; index < total; index++) {
    await run(connection, migration, index, row !== undefined && index === from);
    await connection.query('UPDATE schema_migration SET statements_done = ?, at = UTC_TIMESTAMP(3) WHERE name = ?', [index + 1, migration.name]);
  }
}

async function run(connection: mysql.Connection, migration: Migration, index: number, resumed: boolean): Promise<void> {
  try {
    await connection.query(migration.statements[index] ?? '');
  } catch (error) {
    if (resumed && alreadySo.has((error as { errno?: number }).errno ?? 0)) return;
    throw new Error(`migration ${migration.name}, statement ${index + 1}: ${(error as Error).message}`, { cause: error });
  }
}
