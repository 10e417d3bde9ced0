// The database library against a real server.
import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { sleep } from '#kernel';
import { afterCommit, dbNow, defineMigration, execute, executeLater, fromBit, fromJson, insertRow, insertRows, isDuplicate, isOutage, nextNumber, openDatabase, pageQuery, searchFilter, selectRow, selectRows, sql, tasksMigrations, toJson, transaction } from './index.ts';
import { makeTestSchema } from './testing/test-schema.store.ts';
import type { TestSchema } from './testing/test-schema.store.ts';

const things = defineMigration('test.0001-things', [
  'CREATE TABLE thing (id char(36) CHARACTER SET ascii NOT NULL PRIMARY KEY, name varchar(63) NOT NULL, size bigint NOT NULL, at datetime(3) NOT NULL, note json NULL)',
]);
let schema: TestSchema;
let db: DataSource;
const open = (migrations = [...tasksMigrations, things], url = schema.url): Promise<DataSource> => openDatabase({ url, migrations, name: 'test', waitMs: 5_000 });

beforeAll(async () => {
  schema = await makeTestSchema('db');
  const opened = await Promise.all([open(), open(), open()]);
  db = opened[0];
  await Promise.all(opened.slice(1).map((other) => other.destroy()));
});
afterAll(async () => {
  await db.destroy();
  await schema.drop();
});

describe('openDatabase', () => {
  it('knows the server’s kind and gives every connection UTC, READ COMMITTED and utf8mb4', async () => {
    const server = await selectRow<{ version: string }>(db, 'SELECT VERSION() AS version');
    expect(db.options.type).toBe(/mariadb/i.test(server?.version ?? '') ? 'mariadb' : 'mysql');
    const isolation = db.options.type === 'mariadb' ? '@@tx_isolation' : '@@transaction_isolation';
    const seen = await Promise.all(Array.from({ length: 5 }, () => selectRow<{ tz: string; iso: string; cs: string; interrupted: number | string }>(db, `SELECT @@time_zone AS tz, ${isolation} AS iso, @@character_set_connection AS cs, SLEEP(0.02) IS NULL AS interrupted`)));
    for (const row of seen) expect({ ...row, interrupted: fromBit(row?.interrupted ?? null) }).toEqual({ tz: '+00:00', iso: 'READ-COMMITTED', cs: 'utf8mb4', interrupted: false });
  });
  it('goes through the socket of a server on this machine where the URL names it, and asks no host', async () => {
    const socket = (await selectRow<{ path: string }>(db, 'SELECT @@socket AS path'))!.path;
    const url = new URL(schema.url);
    const user = `tok_socket_${process.pid}`;
    await execute(db, `CREATE USER ${user}@localhost IDENTIFIED BY 'secret'`);
    try {
      await execute(db, `GRANT ALL ON ${url.pathname.slice(1)}.* TO ${user}@localhost`);
      const through = await openDatabase({ url: `mysql://${user}:secret@nowhere.invalid${url.pathname}?socketPath=${encodeURIComponent(socket)}`, migrations: [...tasksMigrations, things], name: 'test' });
      expect(await selectRow(through, 'SELECT USER() AS who')).toEqual({ who: `${user}@localhost` });
      await through.destroy();
      const gone = openDatabase({ url: `mysql://${user}:secret@nowhere.invalid${url.pathname}?socketPath=/nowhere/db.sock`, migrations: [], name: 'test', waitMs: 200 });
      await expect(gone).rejects.toThrow('connect ENOENT /nowhere/db.sock');
    } finally {
      await execute(db, `DROP USER ${user}@localhost`);
    }
  });
  it('runs each migration once, however many replicas start together', async () => {
    const rows = await selectRows<{ name: string; statements_done: number }>(db, 'SELECT name, statements_done FROM schema_migration ORDER BY name');
    expect(rows).toEqual([...tasksMigrations.map(({ name, statements }) => ({ name, statements_done: statements.length })), { name: 'test.0001-things', statements_done: 1 }]);
  });
  it('goes on behind a statement that took effect without being recorded', async () => {
    const columns = defineMigration('test.0002-columns', ['ALTER TABLE thing ADD COLUMN a int NULL', 'ALTER TABLE thing ADD COLUMN b int NULL']);
    const all = [...tasksMigrations, things, columns];
    await (await open(all)).destroy();
    // As if the process had died between the second statement and its record.
    await execute(db, "UPDATE schema_migration SET statements_done = 1 WHERE name = 'test.0002-columns'");
    await (await open(all)).destroy();
    expect(await selectRow(db, "SELECT statements_done AS done FROM schema_migration WHERE name = 'test.0002-columns'")).toEqual({ done: 2 });
  });
  it('refuses a migration that was changed, and one that fails by itself', async () => {
    await expect(open([...tasksMigrations, defineMigration('test.0001-things', ['SELECT 1'])])).rejects.toThrow('was changed');
    await expect(open([...tasksMigrations, things, defineMigration('test.0003-bad', ['ALTER TABLE thing ADD COLUMN name int'])])).rejects.toThrow('test.0003-bad, statement 1');
  });
  it('gives up with a clear error when nobody listens or the password is wrong', async () => {
    const nobody = new URL(schema.url);
    nobody.port = '1';
    await expect(openDatabase({ url: nobody.toString(), migrations: [], name: 'test', waitMs: 300 })).rejects.toThrow('test: the database does not let us in');
    const wrong = new URL(schema.url);
    wrong.password = 'wrong';
    await expect(open([], wrong.toString())).rejects.toThrow(/does not let us in.*denied/i);
  });
});

