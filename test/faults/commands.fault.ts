// Commands that users publish while nobody is there to take them: what JetStream has acknowledged is carried out once when
// the services return, whatever was killed in between, and every one has an outcome that its user can see.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstream } from '@nats-io/jetstream';
import type { PubAck } from '@nats-io/jetstream';
import { headers } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { createGrant, createUser, deleteDeadLetter, deleteUser, listDeadLetters, listEvents, listRoles, listTasks, retryDeadLetter } from '#contracts';
import type { createVm, RequestOf, UserId } from '#contracts';
import { credentials, enter } from '../e2e/bus-user.ts';
import { eventually } from '../e2e/eventually.ts';
import { crash, startAgain, waitReady } from '../e2e/lab.mjs';
import { Rest } from '../e2e/rest.ts';
import { ownVms, removeOwn, small } from '../e2e/vms.ts';
import { openWorld } from '../e2e/world.ts';
import type { World } from '../e2e/world.ts';

const services = ['gateway', 'compute', 'storage', 'network', 'templates', 'scheduler', 'ha', 'monitoring', 'auth'];
const password = 'correct horse battery';
let world: World;
let handle: string;
let userId: UserId;
let user: Rest;
const on = new Map<string, NatsConnection>();

beforeAll(async () => {
  world = await openWorld('cmd');
  const { rest, record, prefix } = world;
  handle = `${prefix}-ann`;
  userId = (await rest.ask(createUser, { handle, password, mustChangePassword: false })).id;
  const role = (await rest.ask(listRoles, { name: 'vm-user' })).items[0]!;
  await rest.ask(createGrant, { userId, roleId: role.id });
  user = await Rest.signIn(record.gateway.url, handle, password);
  on.set(handle, await enter(world, await credentials(user), handle, true));
  on.set(record.admin.user, await enter(world, await credentials(rest), record.admin.user, true));
}, 60_000);
afterAll(async () => {
  for (const connection of on.values()) await connection.close();
  await waitReady(world.lab);
  await removeOwn(world);
  await world.rest.ask(deleteUser, { userId });
}, 120_000);

/** Answers when the server has it on disk; as long as nobody says so it is sent again, under the same key. */
async function publish(who: string, operation: string, body: object | string, key: string | null): Promise<PubAck> {
  const sent = headers();
  if (key !== null) sent.set('Idempotency-Key', key);
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return eventually('it is acknowledged', () => jetstream(on.get(who)!, { timeout: 2_000 }).publish(`tok.v1.user.${who}.cmd.${operation}`, text, { headers: sent }).catch(() => null));
}

const wish = (name: string): RequestOf<typeof createVm> => small(world, name, { start: false, nics: [] });

interface Told { readonly name: string; readonly by: string | undefined; readonly key: unknown; readonly operation: unknown; readonly taskId: unknown; readonly code: string | undefined }
/** What the event log, as this user sees it, says about published commands, in order. */
async function outcomes(rest: Rest): Promise<Told[]> {
  const found: Told[] = [];
  for (let after = 0; ;) {
    const { items } = await rest.ask(listEvents, { after, limit: 500 });
    for (const { name, data, actor, globalSeq } of items) {
      after = globalSeq;
      if (!name.startsWith('gateway.command.')) continue;
      const { idempotencyKey, operation, taskId, error } = data;
      found.push({ name, by: actor?.handle, key: idempotencyKey, operation, taskId, code: (error as { code: string } | undefined)?.code });
    }
    if (items.length < 500) return found;
  }
}
const outcomesOf = async (rest: Rest, keys: readonly unknown[], count: number): Promise<Told[]> => {
  const about = async (): Promise<Told[]> => (await outcomes(rest)).filter(({ key }) => keys.includes(key));
  await eventually(`${count} outcomes are told`, async () => (await about()).length >= count, { withinMs: 90_000 });
  return about();
};
const named = async (): Promise<string[]> => (await ownVms(world)).map(({ name }) => name.replace(`${world.prefix}-`, '')).sort();

