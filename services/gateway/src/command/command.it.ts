// Published commands on a real JetStream and a real database, before services that the test plays.
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstreamManager } from '@nats-io/jetstream';
import mysql from 'mysql2/promise';
import type { BusContext, PublishedCommand } from '#bus';
import { COMMANDS_STREAM, silentLog } from '#bus';
import { NotFound, PermissionDenied, Unavailable } from '#contracts';
import type { Actor, BusCommandId } from '#contracts';
import { openDatabase } from '#database';
import { newUuid, ok, orThrow } from '#kernel';
import { until } from '#testing';
import { GatewayUnderTest, people } from '../gateway.fixture.ts';
import { SharedGates } from '../rest/admission.ts';
import { takeCommand } from './commands.door.ts';
import { DeadLetterCommands } from './dead-letter.commands.ts';
import { UserCommands } from './user-commands.client.ts';

let under: GatewayUnderTest;
let sql: mysql.Connection;
const vmId = newUuid();

beforeAll(async () => {
  under = await GatewayUnderTest.start();
  sql = await mysql.createConnection({ uri: under.schema.url, timezone: 'Z' });
  await under.takesCommands();
});
afterAll(async () => {
  await sql.end();
  await under.end();
});
afterEach(async () => {
  under.asked.length = 0;
  under.withdrawn.clear();
  await sql.query('DELETE FROM dead_letter');
});

interface Told { name: string; actor: { handle: string } | null; data: Record<string, unknown> }

async function told(key: string | null): Promise<Told[]> {
  const [rows] = await sql.query<mysql.RowDataPacket[]>('SELECT event FROM outbox ORDER BY id');
  return rows.map(({ event }) => (typeof event === 'string' ? JSON.parse(event) : event) as Told).filter(({ data }) => data['idempotencyKey'] === key);
}
const outcome = async (key: string | null): Promise<Told[]> => {
  await until('its outcome', async () => (await told(key)).length > 0);
  return told(key);
};
const waiting = async (): Promise<number> => (await (await jetstreamManager(under.nats)).streams.info(COMMANDS_STREAM)).state.messages;
const letters = () => under.get(DeadLetterCommands);
const as = (actor: Actor): BusContext => ({ actor, system: false, idempotencyKey: newUuid() }) as BusContext;

