// Events from the transaction to the consumer, on a real database and a real JetStream, with everything in between killed.
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { AckPolicy, jetstreamManager } from '@nats-io/jetstream';
import type { JetStreamClient } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { z } from 'zod';
import type { DataSource } from 'typeorm';
import { defineEvent, Unavailable } from '#contracts';
import type { EventEnvelope } from '#contracts';
import { defineMigration, execute, openDatabase, selectRow, selectRows, tasksMigrations, transaction } from '#database';
import { FaultError } from '#kernel';
import { until } from '#testing';
import { makeTestSchema } from '../../database/src/testing/test-schema.store.ts';
import type { TestSchema } from '../../database/src/testing/test-schema.store.ts';
import { consumeEvents } from './events.consumer.ts';
import type { ConsumeOptions, Consumption } from './events.consumer.ts';
import { holdLease, releaseLease } from './lease.store.ts';
import { processName } from './process-name.proc.ts';
import { emit, purgeOutbox, readEvents } from './outbox.store.ts';
import { OutboxRelay } from './outbox.relay.ts';
import { ownNats } from './testing/own-servers.ts';
import type { OwnServer } from './testing/own-servers.ts';
import { silentTaskLog, unsentEvents } from './testing/scene.ts';

// For a busy machine; every wait inside has a bound of its own.
jest.setTimeout(120_000);

const happened = defineEvent('network.thing.happened', { summary: 'A thing happened', data: z.strictObject({ n: z.int() }) });
const ignored = defineEvent('network.thing.ignored', { summary: 'Nobody cares', data: z.strictObject({ n: z.int() }) });
const ofTask = defineEvent('network.task.changed', { summary: 'Of a task', data: z.strictObject({ n: z.int() }) });
const seen = defineMigration('test.0001-seen', ['CREATE TABLE seen (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, n int NOT NULL, seq bigint NOT NULL)']);

let schema: TestSchema;
let db: DataSource;
let nats: NatsConnection;
const running: { stop(): Promise<void> }[] = [];
let server: OwnServer;
const stream = 'EVENTS';

async function ensureStreams(connection: NatsConnection): Promise<void> {
  await (await jetstreamManager(connection)).streams.add({ name: stream, subjects: ['tok.v1.evt.>'] });
}

beforeAll(async () => {
  schema = await makeTestSchema('outbox');
  db = await openDatabase({ url: schema.url, migrations: [...tasksMigrations, seen], name: 'test', poolSize: 20 });
  server = await ownNats();
  nats = await connect({ servers: server.url });
  await ensureStreams(nats);
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((part) => part.stop()));
});
afterAll(async () => {
  await nats.close();
  await server.remove();
  await db.destroy();
  await schema.drop();
});

let last = 0;
const emitOne = (event = happened): Promise<void> => transaction(db, (tx) => emit(tx, event, { objectId: 'o1', data: { n: (last += 1) } }));
const emitMany = (count: number): Promise<unknown> => Promise.all(Array.from({ length: count }, () => emitOne()));
function relay(): OutboxRelay {
  const made = new OutboxRelay({ service: 'network', db, nats, log: silentTaskLog, ensureStreams, pollMs: 20, leaseMs: 300 });
  made.start();
  running.push(made);
  return made;
}
function consumer(over: Partial<Extract<ConsumeOptions, { handle: unknown }>> | Partial<Extract<ConsumeOptions, { handleAll: unknown }>> = {}): Consumption {
  const made = consumeEvents({
    name: 'taker', sources: ['network'], filters: ['network.thing.happened'], nats, db, log: silentTaskLog, stream, ensureStreams, leaseMs: 1_000, askEveryMs: 500,
    readEvents: (_source, afterSeq, limit) => readEvents(db, { afterSeq, limit }),
    handle: async (tx, event) => { await execute(tx, 'INSERT INTO seen (n, seq) VALUES (?, ?)', [event.data['n'], event.seq]); },
    ...over,
  });
  running.push(made);
  return made;
}
const count = async (query: string): Promise<number> => Number((await selectRow<{ n: number | string }>(db, query))?.n);
const allSent = (): Promise<boolean> => until('all is sent', async () => (await count(unsentEvents)) === 0);
const numbers = async (): Promise<number[]> => (await selectRows<{ seq: number | string }>(db, 'SELECT seq FROM outbox ORDER BY seq')).map((row) => Number(row.seq));
const gapless = (list: readonly number[]): boolean => list.every((seq, index) => seq === index + 1);
const seenSeqs = async (): Promise<number[]> => (await selectRows<{ seq: number | string }>(db, 'SELECT seq FROM seen ORDER BY id')).map((row) => Number(row.seq));
const expectedSeqs = async (): Promise<number[]> =>
  (await selectRows<{ seq: number | string }>(db, `SELECT seq FROM outbox WHERE subject LIKE '%.happened.%' AND seq > 0 ORDER BY seq`)).map((row) => Number(row.seq));