describe('published while every service is down', () => {
  const key = randomUUID();
  const lone = randomUUID();
  let poison = '';

  it('is stored and acknowledged, also over a crash of NATS', async () => {
    for (const name of services) await crash(world.lab, name);
    const { admin } = world.record;
    await publish(handle, 'compute.vm.create', wish('ann-1'), key);
    await publish(handle, 'compute.vm.create', wish('ann-1'), key); // the acknowledgement was lost, say
    await publish(handle, 'compute.vm.create', wish('ann-other'), key);
    await publish(admin.user, 'compute.vm.create', wish('admin-1'), key);
    poison = randomUUID();
    await publish(handle, 'compute.vm.create', '{"name":', poison);
    await publish(handle, 'compute.cluster.create', { name: `${world.prefix}-no` }, randomUUID());
    await crash(world.lab, 'nats');
    startAgain(world.lab, 'nats');
    expect((await publish(handle, 'compute.vm.create', wish('ann-2'), lone)).stream).toBe('COMMANDS');
  }, 60_000);

  it('is carried out once when they return: two users with one key do not disturb each other, another body under it is refused', async () => {
    for (const name of services) startAgain(world.lab, name);
    await waitReady(world.lab);
    // Five of his, and one of the administrator under the same key: his role lets him see that too.
    const mine = (await outcomesOf(user, [key, lone, poison], 6)).filter(({ by }) => by === handle);
    expect(mine.filter((one) => one.key === key).map(({ name, code }) => `${name} ${code ?? ''}`).sort()).toEqual(
      ['gateway.command.accepted ', 'gateway.command.accepted ', 'gateway.command.refused IDEMPOTENCY_KEY_REUSED']);
    expect(new Set(mine.filter((one) => one.key === key && one.code === undefined).map(({ taskId }) => taskId)).size).toBe(1);
    expect(mine.find((one) => one.key === poison)).toMatchObject({ name: 'gateway.command.refused', code: 'BAD_JSON' });
    expect(mine.find((one) => one.key === lone)).toMatchObject({ name: 'gateway.command.accepted' });
    const all = await outcomesOf(world.rest, [key], 4);
    expect(all.filter(({ by }) => by === world.record.admin.user)).toHaveLength(1);
    await eventually('the VMs are made', async () => (await ownVms(world)).every(({ status }) => status.state === 'stopped'));
    expect(await named()).toEqual(['admin-1', 'ann-1', 'ann-2']);
  }, 120_000);

  it('leaves what was refused where it can be looked at, retried and forgotten', async () => {
    const letters = (await user.ask(listDeadLetters, {})).items;
    expect(letters.map(({ error }) => error.code).sort()).toEqual(['BAD_JSON', 'IDEMPOTENCY_KEY_REUSED', 'PERMISSION_DENIED']);
    for (const { id, error } of letters) expect(await user.ask(retryDeadLetter, { deadLetterId: id })).toMatchObject({ outcome: 'refused', error: { code: error.code } });
    for (const { id } of letters) await user.ask(deleteDeadLetter, { deadLetterId: id });
    expect((await user.ask(listDeadLetters, {})).items).toEqual([]);
  });
});

describe('published while the doors and the owner die again and again', () => {
  it('has one outcome and one effect each', async () => {
    const keys = Array.from({ length: 30 }, () => randomUUID());
    await Promise.all(keys.map((key, index) => publish(handle, 'compute.vm.create', wish(`many-${index}`), key)));
    for (const name of ['gateway', 'compute', 'gateway', 'mariadb', 'nats', 'gateway']) {
      await crash(world.lab, name);
      startAgain(world.lab, name);
      await eventually(`${name} works again`, async () => (await outcomes(user)).length > 0, { withinMs: 60_000 });
    }
    await waitReady(world.lab);
    const told = await outcomesOf(user, keys, keys.length);
    expect(told.map(({ name, key }) => `${name} ${String(key)}`).sort()).toEqual(keys.map((key) => `gateway.command.accepted ${key}`).sort());
    await eventually('the VMs are made', async () => (await ownVms(world)).every(({ status }) => status.state === 'stopped'), { withinMs: 120_000 });
    const failed = (await world.rest.ask(listTasks, { state: 'failed', limit: 500 })).items.filter(({ object }) => object.name?.includes('-many-'));
    expect(failed.map(({ object, error }) => `${object.name ?? ''}: ${JSON.stringify(error)}`)).toEqual([]);
    expect((await named()).filter((name) => name.startsWith('many-'))).toHaveLength(keys.length);
  }, 300_000);
});
