// The rights on the bus as a table, against a real server with the configuration that the product writes.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, PermissionViolationError } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { jetstream } from '@nats-io/jetstream';
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
  // a user has his own doors and nothing else, whatever his name
  ['user-bob', 'pub', 'tok.v1.user.bob.req.compute.vm.start', 'allowed'],
  ['user-bob', 'sub', '_INBOX.user.bob.x', 'allowed'],
  ['user-bob', 'pub', 'tok.v1.user.ann.req.compute.vm.start', 'denied'],
  ['user-bob', 'pub', 'tok.v1.compute.vm.start', 'denied'],
  ['user-bob', 'pub', '$JS.API.INFO', 'denied'],
  ['user-bob', 'sub', 'tok.v1.user.ann.evt.>', 'denied'],
  ['user-bob', 'sub', '_INBOX.user.ann.>', 'denied'],
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

test('a second run changes nothing; a new host needs no change of the server; a new service reaches it by a reload', async () => {
  const before = filesOf(settings.dir);
  await writeNatsSetup(settings);
  expect(filesOf(settings.dir)).toEqual(before);

  const config = readFileSync(setup.configFile, 'utf8');
  setup = await writeNatsSetup({ ...settings, hostIds: [h1, h2, h3] });
  expect(readFileSync(setup.configFile, 'utf8')).toBe(config);
  expect(await verdict(h3, 'pub', `tok.v1.hb.${h3}`)).toBe('allowed');

  setup = await writeNatsSetup({ ...settings, services: [...settings.services, 'storage'], hostIds: [h1, h2, h3] });
  server.reload();
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
