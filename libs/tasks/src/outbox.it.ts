// Events from the transaction to the consumer, on a real database and a real JetStream, with everything in between killed.
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { AckPolicy } from '@nats-io/jetstream';
import type { JetStreamClient } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { DataSource } from 'typeorm';
import { Unavailable } from '#contracts';
import type { EventEnvelope } from '#contracts';
import { execute, selectRow, selectRows, transaction } from '#database';
import { FaultError } from '#kernel';
import { until } from '#testing';
import { ensureStreams, EventScene, happened, ignored, ofTask, stream } from './testing/event-scene.ts';
import { holdLease, releaseLease } from './lease.store.ts';
import { processName } from './process-name.proc.ts';
import { emit, purgeOutbox, readEvents } from './outbox.store.ts';
import { OutboxRelay } from './outbox.relay.ts';
import { silentTaskLog, unsentEvents } from './testing/scene.ts';

// For a busy machine; every wait inside has a bound of its own.
jest.setTimeout(120_000);

let scene: EventScene;
beforeAll(async () => { scene = await EventScene.open('outbox'); });
afterEach(() => scene.end());
afterAll(() => scene.close());

const gapless = (list: readonly number[]): boolean => list.every((seq, index) => seq === index + 1);

describe('the relay', () => {
  it('numbers what many transactions wrote at once without gaps, with two relays competing', async () => {
    scene.relay();
    scene.relay();
    await scene.emitMany(150);
    await scene.allSent();
    const list = await scene.numbers();
    expect(list.length).toBe(150);
    expect(gapless(list)).toBe(true);
  });
  it('sends again under the same number what it died over between sending and marking, and keeps it from then on', async () => {
    const heard: EventEnvelope[] = [];
    const listening = scene.nats.subscribe('tok.v1.evt.network.>', { callback: (_error, message) => { heard.push(message.json<EventEnvelope>()); } });
    const first = scene.relay();
    await scene.emitMany(3);
    await scene.allSent();
    await first.stop();
    const [, second, third] = (await scene.numbers()).slice(-3);
    await execute(scene.db, "UPDATE relay_lease SET sent_seq = ? WHERE name = 'outbox'", [second! - 1]);
    await execute(scene.db, 'UPDATE outbox SET created_at = UTC_TIMESTAMP(3) - INTERVAL 8 DAY WHERE seq >= ?', [second]);
    scene.relay();
    await scene.allSent();
    await until('they are heard twice', () => Promise.resolve(heard.length === 5));
    expect(heard.slice(3).map((event) => event.seq)).toEqual([second, third]);
    await until('they are kept from now on', async () => (await selectRows(scene.db, 'SELECT 1 FROM outbox WHERE created_at < UTC_TIMESTAMP(3) - INTERVAL 7 DAY')).length === 0);
    expect(await purgeOutbox(scene.db)).toBe(0);
    listening.unsubscribe();
  });
  it('marks no more as sent than is, when one of many cannot be', async () => {
    const holding = scene.relay();
    await scene.emitOne();
    await scene.allSent();
    await holding.stop();
    const before = (await scene.numbers()).at(-1)!;
    const refused: number[] = [];
    const made = new OutboxRelay({ service: 'network', db: scene.db, nats: scene.nats, log: silentTaskLog, ensureStreams, pollMs: 20, leaseMs: 300 });
    const { js } = made as unknown as { js: JetStreamClient };
    const publish = js.publish.bind(js);
    js.publish = (subject, payload, options) => {
      const { seq } = JSON.parse(String(payload)) as EventEnvelope;
      if (seq !== before + 3 || refused.push(seq) > 2) return publish(subject, payload, options);
      return Promise.reject(new Error('not this one'));
    };
    const marks: number[] = [];
    await scene.emitMany(5);
    made.start();
    scene.running.push(made);
    await until('all is sent', async () => {
      marks.push(await scene.count("SELECT sent_seq AS n FROM relay_lease WHERE name = 'outbox'"));
      return (await scene.count(unsentEvents)) === 0;
    });
    expect(refused).toEqual([before + 3, before + 3, before + 3]);
    expect(marks.filter((mark) => ![before, before + 2, before + 5].includes(mark))).toEqual([]);
    expect(marks).toContain(before + 2);
  });
  it('hears of the events that another replica writes, long before it would look for them', async () => {
    const patient = (from: DataSource, over: NatsConnection): OutboxRelay => {
      const made = new OutboxRelay({ service: 'network', db: from, nats: over, log: silentTaskLog, ensureStreams, pollMs: 3_600_000, leaseMs: 3_600_000 });
      made.start();
      scene.running.push(made);
      return made;
    };
    const { db: db2, nats: nats2 } = await scene.replica();
    try {
      patient(scene.db, scene.nats);
      await scene.emitOne();
      await scene.allSent();
      const other = patient(db2, nats2);
      for (let times = 0; times < 3; times++) {
        await scene.emitOne(happened, db2);
        await until('it has its number', async () => (await scene.count('SELECT COUNT(*) AS n FROM outbox WHERE seq = 0')) === 0);
      }
      await other.stop();
    } finally {
      await nats2.close();
      await db2.destroy();
    }
  });
  it('gives no number that was rolled back', async () => {
    scene.relay();
    await expect(transaction(scene.db, async (tx) => {
      await emit(tx, happened, { objectId: 'o1', data: { n: 0 } });
      throw new Error('rolled back');
    })).rejects.toThrow('rolled back');
    await scene.emitOne();
    await scene.allSent();
    expect(gapless(await scene.numbers())).toBe(true);
  });
  it('sends what a transaction said of objects, in its order, before what it said of tasks', async () => {
    scene.relay();
    await transaction(scene.db, async (tx) => {
      for (const [event, n] of [[ofTask, 1], [ignored, 2], [ofTask, 3], [ignored, 4]] as const) await emit(tx, event, { objectId: 'o2', data: { n } });
    });
    await scene.allSent();
    const rows = await selectRows<{ n: number | string }>(scene.db, "SELECT JSON_VALUE(event, '$.data.n') AS n FROM outbox WHERE subject LIKE '%.o2' ORDER BY seq");
    expect(rows.map(({ n }) => Number(n))).toEqual([2, 4, 1, 3]);
  });
  it('makes the stream again when somebody deleted it', async () => {
    await (await scene.manager()).streams.delete(stream);
    scene.relay();
    await scene.emitOne();
    await scene.allSent();
    expect((await (await scene.manager()).streams.info(stream)).state.messages).toBe(1);
  });
  it('is held by no process that is gone, and by one that is there', async () => {
    const gone = processName().replace(/:\d+:[^:]*$/, ':1:abc');
    expect(await holdLease(scene.db, 'inherited', gone, 3_600_000)).toMatchObject({ epoch: 1 });
    expect(await holdLease(scene.db, 'inherited', processName(), 3_600_000)).toMatchObject({ epoch: 2 });
    expect(await holdLease(scene.db, 'inherited', processName(), 3_600_000)).toBeNull();
  });

  it('writes nothing under a lease that went to another', async () => {
    const mine = await holdLease(scene.db, 'trial', 'me', 1);
    expect(mine).not.toBeNull();
    await until('the other takes it', async () => (await holdLease(scene.db, 'trial', 'other', 60_000)) !== null);
    expect(await holdLease(scene.db, 'trial', 'me', 60_000)).toBeNull();
    if (mine !== null) await releaseLease(scene.db, mine);
    expect(await selectRow(scene.db, "SELECT holder, lease_epoch FROM relay_lease WHERE name = 'trial'")).toEqual({ holder: 'other', lease_epoch: 2 });
  });
  it('refuses an event that does not fit its contract', async () => {
    await expect(transaction(scene.db, (tx) => emit(tx, happened, { objectId: 'o1', data: { n: 'x' as unknown as number } }))).rejects.toThrow();
  });
});

