// What is kept of events that have been sent, on the real database: how long, what it costs to read it, and what becomes of an older schema's.
import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import type { DataSource, EntityManager } from 'typeorm';
import { z } from 'zod';
import { defineEvent } from '#contracts';
import { execute, openDatabase, selectRows, sql, tasksMigrations, transaction } from '#database';
import { newUuid } from '#kernel';
import { makeTestSchema } from '../../database/src/testing/test-schema.store.ts';
import type { TestSchema } from '../../database/src/testing/test-schema.store.ts';
import { emit, purgeOutbox, readEvents } from './outbox.store.ts';

const happened = defineEvent('network.thing.happened', { summary: 'A thing happened', data: z.strictObject({ n: z.int() }) });
const numbers = async (from: DataSource): Promise<number[]> => (await selectRows<{ seq: number | string }>(from, 'SELECT seq FROM outbox ORDER BY id')).map(({ seq }) => Number(seq));

let schema: TestSchema;
let db: DataSource;
beforeAll(async () => {
  schema = await makeTestSchema('outbox_kept');
  db = await openDatabase({ url: schema.url, migrations: tasksMigrations, name: 'test' });
});
beforeEach(async () => {
  await execute(db, 'TRUNCATE TABLE outbox');
  await execute(db, "REPLACE INTO relay_lease (name, held_until) VALUES ('outbox', UTC_TIMESTAMP(3))");
});
afterAll(async () => {
  await db.destroy();
  await schema.drop();
});

/** So many events, numbered and sent so many days ago. */
async function sent(count: number, daysAgo: number): Promise<void> {
  await transaction(db, async (tx) => { for (let n = 0; n < count; n++) await emit(tx, happened, { objectId: 'o1', data: { n } }); });
  await execute(db, 'UPDATE outbox SET seq = id, created_at = UTC_TIMESTAMP(3) - INTERVAL ? DAY WHERE seq = 0', [daysAgo]);
  await execute(db, "UPDATE relay_lease SET last_seq = (SELECT MAX(id) FROM outbox), sent_seq = last_seq WHERE name = 'outbox'");
}

it('all that is old goes at once, however much, and nothing that is young or has not been sent', async () => {
  await sent(2_300, 8);
  await sent(5, 6);
  expect(await purgeOutbox(db)).toBe(2_300);
  expect(await numbers(db)).toEqual([2_301, 2_302, 2_303, 2_304, 2_305]);
  await execute(db, 'UPDATE outbox SET created_at = UTC_TIMESTAMP(3) - INTERVAL 8 DAY');
  await execute(db, "UPDATE relay_lease SET sent_seq = 2303 WHERE name = 'outbox'");
  await transaction(db, (tx) => emit(tx, happened, { objectId: 'o1', data: { n: 1 } }));
  expect(await purgeOutbox(db)).toBe(3);
  expect(await numbers(db)).toEqual([2_304, 2_305, 0]);
  expect(await purgeOutbox(db)).toBe(0);
});

/** How many rows and index entries a transaction reads. */
const rowsRead = (work: (tx: EntityManager) => Promise<unknown>): Promise<number> => transaction(db, async (tx) => {
  const sum = async (): Promise<number> => (await selectRows<{ Value: string }>(tx, "SHOW SESSION STATUS LIKE 'Handler_read%'")).reduce((all, row) => all + Number(row.Value), 0);
  const before = await sum();
  await work(tx);
  const between = await sum();
  return between - before - ((await sum()) - between); // what asking takes itself
});

it('events of some nouns are told page by page, with how far a page goes, and no page looks at all there is', async () => {
  await sent(1, 1);
  for (let times = 0; times < 5; times++) await sent(5_000, 1);
  const wanted = [7, 9_000, 20_001, 25_001];
  await execute(db, sql`UPDATE outbox SET subject = 'tok.v1.evt.network.other.changed.o1' WHERE seq IN (${wanted})`);
  const pages: number[][] = [];
  const ends: number[] = [];
  for (let afterSeq = 0; ends.at(-1) !== 25_001;) {
    const read = await readEvents(db, { afterSeq, limit: 2, nouns: ['other', 'none'] });
    pages.push(read.events.map(({ seq }) => seq));
    ends.push(afterSeq = read.upTo);
  }
  expect([pages, ends]).toEqual([[[7, 9_000], [], [20_001, 25_001]], [9_000, 19_000, 25_001]]);
  expect(await readEvents(db, { afterSeq: 25_001, limit: 2, nouns: ['other'] })).toMatchObject({ events: [], upTo: 25_001, lastSeq: 25_001, firstSeq: 1 });
  expect(await rowsRead((tx) => readEvents(tx, { afterSeq: 9_000, limit: 2, nouns: ['other'] }))).toBeLessThan(10_000 * 2 + 100);
  expect((await readEvents(db, { afterSeq: 24_999, limit: 10 })).events.map(({ seq }) => seq)).toEqual([25_000, 25_001]);
}, 60_000);

it('to read some reads no more the more there are, nor does looking for what is old', async () => {
  const read = (): Promise<number> => rowsRead(async (tx) => readEvents(tx, { afterSeq: (await readEvents(tx, { afterSeq: 0, limit: 1 })).lastSeq - 5, limit: 10 }));
  await sent(1_500, 1);
  const [few, looked] = [await read(), await rowsRead((tx) => purgeOutbox(tx))];
  await sent(3_000, 1);
  expect(await read()).toBeLessThanOrEqual(few);
  expect(await rowsRead((tx) => purgeOutbox(tx))).toBeLessThanOrEqual(looked);
  expect(await readEvents(db, { afterSeq: 0, limit: 1 })).toMatchObject({ firstSeq: 1, lastSeq: 4_500, events: [{ seq: 1 }] });
});

it('an older schema keeps its events, their numbers, and what of them is still to be sent', async () => {
  const older = await makeTestSchema('outbox_older');
  const before = await openDatabase({ url: older.url, migrations: tasksMigrations.filter(({ name }) => name < 'tasks.0026'), name: 'older' });
  const rows = [[1, 'sent'], [2, 'sent'], [3, null], [4, 'sent'], [null, null], [null, null]] as const;
  for (const [seq, at] of rows) {
    await execute(before, `INSERT INTO outbox (event_id, subject, event, seq, created_at, sent_at) VALUES (?, 'tok.v1.evt.network.thing.happened.o1', '{"data":{}}', ?, UTC_TIMESTAMP(3), ${at === null ? 'NULL' : 'UTC_TIMESTAMP(3)'})`, [newUuid(), seq]);
  }
  await execute(before, "INSERT INTO relay_lease (name, held_until, last_seq) VALUES ('outbox', UTC_TIMESTAMP(3), 4), ('drift', UTC_TIMESTAMP(3), 0)");
  await before.destroy();
  const after = await openDatabase({ url: older.url, migrations: tasksMigrations, name: 'newer' });
  expect(await numbers(after)).toEqual([1, 2, 3, 4, 0, 0]);
  expect(await selectRows(after, "SELECT name, CONCAT(last_seq, ' ', sent_seq) AS seqs FROM relay_lease ORDER BY name")).toEqual([{ name: 'drift', seqs: '0 0' }, { name: 'outbox', seqs: '4 2' }]);
  await after.destroy();
  await older.drop();
});
