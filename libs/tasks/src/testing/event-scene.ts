// One outbox and a stream of its own, on a real database and a real JetStream, with relays and consumers that end after each test.
import { jetstreamManager } from '@nats-io/jetstream';
import type { JetStreamClient, JetStreamManager, PubAck } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { z } from 'zod';
import type { DataSource } from 'typeorm';
import { defineEvent } from '#contracts';
import { defineMigration, execute, openDatabase, selectRow, selectRows, tasksMigrations, transaction } from '#database';
import { until } from '#testing';
import { makeTestSchema } from '../../../database/src/testing/test-schema.store.ts';
import type { TestSchema } from '../../../database/src/testing/test-schema.store.ts';
import { consumeEvents } from '../events.consumer.ts';
import type { ConsumeOptions, Consumption } from '../events.consumer.ts';
import { emit, readEvents } from '../outbox.store.ts';
import { OutboxRelay } from '../outbox.relay.ts';
import { ownNats } from './own-servers.ts';
import type { OwnServer } from './own-servers.ts';
import { silentTaskLog, unsentEvents } from './scene.ts';

export const happened = defineEvent('network.thing.happened', { summary: 'A thing happened', data: z.strictObject({ n: z.int() }) });
export const ignored = defineEvent('network.thing.ignored', { summary: 'Nobody cares', data: z.strictObject({ n: z.int() }) });
export const switched = defineEvent('network.switch.changed', { summary: 'A switch changed', data: z.strictObject({ n: z.int() }) });
export const ofTask = defineEvent('network.task.changed', { summary: 'Of a task', data: z.strictObject({ n: z.int() }) });
export const stream = 'EVENTS';
const seen = defineMigration('test.0001-seen', ['CREATE TABLE seen (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, n int NOT NULL, seq bigint NOT NULL)']);

export async function ensureStreams(connection: NatsConnection): Promise<void> {
  await (await jetstreamManager(connection)).streams.add({ name: stream, subjects: ['tok.v1.evt.>'] });
}

export type Over = Partial<Extract<ConsumeOptions, { handle: unknown }>> | Partial<Extract<ConsumeOptions, { handleAll: unknown }>>;
interface Parts { readonly schema: TestSchema; readonly db: DataSource; readonly server: OwnServer; readonly nats: NatsConnection }

export class EventScene {
  readonly db: DataSource;
  readonly nats: NatsConnection;
  /** Ended after each test. */
  readonly running: { stop(): Promise<void> }[] = [];
  private last = 0;

  private constructor(private readonly parts: Parts) {
    ({ db: this.db, nats: this.nats } = parts);
  }

  static async open(name: string): Promise<EventScene> {
    const schema = await makeTestSchema(name);
    const db = await openDatabase({ url: schema.url, migrations: [...tasksMigrations, seen], name: 'test', poolSize: 20 });
    const server = await ownNats();
    const nats = await connect({ servers: server.url });
    await ensureStreams(nats);
    return new EventScene({ schema, db, server, nats });
  }

  async end(): Promise<void> {
    await Promise.all(this.running.splice(0).map((part) => part.stop()));
  }

  async close(): Promise<void> {
    const { schema, db, server, nats } = this.parts;
    await nats.close();
    await server.remove();
    await db.destroy();
    await schema.drop();
  }

  /** Another replica's connections; whoever opens them closes them. */
  async replica(): Promise<{ readonly db: DataSource; readonly nats: NatsConnection }> {
    const { schema, server } = this.parts;
    return { db: await openDatabase({ url: schema.url, migrations: [...tasksMigrations, seen], name: 'replica' }), nats: await connect({ servers: server.url }) };
  }

  manager(): Promise<JetStreamManager> {
    return jetstreamManager(this.nats);
  }

  emitOne(event = happened, db = this.db): Promise<void> {
    return transaction(db, (tx) => emit(tx, event, { objectId: 'o1', data: { n: (this.last += 1) } }));
  }

  async emitMany(count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, () => this.emitOne()));
  }

  /** One after the other; resolves when the relay has sent them. */
  async emitAll(...events: readonly (typeof happened)[]): Promise<void> {
    for (const event of events) await this.emitOne(event);
    await this.allSent();
  }

  /** `publish` takes the place of how it sends. */
  relay(publish?: (send: JetStreamClient['publish']) => JetStreamClient['publish']): OutboxRelay {
    const made = new OutboxRelay({ service: 'network', db: this.db, nats: this.nats, log: silentTaskLog, ensureStreams, pollMs: 20, leaseMs: 300 });
    const { js } = made as unknown as { js: JetStreamClient };
    if (publish !== undefined) js.publish = publish(js.publish.bind(js));
    made.start();
    this.running.push(made);
    return made;
  }

  /** A relay, of whose events the stream loses those of these nouns, for as long as the set names them. */
  losing(nouns: ReadonlySet<string>): OutboxRelay {
    const lost = { stream, seq: 0, duplicate: false } as unknown as PubAck;
    return this.relay((send) => (subject, payload, options) => (nouns.has(subject.split('.')[4]!) ? Promise.resolve(lost) : send(subject, payload, options)));
  }

  consumer(over: Over = {}): Consumption {
    const made = consumeEvents({
      name: 'taker', sources: ['network'], filters: ['network.thing.happened'], nats: this.nats, db: this.db, log: silentTaskLog, stream, ensureStreams, leaseMs: 1_000, askEveryMs: 500,
      readEvents: (_source, afterSeq, limit, nouns) => readEvents(this.db, { afterSeq, limit, nouns }),
      handle: async (tx, event) => { await execute(tx, 'INSERT INTO seen (n, seq) VALUES (?, ?)', [event.data['n'], event.seq]); },
      ...over,
    });
    this.running.push(made);
    return made;
  }

  /** What a query answers as `n`. */
  async count(query: string): Promise<number> {
    return Number((await selectRow<{ n: number | string }>(this.db, query))?.n);
  }

  allSent(): Promise<boolean> {
    return until('all is sent', async () => (await this.count(unsentEvents)) === 0);
  }

  /** Numbers of the events in the outbox whose subject is like that. */
  async numbers(like = '%'): Promise<number[]> {
    return (await selectRows<{ seq: number | string }>(this.db, 'SELECT seq FROM outbox WHERE subject LIKE ? ORDER BY seq', [like])).map((row) => Number(row.seq));
  }

  /** What consumers have taken, in that order. */
  async seenSeqs(): Promise<number[]> {
    return (await selectRows<{ seq: number | string }>(this.db, 'SELECT seq FROM seen ORDER BY id')).map((row) => Number(row.seq));
  }

  async expectedSeqs(): Promise<number[]> {
    return (await this.numbers('%.happened.%')).filter((seq) => seq > 0);
  }

  caughtUp(): Promise<boolean> {
    return until('the consumer has all', async () => (await this.seenSeqs()).length >= (await this.expectedSeqs()).length);
  }
}