const caughtUp = (): Promise<boolean> => until('the consumer has all', async () => (await seenSeqs()).length >= (await expectedSeqs()).length);

describe('the relay', () => {
  it('numbers what many transactions wrote at once without gaps, with two relays competing', async () => {
    relay();
    relay();
    await emitMany(150);
    await allSent();
    const list = await numbers();
    expect(list.length).toBe(150);
    expect(gapless(list)).toBe(true);
  });
  it('sends again under the same number what it died over between sending and marking, and keeps it from then on', async () => {
    const heard: EventEnvelope[] = [];
    const listening = nats.subscribe('tok.v1.evt.network.>', { callback: (_error, message) => { heard.push(message.json<EventEnvelope>()); } });
    const first = relay();
    await emitMany(3);
    await allSent();
    await first.stop();
    const [, second, third] = (await numbers()).slice(-3);
    await execute(db, "UPDATE relay_lease SET sent_seq = ? WHERE name = 'outbox'", [second! - 1]);
    await execute(db, 'UPDATE outbox SET created_at = UTC_TIMESTAMP(3) - INTERVAL 8 DAY WHERE seq >= ?', [second]);
    relay();
    await allSent();
    await until('they are heard twice', () => Promise.resolve(heard.length === 5));
    expect(heard.slice(3).map((event) => event.seq)).toEqual([second, third]);
    await until('they are kept from now on', async () => (await selectRows(db, 'SELECT 1 FROM outbox WHERE created_at < UTC_TIMESTAMP(3) - INTERVAL 7 DAY')).length === 0);
    expect(await purgeOutbox(db)).toBe(0);
    listening.unsubscribe();
  });
  it('marks no more as sent than is, when one of many cannot be', async () => {
    const holding = relay();
    await emitOne();
    await allSent();
    await holding.stop();
    const before = (await numbers()).at(-1)!;
    const refused: number[] = [];
    const made = new OutboxRelay({ service: 'network', db, nats, log: silentTaskLog, ensureStreams, pollMs: 20, leaseMs: 300 });
    const { js } = made as unknown as { js: JetStreamClient };
    const publish = js.publish.bind(js);
    js.publish = (subject, payload, options) => {
      const { seq } = JSON.parse(String(payload)) as EventEnvelope;
      if (seq !== before + 3 || refused.push(seq) > 2) return publish(subject, payload, options);
      return Promise.reject(new Error('not this one'));
    };
    const marks: number[] = [];
    await emitMany(5);
    made.start();
    running.push(made);
    await until('all is sent', async () => {
      marks.push(await count("SELECT sent_seq AS n FROM relay_lease WHERE name = 'outbox'"));
      return (await count(unsentEvents)) === 0;
    });
    expect(refused).toEqual([before + 3, before + 3, before + 3]);
    expect(marks.filter((mark) => ![before, before + 2, before + 5].includes(mark))).toEqual([]);
    expect(marks).toContain(before + 2);
  });
  it('hears of the events that another replica writes, long before it would look for them', async () => {
    const patient = (from: DataSource, over: NatsConnection): OutboxRelay => {
      const made = new OutboxRelay({ service: 'network', db: from, nats: over, log: silentTaskLog, ensureStreams, pollMs: 3_600_000, leaseMs: 3_600_000 });
      made.start();
      running.push(made);
      return made;
    };
    const [db2, nats2] = [await openDatabase({ url: schema.url, migrations: [...tasksMigrations, seen], name: 'replica' }), await connect({ servers: server.url })];
    try {
      patient(db, nats);
      await emitOne();
      await allSent();
      const other = patient(db2, nats2);
      for (let times = 0; times < 3; times++) {
        await transaction(db2, (tx) => emit(tx, happened, { objectId: 'o1', data: { n: (last += 1) } }));
        await until('it has its number', async () => (await count('SELECT COUNT(*) AS n FROM outbox WHERE seq = 0')) === 0);
      }
      await other.stop();
    } finally {
      await nats2.close();
      await db2.destroy();
    }
  });
  it('gives no number that was rolled back', async () => {
    relay();
    await expect(transaction(db, async (tx) => {
      await emit(tx, happened, { objectId: 'o1', data: { n: 0 } });
      throw new Error('rolled back');
    })).rejects.toThrow('rolled back');
    await emitOne();
    await allSent();
    expect(gapless(await numbers())).toBe(true);
  });
  it('sends what a transaction said of objects, in its order, before what it said of tasks', async () => {
    relay();
    await transaction(db, async (tx) => {
      for (const [event, n] of [[ofTask, 1], [ignored, 2], [ofTask, 3], [ignored, 4]] as const) await emit(tx, event, { objectId: 'o2', data: { n } });
    });
    await allSent();
    const rows = await selectRows<{ n: number | string }>(db, "SELECT JSON_VALUE(event, '$.data.n') AS n FROM outbox WHERE subject LIKE '%.o2' ORDER BY seq");
    expect(rows.map(({ n }) => Number(n))).toEqual([2, 4, 1, 3]);
  });
  it('makes the stream again when somebody deleted it', async () => {
    await (await jetstreamManager(nats)).streams.delete(stream);
    relay();
    await emitOne();
    await allSent();
    expect((await (await jetstreamManager(nats)).streams.info(stream)).state.messages).toBe(1);
  });
  it('is held by no process that is gone, and by one that is there', async () => {
    const gone = processName().replace(/:\d+:[^:]*$/, ':1:abc');
    expect(await holdLease(db, 'inherited', gone, 3_600_000)).toMatchObject({ epoch: 1 });
    expect(await holdLease(db, 'inherited', processName(), 3_600_000)).toMatchObject({ epoch: 2 });
    expect(await holdLease(db, 'inherited', processName(), 3_600_000)).toBeNull();
  });

  it('writes nothing under a lease that went to another', async () => {
    const mine = await holdLease(db, 'trial', 'me', 1);
    expect(mine).not.toBeNull();
    await until('the other takes it', async () => (await holdLease(db, 'trial', 'other', 60_000)) !== null);
    expect(await holdLease(db, 'trial', 'me', 60_000)).toBeNull();
    if (mine !== null) await releaseLease(db, mine);
    expect(await selectRow(db, "SELECT holder, lease_epoch FROM relay_lease WHERE name = 'trial'")).toEqual({ holder: 'other', lease_epoch: 2 });
  });
  it('refuses an event that does not fit its contract', async () => {
    await expect(transaction(db, (tx) => emit(tx, happened, { objectId: 'o1', data: { n: 'x' as unknown as number } }))).rejects.toThrow();
  });
});

