// The log as it is passed on: pages that say how far they reach, filters, the rule of who may see what in SQL and in memory,
// and what is kept by age, by number and by size.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { EventFilter, eventMatcher, listEvents, LoggedEvent, maySeeEvent, permissions, readEventLog, type Actor, type EventEnvelope, type Permission, type Right } from '#contracts';
import { openDatabase, tasksMigrations, transaction } from '#database';
import { newUuid } from '#kernel';
import { contextOf, makeTestSchema, type TestSchema } from '#testing';
import { monitoringTables } from '../../monitoring.definition.ts';
import { event, user, userId } from '../monitoring.fixture.ts';
import { keepScopes } from '../scope/scope.store.ts';
import { TaskWaiters } from '../task/task.waiters.ts';
import { EventReader, logNews } from './event.reader.ts';
import { logEvents, purgeEvents, reachOf, readEntries, readLog } from './event.store.ts';

let schema: TestSchema;
let db: DataSource;
beforeAll(async () => {
  schema = await makeTestSchema('eventlog');
  db = await openDatabase({ url: schema.url, migrations: [...tasksMigrations, ...monitoringTables], name: 'eventlog' });
});
beforeEach(async () => {
  for (const table of ['event_log', 'object_scope']) await db.query(`DELETE FROM ${table}`);
  await db.query('UPDATE event_sequence SET first_seq = last_seq + 1, kept_bytes = 0');
});
afterAll(async () => {
  await db.destroy();
  await schema.drop();
});

const told = (...events: EventEnvelope[]): Promise<void> => transaction(db, async (tx) => {
  for (const one of events) {
    await logEvents(tx, [one]);
    await keepScopes(tx, [one]);
  }
});
const wish = (after: number, over: { limit?: number; filter?: EventFilter } = {}) => ({ after, limit: 500, filter: {}, ...over });
const end = async (): Promise<number> => (await reachOf(db)).last;

describe('a page of the log', () => {
  it('holds the events as JSON with their numbers, and says how far it reaches', async () => {
    const before = await end();
    const events = Array.from({ length: 5 }, () => event());
    await told(...events);
    const page = await readEntries(db, 'system', wish(before, { limit: 3 }));
    expect(page.items.map(({ text }) => LoggedEvent.parse(JSON.parse(text)))).toEqual(events.slice(0, 3).map((one, index) => ({ ...one, globalSeq: before + index + 1 })));
    expect(page).toMatchObject({ position: before + 3, lastSeq: before + 5, firstSeq: before + 1 });
    expect((await readEntries(db, 'system', wish(before + 3, { limit: 3 }))).position).toBe(before + 5);
    expect((await readEntries(db, user(), wish(before))).position).toBe(before + 5);
  });

  it('ends where one message of the bus would get too large, and leaves out what alone is too much', async () => {
    const before = await end();
    const data = { text: 'x'.repeat(250 * 1024) };
    await told(event({ data }), event({ data }), event({ data }), event({ data: { text: 'x'.repeat(900 * 1024) } }));
    const first = await readEntries(db, 'system', wish(before));
    expect(first).toMatchObject({ position: before + 2, items: [{ globalSeq: before + 1 }, { globalSeq: before + 2 }] });
    const second = await readEntries(db, 'system', wish(first.position));
    expect(second.items.map(({ text }) => Object.keys(LoggedEvent.parse(JSON.parse(text)).data))).toEqual([['text'], []]);
    expect(second.position).toBe(before + 4);
  });

  it('holds what the filter asks for, as the filter in memory has it', async () => {
    const before = await end();
    const [vmId, taskId] = [newUuid(), newUuid()];
    await told(
      event({ objectId: vmId }), event({ name: 'compute.vm.deleted' }), event({ name: 'network.port.changed', noun: 'port', source: 'network', data: { port: { id: newUuid(), vmId } } }),
      event({ name: 'compute.task.changed', noun: 'task', objectId: taskId, data: { task: { id: taskId, object: { noun: 'vm', id: vmId } } } }), event({ name: 'storage.volume.changed', source: 'storage' }),
    );
    const all = (await readEntries(db, 'system', wish(before))).items;
    const filters: EventFilter[] = [
      {}, { names: ['compute.vm.changed'] }, { names: ['compute.*.*', 'storage.volume.changed'] }, { names: ['*.*.changed'] }, { objects: [vmId] }, { objects: [vmId, taskId], names: ['*.task.*'] }, { objects: [newUuid()] },
    ];
    const found: number[] = [];
    for (const filter of filters) {
      const { items, position } = await readEntries(db, 'system', wish(before, { filter }));
      expect(items.map(({ globalSeq }) => globalSeq)).toEqual(all.filter(eventMatcher(filter)).map(({ globalSeq }) => globalSeq));
      expect(position).toBe(before + 5);
      found.push(items.length);
    }
    expect(found).toEqual([5, 1, 4, 4, 3, 1, 0]);
  });

  it.each(['compute', 'compute.vm', 'compute.vm.changed.x', 'compute.%.changed', 'Compute.vm.*', ''])('takes no filter %j', (name) => {
    expect(EventFilter.safeParse({ names: [name] }).success).toBe(false);
  });

  it('shows to everybody in SQL what the same rule shows him in memory', async () => {
    const before = await end();
    const ids = Array.from({ length: 4 }, () => userId());
    const [vms, folders, clusters] = [0, 1, 2].map(() => Array.from({ length: 3 }, newUuid)) as [string[], string[], string[]];
    let dice = 7;
    const pick = <T>(from: readonly T[]): T => from[(dice = (dice * 48_271) % 2_147_483_647) % from.length]!;
    await told(...Array.from({ length: 120 }, () => {
      const id = pick(vms);
      const actor = pick([null, ...ids]);
      const source = pick(['compute', 'compute', 'auth']);
      return event({ source, name: source === 'auth' ? 'auth.user.changed' : 'compute.vm.changed', objectId: id, actor: actor === null ? null : { userId: actor, handle: 'x' }, data: { vm: { id, ownerId: pick([null, ...ids]), folderId: pick([null, ...folders]), clusterId: pick([null, ...clusters]) } } });
    }));
    const all = (await readEntries(db, 'system', wish(before))).items;
    const right = (scope: Right['scope'], scopeId: string | null, has: Permission[] = ['event.read']): Right => ({ permissions: has, scope, scopeId });
    const people: Actor[] = [
      ...ids.map((id) => user(id)), user(userId(), [right('site', null)]), user(userId(), [right('site', null, [...permissions])]), user(ids[0], [right('cluster', clusters[0]!), right('folder', folders[1]!)]),
      user(userId(), [{ ...right('folder', newUuid()), below: folders }]), user(userId(), [right('object', vms[0]!)]), user(ids[1], [right('cluster', clusters[0]!, ['vm.read'])]), user(ids[2], [right('site', null, ['user.read'])]),
    ];
    for (const who of people) {
      const { items } = await readEntries(db, who, wish(before));
      expect(items.map(({ globalSeq }) => globalSeq)).toEqual(all.filter((entry) => maySeeEvent(who, entry)).map(({ globalSeq }) => globalSeq));
    }
    expect(new Set(await Promise.all(people.map(async (who) => (await readEntries(db, who, wish(before))).items.length))).size).toBeGreaterThan(5);
  });
});

