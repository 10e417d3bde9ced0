// The log and the tasks view on the real database, with consumers side by side: order, gaps, duplicates, rights, pages,
// waiting and retention.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';
import type { BusContext } from '#bus';
import { getTask, listEvents, listTasks, type Actor, type EventEnvelope, type Task } from '#contracts';
import { openDatabase, tasksMigrations, transaction } from '#database';
import { FaultError, failed, newUuid, ok, orThrow } from '#kernel';
import { makeTestSchema, type TestSchema } from '#testing';
import { contextOf } from '#testing';
import { monitoringTables } from '../monitoring.definition.ts';
import { logEvents, purgeEvents, readLog } from './event/event.store.ts';
import { TaskReader } from './task/task.reader.ts';
import { findTask, keepTasks, pageOfTasks, purgeTasks } from './task/task.store.ts';
import { MOST_WAITERS, TaskWaiters } from './task/task.waiters.ts';
import { EventReader, logNews } from './event/event.reader.ts';
import { event, role, task, user, userId } from './monitoring.fixture.ts';

let schema: TestSchema;
let replicas: DataSource[];
let db: DataSource;
beforeAll(async () => {
  schema = await makeTestSchema('monitoring');
  const open = () => openDatabase({ url: schema.url, migrations: [...tasksMigrations, ...monitoringTables], name: 'monitoring' });
  replicas = [await open(), await open()];
  db = replicas[0]!;
});
beforeEach(async () => {
  for (const table of ['event_log', 'task_view', 'object_scope']) await db.query(`DELETE FROM ${table}`);
});
afterAll(async () => {
  for (const replica of replicas) await replica.destroy();
  await schema.drop();
});

const keep = (value: Task, ownerId: string | null = null, on = db) => transaction(on, (tx) => keepTasks(tx, [{ task: value, ownerId }]));
const log = (value: EventEnvelope, on = db) => transaction(on, (tx) => logEvents(tx, [value]));
const read = (who: Actor | 'system', over: object = {}) => readLog(db, who, listEvents.input.parse({ limit: 500, ...over }));

describe('the log', () => {
  it('numbers events of consumers side by side without gaps, each once', async () => {
    const events = Array.from({ length: 100 }, () => event());
    const { lastSeq } = await read('system');
    await Promise.all([...events, ...events].map((value, index) => log(value, replicas[index % 2])));
    const { items } = await read('system', { after: lastSeq });
    expect(items.map(({ globalSeq }) => globalSeq)).toEqual(Array.from({ length: 100 }, (_, index) => lastSeq + index + 1));
    expect(new Set(items.map(({ id }) => id))).toEqual(new Set(events.map(({ id }) => id)));
  }, 30_000);

  it('never shows a number before a lower one: a reader that follows misses nothing', async () => {
    let after = (await read('system')).lastSeq;
    const seen: string[] = [];
    const events = Array.from({ length: 60 }, () => event());
    const writing = Promise.all(events.map((value, index) => log(value, replicas[index % 2])));
    let done = false;
    void writing.then(() => { done = true; });
    for (let last = false; !last;) {
      last = done;
      const { items } = await read('system', { after });
      seen.push(...items.map(({ id }) => id));
      after = items.at(-1)?.globalSeq ?? after;
    }
    expect(new Set(seen)).toEqual(new Set(events.map(({ id }) => id)));
    expect(seen).toHaveLength(60);
  }, 30_000);

  it('shows own deeds and own objects, all to a viewer, and what happens to users to administrators alone', async () => {
    const [me, owner] = [userId(), userId()];
    const vmId = newUuid();
    await log(event({ name: 'compute.vm.created', objectId: vmId, actor: { userId: me, handle: 'me' }, data: { vm: { ownerId: owner } } }));
    await log(event({ name: 'compute.vm.deleted', objectId: vmId, data: { vmId, name: 'x' } }));
    await log(event({ source: 'auth', name: 'auth.user.created', noun: 'user', data: { user: {} } }));
    const names = async (who: Actor) => (await read(who)).items.map(({ name }) => name);
    expect(await names(user(me))).toEqual(['compute.vm.created']);
    expect(await names(user(owner))).toEqual(['compute.vm.created', 'compute.vm.deleted']);
    expect(await names(user())).toEqual([]);
    expect(await names(user(userId(), [role('viewer')]))).toEqual(['compute.vm.created', 'compute.vm.deleted']);
    expect(await names(user(userId(), [role('administrator')]))).toHaveLength(3);
    expect((await read('system', { latest: true, limit: 1 })).items).toMatchObject([{ name: 'auth.user.created' }]);
  });

  it('loses what is too old or too much, the oldest first, a part at a time', async () => {
    for (let count = 0; count < 6; count++) await log(event());
    await log(event({ at: new Date(Date.now() - 100 * 86_400_000).toISOString() }));
    const kept = { days: 90, most: 1_000_000, bytes: 1e12 };
    expect(await purgeEvents(db, 500, kept)).toBe(1);
    const before = (await read('system')).items.map(({ globalSeq }) => globalSeq);
    const { lastSeq } = await read('system');
    expect(await purgeEvents(db, 2, { ...kept, most: lastSeq - before[3]! })).toBe(2);
    expect(await purgeEvents(db, 500, { ...kept, most: lastSeq - before[3]! })).toBe(2);
    expect((await read('system')).items.map(({ globalSeq }) => globalSeq)).toEqual(before.slice(4));
  });
});

