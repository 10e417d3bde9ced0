// Opens a service's schema: waits for the server, brings the tables up to date, and hands out a pool whose every
// connection speaks UTC, READ COMMITTED and utf8mb4. TypeORM gives the pool and the transactions; nothing synchronises.
import { sleep } from '#kernel';
import mysql from 'mysql2';
import { DataSource } from 'typeorm';
import { migrate } from './migrate.store.ts';
import type { Migration } from './migration.ts';
import { isOutage } from './outage.ts';
import { longestPauseS } from './transaction.store.ts';

export interface DatabaseOptions {
  /** `mysql://user:password@host:3306/schema`; `?socketPath=/run/mysqld/mysqld.sock` for a server on this machine: no host is asked then. */
  readonly url: string;
  readonly migrations: readonly Migration[];
  /** Who connects; for messages and for the pool. */
  readonly name: string;
  readonly poolSize?: number;
  /** How long to wait for the server and for another replica's migration, ms. */
  readonly waitMs?: number;
}

const session = "SET SESSION time_zone = '+00:00', innodb_lock_wait_timeout = 10, sql_mode = 'STRICT_TRANS_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'";
const isolation = 'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED';
const idleTransaction = `SET SESSION idle_transaction_timeout = ${longestPauseS}`;

/** mysql2 whose pools prepare each connection before its first use (statements of a connection run in order). */
const driverOf = (type: 'mariadb' | 'mysql') => ({
  ...mysql,
  createPool: (options: mysql.PoolOptions): mysql.Pool => {
    const pool = mysql.createPool(options);
    pool.on('connection', (connection) => {
      for (const statement of [session, isolation, ...(type === 'mariadb' ? [idleTransaction] : [])]) {
        connection.query(statement, (error) => {
          if (error) connection.destroy();
        });
      }
    });
    return pool;
  },
});

/** Throws when the server cannot be reached within `waitMs`, refuses the credentials, or a migration fails. */
export async function openDatabase(options: DatabaseOptions): Promise<DataSource> {
  const waitMs = options.waitMs ?? 30_000;
  const version = await serverVersion(options.url, waitMs, options.name);
  await migrate(options.url, options.migrations, waitMs);
  const type = /mariadb/i.test(version) ? 'mariadb' : 'mysql';
  const source = new DataSource({
    type,
    url: options.url,
    driver: driverOf(type),
    poolSize: options.poolSize ?? 10,
    charset: 'utf8mb4',
    timezone: 'Z',
    synchronize: false,
    logging: false,
    extra: { ...socketOf(options.url), jsonStrings: true, trace: false, multipleStatements: true, connectAttributes: { program_name: options.name } },
  });
  return source.initialize();
}

/** What TypeORM does not read of the URL. */
function socketOf(url: string): { socketPath?: string } {
  const socketPath = new URL(url).searchParams.get('socketPath');
  return socketPath === null ? {} : { socketPath };
}

async function serverVersion(url: string, waitMs: number, name: string): Promise<string> {
  const giveUpAt = performance.now() + waitMs;
  for (let pauseMs = 50; ; pauseMs = Math.min(pauseMs * 2, 1000)) {
    try {
      return await askVersion(url);
    } catch (error) {
      if (!isOutage(error) || performance.now() + pauseMs > giveUpAt) {
        throw new Error(`${name}: the database does not let us in: ${(error as Error).message || String((error as { code?: unknown }).code)}`, { cause: error });
      }
      await sleep(pauseMs);
    }
  }
}

async function askVersion(url: string): Promise<string> {
  const connection = mysql.createConnection(url);
  try {
    const [rows] = await connection.promise().query<mysql.RowDataPacket[]>('SELECT VERSION() AS version');
    return String(rows[0]?.['version']);
  } finally {
    connection.destroy();
  }
}