describe('a published command', () => {
  it('is carried out as its user, under his key, and he is told', async () => {
    const ref = { taskId: newUuid(), objectId: vmId };
    under.play('compute.vm.start', () => ok(ref));
    await under.publish('ann', 'compute.vm.start', { vmId }, 'first');
    expect(await outcome('first')).toMatchObject([{ name: 'gateway.command.accepted', actor: { handle: 'ann' }, data: { operation: 'compute.vm.start', ...ref } }]);
    expect(under.questions('compute.vm.start')).toMatchObject([{ input: { vmId }, actor: 'actor-of-ann', key: 'first' }]);
    await until('the stream is empty', async () => (await waiting()) === 0);
  });

  it('that comes while no gateway runs waits for the next one', async () => {
    under.play('compute.vm.stop', () => ok({ taskId: newUuid(), objectId: vmId }));
    await under.stop();
    for (const key of ['night-1', 'night-2', 'night-3']) await under.publish('ann', 'compute.vm.stop', { vmId }, key);
    expect([await waiting(), under.questions('compute.vm.stop')]).toEqual([3, []]);
    await under.startService();
    for (const key of ['night-1', 'night-2', 'night-3']) expect(await outcome(key)).toHaveLength(1);
    expect(under.questions('compute.vm.stop').map(({ key }) => key).sort()).toEqual(['night-1', 'night-2', 'night-3']);
  });

  it('waits for its owner to come back, and holds up nobody else', async () => {
    let away = true;
    under.play('compute.vm.start', () => (away ? Unavailable.fail('away', { service: 'compute' }) : ok({ taskId: newUuid(), objectId: vmId })));
    under.play('compute.vm.stop', () => ok({ taskId: newUuid(), objectId: vmId }));
    await under.publish('ann', 'compute.vm.start', { vmId }, 'patient');
    await under.publish('ann', 'compute.vm.stop', { vmId }, 'overtakes');
    expect(await outcome('overtakes')).toHaveLength(1);
    await until('three tries', () => under.questions('compute.vm.start').length >= 3);
    expect([await told('patient'), await waiting()]).toEqual([[], 1]);
    away = false;
    expect(await outcome('patient')).toMatchObject([{ name: 'gateway.command.accepted' }]);
    expect(new Set(under.questions('compute.vm.start').map(({ key }) => key))).toEqual(new Set(['patient']));
  });

  it('about an object comes behind those published before it, however long they take', async () => {
    const seen: string[] = [];
    under.play('compute.vm.start', async ({ key }) => {
      seen.push(`${key} begins`);
      await new Promise((resolve) => { setImmediate(resolve); });
      seen.push(`${key} ends`);
      return ok({ taskId: newUuid(), objectId: vmId });
    });
    const keys = ['o1', 'o2', 'o3', 'o4'];
    for (const key of keys) await under.publish('ann', 'compute.vm.start', { vmId }, key);
    await outcome('o4');
    expect(seen).toEqual(keys.flatMap((key) => [`${key} begins`, `${key} ends`]));
  });

  it.each<[string, string, string, unknown, string | null, string]>([
    ['has no key', 'ann', 'compute.vm.start', { vmId }, null, 'INVALID_ARGUMENT'],
    ['has a key that is too long', 'ann', 'compute.vm.start', { vmId }, 'k'.repeat(129), 'INVALID_ARGUMENT'],
    ['is no JSON', 'ann', 'compute.vm.start', '{', 'k1', 'BAD_JSON'],
    ['is no text', 'ann', 'compute.vm.start', Uint8Array.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 'k8', 'BAD_JSON'],
    ['nests without end', 'ann', 'compute.vm.start', `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, 'k9', 'BAD_JSON'],
    ['names nothing at great length', 'ann', `no.such.${'x'.repeat(1_000)}`, {}, 'k10', 'UNKNOWN_OPERATION'],
    ['is no object', 'ann', 'compute.vm.start', '[]', 'k2', 'INVALID_ARGUMENT'],
    ['names nothing', 'ann', 'no.such.thing', {}, 'k3', 'UNKNOWN_OPERATION'],
    ['asks a question', 'ann', 'compute.vm.list', {}, 'k4', 'INVALID_ARGUMENT'],
    ['lacks the right', 'eve', 'compute.cluster.create', { name: 'x' }, 'k5', 'PERMISSION_DENIED'],
    ['is of nobody', 'nobody', 'compute.vm.start', { vmId }, 'k6', 'UNAUTHENTICATED'],
    ['holds a secret', 'ann', 'auth.user.create', { handle: 'x', password: 'not to be kept' }, 'k7', 'INVALID_ARGUMENT'],
  ])('that %s is refused where everybody can see it, and the one behind it goes on', async (_, handle, operation, body, key, code) => {
    under.play('compute.vm.stop', () => ok({ taskId: newUuid(), objectId: vmId }));
    await under.publish(handle, operation, body, key);
    const behind = newUuid();
    await under.publish('ann', 'compute.vm.stop', { vmId }, behind);
    expect(await outcome(behind)).toMatchObject([{ name: 'gateway.command.accepted' }]);
    const told = { operation: operation.slice(0, 255), idempotencyKey: key !== null && key.length > 128 ? null : key };
    const refused = await until('its refusal', async () => (await outcome(told.idempotencyKey)).findLast(({ data }) => data['operation'] === told.operation));
    expect(refused).toMatchObject({ name: 'gateway.command.refused', data: { ...told, error: { code } } });
    const [letter] = orThrow(await letters().list({ limit: 10 }, as(people.ann))).items;
    expect(letter).toMatchObject({ user: handle, ...told, tries: 1, error: { code } });
    expect(orThrow(await letters().retry({ deadLetterId: letter!.id }, as(people.ann)))).toMatchObject({ outcome: 'refused', error: { code } });
    expect(under.questions('compute.vm.start')).toEqual([]);
    const [rows] = await sql.query<mysql.RowDataPacket[]>("SELECT id FROM dead_letter WHERE body LIKE '%not to be kept%'");
    expect(rows).toEqual([]);
  });

  it('that is delivered again after its end is known has one outcome and asks nobody', async () => {
    const db = await openDatabase({ url: under.schema.url, migrations: [], name: 'gateway' });
    try {
      let carried = 0;
      const commands = { carryOut: () => { carried += 1; return Promise.resolve({ caller: undefined, traceId: '0'.repeat(32), answer: ok({ taskId: newUuid() }) }); } };
      const desk = { db, log: silentLog, commands, numbers: { served: () => undefined }, lettersKept: 1_000 };
      const command: PublishedCommand = { subject: 'tok.v1.user.ann.cmd.compute.vm.start', body: new TextEncoder().encode('{}'), seq: 4_711, publishedAt: Date.now(), deliveries: 1, idempotencyKey: 'twice', traceparent: '', dryRun: '' };
      // Killed before the acknowledgement; and taken by two at once, because one was believed dead.
      expect(await Promise.all([takeCommand(desk, command), takeCommand(desk, command)])).toEqual(['done', 'done']);
      expect(await takeCommand(desk, { ...command, deliveries: 2 })).toBe('done');
      expect([carried, await told('twice')]).toMatchObject([2, [{ name: 'gateway.command.accepted' }]]);
    } finally {
      await db.destroy();
    }
  });

  it('that we stumble over ten times is refused too, and not delivered for ever', async () => {
    const db = await openDatabase({ url: under.schema.url, migrations: [], name: 'gateway' });
    try {
      const commands = new UserCommands({ request: () => { throw new Error('a bug'); } }, { ...under.get<SharedGates>(SharedGates), closing: () => false });
      const desk = { db, log: silentLog, commands, numbers: { served: () => undefined }, lettersKept: 1_000 };
      const command = (deliveries: number): PublishedCommand => ({ subject: 'tok.v1.user.ann.cmd.compute.vm.start', body: Buffer.from(JSON.stringify({ vmId })), seq: 4_712, publishedAt: Date.now(), deliveries, idempotencyKey: 'bug', traceparent: '', dryRun: '' });
      expect(await takeCommand(desk, command(1))).toBeGreaterThan(0);
      expect(await takeCommand(desk, command(10))).toBe('done');
      expect(await told('bug')).toMatchObject([{ name: 'gateway.command.refused', data: { error: { code: 'INTERNAL' } } }]);
    } finally {
      await db.destroy();
    }
  });
});

describe('a dead letter', () => {
  async function dead(handle: 'ann' | 'eve' = 'ann'): Promise<BusCommandId> {
    under.play('compute.vm.start', () => (handle === 'ann' ? NotFound.fail('no such VM', { noun: 'vm', id: vmId }) : PermissionDenied.fail('no', { permission: 'vm.power' })));
    const key = newUuid();
    await under.publish(handle, 'compute.vm.start', { vmId }, key);
    await outcome(key);
    return orThrow(await letters().list({ limit: 10 }, as(people.ann))).items[0]!.id;
  }

  it('is shown with its body, to its user and to whoever may read users', async () => {
    const [mine, others] = [await dead('ann'), await dead('eve')];
    expect(orThrow(await letters().get({ deadLetterId: mine }, as(people.ann)))).toMatchObject({ id: mine, user: 'ann', body: JSON.stringify({ vmId }), error: { code: 'NOT_FOUND' } });
    expect((await letters().get({ deadLetterId: mine }, as(people.eve))).ok).toBe(false);
    expect(orThrow(await letters().list({ limit: 10 }, as(people.eve))).items.map(({ id }) => id)).toEqual([others]);
    expect(orThrow(await letters().list({ limit: 10, user: 'ann' }, as(people.ann))).items.map(({ id }) => id)).toEqual([mine]);
  });

  it('is carried out after all, as its user, under its key, whoever asks for it', async () => {
    const id = await dead();
    const key = under.questions('compute.vm.start')[0]!.key;
    expect(orThrow(await letters().retry({ deadLetterId: id }, as(people.may)))).toMatchObject({ outcome: 'refused', error: { code: 'NOT_FOUND' } });
    expect(orThrow(await letters().get({ deadLetterId: id }, as(people.ann)))).toMatchObject({ tries: 2 });
    const ref = { taskId: newUuid(), objectId: vmId };
    under.play('compute.vm.start', () => ok(ref));
    expect(orThrow(await letters().retry({ deadLetterId: id }, as(people.may)))).toEqual({ outcome: 'accepted', ...ref, error: null });
    expect(new Set(under.questions('compute.vm.start').map((asked) => `${asked.actor} ${asked.key}`))).toEqual(new Set([`actor-of-ann ${key}`]));
    expect(await letters().get({ deadLetterId: id }, as(people.ann))).toMatchObject({ ok: false, fault: { code: 'NOT_FOUND' } });
    expect((await told(key)).map(({ name }) => name)).toEqual(['gateway.command.refused', 'gateway.command.refused', 'gateway.command.accepted']);
  });

  it('that asked for a dry run is never carried out in earnest', async () => {
    await under.publish('ann', 'compute.vm.start', { vmId }, 'dry', { 'Tok-Dry-Run': 'true' });
    expect(await outcome('dry')).toMatchObject([{ name: 'gateway.command.refused', data: { error: { code: 'INVALID_ARGUMENT' } } }]);
    const [letter] = orThrow(await letters().list({ limit: 10 }, as(people.ann))).items;
    expect(orThrow(await letters().retry({ deadLetterId: letter!.id }, as(people.ann)))).toMatchObject({ outcome: 'refused', error: { code: 'INVALID_ARGUMENT' } });
    expect(under.questions('compute.vm.start')).toEqual([]);
  });

  it('stays as it is when the owner cannot be asked', async () => {
    const id = await dead();
    under.play('compute.vm.start', () => Unavailable.fail('away', { service: 'compute' }));
    expect(await letters().retry({ deadLetterId: id }, as(people.ann))).toMatchObject({ ok: false, fault: { code: 'UNAVAILABLE' } });
    expect(orThrow(await letters().get({ deadLetterId: id }, as(people.ann)))).toMatchObject({ tries: 1, error: { code: 'NOT_FOUND' } });
  });

  it('is forgotten by its user, not by others', async () => {
    const id = await dead();
    expect(await letters().delete({ deadLetterId: id }, as(people.eve))).toMatchObject({ ok: false, fault: { code: 'NOT_FOUND' } });
    expect(await letters().delete({ deadLetterId: id }, as(people.ann))).toEqual(ok({}));
    expect(orThrow(await letters().list({ limit: 10 }, as(people.ann))).items).toEqual([]);
  });
});
