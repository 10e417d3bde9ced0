// Ten thousand dead letters: looked through page by page, tried again, forgotten, and kept at their number, while commands go on.
// How much a list reads is counted by the database.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import mysql from 'mysql2/promise';
import type { DataSource } from 'typeorm';
import type { BusContext } from '#bus';
import { listDeadLetters, NotFound } from '#contracts';
import type { Actor, BusCommandId, RequestOf } from '#contracts';
import { openDatabase, selectRows } from '#database';
import { newUuid, ok, orThrow } from '#kernel';
import { until } from '#testing';
import { GatewayUnderTest, people } from '../gateway.fixture.ts';
import { DeadLetterCommands } from './dead-letter.commands.ts';
import { pageOfLetters, purgeEnded } from './dead-letter.store.ts';
import type { Letter } from './dead-letter.store.ts';

const most = 10_000;
const perUser = 1_000;
const vmId = newUuid();
const operations = ['compute.vm.start', 'compute.vm.stop', 'storage.volume.delete', 'no.such.thing'];
const users = ['ann', 'eve', ...Array.from({ length: 8 }, (_, index) => `user-${index}`)];
const endless = new AbortController().signal;
let under: GatewayUnderTest;
let sql: mysql.Connection;
/** With one connection, whose counters say what was read. */
let db: DataSource;

beforeAll(async () => {
  under = await GatewayUnderTest.start();
  await under.takesCommands();
  sql = await mysql.createConnection({ uri: under.schema.url, timezone: 'Z' });
  db = await openDatabase({ url: under.schema.url, migrations: [], name: 'gateway', poolSize: 1 });
  await fill(0, (index) => Math.floor(index / 40)); // forty at a time in one millisecond
});
afterAll(async () => {
  await db.destroy();
  await sql.end();
  await under.end();
});

/** So many days ago, and how many ms before that each of them. */
async function fill(days: number, agoMs: (index: number) => number): Promise<void> {
  const begin = Date.now() - days * 86_400_000;
  const rows = Array.from({ length: most }, (_, index) => {
    const handle = users[index % users.length] ?? '';
    const at = new Date(begin - 1_000 - agoMs(index));
    const userId = handle === 'ann' || handle === 'eve' ? people[handle].userId : null; // all others are gone
    return [newUuid(), userId, handle, operations[Math.floor(index / users.length) % operations.length], `key-${index}`, '', JSON.stringify({ vmId }), JSON.stringify({ code: 'NOT_FOUND', detail: 'no such VM' }), at, at];
  });
  for (let from = 0; from < most; from += 2_000) {
    await sql.query('INSERT INTO dead_letter (id, user_id, handle, operation, idem_key, dry_run, body, error, published_at, refused_at) VALUES ?', [rows.slice(from, from + 2_000)]);
  }
  await sql.query('ANALYZE TABLE dead_letter'); // which the server does by itself, later
}

const letters = (): DeadLetterCommands => under.get(DeadLetterCommands);
const as = (actor: Actor): BusContext => ({ actor, system: false, idempotencyKey: newUuid() }) as BusContext;
const wish = (input: RequestOf<typeof listDeadLetters>) => listDeadLetters.input.parse(input);

async function all(who: Actor, input: RequestOf<typeof listDeadLetters>): Promise<Letter[]> {
  const found: Letter[] = [];
  let cursor: string | undefined;
  do {
    const page = orThrow(await letters().list(wish({ limit: 500, ...input, ...(cursor === undefined ? {} : { cursor }) }), as(who)));
    found.push(...page.items);
    cursor = page.next ?? undefined;
  } while (cursor !== undefined);
  return found;
}
const count = async (where: string): Promise<number> => {
  const [rows] = await sql.query<mysql.RowDataPacket[]>(`SELECT COUNT(*) AS n FROM dead_letter WHERE ${where}`);
  return Number(rows[0]?.['n']);
};

/** How many rows the database touches for one page. */
async function rowsRead(input: RequestOf<typeof listDeadLetters>, userId?: string): Promise<number> {
  await db.query('FLUSH STATUS');
  const page = orThrow(await pageOfLetters(db, wish({ limit: 10, ...input }), userId));
  const counted = await selectRows<{ Variable_name: string; Value: string }>(db, "SHOW SESSION STATUS LIKE 'Handler_read%'");
  expect(page.rows).toHaveLength(10);
  return counted.filter(({ Variable_name: name }) => !name.endsWith('rnd_deleted')).reduce((sum, { Value }) => sum + Number(Value), 0);
}

