// The rights on the bus as a table, against a real server with the configuration that the product writes.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAccount, createUser } from '@nats-io/jwt';
import { connect, credsAuthenticator, jwtAuthenticator, PermissionViolationError } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { jetstream } from '@nats-io/jetstream';
import { BusAuthority } from './authority.nats.ts';
import { connectBus } from './connect.nats.ts';
import { silentLog } from './context.ts';
import { writeNatsSetup } from './nats-accounts.ts';
import type { NatsSetup } from './nats-accounts.ts';
import { startNatsServer, testDir } from './nats.fixture.ts';
import type { TestNats } from './nats.fixture.ts';
import { newSeed, scopedCreds } from './nats-jwt.ts';
import { ensureStreams } from './streams.nats.ts';

const dir = testDir();
const [h1, h2, h3] = ['0190a0b0-0000-7000-8000-000000000001', '0190a0b0-0000-7000-8000-000000000002', '0190a0b0-0000-7000-8000-000000000003'] as const;
const settings = { dir: join(dir, 'nats'), services: ['auth', 'compute', 'gateway'], hostIds: [h1, h2], host: '127.0.0.1', port: -1, storeDir: join(dir, 'store') };
let server: TestNats;
let setup: NatsSetup;
const connections = new Map<string, NatsConnection>();
const as = async (name: string): Promise<NatsConnection> => {
  let connection = connections.get(name);
  if (!connection) connections.set(name, (connection = await connectBus({ url: server.url, name, credsFile: setup.creds[name] ?? '', log: silentLog })));
  return connection;
};

beforeAll(async () => {
  setup = await writeNatsSetup(settings);
  server = await startNatsServer(dir, setup.configFile);
  const keys = JSON.parse(readFileSync(join(settings.dir, 'keys.json'), 'utf8')) as { account: string; roles: Record<string, string>; users: Record<string, string> };
  for (const handle of ['bob', 'auth']) {
    const file = join(dir, `user-${handle}.creds`);
    writeFileSync(file, await scopedCreds(handle, newSeed('user'), keys.account, keys.roles['user'] ?? ''));
    setup.creds[`user-${handle}`] = file;
  }
});
afterAll(async () => {
  await Promise.all([...connections.values()].map((connection) => connection.close()));
  await server.stop();
});

/** Nobody is left on the way back in: whoever is asked for next enters anew. */
async function crashServer(): Promise<void> {
  await Promise.all([...connections.values()].map((connection) => connection.close()));
  connections.clear();
  await server.crashAndRestart();
}

/** The server's word on one publish or subscribe. */
async function verdict(who: string, action: 'pub' | 'sub', subject: string): Promise<'allowed' | 'denied'> {
  const connection = await as(who);
  const denials: unknown[] = [];
  const statuses = connection.status()[Symbol.asyncIterator]();
  const watching = (async (): Promise<void> => {
    for (;;) {
      const next = await statuses.next();
      if (next.done === true) return;
      const { value } = next;
      if (value.type === 'error' && value.error instanceof PermissionViolationError && value.error.subject === subject) denials.push(value.error);
    }
  })();
  if (action === 'pub') connection.publish(subject, '{}');
  else connection.subscribe(subject, { callback: (error) => { if (error) denials.push(error); } });
  await connection.flush(); // the server answers in order, so a denial is here before the pong
  await new Promise((resolve) => setImmediate(resolve));
  void statuses.return?.();
  void watching;
  return denials.length > 0 ? 'denied' : 'allowed';
}

