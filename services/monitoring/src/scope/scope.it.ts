// Who sees what: rights on folders and clusters decide about events and tasks of the objects in them, as they are filed
// now; and a log from before scopes were kept is brought up to them.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { cancelTask, getTask, listEvents, listTasks, type Actor, type EventEnvelope, type Permission, type Right } from '#contracts';
import { openDatabase, tasksMigrations, toJson, transaction } from '#database';
import { newUuid, ok, orThrow } from '#kernel';
import { contextOf, makeTestSchema, type TestSchema } from '#testing';
import { monitoringMigrations } from '../../migrations/0001-tables.ts';
import { monitoringTables } from '../../monitoring.definition.ts';
import { logEvents, purgeEvents, readLog } from '../event/event.store.ts';
import { event, task, user, userId } from '../monitoring.fixture.ts';
import { TaskReader } from '../task/task.reader.ts';
import { keepTasks, pageOfTasks } from '../task/task.store.ts';
import { TaskWaiters } from '../task/task.waiters.ts';
import { findScope, keepScopes, purgeScopes } from './scope.store.ts';

let schema: TestSchema;
let db: DataSource;
beforeAll(async () => {
  schema = await makeTestSchema('scopes');
  db = await openDatabase({ url: schema.url, migrations: [...tasksMigrations, ...monitoringTables], name: 'scopes' });
});
beforeEach(async () => {
  for (const table of ['event_log', 'task_view', 'object_scope']) await db.query(`DELETE FROM ${table}`);
});
afterAll(async () => {
  await db.destroy();
  await schema.drop();
});

const told = (value: EventEnvelope): Promise<void> => transaction(db, async (tx) => {
  await logEvents(tx, [value]);
  await keepScopes(tx, [value]);
});
const right = (scope: Right['scope'], scopeId: string, permissions: Permission[] = ['event.read', 'task.read']): Right => ({ permissions, scope, scopeId });
const holder = (...rights: Right[]): Actor => user(userId(), rights);
const vmEvent = (id: string, filed: object): EventEnvelope => event({ objectId: id, data: { vm: { id, ownerId: newUuid(), folderId: null, clusterId: null, ...filed } } });
const eventsFor = async (who: Actor, over: object = {}): Promise<string[]> => (await readLog(db, who, listEvents.input.parse(over))).items.map(({ objectId }) => objectId);
const tasksFor = async (who: Actor, over: object = {}): Promise<string[]> => orThrow(await pageOfTasks(db, who, listTasks.input.parse(over))).items.map(({ id }) => id);

describe('a right on a folder or a cluster', () => {
  it('shows events of the objects in it, of their tasks and of their ports, and no others', async () => {
    const [vmId, otherId, folderId, clusterId, taskId, portId] = Array.from({ length: 6 }, newUuid) as [string, string, string, string, string, string];
    await told(vmEvent(vmId, { folderId, clusterId }));
    await told(vmEvent(otherId, { folderId: newUuid(), clusterId: newUuid() }));
    await told(event({ noun: 'task', name: 'compute.task.changed', objectId: taskId, data: { task: { id: taskId, object: { noun: 'vm', id: vmId, name: null } }, ownerId: null } }));
    await told(event({ noun: 'port', name: 'network.port.changed', source: 'network', objectId: portId, data: { port: { id: portId, vmId, ownerId: null, folderId: null }, gone: false } }));
    await told(event({ name: 'compute.vm.deleted', objectId: vmId, data: { vmId, name: 'web' } }));
    const inIt = [vmId, taskId, portId, vmId];
    expect(await eventsFor(holder(right('folder', folderId)))).toEqual(inIt);
    expect(await eventsFor(holder({ ...right('folder', newUuid()), below: [folderId] }))).toEqual(inIt);
    expect(await eventsFor(holder(right('cluster', clusterId)))).toEqual(inIt);
    expect(await eventsFor(holder(right('object', vmId)))).toEqual(inIt);
    expect(await eventsFor(holder(right('folder', newUuid()), right('cluster', newUuid())))).toEqual([]);
    expect(await eventsFor(holder(right('folder', folderId, ['vm.read'])))).toEqual([]);
    expect(await eventsFor(holder(right('folder', folderId)), { latest: true, limit: 1 })).toEqual([vmId]);
  });

  it('shows tasks of the objects in it; to cancel them needs that right there too', async () => {
    const [vmId, folderId] = [newUuid(), newUuid()];
    await told(vmEvent(vmId, { folderId }));
    const inIt = task({ object: { noun: 'vm', id: vmId, name: null } });
    const elsewhere = task();
    for (const value of [inIt, elsewhere]) await transaction(db, (tx) => keepTasks(tx, [{ task: value, ownerId: null }]));
    expect(await tasksFor(holder(right('folder', folderId)))).toEqual([inIt.id]);
    const reader = new TaskReader(db, { request: () => Promise.resolve(ok({})) } as unknown as ConstructorParameters<typeof TaskReader>[1], new TaskWaiters());
    const codes = async (who: Actor, taskId: string): Promise<string[]> => {
      const ctx = contextOf({ actor: who });
      const answers = [await reader.get(getTask.input.parse({ taskId }), ctx), await reader.pass('cancel', cancelTask.input.parse({ taskId }), ctx)];
      return answers.map((answer) => (answer.ok ? 'OK' : answer.fault.code));
    };
    expect(await codes(holder(right('folder', folderId)), inIt.id)).toEqual(['OK', 'PERMISSION_DENIED']);
    expect(await codes(holder(right('folder', folderId, ['task.read', 'task.cancel'])), inIt.id)).toEqual(['OK', 'OK']);
    expect(await codes(holder(right('folder', folderId, ['task.read', 'task.cancel'])), elsewhere.id)).toEqual(['NOT_FOUND', 'NOT_FOUND']);
  });

  it('is kept of an object that is gone for as long as anything else of it is', async () => {
    const [vmId, livingId] = [newUuid(), newUuid()];
    const long = new Date(Date.now() - 200 * 86_400_000).toISOString();
    await told({ ...vmEvent(livingId, {}), at: long });
    await told({ ...vmEvent(vmId, {}), at: long });
    await told(event({ name: 'compute.vm.deleted', objectId: vmId, data: { vmId, name: 'web' }, at: long }));
    expect(await purgeScopes(db, 100)).toBe(0);
    expect(await purgeEvents(db, 100, { days: 90, most: 1_000, bytes: 1e12 })).toBe(3);
    await transaction(db, (tx) => keepTasks(tx, [{ task: task({ object: { noun: 'vm', id: vmId, name: null } }), ownerId: null }]));
    expect(await purgeScopes(db, 100)).toBe(0);
    await db.query('DELETE FROM task_view');
    expect(await purgeScopes(db, 100)).toBe(1);
    expect([await findScope(db, vmId), (await findScope(db, livingId))?.noun]).toEqual([undefined, 'vm']);
  });

  it('follows an object that moves: who has it now sees its past, who had it no longer', async () => {
    const [vmId, from, to] = [newUuid(), newUuid(), newUuid()];
    const [had, has] = [holder(right('folder', from)), holder(right('folder', to))];
    await told(vmEvent(vmId, { folderId: from }));
    expect([await eventsFor(had), await eventsFor(has)]).toEqual([[vmId], []]);
    await told(vmEvent(vmId, { folderId: to }));
    expect([await eventsFor(had), await eventsFor(has)]).toEqual([[], [vmId, vmId]]);
  });
});