describe('the tasks view', () => {
  it('keeps the highest version, whatever comes when', async () => {
    const value = task();
    await Promise.all([3, 1, 5, 2, 4].map((version, index) => keep({ ...value, version }, null, replicas[index % 2])));
    expect((await findTask(db, value.id))?.task.version).toBe(5);
    await keep({ ...value, version: 5, kind: 'another', state: 'failed' });
    expect((await findTask(db, value.id))?.task).toMatchObject({ version: 5, kind: value.kind, state: value.state });
  });

  it('takes many at once: the highest version of each', async () => {
    const [known, fresh] = [task(), task()];
    await keep({ ...known, version: 3 });
    const told = (value: Task, version: number): { task: Task; ownerId: null } => ({ task: { ...value, version }, ownerId: null });
    await transaction(db, (tx) => keepTasks(tx, [told(known, 2), told(fresh, 1), told(fresh, 7), told(fresh, 6), told(known, 4)]));
    expect([(await findTask(db, known.id))?.task.version, (await findTask(db, fresh.id))?.task.version]).toEqual([4, 7]);
  });

  it('is read page by page over ten thousand tasks, newest first, each once', async () => {
    const at = Date.now();
    const rowOf = (index: number): unknown[] => {
      const value = task({ createdAt: new Date(at + Math.floor(index / 3)).toISOString() });
      return [value.id, new Date(value.createdAt), JSON.stringify(value)];
    };
    for (let part = 0; part < 10; part++) {
      const rows = Array.from({ length: 1000 }, (_, index) => rowOf(part * 1000 + index));
      await db.query(`INSERT INTO task_view (id, service, kind, object_id, state, is_open, is_top, version, created_at, task)
        VALUES ${rows.map(() => "(?, 'compute', 'k', 'o', 'running', 1, 1, 1, ?, ?)").join(', ')}`, rows.flat());
    }
    const seen: Task[] = [];
    for (let cursor: string | undefined; ;) {
      const page = orThrow(await pageOfTasks(db, 'system', listTasks.input.parse({ limit: 500, cursor })));
      seen.push(...page.items);
      if (page.next === null) break;
      cursor = page.next;
    }
    expect(new Set(seen.map(({ id }) => id)).size).toBe(10_000);
    expect(seen).toHaveLength(10_000);
    expect(seen.map(({ createdAt }) => createdAt)).toEqual(seen.map(({ createdAt }) => createdAt).sort().reverse());
  }, 60_000);

  it('loses tasks that ended too long ago or are too many, but none that needs attention, is open, or ended in the last week', async () => {
    const days = (count: number): string => new Date(Date.now() - count * 86_400_000).toISOString();
    const ended = (over: Partial<Task>) => keep(task({ state: 'succeeded', endedAt: over.createdAt ?? days(0), ...over }));
    const left = async (): Promise<(string | null)[]> => orThrow(await pageOfTasks(db, 'system', listTasks.input.parse({}))).items.map(({ object }) => object.name);
    const of = (name: string) => ({ noun: 'vm', id: newUuid(), name });
    for (const index of [1, 2, 3]) await ended({ object: of(`old ${index}`), createdAt: days(100) });
    await ended({ object: of('old, ended lately'), createdAt: days(100), endedAt: days(1) });
    await ended({ object: of('needs attention'), createdAt: days(100), state: 'needs-attention' });
    await keep(task({ object: of('open'), createdAt: days(100) }));
    for (const age of [40, 30, 2, 1]) await ended({ object: of(`${age} days`), createdAt: days(age) });
    const kept = { days: 90, most: 1_000_000 };
    expect([await purgeTasks(db, 2, kept), await purgeTasks(db, 500, kept), await purgeTasks(db, 500, kept)]).toEqual([2, 1, 0]);
    expect((await left()).sort()).toEqual(['1 days', '2 days', '30 days', '40 days', 'needs attention', 'old, ended lately', 'open']);
    expect(await purgeTasks(db, 500, { ...kept, most: 1 })).toBe(3);
    expect((await left()).sort()).toEqual(['1 days', '2 days', 'needs attention', 'open']);
  });

  it('lists own tasks and those of own objects, children only when asked for', async () => {
    const [actor, owner] = [userId(), userId()];
    const mine = task({ actor: { userId: actor, handle: 'a' } });
    await keep(mine, owner);
    await keep(task({ parentTaskId: mine.id, actor: { userId: actor, handle: 'a' } }), owner);
    const count = async (who: Actor, over = {}) => orThrow(await pageOfTasks(db, who, listTasks.input.parse(over))).items.length;
    expect([await count(user(actor)), await count(user(owner)), await count(user()), await count(user(userId(), [role('viewer')]))]).toEqual([1, 1, 0, 1]);
    expect(await count(user(owner), { top: 'false' })).toBe(2);
  });
});