const table: [who: string, action: 'pub' | 'sub', subject: string, expected: 'allowed' | 'denied'][] = [
  // a host speaks for itself and listens to itself
  [h1, 'pub', `tok.v1.rpt.${h1}.vm.changed`, 'allowed'],
  [h1, 'pub', `tok.v1.hb.${h1}`, 'allowed'],
  [h1, 'sub', `tok.v1.host.${h1}.vm.start`, 'allowed'],
  [h1, 'sub', `_INBOX.${h1}.>`, 'allowed'],
  // and for and to nobody else
  [h1, 'pub', `tok.v1.rpt.${h2}.vm.changed`, 'denied'],
  [h1, 'pub', `tok.v1.hb.${h2}`, 'denied'],
  [h1, 'pub', `tok.v1.host.${h2}.vm.start`, 'denied'],
  [h1, 'pub', `tok.v1.host.${h1}.vm.start`, 'denied'],
  [h1, 'pub', 'tok.v1.compute.vm.start', 'denied'],
  [h1, 'pub', 'tok.v1.evt.compute.vm.started.x', 'denied'],
  [h1, 'pub', '$JS.API.INFO', 'denied'],
  [h1, 'pub', '$JS.API.STREAM.DELETE.EVENTS', 'denied'],
  [h1, 'pub', '$SRV.PING', 'denied'],
  [h1, 'pub', '$SYS.REQ.SERVER.PING', 'denied'],
  [h1, 'pub', `_INBOX.${h2}.x`, 'denied'],
  [h1, 'pub', '_INBOX.compute.x', 'denied'],
  [h1, 'sub', `tok.v1.host.${h2}.vm.start`, 'denied'],
  [h1, 'sub', 'tok.v1.host.*.vm.start', 'denied'],
  [h1, 'sub', 'tok.v1.host.>', 'denied'],
  [h1, 'sub', `tok.v1.rpt.${h2}.>`, 'denied'],
  [h1, 'sub', 'tok.v1.hb.*', 'denied'],
  [h1, 'sub', 'tok.v1.evt.>', 'denied'],
  [h1, 'sub', 'tok.v1.compute.>', 'denied'],
  [h1, 'sub', `_INBOX.${h2}.>`, 'denied'],
  [h1, 'sub', '_INBOX.>', 'denied'],
  [h1, 'sub', '>', 'denied'],
  // the bytes of a host's consoles are its own and the doors': nobody else hears or writes them
  [h1, 'pub', `tok.v1.console.${h1}.s1.out`, 'allowed'],
  [h1, 'sub', `tok.v1.console.${h1}.s1.in`, 'allowed'],
  ['gateway', 'pub', `tok.v1.console.${h1}.s1.in`, 'allowed'],
  ['gateway', 'sub', `tok.v1.console.${h1}.s1.out`, 'allowed'],
  [h1, 'pub', `tok.v1.console.${h1}.s1.in`, 'denied'],
  [h1, 'sub', `tok.v1.console.${h1}.s1.out`, 'denied'],
  [h1, 'pub', `tok.v1.console.${h2}.s1.out`, 'denied'],
  [h1, 'sub', `tok.v1.console.${h2}.s1.in`, 'denied'],
  [h1, 'sub', `tok.v1.console.${h2}.s1.out`, 'denied'],
  [h1, 'sub', 'tok.v1.console.*.s1.in', 'denied'],
  [h1, 'sub', 'tok.v1.console.>', 'denied'],
  ['gateway', 'pub', `tok.v1.console.${h1}.s1.out`, 'denied'],
  ['gateway', 'sub', `tok.v1.console.${h1}.s1.in`, 'denied'],
  ['gateway', 'sub', 'tok.v1.console.>', 'denied'],
  ['compute', 'pub', `tok.v1.console.${h1}.s1.in`, 'denied'],
  ['compute', 'sub', `tok.v1.console.${h1}.s1.out`, 'denied'],
  ['user-bob', 'pub', `tok.v1.console.${h1}.s1.in`, 'denied'],
  ['user-bob', 'sub', `tok.v1.console.${h1}.s1.out`, 'denied'],
  ['user-bob', 'sub', 'tok.v1.console.>', 'denied'],
  ['ops', 'pub', `tok.v1.console.${h1}.s1.in`, 'denied'],
  ['ops', 'sub', `tok.v1.console.${h1}.s1.out`, 'denied'],
  ['ops', 'sub', '>', 'denied'],
  // a service serves itself only, and asks everyone
  ['compute', 'sub', 'tok.v1.compute.>', 'allowed'],
  ['compute', 'sub', 'tok.v1.rpt.*.vm.changed', 'allowed'],
  ['compute', 'sub', 'tok.v1.hb.*', 'allowed'],
  ['compute', 'sub', '$SRV.PING', 'allowed'],
  ['compute', 'pub', 'tok.v1.auth.user.read', 'allowed'],
  ['compute', 'pub', `tok.v1.host.${h1}.vm.start`, 'allowed'],
  ['compute', 'pub', 'tok.v1.evt.compute.vm.started.x', 'allowed'],
  ['compute', 'sub', 'tok.v1.auth.>', 'denied'],
  ['compute', 'sub', 'tok.v1.auth.session.login', 'denied'],
  ['compute', 'sub', 'tok.v1.>', 'denied'],
  ['compute', 'sub', 'tok.v1.user.>', 'denied'],
  ['compute', 'sub', '_INBOX.auth.>', 'denied'],
  ['compute', 'pub', 'tok.v1.evt.auth.user.created.x', 'denied'],
  ['compute', 'pub', `tok.v1.rpt.${h1}.vm.changed`, 'denied'],
  ['compute', 'pub', `tok.v1.hb.${h1}`, 'denied'],
  ['compute', 'pub', 'tok.v1.user.bob.req.compute.vm.start', 'denied'],
  ['compute', 'pub', '$SYS.REQ.SERVER.PING', 'denied'],
  // the door asks services, never hosts
  ['gateway', 'pub', 'tok.v1.compute.vm.start', 'allowed'],
  ['gateway', 'sub', 'tok.v1.evt.>', 'allowed'],
  ['gateway', 'pub', `tok.v1.host.${h1}.vm.start`, 'denied'],
  ['gateway', 'pub', 'tok.v1.evt.compute.vm.started.x', 'denied'],
  ['gateway', 'sub', 'tok.v1.compute.>', 'denied'],
  ['gateway', 'sub', '_INBOX.compute.>', 'denied'],
  ['gateway', 'sub', 'tok.v1.user.*.req.>', 'allowed'],
  ['gateway', 'sub', 'tok.v1.user.>', 'denied'],
  ['gateway', 'pub', 'tok.v1.user.bob.req.compute.vm.start', 'denied'],
  ['gateway', 'pub', 'tok.v1.user.bob.evt.x', 'allowed'],
  ['gateway', 'sub', 'tok.v1.user.*.evt.>', 'denied'],
  ['compute', 'pub', 'tok.v1.user.bob.evt.x', 'denied'],
  ['gateway', 'pub', '_INBOX.user.bob.x', 'denied'],
  ['gateway', 'pub', '_INBOX.gateway.outbox', 'allowed'],
  ['gateway', 'pub', '_INBOX.compute.outbox', 'denied'],
  // a user has his own doors and nothing else, whatever his name
  ['user-bob', 'pub', 'tok.v1.user.bob.req.compute.vm.start', 'allowed'],
  ['user-bob', 'sub', '_INBOX.user.bob.x', 'allowed'],
  ['user-bob', 'pub', 'tok.v1.user.ann.req.compute.vm.start', 'denied'],
  ['user-bob', 'pub', 'tok.v1.compute.vm.start', 'denied'],
  ['user-bob', 'pub', '$JS.API.INFO', 'denied'],
  ['user-bob', 'sub', 'tok.v1.user.ann.evt.>', 'denied'],
  ['user-bob', 'sub', 'tok.v1.user.bob.evt.>', 'allowed'],
  ['user-bob', 'sub', 'tok.v1.user.*.evt.>', 'denied'],
  ['user-bob', 'pub', 'tok.v1.user.bob.evt.x', 'denied'],
  ['user-bob', 'sub', '_INBOX.user.ann.>', 'denied'],
  ['user-bob', 'sub', 'tok.v1.user.bob.req.>', 'denied'],
  ['user-bob', 'sub', 'tok.v1.user.*.req.>', 'denied'],
  ['user-bob', 'sub', 'tok.v1.evt.>', 'denied'],
  ['user-bob', 'sub', '$SRV.>', 'denied'],
  ['user-bob', 'sub', '>', 'denied'],
  ['user-bob', 'pub', '$SRV.PING', 'denied'],
  ['user-bob', 'pub', '_INBOX.user.ann.x', 'denied'],
  ['user-bob', 'pub', '_INBOX.compute.x', 'denied'],
  ['user-bob', 'pub', `tok.v1.host.${h1}.vm.start`, 'denied'],
  ['user-bob', 'pub', `tok.v1.rpt.${h1}.vm.changed`, 'denied'],
  ['user-bob', 'pub', 'tok.v1.evt.compute.vm.started.x', 'denied'],
  ['user-bob', 'pub', '$JS.API.STREAM.CREATE.X', 'denied'],
  ['user-bob', 'pub', '$JS.API.CONSUMER.CREATE.EVENTS', 'denied'],
  ['user-bob', 'pub', '$SYS.REQ.CLAIMS.UPDATE', 'denied'],
  ['user-auth', 'sub', '_INBOX.auth.>', 'denied'],
  ['user-auth', 'sub', 'tok.v1.auth.>', 'denied'],
  // people with tools look, and do not touch
  ['ops', 'pub', '$SRV.PING', 'allowed'],
  ['ops', 'pub', 'tok.v1.compute.vm.start', 'denied'],
  ['ops', 'pub', `tok.v1.host.${h1}.vm.start`, 'denied'],
];
describe('what the server allows', () => {
  test.each(table)('%s %s %s: %s', async (who, action, subject, expected) => {
    expect(await verdict(who, action, subject)).toBe(expected);
  });
});

