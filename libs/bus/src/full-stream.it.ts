// A stream of commands that is full while every service is down, on the server configuration that the product writes: whoever
// publishes is told, nothing that was acknowledged is lost, and it goes on when somebody takes commands again.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { jetstream, JetStreamApiError, jetstreamManager } from '@nats-io/jetstream';
import { connect, createInbox, credsAuthenticator, headers } from '@nats-io/transport-node';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { until } from '#testing';
import { CommandConsumer } from './commands.nats.ts';
import { connectBus } from './connect.nats.ts';
import { silentLog } from './context.ts';
import { writeNatsSetup } from './nats-accounts.ts';
import { startNatsServer, testDir } from './nats.fixture.ts';
import type { TestNats } from './nats.fixture.ts';
import { newSeed, scopedCreds } from './nats-jwt.ts';
import { COMMANDS_STREAM, ensureCommandStream } from './streams.nats.ts';

const dir = testDir();
const limitBytes = 64 * 1024;
const subject = 'tok.v1.user.bob.cmd.compute.vm.start';
let server: TestNats;
let gateway: NatsConnection;
let bob: NatsConnection;

beforeAll(async () => {
  const setup = await writeNatsSetup({ dir: join(dir, 'nats'), services: ['gateway'], hostIds: [], host: '127.0.0.1', port: -1, storeDir: join(dir, 'store') });
  server = await startNatsServer(dir, setup.configFile);
  const keys = JSON.parse(readFileSync(join(dir, 'nats', 'keys.json'), 'utf8')) as { account: string; roles: Record<string, string> };
  const creds = join(dir, 'bob.creds');
  writeFileSync(creds, await scopedCreds('bob', newSeed('user'), keys.account, keys.roles['user'] ?? ''));
  gateway = await connectBus({ url: server.url, name: 'gateway', credsFile: setup.creds['gateway'] ?? '', log: silentLog });
  bob = await connect({ servers: server.url, inboxPrefix: '_INBOX.user.bob', authenticator: credsAuthenticator(readFileSync(creds)), reconnectTimeWait: 50, maxReconnectAttempts: -1 });
  await ensureCommandStream(gateway, { bytes: limitBytes });
});
afterAll(async () => {
  await bob.close();
  await gateway.close();
  await server.stop();
});

const accepted: string[] = [];
/** Under keys that count, until it is refused: what it is refused with. */
async function publishUntilRefused(): Promise<unknown> {
  for (;;) {
    const key = `n${accepted.length}`;
    try {
      await publish(key);
    } catch (error) {
      return error;
    }
    accepted.push(key);
  }
}
async function publish(key: string, to = subject): Promise<void> {
  const sent = headers();
  sent.set('Idempotency-Key', key);
  await jetstream(bob).publish(to, 'x'.repeat(4_000), { headers: sent });
}
const held = async (): Promise<number> => (await (await jetstreamManager(gateway)).streams.info(COMMANDS_STREAM)).state.messages;

describe('a full stream of commands', () => {
  it('refuses whoever publishes, in the acknowledgement, and keeps all that it has acknowledged', async () => {
    const refusal = await publishUntilRefused();
    expect(refusal).toBeInstanceOf(JetStreamApiError);
    expect(refusal).toMatchObject({ code: 10077, message: 'maximum bytes exceeded' });
    expect(accepted.length).toBeGreaterThan(10);
    expect(await held()).toBe(accepted.length);
  });

  it('says so to the plainest of clients too', async () => {
    const inbox = createInbox('_INBOX.user.bob');
    const answer = Promise.withResolvers<Msg>();
    bob.subscribe(inbox, { max: 1, callback: (_error, message) => { answer.resolve(message); } });
    bob.publish(subject, 'x'.repeat(4_000), { reply: inbox });
    expect((await answer.promise).json()).toEqual({ error: { code: 503, err_code: 10077, description: 'maximum bytes exceeded' }, stream: COMMANDS_STREAM, seq: 0 });
  });

  it('drops nothing when the server is killed, or the limit set below what is there', async () => {
    await server.crashAndRestart();
    await until('we are back', () => gateway.flush().then(() => true, () => false));
    await until('JetStream is back', () => held().then((count) => count === accepted.length, () => false));
    await ensureCommandStream(gateway, { bytes: limitBytes / 4 });
    expect(await held()).toBe(accepted.length);
    await expect(publish('late')).rejects.toThrow('maximum bytes exceeded');
  });

  it('is drained when services return, every command once, and takes new ones', async () => {
    const taken: string[] = [];
    const taker = new CommandConsumer({
      connection: gateway, log: silentLog, name: 'takers', atOnce: 4, room: { bytes: limitBytes }, laneOf: () => 'one',
      take({ idempotencyKey }) {
        taken.push(idempotencyKey);
        return Promise.resolve('done');
      },
    });
    taker.start();
    await until('it is drained', async () => (await held()) === 0);
    expect(taken).toEqual(accepted);
    await publish('again');
    await until('the new one is taken', () => taken.includes('again'));
    await taker.stop(1_000);
  });
});

describe('a user who publishes one operation without end', () => {
  const [most, other] = [20, 'tok.v1.user.bob.cmd.compute.vm.stop'];

  it('is refused that one, and takes no room from other operations', async () => {
    await ensureCommandStream(gateway, { perOperation: most });
    for (let count = 0; count < most; count++) await publish(`o${count}`);
    const refusal: unknown = await publish('one too many').catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: 10077, message: 'maximum messages per subject exceeded' });
    await publish('of another', other);
    expect(await held()).toBe(most + 1);
  });

  it('loses nothing by a limit below what is there, which is not set then, nor when the server is killed', async () => {
    expect(await ensureCommandStream(gateway, { perOperation: most / 2 })).toBe(false);
    expect(await held()).toBe(most + 1);
    await server.crashAndRestart();
    await until('JetStream is back', () => held().then((count) => count === most + 1, () => false));
    await expect(publish('late')).rejects.toThrow('maximum messages per subject exceeded');
    await ensureCommandStream(gateway, { perOperation: most * 2 });
    await publish('now there is room');
  });

  it('loses nothing when a stream that had no such limit gets one', async () => {
    const manager = await jetstreamManager(gateway);
    await manager.streams.update(COMMANDS_STREAM, { max_msgs_per_subject: -1, discard_new_per_subject: false });
    await ensureCommandStream(gateway, { perOperation: most });
    expect(await held()).toBe(most + 2);
    expect(await ensureCommandStream(gateway)).toBe(true);
    expect([await held(), (await manager.streams.info(COMMANDS_STREAM)).config.max_msgs_per_subject]).toEqual([most + 2, 10_000]);
  });
});
