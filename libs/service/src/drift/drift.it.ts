// The keeper of findings on the real database, with a world that a test changes: two looks, tasks in between, deaths in the middle
// of a repair, people who decide otherwise.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { HostCommandFailed, InUse, type Difference, type DriftFinding, type FindingId, type UserId } from '#contracts';
import { driftMigrations, openDatabase, selectRows, tasksMigrations } from '#database';
import { failed, FaultError, newUuid, ok, type Result } from '#kernel';
import { contextOf, makeTestSchema, silentTaskLog, type TestSchema } from '#testing';
import { DriftCommands } from './drift.commands.ts';
import { DriftKeeper, type DriftSettings } from './drift.keeper.ts';
import { findingOf, type FindingRow } from './finding.store.ts';
import type { DriftSource } from './source.ts';
import { taskDrift } from './task.drift.ts';

let schema: TestSchema;
let db: DataSource;
/** What is there: each look sees it. */
const world = new Map<string, Difference>();
let population = 0;
let answers = true;
/** What a repair, a quarantine or a release comes to, before its effect on the world. */
let outcome: (what: string, id: string) => Result<unknown> | Promise<Result<unknown>> = () => ok({});
const done: string[] = [];

beforeAll(async () => {
  schema = await makeTestSchema('drift');
  db = await openDatabase({ url: schema.url, migrations: [...tasksMigrations, ...driftMigrations], name: 'drift' });
});
beforeEach(async () => {
  for (const table of ['drift_finding', 'outbox', 'task', 'task_lock', 'relay_lease', 'task_command']) await db.query(`DELETE FROM ${table}`);
  world.clear();
  [population, answers, outcome] = [0, true, () => ok({})];
  done.length = 0;
});
afterAll(async () => {
  await db.destroy();
  await schema.drop();
});

const act = (what: string) => async ({ object }: DriftFinding): Promise<Result<unknown>> => {
  const came = await outcome(what, object.id);
  if (!came.ok) return came;
  done.push(`${what} ${object.id}`);
  if (what === 'repair') world.delete(object.id);
  return came;
};
const source: DriftSource = {
  name: 'test',
  look: () => Promise.resolve(answers ? [{ scope: 'here', population, differences: [...world.values()] }] : []),
  repair: { 'port-stray': act('repair'), 'file-unknown': act('repair') },
  keep: { 'file-unknown': act('keep') },
  release: { 'file-unknown': act('release') },
};
const keeper = (over: Partial<DriftSettings> = {}, sources = [source]): DriftKeeper => {
  const made = new DriftKeeper({ service: 'network', db, log: silentTaskLog, settings: { everyMs: 1_000, keepDays: 30, acts: true, ...over } });
  made.use(sources);
  return made;
};
const handOf = (by: DriftKeeper): DriftCommands => new DriftCommands(by);
const looks = async (by: DriftKeeper, times = 1): Promise<void> => { for (let time = 0; time < times; time++) await by.look(new AbortController().signal); };
const findings = async () => (await selectRows<FindingRow>(db, 'SELECT * FROM drift_finding ORDER BY object_id')).map((row) => findingOf('network', row));
const states = async () => (await findings()).map(({ object, state }) => `${object.id} ${state}`);
const told = async (name: string) => (await selectRows<{ event: string }>(db, 'SELECT event FROM outbox WHERE subject LIKE ? ORDER BY id', [`%.${name}.%`])).map(({ event }) => JSON.parse(event) as { data: Record<string, unknown>; actor: unknown });
const stray = (objectId: string, over: Partial<Difference> = {}): Difference => ({ kind: 'port-stray', objectId, text: `${objectId} is nobody’s`, evidence: { ifname: objectId }, ...over });
const file = (objectId: string, over: Partial<Difference> = {}): Difference => ({ kind: 'file-unknown', objectId, text: `${objectId} is nobody’s`, evidence: { sizeBytes: 1 }, ...over });
const there = (...all: Difference[]): void => { for (const one of all) world.set(one.objectId, one); };
const id = async (index = 0) => (await findings())[index]!.id;
const person = () => contextOf({ actor: { userId: newUuid() as UserId, handle: 'ann', rights: [] }, idempotencyKey: newUuid() });
const taskOn = (objectId: string, endedAt: string) => db.query(`INSERT INTO task (id, kind, object_noun, object_id, state, input, locks, root_task_id, created_at, ended_at)
  VALUES (?, 'network.port.x', 'port', ?, 'running', '{}', '[]', ?, UTC_TIMESTAMP(3), ${endedAt})`, [newUuid(), objectId, newUuid()]);