/** Takes a queue group's messages instead of the group. */
const joining: [who: string, subject: string, queue: string][] = [
  ['user-bob', 'tok.v1.user.bob.req.>', 'gateway'],
  ['user-bob', 'tok.v1.compute.vm.start', 'compute'],
  [h1, 'tok.v1.compute.vm.start', 'compute'],
  [h1, `tok.v1.host.${h2}.vm.start`, 'host'],
  ['compute', 'tok.v1.auth.session.login', 'auth'],
];
test.each(joining)('%s may not join the group that takes %s', async (who, subject, queue) => {
  const connection = await as(who);
  const denied = Promise.withResolvers<Error | null>();
  connection.subscribe(subject, { queue, callback: (error) => { denied.resolve(error); } });
  expect(await denied.promise).toBeInstanceOf(PermissionViolationError);
});

test('a user who listens to too much is refused; one who sends too much at once is cut off', async () => {
  const enter = (): Promise<NatsConnection> => connect({ servers: server.url, inboxPrefix: '_INBOX.user.bob', reconnect: false, authenticator: credsAuthenticator(readFileSync(setup.creds['user-bob'] ?? '')) });
  const many = await enter();
  for (let index = 0; index < 100; index++) many.subscribe(`_INBOX.user.bob.${index}`, { callback: () => undefined });
  const heard: string[] = [];
  for await (const status of many.status()) {
    if (status.type !== 'error') continue;
    heard.push(String(status.error));
    break;
  }
  expect(heard).toEqual([expect.stringMatching(/maximum subscriptions/i)]);
  await many.close();
  const big = await enter();
  // The client heard the limit and would keep to it.
  if (big.info === undefined) throw new Error('the server said nothing of itself');
  expect(big.info.max_payload).toBe(256 * 1024);
  big.info.max_payload = 1024 * 1024;
  big.publish('tok.v1.user.bob.req.compute.vm.start', new Uint8Array(300 * 1024));
  expect(String(await big.closed())).toMatch(/payload|ECONNRESET/i);
});