describe('a consumer', () => {
  it('takes in what was there before it, each event once and in order, and not what it did not ask for', async () => {
    scene.relay();
    scene.consumer();
    await scene.emitMany(20);
    await scene.emitOne(ignored);
    await scene.emitMany(20);
    await scene.allSent();
    await scene.caughtUp();
    expect(await scene.seenSeqs()).toEqual(await scene.expectedSeqs());
  });
  it('passes over what it did not ask for without a gap, whether it lives on, ends or is killed', async () => {
    scene.relay();
    const first = scene.consumer();
    for (let round = 0; round < 3; round++) {
      for (let count = 0; count < 5; count++) await scene.emitOne(ignored);
      await scene.emitOne();
    }
    await scene.allSent();
    await scene.caughtUp();
    for (let count = 0; count < 5; count++) await scene.emitOne(ignored);
    await scene.allSent();
    await first.stop();
    await execute(scene.db, 'UPDATE consumer_position SET last_seq = last_seq - 3'); // what a killed one had not stored
    scene.consumer();
    await scene.emitOne();
    await scene.allSent();
    await scene.caughtUp();
    expect(await scene.seenSeqs()).toEqual(await scene.expectedSeqs());
  });
  it('keeps what came before an event that cannot be taken, and goes on behind it when it can', async () => {
    scene.relay();
    await scene.emitMany(30);
    await scene.allSent();
    const stuck = (await scene.expectedSeqs()).at(-11);
    let broken = true;
    scene.consumer({ handle: async (tx, event) => {
      if (broken && event.seq === stuck) throw new Error('not now');
      await execute(tx, 'INSERT INTO seen (n, seq) VALUES (?, ?)', [event.data['n'], event.seq]);
    } });
    await until('all before it are there', async () => (await scene.seenSeqs()).at(-1) === stuck! - 1);
    broken = false;
    await scene.caughtUp();
    expect(await scene.seenSeqs()).toEqual(await scene.expectedSeqs());
  });
  it('takes what is there at once as one batch, where it is asked to', async () => {
    await scene.emitMany(30);
    scene.relay();
    await scene.allSent();
    const batches: number[] = [];
    scene.consumer({ handleAll: async (tx, events) => {
      batches.push(events.length);
      for (const event of events) await execute(tx, 'INSERT INTO seen (n, seq) VALUES (?, ?)', [event.data['n'], event.seq]);
    } });
    await scene.caughtUp();
    expect(await scene.seenSeqs()).toEqual(await scene.expectedSeqs());
    expect(Math.max(...batches)).toBeGreaterThan(1);
  });
  it('fills what it missed while the stream was deleted and made again', async () => {
    scene.relay();
    await scene.emitMany(5);
    await scene.allSent();
    const manager = await scene.manager();
    await manager.streams.delete(stream);
    await ensureStreams(scene.nats);
    await scene.emitMany(5);
    await scene.allSent();
    scene.consumer();
    await scene.caughtUp();
    expect(await scene.seenSeqs()).toEqual(await scene.expectedSeqs());
  });
  it('asks an owner again soon who did not answer when something was missing', async () => {
    scene.relay();
    await scene.emitMany(5);
    await scene.allSent();
    await (await scene.manager()).streams.purge(stream);
    await scene.emitOne();
    await scene.allSent();
    let silent = 2; // when it begins to listen, and when it meets the gap
    scene.consumer({
      askEveryMs: 600_000,
      readEvents: (_source, afterSeq, limit) => (silent-- > 0 ? Promise.reject(new FaultError(Unavailable.fault('network does not answer.'))) : readEvents(scene.db, { afterSeq, limit })),
    });
    await scene.caughtUp();
    expect(silent).toBeLessThan(0);
    expect(await scene.seenSeqs()).toEqual(await scene.expectedSeqs());
  });
  it('takes the place of one that acknowledged each event for itself', async () => {
    scene.relay();
    await scene.emitMany(2);
    await scene.allSent();
    const { consumers } = await scene.manager();
    await consumers.delete(stream, 'taker').catch(() => undefined);
    await consumers.add(stream, { durable_name: 'taker', ack_policy: AckPolicy.Explicit });
    scene.consumer();
    await scene.caughtUp();
    expect(await scene.seenSeqs()).toEqual(await scene.expectedSeqs());
    await until('one word answers for all', async () => (await consumers.info(stream, 'taker')).config.ack_policy === AckPolicy.All);
  });
  it('goes on by itself when the stream is deleted under it', async () => {
    scene.relay();
    scene.consumer();
    await scene.emitOne();
    await scene.allSent();
    await scene.caughtUp();
    await (await scene.manager()).streams.delete(stream);
    await scene.emitMany(5);
    await scene.allSent();
    await scene.caughtUp();
    expect(await scene.seenSeqs()).toEqual(await scene.expectedSeqs());
  });
  it('takes an event again when its effect failed, and has the effect once', async () => {
    scene.relay();
    let failures = 2;
    scene.consumer({
      handle: async (tx, event) => {
        await execute(tx, 'INSERT INTO seen (n, seq) VALUES (?, ?)', [event.data['n'], event.seq]);
        if (failures-- > 0) throw new Error('not this time');
      },
    });
    await scene.emitMany(3);
    await scene.allSent();
    await scene.caughtUp();
    expect(await scene.seenSeqs()).toEqual(await scene.expectedSeqs());
  });
  it('works once among two replicas', async () => {
    scene.relay();
    scene.consumer();
    scene.consumer();
    await scene.emitMany(50);
    await scene.allSent();
    await scene.caughtUp();
    expect(await scene.seenSeqs()).toEqual(await scene.expectedSeqs());
  });
  it('says what is lost when the owner keeps it no longer', async () => {
    scene.relay();
    await scene.emitMany(3);
    await scene.allSent();
    const lost: number[][] = [];
    const before = Math.max(...(await scene.seenSeqs()));
    await execute(scene.db, 'UPDATE outbox SET created_at = UTC_TIMESTAMP(3) - INTERVAL 8 DAY WHERE seq <= ?', [before + 2]);
    const old = (await scene.numbers()).filter((seq) => seq <= before + 2).length;
    expect(await purgeOutbox(scene.db)).toBe(old);
    expect((await scene.numbers())[0]).toBe(before + 3);
    await (await scene.manager()).streams.purge(stream);
    scene.consumer({ onLost: (_tx, _source, from, to) => Promise.resolve(void lost.push([from, to])) });
    await until('the rest is taken', async () => (await scene.seenSeqs()).includes(before + 3));
    expect(lost).toEqual([[before + 1, before + 2]]);
  });
});