/** As when a process has ended and its lease has run out. */
const otherProcess = async (): Promise<DriftKeeper> => {
  await db.query('UPDATE relay_lease SET holder = NULL');
  return keeper();
};

describe('a difference', () => {
  it('is certain at the second look, then put right, told and recorded once', async () => {
    there(stray('tap1'));
    const by = keeper();
    await looks(by);
    expect([await states(), done]).toEqual([[], []]);
    await looks(by, 3);
    expect([await states(), done]).toEqual([['tap1 repaired'], ['repair tap1']]);
    expect((await told('drift.changed')).map(({ data }) => (data['finding'] as DriftFinding).state)).toEqual(['found', 'repaired']);
    expect((await told('audit.recorded')).map(({ data }) => [data['operation'], data['object'], data['outcome']])).toEqual([['network.drift.repair', { noun: 'drift', id: await id() }, 'done']]);
  });

  it('that changes between the looks, or that a task works on or has just worked on, is not', async () => {
    const by = keeper();
    for (let size = 0; size < 4; size++) {
      there(stray('changing', { evidence: { size } }), stray('busy'), stray('touching', { touches: ['vm'] }));
      if (size === 0) for (const object of ['busy', 'vm']) await taskOn(object, 'NULL');
      await looks(by);
    }
    expect([await states(), done]).toEqual([[], []]);
    world.delete('changing');
    await db.query('DELETE FROM task');
    await looks(by);
    // Begun and ended between two looks.
    await taskOn('busy', 'UTC_TIMESTAMP(3) + INTERVAL 1 SECOND');
    await looks(by);
    expect(await states()).toEqual(['touching repaired']);
    await db.query('DELETE FROM task');
    await looks(by, 2);
    expect(await states()).toEqual(['busy repaired', 'touching repaired']);
  });

  it('that goes by itself is cleared where it was looked for, and nowhere else', async () => {
    there(file('f', { kind: 'file-foreign' }));
    const by = keeper();
    await looks(by, 2);
    world.clear();
    answers = false;
    await looks(by);
    expect(await states()).toEqual(['f found']);
    answers = true;
    await looks(by);
    expect(await states()).toEqual(['f cleared']);
  });

  it('is left to a person where many are at once, where it comes back, and where nothing is done by itself', async () => {
    population = 30;
    there(...Array.from({ length: 11 }, (_, index) => stray(`tap${index}`)));
    const by = keeper();
    await looks(by, 4);
    expect([new Set((await findings()).map(({ state, reason }) => `${state}: ${reason ?? ''}`.slice(0, 33))), done]).toEqual([new Set(['found: a large part of this place']), []]);
    world.clear();
    for (let time = 0; time < 5; time++) {
      there(stray('again'));
      await looks(by, 2);
    }
    expect(done).toEqual(['repair again', 'repair again', 'repair again']);
    expect((await findings()).find(({ object }) => object.id === 'again')).toMatchObject({ state: 'found', repairs: 3, reason: expect.stringContaining('came back') });
    await otherProcess();
    there(stray('shown'));
    await looks(keeper({ acts: false }), 3);
    expect(done).toHaveLength(3);
  });

  it('that the host refuses to put right says why, once, and is tried again after a while', async () => {
    there(stray('tap1'));
    outcome = () => HostCommandFailed.fail('the switch hangs', { reason: 'x' });
    const by = keeper();
    await looks(by, 5);
    expect(await findings()).toMatchObject([{ state: 'found', reason: 'the switch hangs' }]);
    expect(await told('drift.changed')).toHaveLength(2);
    outcome = () => ok({});
    await looks(by);
    expect(await states()).toEqual(['tap1 found']);
    await db.query('UPDATE drift_finding SET begun_at = begun_at - INTERVAL 1 HOUR');
    await looks(by);
    expect(await states()).toEqual(['tap1 repaired']);
  });
});