describe('the authority', () => {
  const user = createUser();
  const publicKey = user.getPublicKey();
  let authority: BusAuthority;
  beforeAll(async () => {
    authority = await BusAuthority.open({ file: setup.authorityFile, url: server.url, log: silentLog });
  });
  afterAll(() => authority.close());
  const signed = (expiresAt = Date.now() + 60_000, key = publicKey): Promise<string> => authority.sign({ handle: 'carl', publicKey: key, expiresAt });
  const enter = (jwt: string, seed = user.getSeed()): Promise<NatsConnection> =>
    connect({ servers: server.url, name: 'carl', inboxPrefix: '_INBOX.user.carl', reconnect: false, authenticator: jwtAuthenticator(jwt, seed) });

  test('lets in who holds the private key, under his handle, and nobody else', async () => {
    const jwt = await signed();
    const carl = await enter(jwt);
    carl.publish('tok.v1.user.carl.req.compute.vm.start', '{}');
    await carl.flush();
    await carl.close();
    await expect(enter(jwt, createUser().getSeed())).rejects.toThrow(/authoriz/i);
  });

  test('lets nobody in longer than it said', async () => {
    // On a slow machine he may come when his time is over: then he gets more of it.
    const enterFor = (ms: number): Promise<NatsConnection> => signed(Date.now() + ms).then(enter).catch((error: unknown) => (ms < 30_000 ? enterFor(2 * ms) : Promise.reject(error as Error)));
    const carl = await enterFor(2_500);
    expect(String(await carl.closed())).toMatch(/expired/i);
    await expect(enter(await signed(Date.now() - 1_000))).rejects.toThrow(/authoriz|expired/i);
  });

  test('knows a key of a user from anything else', () => {
    expect([publicKey, publicKey.replace(/(.)$/, (last) => (last === 'B' ? 'C' : 'B')), createAccount().getPublicKey(), new TextDecoder().decode(user.getSeed()), ''].map((text) => authority.isUserKey(text))).toEqual([true, false, false, false, false]);
  });

  test('shuts out who is revoked, at once, and keeps the others; also after the server was killed', async () => {
    const [jwt, other] = [await signed(), createUser()];
    const [carl, dora] = [await enter(jwt), await enter(await signed(undefined, other.getPublicKey()), other.getSeed())];
    const now = Math.floor(Date.now() / 1000);
    expect(await authority.revoke({ [publicKey]: now })).toEqual({ ok: true, value: true });
    expect(await authority.revoke({ [publicKey]: now })).toEqual({ ok: true, value: false });
    await carl.closed();
    await dora.flush();
    expect(dora.isClosed()).toBe(false);
    await expect(enter(jwt)).rejects.toThrow(/authoriz|revo/i);
    await dora.close();
    await crashServer();
    await expect(enter(jwt)).rejects.toThrow(/authoriz|revo/i);
    await (await whenLetIn('user-bob', setup.creds['user-bob'] ?? '')).close();
  });
});

