// One transaction, run again when the server broke it off for the sake of another (deadlock, lock wait). Work that must
// not happen before the commit is noted inside and runs after it. What a statement costs is mostly its way to the server and
// back, so those whose answer nobody reads, the beginning and the commit among them, go along with others (ADR 43).
import { sleep } from '#kernel';
import type { DataSource, EntityManager, QueryRunner } from 'typeorm';
import type { Queryable, Statement } from './rows.store.ts';
import { execute } from './rows.store.ts';
import type { Sql } from './sql.ts';

/** Deadlock, lock wait timeout, and MariaDB's "record has changed since last read": rolled back, safe to run again. */
const brokenOff = new Set([1213, 1205, 1020]);
const MOST_TRIES = 10;

/**
 * For so long, s, a transaction may ask nothing; then its server ends its connection, and its locks are others'. Its process is
 * frozen, or its network gone. Less than others wait for a lock.
 */
export const longestPauseS = 8;

/** What its server must be told of that with each transaction; MariaDB is told once per connection. */
const limits = {
  mariadb: { begin: [], end: '' },
  mysql: { begin: [`SET SESSION wait_timeout = ${longestPauseS}`], end: '; SET SESSION wait_timeout = DEFAULT' },
} as const;

const lines = new WeakMap<object, Line>();

/** One transaction: its statements in their order, of which some wait for the next that is asked, and what was noted for its end. */
class Line {
  readonly before: (() => Promise<void>)[] = [];
  readonly after: (() => void)[] = [];
  private waiting: Sql[] = [];
  private readonly limit: (typeof limits)[keyof typeof limits];
  private begun = false;

  constructor(private readonly runner: QueryRunner) {
    this.limit = limits[runner.dataSource.options.type as keyof typeof limits];
  }

  later(statement: Sql): void {
    this.waiting.push(statement);
  }

  /** Sent with all that wait, which come before it: an error may be that of one of them. */
  async ask(sql: string, params: readonly unknown[] = []): Promise<unknown> {
    const beginning = this.begun ? [] : [...this.limit.begin, 'START TRANSACTION'].map((text): Sql => ({ sql: text, params: [] }));
    const all = [...beginning, ...this.waiting, { sql, params }];
    this.waiting = [];
    this.begun = true;
    const answer: unknown = await this.runner.query(all.map((statement) => statement.sql).join('; '), all.flatMap((statement) => statement.params));
    return all.length === 1 ? answer : (answer as unknown[]).at(-1);
  }

  /** Where nothing was asked there is nothing to commit. */
  async commit(): Promise<void> {
    for (const action of this.before) await action();
    if (this.begun || this.waiting.length > 0) await this.ask(`COMMIT${this.limit.end}`);
  }

  /** False = that cannot be said. */
  async rollback(): Promise<boolean> {
    this.waiting = [];
    return !this.begun || this.runner.query(`ROLLBACK${this.limit.end}`).then(() => true, () => false);
  }
}

async function once<T>(source: DataSource, work: (tx: EntityManager) => Promise<T>): Promise<{ value: T; line: Line }> {
  const runner = source.createQueryRunner();
  try {
    const connection = (await runner.connect()) as { destroy(): void };
    const line = new Line(runner);
    const tx: EntityManager = runner.manager;
    Object.assign(tx, { query: (sql: string, params?: readonly unknown[]) => line.ask(sql, params) });
    lines.set(tx, line);
    try {
      const value = await work(tx);
      await line.commit();
      return { value, line };
    } catch (error) {
      // The beginning of the next one would commit what is left of this one.
      if (!(await line.rollback())) connection.destroy();
      throw error;
    }
  } finally {
    await runner.release();
  }
}

/**
 * Runs `work` in a READ COMMITTED transaction. It may run several times: no effect outside of the database belongs in it.
 * An error rolls back and goes on to the caller.
 */
export async function transaction<T>(source: DataSource, work: (tx: EntityManager) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      const { value, line } = await once(source, work);
      for (const action of line.after) action();
      return value;
    } catch (error) {
      if (!isBrokenOff(error) || tries >= MOST_TRIES) throw error;
      await sleep(Math.random() * Math.min(5 * 2 ** tries, 500));
    }
  }
}

/** Runs `action` at the end of the transaction of `tx`, as part of it; never when it rolls back. */
export function beforeCommit(tx: EntityManager, action: () => Promise<void>): void {
  lineOf(tx).before.push(action);
}

/**
 * Runs a statement before the next one of its transaction, or before its commit, and together with that: for one whose
 * answer nobody reads and which fails for nobody's reasons but the server's. Outside of a transaction it runs at once.
 */
export async function executeLater(tx: Queryable, statement: Statement, params: readonly unknown[] = []): Promise<void> {
  const line = lines.get(tx);
  if (line === undefined) await execute(tx, statement, params);
  else line.later(typeof statement === 'string' ? { sql: statement, params } : statement);
}

/** Runs `action` once the transaction of `tx` has committed; never when it rolls back. It must not throw. */
export function afterCommit(tx: EntityManager, action: () => void): void {
  lineOf(tx).after.push(action);
}

function lineOf(tx: EntityManager): Line {
  const line = lines.get(tx);
  if (line === undefined) throw new Error('before and after a commit need a transaction that transaction() began');
  return line;
}

const numberOf = (error: unknown): number => {
  const { errno, driverError } = error as { errno?: number; driverError?: { errno?: number } };
  return driverError?.errno ?? errno ?? 0;
};

export const isBrokenOff = (error: unknown): boolean => brokenOff.has(numberOf(error));

/** The statement met a row that already has this unique key. The transaction goes on. */
export const isDuplicate = (error: unknown): boolean => numberOf(error) === 1062;
