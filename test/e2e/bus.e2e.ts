// Users on the real bus: credentials by the command line, the example of the guide, and nobody where he should not be.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connect, credsAuthenticator } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { createBusCredential, createUser, deleteUser, listBusCredentials, updateUser } from '#contracts';
import type { UserId } from '#contracts';
import { eventually } from './eventually.ts';
import { Rest } from './rest.ts';
import { openShell, signInShell } from './shell.ts';
import type { Shell } from './shell.ts';
import { ownVms, removeOwn } from './vms.ts';
import { openWorld } from './world.ts';
import type { World } from './world.ts';

let world: World;
let shell: Shell;
let dir: string;
const users: UserId[] = [];
beforeAll(async () => {
  world = await openWorld('bus');
  shell = await openShell(world);
  await signInShell(shell, world);
  // Beside the sources, so that the example finds the NATS client.
  dir = mkdtempSync(join(world.lab.repo, '.lab-bus-'));
});
afterAll(async () => {
  await removeOwn(world);
  for (const userId of users) await world.rest.ask(deleteUser, { userId });
  await shell.close();
  rmSync(dir, { recursive: true, force: true });
});

const enter = (file: string, handle: string): Promise<NatsConnection> =>
  connect({ servers: world.record.nats.url, inboxPrefix: `_INBOX.user.${handle}`, reconnect: false, authenticator: credsAuthenticator(readFileSync(file)) });
const ask = async (connection: NatsConnection, handle: string, operation: string, input: object = {}): Promise<{ code: string | undefined; body: Record<string, unknown> }> => {
  const answer = await connection.request(`tok.v1.user.${handle}.req.${operation}`, JSON.stringify(input), { timeout: 20_000 });
  return { code: answer.headers?.get('Nats-Service-Error') || undefined, body: answer.json() };
};

describe('the bus', () => {
  let file = '';
  it('lets in by one command', async () => {
    file = (await shell.tokctl('bus', 'login', '--name', world.prefix, '--file', join(dir, 'admin.creds'))).trim();
    expect((await world.rest.ask(listBusCredentials, {})).items.map(({ name }) => name)).toContain(world.prefix);
  });

  it('makes a VM by the example of the guide as it stands', async () => {
    const guide = readFileSync(join(world.lab.repo, 'docs/guides/bus.md'), 'utf8');
    const [, example] = /^```js run\n([\s\S]*?)^```$/m.exec(guide) ?? [];
    const script = join(dir, 'example.mjs');
    writeFileSync(script, (example ?? '').replace("name: 'tiny'", `name: '${world.record.template.name}'`));
    const env = `NATS_URL=${world.record.nats.url} NATS_CREDS=${file} BUS_USER=${world.record.admin.user} VM_NAME=${world.prefix}-vm`;
    const ended = await shell.run(['bash', '-c', `${env} ${world.lab.node} ${script}`], { withinMs: 60_000 });
    expect(ended).toMatchObject({ status: 0, out: 'succeeded running\n' });
    expect((await ownVms(world)).map(({ status }) => status.state)).toEqual(['running']);
  }, 90_000);

  it('gives each user his own rights, and cuts him when he is disabled', async () => {
    const { rest, prefix, record } = world;
    const handle = `${prefix}-eve`;
    const { id: userId } = await rest.ask(createUser, { handle, password: 'correct horse battery', mustChangePassword: false });
    users.push(userId);
    const { createUser: newKey, fmtCreds } = await import('@nats-io/jwt');
    const key = newKey();
    const eve = await Rest.signIn(record.gateway.url, handle, 'correct horse battery');
    const made = await eve.ask(createBusCredential, { publicKey: key.getPublicKey() });
    const creds = join(dir, 'eve.creds');
    writeFileSync(creds, fmtCreds(made.jwt, key), { mode: 0o600 });

    const connection = await enter(creds, handle);
    const [vm] = await ownVms(world);
    expect(await ask(connection, handle, 'compute.vm.list')).toMatchObject({ code: undefined, body: { items: [] } });
    expect(await ask(connection, handle, 'compute.vm.get', { vmId: vm!.id })).toMatchObject({ code: 'NOT_FOUND' });
    expect(await ask(connection, handle, 'auth.user.create', { handle: 'x', password: 'x'.repeat(12) })).toMatchObject({ code: 'PERMISSION_DENIED' });

    await rest.ask(updateUser, { userId, disabled: true });
    await connection.closed();
    await expect(enter(creds, handle)).rejects.toThrow(/authoriz|revo/i);
  });

  it('takes credentials back by one command', async () => {
    const connection = await enter(file, world.record.admin.user);
    const mine = (await world.rest.ask(listBusCredentials, {})).items.find(({ name }) => name === world.prefix)!;
    await shell.tokctl('bus-credential', 'delete', mine.id);
    await connection.closed();
    await eventually('it stays out', () => enter(file, world.record.admin.user).then(async (again) => { await again.close(); return false; }, () => true));
  });
});