test('nobody gets in without credentials', async () => {
  await expect(connect({ servers: server.url, reconnect: false })).rejects.toThrow(/authoriz/i);
  await expect(connect({ servers: server.url, reconnect: false, user: 'admin', pass: 'admin' })).rejects.toThrow(/authoriz/i);
});

test('a host answers a request, once, and cannot use the answer to speak to anyone else', async () => {
  const [host, compute] = [await as(h1), await as('compute')];
  host.subscribe(`tok.v1.host.${h1}.probe.ping`, { callback: (_error, message) => void message.respond('{"pong":true}') });
  await host.flush();
  const answer = await compute.request(`tok.v1.host.${h1}.probe.ping`, '{}', { timeout: 2_000 });
  expect(answer.json()).toEqual({ pong: true });
  expect(await verdict(h1, 'pub', answer.subject)).toBe('denied');
});

test('services make and use the stream of events', async () => {
  const compute = await as('compute');
  await ensureStreams(compute);
  expect((await jetstream(compute).publish('tok.v1.evt.compute.vm.started.x', '{}')).stream).toBe('EVENTS');
  await ensureStreams(await as('gateway'));
});

/** Connects as soon as the server, which reads its configuration again, knows the name. */
async function whenLetIn(name: string, credsFile: string): Promise<NatsConnection> {
  for (const end = Date.now() + 10_000; ; ) {
    try {
      return await connectBus({ url: server.url, name, credsFile, log: silentLog });
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

const filesOf = (at: string): Record<string, string> =>
  Object.fromEntries(readdirSync(at, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => {
    const path = join(entry.parentPath, entry.name);
    expect(statSync(path).mode & 0o077).toBe(0);
    return [path, createHash('sha256').update(readFileSync(path)).digest('hex')];
  }));

test('a second run changes nothing; a new host needs no change of the server; a new service reaches it with a restart', async () => {
  const before = filesOf(settings.dir);
  await writeNatsSetup(settings);
  expect(filesOf(settings.dir)).toEqual(before);

  const config = readFileSync(setup.configFile, 'utf8');
  setup = await writeNatsSetup({ ...settings, hostIds: [h1, h2, h3] });
  expect(readFileSync(setup.configFile, 'utf8')).toBe(config);
  expect(await verdict(h3, 'pub', `tok.v1.hb.${h3}`)).toBe('allowed');

  setup = await writeNatsSetup({ ...settings, services: [...settings.services, 'storage'], hostIds: [h1, h2, h3] });
  await crashServer();
  const storage = await whenLetIn('storage', setup.creds['storage'] ?? '');
  connections.set('storage', storage);
  expect(await verdict('storage', 'sub', 'tok.v1.storage.>')).toBe('allowed');
  expect(await verdict(h1, 'pub', `tok.v1.hb.${h1}`)).toBe('allowed');
});

test('a name that could be two pieces of a subject, or a wildcard, or somebody else, is refused', async () => {
  for (const hostId of ['a.b', '*', '>', '', 'a b', '../x', 'auth', 'ops']) {
    await expect(writeNatsSetup({ ...settings, hostIds: [hostId] })).rejects.toThrow(/subject|named twice/);
  }
});
