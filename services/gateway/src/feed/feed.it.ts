// Feeds of bus users through the real doors, in front of a log that the test plays: nothing missing and nothing out of order
// between what was and what comes, whoever dies, and an end where it has to be.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { connect } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import mysql from 'mysql2/promise';
import { FeedMessage } from '#contracts';
import type { Permission, ReplyOf, createEventFeed } from '#contracts';
import { newUuid } from '#kernel';
import { until } from '#testing';
import { z } from 'zod';
import { PlayedLog } from '../events/played-log.fixture.ts';
import { GatewayUnderTest, people } from '../gateway.fixture.ts';
import { SignedActors } from '../signed-actors.fixture.ts';
import { Feeds } from './feeds.door.ts';

let gateway: GatewayUnderTest;
let nats: NatsConnection;
let sql: mysql.Connection;
let signed: SignedActors;
const log = new PlayedLog();
type Feed = ReplyOf<typeof createEventFeed>;
type Message = { feedId: string; after: number; position: number; events: { globalSeq: number }[]; end: { code: string } | null };
/** The played events are shorter than real ones. */
const Played = FeedMessage.extend({ events: z.array(z.object({ globalSeq: z.number() })) });

beforeAll(async () => {
  gateway = await GatewayUnderTest.start();
  log.playIn(gateway);
  signed = await SignedActors.playIn(gateway);
  nats = await connect({ servers: gateway.natsUrl, inboxPrefix: '_INBOX.user.ann' });
  sql = await mysql.createConnection(gateway.schema.url);
});
beforeEach(() => { log.clear(); });
afterEach(() => sql.query('DELETE FROM event_feed'));
afterAll(async () => {
  await sql.end();
  await nats.close();
  await gateway.end();
});

async function ask(operation: string, input: object): Promise<{ code: string | undefined; body: Record<string, unknown> }> {
  const answer = await nats.request(`tok.v1.user.ann.req.gateway.event-feed.${operation}`, JSON.stringify(input), { timeout: 20_000 });
  return { code: answer.headers?.get('Nats-Service-Error') || undefined, body: answer.json() };
}
const make = async (input: object): Promise<Feed> => {
  const { code, body } = await ask('create', input);
  expect(code).toBeUndefined();
  return body as Feed;
};

/** A reader as the guide has him: takes what is above what he has, asks again where something is missing, says how far he is. */
class Reader {
  readonly messages: Message[] = [];
  readonly seen: number[] = [];
  position: number;
  reads = true;
  private asking: Promise<unknown> = Promise.resolve();
  private readonly subscription;

  constructor(readonly feed: Feed, private readonly drops: (message: Message) => boolean = () => false) {
    this.position = feed.read;
    this.subscription = nats.subscribe(feed.subject, { callback: (_error, message) => { this.take(Played.parse(message.json())); } });
  }

  private take(message: Message): void {
    if (this.drops(message)) return;
    this.messages.push(message);
    if (message.end !== null) return;
    if (message.after > this.position) {
      this.say({ again: true });
      return;
    }
    this.seen.push(...message.events.map(({ globalSeq }) => globalSeq).filter((globalSeq) => globalSeq > this.position).map((globalSeq) => globalSeq - log.base));
    this.position = Math.max(this.position, message.position);
    if (this.reads && message.events.length > 0) this.say({});
  }

  private say(over: object): void {
    this.asking = this.asking.then(() => ask('get', { feedId: this.feed.id, read: this.position, ...over }));
  }

  get end(): string | undefined {
    return this.messages.at(-1)?.end?.code;
  }

  async leave(): Promise<void> {
    this.subscription.unsubscribe();
    await this.asking;
  }
}
const upTo = (last: number, from = 1): number[] => Array.from({ length: last - from + 1 }, (_, index) => from + index);