describe('whoever passes events on', () => {
  it('is told where the log ends, waits for the next one, and no longer than he asked', async () => {
    const waiters = new TaskWaiters();
    const read = (over: object) => new EventReader(db, waiters).read(readEventLog.input.parse(over), contextOf({ system: true }));
    const before = await end();
    expect(await read({})).toEqual({ items: [], position: before, lastSeq: before, firstSeq: before + 1 });
    const waiting = read({ after: before, waitMs: 9_000 });
    await told(event());
    waiters.wake(logNews);
    expect(await waiting).toMatchObject({ position: before + 1, items: [{ globalSeq: before + 1 }] });
    expect(await read({ after: before + 1, waitMs: 30 })).toMatchObject({ position: before + 1, items: [] });
  });
});

describe('retention', () => {
  const kept = { days: 90, most: 1_000_000, bytes: 1e12 };
  const first = async (): Promise<number> => (await reachOf(db)).first;

  it('is by size too, and the first number that is kept is known, also of an empty log', async () => {
    const before = await end();
    await told(...Array.from({ length: 10 }, () => event({ data: { text: 'x'.repeat(1_000) } })));
    const { bytes } = await reachOf(db);
    expect(bytes).toBeGreaterThan(10_000);
    expect(await purgeEvents(db, 500, { ...kept, bytes: Math.floor(bytes / 2) })).toBe(5);
    expect(await first()).toBe(before + 6);
    expect((await reachOf(db)).bytes).toBeLessThanOrEqual(bytes / 2);
    expect(await purgeEvents(db, 3, { ...kept, most: 0 })).toBe(3);
    expect(await purgeEvents(db, 3, { ...kept, most: 0 })).toBe(2);
    expect(await reachOf(db)).toEqual({ last: before + 10, first: before + 11, bytes: 0 });
  });

  it('leaves no gap behind the first that is kept, when an old event came late', async () => {
    const before = await end();
    await told(event(), event({ at: new Date(Date.now() - 100 * 86_400_000).toISOString() }), event());
    expect(await purgeEvents(db, 500, kept)).toBe(1);
    expect(await first()).toBe(before + 3);
  });

  it('is told to whoever comes too late, with what to list instead', async () => {
    const before = await end();
    await told(...Array.from({ length: 4 }, () => event()));
    await purgeEvents(db, 500, { ...kept, most: 2 });
    const list = (after: number) => readLog(db, 'system', listEvents.input.parse({ after }));
    const late = await list(before + 1);
    expect(late.items.map(({ globalSeq }) => globalSeq)).toEqual([before + 3, before + 4]);
    expect(late.gone).toMatchObject({ code: 'EVENTS_GONE', details: { after: before + 1, firstSeq: before + 3, lastSeq: before + 4, snapshot: expect.arrayContaining([{ operation: 'compute.vm.list', http: 'GET /v1/vms' }, { operation: 'monitoring.task.list', http: 'GET /v1/tasks' }]) } });
    expect(await list(before + 2)).not.toHaveProperty('gone');
    expect(await list(0)).not.toHaveProperty('gone');
  });
});