describe('rows', () => {
  it('carries JSON, milliseconds and large numbers there and back', async () => {
    const at = new Date('2026-11-22T10:11:12.345Z');
    await insertRow(db, 'thing', { id: 'a', name: 'größe', size: 2 ** 46, at, note: toJson({ deep: ['"', 1.5, null] }) });
    await insertRow(db, 'thing', { id: 'b', name: 'b', size: 1, at, note: toJson('just text') });
    const row = await selectRow<{ size: number | string; at: Date; note: unknown }>(db, "SELECT size, at, note FROM thing WHERE id = 'a'");
    expect(Number(row?.size)).toBe(2 ** 46);
    expect(row?.at).toEqual(at);
    expect(fromJson(row?.note)).toEqual({ deep: ['"', 1.5, null] });
    expect(fromJson((await selectRow<{ note: unknown }>(db, "SELECT note FROM thing WHERE id = 'b'"))?.note)).toBe('just text');
    expect(await execute(db, "UPDATE thing SET name = name WHERE id IN ('a', 'b')")).toBe(2);
    await execute(db, 'DELETE FROM thing');
  });
  it('refuses names of columns that are not names', async () => {
    await expect(insertRow(db, 'thing', { 'id) VALUES (1); --': 'x' })).rejects.toThrow('is not a name');
  });
  it('tells the database’s time', async () => {
    expect(Math.abs((await dbNow(db)).getTime() - Date.now())).toBeLessThan(60_000);
  });
  it('hands out each number once, also to many at the same time', async () => {
    const numbers = await Promise.all(Array.from({ length: 20 }, () => transaction(db, (tx) => nextNumber(tx, 'thing'))));
    expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
  });
});