describe('a feed', () => {
  it('tells what was and then what comes, each once, in order, without a gap', async () => {
    log.happen(1_700);
    const reader = new Reader(await make({ after: log.at(3) }));
    for (let turn = 1; turn <= 30; turn++) {
      const before = reader.seen.length;
      log.happen(turn);
      await until('some more has come', () => reader.seen.length > before);
    }
    await until('all has come', () => reader.seen.length >= log.entries.length - 3);
    expect(reader.seen).toEqual(upTo(log.entries.length, 4));
    // Each message goes on from where the one before it ended.
    expect(reader.messages.slice(1).map(({ after }) => after)).toEqual(reader.messages.slice(0, -1).map(({ position }) => position));
    await reader.leave();
  }, 30_000);

  it('begins with what comes from now on; a filter passes over the rest and says how far it is all the same', async () => {
    log.happen(5);
    const [all, some] = [new Reader(await make({})), new Reader(await make({ filter: { names: ['storage.*.*'] } }))];
    log.happen(2);
    log.happen(1, { name: 'storage.volume.changed' });
    await until('both have heard', () => all.seen.length === 3 && some.seen.length === 1);
    expect([all.seen, some.seen]).toEqual([[6, 7, 8], [8]]);
    await all.leave();
    await some.leave();
  });

  it('waits for a reader who does not say that he reads, and goes on when he does', async () => {
    log.happen(6_000);
    const reader = new Reader(await make({ after: log.at(0) }));
    reader.reads = false;
    await until('it is as far ahead as it may be', () => reader.seen.length >= 2_000);
    reader.reads = true;
    await ask('get', { feedId: reader.feed.id, read: reader.position });
    await until('it goes on', () => reader.seen.length === 6_000);
    expect(reader.messages.findIndex(({ position }) => position > log.at(2_500))).toBeGreaterThan(3);
    expect(reader.seen).toEqual(upTo(6_000));
    await reader.leave();
  }, 30_000);

  it('says again what was lost on the way', async () => {
    log.happen(1_200);
    const lost = new Set([2, 5]);
    let heard = 0;
    const reader = new Reader(await make({ after: log.at(0) }), ({ events }) => events.length > 0 && lost.has(++heard));
    for (let turn = 0; turn < 10; turn++) {
      const before = heard;
      log.happen(30);
      await until('some more was said', () => heard > before);
    }
    await until('all has come', () => reader.seen.length >= log.entries.length);
    expect(reader.seen).toEqual(upTo(log.entries.length));
    expect(heard).toBeGreaterThan(5);
    await reader.leave();
  }, 30_000);

  it('goes on without a gap when the log is away for a while', async () => {
    const reader = new Reader(await make({ after: log.at(0) }));
    log.happen(10);
    await until('the first have come', () => reader.seen.length === 10);
    log.away = true;
    log.happen(10);
    const before = log.refused;
    await until('it has been asked in vain', () => log.refused > before);
    log.away = false;
    await until('the others have come', () => reader.seen.length === 20);
    expect(reader.seen).toEqual(upTo(20));
    await reader.leave();
  }, 30_000);

  it('is taken up where its reader is when its gateway dies, and by nobody else while another one serves it', async () => {
    log.happen(50);
    const reader = new Reader(await make({ after: log.at(0) }));
    await until('the first have come', () => reader.seen.length === 50);
    // As if another gateway had it, which then dies.
    await sql.query('UPDATE event_feed SET holder = ?, holder_until = UTC_TIMESTAMP(3) + INTERVAL 4 SECOND', [newUuid()]);
    const served = gateway.get(Feeds);
    await until('this one lets it go', () => served.count === 0);
    log.happen(50);
    await until('this one takes it up', () => served.count === 1);
    await until('the others have come', () => reader.seen.length === 100);
    await gateway.stop();
    log.happen(50);
    await gateway.startService();
    await until('the last have come', () => reader.seen.length === 150);
    expect(reader.seen).toEqual(upTo(150));
    expect(reader.messages.filter(({ end }) => end !== null)).toEqual([]);
    await reader.leave();
  }, 40_000);

  it('shows what its user may see at that moment', async () => {
    const reader = new Reader(await make({ after: log.at(0) }));
    log.happen(2);
    await until('he sees all', () => reader.seen.length === 2);
    const rights = (permissions: Permission[]): void => { signed.actors.set('ann', { ...people.ann, rights: [{ permissions, scope: 'site', scopeId: null }] }); };
    rights([]);
    await gateway.announceChange('ann');
    log.happen(2);
    log.happen(1, { actorId: people.ann.userId });
    await until('he sees his own', () => reader.seen.length === 3);
    rights(['event.read']);
    await gateway.announceChange('ann');
    log.happen(1);
    await until('he sees all again', () => reader.seen.length === 4);
    expect(reader.seen).toEqual([1, 2, 5, 6]);
    await reader.leave();
  }, 30_000);
});

