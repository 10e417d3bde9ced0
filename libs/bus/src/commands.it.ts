// Who takes published commands, against a real JetStream: told alive while he works, left behind when he is not, bounded in what he
// holds, and started on what an older version has left.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { ConsumerInfo } from '@nats-io/jetstream';
import { connect, headers, millis, nanos } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { until } from '#testing';
import { CommandConsumer } from './commands.nats.ts';
import type { PublishedCommand, Verdict } from './commands.nats.ts';
import { silentLog } from './context.ts';
import { startNatsServer, testDir } from './nats.fixture.ts';
import type { TestNats } from './nats.fixture.ts';
import { COMMANDS_STREAM, ensureCommandStream, publishedBy } from './streams.nats.ts';

let server: TestNats;
let nats: NatsConnection;
let takers: Taker[] = [];

/** Back at once when the server is. */
const enter = (): Promise<NatsConnection> => connect({ servers: server.url, reconnectTimeWait: 50, maxReconnectAttempts: -1 });

beforeAll(async () => { server = await startNatsServer(testDir()); });
afterAll(() => server.stop());
beforeEach(async () => {
  nats = await enter();
  await ensureCommandStream(nats);
  takers = [];
});
afterEach(async () => {
  for (const taker of takers) await taker.leave();
  await (await jetstreamManager(nats)).streams.delete(COMMANDS_STREAM).catch(() => undefined);
  await nats.close();
});

const laneOf = ({ idempotencyKey }: PublishedCommand): string => idempotencyKey.split('-')[0] ?? '';
/** A wait that no test comes to the end of. */
const NEVER_MS = 3_600_000;

/** Keeps each command until the test lets it go; keys are `<lane>-<number>`. */
class Taker {
  readonly taken: string[] = [];
  private readonly holding = new Map<string, (verdict: Verdict) => void>();
  private constructor(private readonly connection: NatsConnection, private readonly consumer: CommandConsumer) {}

  static async started(ackWait: number | 'as the product has it' = NEVER_MS, idleMs = NEVER_MS): Promise<Taker> {
    const connection = await enter();
    const of = { connection, log: silentLog, name: 'takers', atOnce: 4, idleMs, laneOf, take: (command: PublishedCommand) => taker.take(command) };
    const taker: Taker = new Taker(connection, new CommandConsumer(typeof ackWait === 'number' ? { ...of, ackWaitMs: ackWait } : of));
    takers.push(taker);
    taker.consumer.start();
    return taker;
  }

  private take({ idempotencyKey, deliveries }: PublishedCommand): Promise<Verdict> {
    this.taken.push(`${idempotencyKey} ${deliveries}`);
    return new Promise((resolve) => this.holding.set(idempotencyKey, resolve));
  }

  has(...taken: string[]): Promise<boolean> {
    return until(`taken: ${taken.join(', ')}`, () => taken.every((one) => this.taken.includes(one)));
  }

  end(key: string, verdict: Verdict = 'done'): void {
    this.holding.get(key)?.(verdict);
    this.holding.delete(key);
  }

  stop(graceMs: number): Promise<void> {
    return this.consumer.stop(graceMs);
  }

  /** As if it were killed: nothing more is said. */
  async die(): Promise<void> {
    await this.connection.close();
    await this.stop(0);
  }

  async leave(): Promise<void> {
    await this.stop(0);
    await this.connection.close();
  }
}

const publish = (...keys: string[]): Promise<void> => publishAs('ann', ...keys);
async function publishAs(handle: string, ...keys: string[]): Promise<void> {
  for (const key of keys) {
    const sent = headers();
    sent.set('Idempotency-Key', key);
    await jetstream(nats).publish(`tok.v1.user.${handle}.cmd.compute.vm.start`, '{}', { headers: sent });
  }
}
const info = async (handle = 'ann'): Promise<ConsumerInfo> => (await jetstreamManager(nats)).consumers.info(COMMANDS_STREAM, `takers-${handle}`);
const numbered = (lane: string, count: number): string[] => Array.from({ length: count }, (_, index) => `${lane}${index}-1`);