describe('a place that cannot be compared, and a repair that breaks,', () => {
  it('keep nothing else from being looked at', async () => {
    there(stray('tap1'), stray('tap2'));
    const broken: DriftSource = { name: 'broken', look: () => Promise.reject(new Error('the other service is away')) };
    outcome = (_what, objectId) => (objectId === 'tap1' ? Promise.reject(new FaultError(HostCommandFailed.fault('thrown', { reason: 'x' }))) : ok({}));
    await looks(keeper({}, [broken, source]), 3);
    expect((await findings()).map(({ object, state, reason }) => [object.id, state, reason])).toEqual([['tap1', 'found', 'thrown'], ['tap2', 'repaired', null]]);
  });
});

describe('unknown data', () => {
  it('is kept apart until a day, then asked about, and never deleted by itself', async () => {
    there(file('a'));
    const by = keeper();
    await looks(by, 3);
    expect(await findings()).toMatchObject([{ state: 'quarantined', reason: null, expiresAt: expect.any(String) }]);
    await db.query('UPDATE drift_finding SET expires_at = UTC_TIMESTAMP(3) - INTERVAL 1 DAY');
    await looks(by, 3);
    expect([await states(), done, world.has('a')]).toEqual([['a expired'], ['keep a'], true]);
  });

  it('is kept where it is while somebody uses it', async () => {
    there(file('a'));
    outcome = () => InUse.fail('a process has it open', { by: [] });
    await looks(keeper(), 3);
    expect(await findings()).toMatchObject([{ state: 'quarantined', reason: 'kept where it is: a process has it open' }]);
  });

  it('that lies in quarantine is known for such although its row was lost', async () => {
    there(file('a', { kept: true }));
    await looks(keeper(), 3);
    expect([await states(), done]).toEqual([['a quarantined'], []]);
  });
});

describe('a person', () => {
  it('deletes for good only what he confirms, once, and it is his deed', async () => {
    there(file('a'));
    const by = keeper();
    await looks(by, 2);
    const [findingId, ctx] = [await id(), person()];
    expect(await handOf(by).repair({ findingId, confirm: false }, ctx)).toMatchObject({ ok: false, fault: { code: 'CONFIRMATION_NEEDED' } });
    expect(await handOf(by).repair({ findingId, confirm: true }, ctx)).toMatchObject({ ok: true, value: { state: 'repaired' } });
    expect(await handOf(by).repair({ findingId, confirm: true }, ctx)).toMatchObject({ ok: true, value: { state: 'repaired' } });
    expect(done).toEqual(['keep a', 'repair a']);
    expect((await told('audit.recorded')).map(({ data, actor }) => [data['operation'], (actor as { handle: string } | null)?.handle ?? null])).toEqual([['network.drift.keep', null], ['network.drift.repair', 'ann']]);
  });

  it('has it put back and left there, or leaves it as it is, until it is another', async () => {
    there(file('a'), file('b', { kind: 'file-foreign' }));
    const by = keeper();
    await looks(by, 2);
    expect(await handOf(by).release({ findingId: await id(0) }, person())).toMatchObject({ ok: true, value: { state: 'dismissed' } });
    expect(await handOf(by).release({ findingId: await id(1) }, person())).toMatchObject({ ok: false, fault: { code: 'WRONG_STATE' } });
    expect(await handOf(by).dismiss({ findingId: await id(1) }, person())).toMatchObject({ ok: true, value: { state: 'dismissed' } });
    expect(await handOf(by).dismiss({ findingId: newUuid() as FindingId }, person())).toMatchObject({ ok: false, fault: { code: 'NOT_FOUND' } });
    await looks(by, 3);
    expect([await states(), done]).toEqual([['a dismissed', 'b dismissed'], ['keep a', 'release a']]);
    there(file('b', { kind: 'file-foreign', evidence: { sizeBytes: 2 } }));
    await looks(by, 2);
    expect(await states()).toEqual(['a dismissed', 'b found']);
  });
});