describe('a feed ends', () => {
  it('when nobody says that he reads it, and says so', async () => {
    const feed = await make({ after: log.at(0), leaseMs: 5_000 });
    const reader = new Reader(feed);
    log.happen();
    await until('it is served', () => reader.seen.length === 1);
    await sql.query('UPDATE event_feed SET ends_at = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND');
    await until('it says so', () => reader.end === 'FEED_ENDED');
    expect(await ask('get', { feedId: feed.id })).toMatchObject({ code: 'NOT_FOUND' });
    await reader.leave();
  });

  it('when its user ends it', async () => {
    const reader = new Reader(await make({}));
    expect((await ask('list', {})).body).toMatchObject({ items: [{ id: reader.feed.id }] });
    expect((await ask('delete', { feedId: reader.feed.id })).code).toBeUndefined();
    await until('it says so', () => reader.end === 'FEED_ENDED');
    expect((await ask('list', {})).body).toEqual({ items: [], next: null });
    await reader.leave();
  });

  it('when its user is disabled', async () => {
    const reader = new Reader(await make({}));
    gateway.withdrawn.add('ann');
    await gateway.announceChange('ann');
    await until('it says so', () => reader.end === 'UNAUTHENTICATED');
    gateway.withdrawn.delete('ann');
    await gateway.announceChange('ann');
    await until('its row is gone', async () => ((await sql.query<mysql.RowDataPacket[]>('SELECT id FROM event_feed'))[0].length === 0));
    await reader.leave();
  });

  it('when what it has to tell is kept no longer; one that begins there is refused with what to do instead', async () => {
    log.happen(20);
    log.firstSeq = log.at(11);
    expect(await ask('create', { after: log.at(4) })).toMatchObject({ code: 'EVENTS_GONE', body: { details: { after: log.at(4), firstSeq: log.at(11), lastSeq: log.at(20), snapshot: expect.arrayContaining([{ operation: 'compute.vm.list', http: 'GET /v1/vms' }]) } } });
    const reader = new Reader(await make({ after: log.at(10) }));
    await until('it is served', () => reader.seen.length === 10);
    await reader.leave();
    // Away while the log forgot what had not been read.
    await sql.query('UPDATE event_feed SET read_position = ?, rewinds = rewinds + 1', [log.at(2)]);
    const late = new Reader({ ...reader.feed, read: log.at(2) });
    await until('it says so', () => late.end === 'EVENTS_GONE');
    await late.leave();
  }, 30_000);

  it('is not made where there are too many', async () => {
    for (let count = 0; count < 20; count++) await make({});
    expect(await ask('create', {})).toMatchObject({ code: 'RATE_LIMITED' });
  });
});

it('is its user’s alone, and made once under one key', async () => {
  const answer = () => gateway.fetch('/v1/event-feeds', { method: 'POST', headers: { 'content-type': 'application/json', 'idempotency-key': 'one' }, body: '{"after":0}' });
  const [first, second] = [await (await answer()).json() as Feed, await (await answer()).json() as Feed];
  expect(second.id).toBe(first.id);
  expect(first.subject).toBe(`tok.v1.user.ann.evt.${first.id}`);
  for (const [method, path] of [['GET', `/v1/event-feeds/${first.id}`], ['DELETE', `/v1/event-feeds/${first.id}`]] as const) expect((await gateway.fetch(path, { method, as: 'eve' })).status).toBe(404);
  expect((await gateway.fetch('/v1/event-feeds', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"filter":{"names":["nonsense"]}}' })).status).toBe(400);
});