describe('ten thousand dead letters', () => {
  it('are listed page by page, each once, in either order, and by filter', async () => {
    const every = await all(people.ann, {});
    expect(new Set(every.map(({ id }) => id)).size).toBe(most);
    const places = every.map(({ refusedAt, id }) => `${refusedAt} ${id}`);
    expect(places).toEqual([...places].sort().reverse());
    expect((await all(people.ann, { sort: 'publishedAt' })).map(({ id }) => id)).toEqual(every.map(({ id }) => id).reverse());
    expect(await all(people.ann, { user: 'user-3' })).toEqual(every.filter(({ user }) => user === 'user-3'));
    expect(await all(people.ann, { operation: 'compute.vm.stop' })).toEqual(every.filter(({ operation }) => operation === 'compute.vm.stop'));
    expect(await all(people.ann, { operation: 'compute.vm.stop', user: 'user-3' })).toEqual(every.filter(({ operation, user }) => operation === 'compute.vm.stop' && user === 'user-3'));
    expect(await all(people.eve, {})).toEqual(every.filter(({ user }) => user === 'eve'));
  });

  it.each<[string, RequestOf<typeof listDeadLetters>, string | undefined]>([
    ['of all', {}, undefined],
    ['in the order of publishing', { sort: 'publishedAt' }, undefined],
    ['of one handle', { user: 'user-3' }, undefined],
    ['of one operation', { operation: 'no.such.thing' }, undefined],
    ['of one’s own', {}, people.eve.userId],
    ['of one’s own, by operation', { operation: 'no.such.thing' }, people.eve.userId],
  ])('are not all read for a page %s', async (_, input, userId) => {
    const { next } = orThrow(await pageOfLetters(db, wish({ ...input, limit: 100 }), userId));
    expect(await rowsRead(input, userId)).toBeLessThan(most / 20);
    expect(await rowsRead({ ...input, cursor: next ?? '' }, userId)).toBeLessThan(most / 20);
  });

  it('are tried again and forgotten one by one', async () => {
    const [refused, accepted, forgotten] = (await all(people.ann, { user: 'ann' })).slice(-3).map(({ id }) => id) as [BusCommandId, BusCommandId, BusCommandId];
    await sql.query('UPDATE dead_letter SET operation = ? WHERE id IN (?)', ['compute.vm.start', [refused, accepted]]);
    under.play('compute.vm.start', () => NotFound.fail('no such VM', { noun: 'vm', id: vmId }));
    expect(orThrow(await letters().retry({ deadLetterId: refused }, as(people.ann)))).toMatchObject({ outcome: 'refused' });
    under.play('compute.vm.start', () => ok({ taskId: newUuid(), objectId: vmId }));
    expect(orThrow(await letters().retry({ deadLetterId: accepted }, as(people.ann)))).toMatchObject({ outcome: 'accepted' });
    expect(await letters().delete({ deadLetterId: forgotten }, as(people.ann))).toEqual(ok({}));
    const left = await all(people.ann, { user: 'ann' });
    expect([left.length, left[0]?.id, left[0]?.tries]).toEqual([perUser - 2, refused, 2]);
    expect(await count('1')).toBe(most - 2);
  });

  it('hold up nothing that is published, and make room for new ones of their own user alone, though he is nobody any more', async () => {
    const [total, oldest] = [await count('1'), (await all(people.ann, { user: 'user-3' })).slice(-5).map(({ id }) => id)];
    under.asked.length = 0;
    under.play('compute.vm.stop', () => ok({ taskId: newUuid(), objectId: vmId }));
    for (const turn of [1, 2, 3, 4, 5]) {
      await under.publish('user-3', 'compute.vm.start', { vmId: newUuid() }, `refused-${turn}`);
      await under.publish('ann', 'compute.vm.stop', { vmId: newUuid() }, `behind-${turn}`);
    }
    await until('those behind are carried out', () => under.questions('compute.vm.stop').length === 5);
    await until('the refused ones lie there', async () => (await count("idem_key LIKE 'refused-%'")) === 5);
    expect([await count("handle = 'user-3'"), await count('1')]).toEqual([perUser, total]);
    const [kept] = await sql.query<mysql.RowDataPacket[]>('SELECT id FROM dead_letter WHERE id IN (?)', [oldest]);
    expect(kept).toEqual([]);
  });

  it('and the ends of a week of commands are forgotten in one go when their time is over', async () => {
    const total = await count('1');
    await fill(91, (index) => index);
    await sql.query('INSERT INTO bus_command (id, ended_at) VALUES ?', [Array.from({ length: 5_000 }, () => [newUuid(), new Date(Date.now() - 8 * 86_400_000)])]);
    const [[before]] = await sql.query<mysql.RowDataPacket[]>('SELECT COUNT(*) AS n FROM bus_command WHERE ended_at > NOW(3) - INTERVAL 7 DAY');
    await purgeEnded(db, 90, endless);
    expect(await count('1')).toBe(total);
    expect(await count('refused_at < NOW(3) - INTERVAL 1 DAY')).toBe(0);
    const [[after]] = await sql.query<mysql.RowDataPacket[]>('SELECT COUNT(*) AS n FROM bus_command');
    expect(after?.['n']).toBe(before?.['n']);
  });
});
