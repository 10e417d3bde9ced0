// Users on the real bus: credentials by the command line, the examples of the AsyncAPI document, and nobody where he should not be.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstream } from '@nats-io/jetstream';
import { headers } from '@nats-io/transport-node';
import type { MsgHdrs, NatsConnection } from '@nats-io/transport-node';
import { createUser, deleteDeadLetter, deleteUser, listBusCredentials, listDeadLetters, operationByName, Plan, updateUser } from '#contracts';
import type { UserId } from '#contracts';
import { credentials, enter } from './bus-user.ts';
import { eventually } from './eventually.ts';
import { STAND_INS } from './guide.ts';
import { Rest } from './rest.ts';
import { openShell, signInShell } from './shell.ts';
import type { Shell } from './shell.ts';
import { deploy, removeOwn } from './vms.ts';
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
  dir = mkdtempSync(join(tmpdir(), 'tok-bus-'));
});
afterAll(async () => {
  await removeOwn(world);
  for (const userId of users) await world.rest.ask(deleteUser, { userId });
  await shell.close();
  rmSync(dir, { recursive: true, force: true });
});

const enterWith = (file: string, handle: string): Promise<NatsConnection> => enter(world, readFileSync(file, 'utf8'), handle);
const headersOf = (given: Readonly<Record<string, string>>): MsgHdrs => {
  const sent = headers();
  for (const [name, value] of Object.entries(given)) sent.set(name, value);
  return sent;
};
const ask = async (connection: NatsConnection, handle: string, operation: string, input: object = {}, given: Readonly<Record<string, string>> = {}): Promise<{ code: string | undefined; body: Record<string, unknown> }> => {
  const answer = await connection.request(`tok.v1.user.${handle}.req.${operation}`, JSON.stringify(input), { timeout: 20_000, headers: headersOf(given) });
  return { code: answer.headers?.get('Nats-Service-Error') || undefined, body: answer.json() };
};

describe('the bus', () => {
  let file = '';
  it('lets in by one command, which says another one to try', async () => {
    const { out, err } = await shell.run(['tokctl', 'bus', 'login', '--name', world.prefix, '--file', join(dir, 'admin.creds')]);
    file = out.trim();
    const [, command] = /^ *(nats .*)$/m.exec(err) ?? [];
    const tried = await shell.run(['bash', '-c', `PATH="$PATH:${STAND_INS}"; ${command!}`]);
    expect([tried.status, JSON.parse(tried.out)]).toMatchObject([0, { items: expect.any(Array) }]);
    expect((await world.rest.ask(listBusCredentials, {})).items.map(({ name }) => name)).toContain(world.prefix);
  });

  it('answers the examples of the AsyncAPI document as it says: every question, every dry run, and a command that is published', async () => {
    const { user } = world.record.admin;
    const connection = await enterWith(file, user);
    const document = JSON.parse(readFileSync(join(world.lab.repo, 'docs/reference/asyncapi.json'), 'utf8')) as { operations: Record<string, unknown>; components: { messages: Record<string, { examples: { headers?: Record<string, string>; payload: object }[] }> } };
    const asked = Object.keys(document.operations).filter((id) => id.startsWith('ask.')).map((id) => operationByName.get(id.slice('ask.'.length))!).filter(({ kind, dryRun }) => kind === 'query' || dryRun);
    const wrong: string[] = [];
    let answered = 0;
    for (const operation of asked) {
      const [example] = document.components.messages[`${operation.name}.request`]!.examples;
      const dry = operation.kind === 'command';
      const { code, body } = await ask(connection, user, operation.name, example!.payload, { ...example!.headers, ...(dry ? { 'Tok-Dry-Run': 'true' } : {}) });
      // Ids of examples are of nobody: whoever is asked for one says so.
      if (code === 'NOT_FOUND') continue;
      // A choice of members is not the whole reply.
      const whole = 'fields' in example!.payload || (dry ? Plan : operation.reply).safeParse(body).success;
      if (code === undefined && whole) answered++;
      else wrong.push(`${operation.name}: ${code ?? 'another answer than the contract says'} ${JSON.stringify(body).slice(0, 300)}`);
    }
    expect(wrong).toEqual([]);
    expect(asked.length).toBeGreaterThan(70);
    expect(answered).toBeGreaterThan(20);

    const [command] = document.components.messages['compute.vm.start.command']!.examples;
    const given = { ...command!.headers, 'Idempotency-Key': `${world.prefix}-example` };
    expect((await jetstream(connection).publish(`tok.v1.user.${user}.cmd.compute.vm.start`, JSON.stringify(command!.payload), { headers: headersOf(given) })).stream).toBe('COMMANDS');
    const letters = async () => (await world.rest.ask(listDeadLetters, { operation: 'compute.vm.start' })).items.filter(({ idempotencyKey }) => idempotencyKey === given['Idempotency-Key']);
    await eventually('it is refused, as there is no such VM', async () => (await letters()).length > 0);
    const [letter] = await letters();
    expect(letter).toMatchObject({ error: { code: 'NOT_FOUND' } });
    await world.rest.ask(deleteDeadLetter, { deadLetterId: letter!.id });
    await connection.close();
  }, 60_000);

  it('gives each user his own rights, and cuts him when he is disabled', async () => {
    const { rest, prefix, record } = world;
    const handle = `${prefix}-eve`;
    const { id: userId } = await rest.ask(createUser, { handle, password: 'correct horse battery', mustChangePassword: false });
    users.push(userId);
    const creds = await credentials(await Rest.signIn(record.gateway.url, handle, 'correct horse battery'));

    const connection = await enter(world, creds, handle);
    const vm = await deploy(world, 'vm', { start: false });
    expect(await ask(connection, handle, 'compute.vm.list')).toMatchObject({ code: undefined, body: { items: [] } });
    expect(await ask(connection, handle, 'compute.vm.get', { vmId: vm.id })).toMatchObject({ code: 'NOT_FOUND' });
    expect(await ask(connection, handle, 'auth.user.create', { handle: 'x', password: 'x'.repeat(12) })).toMatchObject({ code: 'PERMISSION_DENIED' });

    await rest.ask(updateUser, { userId, disabled: true });
    await connection.closed();
    await expect(enter(world, creds, handle)).rejects.toThrow(/authoriz|revo/i);
  });

  it('takes credentials back by one command', async () => {
    const connection = await enterWith(file, world.record.admin.user);
    const mine = (await world.rest.ask(listBusCredentials, {})).items.find(({ name }) => name === world.prefix)!;
    await shell.tokctl('bus-credential', 'delete', mine.id);
    await connection.closed();
    await eventually('it stays out', () => enterWith(file, world.record.admin.user).then(async (again) => { await again.close(); return false; }, () => true));
  });
});