describe('whoever follows the log', () => {
  const waiters = new TaskWaiters();
  const follow = (who: Actor, over: object) => new EventReader(db, waiters).list(listEvents.input.parse(over), contextOf({ actor: who }));

  it('waits for the next event that he may see, whatever else goes on, and no longer than he asked', async () => {
    const me = userId();
    const { lastSeq } = await read('system');
    const waiting = follow(user(me), { after: lastSeq, waitMs: 9_000 });
    await log(event({ name: 'compute.vm.created', data: { vm: { ownerId: userId() } } }));
    waiters.wake(logNews);
    const mine = event({ name: 'compute.vm.created', actor: { userId: me, handle: 'me' } });
    await log(mine, replicas[1]);
    waiters.wake(logNews);
    const page = await waiting;
    expect(page.items).toMatchObject([{ id: mine.id, globalSeq: lastSeq + 2 }]);
    expect(await follow(user(me), { after: lastSeq + 2, waitMs: 50 })).toMatchObject({ items: [], lastSeq: lastSeq + 2 });
    expect((await follow(user(me), { after: lastSeq, waitMs: 25_000 })).items).toHaveLength(1);
  });

  it('is not shown the past anew when he is ahead of the log', async () => {
    const me = userId();
    await log(event({ actor: { userId: me, handle: 'me' } }));
    expect((await follow(user(me), { after: 999_999, waitMs: 50 })).items).toEqual([]);
  });
});