describe('transaction', () => {
  it('runs again after a deadlock and commits both', async () => {
    await insertRows(db, 'thing', ['x', 'y'].map((id) => ({ id, name: id, size: 0, at: new Date() })));
    let arrived = 0;
    let runs = 0;
    const { promise: both, resolve } = Promise.withResolvers<undefined>();
    const swap = (first: string, second: string): Promise<void> => transaction(db, async (tx) => {
      runs += 1;
      await execute(tx, 'UPDATE thing SET size = size + 1 WHERE id = ?', [first]);
      if (++arrived === 2) resolve(undefined);
      await both;
      await execute(tx, 'UPDATE thing SET size = size + 1 WHERE id = ?', [second]);
    });
    await Promise.all([swap('x', 'y'), swap('y', 'x')]);
    expect(runs).toBeGreaterThan(2);
    expect((await selectRows<{ size: number | string }>(db, "SELECT size FROM thing WHERE id IN ('x', 'y')")).map((row) => Number(row.size))).toEqual([2, 2]);
    await execute(db, 'DELETE FROM thing');
  });
  it.each([['at once', 0], ['when the client has seen it', 300]])('whose connection is lost says that the database is away, asked for the next statement %s', async (_when, waitMs) => {
    const lost = transaction(db, async (tx) => {
      const [{ id }] = await selectRows<{ id: number }>(tx, 'SELECT CONNECTION_ID() AS id') as [{ id: number }];
      await execute(db, `KILL ${id}`);
      await sleep(waitMs);
      await selectRows(tx, 'SELECT 1');
    });
    const error = await lost.then(() => undefined, (thrown: unknown) => thrown);
    expect(isOutage(error) ? 'an outage' : error).toBe('an outage');
  });
  it.each(['mariadb', 'mysql'] as const)('that asks nothing for %s’s eight seconds, because its process is frozen, holds up nobody for longer and hears of it', async (type) => {
    const one = await openDatabase({ url: schema.url, migrations: [], name: 'one', poolSize: 1 });
    // MariaDB knows MySQL's way too.
    if (type === 'mysql') await execute(one, 'SET SESSION idle_transaction_timeout = 0');
    Object.assign(one.options, { type });
    const timeout = (): Promise<unknown> => selectRow(one, 'SELECT CAST(@@wait_timeout AS CHAR) AS s');
    const [before, name] = [await timeout(), `frozen-${type}`];
    try {
      await transaction(one, (tx) => execute(tx, sql`INSERT INTO thing (id, name, size, at) VALUES (${name}, 'a', 1, UTC_TIMESTAMP(3))`));
      await expect(transaction(one, async (tx) => {
        await execute(tx, sql`UPDATE thing SET size = 1 WHERE id = ${name}`);
        throw new Error('no');
      })).rejects.toThrow('no');
      expect(await timeout()).toEqual(before);

      const [locked, held] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
      const frozen = transaction(one, async (tx) => {
        await execute(tx, sql`UPDATE thing SET size = 2 WHERE id = ${name}`);
        locked.resolve(undefined);
        await held.promise;
        await execute(tx, sql`UPDATE thing SET size = 3 WHERE id = ${name}`);
      }).catch((error: unknown) => error);
      await locked.promise;
      await transaction(db, (tx) => execute(tx, sql`UPDATE thing SET size = size + 10 WHERE id = ${name}`));
      held.resolve(undefined);
      const error = await frozen;
      expect(isOutage(error) ? 'an outage' : error).toBe('an outage');
      expect(await selectRow(one, sql`SELECT CAST(size AS CHAR) AS size FROM thing WHERE id = ${name}`)).toEqual({ size: '11' });
    } finally {
      await execute(db, sql`DELETE FROM thing WHERE id = ${name}`);
      await one.destroy();
    }
  }, 30_000);
  it('sends what nobody waits for with the next statement, in order, or with the commit', async () => {
    await transaction(db, async (tx) => {
      await executeLater(tx, "INSERT INTO thing (id, name, size, at) VALUES ('later', 'a', 1, UTC_TIMESTAMP(3))");
      await executeLater(tx, sql`UPDATE thing SET size = size + ${1} WHERE id = 'later'`);
      expect(await selectRow(tx, "SELECT CONCAT(name, size) AS is_now FROM thing WHERE id = 'later'")).toEqual({ is_now: 'a2' });
      expect(await execute(tx, "UPDATE thing SET name = 'b' WHERE id = 'later'")).toBe(1);
      await executeLater(tx, "UPDATE thing SET size = 5 WHERE id = 'later'");
    });
    expect(await selectRow(db, "SELECT CONCAT(name, size) AS is_now FROM thing WHERE id = 'later'")).toEqual({ is_now: 'b5' });
    await executeLater(db, "DELETE FROM thing WHERE id = 'later'"); // outside of one: at once
    expect(await selectRow(db, "SELECT name FROM thing WHERE id = 'later'")).toBeUndefined();
  });
  it('rolls back what was sent and drops what was not, also where that cannot be done', async () => {
    const add = (id: string) => sql`INSERT INTO thing (id, name, size, at) VALUES (${id}, 'a', 1, UTC_TIMESTAMP(3))`;
    await expect(transaction(db, async (tx) => {
      await execute(tx, add('sent'));
      await executeLater(tx, add('waiting'));
      throw new Error('no');
    })).rejects.toThrow('no');
    await expect(transaction(db, async (tx) => {
      await executeLater(tx, add('first'));
      await executeLater(tx, 'UPDATE nothing SET a = 1');
    })).rejects.toThrow(/nothing/);
    expect(await selectRows(db, "SELECT id FROM thing WHERE id IN ('sent', 'waiting', 'first')")).toEqual([]);
  });
  it('that cannot be rolled back leaves nothing for the next one to commit', async () => {
    const one = await openDatabase({ url: schema.url, migrations: [], name: 'one', poolSize: 1 });
    const made = one.createQueryRunner.bind(one);
    const spy = jest.spyOn(one, 'createQueryRunner').mockImplementationOnce(() => {
      const runner = made();
      const query = runner.query.bind(runner);
      jest.spyOn(runner, 'query').mockImplementation((text, params) => (text === 'ROLLBACK' ? Promise.reject(new Error('not now')) : query(text, params)));
      return runner;
    });
    try {
      await expect(transaction(one, async (tx) => {
        await execute(tx, "INSERT INTO thing (id, name, size, at) VALUES ('left', 'a', 1, UTC_TIMESTAMP(3))");
        throw new Error('no');
      })).rejects.toThrow('no');
      await transaction(one, (tx) => selectRow(tx, 'SELECT 1'));
      expect(await selectRow(db, "SELECT id FROM thing WHERE id = 'left'")).toBeUndefined();
    } finally {
      spy.mockRestore();
      await one.destroy();
    }
  });
  it('goes on behind a statement that was refused', async () => {
    await transaction(db, async (tx) => {
      const taken = "INSERT INTO thing (id, name, size, at) VALUES ('twice', 'a', 1, UTC_TIMESTAMP(3))";
      await execute(tx, taken);
      await executeLater(tx, "UPDATE thing SET size = 2 WHERE id = 'twice'");
      expect(isDuplicate(await execute(tx, taken).catch((error: unknown) => error))).toBe(true);
    });
    expect(await selectRow(db, "SELECT CONCAT(size) AS size FROM thing WHERE id = 'twice'")).toEqual({ size: '2' });
    await execute(db, 'DELETE FROM thing');
  });
  it('that asks nothing costs nothing', async () => {
    const asked: string[] = [];
    const runner = db.createQueryRunner.bind(db);
    const spy = jest.spyOn(db, 'createQueryRunner').mockImplementation(() => {
      const made = runner();
      const query = made.query.bind(made);
      jest.spyOn(made, 'query').mockImplementation((text, params) => { asked.push(text); return query(text, params); });
      return made;
    });
    try {
      await transaction(db, () => Promise.resolve());
      await expect(transaction(db, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
      expect(asked).toEqual([]);
      await transaction(db, (tx) => selectRow(tx, 'SELECT 1'));
      expect(asked).toEqual(['START TRANSACTION; SELECT 1', 'COMMIT']);
    } finally {
      spy.mockRestore();
    }
  });
  it('does what waits for the commit only after one', async () => {
    const done: string[] = [];
    await transaction(db, (tx) => {
      afterCommit(tx, () => done.push('committed'));
      expect(done).toEqual([]);
      return Promise.resolve();
    });
    await expect(transaction(db, (tx) => {
      afterCommit(tx, () => done.push('rolled back'));
      return Promise.reject(new Error('no'));
    })).rejects.toThrow('no');
    expect(done).toEqual(['committed']);
  });
});

/** Small, fast, and the same on every run. */
const mulberry = (seed: number) => (): number => {
  seed = (seed + 0x6d2b79f5) | 0;
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
};

describe('pageQuery', () => {
  const page = (input: { sort?: string; cursor?: string | undefined; limit?: number }) => pageQuery<{ id: string }>(db, {
    select: 't.id', from: 'thing t', id: 't.id', orderBy: { name: 't.name', at: 't.at', size: 't.size' }, input: { limit: input.limit ?? 3, sort: input.sort, cursor: input.cursor },
    where: [sql`t.size < ${100}`],
  });
  beforeEach(async () => {
    await execute(db, 'DELETE FROM thing');
    await insertRows(db, 'thing', Array.from({ length: 10 }, (_, index) => ({ id: `t${index}`, name: `n${index % 3}`, size: index, at: new Date(1_700_000_000_000 + (index % 4)) })));
  });
  it.each(['name', '-name', 'at', '-at', 'size', '-size'])('walks the list by %s without repeating or skipping', async (sort) => {
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const answer = await page({ sort, cursor });
      if (!answer.ok) throw new Error(answer.fault.detail);
      seen.push(...answer.value.rows.map((row) => row.id));
      cursor = answer.value.next ?? undefined;
    } while (cursor !== undefined);
    const whole = await page({ sort, limit: 100 });
    expect(seen).toEqual(whole.ok ? whole.value.rows.map((row) => row.id) : []);
    expect(new Set(seen).size).toBe(10);
  });
  it.each(['name', '-name', 'at', '-at', 'size', '-size'])('by %s shows each row that stays once, whatever comes and goes between the pages', async (sort) => {
    for (let seed = 1; seed <= 8; seed++) {
      const chance = mulberry(seed);
      await execute(db, "DELETE FROM thing WHERE id LIKE 'new-%'");
      const before = (await selectRows<{ id: string }>(db, 'SELECT id FROM thing WHERE size < 100')).map((row) => row.id);
      const lost = new Set<string>();
      const seen: string[] = [];
      let cursor: string | undefined;
      for (let turn = 0; ; turn++) {
        const answer = await page({ sort, cursor, limit: 1 + Math.floor(chance() * 4) });
        if (!answer.ok) throw new Error(answer.fault.detail);
        seen.push(...answer.value.rows.map((row) => row.id));
        if (answer.value.next === null) break;
        cursor = answer.value.next;
        const gone = before[Math.floor(chance() * before.length)]!;
        if (turn % 2 === 0) {
          await execute(db, 'DELETE FROM thing WHERE id = ?', [gone]);
          lost.add(gone);
        }
        await insertRows(db, 'thing', [{ id: `new-${turn}`, name: `n${Math.floor(chance() * 4)}`, size: Math.floor(chance() * 20), at: new Date(1_700_000_000_000 + Math.floor(chance() * 5)) }]);
      }
      expect(new Set(seen).size).toBe(seen.length);
      expect(before.filter((id) => !lost.has(id) && !seen.includes(id))).toEqual([]);
    }
  });
  it('refuses a cursor of another order or of other filters, and takes it with other fields and another length', async () => {
    const of = (input: object) => pageQuery<{ id: string }>(db, { select: 't.id', from: 'thing t', id: 't.id', orderBy: { name: 't.name', at: 't.at' }, input: { limit: 2, ...input } });
    const first = await of({ state: 'a' });
    const cursor = first.ok ? first.value.next! : '';
    const codes = await Promise.all([{ state: 'a' }, { state: 'a', limit: 5, fields: 'id' }, { state: 'b' }, {}, { state: 'a', sort: '-name' }].map(async (over) => {
      const answer = await of({ ...over, cursor });
      return answer.ok ? 'ok' : answer.fault.code;
    }));
    expect(codes).toEqual(['ok', 'ok', 'INVALID_ARGUMENT', 'INVALID_ARGUMENT', 'INVALID_ARGUMENT']);
  });
  it('finds a part of a name, in which no character is a pattern', async () => {
    await insertRows(db, 'thing', [{ id: 'p1', name: '50%_a\\b', size: 200, at: new Date(0) }, { id: 'p2', name: '50xya\\b', size: 200, at: new Date(0) }]);
    const found = async (q: string) => (await selectRows<{ id: string }>(db, sql`SELECT t.id FROM thing t WHERE t.size = 200 AND ${searchFilter(q, 't.name')!} ORDER BY t.id`)).map((row) => row.id);
    expect([await found('%_a'), await found('a\\b'), await found('50'), await found("'")]).toEqual([['p1'], ['p1', 'p2'], ['p1', 'p2'], []]);
  });
  it.each(['id; DROP TABLE thing', 'constructor', '__proto__', '--name', 'name,id'])('refuses to sort by %p', async (sort) => {
    const answer = await page({ sort });
    expect(answer.ok ? 'ok' : answer.fault.code).toBe('INVALID_ARGUMENT');
  });
});