describe('a death in the middle of a repair', () => {
  const killed = () => new Promise<never>(() => undefined);
  /** Resolves once the repair is where the process dies. */
  const dyingAt = (effect: boolean): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    outcome = (_what, objectId) => {
      if (effect) world.delete(objectId);
      resolve(undefined);
      return killed();
    };
    return promise;
  };

  it.each([['before its effect', false, ['repair tap1']], ['after its effect', true, []]])('%s ends in one repair that is recorded once', async (_what, effect, repeated) => {
    there(stray('tap1'));
    const first = keeper();
    await looks(first);
    const died = dyingAt(effect);
    void looks(first);
    await died;
    outcome = () => ok({});
    await looks(await otherProcess(), 3);
    expect([await states(), done]).toEqual([['tap1 repaired'], repeated]);
    expect(await told('audit.recorded')).toHaveLength(1);
  });

  it('of one that a person has asked for, or a refusal of it, leaves it to be asked for again', async () => {
    there(file('a'));
    const by = keeper();
    await looks(by, 2);
    const findingId = await id();
    outcome = () => failed(HostCommandFailed.fault('killed', { reason: 'killed' }));
    const ctx = person();
    expect(await handOf(by).repair({ findingId, confirm: true }, ctx)).toMatchObject({ ok: false });
    expect(await selectRows(db, 'SELECT state, begun_at FROM drift_finding')).toEqual([{ state: 'quarantined', begun_at: null }]);
    outcome = () => ok({});
    expect(await handOf(by).repair({ findingId, confirm: true }, ctx)).toMatchObject({ ok: true, value: { state: 'repaired' } });
  });
});

it('one replica looks at a time', async () => {
  there(stray('tap1'));
  const [one, other] = [keeper(), keeper()];
  await looks(one);
  await looks(other, 5);
  expect(await states()).toEqual([]);
  await one.stop();
  await looks(other, 2);
  expect(await states()).toEqual(['tap1 repaired']);
});

describe('locks and tasks', () => {
  it('of tasks that have ended are taken away, and those of open ones are not', async () => {
    const [living, dead] = [newUuid(), newUuid()];
    const lock = (noun: string, root: string) => db.query('INSERT INTO task_lock (noun, object_id, root_task_id, task_id, holders, since) VALUES (?, ?, ?, ?, 1, UTC_TIMESTAMP(3))', [noun, newUuid(), root, newUuid()]);
    await taskOn('vm-1', 'NULL');
    await db.query('UPDATE task SET root_task_id = ?, claim_until = UTC_TIMESTAMP(3) + INTERVAL 1 HOUR', [living]);
    await lock('vm', living);
    await lock('volume', dead);
    await looks(keeper({}, [taskDrift(db, { wake: () => Promise.resolve() })]), 3);
    expect(await selectRows(db, 'SELECT noun FROM task_lock')).toEqual([{ noun: 'vm' }]);
    expect(await findings()).toMatchObject([{ kind: 'lock-stray', state: 'repaired' }]);
  });

  it('that are due and that nobody runs are shown, and looked at when a person says so', async () => {
    await taskOn('vm-1', 'NULL');
    await db.query('UPDATE task SET wake_at = UTC_TIMESTAMP(3) - INTERVAL 2 MINUTE');
    const woken: string[] = [];
    const by = keeper({}, [taskDrift(db, { wake: (taskId) => { woken.push(taskId); return Promise.resolve(); } })]);
    await looks(by, 4);
    expect(await findings()).toMatchObject([{ kind: 'task-idle', state: 'found' }]);
    expect(await handOf(by).repair({ findingId: await id(), confirm: false }, person())).toMatchObject({ ok: true });
    expect(woken).toHaveLength(1);
  });
});