describe('a consumer', () => {
  it('takes in what was there before it, each event once and in order, and not what it did not ask for', async () => {
    relay();
    consumer();
    await emitMany(20);
    await emitOne(ignored);
    await emitMany(20);
    await allSent();
    await caughtUp();
    expect(await seenSeqs()).toEqual(await expectedSeqs());
  });
  it('passes over what it did not ask for without a gap, whether it lives on, ends or is killed', async () => {
    relay();
    const first = consumer();
    for (let round = 0; round < 3; round++) {
      for (let count = 0; count < 5; count++) await emitOne(ignored);
      await emitOne();
    }
    await allSent();
    await caughtUp();
    for (let count = 0; count < 5; count++) await emitOne(ignored);
    await allSent();
    await first.stop();
    await execute(db, 'UPDATE consumer_position SET last_seq = last_seq - 3'); // what a killed one had not stored
    consumer();
    await emitOne();
    await allSent();
    await caughtUp();
    expect(await seenSeqs()).toEqual(await expectedSeqs());
  });
  it('keeps what came before an event that cannot be taken, and goes on behind it when it can', async () => {
    relay();
    await emitMany(30);
    await allSent();
    const stuck = (await expectedSeqs()).at(-11);
    let broken = true;
    consumer({ handle: async (tx, event) => {
      if (broken && event.seq === stuck) throw new Error('not now');
      await execute(tx, 'INSERT INTO seen (n, seq) VALUES (?, ?)', [event.data['n'], event.seq]);
    } });
    await until('all before it are there', async () => (await seenSeqs()).at(-1) === stuck! - 1);
    broken = false;
    await caughtUp();
    expect(await seenSeqs()).toEqual(await expectedSeqs());
  });
  it('takes what is there at once as one batch, where it is asked to', async () => {
    await emitMany(30);
    relay();
    await allSent();
    const batches: number[] = [];
    consumer({ handleAll: async (tx, events) => {
      batches.push(events.length);
      for (const event of events) await execute(tx, 'INSERT INTO seen (n, seq) VALUES (?, ?)', [event.data['n'], event.seq]);
    } });
    await caughtUp();
    expect(await seenSeqs()).toEqual(await expectedSeqs());
    expect(Math.max(...batches)).toBeGreaterThan(1);
  });
  it('fills what it missed while the stream was deleted and made again', async () => {
    relay();
    await emitMany(5);
    await allSent();
    const manager = await jetstreamManager(nats);
    await manager.streams.delete(stream);
    await ensureStreams(nats);
    await emitMany(5);
    await allSent();
    consumer();
    await caughtUp();
    expect(await seenSeqs()).toEqual(await expectedSeqs());
  });
  it('asks an owner again soon who did not answer when something was missing', async () => {
    relay();
    await emitMany(5);
    await allSent();
    await (await jetstreamManager(nats)).streams.purge(stream);
    await emitOne();
    await allSent();
    let silent = 2; // when it begins to listen, and when it meets the gap
    consumer({
      askEveryMs: 600_000,
      readEvents: (_source, afterSeq, limit) => (silent-- > 0 ? Promise.reject(new FaultError(Unavailable.fault('network does not answer.'))) : readEvents(db, { afterSeq, limit })),
    });
    await caughtUp();
    expect(silent).toBeLessThan(0);
    expect(await seenSeqs()).toEqual(await expectedSeqs());
  });
  it('takes the place of one that acknowledged each event for itself', async () => {
    relay();
    await emitMany(2);
    await allSent();
    const { consumers } = await jetstreamManager(nats);
    await consumers.delete(stream, 'taker').catch(() => undefined);
    await consumers.add(stream, { durable_name: 'taker', ack_policy: AckPolicy.Explicit });
    consumer();
    await caughtUp();
    expect(await seenSeqs()).toEqual(await expectedSeqs());
    await until('one word answers for all', async () => (await consumers.info(stream, 'taker')).config.ack_policy === AckPolicy.All);
  });
  it('goes on by itself when the stream is deleted under it', async () => {
    relay();
    consumer();
    await emitOne();
    await allSent();
    await caughtUp();
    await (await jetstreamManager(nats)).streams.delete(stream);
    await emitMany(5);
    await allSent();
    await caughtUp();
    expect(await seenSeqs()).toEqual(await expectedSeqs());
  });
  it('takes an event again when its effect failed, and has the effect once', async () => {
    relay();
    let failures = 2;
    consumer({
      handle: async (tx, event) => {
        await execute(tx, 'INSERT INTO seen (n, seq) VALUES (?, ?)', [event.data['n'], event.seq]);
        if (failures-- > 0) throw new Error('not this time');
      },
    });
    await emitMany(3);
    await allSent();
    await caughtUp();
    expect(await seenSeqs()).toEqual(await expectedSeqs());
  });
  it('works once among two replicas', async () => {
    relay();
    consumer();
    consumer();
    await emitMany(50);
    await allSent();
    await caughtUp();
    expect(await seenSeqs()).toEqual(await expectedSeqs());
  });
  it('says what is lost when the owner keeps it no longer', async () => {
    relay();
    await emitMany(3);
    await allSent();
    const lost: number[][] = [];
    const before = Math.max(...(await seenSeqs()));
    await execute(db, 'UPDATE outbox SET created_at = UTC_TIMESTAMP(3) - INTERVAL 8 DAY WHERE seq <= ?', [before + 2]);
    const old = (await numbers()).filter((seq) => seq <= before + 2).length;
    expect(await purgeOutbox(db)).toBe(old);
    expect((await numbers())[0]).toBe(before + 3);
    await (await jetstreamManager(nats)).streams.purge(stream);
    consumer({ onLost: (_tx, _source, from, to) => Promise.resolve(void lost.push([from, to])) });
    await until('the rest is taken', async () => (await seenSeqs()).includes(before + 3));
    expect(lost).toEqual([[before + 1, before + 2]]);
  });
});