describe('whoever takes published commands', () => {
  it('takes over what an older version has made for everybody, with what waits in it and what it was at', async () => {
    await (await jetstreamManager(nats)).consumers.add(COMMANDS_STREAM, { durable_name: 'takers', ack_policy: AckPolicy.Explicit, ack_wait: nanos(60_000), max_ack_pending: 20_000, max_deliver: 3 });
    await publish('a-1', 'b-1');
    const old = await jetstream(nats).consumers.get(COMMANDS_STREAM, 'takers');
    await old.next();
    const taker = await Taker.started();
    await taker.has('a-1 1', 'b-1 1');
    await expect(old.info()).rejects.toThrow('consumer not found');
  });

  it('brings to today’s numbers what an older version has made for a user, with what waits in it', async () => {
    await (await jetstreamManager(nats)).consumers.add(COMMANDS_STREAM, { durable_name: 'takers-ann', filter_subject: publishedBy('ann'), ack_policy: AckPolicy.Explicit, ack_wait: nanos(60_000), max_ack_pending: 20_000, max_deliver: 3 });
    await publish('a-1');
    const taker = await Taker.started('as the product has it');
    await taker.has('a-1 1');
    const { config } = await info();
    expect([millis(config.ack_wait ?? 0), config.max_deliver, config.max_ack_pending]).toEqual([10_000, -1, 20_000]);
    taker.end('a-1');
    await until('the stream is empty', async () => (await info()).num_ack_pending === 0);
  });

  it('keeps what he works on, however long, and what waits behind it', async () => {
    let words = 0;
    nats.subscribe(`$JS.ACK.${COMMANDS_STREAM}.>`, { callback: (_error, message) => { if (message.string() === '+WPI') words += 1; } });
    await nats.flush();
    const [first, second] = [await Taker.started(2_000), await Taker.started(2_000)];
    await publish('a-1', 'a-2', 'a-3');
    await until('one of them has one', () => first.taken.length + second.taken.length > 0);
    // Of three commands, each four times in an ack wait: one of those has passed.
    await until('he has said so for long enough', () => words >= 3 * (4 + 1));
    expect([...first.taken, ...second.taken].filter((one) => !one.endsWith(' 1'))).toEqual([]);
    expect((await info()).num_redelivered).toBe(0);
  });

  it('is followed by another one when the server hears no more of him', async () => {
    const dying = await Taker.started(1_000);
    await publish('a-1', 'a-2');
    await dying.has('a-1 1');
    const other = await Taker.started(1_000);
    await dying.die();
    await other.has('a-1 2');
    other.end('a-1');
    await other.has('a-2 2');
  });

  it('gives back at once what he has not begun when he is to stop, and ends what he has', async () => {
    const leaving = await Taker.started();
    await publish('a-1', 'a-2', 'a-3', 'b-1');
    await leaving.has('a-1 1', 'b-1 1');
    const other = await Taker.started();
    const stopped = leaving.stop(30_000);
    const [first = ''] = await until('another one has one', () => (other.taken.length > 0 ? other.taken : undefined));
    leaving.end('a-1');
    leaving.end('b-1');
    await stopped;
    other.end(first.slice(0, 3));
    await other.has('a-2 2', 'a-3 2');
    expect(leaving.taken).toEqual(['a-1 1', 'b-1 1']);
  });

  it('is not held up by a long lane whose first command does not end, and takes it in order', async () => {
    const taker = await Taker.started();
    const lane = Array.from({ length: 300 }, (_, index) => `slow-${index}`);
    await publish(...lane);
    await taker.has('slow-0 1');
    await publish('b-1', 'c-1');
    await taker.has('b-1 1', 'c-1 1');
    for (const [index, key] of lane.entries()) {
      await taker.has(`${key} 1`);
      if (index === 9) break;
      taker.end(key);
    }
    expect(taker.taken.filter((one) => one.startsWith('slow'))).toEqual(lane.slice(0, 10).map((key) => `${key} 1`));
  });

  it('takes users in turn, however much one of them has published before the others', async () => {
    await publishAs('ann', ...numbered('a', 300));
    const taker = await Taker.started();
    await until('he is full', () => taker.taken.length === 4);
    await publishAs('bob', ...numbered('b', 3));
    await publishAs('eve', ...numbered('e', 2));
    await until('they are known', async () => (await info('bob').then(({ num_ack_pending }) => num_ack_pending, () => 0)) === 3 && (await info('eve').then(({ num_ack_pending }) => num_ack_pending, () => 0)) === 2);
    for (let at = 0; at < 12; at++) {
      await until('another one has its turn', () => taker.taken.length > at);
      taker.end(taker.taken[at]?.slice(0, -2) ?? '');
    }
    const others = taker.taken.slice(4, 12).filter((one) => !one.startsWith('a'));
    expect(others.sort()).toEqual(['b0-1 1', 'b1-1 1', 'b2-1 1', 'e0-1 1', 'e1-1 1']);
  });

  it('forgets a user who has been idle, and finds him again when he publishes', async () => {
    const taker = await Taker.started(NEVER_MS, 1);
    await publish('a-1');
    await taker.has('a-1 1');
    taker.end('a-1');
    await until('nobody asks for his commands', async () => (await info()).num_waiting === 0, 10_000);
    await publish('a-2');
    await taker.has('a-2 1');
  });

  it('asks for no more than he can soon begin, and leaves the rest to others', async () => {
    const taker = await Taker.started();
    await publish(...Array.from({ length: 100 }, (_, index) => `l${index}-1`));
    await until('he is full', () => taker.taken.length === 4);
    const { num_ack_pending: held } = await until('he has asked for no more', async () => { const now = await info(); return now.num_waiting === 0 ? now : undefined; });
    expect(held).toBeLessThan(50);
    const other = await Taker.started();
    await until('another one finds work', () => other.taken.length === 4);
  });

  it('delivers again what has to wait, after as long as was asked, and passes it meanwhile', async () => {
    const taker = await Taker.started();
    await publish('a-1', 'a-2');
    await taker.has('a-1 1');
    taker.end('a-1', 50);
    await taker.has('a-2 1');
    taker.end('a-2');
    await taker.has('a-1 2');
  });

  it('goes on when the server was killed, with everything that was not done', async () => {
    const taker = await Taker.started(1_000);
    await publish('a-1', 'b-1');
    await taker.has('a-1 1', 'b-1 1');
    taker.end('a-1');
    await until('it is done', async () => (await info()).num_ack_pending === 1);
    await server.crashAndRestart();
    await until('we are back', () => nats.flush().then(() => true, () => false));
    taker.end('b-1', 0);
    // A server that was killed may have forgotten that it had delivered it, and count from one again.
    await until('it is taken again', () => taker.taken.filter((one) => one.startsWith('b-1')).length > 1);
    expect(taker.taken.filter((one) => one.startsWith('a-1'))).toEqual(['a-1 1']);
  });
});