it('a log from before gets its scopes: the last that each object was told to be in, and whose task or port it was', async () => {
  const old = await makeTestSchema('before_scopes');
  const before = await openDatabase({ url: old.url, migrations: [...tasksMigrations, ...monitoringMigrations], name: 'before_scopes' });
  const ids = { vm: newUuid(), owner: newUuid(), folder: newUuid(), cluster: newUuid(), host: newUuid(), task: newUuid(), port: newUuid(), group: newUuid(), tree: newUuid() };
  const log = [
    event({ objectId: ids.vm, data: { vm: { id: ids.vm, ownerId: ids.owner, folderId: newUuid(), clusterId: null } } }),
    event({ objectId: ids.vm, data: { vm: { id: ids.vm, ownerId: ids.owner, folderId: ids.folder, clusterId: null } } }),
    event({ objectId: ids.vm, name: 'compute.vm.deleted', data: { vmId: ids.vm } }),
    event({ objectId: ids.host, noun: 'host', name: 'compute.host.changed', data: { host: { id: ids.host, clusterId: ids.cluster } } }),
    event({ objectId: ids.task, noun: 'task', name: 'compute.task.changed', data: { task: { id: ids.task, object: { noun: 'vm', id: ids.vm, name: null } } } }),
    event({ objectId: ids.port, noun: 'port', name: 'network.port.changed', data: { port: { id: ids.port, vmId: ids.vm, folderId: null } } }),
    event({ objectId: ids.cluster, noun: 'cluster', name: 'compute.cluster.changed', data: { cluster: { id: ids.cluster } } }),
    event({ objectId: ids.tree, noun: 'folder', name: 'compute.folder.changed', data: { folder: { id: ids.tree } } }),
    event({ objectId: ids.group, noun: 'port-group', name: 'network.port-group.changed', data: { portGroup: { id: ids.group } } }),
  ];
  for (const [index, { id, source, name, objectId, at, ...rest }] of log.entries()) {
    await before.query('INSERT INTO event_log (global_seq, event_id, source, name, object_id, at, event) VALUES (?, ?, ?, ?, ?, ?, ?)', [index + 1, id, source, name, objectId, new Date(at), toJson({ id, source, name, objectId, at, ...rest })]);
  }
  await before.destroy();
  const after = await openDatabase({ url: old.url, migrations: [...tasksMigrations, ...monitoringTables], name: 'before_scopes' });
  const none = { ownerId: null, folderId: null, clusterId: null };
  expect(await findScope(after, ids.vm)).toEqual({ ...none, id: ids.vm, noun: 'vm', ownerId: ids.owner, folderId: ids.folder });
  expect(await findScope(after, ids.host)).toEqual({ ...none, id: ids.host, noun: 'host', clusterId: ids.cluster });
  expect(await findScope(after, ids.cluster)).toEqual({ ...none, id: ids.cluster, noun: 'cluster', clusterId: ids.cluster });
  expect(await findScope(after, ids.tree)).toEqual({ ...none, id: ids.tree, noun: 'folder', folderId: ids.tree });
  expect(await findScope(after, ids.group)).toEqual({ ...none, id: ids.group, noun: 'port-group' });
  const subjects: { subject_id: string }[] = await after.query('SELECT subject_id FROM event_log ORDER BY global_seq');
  expect(subjects.map(({ subject_id }) => subject_id)).toEqual([ids.vm, ids.vm, ids.vm, ids.host, ids.vm, ids.vm, ids.cluster, ids.tree, ids.group]);
  const gone: { object_id: string }[] = await after.query('SELECT object_id FROM object_scope WHERE gone_at IS NOT NULL');
  expect(gone).toEqual([{ object_id: ids.vm }]);
  await after.destroy();
  await old.drop();
});
