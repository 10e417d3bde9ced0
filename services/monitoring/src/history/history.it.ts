// The history of an object out of the log and the tasks view on the real database: order, pages, causes, changes, rights.
import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { vmHistory, type Actor, type EventEnvelope, type HistoryEntry, type Right, type Task } from '#contracts';
import { openDatabase, tasksMigrations, transaction } from '#database';
import { newUuid, orThrow } from '#kernel';
import { contextOf, makeTestSchema, type TestSchema } from '#testing';
import { monitoringTables } from '../../monitoring.definition.ts';
import { logEvents } from '../event/event.store.ts';
import { event, role, task, user, userId } from '../monitoring.fixture.ts';
import { keepScopes } from '../scope/scope.store.ts';
import { keepTasks } from '../task/task.store.ts';
import { HistoryHandlers } from './history.handlers.ts';

let schema: TestSchema;
let db: DataSource;
let handlers: HistoryHandlers;
beforeAll(async () => {
  schema = await makeTestSchema('history');
  db = await openDatabase({ url: schema.url, migrations: [...tasksMigrations, ...monitoringTables], name: 'history' });
  handlers = new HistoryHandlers(db);
});
beforeEach(async () => {
  for (const table of ['event_log', 'task_view', 'object_scope']) await db.query(`DELETE FROM ${table}`);
});
afterAll(async () => {
  await db.destroy();
  await schema.drop();
});

const START = Date.parse('2026-01-01T00:00:00.000Z');
const at = (second: number): string => new Date(START + second * 1_000).toISOString();
const told = (value: EventEnvelope): Promise<void> => transaction(db, async (tx) => {
  await logEvents(tx, [value]);
  await keepScopes(tx, [value]);
});
const keep = (value: Task): Promise<void> => transaction(db, (tx) => keepTasks(tx, [{ task: value, ownerId: null }]));
const changed = (vmId: string, second: number, vm: object, over: Partial<EventEnvelope> = {}): EventEnvelope => event({ objectId: vmId, at: at(second), data: { vm: { id: vmId, ...vm } }, ...over });
const ask = (vmId: string, over: object = {}, actor?: Actor) => handlers.vm(vmHistory.input.parse({ vmId, ...over }), contextOf(actor === undefined ? { system: true } : { actor }));
const read = async (vmId: string, over: object = {}): Promise<{ items: HistoryEntry[]; next: string | null }> => orThrow(await ask(vmId, over));

it('tells what happened and what was done, by whom, why and what it changed', async () => {
  const vmId = newUuid();
  const by = { userId: userId(), handle: 'ada' };
  const parent = task({ object: { noun: 'vm', id: vmId, name: 'web' }, createdAt: at(1), actor: by, kind: 'compute.vm.create', state: 'succeeded' });
  const child = task({ object: parent.object, createdAt: at(2), parentTaskId: parent.id });
  await keep(parent);
  await keep(child);
  await told(changed(vmId, 0, { name: 'web', status: { state: 'creating' } }, { name: 'compute.vm.created', actor: by }));
  await told(changed(vmId, 3, { name: 'web', status: { state: 'running' } }, { taskId: parent.id }));
  const { items, next } = await read(vmId);
  expect(next).toBeNull();
  expect(items.map(({ what, name }) => `${what} ${name}`)).toEqual(['event compute.vm.changed', 'task compute.vm.start', 'task compute.vm.create', 'event compute.vm.created']);
  expect(items[0]).toMatchObject({ cause: { taskId: parent.id, kind: 'compute.vm.create' }, changes: [{ field: 'status.state', from: 'creating', to: 'running' }] });
  expect(items[1]).toMatchObject({ taskId: child.id, cause: { taskId: parent.id, kind: 'compute.vm.create' } });
  expect(items[2]).toMatchObject({ taskId: parent.id, state: 'succeeded', actor: by, cause: null });
  expect(items[3]).toMatchObject({ actor: by, changes: [], taskId: null });
});

it('comes page by page, each entry once, and what changed is right across the edges of pages', async () => {
  const vmId = newUuid();
  for (let turn = 0; turn < 9; turn++) {
    await told(changed(vmId, turn, { turn }));
    await keep(task({ object: { noun: 'vm', id: vmId, name: null }, createdAt: at(turn) }));
    await told(changed(newUuid(), turn, {}));
  }
  const seen: HistoryEntry[] = [];
  for (let cursor: string | undefined; ;) {
    const page = await read(vmId, { limit: 4, cursor });
    seen.push(...page.items);
    if (page.next === null) break;
    cursor = page.next;
  }
  expect(seen.map((entry) => entry.at)).toEqual(Array.from({ length: 18 }, (_, index) => at(8 - Math.floor(index / 2))));
  expect(new Set(seen.map(({ taskId, globalSeq }) => taskId ?? globalSeq)).size).toBe(18);
  expect(seen.filter(({ what }) => what === 'event').map(({ changes }) => changes[0]?.to ?? null)).toEqual([8, 7, 6, 5, 4, 3, 2, 1, null]);
});

it('compares what one service told with what it told before, not with what another told in between', async () => {
  const hostId = newUuid();
  const host = (second: number, state: string): EventEnvelope => event({ noun: 'host', name: 'compute.host.changed', objectId: hostId, at: at(second), data: { host: { id: hostId, state } } });
  await told(host(0, 'joining'));
  await told(event({ source: 'ha', noun: 'host', name: 'ha.host.changed', objectId: hostId, at: at(1), data: { liveness: { hostId } } }));
  await told(host(2, 'connected'));
  const { items } = orThrow(await handlers.host({ hostId: hostId as never, limit: 1 }, contextOf({ system: true })));
  expect(items[0]?.changes).toEqual([{ field: 'state', from: 'joining', to: 'connected' }]);
});

it('is for those who may see the object where it is or was last, and not for others', async () => {
  const [owner, vmId, folderId] = [userId(), newUuid(), newUuid()];
  await told(changed(vmId, 0, { ownerId: owner, folderId }));
  await told(event({ objectId: vmId, name: 'compute.vm.deleted', at: at(1), data: { vmId, name: 'web' } }));
  const inFolder: Right = { permissions: ['vm.read'], scope: 'folder', scopeId: folderId };
  const code = async (actor: Actor, id = vmId): Promise<string> => {
    const answer = await ask(id, {}, actor);
    return answer.ok ? `${answer.value.items.length} entries` : answer.fault.code;
  };
  expect(await code(user(owner))).toBe('2 entries');
  expect(await code(user(userId(), [inFolder]))).toBe('2 entries');
  expect(await code(user(userId(), [{ ...inFolder, scopeId: newUuid(), below: [folderId] }]))).toBe('2 entries');
  expect(await code(user(userId(), [role('viewer')]))).toBe('2 entries');
  expect(await code(user(userId(), [{ ...inFolder, scopeId: newUuid() }]))).toBe('NOT_FOUND');
  expect(await code(user(userId(), [role('viewer')]), newUuid())).toBe('NOT_FOUND');
});

it('is asked of the right noun: the id of a VM is no host', async () => {
  const vmId = newUuid();
  await told(changed(vmId, 0, {}));
  expect(await handlers.host({ hostId: vmId as never, limit: 10 }, contextOf({ system: true }))).toMatchObject({ ok: false, fault: { code: 'NOT_FOUND' } });
});