describe('one task', () => {
  const waiters = new TaskWaiters();
  const answering = (answer: (operation: string) => unknown) => new TaskReader(db,
    { request: ((operation: { name: string }) => Promise.resolve(answer(operation.name))) } as unknown as ConstructorParameters<typeof TaskReader>[1], waiters);
  let nobody: TaskReader;
  beforeAll(() => { nobody = answering(() => failed({ code: 'NOT_FOUND', detail: '' })); });
  const ask = (reader: TaskReader, id: string, over: object = {}, ctx: BusContext = contextOf({ system: true })) => reader.get(getTask.input.parse({ taskId: id, ...over }), ctx);

  it('is found at its owner while its first event is on its way; an owner that is silent does not mean that it is not there', async () => {
    const value = task();
    const found = answering((name) => (name === 'compute.task.get' ? ok(value) : failed({ code: 'UNAVAILABLE', detail: '' })));
    expect(orThrow(await ask(found, value.id)).id).toBe(value.id);
    // Nor is one waited for that hangs.
    const hanging = answering((name) => (name === 'compute.task.get' ? ok(value) : new Promise(() => undefined)));
    expect(orThrow(await ask(hanging, value.id)).id).toBe(value.id);
    expect(await ask(nobody, value.id)).toMatchObject({ ok: false, fault: { code: 'NOT_FOUND' } });
    await expect(ask(answering((name) => failed({ code: name.startsWith('storage') ? 'UNAVAILABLE' : 'NOT_FOUND', detail: '' })), value.id)).rejects.toThrow(FaultError);
  });

  it('is waited for while its owner is away: one who waits hears of it as soon as the view knows, and of the owner when his time is over', async () => {
    const value = task();
    const away = answering((name) => failed({ code: name.startsWith('compute') ? 'UNAVAILABLE' : 'NOT_FOUND', detail: '' }));
    const waiting = ask(away, value.id, { waitMs: 9_000 });
    await expect(ask(away, value.id, { waitMs: 50 })).rejects.toThrow(FaultError);
    await keep({ ...value, state: 'succeeded' });
    waiters.wake(value.id);
    expect(orThrow(await waiting).state).toBe('succeeded');
  });

  it('answers a waiter with the next version, at its end at once, and when the time is over', async () => {
    const value = task();
    await keep(value);
    const waiting = ask(nobody, value.id, { waitMs: 9_000, afterVersion: 1 });
    await keep({ ...value, version: 2 }, null, replicas[1]);
    waiters.wake(value.id);
    expect(orThrow(await waiting).version).toBe(2);
    expect(orThrow(await ask(nobody, value.id, { waitMs: 50, afterVersion: 2 })).version).toBe(2);
    await keep({ ...value, version: 3, state: 'succeeded' });
    expect(orThrow(await ask(nobody, value.id, { waitMs: 25_000, afterVersion: 3 })).state).toBe('succeeded');
    expect(orThrow(await ask(nobody, value.id, { waitMs: 25_000 })).state).toBe('succeeded');
  });

  it('says what place it has now in a queue, as its owner knows it, and what the view knows when the owner is silent', async () => {
    const waitsFor = { what: 'a worker of compute', holder: null, position: 7, since: '2026-01-01T00:00:00.000Z' };
    const value = task({ state: 'queued' });
    await keep(value);
    expect(orThrow(await ask(answering((name) => (name === 'compute.task.get' ? ok({ ...value, waitsFor }) : failed({ code: 'NOT_FOUND', detail: '' }))), value.id)).waitsFor).toEqual(waitsFor);
    expect(orThrow(await ask(answering(() => failed({ code: 'UNAVAILABLE', detail: '' })), value.id)).waitsFor).toBeNull();
    // An owner whose copy is older, such as one that was asked before its commit, changes nothing.
    await keep({ ...value, version: 3 });
    expect(orThrow(await ask(answering(() => ok({ ...value, waitsFor })), value.id)).waitsFor).toBeNull();
  });

  it('ends the wait of a caller that has gone, and keeps room for requests that do not wait', async () => {
    const value = task();
    await keep(value);
    const gone = new AbortController();
    const ctx = contextOf({ system: true, signal: gone.signal });
    const waiting = Array.from({ length: MOST_WAITERS }, () => ask(nobody, value.id, { waitMs: 9_000 }, ctx));
    for (let turn = 0; waiters.hasRoom; turn++) {
      if (turn > 1_000) throw new Error('they do not wait');
      await new Promise((resolve) => { setTimeout(resolve, 5); });
    }
    expect(orThrow(await ask(nobody, value.id, { waitMs: 9_000 })).version).toBe(1);
    gone.abort();
    expect(await Promise.all(waiting)).toHaveLength(MOST_WAITERS);
    expect(waiters.hasRoom).toBe(true);
  });

  it('is for its actor, its object’s owner and those with the right; cancelling needs more than reading', async () => {
    const [actor, owner] = [userId(), userId()];
    const value = task({ actor: { userId: actor, handle: 'a' } });
    await keep(value, owner);
    const reader = answering(() => ok({}));
    const codes = async (who: Actor) => {
      const ctx = contextOf({ actor: who });
      const answers = [await ask(reader, value.id, {}, ctx), await reader.pass('cancel', { taskId: value.id }, ctx)];
      return answers.map((answer) => (answer.ok ? 'OK' : answer.fault.code));
    };
    expect(await codes(user(actor))).toEqual(['OK', 'OK']);
    expect(await codes(user(owner))).toEqual(['OK', 'OK']);
    expect(await codes(user(userId(), [role('viewer')]))).toEqual(['OK', 'PERMISSION_DENIED']);
    expect(await codes(user())).toEqual(['NOT_FOUND', 'NOT_FOUND']);
  });
});
